"""What streams promise: leaving early, timeouts of one receive, iterables that fail, servers that answer early: written once, run with asyncio and without."""

from __future__ import annotations

import pytest

from support.client_support import BOTH, DOWN, ONE, UP, raw_server
from support.sync_support import BlockingNotes
from support.twins_support import Event, elsewhere, sleep, start, there, until
from support.wire_support import DATA, END_STREAM, HEADERS, RESPONSE, RST_STREAM, frame, message
from twins.grpc_support import notes_channel, wire_channel
from wirelane import BusyError, EndOfStream, ReadTimeout, RpcError, StatusCode, UsageError, grpc
from wirelane.core.metadata import Metadata
from wirelane.transport.base import ServerStream


@pytest.mark.parametrize("form", ["server_stream", "bidi_stream", "client_stream"])
async def test_a_stream_left_before_its_end_cancels_the_call(form: str) -> None:
    notes = BlockingNotes()
    method = {"server_stream": "Calls/Down", "bidi_stream": "Calls/BothWays", "client_stream": "Calls/Up"}[
        form
    ]
    async with notes_channel(notes) as channel:
        call = getattr(channel, form)(method, {"n": 1, "text": "hang"} if form == "server_stream" else None)
        async with call as stream:
            if form == "server_stream":
                await stream.receive()
            else:
                await stream.send({"n": 1})
            await until(lambda: notes.timeouts)
        assert stream.status is StatusCode.CANCELLED
        await until(notes.ended.is_set)


async def test_leaving_a_stream_resets_it_with_cancel() -> None:
    async with elsewhere(raw_server) as raw, grpc.Channel(f"127.0.0.1:{raw.port}") as channel:
        async with channel.bidi_stream(BOTH):
            peer = await raw.peers.get()
            head = await peer.next(HEADERS)
        reset = await peer.next(RST_STREAM)
        assert (reset.stream, reset.code) == (head.stream, 8)


async def test_breaking_out_of_the_loop_leaves_no_call_active() -> None:
    async with notes_channel() as channel:
        async with channel.server_stream("Calls/Down", {"n": 1000}) as stream:
            async for received in stream:
                if received["n"] == 3:
                    break
        assert channel.stats.active == 0


async def test_a_receive_that_times_out_loses_nothing_and_the_call_goes_on() -> None:
    go = Event()

    @there
    async def handler(stream: ServerStream) -> None:
        await stream.receive()
        stream.send_head(Metadata())
        await go.wait()
        await stream.send(b"late")
        stream.finish(StatusCode.OK)

    async with wire_channel(handler) as channel:
        async with channel.server_stream(DOWN, b"") as stream:
            for timeout in (0, 0.01):
                with pytest.raises(ReadTimeout):
                    await stream.receive(timeout=timeout)
            go.set()
            assert await stream.receive(timeout=10) == b"late"
            assert await stream.receive(timeout=10) is None


async def test_a_receive_with_timeout_0_takes_what_is_here() -> None:
    async with notes_channel() as channel:
        async with channel.server_stream("Calls/Down", {"n": 2}) as stream:
            assert (await stream.receive())["n"] == 0
            while True:
                try:
                    assert (await stream.receive(timeout=0))["n"] == 1
                    break
                except ReadTimeout:
                    await sleep(0)


async def test_two_receives_at_once_are_refused() -> None:
    async with notes_channel() as channel:
        async with channel.bidi_stream("Calls/BothWays") as stream:
            both = [start(stream.receive), start(stream.receive)]
            await until(lambda: any(each.done() for each in both))
            both.sort(key=lambda each: each.done())
            with pytest.raises(BusyError):
                await both[1].result()
            assert not both[0].done()
            await stream.done_sending()
            assert await both[0].result() is None


async def test_sending_after_done_sending_is_refused() -> None:
    async with notes_channel() as channel:
        async with channel.bidi_stream("Calls/BothWays") as stream:
            await stream.done_sending()
            await stream.done_sending()
            with pytest.raises(UsageError, match="done_sending"):
                await stream.send({})


async def test_sending_by_hand_beside_an_iterable_is_refused() -> None:
    async with notes_channel() as channel:
        async with channel.bidi_stream("Calls/BothWays", [{"n": 1}]) as stream:
            with pytest.raises(BusyError):
                await stream.send({})


async def test_send_is_false_once_the_server_has_answered_well() -> None:
    @there
    async def handler(stream: ServerStream) -> None:
        await stream.receive()
        stream.finish(StatusCode.OK, payload=b"enough")

    async with wire_channel(handler) as channel:
        async with channel.client_stream(UP) as stream:
            while await stream.send(b"more"):
                await sleep(0)
            assert await stream.finish() == b"enough"
        assert channel.stats.succeeded == 1


async def test_send_raises_once_the_server_has_answered_badly() -> None:
    async with notes_channel() as channel:
        async with channel.client_stream("Calls/Up") as stream:
            with pytest.raises(RpcError, match="not this one"):
                while await stream.send({"text": "fail"}):
                    await sleep(0)
            with pytest.raises(RpcError, match="not this one"):
                await stream.finish()


@pytest.mark.parametrize("form", ["client_stream", "bidi_stream"])
async def test_a_server_that_answers_early_ends_an_iterable_that_would_go_on_for_ever(form: str) -> None:
    closed = Event()

    async def endless():
        try:
            yield {"text": "stop"}
            while True:
                yield {}
        finally:
            closed.set()

    source = endless()
    async with notes_channel() as channel:
        if form == "client_stream":
            assert (await channel.client_stream("Calls/Up", source))["n"] == 1
        else:
            async with channel.bidi_stream("Calls/BothWays", source) as stream:
                assert await stream.receive() is None
        await closed.wait()


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("form", ["client_stream", "bidi_stream"])
async def test_what_an_iterable_raises_cancels_the_call_and_is_raised(form: str, asynchronous: bool) -> None:
    async def bad():
        yield {"n": 1}
        raise LookupError("no more")

    def bad_sync():
        yield {"n": 1}
        raise LookupError("no more")

    notes = BlockingNotes()
    async with notes_channel(notes) as channel:
        source = bad() if asynchronous else bad_sync()
        with pytest.raises(LookupError, match="no more"):
            if form == "client_stream":
                await channel.client_stream("Calls/Up", source)
            else:
                async with channel.bidi_stream("Calls/BothWays", source) as stream:
                    async for _ in stream:
                        pass
        await until(notes.ended.is_set)


async def test_what_an_iterable_raises_is_raised_although_nobody_receives() -> None:
    async def bad():
        raise LookupError("at once")
        yield

    async with notes_channel() as channel:
        with pytest.raises(LookupError, match="at once"):
            async with channel.bidi_stream("Calls/BothWays", bad()) as stream:
                await until(lambda: stream.status is not None)


async def test_an_iterable_that_does_not_encode_is_a_codec_error() -> None:
    from wirelane import CodecError

    async def bad():
        yield {"wrong": 1}

    async with notes_channel() as channel:
        with pytest.raises(CodecError, match="wrong"):
            await channel.client_stream("Calls/Up", bad())


async def test_flow_control_holds_a_sender_back() -> None:
    go = Event()

    @there
    async def handler(stream: ServerStream) -> None:
        await go.wait()
        total = 0
        while (part := await stream.receive()) is not None:
            total += len(part[1])
        stream.finish(StatusCode.OK, payload=str(total).encode())

    sent = 0

    async def chunks():
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield bytes(100_000)

    async with wire_channel(handler) as channel:
        task = start(channel.client_stream, UP, chunks())
        before = -1
        while before != sent or not sent:
            before = sent
            await sleep(0.02)
        assert sent < 60, "the window is 1 MiB, the send buffer another"
        go.set()
        assert await task.result() == b"10000000"


async def test_a_server_that_sends_slowly_byte_by_byte_is_understood() -> None:
    async with elsewhere(raw_server) as raw, grpc.Channel(f"127.0.0.1:{raw.port}") as channel:
        async with channel.server_stream(DOWN, b"") as stream:
            peer = await raw.peers.get()
            head = await peer.request()
            peer.write(peer.headers(head.stream, RESPONSE))
            for byte in message(b"abc") + message(b""):
                peer.write(frame(DATA, 0, head.stream, bytes((byte,))), frame(DATA, 0, head.stream))
                await sleep(0)
            peer.write(peer.headers(head.stream, [("grpc-status", "0")], end=True))
            assert [item async for item in stream] == [b"abc", b""]


async def test_the_head_of_a_bidi_call_goes_out_before_any_message() -> None:
    @there
    async def handler(stream: ServerStream) -> None:
        await stream.send(b"hello")
        assert await stream.receive() == (False, b"hello yourself")
        stream.finish(StatusCode.OK)

    async with wire_channel(handler) as channel:
        async with channel.bidi_stream(BOTH) as stream:
            assert await stream.receive() == b"hello"
            await stream.send(b"hello yourself")
            assert await stream.receive() is None


async def test_a_unary_request_leaves_with_its_end() -> None:
    async with elsewhere(raw_server) as raw, grpc.Channel(f"127.0.0.1:{raw.port}") as channel:
        call = start(channel.unary, ONE, b"x")
        peer = await raw.peers.get()
        head = await peer.next(HEADERS)
        data = await peer.next(DATA)
        assert data.flags & END_STREAM
        assert data.payload == message(b"x")
        peer.answer(head.stream)
        assert await call.result() == b"reply"


async def test_collect_gathers_the_replies_of_every_kind() -> None:
    async def two():
        yield {"n": 1}
        yield {"n": 2}

    async with notes_channel() as channel:
        assert [m["n"] for m in await channel.collect("Calls/One", {"n": 7})] == [7]
        assert [m["n"] for m in await channel.collect("Calls/Down", {"n": 4})] == [0, 1, 2, 3]
        assert [m["n"] for m in await channel.collect("Calls/Down", {"n": 10**6}, limit=3)] == [0, 1, 2]
        assert [m["n"] for m in await channel.collect("Calls/Up", {"n": 1})] == [1]
        assert [m["n"] for m in await channel.collect("Calls/Up")] == [0]
        assert [m["n"] for m in await channel.collect("Calls/BothWays", [{"n": 1}, {"n": 2}])] == [1, 2]
        assert [m["n"] for m in await channel.collect("Calls/BothWays", two())] == [1, 2]
        with pytest.raises(UsageError, match="limit"):
            await channel.collect("Calls/Down", limit=0)


async def test_collect_keeps_what_came_before_an_error() -> None:
    async with notes_channel() as channel:
        into: list = []
        with pytest.raises(RpcError, match="it broke"):
            await channel.collect("Calls/Down", {"n": 3, "text": "fail"}, into=into)
        assert [m["n"] for m in into] == [0, 1, 2]


async def test_exchange_runs_a_script_in_order() -> None:
    async with notes_channel() as channel:
        script = [
            grpc.Send({"n": 1}),
            grpc.Receive(timeout=10),
            grpc.Send({"n": 2}),
            grpc.Send({"n": 3}),
            grpc.Receive(2),
            grpc.Send({"n": 4}),
        ]
        assert [m["n"] for m in await channel.exchange("Calls/BothWays", script)] == [1, 2, 3, 4]
        assert [m["n"] for m in await channel.exchange("Calls/BothWays", script, rest=False)] == [1, 2, 3]


async def test_exchange_says_which_step_failed() -> None:
    async with notes_channel() as channel:
        into: list = []
        with pytest.raises(EndOfStream, match="step 4"):
            await channel.exchange(
                "Calls/BothWays",
                [grpc.Send({"n": 1}), grpc.Receive(), grpc.DoneSending(), grpc.Receive()],
                into=into,
            )
        assert [m["n"] for m in into] == [1]
        with pytest.raises(ReadTimeout):
            await channel.exchange("Calls/BothWays", [grpc.Receive(timeout=0.01)])
        with pytest.raises(RpcError, match="ABORTED"):
            await channel.exchange("Calls/BothWays", [grpc.Send({"text": "fail"}), grpc.Receive()])
        with pytest.raises(UsageError, match="step 1"):
            await channel.exchange("Calls/BothWays", [{"n": 1}])  # type: ignore[list-item]
