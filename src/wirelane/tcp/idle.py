"""Connections on which nothing moves: a server with `limits.idle_timeout` closes them.

Contract: one timer for each connection looks four times in `idle_timeout` whether anything was received or sent since it
looked last, so that reading and sending pay for a count and for no timer. A connection is closed after `idle_timeout`
without a byte, and a quarter of that later at the most. The looks are counted, not the time: a loop that was held up
reads what has arrived meanwhile before it looks again.

It is closed in order, unless something waits here that its peer does not take: then it is cut. Whoever reads or sends
on it hears ConnectionLost; what had arrived can still be read.
"""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios
from typing import TYPE_CHECKING, Final

from wirelane.tcp.protocol import TcpProtocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from wirelane.core.limits import Limits

__all__ = ["WatchedProtocol"]

_LOOKS: Final = 4


class WatchedProtocol(TcpProtocol):
    """A `TcpProtocol` that ends when it is idle; those without a limit pay nothing for it.

    Args:
        limits: With an `idle_timeout`.
        on_connected: As for `TcpProtocol`.
        on_idle: Called when it is closed for idleness.

    Attributes:
        expired: It was closed for idleness.
    """

    __slots__ = ("_idle_timeout", "_on_idle", "_quiet", "_received", "_seen", "_timer", "expired")

    def __init__(
        self,
        limits: Limits,
        on_connected: Callable[[TcpProtocol], None],
        on_idle: Callable[[TcpProtocol], None],
    ) -> None:
        super().__init__(limits, on_connected)
        assert limits.idle_timeout is not None
        self.expired = False
        self._idle_timeout = limits.idle_timeout
        self._on_idle = on_idle
        self._received = 0
        self._seen = (0, 0, 0, 0)
        self._quiet = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        self._received += 1
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._idle_timeout / _LOOKS, self._look)

    def _look(self) -> None:
        if self.closed or self.wire.is_closing():
            return
        # What has been written may leave piece by piece long after: that it becomes less is movement too.
        waiting = self.wire.get_write_buffer_size()
        seen = (self._received, self.sender.writes, waiting, _unacknowledged(self.info("socket")))
        self._quiet = self._quiet + 1 if seen == self._seen else 0
        self._seen = seen
        if self._quiet < _LOOKS:
            self._wait()
        else:
            self.expired = True
            self._on_idle(self)
            self.end(
                TimeoutError(f"nothing was received or sent for {self._idle_timeout:g} s (idle_timeout)")
            )


def _unacknowledged(sock: object) -> int:
    """Return how many bytes the system has still to bring to the peer, where it tells (Linux: tcp(7), SIOCOUTQ).

    It takes megabytes at once, and then no more until a third of them has left: minutes, to a peer that is slow.
    """
    fileno = getattr(sock, "fileno", None)
    try:
        if fileno is None:
            return 0
        answer: bytes = fcntl.ioctl(fileno(), termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError):  # not here, or not any more
        return 0
    return int(struct.unpack("i", answer)[0])
