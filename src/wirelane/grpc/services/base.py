"""What a builtin service is to the server that runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from wirelane.codec import Schema

__all__ = ["BuiltinMethod", "BuiltinService"]


@dataclass(frozen=True, slots=True)
class BuiltinMethod:
    """A method of a builtin service.

    Attributes:
        name: "pkg.Service/Method" in the schema of the service.
        handler: As any handler; its messages are dicts.
        background: Its calls go on by themselves, so that a drain does not wait for them.
    """

    name: str
    handler: Callable[..., object]
    background: bool = False


class BuiltinService(Protocol):
    """A service that comes with the server."""

    @property
    def schema(self) -> Schema:
        """Where its messages are described."""
        ...

    def methods(self) -> Sequence[BuiltinMethod]:
        """Return its methods."""
        ...
