"""Receive windows: they grow to what a link carries in a round trip, for readers that keep up, and no further."""

from __future__ import annotations

from collections import deque

import pytest

from support.wire_support import (
    ACK,
    DATA,
    END_STREAM,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)
from wirelane.core.limits import Limits
from wirelane.http2 import Connection, ErrorCode, HeaderBlock, Stream
from wirelane.http2.flow import PROBE, Flow

HEAD = ((b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a/b"))
KIB, MIB = 1024, 1024 * 1024


class Clock:
    """The time of a link, in milliseconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> float:
        return self.now / 1000


class Reader(Stream):
    """A stream whose reader takes what comes at once; or nothing, while it is lazy."""

    __slots__ = ("heard", "held", "lazy")

    def __init__(self, connection: Connection, *, lazy: bool = False) -> None:
        super().__init__(connection)
        self.heard = self.held = 0
        self.lazy = lazy

    def on_data(self, data: bytes, end_stream: bool) -> None:
        self.heard += len(data)
        if self.lazy:
            self.held += len(data)
        else:
            self.return_window(len(data))

    def starved(self) -> bool:
        return not self.lazy


class Answer(Reader):
    """The server's end of a call; it answers with so many octets."""

    __slots__ = ("size",)

    def __init__(self, connection: Connection, size: int) -> None:
        super().__init__(connection)
        self.size = size

    def on_headers(self, block: HeaderBlock, end_stream: bool) -> None:
        self.connection.send_headers(self, ((b":status", b"200"),))
        self.connection.send(self, bytes(self.size), end_stream=True)


class Side:
    """One end of a link. It opens, or accepts, streams whose readers are `Reader`; or answers, with `answers` octets."""

    def __init__(self, clock: Clock, *, client: bool, limits: Limits | None = None) -> None:
        self.over: list[str] = []
        self.streams: list[Reader] = []
        self.lazy = False
        self.answers = 0
        self.queue = b""
        self.engine = Connection(client=client, owner=self, limits=limits or Limits())
        self.engine.flow = Flow(self.engine, clock)
        self.engine.start()
        self.pings = 0

    def output_ready(self) -> None: ...
    def stream_closed(self, stream: Stream) -> None: ...
    def settings_changed(self) -> None: ...
    def goaway_received(self, code: int, reason: str) -> None: ...

    def input_waits(self) -> None: ...

    def engine_ended(self, code: int, reason: str) -> None:
        self.over.append(reason)

    def stream_requested(self, block: HeaderBlock) -> Stream:
        stream = Answer(self.engine, self.answers) if self.answers else Reader(self.engine, lazy=self.lazy)
        self.streams.append(stream)
        return stream

    def open(self, *, end: bool = False) -> Reader:
        stream = Reader(self.engine, lazy=self.lazy)
        self.engine.open(stream, HEAD, None, end_stream=end)
        self.streams.append(stream)
        return stream

    def say(self) -> bytes:
        octets = b"".join(self.engine.take())
        self.pings += octets.count(frame(PING, 0, 0, PROBE))
        return octets

    def write(self, speed: int) -> bytes:
        """What leaves in a millisecond. A socket takes so much more; the engine keeps the rest."""
        self.queue += self.say()
        self.engine.writable = len(self.queue) < 4 * speed
        if self.engine.writable:
            self.engine.pump()
        sent, self.queue = self.queue[:speed], self.queue[speed:]
        return sent


class Link:
    """A client and a server, and a line with a delay and a speed."""

    def __init__(self, *, delay: int, speed: int, limits: Limits | None = None) -> None:
        self.clock = Clock()
        self.delay, self.speed = delay, speed
        self.client = Side(self.clock, client=True, limits=limits)
        self.server = Side(self.clock, client=False, limits=limits)
        self._up: deque[tuple[int, bytes]] = deque()
        self._down: deque[tuple[int, bytes]] = deque()
        self.run(4 * delay + 4)

    def run(self, milliseconds: int) -> None:
        for _ in range(milliseconds):
            self.clock.now += 1
            self._up.append((self.clock.now + self.delay, self.client.write(self.speed)))
            self._down.append((self.clock.now + self.delay, self.server.write(self.speed)))
            while self._up[0][0] <= self.clock.now:
                self.server.engine.receive(self._up.popleft()[1])
            while self._down[0][0] <= self.clock.now:
                self.client.engine.receive(self._down.popleft()[1])
            for engine in (self.client.engine, self.server.engine):
                while engine.waiting:
                    engine.resume()
        assert not self.client.over
        assert not self.server.over

    def send(self, octets: int, streams: int = 1) -> list[Reader]:
        """Send so much on each of so many new streams; the server's ends of them."""
        before = len(self.server.streams)
        for _ in range(streams):
            self.client.engine.send(self.client.open(), bytes(octets))
        self.run(2 * self.delay + 2)
        return self.server.streams[before:]

    def call(self, count: int = 1) -> int:
        """Make so many calls at once that the server answers; how long all of them took."""
        began = self.clock.now
        streams = [self.client.open(end=True) for _ in range(count)]
        while not all(stream.remote_closed for stream in streams):
            self.run(1)
            assert self.clock.now < began + 100_000
        assert {stream.heard for stream in streams} == {self.server.answers}
        return self.clock.now - began

    def check(self) -> None:
        """What the streams of the client have drawn is what the stock lacks, and no more than there was."""
        engine = self.client.engine
        drawn = sum(stream.window - engine.least_window for stream in engine.streams.values())
        assert engine.flow.stock == engine.limits.max_window - drawn
        assert drawn <= engine.limits.max_window


@pytest.mark.parametrize(("delay", "speed"), [(50, 100 * KIB), (10, 200 * KIB), (5, 50 * KIB)])
def test_a_reader_that_keeps_up_gets_what_the_link_carries(delay: int, speed: int) -> None:
    link = Link(delay=delay, speed=speed)
    (stream,) = link.send(800 * MIB)
    link.run(60 * delay)
    heard = stream.heard
    link.run(20 * delay)
    assert stream.heard - heard > 0.9 * speed * 20 * delay
    product = 2 * delay * speed
    assert product <= stream.window <= 4 * product
    assert link.server.engine.flow.target == stream.window


def test_windows_grow_also_if_one_frame_fills_them() -> None:
    link = Link(delay=50, speed=100 * KIB)
    # As after an earlier stream that moved much.
    link.client.engine.peer_max_frame_size = link.server.engine.max_frame_size = 64 * KIB
    (stream,) = link.send(800 * MIB)
    link.run(4000)
    assert stream.window >= 2 * 50 * 100 * KIB


@pytest.mark.parametrize(("most", "made"), [(16 * KIB, 16 * KIB), (32 * KIB, 32 * KIB), (MIB, 64 * KIB)])
def test_frames_grow_when_windows_are_much_larger(most: int, made: int) -> None:
    link = Link(delay=50, speed=400 * KIB, limits=Limits(max_frame_size=most))
    sender, receiver = link.client.engine, link.server.engine
    link.send(800 * MIB)
    while receiver.flow.target < 4 * most:
        assert sender.peer_max_frame_size == receiver.max_frame_size == 16 * KIB
        link.run(2)
    link.run(2 * 50 + 2)
    assert (receiver.max_frame_size, sender.peer_max_frame_size) == (most, made)
    assert receiver.ended is False


def test_a_longer_frame_before_it_was_allowed_ends_the_connection() -> None:
    alone = Alone()
    alone.engine.receive(frame(DATA, 0, 1, bytes(16 * KIB + 1)))
    assert alone.engine.ended


def test_longer_frames_may_follow_in_the_read_that_brought_what_allows_them() -> None:
    alone = Alone()
    alone.stream.lazy = True
    for _ in range(2):
        alone.data(16_000)
    alone.data(3000)
    assert alone.said(PING)
    alone.engine.flow.target = 256 * KIB
    alone.engine.receive(frame(PING, ACK, 0, PROBE) + frame(DATA, END_STREAM, 1, bytes(20_000)))
    assert not alone.engine.ended
    assert alone.stream.remote_closed


def test_frames_are_long_from_the_beginning_where_windows_are_wide_from_the_beginning() -> None:
    link = Link(delay=1, speed=KIB, limits=Limits(initial_window=256 * KIB))
    link.run(10)
    assert link.client.engine.peer_max_frame_size == link.server.engine.peer_max_frame_size == 64 * KIB


def test_a_window_of_fixed_size_would_have_stalled_it() -> None:
    link = Link(delay=50, speed=100 * KIB, limits=Limits(max_window=0))
    (stream,) = link.send(800 * MIB)
    link.run(4000)
    assert stream.window == 64 * KIB
    assert stream.heard < 64 * KIB * (4000 // 100 + 3)
    assert link.server.pings == 0


def test_windows_grow_no_further_than_the_limit() -> None:
    link = Link(delay=50, speed=200 * KIB, limits=Limits(max_window=MIB))
    (stream,) = link.send(800 * MIB)
    link.run(6000)
    assert stream.window == MIB
    pings = link.server.pings
    link.run(2000)
    assert link.server.pings == pings  # there is nothing left to learn


def test_a_link_that_only_holds_octets_up_does_not_make_windows_grow() -> None:
    # 20 KiB in a millisecond and 6 ms until a PING is back: 120 KiB, however much waits in queues on the way.
    link = Link(delay=2, speed=20 * KIB)
    (stream,) = link.send(100 * MIB)
    link.run(4000)
    assert stream.window <= 4 * 6 * 20 * KIB
    assert stream.heard > 0.9 * 20 * KIB * 4000


def test_the_connection_window_grows_with_the_streams() -> None:
    link = Link(delay=50, speed=200 * KIB, limits=Limits(connection_window=65_535))
    (stream,) = link.send(800 * MIB)
    link.run(2500)
    heard = stream.heard
    link.run(500)
    assert link.server.engine.flow.size == 2 * stream.window
    # Three quarters of the window at least in each round trip: a quarter may wait to be given back.
    assert stream.heard - heard > 0.75 * 16 * MIB * 500 / (2 * 50 + 2)


def test_a_lazy_reader_holds_one_initial_window_whatever_the_link_carries() -> None:
    link = Link(delay=10, speed=400 * KIB)
    (busy,) = link.send(800 * MIB)
    link.run(1000)
    assert busy.window > MIB
    link.server.lazy = True
    (lazy,) = link.send(20 * MIB)
    heard = busy.heard
    link.run(200)
    assert lazy.held == lazy.heard == 64 * KIB
    assert busy.heard - heard > 0.9 * 400 * KIB * 200


def test_all_streams_together_hold_no_more_than_their_own_windows_and_the_stock() -> None:
    limits = Limits(max_window=2 * MIB)
    link = Link(delay=50, speed=400 * KIB, limits=limits)
    streams = link.send(50 * MIB, streams=30)
    link.run(2000)
    flow = link.server.engine.flow
    assert sum(stream.window - 64 * KIB for stream in streams) == 2 * MIB - flow.stock
    assert flow.stock == 0
    for stream in streams:
        stream.lazy = True
    link.run(2000)
    assert sum(stream.held for stream in streams) <= 30 * 64 * KIB + 2 * MIB


def test_a_stream_that_ends_leaves_its_share_to_others() -> None:
    limits = Limits(max_window=MIB)
    link = Link(delay=50, speed=200 * KIB, limits=limits)
    (first,) = link.send(800 * MIB)
    link.run(4000)
    assert (first.window, link.server.engine.flow.stock) == (MIB, 64 * KIB)
    (second,) = link.send(800 * MIB)
    link.run(500)
    assert second.window <= 128 * KIB
    link.client.engine.reset(link.client.streams[0], ErrorCode.CANCEL)
    link.run(4000)
    assert (second.window, link.server.engine.flow.stock) == (MIB, 64 * KIB)


@pytest.mark.parametrize("size", [70, 80, 100, 150, 300, 500, 1000])
def test_the_answers_of_a_client_that_knows_the_link_come_without_a_stop(size: int) -> None:
    link = Link(delay=20, speed=100 * KIB)
    link.server.answers = size * KIB
    first, round_trip = link.call(), 2 * 20 + 2
    assert first >= 2 * round_trip
    for _ in range(10):
        last = link.call()
        link.check()
    assert last < 1.3 * round_trip
    assert link.client.engine.initial_window >= size * KIB


def test_a_client_that_opens_many_lets_them_begin_with_less() -> None:
    limits = Limits(max_window=4 * MIB)
    link = Link(delay=20, speed=200 * KIB, limits=limits)
    link.server.answers = 500 * KIB
    engine = link.client.engine
    for _ in range(10):
        link.call()
    assert engine.initial_window >= 500 * KIB
    for count in (10, 40, 3, 90, 1):
        link.call(count)
        link.check()
        assert engine.flow.stock == 4 * MIB
    # Many that are open at once: nobody reads them, and they hold what is allowed.
    link.client.lazy = True
    streams = [link.client.open(end=True) for _ in range(90)]
    link.check()
    assert 90 * (engine.initial_window - engine.least_window) <= 4 * MIB
    link.run(2000)
    assert sum(stream.held for stream in streams) <= 90 * engine.least_window + 4 * MIB


def test_what_was_sent_before_the_server_heard_of_a_smaller_window_is_taken() -> None:
    link = Link(delay=20, speed=200 * KIB)
    link.server.answers = 2 * MIB
    for _ in range(10):
        link.call()
    engine = link.client.engine
    large = engine.initial_window
    # The request is on its way, and soon the answer; meanwhile the window shrinks.
    streams = [link.client.open(end=True)]
    link.run(25)
    streams += [link.client.open(end=True) for _ in range(60)]
    assert engine.initial_window < large
    assert engine.window_slack > 0
    while not all(stream.remote_closed for stream in streams):
        link.run(1)
    assert {stream.heard for stream in streams} == {2 * MIB}
    assert engine.window_slack == 0


def test_a_server_and_windows_that_may_not_grow_leave_the_settings_as_they_are() -> None:
    for limits in (Limits(), Limits(max_window=0)):
        link = Link(delay=20, speed=200 * KIB, limits=limits)
        link.server.answers = 500 * KIB
        link.send(0)
        for _ in range(10):
            link.call()
        assert link.server.engine.initial_window == 64 * KIB
        assert (link.client.engine.initial_window > 64 * KIB) == (limits.max_window > 0)
    link = Link(delay=20, speed=200 * KIB)
    link.send(100 * MIB)
    link.run(2000)
    assert link.server.engine.flow.target > MIB
    assert link.server.engine.initial_window == 64 * KIB


class Alone:
    """One engine, with the test for its peer."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.clock = Clock()
        self.side = Side(self.clock, client=True, limits=limits)
        self.engine = self.side.engine
        self.engine.receive(frame(SETTINGS, 0, 0))
        self.stream = self.side.open()
        # :status 200
        self.engine.receive(frame(HEADERS, 4, 1, b"\x88"))
        self.said()

    def data(self, size: int, flags: int = 0) -> None:
        self.engine.receive(frame(DATA, flags, 1, bytes(size)))

    def said(self, *kinds: int) -> list[tuple[int, int, bytes]]:
        """What the engine said since the last time, of some types: (type, stream, payload)."""
        octets, frames = self.side.say(), []
        while octets:
            size = int.from_bytes(octets[:3], "big")
            if not kinds or octets[3] in kinds:
                frames.append((octets[3], int.from_bytes(octets[5:9], "big"), octets[9 : 9 + size]))
            octets = octets[9 + size :]
        return frames

    def measure(self) -> None:
        """So much DATA that a PING leaves, and its acknowledgement; nobody reads it."""
        self.stream.lazy = True
        for _ in range(3):
            self.data(16_000)
        self.back()

    def back(self) -> None:
        self.clock.now += 10
        self.engine.receive(frame(PING, ACK, 0, PROBE))


def test_one_ping_is_under_way_at_most_and_none_without_data() -> None:
    alone = Alone()
    assert alone.said(PING) == []
    for _ in range(3):
        alone.data(16_000)
    assert alone.said(PING) == [(PING, 0, PROBE)]
    for _ in range(20):
        alone.data(16_000)
    assert alone.said(PING) == []
    alone.back()
    assert alone.said(PING) == []
    alone.data(1)
    assert alone.said(PING) == [(PING, 0, PROBE)]


def test_small_calls_see_few_pings() -> None:
    alone = Alone()
    for _ in range(10_000):
        alone.data(100)
        alone.engine.receive(frame(PING, ACK, 0, PROBE))
    assert 0 < len(alone.said(PING)) <= 10_000 * 100 // (32 * KIB)
    assert alone.engine.flow.target == 64 * KIB


def test_acknowledgements_that_nobody_waits_for_change_nothing() -> None:
    alone = Alone()
    for payload in (PROBE, b"whatever"):
        alone.engine.receive(frame(PING, ACK, 0, payload))
    alone.data(16_000)
    assert alone.said(PING) == []
    assert alone.engine.flow.target == 64 * KIB
    assert not alone.side.over


def test_a_clock_that_stands_still_does_no_harm() -> None:
    alone = Alone()
    for _ in range(50):
        alone.data(16_000)
        alone.engine.receive(frame(PING, ACK, 0, PROBE))
    assert 64 * KIB <= alone.engine.flow.target <= 16 * MIB
    assert not alone.side.over


def test_a_peer_that_never_acknowledges_loses_nothing_but_larger_windows() -> None:
    alone = Alone()
    for _ in range(1000):
        alone.data(16_000)
    assert not alone.side.over
    assert alone.stream.window == 64 * KIB
    assert len(alone.said(PING)) == 1


@pytest.mark.parametrize("window", [65_535, 100_000, 4 * MIB])
def test_more_than_the_window_of_the_connection_ends_it(window: int) -> None:
    alone = Alone(Limits(connection_window=window, initial_window=8 * MIB, max_window=0))
    alone.engine.recv_window = 10_000
    alone.data(10_001)
    assert alone.side.over == ["the peer broke HTTP/2: more DATA than the connection's window allows"]


def test_what_is_given_back_comes_in_batches_of_a_quarter() -> None:
    alone = Alone(Limits(max_window=0))
    for _ in range(15):
        alone.data(1000)
    assert alone.said(WINDOW_UPDATE) == []
    alone.data(2000)
    assert alone.said(WINDOW_UPDATE) == [(WINDOW_UPDATE, 1, (17_000).to_bytes(4, "big"))]


def test_room_for_a_message_is_made_of_what_was_not_given_back_first() -> None:
    alone = Alone(Limits(max_window=0))
    alone.data(10_000)
    stream = alone.stream
    assert stream.recv_window == 64 * KIB - 10_000
    assert stream.make_room(50_000) == 0
    assert stream.make_room(60_000) == 0
    assert stream.recv_window == 64 * KIB
    assert stream.make_room(MIB) == MIB - 64 * KIB
    assert stream.recv_window == MIB
    alone.data(1, END_STREAM)
    assert stream.make_room(2 * MIB) == 0


@pytest.mark.parametrize("acknowledged", [False, True])
def test_a_window_below_the_default_holds_from_the_acknowledgement_on(acknowledged: bool) -> None:
    """Before a peer has read our SETTINGS it may send as the default allows (section 6.9.3), and never again after."""
    limits = Limits(initial_window=4 * KIB)
    alone = Alone(limits)
    stream, engine = alone.stream, alone.engine
    stream.lazy = True
    if acknowledged:
        engine.receive(frame(SETTINGS, ACK, 0))
    engine.receive(frame(DATA, 0, 1, bytes(4 * KIB)) + frame(DATA, 0, 1, bytes(10_000)))
    assert stream.held == (4 * KIB if acknowledged else 4 * KIB + 10_000)
    refused = [(RST_STREAM, 1, ErrorCode.FLOW_CONTROL_ERROR.to_bytes(4, "big"))]
    assert alone.said(RST_STREAM) == (refused if acknowledged else [])


def test_an_empty_frame_needs_no_window() -> None:
    """Section 6.9.1, also where a change of SETTINGS has left the window below zero."""
    alone = Alone()
    stream, engine = alone.stream, alone.engine
    engine.receive(frame(SETTINGS, ACK, 0))
    engine.flow.target = 8 * MIB
    alone.measure()
    for _ in range(512):
        alone.data(16_000)
    for _ in range(3):
        alone.side.open()
    engine.receive(frame(SETTINGS, ACK, 0) * len(alone.said(SETTINGS)))
    assert engine.window_slack == 0
    assert stream.recv_window < 0
    engine.receive(frame(DATA, 0, 1) + frame(DATA, END_STREAM, 1))
    assert alone.said(RST_STREAM) == []
    assert stream.remote_closed


def test_a_peer_that_knows_of_the_smaller_window_is_held_to_it() -> None:
    alone = Alone()
    engine, flow = alone.engine, alone.engine.flow
    engine.receive(frame(SETTINGS, ACK, 0))
    flow.target = 8 * MIB
    alone.measure()
    assert engine.initial_window == alone.stream.window == 8 * MIB
    others = [alone.side.open() for _ in range(3)]
    assert engine.initial_window < 8 * MIB
    changed = [payload for _, _, payload in alone.said(SETTINGS)]
    assert [payload[:2] for payload in changed] == [b"\0\4", b"\0\5"] + [b"\0\4"] * (len(changed) - 2)
    # Not acknowledged yet: as much more as the window was smaller may be under way.
    assert engine.window_slack == 8 * MIB - engine.initial_window
    engine.receive(frame(SETTINGS, ACK, 0) * (len(changed) - 1))
    assert engine.window_slack == 8 * MIB - engine.initial_window
    engine.receive(frame(SETTINGS, ACK, 0))
    assert engine.window_slack == 0
    engine.receive(frame(SETTINGS, ACK, 0))
    engine.receive(frame(HEADERS, 4, 3, b"\x88"))
    others[0].lazy = True
    others[0].recv_window = 10_000
    engine.receive(frame(DATA, 0, 3, bytes(10_001)))
    assert alone.said(RST_STREAM) == [(RST_STREAM, 3, (3).to_bytes(4, "big"))]


def test_a_stream_that_never_opened_gives_nothing_back() -> None:
    alone = Alone()
    alone.engine.flow.target = 8 * MIB
    alone.measure()
    stock = alone.engine.flow.stock
    assert alone.engine.initial_window == 8 * MIB
    alone.engine.close_stream(Reader(alone.engine))
    assert alone.engine.flow.stock == stock


def test_its_state_is_to_be_seen() -> None:
    assert repr(Alone().engine.flow) == "<Flow connection 4194304, streams 65536 to 65536, 16777216 in stock>"


class Gatherer(Reader):
    """A stream whose reader waits for one message of `size` octets, and takes it when it is whole."""

    __slots__ = ("size",)

    def __init__(self, connection: Connection, size: int) -> None:
        super().__init__(connection, lazy=True)
        self.size = size

    def on_data(self, data: bytes, end_stream: bool) -> None:
        super().on_data(data, end_stream)
        self.on_room()

    def on_room(self) -> None:
        if self.heard < self.size:
            self.make_room(self.size - self.heard)
        else:
            self.connection.flow.repay(self)


class Narrowed:
    """Calls that began with a large window, when others are opened and make it small."""

    def __init__(self) -> None:
        self.link = Link(delay=20, speed=100 * KIB)
        self.link.server.answers = 2 * MIB
        for _ in range(10):
            self.link.call()
        self.link.server.answers = 0
        self.engine = self.link.client.engine
        self.large = self.engine.initial_window
        assert self.large > 2 * MIB

    def call(self, stream: Reader, *, send: int) -> Stream:
        """Open a call; the server's end of it, which has sent so much."""
        self.engine.open(stream, HEAD, None, end_stream=True)
        self.link.run(50)
        server = self.link.server.streams[-1]
        server.connection.send_headers(server, ((b":status", b"200"),))
        server.connection.send(server, bytes(send))
        self.link.run(200)
        assert stream.heard == send
        return server

    def narrow(self) -> None:
        for _ in range(90):
            self.link.client.open(end=True)
        assert self.engine.initial_window < 256 * KIB
        self.link.run(200)

    def send(self, server: Stream, octets: int) -> None:
        server.connection.send(server, bytes(octets))
        self.link.run(1000)


def test_what_was_read_before_the_windows_shrank_is_given_back() -> None:
    narrowed = Narrowed()
    stream = Reader(narrowed.engine)
    # Less than what is given back at once; more than what the window will be.
    sent = narrowed.large // 5
    server = narrowed.call(stream, send=sent)
    assert stream._unreturned >= 512 * KIB
    narrowed.narrow()
    assert server.send_window > 0
    narrowed.send(server, MIB)
    assert stream.heard == sent + MIB
    narrowed.link.check()


def test_a_message_that_had_begun_before_the_windows_shrank_arrives() -> None:
    narrowed = Narrowed()
    stream = Gatherer(narrowed.engine, 2 * MIB)
    server = narrowed.call(stream, send=MIB)
    assert not narrowed.engine.flow.loans
    narrowed.narrow()
    narrowed.send(server, MIB)
    assert stream.heard == 2 * MIB


def test_a_message_that_was_lent_for_arrives_although_others_wait_and_the_windows_shrink() -> None:
    narrowed = Narrowed()
    size = narrowed.large + 6 * MIB
    first, second = Gatherer(narrowed.engine, size), Gatherer(narrowed.engine, size)
    servers = [narrowed.call(stream, send=MIB) for stream in (first, second)]
    assert list(narrowed.engine.flow.loans) == [first.id], "the second waits for its turn"
    narrowed.narrow()
    for server, stream in zip(servers, (first, second), strict=True):
        narrowed.send(server, size - MIB)
        assert stream.heard == size
    assert not narrowed.engine.flow.loans
    narrowed.link.check()
