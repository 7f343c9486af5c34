"""What the health service answers from.

Made of `wirelane.grpc.services.health` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

from wirelane.codec import Schema
from wirelane.grpc.services.base import BuiltinMethod
from wirelane.grpc.services.health import Health as AsyncHealth
from wirelane.grpc.services.health import ServingStatus
from wirelane.sync._facade import facade_of
from wirelane.sync._portal import call
from wirelane.sync._serving import HealthFacade

__all__ = ["Health"]


@facade_of(AsyncHealth)
class Health(HealthFacade):
    """What the health service answers from. Any thread may use it."""

    __slots__ = ()

    def set(self, service: str, status: ServingStatus | int | str | bool) -> None:
        """Set the status of a service ("" for the server as a whole), and tell those who watch it.

        While the server drains everything is NOT_SERVING; what is set then counts if it listens again.

        Raises:
            UsageError: There is no such status, or it is SERVICE_UNKNOWN, which `clear` stands for.
        """
        call(self._inner.set, service, status)

    def add(self, service: str) -> None:
        """Make a service known, as SERVING, unless it is."""
        call(self._inner.add, service)

    def clear(self, service: str) -> None:
        """Forget a service. Its watchers see SERVICE_UNKNOWN."""
        call(self._inner.clear, service)

    def get(self, service: str = "") -> ServingStatus | None:
        """Return the status that clients see now; None if the service is not known."""
        return call(self._inner.get, service)

    def shutdown(self) -> None:
        """Answer NOT_SERVING for everything: the server is draining."""
        call(self._inner.shutdown)

    def resume(self) -> None:
        """Answer what was set: the server listens."""
        call(self._inner.resume)

    @property
    def schema(self) -> Schema:
        """Where its messages are described."""
        return self._inner.schema

    def methods(self) -> list[BuiltinMethod]:
        """Return the methods of the service."""
        return call(self._inner.methods)
