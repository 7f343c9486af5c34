"""One HTTP/2 stream: its two halves, its windows, what waits to be sent (RFC 9113 section 5).

The layer above makes a subclass and overrides the `on_` hooks; the engine calls them synchronously while it reads.
A hook may send, reset or end its own stream, and must not raise.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from wirelane.http2.frames import MAX_WINDOW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wirelane.http2.connection import Connection
    from wirelane.http2.headers import HeaderBlock

__all__ = ["Stream"]

Trailers = tuple[tuple[tuple[bytes, bytes], ...], "Sequence[tuple[bytes, bytes]] | None"]


class Stream:
    """State of one stream.

    Attributes:
        id: Stream identifier; 0 until it is opened.
        local_closed: We sent END_STREAM or the stream was reset: nothing more may be sent.
        remote_closed: The peer sent END_STREAM or the stream was reset.
        send_window: Octets the peer lets us send on this stream; may be negative (section 6.9.2).
        recv_window: Octets we still let the peer send.
        window: Octets we let it send while nothing is given back.
    """

    __slots__ = (
        "_expected",
        "_head_seen",
        "_pending",
        "_pending_trailers",
        "_takes_data",
        "_unreturned",
        "connection",
        "id",
        "local_closed",
        "recv_window",
        "remote_closed",
        "send_window",
        "window",
    )

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.id = 0
        self.local_closed = False
        self.remote_closed = False
        self.send_window = connection.peer_initial_window
        self.recv_window = self.window = connection.initial_window
        self._unreturned = 0
        # Data that flow control did not take yet, (octets, END_STREAM) in order; made on first use.
        self._pending: deque[tuple[memoryview, bool]] | None = None
        self._pending_trailers: Trailers | None = None
        self._head_seen = False
        # Head seen, not closed by the peer, no content-length: DATA needs no further look.
        self._takes_data = False
        # Octets that content-length still promises (section 8.1.1); None without that header.
        self._expected: int | None = None

    # Hooks, called by the engine.

    def on_headers(self, block: HeaderBlock, end_stream: bool) -> None:
        """A response head, or trailers. Interim responses were skipped."""

    def on_data(self, data: bytes, end_stream: bool) -> None:
        """Octets of the body, padding removed: of a frame, of several, or of a part of one, as they came together.

        They must be given back by `return_window` in the end.
        """

    def row_limit(self) -> int:
        """The longest message that `on_row` takes now; -1 if the stream has all its DATA by `on_data`."""
        return -1

    def on_row(self, row: list[tuple[bool, bytes]]) -> None:
        """Some DATA frames of one whole message each, none compressed: (False, its octets). None ends the stream."""
        raise NotImplementedError

    def on_reset(self, code: int, *, by_peer: bool, reason: str = "") -> None:
        """The stream was reset, by the peer or by the engine because the peer broke a rule."""

    def reset_is_due(self) -> bool:
        """Whether the peer may reset the stream now without its being held against it (see `budget`)."""
        return False

    def starved(self) -> bool:
        """Whether the reader has waited for octets since this was last asked, so that a larger window may help it."""
        return False

    def on_room(self) -> None:
        """`make_room` may be asked again: it gave nothing because others had it all, or the window is narrower now."""

    def on_drained(self) -> None:
        """Everything that was given to `send` has been taken by flow control."""

    def on_connection_ended(self, code: int, reason: str, *, unprocessed: bool) -> None:
        """The connection ended, or a GOAWAY says that the peer will not act on this stream."""

    # For the layer above.

    @property
    def has_pending(self) -> bool:
        """Whether octets wait for flow control."""
        return bool(self._pending) or self._pending_trailers is not None

    @property
    def unsent(self) -> int:
        """Octets that wait for flow control."""
        return sum([len(data) for data, _ in self._pending or ()])

    def return_window(self, octets: int) -> None:
        """Let the peer send `octets` more. They are announced in batches of a quarter of the window (section 6.9).

        So at least three quarters can move in a round trip, which is what `Flow` takes for a window that limits.
        """
        if self.remote_closed:
            return
        unreturned = self._unreturned + octets
        if unreturned * 4 < self.window:
            self._unreturned = unreturned
            return
        self._unreturned = 0
        self.connection.flow.give(self, unreturned)

    def make_room(self, octets: int) -> int:
        """Let the peer send `octets` in all from now on; return how many of them are given ahead of their return.

        As far as a window may be so wide: a message may be longer, and `Flow.give` may add as much again. None are given
        ahead if other streams of the connection have all that may be; `on_room` tells when to ask again.
        """
        short = min(octets, MAX_WINDOW // 2) - self.recv_window
        if short <= 0 or self.remote_closed:
            return 0
        ahead = max(0, short - self._unreturned)
        if ahead and not self.connection.flow.lend(self, ahead):
            return 0
        unreturned, self._unreturned = self._unreturned, 0
        self.connection.flow.give(self, unreturned + ahead)
        return ahead

    def queue(self, data: bytes | memoryview, end_stream: bool) -> None:
        """Keep what flow control does not take now; the engine sends it when a window opens."""
        if self._pending is None:
            self._pending = deque()
        self._pending.append((memoryview(data), end_stream))

    def __repr__(self) -> str:
        halves = f"{'closed' if self.local_closed else 'open'}/{'closed' if self.remote_closed else 'open'}"
        return f"<{type(self).__name__} {self.id} {halves} window {self.send_window}>"
