"""Receive windows: how much the peer may send before it must wait for our readers (RFC 9113 section 5.2).

Three rules, which together never stall a reader that keeps up and never let one that does not cost memory:

- The connection's window is given back when octets arrive, and never stops anybody. A stream's window is given back when
  its messages are taken. So a slow reader stops its own stream and no other, and what a peer can make us hold is the sum
  of the streams' windows.
- A stream begins with `initial_window`. Beyond that its window grows to what the connection moves in a round trip, but
  only while its reader waits for more, and only from a stock that the streams of a connection share, `max_window`. .NET's
  HttpClient grows the windows of single streams likewise, from 64 KiB to 16 MiB.
- A message larger than its window must be able to arrive when its reader waits for it. What it needs is lent from the same
  stock, and a stream that finds too little there waits for its turn: a peer that begins many large messages and ends
  none holds up its own connection, and no memory beyond the stock. One message is always let through.

A client lets new streams begin with more as well (SETTINGS_INITIAL_WINDOW_SIZE, section 6.9.2), out of half of the stock,
so that large answers come without a stop after the first 64 KiB; with less again when it opens many. The server has read
that before it reads of the stream. A server cannot do so: a client may open all its streams before it hears of a change.

Frames may grow as well, to `max_frame_size`, once windows are much larger than that.

The bandwidth-delay product is measured as grpc-go and C-core do: a PING leaves when DATA arrives, and what has arrived
when its acknowledgement does was sent in one round trip. If that is near to the window, and faster than ever before, the
window is what limits, and is set to twice as much. There is one such PING under way at most and none without DATA; after
a round trip that moved little the next waits for half a window of octets, so that small calls see few of them. Servers
that count PINGs (gRFC A8) begin anew whenever they send DATA, so these are never held against us.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from wirelane.http2.frames import (
    DEFAULT_MAX_FRAME_SIZE,
    MAX_WINDOW,
    ErrorCode,
    ProtocolViolation,
    Setting,
    ping,
    settings,
    window_update,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from wirelane.http2.connection import Connection
    from wirelane.http2.stream import Stream

__all__ = ["PROBE", "Flow"]

PROBE = b"wl-probe"
"""The payload of the PING that measures."""

# What counts as faster: a window that limits and is doubled makes it nearly twice as fast.
_FASTER = 1.1
# Octets that are given without a loan: what says how long a message is, and the padding of a frame.
_SMALL = 512
# A pause that the next octet ends.
_AT_ONCE = 1


class Flow:
    """The receive windows of one connection.

    Attributes:
        size: The window of the connection.
        target: How large the window of a stream may be: twice what arrived in a round trip, at least as far as known.
        stock: Octets that the windows of streams may still grow by, all together; below zero after a loan to the only
            one that asked.
        loans: What was lent to streams beyond their windows, by their identifiers.
    """

    __slots__ = (
        "_clock",
        "_connection",
        "_fastest",
        "_granted",
        "_initial",
        "_most",
        "_pause",
        "_probe_at",
        "_probe_from",
        "_probing",
        "_queue",
        "_turn",
        "_unacknowledged",
        "loans",
        "size",
        "stock",
        "target",
    )

    def __init__(self, connection: Connection, clock: Callable[[], float] = time.monotonic) -> None:
        limits = connection.limits
        self._connection = connection
        self._clock = clock
        self._initial = self.target = limits.initial_window
        self._most = self.stock = limits.max_window
        self.size = self._granted = limits.connection_window
        self._fastest = 0.0
        self.loans: dict[int, int] = {}
        # Streams that want a loan, in order, and how much; the one whose turn it is.
        self._queue: OrderedDict[Stream, int] = OrderedDict()
        self._turn: Stream | None = None
        self._probing = False
        # Octets of DATA to wait for before the next PING.
        self._pause = self.target // 2
        self._probe_at = 0.0
        self._probe_from = 0
        # The connection begins with SETTINGS.
        self._unacknowledged = 1
        self._wait()

    @property
    def arrived(self) -> int:
        """Octets of DATA that have arrived on the connection."""
        return self._granted - self._connection.recv_window

    @property
    def frame_size(self) -> int:
        """The longest frame that the peer may send.

        While windows are small so are frames: on a slow link a long one would hold up the answers to other calls, and one
        that counts when it is whole, as the last of a request, would hide what the link carries. C-core changes SETTINGS_MAX_FRAME_SIZE with the bandwidth-delay product as well.
        """
        longest = self._connection.limits.max_frame_size
        return longest if self.target >= 4 * longest else DEFAULT_MAX_FRAME_SIZE

    # The connection

    def _wait(self) -> None:
        """Say when to look again: when half of the window is used, or so much has arrived that a PING is due."""
        connection = self._connection
        connection.low_window = self.size // 2
        if not self._probing and self.target < self._most:
            connection.low_window = max(connection.low_window, connection.recv_window - self._pause)

    def look(self) -> None:
        """Give the connection's window back when half of it is used, and measure when it is time.

        Raises:
            ProtocolViolation: The peer has sent more than the window.
        """
        connection = self._connection
        left = connection.recv_window
        due = self._granted - connection.low_window
        if left < 0:
            raise ProtocolViolation(
                ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the connection's window allows"
            )
        if left * 2 <= self.size:
            more = self.size - left
            connection.write(window_update(0, more))
            connection.recv_window += more
            self._granted += more
        if not self._probing and self.target < self._most:
            self._probing = True
            self._probe_at = self._clock()
            if self._pause != _AT_ONCE:
                # What this frame brought beyond the octets that were waited for came in no other round trip.
                self._probe_from = due
            connection.write(ping(PROBE))
        self._wait()

    def measured(self) -> None:
        """The PING has come back: what arrived since it left is what the peer sends in one round trip."""
        if not self._probing:
            return
        self._probing = False
        connection = self._connection
        arrived = self.arrived
        sample = arrived - self._probe_from
        # What moves much is measured again from the next DATA on, counted whole: a window that is too small comes in one
        # burst for each round trip, and the PING belongs to its beginning.
        self._pause = _AT_ONCE if sample * 4 >= self.target else self.target // 2
        self._probe_from = arrived
        # A clock may stand still.
        speed = sample / max(self._clock() - self._probe_at, 1e-6)
        # As grpc-go: near to the window means at least two thirds of it. A round trip that is only longer than before,
        # because octets stand in queues on the way, moves nothing faster and needs no larger window.
        if sample * 3 >= self.target * 2 and speed > _FASTER * self._fastest:
            self._fastest = speed
            self.target = min(2 * sample, self._most)
            # So much that it limits nobody, although it is given back by halves.
            self.size = min(max(self.size, 2 * self.target), MAX_WINDOW)
        if connection.client:
            self._begin_with_more()
        if (longest := self.frame_size) > connection.max_frame_size:
            connection.max_frame_size = longest
            self._unacknowledged += 1
            connection.write(settings({Setting.MAX_FRAME_SIZE: longest}))
        self._wait()

    # Streams

    def enter(self, stream: Stream) -> None:
        """A stream opens with more than the least, which comes from the stock; if that is empty, all begin with less."""
        self.stock -= stream.window - self._initial
        connection = self._connection
        before = connection.initial_window
        while self.stock < 0 and (size := connection.initial_window) > self._initial:
            self._begin_with(max(size // 2, self._initial))
        if connection.initial_window < before:
            # A peer that must stop now sends nothing that would make us look again.
            for other in list(connection.streams.values()):
                if other is not stream:
                    other.return_window(0)
                    other.on_room()

    def _begin_with_more(self) -> None:
        connection = self._connection
        streams = len(connection.streams)
        size = min(self.target, self._most // (2 * max(streams, 1)))
        if (
            2 * size >= 3 * connection.initial_window
            and (size - connection.initial_window) * streams <= self.stock // 2
        ):
            self._begin_with(size)

    def _begin_with(self, size: int) -> None:
        """Change the window that streams begin with; that of each open stream changes by as much (section 6.9.2)."""
        connection = self._connection
        change = size - connection.initial_window
        connection.initial_window = size
        # What is under way was sent by the old window.
        connection.window_slack += max(0, -change)
        self._unacknowledged += 1
        connection.write(settings({Setting.INITIAL_WINDOW_SIZE: size}))
        for stream in connection.streams.values():
            if change < 0 and stream.id in self.loans:
                # Others may wait for what it was lent: its message must not lack it now. It keeps its window.
                connection.write(window_update(stream.id, -change))
                continue
            stream.window += change
            stream.recv_window += change
            self.stock -= change

    def settings_acknowledged(self) -> None:
        """The peer has applied the first of our SETTINGS that it had not."""
        self._unacknowledged = max(0, self._unacknowledged - 1)
        if not self._unacknowledged:
            self._connection.window_slack = 0

    def give(self, stream: Stream, octets: int) -> None:
        """Let the peer send `octets` more on a stream, and if its reader waits, as many more as its window lacks."""
        more = min(self.target - stream.window, self.stock)
        if stream.starved() and more > 0:
            self.stock -= more
            stream.window += more
            octets += more
        stream.recv_window += octets
        self._connection.write(window_update(stream.id, octets))

    def lend(self, stream: Stream, octets: int) -> bool:
        """Take from the stock what a message needs beyond its window; if others have it, the stream waits in line."""
        if octets <= _SMALL:
            # Not counted: a stream that has a loan asks for no more than this, and must not wait for those that wait for it.
            return True
        others = len(self.loans) > (stream.id in self.loans)
        if (self._queue and stream is not self._turn) or (octets > self.stock and others):
            self._queue[stream] = octets
            return False
        self.stock -= octets
        self.loans[stream.id] = self.loans.get(stream.id, 0) + octets
        return True

    def repay(self, stream: Stream, octets: int | None = None) -> None:
        """So much of what a stream was lent has been taken, or for None, all of it or never will be: it is for others."""
        loan = self.loans.get(stream.id, 0)
        if octets is None or loan - octets <= _SMALL:
            self.loans.pop(stream.id, None)
            self.stock += loan
        else:
            self.loans[stream.id] = loan - octets
            self.stock += octets
        while self._queue:
            first, wanted = next(iter(self._queue.items()))
            if wanted > self.stock and self.loans:
                return
            del self._queue[first]
            self._turn = first
            first.on_room()
            self._turn = None

    def leave(self, stream: Stream) -> None:
        """A stream is closed: others may have what its window had grown by, and what it was lent."""
        if stream.id:
            self.stock += stream.window - self._initial
            stream.window = self._initial
        self._queue.pop(stream, None)
        self.repay(stream)

    def __repr__(self) -> str:
        return (
            f"<Flow connection {self.size}, streams {self._connection.initial_window} to {self.target}, "
            f"{self.stock} in stock>"
        )
