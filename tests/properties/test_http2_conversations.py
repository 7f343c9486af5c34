"""Our engine and hyper-h2 talk, step by step, over wires that hold, cut and rewrite what they say, in both roles.

A state machine: either side opens streams, sends data, trailers, resets, changes settings, gives windows back, at any
moment, while frames of the other are under way. Whatever the order, each side hears exactly what the other said (or the
beginning of it, if the stream was reset), nobody breaks a rule, and at rest both agree on every window.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import h2.events
import h2.settings
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from support.http2_support import (
    EXAMPLES,
    REQUEST,
    RESPONSE,
    Heard,
    Ours,
    Owner,
    Pairs,
    Recipe,
    Wire,
    hyper,
    note,
    priority,
)
from support.wire_support import PING, frame
from wirelane.core.framing import frame_message
from wirelane.core.limits import Limits

LIMITS = [
    Limits(initial_window=70_000, connection_window=100_000, max_concurrent_streams=8),
    # Below the default, which the peer may still use until it has read our SETTINGS; and little room for output.
    Limits(initial_window=1_000, connection_window=65_535, max_concurrent_streams=8, max_send_buffer=20_000),
]

SIZES = st.one_of(st.integers(0, 40), st.integers(16_000, 17_000), st.integers(30_000, 150_000))
FIELD = st.tuples(
    st.sampled_from([b"a", b"b-bin", b"grpc-timeout", b"authorization", b"x" * 40]),
    st.one_of(
        st.sampled_from([b"", b"1", b"application/grpc"]),
        st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60).map(str.encode),
        st.integers(1, 3000).map(lambda size: b"v" * size),
    ),
)
# Few that repeat, so that whole heads come from the compression tables; and others, which move what is in them.
FIELDS = st.one_of(st.sampled_from([[], [(b"a", b"1")], [(b"a", b"2")]]), st.lists(FIELD, max_size=6))
NOISE = st.one_of(
    st.just(b""),
    st.builds(priority, st.integers(1, 40), st.just(0), st.integers(0, 255)),
    st.builds(
        frame, st.integers(0x20, 0xFF), st.integers(0, 255), st.integers(0, 2**31 - 1), st.binary(max_size=9)
    ),
    st.builds(frame, st.just(PING), st.sampled_from([0, 1]), st.just(0), st.binary(min_size=8, max_size=8)),
)
RECIPES = st.builds(
    Recipe,
    st.lists(st.integers(0, 5000), max_size=6).map(tuple),
    st.none() | st.integers(0, 255),
    st.booleans(),
    NOISE,
)
PICK = st.integers(0, 1000)
SELDOM = st.integers(0, 4).map(lambda one: one == 4)
CODES = st.sampled_from([0, 1, 7, 8, 11, 0xFFFF])


@dataclass
class Side:
    """What one side has said on one stream."""

    heads: list[Pairs] = field(default_factory=list)
    body: bytes = b""
    ended: bool = False
    reset: int | None = None

    @property
    def silent(self) -> bool:
        return self.ended or self.reset is not None


@dataclass
class Talk:
    """One stream, seen from above."""

    number: int
    ours: Side = field(default_factory=Side)
    theirs: Side = field(default_factory=Side)
    # What h2 heard, and the octets it has not given back.
    heard: Heard = field(default_factory=Heard)
    held: int = 0


class Conversation:
    """One connection between our engine and hyper-h2. Each public method is a step, possible at any moment.

    Args:
        client: Our role.
        greet: Whether the first SETTINGS are through before anything else.
        window: INITIAL_WINDOW_SIZE of h2; None: the default.
    """

    def __init__(self, *, client: bool, limits: Limits, greet: bool, window: int | None) -> None:
        self.client = client
        self.owner = Owner(client=client, limits=limits)
        self.engine = self.owner.engine
        self.h2 = hyper(client=not client)
        self.to_h2, self.to_ours = Wire(), Wire()
        self.talks: dict[int, Talk] = {}
        self.opened = 0
        # SETTINGS of h2 that we have not acknowledged; its preface is the first.
        self.unsettled = 1
        self.terminated: h2.events.ConnectionTerminated | None = None
        if greet:
            self.settle()
            if window is not None:
                self.they_change_settings((h2.settings.SettingCodes.INITIAL_WINDOW_SIZE, window))

    # What is under way

    def collect(self, recipe: Recipe) -> None:
        """Put on the wires what both have to say."""
        self.to_h2.put(recipe.rewrite(self.owner.output()))
        self.to_ours.put(recipe.rewrite(self.h2.data_to_send() or b""))

    def deliver(self, recipe: Recipe, to_us: bool, octets: int) -> None:
        """Carry some of what is under way; a frame may be cut anywhere."""
        self.collect(recipe)
        if to_us:
            for piece in self.to_ours.take(octets):
                self.owner.receive(piece)
        else:
            for piece in self.to_h2.take(octets):
                self._theirs(self.h2.receive_data(piece))

    def settle(self) -> None:
        """Carry everything both ways, until nobody has anything to say; then both agree."""
        for _ in range(2000):
            self.collect(Recipe())
            if not self.to_h2 and not self.to_ours:
                break
            for piece in self.to_h2.take(1 << 30):
                self._theirs(self.h2.receive_data(piece))
            for piece in self.to_ours.take(1 << 30):
                self.owner.receive(piece)
        else:
            raise AssertionError("they never come to rest")
        self._check_windows()

    def _theirs(self, events: list[h2.events.Event]) -> None:
        for event in events:
            if isinstance(event, h2.events.ConnectionTerminated):
                self.terminated = event
            if isinstance(event, h2.events.SettingsAcknowledged):
                self.unsettled -= 1
            number = getattr(event, "stream_id", None)
            if not number or isinstance(event, (h2.events.PriorityUpdated, h2.events.UnknownFrameReceived)):
                continue
            talk = self.talks[number]
            talk.held += note(event, talk.heard)

    def _check_windows(self) -> None:
        """At rest: the windows of both sides are the same, and nothing waits that could go."""
        assert self.engine.send_window == self.h2.inbound_flow_control_window
        assert self.engine.recv_window == self.h2.outbound_flow_control_window
        for talk in self.talks.values():
            stream = self.owner.streams.get(talk.number)
            if stream is None or talk.number not in self.engine.streams:
                continue
            if not stream.local_closed and not talk.theirs.silent:
                room = min(self.engine.send_window, stream.send_window)
                assert room == self.h2.remote_flow_control_window(talk.number)
            if not stream.remote_closed and not talk.theirs.silent:
                room = min(self.engine.recv_window, stream.recv_window)
                assert room == self.h2.local_flow_control_window(talk.number)
            if stream.has_pending and self.engine.writable:
                assert min(self.engine.send_window, stream.send_window) <= 0
            if not stream.remote_closed and not stream.unreturned:
                assert 2 * stream.recv_window >= self.engine.initial_window, "octets are lost to the window"

    def check_rules(self) -> None:
        """Neither has found a fault with the other."""
        assert self.owner.over is None
        assert all(stream.heard.refused is None for stream in self.owner.streams.values())
        assert all(talk.heard.refused is None for talk in self.talks.values())

    # Streams

    def open(self, fields: Pairs, end: bool, settle: bool) -> None:
        """The client opens a stream, if the server lets it."""
        if self.opened == 20:
            return
        number = 2 * self.opened + 1
        if self.client:
            most = self.engine.peer_max_streams
            if most is not None and len(self.engine.streams) >= most:
                return
            said = self.talks.setdefault(number, Talk(number)).ours
            stable, variable = ((*REQUEST, *fields), []) if settle else (REQUEST, fields)
            assert self.owner.open(stable, variable, end=end).id == number
        else:
            if self.h2.open_outbound_streams >= self.engine.limits.max_concurrent_streams:
                return
            said = self.talks.setdefault(number, Talk(number)).theirs
            self.h2.send_headers(number, [*REQUEST, *fields], end_stream=end)
        self.opened += 1
        said.heads.append([*REQUEST, *fields])
        said.ended = end
        if settle:
            self.settle()

    def _ours_open(self, pick: int) -> tuple[Talk, Ours] | None:
        """One of the streams on which we may still speak; as a server, with its head sent."""
        able = [
            talk
            for talk in self.talks.values()
            if talk.number in self.owner.streams
            and not talk.ours.silent
            and not self.owner.streams[talk.number].local_closed
        ]
        if not able:
            return None
        talk = able[pick % len(able)]
        stream = self.owner.streams[talk.number]
        if not talk.ours.heads:
            talk.ours.heads.append([*RESPONSE])
            self.engine.send_headers(stream, RESPONSE, None)
        return talk, stream

    def _theirs_open(self, pick: int) -> Talk | None:
        """One of the streams on which h2 may still speak; as a server, with its head sent."""
        able = [
            talk
            for talk in self.talks.values()
            if (talk.heard.heads or not self.client) and not talk.theirs.silent and talk.heard.reset is None
        ]
        if not able:
            return None
        talk = able[pick % len(able)]
        if not talk.theirs.heads:
            talk.theirs.heads.append([*RESPONSE])
            self.h2.send_headers(talk.number, RESPONSE)
        return talk

    def answer(self, fields: Pairs, end: bool, interim: bool) -> None:
        """The server sends the head of the first stream without one; h2 an interim one before it too."""
        heard = [
            talk
            for talk in self.talks.values()
            if (talk.heard.heads if self.client else talk.number in self.engine.streams)
            and talk.heard.reset is None
        ]
        for talk in heard:
            said = talk.theirs if self.client else talk.ours
            if said.heads or said.silent:
                continue
            if not self.client:
                stable, variable = ((*RESPONSE, *fields), None) if interim else (RESPONSE, fields)
                stream = self.owner.streams[talk.number]
                self.engine.send_headers(stream, stable, variable, end_stream=end)
            else:
                if interim:
                    self.h2.send_headers(talk.number, [(b":status", b"103"), (b"link", b"</a>")])
                self.h2.send_headers(talk.number, [*RESPONSE, *fields], end_stream=end)
            said.heads.append([*RESPONSE, *fields])
            said.ended = end
            return

    def we_send(self, pick: int, size: int, end: bool) -> None:
        found = self._ours_open(pick)
        if found is None:
            return
        talk, stream = found
        # h2 takes even an empty frame for too much while its window is below zero; section 6.9.1 lets it go.
        if not size and stream.send_window < 0:
            return
        data = bytes([len(talk.ours.body) % 251]) * size
        talk.ours.body += data
        talk.ours.ended = end
        before = stream.drained
        at_once = self.engine.send(stream, data, end_stream=end)
        assert at_once == (not stream.has_pending)
        if not at_once:
            assert stream.drained == before

    def we_send_messages(self, pick: int, sizes: list[int]) -> None:
        """A frame for each, as far as they go at once; the first that does not waits in line."""
        found = self._ours_open(pick)
        if found is None:
            return
        talk, stream = found
        engine = self.engine
        for size in sizes:
            payload = bytes([len(talk.ours.body) % 251]) * size
            room = min(stream.send_window, engine.send_window, engine.peer_max_frame_size)
            may = (
                engine.writable
                and not stream.has_pending
                and engine.output_size < engine.limits.max_send_buffer
            )
            before, data = engine.output_size, frame_message(payload)
            at_once = engine.send_message(stream, payload, False)
            assert at_once == (may and len(data) <= room)
            assert engine.output_size == before + at_once * len(data)
            talk.ours.body += data
            if not at_once:
                engine.send(stream, data)
                return

    def they_send(self, pick: int, size: int, padding: int | None, end: bool) -> None:
        """What fits of it: h2 leaves waiting for a window to its user."""
        talk = self._theirs_open(pick)
        if talk is None:
            return
        spare = 0 if padding is None else padding + 1
        room = min(self.h2.local_flow_control_window(talk.number), self.h2.max_outbound_frame_size) - spare
        # As above.
        if room < 0:
            return
        data = bytes([len(talk.theirs.body) % 251]) * min(size, room)
        talk.theirs.body += data
        talk.theirs.ended = end
        self.h2.send_data(talk.number, data, end_stream=end, pad_length=padding)

    def they_send_messages(self, pick: int, sizes: list[int]) -> None:
        """A frame for each; as many as the window takes."""
        talk = self._theirs_open(pick)
        if talk is None:
            return
        for size in sizes:
            data = frame_message(bytes([len(talk.theirs.body) % 251]) * size)
            if len(data) > self.h2.local_flow_control_window(talk.number):
                return
            talk.theirs.body += data
            self.h2.send_data(talk.number, data)

    def trail(self, pick: int, fields: Pairs, ours: bool) -> None:
        """Either side ends its half by trailers."""
        trailers = [(b"grpc-status", b"0"), *fields]
        if ours:
            found = self._ours_open(pick)
            if found is None:
                return
            said = found[0].ours
            self.engine.send_headers(found[1], (trailers[0],), fields, end_stream=True)
        else:
            talk = self._theirs_open(pick)
            if talk is None:
                return
            said = talk.theirs
            self.h2.send_headers(talk.number, trailers, end_stream=True)
        said.heads.append(trailers)
        said.ended = True

    def reset(self, pick: int, code: Any, ours: bool) -> None:
        """Either side resets a stream that it has not seen closed, ended or not."""
        if ours:
            able = [self.talks[number] for number in self.engine.streams]
            if able:
                talk = able[pick % len(able)]
                self.engine.reset(self.owner.streams[talk.number], code, tell=False)
                talk.ours.reset = code
                assert talk.number not in self.engine.streams
        else:
            able = [
                talk
                for talk in self.talks.values()
                if talk.theirs.reset is None
                and talk.heard.reset is None
                and not (talk.theirs.ended and talk.heard.ended)
                and (talk.theirs.heads or talk.heard.heads)
            ]
            if able:
                talk = able[pick % len(able)]
                self.h2.reset_stream(talk.number, code)
                talk.theirs.reset = code

    # Windows, settings, the rest

    def we_give_back(self) -> None:
        for stream in self.owner.streams.values():
            stream.give_back()

    def they_give_back(self, pick: int) -> None:
        able = [talk for talk in self.talks.values() if talk.held]
        if able:
            talk = able[pick % len(able)]
            self.h2.acknowledge_received_data(talk.held, talk.number)
            talk.held = 0

    def they_widen(self, pick: int, octets: int) -> None:
        """h2 opens the connection's window, or that of a stream."""
        able = [
            talk.number for talk in self.talks.values() if not talk.ours.silent and not talk.theirs.silent
        ]
        able = [number for number in able if self.talks[number].heard.heads]
        number = able[pick % len(able)] if able and pick % 2 else None
        if number is None or (not self.talks[number].heard.ended and self.talks[number].heard.reset is None):
            self.h2.increment_flow_control_window(octets, number)

    # One change at a time: h2 takes an acknowledgement for that of the next value of every parameter. None of
    # MAX_CONCURRENT_STREAMS: h2 counts late HEADERS of a stream that it has reset as a new one.
    def they_change_settings(self, change: tuple[h2.settings.SettingCodes, int]) -> None:
        if self.unsettled:
            return
        self.h2.update_settings(dict([change]))
        self.unsettled += 1

    def they_ping(self, data: bytes) -> None:
        self.h2.ping(data)

    def our_socket_fills_or_drains(self, writable: bool) -> None:
        self.engine.writable = writable
        if writable:
            self.engine.pump()

    # The end. h2 says and reads nothing after a GOAWAY, in either direction, so that these are last steps.

    def they_go_away(self, pick: int, code: int) -> None:
        """Streams above the last one that h2 names were not acted on; the others go on."""
        self.settle()
        last = 2 * (pick % (self.opened + 1)) - 1 if pick % (self.opened + 1) else 0
        before = set(self.engine.streams)
        self.h2.close_connection(error_code=code, last_stream_id=last)
        self.collect(Recipe())
        for piece in self.to_ours.take(1 << 30):
            self.owner.receive(piece)
        assert self.owner.goaways == [code]
        assert self.engine.goaway
        lost = {number for number in before if number > last} if self.client else set()
        assert set(self.engine.streams) == before - lost
        assert {number for number, one in self.owner.streams.items() if one.heard.unprocessed} == lost

    def we_go_away(self, pick: int, code: Any) -> None:
        """h2 learns the last stream that we took."""
        self.settle()
        self.engine.say_goaway(code)
        last = self.engine.last_taken
        self.collect(Recipe())
        for piece in self.to_h2.take(1 << 30):
            self._theirs(self.h2.receive_data(piece))
        assert self.terminated is not None
        assert int(self.terminated.error_code or 0) == code
        assert self.terminated.last_stream_id == last == (0 if self.client else max([0, *self.talks]))

    def finish(self) -> None:
        """Open every window, end every half that is not, and come to rest: everything was heard."""
        self.our_socket_fills_or_drains(writable=True)
        self.settle()
        for _ in self.talks:
            self.they_give_back(0)
        self.we_give_back()
        self.they_change_settings((h2.settings.SettingCodes.INITIAL_WINDOW_SIZE, 20_000_000))
        self.h2.increment_flow_control_window(20_000_000)
        self.settle()
        while (found := self._ours_open(0)) is not None:
            self.engine.send(found[1], b"", end_stream=True)
            found[0].ours.ended = True
        while (talk := self._theirs_open(0)) is not None:
            self.h2.end_stream(talk.number)
            talk.theirs.ended = True
        self.settle()
        assert not self.engine.streams
        assert not self.engine.blocked
        assert sorted(self.owner.closed) == sorted(self.owner.streams), "each stream is closed once"
        assert self.h2.open_outbound_streams == self.h2.open_inbound_streams == 0
        for talk in self.talks.values():
            self._check_outcome(talk)

    def check_beginnings(self) -> None:
        """What each heard so far is the beginning of what the other said."""
        for talk in self.talks.values():
            for said, got in ((talk.ours, talk.heard), (talk.theirs, self._heard(talk))):
                assert said.body.startswith(got.body)
                assert said.heads[: len(got.heads)] == got.heads

    def _heard(self, talk: Talk) -> Heard:
        stream = self.owner.streams.get(talk.number)
        return stream.heard if stream is not None else Heard()

    def _check_outcome(self, talk: Talk) -> None:
        """Each side heard all that the other said, unless the stream was reset; then it heard of that."""
        heard = self._heard(talk)
        if talk.ours.reset is None and talk.theirs.reset is None:
            assert (heard.body, heard.heads, heard.ended) == (talk.theirs.body, talk.theirs.heads, True)
            assert (talk.heard.body, talk.heard.heads) == (talk.ours.body, talk.ours.heads)
            assert talk.heard.ended
            assert (heard.reset, talk.heard.reset) == (None, None)
            return
        for one, other, got in ((talk.ours, talk.theirs, talk.heard), (talk.theirs, talk.ours, heard)):
            # Who has closed both halves, or has reset the stream too, does not hear of it any more.
            if one.reset is None:
                assert got.reset is None
            elif other.reset is None and not (other.ended and got.ended):
                assert got.reset == one.reset


Step = tuple[Callable[..., None], dict[str, Any]]


def step(method: Callable[..., None], **arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    return st.tuples(st.just(method), st.fixed_dictionaries(arguments))


def setting(code: h2.settings.SettingCodes, *values: int) -> st.SearchStrategy[Any]:
    return st.tuples(st.just(code), st.sampled_from(values))


CHANGES = st.one_of(
    setting(h2.settings.SettingCodes.INITIAL_WINDOW_SIZE, 0, 1, 5_000, 65_535, 300_000),
    setting(h2.settings.SettingCodes.HEADER_TABLE_SIZE, 0, 100, 4096, 65_536),
    setting(h2.settings.SettingCodes.MAX_FRAME_SIZE, 16_384, 20_000, 100_000),
)
C = Conversation
OPEN = step(C.open, fields=FIELDS, end=SELDOM, settle=st.booleans())
WE_SEND = step(C.we_send, pick=PICK, size=SIZES, end=SELDOM)
THEY_SEND = step(C.they_send, pick=PICK, size=SIZES, padding=st.none() | st.integers(0, 255), end=SELDOM)
DELIVER = step(
    C.deliver, recipe=RECIPES, to_us=st.booleans(), octets=st.integers(1, 40_000) | st.just(1 << 30)
)
STEPS = st.one_of(
    OPEN,
    WE_SEND,
    THEY_SEND,
    DELIVER,
    # Twice, for those without which there is little to see.
    st.one_of(OPEN, WE_SEND, THEY_SEND, DELIVER),
    step(C.settle),
    step(C.we_send_messages, pick=PICK, sizes=st.lists(st.integers(0, 3000), min_size=2, max_size=20)),
    step(C.they_send_messages, pick=PICK, sizes=st.lists(st.integers(0, 300), min_size=2, max_size=20)),
    step(C.answer, fields=FIELDS, end=SELDOM, interim=st.booleans()),
    step(C.trail, pick=PICK, fields=FIELDS, ours=st.booleans()),
    step(C.reset, pick=PICK, code=CODES, ours=st.booleans()),
    step(C.we_give_back),
    step(C.they_give_back, pick=PICK),
    step(C.they_widen, pick=PICK, octets=st.integers(1, 200_000)),
    step(C.they_change_settings, change=CHANGES),
    step(C.they_ping, data=st.binary(min_size=8, max_size=8)),
    step(C.our_socket_fills_or_drains, writable=st.booleans()),
)


@pytest.mark.parametrize("client", [True, False], ids=["our client", "our server"])
@settings(
    max_examples=150 * EXAMPLES,
    deadline=None,
    # Making a failing plan shorter takes minutes: worth it in a long search only.
    phases=list(Phase) if EXAMPLES > 1 else [Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    limits=st.sampled_from(LIMITS),
    greet=st.booleans(),
    window=st.sampled_from([0, 5_000, 300_000, None]),
    plan=st.lists(STEPS, min_size=30, max_size=80),
    farewell=st.sampled_from([C.they_go_away, C.we_go_away, None, None]),
    pick=PICK,
    code=CODES,
)
def test_each_hears_what_the_other_said_whatever_the_order(
    client: bool,
    limits: Limits,
    greet: bool,
    window: int | None,
    plan: list[Step],
    farewell: Callable[[Conversation, int, int], None] | None,
    pick: int,
    code: int,
) -> None:
    conversation = Conversation(client=client, limits=limits, greet=greet, window=window)
    for method, arguments in plan:
        method(conversation, **arguments)
        conversation.check_rules()
    if farewell is None:
        conversation.finish()
    else:
        farewell(conversation, pick, code)
    conversation.check_beginnings()
    conversation.check_rules()


def test_a_peer_that_has_not_read_our_settings_may_use_the_default_window() -> None:
    conversation = Conversation(client=False, limits=LIMITS[1], greet=False, window=None)
    conversation.open(fields=[], end=False, settle=False)
    for _ in range(5):
        conversation.they_send(pick=0, size=16_384, padding=None, end=False)
    assert len(conversation.talks[1].theirs.body) == 65_535
    conversation.finish()
    assert len(conversation.owner.streams[1].heard.body) == 65_535
    conversation.check_rules()
