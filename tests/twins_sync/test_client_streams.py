"""What streams promise: leaving early, timeouts of one receive, iterables that fail, servers that answer early.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

import pytest

from support.client_support import BOTH, DOWN, ONE, UP, raw_server
from support.sync_support import BlockingNotes
from support.twins_sync_support import Event, elsewhere, sleep, start, there, until
from support.wire_support import DATA, END_STREAM, HEADERS, RESPONSE, RST_STREAM, frame, message
from twins_sync.grpc_support import notes_channel, wire_channel
from wirelane.core.metadata import Metadata
from wirelane.sync import BusyError, EndOfStream, ReadTimeout, RpcError, StatusCode, UsageError, grpc
from wirelane.transport.base import ServerStream


@pytest.mark.parametrize("form", ["server_stream", "bidi_stream", "client_stream"])
def test_a_stream_left_before_its_end_cancels_the_call(form: str) -> None:
    notes = BlockingNotes()
    method = {"server_stream": "Calls/Down", "bidi_stream": "Calls/BothWays", "client_stream": "Calls/Up"}[
        form
    ]
    with notes_channel(notes) as channel:
        call = getattr(channel, form)(method, {"n": 1, "text": "hang"} if form == "server_stream" else None)
        with call as stream:
            if form == "server_stream":
                stream.receive()
            else:
                stream.send({"n": 1})
            until(lambda: notes.timeouts)
        assert stream.status is StatusCode.CANCELLED
        until(notes.ended.is_set)


def test_leaving_a_stream_resets_it_with_cancel() -> None:
    with elsewhere(raw_server) as raw, grpc.Channel(f"127.0.0.1:{raw.port}") as channel:
        with channel.bidi_stream(BOTH):
            peer = raw.peers.get()
            head = peer.next(HEADERS)
        reset = peer.next(RST_STREAM)
        assert (reset.stream, reset.code) == (head.stream, 8)


def test_breaking_out_of_the_loop_leaves_no_call_active() -> None:
    with notes_channel() as channel:
        with channel.server_stream("Calls/Down", {"n": 1000}) as stream:
            for received in stream:
                if received["n"] == 3:
                    break
        assert channel.stats.active == 0


def test_a_receive_that_times_out_loses_nothing_and_the_call_goes_on() -> None:
    go = Event()

    @there
    async def handler(stream: ServerStream) -> None:
        await stream.receive()
        stream.send_head(Metadata())
        await go.wait()
        await stream.send(b"late")
        stream.finish(StatusCode.OK)

    with wire_channel(handler) as channel:
        with channel.server_stream(DOWN, b"") as stream:
            for timeout in (0, 0.01):
                with pytest.raises(ReadTimeout):
                    stream.receive(timeout=timeout)
            go.set()
            assert stream.receive(timeout=10) == b"late"
            assert stream.receive(timeout=10) is None


def test_a_receive_with_timeout_0_takes_what_is_here() -> None:
    with notes_channel() as channel:
        with channel.server_stream("Calls/Down", {"n": 2}) as stream:
            assert (stream.receive())["n"] == 0
            while True:
                try:
                    assert (stream.receive(timeout=0))["n"] == 1
                    break
                except ReadTimeout:
                    sleep(0)


def test_two_receives_at_once_are_refused() -> None:
    with notes_channel() as channel:
        with channel.bidi_stream("Calls/BothWays") as stream:
            both = [start(stream.receive), start(stream.receive)]
            until(lambda: any(each.done() for each in both))
            both.sort(key=lambda each: each.done())
            with pytest.raises(BusyError):
                both[1].result()
            assert not both[0].done()
            stream.done_sending()
            assert both[0].result() is None


def test_sending_after_done_sending_is_refused() -> None:
    with notes_channel() as channel:
        with channel.bidi_stream("Calls/BothWays") as stream:
            stream.done_sending()
            stream.done_sending()
            with pytest.raises(UsageError, match="done_sending"):
                stream.send({})


def test_sending_by_hand_beside_an_iterable_is_refused() -> None:
    with notes_channel() as channel:
        with channel.bidi_stream("Calls/BothWays", [{"n": 1}]) as stream:
            with pytest.raises(BusyError):
                stream.send({})


def test_send_is_false_once_the_server_has_answered_well() -> None:
    @there
    async def handler(stream: ServerStream) -> None:
        await stream.receive()
        stream.finish(StatusCode.OK, payload=b"enough")

    with wire_channel(handler) as channel:
        with channel.client_stream(UP) as stream:
            while stream.send(b"more"):
                sleep(0)
            assert stream.finish() == b"enough"
        assert channel.stats.succeeded == 1


def test_send_raises_once_the_server_has_answered_badly() -> None:
    with notes_channel() as channel:
        with channel.client_stream("Calls/Up") as stream:
            with pytest.raises(RpcError, match="not this one"):
                while stream.send({"text": "fail"}):
                    sleep(0)
            with pytest.raises(RpcError, match="not this one"):
                stream.finish()


@pytest.mark.parametrize("form", ["client_stream", "bidi_stream"])
def test_a_server_that_answers_early_ends_an_iterable_that_would_go_on_for_ever(form: str) -> None:
    closed = Event()

    def endless():
        try:
            yield {"text": "stop"}
            while True:
                yield {}
        finally:
            closed.set()

    source = endless()
    with notes_channel() as channel:
        if form == "client_stream":
            assert (channel.client_stream("Calls/Up", source))["n"] == 1
        else:
            with channel.bidi_stream("Calls/BothWays", source) as stream:
                assert stream.receive() is None
        closed.wait()


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("form", ["client_stream", "bidi_stream"])
def test_what_an_iterable_raises_cancels_the_call_and_is_raised(form: str, asynchronous: bool) -> None:
    def bad():
        yield {"n": 1}
        raise LookupError("no more")

    def bad_sync():
        yield {"n": 1}
        raise LookupError("no more")

    notes = BlockingNotes()
    with notes_channel(notes) as channel:
        source = bad() if asynchronous else bad_sync()
        with pytest.raises(LookupError, match="no more"):
            if form == "client_stream":
                channel.client_stream("Calls/Up", source)
            else:
                with channel.bidi_stream("Calls/BothWays", source) as stream:
                    for _ in stream:
                        pass
        until(notes.ended.is_set)


def test_what_an_iterable_raises_is_raised_although_nobody_receives() -> None:
    def bad():
        raise LookupError("at once")
        yield

    with notes_channel() as channel:
        with pytest.raises(LookupError, match="at once"):
            with channel.bidi_stream("Calls/BothWays", bad()) as stream:
                until(lambda: stream.status is not None)


def test_an_iterable_that_does_not_encode_is_a_codec_error() -> None:
    from wirelane.sync import CodecError

    def bad():
        yield {"wrong": 1}

    with notes_channel() as channel:
        with pytest.raises(CodecError, match="wrong"):
            channel.client_stream("Calls/Up", bad())


def test_flow_control_holds_a_sender_back() -> None:
    go = Event()

    @there
    async def handler(stream: ServerStream) -> None:
        await go.wait()
        total = 0
        while (part := await stream.receive()) is not None:
            total += len(part[1])
        stream.finish(StatusCode.OK, payload=str(total).encode())

    sent = 0

    def chunks():
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield bytes(100_000)

    with wire_channel(handler) as channel:
        task = start(channel.client_stream, UP, chunks())
        before = -1
        while before != sent or not sent:
            before = sent
            sleep(0.02)
        assert sent < 60, "the window is 1 MiB, the send buffer another"
        go.set()
        assert task.result() == b"10000000"


def test_a_server_that_sends_slowly_byte_by_byte_is_understood() -> None:
    with elsewhere(raw_server) as raw, grpc.Channel(f"127.0.0.1:{raw.port}") as channel:
        with channel.server_stream(DOWN, b"") as stream:
            peer = raw.peers.get()
            head = peer.request()
            peer.write(peer.headers(head.stream, RESPONSE))
            for byte in message(b"abc") + message(b""):
                peer.write(frame(DATA, 0, head.stream, bytes((byte,))), frame(DATA, 0, head.stream))
                sleep(0)
            peer.write(peer.headers(head.stream, [("grpc-status", "0")], end=True))
            assert list(stream) == [b"abc", b""]


def test_the_head_of_a_bidi_call_goes_out_before_any_message() -> None:
    @there
    async def handler(stream: ServerStream) -> None:
        await stream.send(b"hello")
        assert await stream.receive() == (False, b"hello yourself")
        stream.finish(StatusCode.OK)

    with wire_channel(handler) as channel:
        with channel.bidi_stream(BOTH) as stream:
            assert stream.receive() == b"hello"
            stream.send(b"hello yourself")
            assert stream.receive() is None


def test_a_unary_request_leaves_with_its_end() -> None:
    with elsewhere(raw_server) as raw, grpc.Channel(f"127.0.0.1:{raw.port}") as channel:
        call = start(channel.unary, ONE, b"x")
        peer = raw.peers.get()
        head = peer.next(HEADERS)
        data = peer.next(DATA)
        assert data.flags & END_STREAM
        assert data.payload == message(b"x")
        peer.answer(head.stream)
        assert call.result() == b"reply"


def test_collect_gathers_the_replies_of_every_kind() -> None:
    def two():
        yield {"n": 1}
        yield {"n": 2}

    with notes_channel() as channel:
        assert [m["n"] for m in channel.collect("Calls/One", {"n": 7})] == [7]
        assert [m["n"] for m in channel.collect("Calls/Down", {"n": 4})] == [0, 1, 2, 3]
        assert [m["n"] for m in channel.collect("Calls/Down", {"n": 10**6}, limit=3)] == [0, 1, 2]
        assert [m["n"] for m in channel.collect("Calls/Up", {"n": 1})] == [1]
        assert [m["n"] for m in channel.collect("Calls/Up")] == [0]
        assert [m["n"] for m in channel.collect("Calls/BothWays", [{"n": 1}, {"n": 2}])] == [1, 2]
        assert [m["n"] for m in channel.collect("Calls/BothWays", two())] == [1, 2]
        with pytest.raises(UsageError, match="limit"):
            channel.collect("Calls/Down", limit=0)


def test_collect_keeps_what_came_before_an_error() -> None:
    with notes_channel() as channel:
        into: list = []
        with pytest.raises(RpcError, match="it broke"):
            channel.collect("Calls/Down", {"n": 3, "text": "fail"}, into=into)
        assert [m["n"] for m in into] == [0, 1, 2]


def test_exchange_runs_a_script_in_order() -> None:
    with notes_channel() as channel:
        script = [
            grpc.Send({"n": 1}),
            grpc.Receive(timeout=10),
            grpc.Send({"n": 2}),
            grpc.Send({"n": 3}),
            grpc.Receive(2),
            grpc.Send({"n": 4}),
        ]
        assert [m["n"] for m in channel.exchange("Calls/BothWays", script)] == [1, 2, 3, 4]
        assert [m["n"] for m in channel.exchange("Calls/BothWays", script, rest=False)] == [1, 2, 3]


def test_exchange_says_which_step_failed() -> None:
    with notes_channel() as channel:
        into: list = []
        with pytest.raises(EndOfStream, match="step 4"):
            channel.exchange(
                "Calls/BothWays",
                [grpc.Send({"n": 1}), grpc.Receive(), grpc.DoneSending(), grpc.Receive()],
                into=into,
            )
        assert [m["n"] for m in into] == [1]
        with pytest.raises(ReadTimeout):
            channel.exchange("Calls/BothWays", [grpc.Receive(timeout=0.01)])
        with pytest.raises(RpcError, match="ABORTED"):
            channel.exchange("Calls/BothWays", [grpc.Send({"text": "fail"}), grpc.Receive()])
        with pytest.raises(UsageError, match="step 1"):
            channel.exchange("Calls/BothWays", [{"n": 1}])  # type: ignore[list-item]
