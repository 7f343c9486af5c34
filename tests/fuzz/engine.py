"""Fuzz targets for the HTTP/2 engine: octets of a peer without manners, as the server and as the client hear them.

An input is one octet of options, one that says how the network cuts, and the octets themselves: as they are, or (see
`FRAMES`) as a short form in which every piece becomes a whole frame, so that a search gets past the frame's length.

The same octets go to two engines, whole to one and cut to the other: what both tell their streams, and what they answer,
must be the same. Their clocks stand still, for what a peer may do depends on time. Long frames are handed on as they come, and
windows given back as they are: with `RUNS`, where any frame is long, the two may differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from unittest import mock

import hpack

from wirelane.core.framing import frame_message
from wirelane.core.limits import Limits
from wirelane.http2 import Connection, HeaderBlock, Stream, connection, rows
from wirelane.http2.budget import Conduct
from wirelane.http2.flow import Flow
from wirelane.http2.frames import DEFAULT_WINDOW, PREFACE, frame, settings
from wirelane.http2.headers import BlockKind
from wirelane.transport.heads import check_response, parse_ending, parse_request

__all__ = ["GREETED", "client", "expand", "server", "shorten"]

# Options.
GREETED, FRAMES, ANSWER, STUCK, DRAIN, ABANDON, IDLE, RUNS = 1, 2, 4, 8, 16, 32, 64, 128
"""The peer's preface and SETTINGS went before; the short form; streams are answered; the socket takes nothing; a graceful
shutdown has begun; the owner gives up in the middle; nobody reads what streams receive; few octets make a long frame."""

LIMITS = Limits(
    max_header_list=1024,
    max_header_fields=16,
    max_concurrent_streams=4,
    initial_window=4096,
    max_window=16_384,
    connection_window=65_535,
    max_continuations=3,
    max_settings=8,
    max_unsent_replies=20,
    max_streams_per_turn=3,
    max_frames_per_turn=7,
    reset_burst=5,
    control_burst=100,
    max_send_buffer=65_536,
)
# What `Connection` keeps of header lists at the least, however small the limit.
_HARD_HEADER_LIST = 131_072
# Octets that an octet of the peer may make us send: a frame of 9 resets a stream, gives a window back, asks for a probe.
_AMPLIFICATION = 40
_ANSWER = 200
# Octets of a frame that are many, with `RUNS`.
_LONG = 20

_STATUS = ((b":status", b"200"), (b"content-type", b"application/grpc"))
_REQUEST = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/a/b"),
    (b":authority", b"x"),
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc"),
)
_OK = ((b"grpc-status", b"0"),)


class Taker(Stream):
    """A stream that takes everything, reads heads as gRPC does, and answers when it is asked to."""

    __slots__ = ("answers", "endings", "idle", "log", "quits")

    def __init__(self, owner: Owner) -> None:
        super().__init__(owner.engine)
        self.log = owner.log
        self.answers = owner.answers
        self.idle = owner.idle
        self.quits = owner.quits
        self.endings = 0

    def on_headers(self, block: HeaderBlock, end_stream: bool) -> None:
        assert block.error is None
        self.log.append((self.id, "headers", tuple(block.headers), end_stream))
        if self.connection.client:
            if not end_stream and block.status:
                check_response(block, LIMITS)
            elif end_stream:
                parse_ending(block, LIMITS)
        if end_stream:
            self._ended()

    def on_data(self, data: bytes, end_stream: bool) -> None:
        self.log.append((self.id, "data", data, end_stream))
        # Until it has acknowledged our SETTINGS the peer may send as the default allows (RFC 9113 section 6.9.3).
        assert not data or self.recv_window >= -self.connection.window_slack
        if self.quits:
            self.connection.end(0, "given up while it reads")
        if not self.idle:
            self.return_window(len(data))
        if end_stream:
            self._ended()

    def row_limit(self) -> int:
        return LIMITS.max_receive_message

    def on_row(self, row: list[tuple[bool, bytes]]) -> None:
        for compressed, payload in row:
            if not self.connection.ended:
                self.on_data(frame_message(payload, compressed), False)

    def _ended(self) -> None:
        if self.answers:
            self.connection.send_whole(self, _STATUS, b"answer", prefix=b"\0\0\0\0\6", trailers=_OK)

    def starved(self) -> bool:
        return self.answers

    def on_reset(self, code: int, *, by_peer: bool, reason: str = "") -> None:
        self.log.append((self.id, "reset", code, by_peer, reason))
        self._over()

    def on_connection_ended(self, code: int, reason: str, *, unprocessed: bool) -> None:
        self.log.append((self.id, "ended", code, reason, unprocessed))
        self._over()

    def _over(self) -> None:
        self.endings += 1
        assert self.endings == 1, "a stream ends once"
        assert self.local_closed
        assert self.remote_closed


class Owner:
    """What the engine calls back; it notes all of it and checks what must always hold."""

    def __init__(self, *, client: bool, options: int) -> None:
        self.log: list[object] = []
        self.answers = bool(options & ANSWER)
        self.idle = bool(options & IDLE)
        self.quits = False
        self.closed: set[int] = set()
        self.over = False
        self.waits = 0
        self.engine = engine = Connection(client=client, owner=self, limits=LIMITS)
        engine.flow = Flow(engine, lambda: 0.0)
        engine.conduct = Conduct(engine, lambda: 0.0)
        engine.writable = not options & STUCK
        engine.start()

    def output_ready(self) -> None: ...

    def settings_changed(self) -> None:
        assert not self.over
        self.log.append("settings")

    def input_waits(self) -> None:
        self.waits += 1

    def stream_requested(self, block: HeaderBlock) -> Stream | None:
        assert not self.over
        parsed = parse_request(block, LIMITS)
        return None if parsed.http_status else Taker(self)

    def stream_closed(self, stream: Stream) -> None:
        assert stream.id not in self.closed, "a stream is closed once"
        self.closed.add(stream.id)
        assert not stream.has_pending

    def goaway_received(self, code: int, reason: str) -> None:
        assert not self.over
        self.log.append(("goaway", code, reason))

    def engine_ended(self, code: int, reason: str) -> None:
        assert not self.over, "an engine ends once"
        self.over = True
        self.log.append(("over", code, reason))

    def bodies(self) -> dict[int, bytes]:
        """What came on each stream."""
        bodies: dict[int, bytes] = {}
        for one in self.log:
            match one:
                case (int(number), "data", bytes(data), _):
                    bodies[number] = bodies.get(number, b"") + data
        return bodies

    def receive(self, octets: bytes) -> None:
        self.engine.receive(octets)
        while self.engine.waiting:
            self.engine.resume()
            self.check()
        self.check()

    def check(self) -> None:
        """What is kept is bounded, and of an ended connection nothing is."""
        engine = self.engine
        assert self.over == engine.ended
        assert len(engine.streams) <= LIMITS.max_concurrent_streams
        assert len(engine._reset_ids) <= 1024
        assert len(engine._skipped) <= 16
        assert engine._open_block is None or sum(map(len, engine._open_block[2])) <= _HARD_HEADER_LIST
        assert engine.recv_window >= 0 or engine.ended
        assert engine.window_slack in (0, DEFAULT_WINDOW - LIMITS.initial_window)
        for stream in engine.streams.values():
            assert LIMITS.initial_window - DEFAULT_WINDOW <= stream.recv_window <= LIMITS.max_window
        assert 0 <= engine.flow.stock <= LIMITS.max_window
        assert engine.unsent_replies <= LIMITS.max_unsent_replies + 1
        table = engine._decoder._decoder
        assert table._size == sum(one[1] for one in table._table) <= 4096
        for kind in BlockKind:
            assert len(engine._decoder.memory(kind)) <= 512
        if not engine.waiting:
            assert engine.unread <= max(LIMITS.max_frame_size + 9, len(PREFACE))
        if engine.ended:
            assert not engine.streams
            assert not engine.unread
            assert not engine.blocked
            assert engine._open_block is None
            assert not engine.waiting


def _octets(options: int, rest: bytes, greeting: bytes) -> bytes:
    octets = expand(rest) if options & FRAMES else rest
    return (greeting if options & GREETED else b"") + octets


def expand(rest: bytes) -> bytes:
    """Make frames of the short form: kind, flags, stream, length, so many octets; 254 stand for 5,000, 255 for 16,390.

    The stream is an octet: 0 to 127 itself, above that an identifier near the highest, the reserved bit for the odd.
    """
    return b"".join(_frames(rest))


def _frames(rest: bytes) -> Iterator[bytes]:
    position = 0
    while position + 4 <= len(rest):
        kind, flags, stream, length = rest[position : position + 4]
        position += 4
        payload = rest[position : position + length]
        position += length
        if length >= 254:
            # More than a stream's window, more than a frame.
            payload = payload.ljust(5000 if length == 254 else 16_390, b"\0")
        if stream > 127:
            stream = 2**31 - 256 + stream if stream & 1 else 2**31 + stream - 128
        yield frame(kind, flags, stream, payload)


def shorten(octets: bytes) -> bytes:
    """Return whole frames in the short form; what does not fit into it is left out."""
    pieces, position = [], 0
    while position + 9 <= len(octets):
        length = int.from_bytes(octets[position : position + 3], "big")
        kind, flags = octets[position + 3 : position + 5]
        stream = int.from_bytes(octets[position + 5 : position + 9], "big")
        payload = octets[position + 9 : position + 9 + length]
        position += 9 + length
        if stream < 128 and len(payload) < 254:
            pieces.append(bytes((kind, flags, stream, len(payload))) + payload)
    return b"".join(pieces)


def _pieces(octets: bytes, stride: int) -> Iterator[bytes]:
    """Cut as a network does: pieces of 1 to 256 octets, longer by seven each time."""
    position, size = 0, stride + 1
    while position < len(octets):
        yield octets[position : position + size]
        position += size
        size += 7


def _run(data: bytes, *, client: bool) -> None:
    long = _LONG if data and data[0] & RUNS else rows.LONG
    with mock.patch.object(rows, "LONG", long), mock.patch.object(connection, "LONG", long):
        _run_both(data, client=client)


def _run_both(data: bytes, *, client: bool) -> None:
    options, stride = (data[0], data[1]) if len(data) > 1 else (0, 0)
    greeting = settings({}) if client else PREFACE + settings({})
    octets = _octets(options, data[2:], greeting)
    # What the owner does beside reading, it does before all or in the middle of what is cut.
    cut, whole = Owner(client=client, options=options), Owner(client=client, options=options)
    for owner in (cut, whole):
        if client:
            _open(owner)
        if options & DRAIN:
            owner.engine.drain("over")
    for piece in _pieces(octets, stride):
        cut.receive(piece)
    whole.receive(octets)
    said = [b"".join(bytes(piece) for piece in owner.engine.take()) for owner in (cut, whole)]
    if options & RUNS:
        _check_bodies(cut, whole)
    else:
        assert cut.log == whole.log
        assert said[0] == said[1]
    _check_output(said[0], octets, cut, client=client)
    for owner in (cut, whole):
        owner.engine.writable = True
        owner.engine.pump()
        owner.engine.end(0, "over")
        _check_end(owner)
    if options & ABANDON:
        _abandon(octets, stride, options, client=client)


def _abandon(octets: bytes, stride: int, options: int, *, client: bool) -> None:
    """The owner ends the connection while input waits for its turn, and the network still brings some."""
    owner = Owner(client=client, options=options)
    if client:
        _open(owner)
    half = len(octets) // 2 + stride
    owner.engine.receive(octets[:half])
    owner.engine.end(0, "given up")
    owner.engine.receive(octets[half:])
    _check_end(owner)
    # And again, while it is told of the first DATA.
    owner = Owner(client=client, options=options)
    owner.quits = True
    if client:
        _open(owner)
    owner.receive(octets)
    owner.engine.end(0, "given up")
    _check_end(owner)


def _check_bodies(cut: Owner, whole: Owner) -> None:
    """Of each stream both heard the same, as far as both heard of it; and all, if nothing was refused."""
    one, other = cut.bodies(), whole.bodies()
    if not any(
        entry[0] == "over" or entry[1] == "reset" for entry in cut.log + whole.log if isinstance(entry, tuple)
    ):
        assert one == other
    for number in one.keys() & other.keys():
        shorter, longer = sorted((one[number], other[number]), key=len)
        assert longer.startswith(shorter)


def _check_end(owner: Owner) -> None:
    engine = owner.engine
    engine.receive(b"more")
    owner.check()
    assert engine.ended
    engine.take()
    engine.pump()
    assert not engine.take(), "nothing is said after the end"


def _check_output(said: bytes, octets: bytes, owner: Owner, *, client: bool) -> None:
    """What we answer is HTTP/2, and no more than what was asked is worth."""
    sent = 400_000 if client else _ANSWER * len(owner.closed)
    assert len(said) <= 300 + sent + _AMPLIFICATION * len(octets)
    position = len(PREFACE) if client else 0
    decoder = hpack.Decoder()
    decoder.max_allowed_table_size = 4096
    while position < len(said):
        length, kind = int.from_bytes(said[position : position + 3], "big"), said[position + 3]
        assert kind <= 9
        end = position + 9 + length
        assert end <= len(said)
        if kind == 1:
            decoder.decode(said[position + 9 : end], raw=True)
        position = end


def _open(owner: Owner) -> None:
    """Open four streams: one that is asked, one that waits for its window, with trailers or without, one that is silent."""
    engine = owner.engine
    streams = [Taker(owner) for _ in range(4)]
    for index, stream in enumerate(streams):
        engine.open(stream, _REQUEST, [(b"n", b"%d" % index)], end_stream=index == 0)
    engine.send(streams[1], bytes(40_000), prefix=b"\0\0\0\x9c\x40", end_stream=True)
    engine.send(streams[2], bytes(70_000), prefix=b"\0\0\1\x11\x70")
    engine.send_headers(streams[2], _OK, end_stream=True)


def server(data: bytes) -> None:
    """Octets that a client may send."""
    _run(data, client=False)


def client(data: bytes) -> None:
    """Octets that a server may send, to a client with four calls."""
    _run(data, client=True)
