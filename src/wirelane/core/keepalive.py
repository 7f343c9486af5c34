"""How connections are kept alive, and how long a server keeps them: the settings, and the count of a client's pings.

gRFC A8 (keepalive of clients, what a server puts up with) and A9 (keepalive of servers, age and idleness of
connections); where they leave a choice, grpc-go's. All times are seconds. The timers are `wirelane.transport.keepalive`.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, fields
from typing import Final

from wirelane.errors import UsageError

__all__ = ["PingPolicy", "ServerOptions", "keepalive_time", "positive_seconds", "spread"]

LEAST_CLIENT_TIME = 10.0
"""A client's pings are at least this far apart (gRFC A8): any closer and they are load, which servers cut off.

Read when settings are made; tests lower it.
"""

LEAST_SERVER_TIME = 1.0
"""The same for a server's (grpc-go's minimum). Clients do not count pings."""

TIME_WITHOUT_CALLS: Final = 7200.0
"""Two hours between pings on a connection without calls, unless they are permitted: what TCP has (gRFC A8)."""

PING_STRIKES: Final = 2
"""Pings that may come too early before the next one ends the connection (gRFC A8)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """How a server keeps its connections: pings both ways, idleness, age.

    Attributes:
        keepalive_time: Seconds of silence after which the server pings a client, at least 1; None: never.
        keepalive_timeout: Seconds that a client has to answer (with anything) before its connection is cut. On TCP,
            what it does not acknowledge for as long cuts it too (TCP_USER_TIMEOUT, gRFC A18).
        min_ping_interval: Seconds that clients must leave between their pings, while a call is open and nothing is
            sent to them; a third ping that comes earlier ends the connection with ENHANCE_YOUR_CALM
            "too_many_pings". Without calls it is two hours.
        pings_without_calls: Whether `min_ping_interval` holds for connections without calls too.
        max_connection_idle: Seconds without a call after which a connection is closed, in order; None: never.
        max_connection_age: Seconds after which a connection is drained, so that clients come anew and spread; each
            takes up to a tenth more or less, so that they do not all come at once. None: never.
        max_connection_age_grace: Seconds that calls may still run after that, before they are cut; None: without end.

    Raises:
        UsageError: A value is out of range; the error names the field.
    """

    keepalive_time: float | None = 7200.0  # gRFC A9
    keepalive_timeout: float = 20.0  # gRFC A9
    min_ping_interval: float = 300.0  # gRFC A8
    pings_without_calls: bool = False
    max_connection_idle: float | None = None
    max_connection_age: float | None = None
    max_connection_age_grace: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "pings_without_calls":
                if not isinstance(value, bool):
                    raise UsageError(f"pings_without_calls is True or False, not {value!r}")
            elif value is not None or "None" not in str(field.type):
                positive_seconds(field.name, value)
        object.__setattr__(self, "keepalive_time", keepalive_time(self.keepalive_time, LEAST_SERVER_TIME))


def positive_seconds(name: str, value: object) -> None:
    """Check a number of seconds.

    Raises:
        UsageError: It is none above 0; names the field.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise UsageError(f"{name} is a number of seconds above 0, not {value!r}")


def keepalive_time(seconds: float | None, least: float) -> float | None:
    """Check a `keepalive_time`; return it, or `least` if it is less.

    Raises:
        UsageError: It is no number of seconds above 0.
    """
    if seconds is None:
        return None
    positive_seconds("keepalive_time", seconds)
    return max(seconds, least)


def spread(age: float) -> float:
    """Return `max_connection_age` with a tenth more or less: what came together shall not go together (gRFC A9)."""
    return age * random.uniform(0.9, 1.1)  # noqa: S311  (no secret)


class PingPolicy:
    """Counts the pings of one client that come too early, as grpc-go does.

    What the server has sent since the last ping excuses it: proxies and clients ping to measure what they receive. The
    server says how far it has come by a mark, anything that changes when it has sent something.
    """

    __slots__ = ("_interval", "_last", "_mark", "_strikes", "_without_calls")

    def __init__(self, options: ServerOptions) -> None:
        self._interval = options.min_ping_interval
        self._without_calls = self._interval if options.pings_without_calls else TIME_WITHOUT_CALLS
        self._last = -math.inf
        self._strikes = 0
        self._mark: object = None

    def allows(self, now: float, *, calls: int, mark: object) -> bool:
        """Take note of a ping; False if it was one too many.

        Args:
            now: Seconds of a monotonic clock.
            calls: Calls that are open.
            mark: How far the server has come.
        """
        if mark != self._mark:
            self._mark = mark
            self._strikes = 0
        elif now - self._last < (self._interval if calls else self._without_calls):
            self._strikes += 1
        self._last = now
        return self._strikes <= PING_STRIKES
