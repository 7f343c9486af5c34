"""What an engine sends: the gathered output, header blocks, DATA under flow control (RFC 9113 sections 4.3, 5.2, 6.9).

The base of `connection.Connection`, which adds what is received. Data that the windows or the owner's buffer do not
take waits with its stream, and goes out in turn, one frame from each stream at a time.
"""

from __future__ import annotations

from collections import OrderedDict
from struct import Struct
from typing import TYPE_CHECKING, Final, Protocol

from wirelane.core.framing import PREFIX
from wirelane.http2.frames import (
    DEFAULT_MAX_FRAME_SIZE,
    DEFAULT_WINDOW,
    END_HEADERS,
    END_STREAM,
    FRAME_HEAD,
    HEADERS,
    MAX_WINDOW,
    ErrorCode,
    ProtocolViolation,
    header_frames,
)
from wirelane.http2.headers import HeaderBlock, HeaderEncoder

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from wirelane.core.limits import Limits
    from wirelane.http2.stream import Stream

__all__ = ["Output", "Owner", "Stable"]

# A frame's head, as FRAME_HEAD, and the prefix of the message in it: whether it is compressed, and its length.
_pack_heads: Final = Struct(">IBIBI").pack

Stable = tuple[tuple[bytes, bytes], ...]


class Owner(Protocol):
    """What the engine calls back."""

    def output_ready(self) -> None:
        """There is something to `take`, for the first time since the last `take`."""

    def stream_requested(self, block: HeaderBlock) -> Stream | None:
        """A client opens a stream; return the object for it, or None to refuse it (REFUSED_STREAM)."""

    def stream_closed(self, stream: Stream) -> None:
        """Both halves of a stream are closed; it no longer counts."""

    def settings_changed(self) -> None:
        """The peer's SETTINGS arrived and apply."""

    def input_waits(self) -> None:
        """Input is left for a later turn: read no more from the peer for now, and call `resume` in the next turn."""

    def goaway_received(self, code: int, reason: str) -> None:
        """The peer takes no more streams."""

    def engine_ended(self, code: int, reason: str) -> None:
        """The engine has ended the connection; what is in the output is to be written, then closed."""


class Output:
    """The sending half of a connection.

    Attributes:
        writable: The owner's buffer has room; while it has not, only frames that are not DATA are made.
        ended: No more frames are made.
        send_window: Octets of DATA that the peer takes on the whole connection.
        send_granted: Octets that it has taken or takes, since the start: what was sent is the difference.
        peer_max_frame_size: The longest frame that the peer takes, as far as we make them so long.
        output_size: Octets of DATA that wait for `take`.
        unsent_replies: Acknowledgements made since the owner could last write.
    """

    def __init__(self, owner: Owner, limits: Limits) -> None:
        self.owner = owner
        self.limits = limits
        self.ended = False
        self.writable = True
        self.send_window = self.send_granted = DEFAULT_WINDOW
        self.peer_max_frame_size = DEFAULT_MAX_FRAME_SIZE
        self.encoder = HeaderEncoder()
        self.unsent_replies = 0
        self._output: list[bytes | memoryview] = []
        self.output_size = 0
        # Streams with octets that wait for a window, in turn.
        self._blocked: OrderedDict[int, Stream] = OrderedDict()

    @property
    def blocked(self) -> bool:
        """Whether data waits for a window or for the owner's buffer."""
        return bool(self._blocked)

    def write(self, data: bytes | memoryview) -> None:
        """Append to the output."""
        if not self._output:
            self._output.append(data)
            self.owner.output_ready()
        else:
            self._output.append(data)

    def take(self) -> list[bytes | memoryview]:
        """Return and forget the output."""
        output = self._output
        self._output = []
        self.output_size = 0
        if self.writable:
            self.unsent_replies = 0
        return output

    def send_headers(
        self,
        stream: Stream,
        stable: Stable,
        variable: Sequence[tuple[bytes, bytes]] | None = None,
        *,
        key: Hashable = None,
        end_stream: bool = False,
    ) -> None:
        """Send a head or trailers; trailers wait for the data before them. `key` as in `HeaderEncoder.encode`."""
        if stream.local_closed or self.ended:
            return
        if stream._pending:
            stream._pending_trailers = (stable, variable)
            return
        block = self.encoder.encode(stable, variable or (), key)
        size = len(block)
        if size <= self.peer_max_frame_size:
            flags = END_HEADERS | END_STREAM if end_stream else END_HEADERS
            output = self._output
            if not output:
                self.owner.output_ready()
            output.append(FRAME_HEAD.pack(size << 8 | HEADERS, flags, stream.id))
            output.append(block)
        else:
            self.write(
                header_frames(
                    stream.id, block, end_stream=end_stream, max_frame_size=self.peer_max_frame_size
                )
            )
        if end_stream:
            self._close_local(stream)

    def send(self, stream: Stream, data: bytes, *, prefix: bytes = b"", end_stream: bool = False) -> bool:
        """Send data, or queue what the windows do not take; `on_drained` tells when it all went. True if at once.

        `prefix` makes the data a message: it is what `core.framing.message_prefix` gives for it, and goes before it.
        """
        if stream.local_closed or self.ended:
            return True
        rest: bytes | memoryview = data
        if prefix:
            if self.send_message(stream, data, prefix[0] == 1, end_stream):
                return True
            # The prefix leaves with as much of the message as its frame has room for.
            room = self.peer_max_frame_size - PREFIX
            if len(data) > room:
                stream.queue(prefix + data[:room], False)
                rest = memoryview(data)[room:]
            else:
                rest = prefix + data
        stream.queue(rest, end_stream)
        self._blocked[stream.id] = stream
        self.pump_stream(stream)
        return not stream._pending

    def send_message(
        self, stream: Stream, payload: bytes, compressed: bool, end_stream: bool = False
    ) -> bool:
        """Send a message in one frame if the windows take it; else do nothing. The stream is open."""
        length = len(payload)
        size = length + PREFIX
        if (
            size <= stream.send_window
            and size <= self.send_window
            and size <= self.peer_max_frame_size
            and self.writable
            and not stream._pending
            and self.output_size < self.limits.max_send_buffer
        ):
            stream.send_window -= size
            self.send_window -= size
            self.output_size += size
            output = self._output
            if not output:
                self.owner.output_ready()
            # END_STREAM is the lowest flag (section 6.1): true is its octet.
            output.append(_pack_heads(size << 8, end_stream, stream.id, compressed, length))
            output.append(payload)
            if end_stream:
                self._close_local(stream)
            return True
        return False

    def send_whole(
        self, stream: Stream, head: Stable, data: bytes, *, prefix: bytes = b"", trailers: Stable
    ) -> None:
        """Send a head, data and trailers: everything a stream has to say, in one piece if the windows take it.

        The header lists are short: each fits into the smallest frame a peer may allow.
        """
        size = len(prefix) + len(data)
        if (
            size <= stream.send_window
            and size <= self.send_window
            and size <= self.peer_max_frame_size
            and self.writable
            and self.output_size < self.limits.max_send_buffer
            and not stream.local_closed
            and not self.ended
        ):
            first = self.encoder.encode(head)
            last = self.encoder.encode(trailers)
            self.send_window -= size
            self.output_size += size
            pack, identifier = FRAME_HEAD.pack, stream.id
            output = self._output
            if not output:
                self.owner.output_ready()
            output += (
                pack(len(first) << 8 | HEADERS, END_HEADERS, identifier),
                first,
                pack(size << 8, 0, identifier),
                prefix,
                data,
                pack(len(last) << 8 | HEADERS, END_HEADERS | END_STREAM, identifier),
                last,
            )
            self._close_local(stream)
            return
        self.send_headers(stream, head)
        self.send(stream, data, prefix=prefix)
        self.send_headers(stream, trailers, end_stream=True)

    def pump(self) -> None:
        """Send what the windows take now, one frame from each blocked stream in turn."""
        progress = True
        while progress and self._blocked:
            progress = False
            for stream in list(self._blocked.values()):
                if self._room() <= 0:
                    return
                if self.send_window <= 0 and stream._pending and len(stream._pending[0][0]):
                    # Seen from here, because a peer may open the window by an octet at a time for many streams.
                    continue
                if self._send_frames(stream, at_most=1):
                    progress = True
                    if stream.id in self._blocked:
                        # Its turn comes again after the others', also if the window ends here.
                        self._blocked.move_to_end(stream.id)

    def pump_stream(self, stream: Stream) -> None:
        """Send what the windows take of one stream."""
        while stream.id in self._blocked and (room := self._room()) > 0:
            if not self._send_frames(stream, room):
                return

    def _room(self) -> int:
        """Octets that may be added to the output; the last frame may go beyond."""
        return self.limits.max_send_buffer - self.output_size if self.writable else 0

    def _send_frames(self, stream: Stream, at_most: int) -> bool:
        """Send at most so many octets, rounded up to whole frames, of what waits first; False if the windows are closed."""
        pending = stream._pending
        if not pending:
            self._blocked.pop(stream.id, None)
            return False
        data, end_stream = pending[0]
        length, longest = len(data), self.peer_max_frame_size
        # Windows may be below zero (section 6.9.2); an empty frame needs none.
        size = max(0, min(length, stream.send_window, self.send_window))
        if not size and length:
            return False
        size = min(size, -(-at_most // longest) * longest)
        last = size == length
        output = self._output
        if not output:
            self.owner.output_ready()
        for start in range(0, size or 1, longest):
            end = min(start + longest, size)
            flags = END_STREAM if end_stream and end == length else 0
            output.append(FRAME_HEAD.pack(end - start << 8, flags, stream.id))
            output.append(data[start:end])
        stream.send_window -= size
        self.send_window -= size
        self.output_size += size
        if not last:
            pending[0] = (data[size:], end_stream)
            return True
        pending.popleft()
        if not pending:
            self._drained(stream, end_stream)
        return True

    def _drained(self, stream: Stream, end_stream: bool) -> None:
        self._blocked.pop(stream.id, None)
        trailers = stream._pending_trailers
        if trailers is not None:
            stream._pending_trailers = None
            self.send_headers(stream, *trailers, end_stream=True)
        elif end_stream:
            self._close_local(stream)
        stream.on_drained()

    def widen_send_window(self, increment: int) -> None:
        """The peer opened the connection's window (section 6.9)."""
        shut = self.send_window <= 0
        self.send_window += increment
        self.send_granted += increment
        if self.send_window > MAX_WINDOW:
            raise ProtocolViolation(ErrorCode.FLOW_CONTROL_ERROR, "the connection's window overflowed")
        if shut:
            # If it was open, what waits does so for another reason.
            self.pump()

    def _close_local(self, stream: Stream) -> None:
        stream.local_closed = True
        if stream.remote_closed:
            self._forget(stream)

    def _forget(self, stream: Stream) -> None:
        """Both halves are closed. The receiving half knows what to do."""
        raise NotImplementedError
