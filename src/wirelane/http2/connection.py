"""The HTTP/2 engine: bytes in, calls of stream hooks; method calls in, bytes out (RFC 9113). Sans-I/O.

Contract with the owner (the asyncio binding):

- `receive` is given what arrived, in any cut; it never raises. Rule breaks of the peer become RST_STREAM or GOAWAY
  and are told to the streams through their hooks, and to the owner through `engine_ended`.
- What is to be sent gathers in a list; the first piece calls `owner.output_ready`, and the owner calls `take` and
  writes it, once per turn of its loop. `writable = False` holds DATA back while the owner's buffer is full.
- Hooks run inside `receive`; they may send and reset, and must not raise.
- `receive` does a bounded amount of work. What is left over waits until `resume`, which `owner.input_waits` asks for,
  and what arrives meanwhile waits behind it.

The loop in `receive` is long on purpose: frames are read in place by index, with no object made per frame.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from itertools import repeat
from typing import TYPE_CHECKING

from hpack import HPACKError

from wirelane.http2.budget import Conduct
from wirelane.http2.control import finish_drain, read_control, start_drain
from wirelane.http2.flow import Flow
from wirelane.http2.frames import (
    CONTINUATION,
    DATA,
    DEFAULT_WINDOW,
    END_HEADERS,
    END_STREAM,
    FRAME_HEAD,
    HEADERS,
    MAX_STREAM_ID,
    PADDED,
    PREFACE,
    PRIORITY_FLAG,
    SETTINGS,
    ErrorCode,
    ProtocolViolation,
    Setting,
    goaway,
    rst_stream,
    settings,
    window_update,
)
from wirelane.http2.headers import (
    BlockKind,
    HeaderBlock,
    HeaderDecoder,
    OversizedBlock,
)
from wirelane.http2.output import Output, Owner, Stable
from wirelane.http2.rows import LONG, read_row, read_run

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from wirelane.core.limits import Limits
    from wirelane.http2.stream import Stream

__all__ = ["Connection", "Owner"]

# Streams we reset that are known one by one, to let their late frames pass (section 5.1, "closed").
_RESETS_REMEMBERED = 1024
# Flags that a HEADERS frame of the most common form has or has not.
_NOT_SIMPLE = END_HEADERS | PADDED | PRIORITY_FLAG
_EXPECTED = {SETTINGS: "the first frame was not SETTINGS", CONTINUATION: "a header block was not continued"}
# Octets of a header block that count as much as one more in the work of a turn.
_OCTETS_PER_STREAM = 256
# The same for its fields: an octet may be one.
_FIELDS_PER_STREAM = 16
# Gaps in a client's stream identifiers that are known; no client we know of leaves any.
_GAPS_REMEMBERED = 16


class Connection(Output):
    """One end of one connection.

    Attributes:
        streams: Streams that are not closed, by identifier.
        peer_max_streams: What the peer lets us open at once; None before its SETTINGS or without a limit.
        peer_max_header_list: The header list size that the peer accepts (advisory), or None.
        ended: No more input is read and no more frames are made.
        goaway: A GOAWAY was received or sent: no stream may be opened.
        goaway_sent: A GOAWAY was sent.
        recv_window: Octets of DATA that we let the peer send on the whole connection.
        initial_window: What the window of a stream is when it opens; never below `least_window`.
        low_window: What `recv_window` falls to before `flow` looks again.
        settings_received: The peer's first SETTINGS have arrived.
        conduct: What the peer did that costs work and moves nothing.
        waiting: Input waits for `resume`.
        unfinished: The stream of a long DATA frame that is not whole yet, and how many octets are still to come.
        goaway_final: The last GOAWAY of a graceful shutdown, which names the last stream that was taken, was sent.
        ping_policy: Asked for each PING of the peer; False ends the connection. None: every PING is welcome.
        drain_reason: The debug data of the GOAWAYs of a drain.
    """

    def __init__(self, *, client: bool, owner: Owner, limits: Limits) -> None:
        super().__init__(owner, limits)
        self.client = client
        self.streams: dict[int, Stream] = {}
        self.goaway = False
        self.goaway_sent = False
        self.waiting = False
        self.goaway_final = False
        self.ping_policy: Callable[[], bool] | None = None
        self.drain_reason = b""
        self.settings_received = False
        self.peer_max_streams: int | None = None
        self.peer_max_header_list: int | None = None
        self.peer_initial_window = DEFAULT_WINDOW
        self.initial_window = self.least_window = limits.initial_window
        # A peer that has not read our SETTINGS yet may send as much as the default allows (section 6.9.3).
        self.window_slack = max(0, DEFAULT_WINDOW - limits.initial_window)
        self.recv_window = self.low_window = limits.connection_window
        self.next_stream_id = 1 if client else 2
        self.last_peer_stream = 0
        self.accepted_up_to = MAX_STREAM_ID
        self.flow = Flow(self)
        self.max_frame_size = self.flow.frame_size
        self._hard_header_list = max(8 * limits.max_header_list, 131_072)
        self._decoder = HeaderDecoder(self._hard_header_list)
        self._head_kind = BlockKind.RESPONSE if client else BlockKind.REQUEST
        self._heads = self._decoder.memory(self._head_kind)
        self._tails = self._decoder.memory(BlockKind.TRAILERS)
        self._reset_ids: OrderedDict[int, None] = OrderedDict()
        self._last_forgotten = 0
        # Identifiers that the client went over, which closed them unused (section 5.1.1); the latest gaps.
        self._skipped: deque[range] = deque(maxlen=_GAPS_REMEMBERED)
        # An incomplete frame: its pieces, their size, and the size from which parsing goes on.
        self._kept: list[bytes] = []
        self._kept_size = 0
        self._needed = 0
        self.unfinished: tuple[Stream, int] | None = None
        self._preface = client
        # The only type that the next frame may have: SETTINGS at first, CONTINUATION inside a block; -1 for any.
        self._expects = SETTINGS
        # A header block that CONTINUATION must complete: (stream, END_STREAM, pieces, their size).
        self._open_block: tuple[int, bool, list[bytes], int] | None = None
        # Header blocks that may still be read in this turn, long ones counting as several.
        self._work = 0
        self.conduct = Conduct(self)

    def start(self) -> None:
        """Send the preface (section 3.4): our SETTINGS, and the connection's window."""
        limits = self.limits
        values: dict[int, int] = {
            Setting.INITIAL_WINDOW_SIZE: limits.initial_window,
            Setting.MAX_FRAME_SIZE: self.max_frame_size,
            Setting.MAX_HEADER_LIST_SIZE: limits.max_header_list,
        }
        if self.client:
            values[Setting.ENABLE_PUSH] = 0
            self.write(PREFACE)
        else:
            values[Setting.MAX_CONCURRENT_STREAMS] = limits.max_concurrent_streams
        self.write(settings(values))
        if limits.connection_window > DEFAULT_WINDOW:
            self.write(window_update(0, limits.connection_window - DEFAULT_WINDOW))

    @property
    def last_taken(self) -> int:
        """The last stream of the peer that was taken; what a GOAWAY names never grows (section 6.8)."""
        return min(self.last_peer_stream, self.accepted_up_to)

    # Input

    def receive(self, data: bytes) -> None:
        """Read what arrived. Never raises; after the end it does nothing."""
        if self.waiting:
            self._kept.append(data)
            self._kept_size += len(data)
            return
        if self.ended:
            return
        try:
            self._read(data)
        except ProtocolViolation as violation:
            self.fail(violation.code, violation.reason)
        except OversizedBlock:
            self.fail(ErrorCode.ENHANCE_YOUR_CALM, "a header list far above the limit")
        except HPACKError as error:
            self.fail(ErrorCode.COMPRESSION_ERROR, f"a header block that is not HPACK: {error}")

    def resume(self) -> None:
        """Read on, in a later turn of the owner's loop than the `receive` that left something over."""
        if self.waiting:
            self.waiting = False
            self.receive(b"")

    @property
    def unread(self) -> int:
        """Octets that wait to be read."""
        return self._kept_size if self._kept else 0

    def _read(self, data: bytes) -> None:  # noqa: C901, PLR0912, PLR0915 - the frame loop, long on purpose
        if self._kept:
            self._kept.append(data)
            self._kept_size += len(data)
            if self._kept_size < self._needed and self._preface:
                return
            data = b"".join(self._kept)
            self._kept.clear()
        position, size = 0, len(data)
        if not self._preface:
            if data[: len(PREFACE)] != PREFACE[:size]:
                raise ProtocolViolation(ErrorCode.PROTOCOL_ERROR, "no HTTP/2 connection preface")
            if size < len(PREFACE):
                self._keep(data, len(PREFACE))
                return
            self._preface = True
            position = len(PREFACE)
        unpack = FRAME_HEAD.unpack_from
        max_frame_size = self.max_frame_size
        streams = self.streams
        self._work = self.limits.max_streams_per_turn
        last = 0  # the stream of the last DATA frame that was read in the short way
        frames = repeat(True, self.limits.max_frames_per_turn)
        if self.unfinished is not None:
            position = read_run(self, self.unfinished[0], data, 0, self.unfinished[1], frames)
            if self.ended:
                return
        for _ in frames:
            start = position + 9
            if start > size:
                if position < size and not self.ended:
                    self._keep(data[position:], 9)
                return
            length, flags, stream_id = unpack(data, position)
            kind = length & 0xFF
            length >>= 8
            if length >= LONG:  # all that may be too long are
                if length > max_frame_size:
                    raise ProtocolViolation(ErrorCode.FRAME_SIZE_ERROR, f"a frame of {length} octets")
                if kind == DATA and not flags and self._expects < 0:
                    stream = streams.get(stream_id)
                    if (
                        stream is not None
                        and stream._takes_data
                        and length <= min(stream.recv_window, self.recv_window)
                    ):
                        position = read_run(self, stream, data, start, length, frames)
                        if self.ended:
                            break
                        continue
            end = start + length
            if end > size:
                self._keep(data[position:], 9 + length)
                return
            position = end
            if self._expects >= 0 and kind != self._expects:
                raise ProtocolViolation(ErrorCode.PROTOCOL_ERROR, _EXPECTED[self._expects])
            if kind == DATA:
                stream = streams.get(stream_id)
                if (
                    stream is not None
                    and flags <= END_STREAM
                    and length
                    and stream._takes_data
                    and stream.recv_window >= length
                ):
                    if (
                        stream_id == last
                        and length < LONG
                        and (after := read_row(self, stream, data, start - 9, frames)) >= end
                    ):
                        position = after
                    else:
                        # As `_data`, for what most frames are: no padding, no content-length, within the window.
                        last = stream_id
                        self.recv_window -= length
                        if self.recv_window <= self.low_window:
                            self.flow.look()
                        stream.recv_window -= length
                        if not flags:
                            stream.on_data(data[start:end], False)
                        else:
                            stream.remote_closed = True
                            stream._takes_data = False
                            stream.on_data(data[start:end], True)
                            if stream.local_closed:
                                self._forget(stream)
                else:
                    self._data(data, start, end, flags, stream_id & MAX_STREAM_ID)
            elif kind == HEADERS:
                if flags & _NOT_SIMPLE == END_HEADERS and 0 < stream_id <= MAX_STREAM_ID:
                    self._header_block(data[start:end], stream_id, flags & END_STREAM)
                else:
                    self._headers(data[start:end], flags, stream_id & MAX_STREAM_ID)
            elif kind == CONTINUATION:
                self._continuation(data[start:end], flags, stream_id & MAX_STREAM_ID)
            else:
                read_control(self, kind, flags, stream_id & MAX_STREAM_ID, data[start:end])
                max_frame_size = self.max_frame_size  # which an answer to our PING may have raised
            if self.ended or self._work <= 0:
                break
        if position < size and not self.ended:
            self._keep(data[position:], 1)
            self.waiting = True
            self.owner.input_waits()

    def _keep(self, data: bytes, needed: int) -> None:
        """Keep an incomplete frame, or what the turn has no time for, until `needed` octets are there."""
        self._kept.append(data)
        self._kept_size = len(data)
        self._needed = needed

    def _data(self, data: bytes, start: int, end: int, flags: int, stream_id: int) -> None:
        """Section 6.1. The whole frame counts against both windows, padding included."""
        size = end - start
        if stream_id == 0:
            raise ProtocolViolation(ErrorCode.PROTOCOL_ERROR, "DATA on stream 0")
        self.recv_window -= size
        if self.recv_window <= self.low_window:
            self.flow.look()
        padding = 0
        if flags & PADDED:
            if not size or data[start] >= size:
                raise ProtocolViolation(ErrorCode.PROTOCOL_ERROR, "padding as long as its frame")
            padding = data[start] + 1
            end -= padding - 1
            start += 1
        if start == end and not flags & END_STREAM:
            self.conduct.control_frame()
        stream = self.streams.get(stream_id)
        if stream is None or stream.remote_closed:
            self._late_frame(stream, stream_id, "DATA")
            return
        if not stream._head_seen:
            self.reset(stream, ErrorCode.PROTOCOL_ERROR, "DATA before HEADERS")
            return
        stream.recv_window -= size
        # What is empty needs no window, even below zero (section 6.9.1).
        if size and stream.recv_window < -self.window_slack:
            self.reset(stream, ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the stream's window allows")
            return
        if padding:
            stream.return_window(padding)
        end_stream = bool(flags & END_STREAM)
        if stream._expected is not None:
            stream._expected -= end - start
            if stream._expected < 0 or (end_stream and stream._expected):
                self.reset(stream, ErrorCode.PROTOCOL_ERROR, "DATA that does not match content-length")
                return
        if end_stream:
            stream.remote_closed = True
            stream._takes_data = False
        stream.on_data(data[start:end], end_stream)
        if end_stream and stream.local_closed:
            self._forget(stream)

    def _headers(self, payload: bytes, flags: int, stream_id: int) -> None:
        """Section 6.2. Priority is read over (section 5.3.2), except that a stream may not depend on itself."""
        if stream_id == 0:
            raise ProtocolViolation(ErrorCode.PROTOCOL_ERROR, "HEADERS on stream 0")
        start, end = 0, len(payload)
        if flags & PADDED:
            if not payload or payload[0] >= end:
                raise ProtocolViolation(ErrorCode.PROTOCOL_ERROR, "padding as long as its frame")
            start, end = 1, end - payload[0]
        if flags & PRIORITY_FLAG:
            if end - start < 5:
                raise ProtocolViolation(
                    ErrorCode.FRAME_SIZE_ERROR, "HEADERS too short for its priority fields"
                )
            if int.from_bytes(payload[start : start + 4], "big") & MAX_STREAM_ID == stream_id:
                raise ProtocolViolation(ErrorCode.PROTOCOL_ERROR, "a stream that depends on itself")
            start += 5
        block = payload[start:end] if start or end != len(payload) else payload
        if flags & END_HEADERS:
            self._header_block(block, stream_id, flags & END_STREAM)
        else:
            self._expects = CONTINUATION
            self._open_block = (stream_id, bool(flags & END_STREAM), [block], len(block))

    def _continuation(self, payload: bytes, flags: int, stream_id: int) -> None:
        """Section 6.10."""
        if self._open_block is None or self._open_block[0] != stream_id:
            raise ProtocolViolation(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without a header block")
        _, end_stream, pieces, size = self._open_block
        size += len(payload)
        if len(pieces) > self.limits.max_continuations or size > self._hard_header_list:
            raise ProtocolViolation(ErrorCode.ENHANCE_YOUR_CALM, "a header block far above the limit")
        pieces.append(payload)
        if flags & END_HEADERS:
            self._open_block = None
            self._expects = -1
            self._header_block(b"".join(pieces), stream_id, end_stream)
        else:
            self._open_block = (stream_id, end_stream, pieces, size)

    def _header_block(self, data: bytes, stream_id: int, end_stream: int) -> None:
        stream = self.streams.get(stream_id)
        self._work -= 1
        # Decoded even if the stream is gone: the compression state is the connection's (section 4.3).
        if stream is not None and stream._head_seen:
            block = self._tails.get(data) or self._new_block(data, BlockKind.TRAILERS)
        else:
            block = self._heads.get(data) or self._new_block(data, self._head_kind)
        if len(block.headers) > self.limits.max_header_fields:
            self.conduct.long_list(len(block.headers))
        if stream is None:
            if self.client or stream_id <= self.last_peer_stream or not stream_id & 1:
                self.conduct.control_frame()
                self._late_frame(None, stream_id, "HEADERS")
            else:
                self._request(block, stream_id, end_stream)
        elif stream.remote_closed:
            self._late_frame(stream, stream_id, "HEADERS")
        elif block.error:
            self.reset(stream, ErrorCode.PROTOCOL_ERROR, block.error)
        elif stream._head_seen and not end_stream:
            self.reset(stream, ErrorCode.PROTOCOL_ERROR, "trailers that do not end the stream")
        elif 100 <= block.status < 200:
            # Interim responses are skipped (section 8.1); none may end the stream.
            if end_stream:
                self.reset(stream, ErrorCode.PROTOCOL_ERROR, "an interim response that ends the stream")
        elif end_stream and not stream._expected and stream._head_seen:
            stream.remote_closed = True
            stream._takes_data = False
            stream.on_headers(block, True)
            if stream.local_closed:
                self._forget(stream)
        else:
            self._deliver_headers(stream, block, end_stream)

    def _new_block(self, data: bytes, kind: BlockKind) -> HeaderBlock:
        block = self._decoder.decode(data, kind)
        self._work -= len(data) // _OCTETS_PER_STREAM + len(block.headers) // _FIELDS_PER_STREAM
        return block

    def _deliver_headers(self, stream: Stream, block: HeaderBlock, end_stream: int) -> None:
        if not stream._head_seen:
            stream._head_seen = True
            stream._expected = block.content_length
            stream._takes_data = block.content_length is None
        if not end_stream:
            stream.on_headers(block, False)
            return
        if stream._expected:
            self.reset(stream, ErrorCode.PROTOCOL_ERROR, "less DATA than content-length")
            return
        stream.remote_closed = True
        stream._takes_data = False
        stream.on_headers(block, True)
        if stream.local_closed:
            self._forget(stream)

    def _request(self, block: HeaderBlock, stream_id: int, end_stream: int) -> None:
        """A client opens a stream (section 5.1.1)."""
        if stream_id > self.last_peer_stream + 2:
            gap = range(self.last_peer_stream + 1 | 1, stream_id, 2)
            self._skipped.append(gap)
            self.conduct.skipped += len(gap)
        self.last_peer_stream = stream_id
        if stream_id > self.accepted_up_to:
            # Above the last stream of our GOAWAY: the client knows that it was not processed (section 6.8).
            self._remember_reset(stream_id)
            return
        if block.error:
            self._refuse(stream_id, ErrorCode.PROTOCOL_ERROR, "streams_broken")
            return
        stream = None
        if len(self.streams) < self.limits.max_concurrent_streams:
            stream = self.owner.stream_requested(block)
        if stream is None:
            self._refuse(stream_id, ErrorCode.REFUSED_STREAM, "streams_refused")
            return
        stream.id = stream_id
        self.streams[stream_id] = stream
        self._deliver_headers(stream, block, end_stream)

    def _refuse(self, stream_id: int, code: ErrorCode, kind: str) -> None:
        self.write(rst_stream(stream_id, code))
        self._remember_reset(stream_id)
        self.conduct.stream_refused(kind)

    def _late_frame(self, stream: Stream | None, stream_id: int, what: str) -> None:
        """A frame on a stream that the peer has closed, or that never was (section 5.1)."""
        if stream is not None:
            self.reset(stream, ErrorCode.STREAM_CLOSED, f"{what} after the end of the stream")
        elif stream_id in self._reset_ids or stream_id <= self._last_forgotten:
            return
        elif self.is_idle(stream_id):
            raise ProtocolViolation(ErrorCode.PROTOCOL_ERROR, f"{what} on an idle stream")
        elif any(stream_id in gap for gap in self._skipped):
            raise ProtocolViolation(ErrorCode.PROTOCOL_ERROR, f"{what} on a stream that the client went over")
        else:
            raise ProtocolViolation(ErrorCode.STREAM_CLOSED, f"{what} on a closed stream")

    def is_idle(self, stream_id: int) -> bool:
        """Whether the stream was never opened by the side that may open it."""
        if bool(stream_id & 1) == self.client:
            return stream_id >= self.next_stream_id
        return stream_id > self.last_peer_stream

    # Opening and closing streams

    def open(
        self,
        stream: Stream,
        stable: Stable,
        variable: Sequence[tuple[bytes, bytes]] | None = None,
        *,
        key: Hashable = None,
        end_stream: bool = False,
    ) -> None:
        """Open a stream with its request head, as `send_headers`. The caller keeps to `peer_max_streams`."""
        stream.id = self.next_stream_id
        self.next_stream_id += 2
        self.streams[stream.id] = stream
        if stream.window != self.least_window:
            self.flow.enter(stream)
        self.send_headers(stream, stable, variable, key=key, end_stream=end_stream)

    def reset(self, stream: Stream, code: ErrorCode, reason: str = "", *, tell: bool = True) -> None:
        """Reset a stream (section 6.4). Nothing happens if it is closed.

        With `tell`, which is the engine's own, because the peer broke a rule: its `on_reset` is called, and it counts.
        """
        if stream.local_closed and stream.remote_closed:
            return
        if stream.id and not self.ended:
            self.write(rst_stream(stream.id, code))
            self._remember_reset(stream.id)
        self.close_stream(stream)
        if tell:
            stream.on_reset(code, by_peer=False, reason=reason)
            self.conduct.stream_refused("streams_broken")

    def close_stream(self, stream: Stream) -> None:
        """Close both halves and drop what waits."""
        stream.local_closed = stream.remote_closed = True
        stream._takes_data = False
        stream._pending = None
        stream._pending_trailers = None
        self._blocked.pop(stream.id, None)
        self._forget(stream)

    def _forget(self, stream: Stream) -> None:
        if stream.window != self.least_window or self.flow.loans:
            self.flow.leave(stream)
        if self.streams.pop(stream.id, None) is not None:
            self.owner.stream_closed(stream)

    def _remember_reset(self, stream_id: int) -> None:
        self._reset_ids[stream_id] = None
        if len(self._reset_ids) > _RESETS_REMEMBERED:
            # Which of the streams up to here were reset is known no more: late frames pass on all of them.
            forgotten, _ = self._reset_ids.popitem(last=False)
            self._last_forgotten = max(self._last_forgotten, forgotten)

    # The end

    def drain(self, reason: str = "") -> None:
        """Begin a graceful shutdown: open streams go on, no new one is taken (section 6.8)."""
        start_drain(self, reason)

    def finish_drain(self) -> None:
        """Take no more streams, although the peer may not know of the shutdown yet."""
        finish_drain(self)

    def say_goaway(self, code: ErrorCode) -> None:
        """Tell the peer that the connection is about to be closed."""
        self.goaway = self.goaway_sent = True
        self.write(goaway(self.last_taken, code))

    def fail(self, code: ErrorCode, reason: str) -> None:
        """End the connection because the peer broke a rule: GOAWAY, then `engine_ended` (section 5.4.1)."""
        if self.ended:
            return
        self.conduct.refusals["connections"] += 1
        self.write(goaway(self.last_taken, code, reason.encode()[:256]))
        self.end(code, f"the peer broke HTTP/2: {reason}")

    def end(self, code: int, reason: str) -> None:
        """End everything without a word to the peer; for a lost connection too."""
        if self.ended:
            return
        self.ended = True
        self.goaway = True
        streams = list(self.streams.values())
        self.streams.clear()
        self._blocked.clear()
        # Of what came and was not read, too, nothing is kept, nor of what still comes.
        self.waiting = False
        self._kept.clear()
        self.unfinished = self._open_block = None
        for stream in streams:
            stream.local_closed = stream.remote_closed = True
            stream._takes_data = False
            stream._pending = None
            stream._pending_trailers = None
            stream.on_connection_ended(code, reason, unprocessed=False)
            self.owner.stream_closed(stream)
        self.owner.engine_ended(code, reason)
