"""`ServerStats`: what a server has and what it refused, as counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["ServerStats"]


@dataclass(frozen=True, slots=True)
class ServerStats:
    """Counts of a server since it began to listen; a snapshot. docs/security.md lists the kinds of refusals.

    Attributes:
        connections: Open now.
        calls: Whose handlers run now.
        resets: Calls that clients reset before their deadline.
        refusals: What was refused, by kind. A kind that never was is not there.
        unlogged: Failures of handlers that were counted and not logged (`Limits.log_burst`).
    """

    connections: int = 0
    calls: int = 0
    resets: int = 0
    refusals: Mapping[str, int] = field(default_factory=dict)
    unlogged: int = 0
