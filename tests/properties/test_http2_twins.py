"""Our engine and hyper-h2 in the same role are told the same, right or wrong, and judge it alike.

Frames are fed one by one to both. As long as they agree the events are the same: heads, data, ends, resets, windows. Where
they do not, the difference is one of `DIFFERENCES`, each with the section of RFC 9113 that allows our side of it; each
of them is also shown by a script of its own, so that the list holds no more than there is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import h2.connection
import h2.events
import h2.exceptions
import hpack
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from support.http2_support import EXAMPLES, HEADS, REQUEST, RESPONSE, Heard, Owner, frames_of, hyper, note
from support.wire_support import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)
from wirelane.core.limits import Limits
from wirelane.http2 import ErrorCode

PRIORITY_FLAG = 0x20
# The windows of hyper-h2, so that both judge alike what is too much.
LIMITS = Limits(initial_window=65_535, connection_window=65_535)


@dataclass
class Verdict:
    """What one side made of one frame.

    Attributes:
        over: The code of the GOAWAY that ended the connection.
        resets: Streams that it reset, and with which code.
        heard: What every stream has heard so far.
        windows: Of the connection and the open streams, to send.
    """

    over: int | None
    resets: dict[int, int]
    heard: dict[int, Heard] = field(default_factory=dict)
    windows: dict[int, int] = field(default_factory=dict)


class Twins:
    """Our engine and one of h2 in the same role, with the same streams open."""

    def __init__(self, *, client: bool) -> None:
        self.client = client
        self.owner = Owner(client=client, limits=LIMITS)
        self.engine = self.owner.engine
        self.h2 = hyper(client=client)
        self.theirs: dict[int, Heard] = {}
        self.answered: set[int] = set()
        self.owner.output()
        self.h2.data_to_send()

    def greet(self) -> None:
        """The peer's preface, and its acknowledgement of ours."""
        greeting = (b"" if self.client else PREFACE) + frame(SETTINGS, 0, 0) + frame(SETTINGS, 1, 0)
        self.feed(greeting)

    def open(self, *, end: bool) -> None:
        """As a client: open a stream."""
        stream = self.owner.open(REQUEST, [], end=end)
        self.theirs[stream.id] = Heard()
        self.h2.send_headers(stream.id, REQUEST, end_stream=end)

    def answer(self, *, end: bool) -> None:
        """As a server: answer all streams that wait for it."""
        for number in [one for one in self.engine.streams if one not in self.answered]:
            stream = self.owner.streams[number]
            self.answered.add(number)
            if not stream.local_closed:
                self.engine.send_headers(stream, RESPONSE, end_stream=end)
                self.h2.send_headers(number, RESPONSE, end_stream=end)

    def reset(self) -> None:
        """Reset the first stream."""
        number = next(iter(self.engine.streams), None)
        if number is not None:
            self.engine.reset(self.owner.streams[number], ErrorCode.CANCEL, tell=False)
            self.h2.reset_stream(number, ErrorCode.CANCEL)

    def feed(self, octets: bytes) -> tuple[Verdict, Verdict]:
        """Both read the octets; what each made of them."""
        self.owner.output()
        self.owner.receive(octets)
        resets = {}
        for one in frames_of(self.owner.output()):
            if one[3] == RST_STREAM:
                resets[int.from_bytes(one[5:9], "big")] = int.from_bytes(one[9:], "big")
        over = None if self.owner.over is None else int(self.owner.over[0])
        ours = Verdict(over, resets, {n: s.heard for n, s in self.owner.streams.items()}, self._our_windows())
        return ours, self._feed_h2(octets)

    def _our_windows(self) -> dict[int, int]:
        if self.engine.ended:
            return {}
        windows = {0: self.engine.send_window}
        for number, stream in self.engine.streams.items():
            if not stream.local_closed:
                windows[number] = stream.send_window
        return windows

    def _feed_h2(self, octets: bytes) -> Verdict:
        resets: dict[int, int] = {}
        try:
            events = self.h2.receive_data(octets)
        except h2.exceptions.ProtocolError as error:
            return Verdict(int(error.error_code), resets, self.theirs)
        for event in events:
            number = getattr(event, "stream_id", None) or 0
            if isinstance(
                event, (*HEADS, h2.events.DataReceived, h2.events.StreamEnded, h2.events.StreamReset)
            ):
                heard = self.theirs.setdefault(number, Heard())
                held = note(event, heard)
                if held:
                    # As ours: the connection's window is given back at once, that of the stream never.
                    self.h2.increment_flow_control_window(held)
                if isinstance(event, h2.events.StreamReset) and not event.remote_reset:
                    resets[number] = heard.refused or 0
        self.h2.data_to_send()
        windows = {0: self.h2.outbound_flow_control_window}
        for number, stream in self.h2.streams.items():
            if stream.open and stream.state_machine.state.name in ("OPEN", "HALF_CLOSED_REMOTE"):
                windows[number] = stream.outbound_flow_control_window
        return Verdict(None, resets, self.theirs, windows)


def encoded(fields: list[tuple[bytes, bytes]]) -> bytes:
    """A block of literals that enter no table, as they are."""
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    return bytes(encoder.encode(fields, huffman=False))


GRPC = [(b"te", b"trailers"), (b"content-type", b"application/grpc")]
GOOD = {
    "request": [*REQUEST, *GRPC],
    "request with a length": [*REQUEST, (b"content-length", b"10")],
    "response": [*RESPONSE, *GRPC],
    "response with a length": [*RESPONSE, (b"content-length", b"10")],
    "interim": [(b":status", b"103"), (b"link", b"</a>")],
    "trailers": [(b"grpc-status", b"0"), (b"x-bin", b"AA")],
}
BAD = {
    "nothing": [],
    "upper case": [*REQUEST, (b"Name", b"x")],
    "blank name": [*REQUEST, (b"", b"x")],
    "name with a blank": [*REQUEST, (b"a b", b"x")],
    "name with a colon": [*REQUEST, (b"a:b", b"x")],
    "name above ASCII": [*REQUEST, (b"a\xff", b"x")],
    "connection": [*REQUEST, (b"connection", b"close")],
    "transfer-encoding": [*REQUEST, (b"transfer-encoding", b"chunked")],
    "te": [*REQUEST, (b"te", b"gzip")],
    "pseudo after regular": [(b"a", b"b"), *REQUEST],
    "pseudo twice": [*REQUEST, (b":path", b"/b")],
    "pseudo unknown": [*REQUEST, (b":odd", b"x")],
    "response pseudo in a request": [*REQUEST, (b":status", b"200")],
    "no path": [one for one in REQUEST if one[0] != b":path"],
    "empty path": [(name, b"" if name == b":path" else value) for name, value in REQUEST],
    "no scheme": [one for one in REQUEST if one[0] != b":scheme"],
    "no method": [one for one in REQUEST if one[0] != b":method"],
    "no authority": [one for one in REQUEST if one[0] != b":authority"],
    "host and authority differ": [*REQUEST, (b"host", b"y")],
    "connect": [(b":method", b"CONNECT"), (b":authority", b"x:1")],
    "connect with a path": [(b":method", b"CONNECT"), *REQUEST[1:]],
    "NUL in a value": [*REQUEST, (b"a", b"x\0y")],
    "CR LF in a value": [*REQUEST, (b"a", b"x\r\nb: c")],
    "blanks around a value": [*REQUEST, (b"a", b" x ")],
    "value above ASCII": [*REQUEST, (b"a", b"\xff\xfe")],
    "length that is no number": [*REQUEST, (b"content-length", b"ten")],
    "two lengths": [*REQUEST, (b"content-length", b"1"), (b"content-length", b"2")],
    "status of two digits": [(b":status", b"20")],
    "status that is no number": [(b":status", b"abc")],
    "no status": [(b"a", b"b")],
    "pseudo in trailers": [(b"grpc-status", b"0"), (b":status", b"200")],
    "switching protocols": [(b":status", b"101")],
}
LISTS = {**GOOD, **BAD}
BROKEN_BLOCKS = [
    b"\x80",
    b"\xff\xff\xff\xff\xff\xff",
    b"\xc0",
    b"\x00\x05ab",
    b"\x3f\xe2\x1f",
    b"\x88\x20",
    b"\x00\x81\xff\x00",
]


@dataclass(frozen=True)
class Told:
    """Octets that both are told, and what they are about."""

    kind: int
    flags: int
    stream: int
    payload: bytes
    about: str = ""

    @property
    def octets(self) -> bytes:
        return frame(self.kind, self.flags, self.stream, self.payload)


def headers(stream: int, about: str, flags: int = END_HEADERS, *, padding: int = 0) -> Told:
    """HEADERS with one of the lists."""
    payload = encoded(LISTS[about])
    if flags & PRIORITY_FLAG:
        payload = (stream ^ 8).to_bytes(4, "big") + b"\x01" + payload
    if flags & PADDED:
        payload = bytes((padding,)) + payload + bytes(padding)
    return Told(HEADERS, flags, stream, payload, about)


def data(stream: int, size: int, flags: int = 0, *, padding: int = 0) -> Told:
    body = bytes(size)
    return Told(DATA, flags, stream, bytes((padding,)) + body + bytes(padding) if flags & PADDED else body)


def number(value: int) -> bytes:
    return (value & 0xFFFFFFFF).to_bytes(4, "big")


STREAMS = st.sampled_from([1, 1, 3, 3, 5, 7, 0, 2, 9, 2**31 - 1])
FLAGS = st.sampled_from(
    [0, END_STREAM, END_HEADERS, END_HEADERS | END_STREAM, PADDED, 0x25, 0x2D, 0xD2, 0xFF]
)
CODES = st.sampled_from([0, 1, 8, 0xABCD])
TOLD = st.one_of(
    st.builds(headers, STREAMS, st.sampled_from(list(GOOD)), st.sampled_from([4, 5])),
    st.builds(
        headers,
        STREAMS,
        st.sampled_from(list(LISTS)),
        FLAGS,
        padding=st.integers(0, 255),
    ),
    st.builds(
        data,
        STREAMS,
        st.sampled_from([0, 1, 5, 10, 16_000]),
        st.sampled_from([0, 1, 8, 9]),
        padding=st.integers(0, 255),
    ),
    st.builds(
        Told, st.just(HEADERS), FLAGS, STREAMS, st.sampled_from(BROKEN_BLOCKS) | st.binary(max_size=12)
    ),
    st.builds(Told, st.just(CONTINUATION), st.sampled_from([0, 4]), STREAMS, st.binary(max_size=6)),
    st.builds(Told, st.just(RST_STREAM), FLAGS, STREAMS, CODES.map(number) | st.binary(max_size=5)),
    st.builds(
        Told,
        st.just(WINDOW_UPDATE),
        FLAGS,
        STREAMS,
        st.sampled_from([0, 1, 1000, 2**31 - 1, 2**31, 2**31 + 5, 2**32 - 1]).map(number)
        | st.binary(max_size=5),
    ),
    st.builds(
        Told,
        st.just(SETTINGS),
        st.sampled_from([0, 0, 1, 0xFE]),
        st.sampled_from([0, 0, 0, 1]),
        st.one_of(
            st.lists(
                st.tuples(
                    st.integers(0, 9),
                    st.sampled_from([0, 1, 2, 100, 16_384, 65_535, 2**24, 2**31 - 1, 2**31]),
                ).map(lambda one: one[0].to_bytes(2, "big") + number(one[1])),
                max_size=3,
            ).map(b"".join),
            st.binary(max_size=7),
        ),
    ),
    st.builds(
        Told, st.just(PING), FLAGS, st.sampled_from([0, 0, 1]), st.just(bytes(8)) | st.binary(max_size=9)
    ),
    st.builds(
        Told, st.just(GOAWAY), FLAGS, st.sampled_from([0, 0, 1]), st.just(bytes(8)) | st.binary(max_size=12)
    ),
    st.builds(
        Told,
        st.just(PRIORITY),
        FLAGS,
        STREAMS,
        st.tuples(STREAMS, st.booleans()).map(lambda one: number(one[0] | one[1] << 31) + b"\x01")
        | st.binary(max_size=6),
    ),
    st.builds(
        Told,
        st.just(PUSH_PROMISE),
        FLAGS,
        STREAMS,
        st.just(number(2) + encoded([*REQUEST])) | st.binary(max_size=8),
    ),
    st.builds(Told, st.integers(11, 255), FLAGS, STREAMS, st.binary(max_size=8)),
)
ACTS = st.sampled_from(["open", "open and end", "answer", "answer and end", "reset"])


def act(twins: Twins, what: str) -> None:
    """Do something of our own on both."""
    if what == "reset":
        twins.reset()
    elif what.startswith("open") == twins.client:
        (twins.open if twins.client else twins.answer)(end=what.endswith("end"))


def same(ours: Verdict, theirs: Verdict) -> bool:
    """Whether both made the same of what they were told."""
    if ours.over is not None or theirs.over is not None:
        return ours.over == theirs.over
    return ours.resets == theirs.resets and ours.windows == theirs.windows and said(ours) == said(theirs)


def said(verdict: Verdict) -> dict[int, tuple[object, ...]]:
    """What each stream has heard of the peer."""
    heard = {number: (one.heads, one.body, one.ended, one.reset) for number, one in verdict.heard.items()}
    return {number: one for number, one in heard.items() if one != ([], b"", False, None)}


@dataclass(frozen=True)
class Difference:
    """One thing that we judge otherwise than h2, and where RFC 9113 allows or asks for ours.

    Attributes:
        ours, theirs: What each does: the code of a GOAWAY, "reset" for RST_STREAM, "takes it".
        kinds: Types of the frames that show it.
        script: What shows it; the last of the frames does.
        client: The role that shows it.
        when: What else has to be so for it.
    """

    section: str
    ours: set[int | str]
    theirs: set[int | str]
    kinds: set[int]
    script: tuple[Told, ...]
    client: bool = False
    when: Callable[[Twins, Told], bool] = lambda twins, told: True


PROTOCOL, FLOW_CONTROL, CLOSED, FRAME_SIZE, COMPRESSION = 1, 3, 5, 6, 9
TAKES, RESETS = "takes it", "reset"

DIFFERENCES = {
    "a stream error does not end the connection": Difference(
        "5.4.2, 8.1.1, 6.9, 6.9.1: stream errors; 5.4.1 lets h2 end the connection instead",
        {RESETS},
        {PROTOCOL, FLOW_CONTROL, CLOSED},
        {HEADERS, CONTINUATION, DATA, WINDOW_UPDATE},
        (headers(5, "upper case"),),
    ),
    "frames of a wrong size": Difference(
        "4.2: FRAME_SIZE_ERROR; of two faults in one frame (a wrong size, on a wrong stream) either may be named",
        {FRAME_SIZE, PROTOCOL},
        {FRAME_SIZE, PROTOCOL},
        {HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, PUSH_PROMISE, GOAWAY},
        (Told(PING, 0, 1, b""),),
    ),
    "blocks that are not HPACK": Difference(
        "4.3: COMPRESSION_ERROR",
        {COMPRESSION},
        {PROTOCOL},
        {HEADERS, CONTINUATION},
        (Told(HEADERS, 4, 5, b"\x80"),),
    ),
    "pushes of which more is to come": Difference(
        "8.4: never allowed; h2 reads the whole block first",
        {PROTOCOL},
        {TAKES},
        {PUSH_PROMISE},
        (Told(PUSH_PROMISE, 0, 1, number(2)),),
        when=lambda twins, told: not told.flags & END_HEADERS,
    ),
    "RST_STREAM on an idle stream": Difference(
        "5.1, 6.4: PROTOCOL_ERROR", {PROTOCOL}, {TAKES}, {RST_STREAM}, (Told(RST_STREAM, 0, 9, number(8)),)
    ),
    "frames after the peer's own RST_STREAM": Difference(
        "5.1, closed: may be a connection error of type STREAM_CLOSED",
        {CLOSED},
        {TAKES},
        {HEADERS, CONTINUATION, DATA},
        (Told(RST_STREAM, 0, 1, number(8)), headers(1, "trailers", 5)),
    ),
    "less DATA than content-length in a head that ends its stream": Difference(
        "8.1.1: malformed",
        {RESETS},
        {TAKES},
        {HEADERS, CONTINUATION},
        (headers(5, "request with a length", 5),),
    ),
    "frames on streams that the client went over": Difference(
        "5.1.1: they are closed, unused; nothing can be late on them",
        {PROTOCOL},
        {TAKES},
        {DATA},
        (headers(7, "request"), data(5, 1)),
    ),
    "CONTINUATION without a header block": Difference(
        "6.10: PROTOCOL_ERROR, whatever the stream",
        {PROTOCOL},
        {CLOSED},
        {CONTINUATION},
        (headers(9, "request"), Told(CONTINUATION, 0, 7, b"")),
    ),
    "WINDOW_UPDATE of 0 on a closed stream": Difference(
        "6.9: a stream error; there is no stream left to reset",
        {TAKES},
        {PROTOCOL},
        {WINDOW_UPDATE},
        (Told(RST_STREAM, 0, 1, number(8)), Told(WINDOW_UPDATE, 0, 1, number(0))),
        when=lambda twins, told: told.payload == bytes(4),
    ),
    "WINDOW_UPDATE with its reserved bit": Difference(
        "6.9: ignored",
        {TAKES, FLOW_CONTROL},
        {PROTOCOL},
        {WINDOW_UPDATE},
        (Told(WINDOW_UPDATE, 0, 1, number(2**31 + 1)),),
        when=lambda twins, told: told.payload[0] >= 0x80,
    ),
    "requests from a server": Difference(
        "5.1.1, 8.4: a server opens no stream without a PUSH_PROMISE, and none was allowed",
        {PROTOCOL},
        {TAKES},
        {HEADERS, CONTINUATION},
        (headers(2, "request"),),
        client=True,
    ),
    "blanks around a value": Difference(
        "8.2.1: malformed; taken, for gRPC in C and Go sends a grpc-message that ends with one as it is",
        {TAKES},
        {PROTOCOL},
        {HEADERS, CONTINUATION},
        (headers(5, "blanks around a value"),),
        when=lambda twins, told: told.about == "blanks around a value",
    ),
    "no authority": Difference(
        "8.3.1: asked of clients; gRPC makes it optional",
        {TAKES},
        {PROTOCOL},
        {HEADERS, CONTINUATION},
        (headers(5, "no authority"),),
        when=lambda twins, told: told.about == "no authority",
    ),
    "host beside an authority that differs": Difference(
        "8.3.1: should be malformed; gRFC A41 has servers drop it, which is what the layer above does",
        {TAKES},
        {PROTOCOL},
        {HEADERS, CONTINUATION},
        (headers(5, "host and authority differ"),),
        when=lambda twins, told: told.about == "host and authority differ",
    ),
    "interim heads on streams that are closed": Difference(
        "5.1: late frames are read over; h2 looks at what they hold first",
        {TAKES, CLOSED},
        {PROTOCOL},
        {HEADERS, CONTINUATION},
        (headers(3, "trailers"), headers(3, "interim")),
        when=lambda twins, told: told.about == "interim" and told.stream not in twins.engine.streams,
    ),
    "the same parameter twice, wrong at first": Difference(
        "6.5.3: processed in the order in which they appear",
        {PROTOCOL, FLOW_CONTROL},
        {TAKES},
        {SETTINGS},
        (Told(SETTINGS, 0, 0, b"\0\x05" + number(1) + b"\0\x05" + number(16_384)),),
    ),
    "settings of other specifications": Difference(
        "6.5.2: unknown parameters are ignored; h2 knows that of RFC 8441",
        {TAKES},
        {PROTOCOL},
        {SETTINGS},
        (Told(SETTINGS, 0, 0, b"\0\x08" + number(2)),),
        when=lambda twins, told: b"\0\x08" in told.payload,
    ),
}


def did(verdict: Verdict) -> int | str:
    if verdict.over is not None:
        return verdict.over
    return RESETS if verdict.resets else TAKES


def difference(twins: Twins, told: Told, ours: Verdict, theirs: Verdict) -> str | None:
    """The name of the difference between two verdicts; None if they are the same."""
    if same(ours, theirs):
        return None
    for name, one in DIFFERENCES.items():
        verdicts = did(ours) in one.ours and did(theirs) in one.theirs
        if verdicts and told.kind in one.kinds and one.when(twins, told):
            return name
    return "?"


def greeted(*, client: bool) -> Twins:
    """Twins with two streams: 1, open, and 3, which the client has ended."""
    twins = Twins(client=client)
    twins.greet()
    if client:
        twins.open(end=False)
        twins.open(end=True)
    else:
        twins.feed(headers(1, "request", END_HEADERS).octets)
        twins.feed(headers(3, "request", END_HEADERS | END_STREAM).octets)
    return twins


@pytest.mark.parametrize("client", [True, False], ids=["as clients", "as servers"])
@settings(
    max_examples=150 * EXAMPLES,
    deadline=None,
    phases=list(Phase) if EXAMPLES > 1 else [Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(script=st.lists(TOLD | ACTS, min_size=5, max_size=40))
def test_both_judge_the_same_octets_alike_or_differ_as_listed(client: bool, script: list[Told | str]) -> None:
    twins = greeted(client=client)
    for told in script:
        if isinstance(told, str):
            act(twins, told)
            continue
        ours, theirs = twins.feed(told.octets)
        if twins.owner.goaways:
            break
        name = difference(twins, told, ours, theirs)
        assert name != "?", (told, ours, theirs)
        if name is not None or ours.over is not None:
            break


@pytest.mark.parametrize("name", DIFFERENCES)
def test_each_difference_that_is_listed_is_there(name: str) -> None:
    one = DIFFERENCES[name]
    twins = greeted(client=one.client)
    for told in one.script[:-1]:
        assert difference(twins, told, *twins.feed(told.octets)) is None
    ours, theirs = twins.feed(one.script[-1].octets)
    assert not same(ours, theirs)
    assert (did(ours) in one.ours, did(theirs) in one.theirs) == (True, True)
    assert one.script[-1].kind in one.kinds
    assert one.when(twins, one.script[-1])
