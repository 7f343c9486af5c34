"""The timers of connections: pings that find a dead peer, and the age and idleness that end a server's connection.

Contract: a connection starts these when it is made and stops them when it ends; they read what it keeps anyway
(`heard_at`, `active`), so that nothing is paid per frame or call. `Pinger` serves both ends (gRFC A8 and A9), `Tenure`
the server's (gRFC A9). Both act on their connection alone, in a callback of the loop.
"""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING, Final

from wirelane.core.keepalive import spread
from wirelane.http2 import ErrorCode
from wirelane.http2.frames import ping

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from wirelane.core.keepalive import ServerOptions
    from wirelane.transport.protocol import H2Protocol
    from wirelane.transport.server import H2ServerConnection

__all__ = ["TOO_MANY_PINGS", "Keepalive", "Pinger", "Tenure", "server_pinger"]

logger = logging.getLogger("wirelane.transport")

TOO_MANY_PINGS: Final = "too_many_pings"
"""What the GOAWAY says that answers a client's pings with ENHANCE_YOUR_CALM (gRFC A8)."""

_PING: Final = ping(b"wl-alive")

# Seconds of another look before a peer is declared dead: a loop that was held up runs its timers before it reads what
# has been waiting in the sockets meanwhile.
_LAST_LOOK: Final = 0.05


class Keepalive:
    """The pace of pings; the connections of a channel share one.

    Attributes:
        time: Seconds of silence before a ping.
        timeout: Seconds for anything to arrive after it.
        without_calls: Whether to ping while no call is open.
    """

    def __init__(self, time: float, timeout: float, *, without_calls: bool) -> None:
        self.time = time
        self.timeout = timeout
        self.without_calls = without_calls

    def slow_down(self, peer: object) -> None:
        """Ping half as often from now on: a server has had enough (gRFC A8)."""
        self.time *= 2
        logger.warning(
            "%s closed the connection because of too many pings; keepalive_time is %g s from now on",
            peer,
            self.time,
        )

    def __repr__(self) -> str:
        return f"<Keepalive every {self.time:g} s, timeout {self.timeout:g} s>"


class Pinger:
    """Pings the peer of one connection when it is silent, and cuts the connection when it stays so."""

    def __init__(self, connection: H2Protocol, keepalive: Keepalive) -> None:
        self._connection = connection
        self._keepalive = keepalive
        self._timer: asyncio.TimerHandle | None = None
        # When the ping was sent that nothing has followed yet.
        self._sent: float | None = None
        self._last_look = False

    def start(self) -> None:
        """Begin to count the silence."""
        self._wake_in(self._keepalive.time)

    def stop(self) -> None:
        """End for good."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake_in(self, seconds: float) -> None:
        self._timer = self._connection.loop.call_later(seconds, self._look)

    def _look(self) -> None:
        connection, keepalive = self._connection, self._keepalive
        now = monotonic()
        if self._sent is not None and connection.heard_at <= self._sent:
            self._wait_on(now - self._sent)
            return
        self._sent = None
        left = keepalive.time - (now - connection.heard_at)
        if left > 0:
            self._wake_in(left)
        elif connection.active or keepalive.without_calls:
            self._sent = now
            self._last_look = False
            connection.engine.write(_PING)
            self._wake_in(min(keepalive.time, keepalive.timeout))
        else:
            self._wake_in(keepalive.time)

    def _wait_on(self, waited: float) -> None:
        """Nothing has come since the ping."""
        left = self._keepalive.timeout - waited
        if left > 0:
            self._wake_in(left)
        elif not self._last_look:
            self._last_look = True
            self._wake_in(_LAST_LOOK)
        else:
            _cut(
                self._connection,
                f"keepalive timeout: {self._connection.peer} sent nothing for {self._keepalive.timeout:g} s "
                "after a PING",
            )


def server_pinger(connection: H2Protocol, options: ServerOptions) -> Pinger | None:
    """Return what pings a client, with calls or without; None if nothing shall."""
    if options.keepalive_time is None:
        return None
    return Pinger(
        connection, Keepalive(options.keepalive_time, options.keepalive_timeout, without_calls=True)
    )


class Tenure:
    """Drains a server's connection when it has been idle or has grown old, and cuts it after the grace.

    Attributes:
        idle_since: When the last call ended; to be set by the connection if `watches_idle`.
        watches_idle: Whether anybody asks.
    """

    def __init__(self, connection: H2ServerConnection, options: ServerOptions) -> None:
        self.idle_since = monotonic()
        self.watches_idle = options.max_connection_idle is not None
        self._connection = connection
        self._options = options
        self._timers: dict[Callable[[], None], asyncio.TimerHandle] = {}

    def start(self) -> None:
        """Begin to count."""
        age, idle = self._options.max_connection_age, self._options.max_connection_idle
        if age is not None:
            self._wake_in(spread(age), self._aged)
        if idle is not None:
            self._wake_in(idle, self._check_idle)

    def stop(self) -> None:
        """End for good."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _wake_in(self, seconds: float, what: Callable[[], None]) -> None:
        self._timers[what] = self._connection.loop.call_later(seconds, what)

    def _aged(self) -> None:
        self._connection.drain(reason="max_age")
        grace = self._options.max_connection_age_grace
        if grace is not None:
            self._wake_in(grace, self._outstayed)

    def _outstayed(self) -> None:
        _cut(self._connection, "the connection outlived its age and the grace after it")

    def _check_idle(self) -> None:
        idle = self._options.max_connection_idle
        assert idle is not None
        if self._connection.active:
            self._wake_in(idle, self._check_idle)
            return
        left = idle - (monotonic() - self.idle_since)
        if left > 0:
            self._wake_in(left, self._check_idle)
        else:
            self._connection.drain(reason="max_idle")


def _cut(connection: H2Protocol, reason: str) -> None:
    """End every call with UNAVAILABLE; do not wait for a peer that may not be there to take a farewell."""
    logger.info("%s: %s", connection.peer, reason)
    connection.engine.end(ErrorCode.NO_ERROR, reason)
    connection.abort()
