"""Our HTTP/2 engine beside hyper-h2: recorders of what both say happened, wires that cut, a relay that rewrites.

`EXAMPLES` scales the number of hypothesis examples: WIRELANE_EXAMPLES=100 makes the tests of a few seconds a long search.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import h2.config
import h2.connection
import h2.events
import h2.settings

from support.wire_support import CONTINUATION, END_HEADERS, HEADERS, PADDED, PRIORITY, SETTINGS, frame
from wirelane.core.framing import frame_message
from wirelane.core.limits import Limits
from wirelane.http2 import Connection, HeaderBlock, Stream

EXAMPLES = int(os.environ.get("WIRELANE_EXAMPLES", "1"))
PRIORITY_FLAG = 0x20

Pairs = list[tuple[bytes, bytes]]
REQUEST = ((b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a/b"), (b":authority", b"x"))
RESPONSE = ((b":status", b"200"),)


@dataclass
class Heard:
    """What one side heard of one stream.

    Attributes:
        reset: The code of the peer's RST_STREAM.
        refused: The code of this side's own, which it sent because the peer broke a rule.
        unprocessed: A GOAWAY said so.
    """

    heads: list[Pairs] = field(default_factory=list)
    body: bytes = b""
    ended: bool = False
    reset: int | None = None
    refused: int | None = None
    unprocessed: bool = False


class Ours(Stream):
    """A stream of ours that notes what its hooks are told, and gives windows back when the test says so."""

    __slots__ = ("drained", "heard", "unreturned")

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.heard = Heard()
        self.unreturned = 0
        self.drained = 0

    def on_headers(self, block: HeaderBlock, end_stream: bool) -> None:
        self.heard.heads.append(block.headers)
        self.heard.ended |= end_stream

    def on_data(self, data: bytes, end_stream: bool) -> None:
        self.heard.body += bytes(data)
        self.heard.ended |= end_stream
        self.unreturned += len(data)

    def row_limit(self) -> int:
        return self.connection.limits.max_receive_message

    def on_row(self, row: list[tuple[bool, bytes]]) -> None:
        for compressed, payload in row:
            self.on_data(frame_message(payload, compressed), False)

    def on_reset(self, code: int, *, by_peer: bool, reason: str = "") -> None:
        if by_peer:
            self.heard.reset = code
        else:
            self.heard.refused = code

    def on_drained(self) -> None:
        self.drained += 1

    def on_connection_ended(self, code: int, reason: str, *, unprocessed: bool) -> None:
        self.heard.unprocessed = unprocessed

    def give_back(self) -> None:
        """Give the window of all that was heard back."""
        octets, self.unreturned = self.unreturned, 0
        if octets:
            self.return_window(octets)


class Owner:
    """What an engine of ours calls back, noted.

    Attributes:
        streams: Every stream there ever was, by identifier.
        goaways: Codes of the peer's GOAWAYs.
        over: Code and reason of the engine's end.
        closed: Identifiers of streams that the engine no longer counts.
    """

    def __init__(self, *, client: bool, limits: Limits) -> None:
        self.streams: dict[int, Ours] = {}
        self.goaways: list[int] = []
        self.over: tuple[int, str] | None = None
        self.closed: list[int] = []
        self.engine = Connection(client=client, owner=self, limits=limits)
        self.engine.start()

    def output_ready(self) -> None: ...
    def settings_changed(self) -> None: ...
    def input_waits(self) -> None: ...

    def receive(self, octets: bytes) -> None:
        """Give the engine what arrived, and the turns that it asks for."""
        self.engine.receive(octets)
        while self.engine.waiting:
            self.engine.resume()

    def stream_closed(self, stream: Stream) -> None:
        self.closed.append(stream.id)

    def goaway_received(self, code: int, reason: str) -> None:
        self.goaways.append(code)

    def engine_ended(self, code: int, reason: str) -> None:
        assert self.over is None, "an engine ends once"
        self.over = (code, reason)

    def stream_requested(self, block: HeaderBlock) -> Stream:
        stream = Ours(self.engine)
        self.streams[self.engine.last_peer_stream] = stream
        return stream

    def open(self, stable: tuple[tuple[bytes, bytes], ...], variable: Pairs, *, end: bool = False) -> Ours:
        """Open a stream of the client."""
        stream = Ours(self.engine)
        self.engine.open(stream, stable, variable, end_stream=end)
        self.streams[stream.id] = stream
        return stream

    def output(self) -> bytes:
        """Take what is to be sent, as the owner of a socket does: until nothing more can be made."""
        said = b""
        while pieces := self.engine.take():
            said += b"".join(bytes(piece) for piece in pieces)
            if self.engine.blocked and self.engine.writable:
                self.engine.pump()
        return said


def hyper(*, client: bool) -> h2.connection.H2Connection:
    """A connection of hyper-h2 that has said its preface."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=client))
    if client:
        connection.local_settings = h2.settings.Settings(
            client=True, initial_values={h2.settings.SettingCodes.ENABLE_PUSH: 0}
        )
    connection.initiate_connection()
    return connection


HEADS = (h2.events.RequestReceived, h2.events.ResponseReceived, h2.events.TrailersReceived)


def note(event: h2.events.Event, heard: Heard) -> int:
    """Note an event of one of hyper-h2's streams; the octets of its window that it took."""
    if isinstance(event, HEADS):
        heard.heads.append([(bytes(name), bytes(value)) for name, value in event.headers or ()])
    elif isinstance(event, h2.events.DataReceived):
        heard.body += event.data or b""
        return event.flow_controlled_length or 0
    elif isinstance(event, h2.events.StreamEnded):
        heard.ended = True
    elif isinstance(event, h2.events.StreamReset):
        if event.remote_reset:
            heard.reset = int(event.error_code or 0)
        else:
            heard.refused = int(event.error_code or 0)
    return 0


def frames_of(octets: bytes) -> list[bytes]:
    """Whole frames, a connection preface kept with the first."""
    found, start, position = [], 0, 24 if octets.startswith(b"PRI ") else 0
    while position < len(octets):
        position += 9 + int.from_bytes(octets[position : position + 3], "big")
        found.append(octets[start:position])
        start = position
    return found


class Wire:
    """Octets under way in one direction, delivered in any pieces."""

    def __init__(self) -> None:
        # Whole frames, or the rest of one, and whether it is SETTINGS.
        self._frames: deque[tuple[bytes, bool]] = deque()

    def put(self, frames: Iterable[bytes]) -> None:
        self._frames.extend((one, not one.startswith(b"PRI ") and one[3] == SETTINGS) for one in frames)

    def __bool__(self) -> bool:
        return bool(self._frames)

    def take(self, octets: int) -> list[bytes]:
        """At most so many octets, as pieces that end with a SETTINGS frame where there is one.

        hyper-h2 applies a new MAX_FRAME_SIZE only to what it is given after the acknowledgement.
        """
        pieces, piece = [], b""
        while octets > 0 and self._frames:
            data, is_settings = self._frames.popleft()
            if len(data) > octets:
                self._frames.appendleft((data[octets:], is_settings))
                data, is_settings = data[:octets], False
            octets -= len(data)
            piece += data
            if is_settings:
                pieces.append(piece)
                piece = b""
        return [*pieces, piece] if piece else pieces


@dataclass(frozen=True)
class Recipe:
    """How a relay rewrites frames without changing what they say.

    Attributes:
        cuts: Where header blocks are cut for CONTINUATION.
        padding: Padding of HEADERS; None: no PADDED flag.
        priority: Give HEADERS the fields of a priority.
        noise: Frames that mean nothing, put after each that leaves no header block open.
    """

    cuts: tuple[int, ...] = ()
    padding: int | None = None
    priority: bool = False
    noise: bytes = b""

    def rewrite(self, octets: bytes) -> list[bytes]:
        """The frames of these octets, rewritten."""
        rewritten, in_block = [], False
        for one in frames_of(octets):
            if one.startswith(b"PRI "):
                rewritten.append(one)
                continue
            kind, flags, stream = one[3], one[4], int.from_bytes(one[5:9], "big")
            if kind == HEADERS and flags & END_HEADERS and not flags & (PADDED | PRIORITY_FLAG):
                rewritten += self._headers(flags, stream, one[9:])
            else:
                rewritten.append(one)
            if kind in (HEADERS, CONTINUATION):
                in_block = not flags & END_HEADERS
            if self.noise and not in_block:
                rewritten.append(self.noise)
        return rewritten

    def _headers(self, flags: int, stream: int, block: bytes) -> list[bytes]:
        edges = [0, *sorted(cut % (len(block) + 1) for cut in self.cuts), len(block)]
        pieces = [block[start:end] for start, end in pairwise(edges)]
        first = pieces[0]
        if self.priority:
            flags |= PRIORITY_FLAG
            first = (stream ^ 2 | 1 << 31).to_bytes(4, "big") + b"\x10" + first
        # hyperframe takes padding that leaves nothing of a fragment for too long; section 6.2 allows it.
        if self.padding is not None and first:
            flags |= PADDED
            first = bytes((self.padding,)) + first + bytes(self.padding)
        if len(first) > 16_384:
            return [frame(HEADERS, flags & ~(PADDED | PRIORITY_FLAG), stream, block)]
        if len(pieces) == 1:
            return [frame(HEADERS, flags, stream, first)]
        frames = [frame(HEADERS, flags & ~END_HEADERS, stream, first)]
        frames += [frame(CONTINUATION, 0, stream, piece) for piece in pieces[1:-1]]
        return [*frames, frame(CONTINUATION, END_HEADERS, stream, pieces[-1])]


def priority(stream: int, depends_on: int, weight: int) -> bytes:
    return frame(PRIORITY, 0, stream, depends_on.to_bytes(4, "big") + bytes((weight,)))
