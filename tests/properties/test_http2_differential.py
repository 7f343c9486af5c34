"""Our engine and hyper-h2 understand each other, in both roles, however the network cuts what they say.

Both sides do what a plan says: open streams, send data within what flow control takes, end or reset streams, change
windows, ping. In the end each must have heard exactly what the other said, and both must agree on every window.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import h2.config
import h2.connection
import h2.events
import h2.settings
from hypothesis import given, settings
from hypothesis import strategies as st

from wirelane.core.limits import Limits
from wirelane.http2 import Connection, ErrorCode, HeaderBlock, Stream

REQUEST = ((b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a/b"), (b":authority", b"x"))
RESPONSE = ((b":status", b"200"), (b"server", b"x"))
LIMITS = Limits(initial_window=70_000, connection_window=100_000)


@dataclass
class Heard:
    """What one side heard of one stream."""

    heads: list[list[tuple[bytes, bytes]]] = field(default_factory=list)
    body: bytes = b""
    ended: bool = False
    reset: int | None = None


class Ours(Stream):
    __slots__ = ("heard",)

    def __init__(self, connection: Connection, heard: dict[int, Heard]) -> None:
        super().__init__(connection)
        self.heard = heard

    def _note(self) -> Heard:
        return self.heard.setdefault(self.id, Heard())

    def on_headers(self, block: HeaderBlock, end_stream: bool) -> None:
        self._note().heads.append(block.headers)
        self._note().ended |= end_stream

    def on_data(self, data: bytes, end_stream: bool) -> None:
        self._note().body += data
        self._note().ended |= end_stream
        self.return_window(len(data))

    def on_reset(self, code: int, *, by_peer: bool, reason: str = "") -> None:
        assert by_peer, reason
        self._note().reset = code


class Pair:
    """Our engine and one of h2, and the octets between them."""

    def __init__(self, *, client: bool) -> None:
        self.client = client
        self.ours_heard: dict[int, Heard] = {}
        self.theirs_heard: dict[int, Heard] = {}
        self.failures: list[str] = []
        self.streams: dict[int, Stream] = {}
        self.engine = Connection(client=client, owner=self, limits=LIMITS)
        self.engine.start()
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=not client))
        self.h2.initiate_connection()

    def output_ready(self) -> None: ...
    def stream_closed(self, stream: Stream) -> None: ...
    def settings_changed(self) -> None: ...
    def input_waits(self) -> None: ...
    def goaway_received(self, code: int, reason: str) -> None:
        self.failures.append(f"goaway {code} {reason}")

    def engine_ended(self, code: int, reason: str) -> None:
        self.failures.append(f"ended {code} {reason}")

    def stream_requested(self, block: HeaderBlock) -> Stream:
        stream = Ours(self.engine, self.ours_heard)
        self.streams[self.engine.last_peer_stream] = stream
        return stream

    def exchange(self, cuts: list[int]) -> None:
        """Carry octets both ways, in pieces, until nobody has anything to say."""
        for _ in range(1000):
            said = b"".join(self.engine.take())
            for piece in cut(said, cuts):
                self._theirs(self.h2.receive_data(piece))
            replied = self.h2.data_to_send() or b""
            for piece in cut(replied, cuts):
                self.engine.receive(piece)
            if not said and not replied:
                return
        raise AssertionError("they never come to rest")

    def _theirs(self, events: list[h2.events.Event]) -> None:
        for event in events:
            number = getattr(event, "stream_id", None)
            if not number:
                continue
            heard = self.theirs_heard.setdefault(number, Heard())
            if isinstance(
                event, (h2.events.RequestReceived, h2.events.ResponseReceived, h2.events.TrailersReceived)
            ):
                heard.heads.append([(bytes(name), bytes(value)) for name, value in event.headers or ()])
            elif isinstance(event, h2.events.DataReceived):
                heard.body += event.data or b""
                self.h2.acknowledge_received_data(event.flow_controlled_length or 0, number)
            elif isinstance(event, h2.events.StreamEnded):
                heard.ended = True
            elif isinstance(event, h2.events.StreamReset):
                heard.reset = int(event.error_code or 0)


def cut(octets: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted({one % len(octets) for one in cuts} - {0}), len(octets)] if octets else []
    return [octets[start:end] for start, end in pairwise(edges)]


def theirs_send(pair: Pair, number: int, data: bytes, padding: int | None) -> bytes:
    """Let h2 send as much as it may; what it sent."""
    room = min(pair.h2.local_flow_control_window(number), pair.h2.max_outbound_frame_size)
    spare = 0 if padding is None else padding + 1
    piece = data[: max(0, room - spare)]
    if spare > room or (data and not piece):
        return b""
    pair.h2.send_data(number, piece, pad_length=padding)
    return piece


# Not 0: h2 takes an empty frame for too much when a window is below zero.
SIZES = st.one_of(st.integers(1, 40), st.integers(16_000, 17_000), st.integers(60_000, 150_000))
# Not MAX_FRAME_SIZE: h2 applies it only to what arrives after the acknowledgement has been read by itself.
SETTINGS = {
    "window": h2.settings.SettingCodes.INITIAL_WINDOW_SIZE,
    "table": h2.settings.SettingCodes.HEADER_TABLE_SIZE,
}


def action(name: str, *numbers: st.SearchStrategy[int]) -> st.SearchStrategy[tuple[str, list[int]]]:
    return st.tuples(st.just(name), st.tuples(*numbers).map(list))


STREAM, PADDING = st.integers(0, 7), st.integers(0, 255)
ACTION = st.one_of(
    action("open"),
    action("ours", STREAM, SIZES),
    action("theirs", STREAM, SIZES),
    action("theirs", STREAM, SIZES, PADDING),
    action("window", st.sampled_from([0, 5000, 65_535, 100_000])),
    action("ping"),
    action("table", st.sampled_from([0, 100, 4096, 65_536])),
    action("exchange"),
)


class Dialogue:
    """What both sides say in turn, and what each has said."""

    def __init__(self, pair: Pair, cuts: list[int]) -> None:
        self.pair = pair
        self.cuts = cuts
        self.opened: list[int] = []
        self.said_by_us: dict[int, bytes] = {}
        self.said_by_them: dict[int, bytes] = {}
        self.exchange()

    def exchange(self) -> None:
        self.pair.exchange(self.cuts)

    def open(self) -> None:
        """Open a stream, both heads."""
        pair, number = self.pair, 2 * len(self.opened) + 1
        self.opened.append(number)
        self.said_by_us[number] = self.said_by_them[number] = b""
        if pair.client:
            stream = pair.streams[number] = Ours(pair.engine, pair.ours_heard)
            pair.engine.open(stream, REQUEST, [(b"n", b"%d" % number)])
            self.exchange()
            pair.h2.send_headers(number, [*RESPONSE, (b"n", b"%d" % number)])
        else:
            pair.h2.send_headers(number, [*REQUEST, (b"n", b"%d" % number)])
            self.exchange()
            pair.engine.send_headers(pair.streams[number], RESPONSE, [(b"n", b"%d" % number)])
        self.exchange()

    def act(self, name: str, numbers: list[int]) -> None:
        """Do one action of a plan."""
        pair = self.pair
        if name == "open" and len(self.opened) < 8:
            self.open()
        elif name == "ours":
            number = self.opened[numbers[0] % len(self.opened)]
            octets = bytes([len(self.said_by_us[number]) % 251]) * numbers[1]
            self.said_by_us[number] += octets
            pair.engine.send(pair.streams[number], octets)
        elif name == "theirs":
            number = self.opened[numbers[0] % len(self.opened)]
            octets = bytes([len(self.said_by_them[number]) % 251]) * numbers[1]
            padding = numbers[2] if len(numbers) > 2 else None
            self.said_by_them[number] += theirs_send(pair, number, octets, padding)
        elif name == "ping":
            pair.h2.ping(b"12345678")
        elif name == "exchange":
            self.exchange()
        elif name in SETTINGS:
            pair.h2.update_settings({SETTINGS[name]: numbers[0]})

    def end(self, number: int) -> None:
        """End a stream from both sides: our half with END_STREAM, the server's with trailers."""
        pair = self.pair
        if pair.client:
            pair.engine.send(pair.streams[number], b"", end_stream=True)
            self.exchange()
            pair.h2.send_headers(number, [(b"trailer", b"%d" % number)], end_stream=True)
        else:
            pair.h2.end_stream(number)
            self.exchange()
            pair.engine.send_headers(
                pair.streams[number], ((b"trailer", b"%d" % number),), None, end_stream=True
            )

    def check(self, number: int, *, reset: bool) -> None:
        """Each side heard what the other said."""
        client = self.pair.client
        ours, theirs = self.pair.ours_heard[number], self.pair.theirs_heard[number]
        assert theirs.body == self.said_by_us[number]
        assert ours.body == self.said_by_them[number]
        heads = [[*REQUEST, (b"n", b"%d" % number)], [*RESPONSE, (b"n", b"%d" % number)]]
        assert [theirs.heads[0], ours.heads[0]] == (heads if client else heads[::-1])
        assert theirs.reset == (ErrorCode.CANCEL if reset else None)
        assert (ours.ended, theirs.ended) == (not reset, not reset)
        if not reset:
            assert (ours if client else theirs).heads[1] == [(b"trailer", b"%d" % number)]


@settings(max_examples=200, deadline=None)
@given(
    st.booleans(),
    st.lists(ACTION, max_size=25),
    st.lists(st.integers(0, 200_000), max_size=20),
    st.sets(st.integers(0, 7)),
)
def test_our_engine_and_h2_hear_what_the_other_said(
    client: bool, plan: list[tuple[str, list[int]]], cuts: list[int], resets: set[int]
) -> None:
    pair = Pair(client=client)
    dialogue = Dialogue(pair, cuts)
    dialogue.open()
    for name, numbers in plan:
        dialogue.act(name, numbers)
    dialogue.exchange()
    dialogue.act("window", [2_000_000])
    dialogue.exchange()
    for number in dialogue.opened:
        if number // 2 in resets:
            pair.engine.reset(pair.streams[number], ErrorCode.CANCEL, tell=False)
        else:
            dialogue.end(number)
    dialogue.exchange()
    assert not pair.failures
    assert not pair.engine.streams
    for number in dialogue.opened:
        dialogue.check(number, reset=number // 2 in resets)
    assert pair.engine.recv_window == pair.h2.outbound_flow_control_window
    assert pair.engine.send_window == pair.h2.inbound_flow_control_window
