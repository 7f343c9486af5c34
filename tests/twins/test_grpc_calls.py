"""Calls of every kind, against grpcio's threaded server: written once, run with asyncio and without."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from support.client_support import SERVICE, note_schema
from support.sync_support import BlockingNotes, blocking_server
from support.twins_support import BOTH, DOWN, ONE, UP
from wirelane import (
    ClosedError,
    CodecError,
    ConnectError,
    DeadlineExceeded,
    EndOfStream,
    ReadTimeout,
    RpcError,
    StatusCode,
    UsageError,
    grpc,
)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, BlockingNotes]]:
    with blocking_server() as served:
        yield served


@pytest.fixture
def notes(served: tuple[str, BlockingNotes]) -> BlockingNotes:
    served[1].ended.clear()
    served[1].began.clear()
    return served[1]


@pytest.fixture
async def channel(served: tuple[str, BlockingNotes]) -> AsyncIterator[grpc.Channel]:
    async with grpc.connect(served[0], schema=note_schema()) as channel:
        yield channel


async def test_a_unary_call_gives_its_reply(channel: grpc.Channel) -> None:
    """As a dict, with all fields."""
    reply = await channel.unary(ONE, {"n": 7, "text": "hello"}, timeout=10)
    assert (reply["n"], reply["text"]) == (7, "hello")


async def test_a_stub_of_the_schema_makes_calls_of_every_kind(channel: grpc.Channel) -> None:
    """On the channel that it was asked of."""
    calls = channel.service(SERVICE)
    reply = await calls.one({"n": 1})
    assert reply["n"] == 1
    async with calls.down({"n": 2}) as stream:
        numbers = [each["n"] async for each in stream]
    assert numbers == [0, 1]
    reply = await calls.up([{"text": "a"}, {"text": "b"}])
    assert reply["text"] == "a,b"


async def test_a_failed_call_raises_with_all_that_the_server_said(channel: grpc.Channel) -> None:
    """Code, message and trailers are in the error."""
    with pytest.raises(RpcError, match="käse") as failed:
        await channel.unary(ONE, {"text": "fail"})
    assert failed.value.code is StatusCode.FAILED_PRECONDITION
    assert failed.value.metadata is not None
    assert failed.value.metadata["why"] == "because"


async def test_a_deadline_ends_a_call_on_both_sides(channel: grpc.Channel, notes: BlockingNotes) -> None:
    """`timeout=` raises DeadlineExceeded here, and the server sees the call end."""
    with pytest.raises(DeadlineExceeded):
        await channel.unary(ONE, {"text": "hang"}, timeout=0.2)
    assert await asyncio.to_thread(notes.ended.wait, 10)


async def test_a_wrong_request_is_told_before_anything_is_sent(channel: grpc.Channel) -> None:
    """CodecError names the field; also from `send`, and the stream goes on."""
    with pytest.raises(CodecError, match="nope"):
        await channel.unary(ONE, {"nope": 1})
    async with channel.bidi_stream(BOTH) as stream:
        with pytest.raises(CodecError, match="n"):
            await stream.send({"n": "many"})
        assert await stream.send({"n": 3})
        reply = await stream.receive()
        assert reply is not None
        assert reply["n"] == 3


async def test_connecting_to_nothing_is_an_error() -> None:
    """Of its own kind, and nothing is left open."""
    with pytest.raises(ConnectError):
        async with grpc.connect("127.0.0.1:1"):
            raise AssertionError


async def test_a_server_stream_gives_every_message_in_order(channel: grpc.Channel) -> None:
    """And then the status."""
    async with channel.server_stream(DOWN, {"n": 3000}) as stream:
        numbers = [each["n"] async for each in stream]
        assert await stream.receive() is None
        assert stream.status is StatusCode.OK
    assert numbers == list(range(3000))


async def test_messages_before_an_error_are_given_first(channel: grpc.Channel) -> None:
    """The error comes where the server put it."""
    got = []
    async with channel.server_stream(DOWN, {"n": 40, "text": "fail"}) as stream:
        with pytest.raises(RpcError) as failed:
            async for message in stream:
                got.append(message["n"])  # noqa: PERF401  (those before the error count)
    assert got == list(range(40))
    assert failed.value.code is StatusCode.DATA_LOSS


async def test_reading_one_by_one_and_iterating_share_one_place(channel: grpc.Channel) -> None:
    """Each goes on where the other stopped."""
    got = []
    async with channel.server_stream(DOWN, {"n": 300}) as stream:
        async for message in stream:
            got.append(message["n"])
            if len(got) == 10:
                break
        for _ in range(10):
            received = await stream.receive()
            assert received is not None
            got.append(received["n"])
        got += [each["n"] async for each in stream]
    assert got == list(range(300))


async def test_a_receive_that_times_out_loses_nothing(channel: grpc.Channel) -> None:
    """The call goes on, and the next `receive` gets the message."""
    async with channel.bidi_stream(BOTH) as stream:
        with pytest.raises(ReadTimeout):
            await stream.receive(timeout=0.05)
        await stream.send({"n": 9})
        message = await stream.receive(timeout=10)
        assert message is not None
        assert message["n"] == 9


async def test_a_timeout_that_is_none_is_refused(channel: grpc.Channel) -> None:
    """Also where a message is here already."""
    async with channel.server_stream(DOWN, {"n": 3}) as stream:
        await stream.receive()
        with pytest.raises(UsageError):
            await stream.receive(timeout=-1)


async def test_cancelling_drops_what_was_not_read(channel: grpc.Channel) -> None:
    """The next read raises CANCELLED, although messages are here."""
    async with channel.server_stream(DOWN, {"n": 50, "text": "hang"}) as stream:
        await stream.receive()
        stream.cancel()
        with pytest.raises(RpcError) as failed:
            await stream.receive()
    assert failed.value.code is StatusCode.CANCELLED


async def test_leaving_a_stream_early_cancels_it(channel: grpc.Channel, notes: BlockingNotes) -> None:
    """The server sees the call end when the block is left."""
    async with channel.server_stream(DOWN, {"n": 1, "text": "hang"}) as stream:
        await stream.receive()
    assert await asyncio.to_thread(notes.ended.wait, 10)


async def test_a_client_stream_has_its_reply_in_the_end(channel: grpc.Channel) -> None:
    """`finish` sends what is left, half-closes, and gives the reply; again the same."""
    async with channel.client_stream(UP) as stream:
        for n in range(500):
            assert await stream.send({"n": n})
        reply = await stream.finish()
        assert reply["n"] == 500
        assert await stream.finish() is reply


async def test_a_client_stream_takes_its_messages_from_an_iterable(channel: grpc.Channel) -> None:
    """A list as well as a generator; the reply is what the call gives."""
    reply = await channel.client_stream(UP, [{"text": "a"}, {"text": "b"}])
    assert reply["text"] == "a,b"
    reply = await channel.client_stream(UP, ({"text": text} for text in "xyz"))
    assert reply["text"] == "x,y,z"


async def test_what_an_iterable_raises_is_raised_and_cancels_the_call(
    channel: grpc.Channel, notes: BlockingNotes
) -> None:
    """As itself, in the one who makes the call."""

    def broken() -> Iterator[dict[str, object]]:
        yield {"text": "a"}
        raise LookupError("no more words")

    with pytest.raises(LookupError, match="no more words"):
        await channel.client_stream(UP, broken())
    with pytest.raises(LookupError):
        async with channel.bidi_stream(BOTH, broken()) as stream:
            while await stream.receive() is not None:
                pass


async def test_sending_to_a_call_that_failed_raises_its_status(channel: grpc.Channel) -> None:
    """At the latest once the failure was read."""
    async with channel.bidi_stream(BOTH) as stream:
        await stream.send({"text": "fail"})
        with pytest.raises(RpcError) as failed:
            await stream.receive()
        assert failed.value.code is StatusCode.ABORTED
        with pytest.raises(RpcError):
            await stream.send({"n": 1})


async def test_a_server_that_answers_early_needs_no_more_messages(channel: grpc.Channel) -> None:
    """`send` returns False once nobody reads, and the reply is there."""
    async with channel.client_stream(UP) as stream:
        await stream.send({"text": "stop"})
        while await stream.send({"text": "more"}):
            pass
        reply = await stream.finish()
    assert reply["text"] == "stop"


async def test_a_half_closed_stream_takes_no_more(channel: grpc.Channel) -> None:
    """`send` after `done_sending` is a mistake, and says so; the replies come."""
    async with channel.bidi_stream(BOTH) as stream:
        await stream.send({"n": 1})
        await stream.done_sending()
        await stream.done_sending()
        with pytest.raises(UsageError):
            await stream.send({"n": 2})
        numbers = [each["n"] async for each in stream]
    assert numbers == [1]


async def test_what_was_received_can_be_collected(channel: grpc.Channel) -> None:
    """Up to a limit, of every kind of method, into a list of one's own."""
    replies = await channel.collect(DOWN, {"n": 100}, limit=3)
    assert [each["n"] for each in replies] == [0, 1, 2]
    reply = await channel.call(UP, [{"text": "x"}])
    assert reply["text"] == "x"
    kept: list[dict[str, int]] = []
    with pytest.raises(RpcError):
        await channel.collect(DOWN, {"n": 2, "text": "fail"}, into=kept)
    assert [each["n"] for each in kept] == [0, 1]


async def test_a_script_is_run_in_order(channel: grpc.Channel) -> None:
    """And the end of the server before its end is an error."""
    script = [grpc.Send({"n": 1}), grpc.Receive(), grpc.Send({"n": 2}), grpc.Receive()]
    replies = await channel.exchange(BOTH, script)
    assert [each["n"] for each in replies] == [1, 2]
    with pytest.raises(EndOfStream):
        await channel.exchange(BOTH, [grpc.DoneSending(), grpc.Receive()])


async def test_a_call_needs_no_channel(served: tuple[str, BlockingNotes]) -> None:
    """`grpc.call` connects, calls and closes."""
    reply = await grpc.call(served[0], ONE, {"n": 5}, schema=note_schema())
    assert reply["n"] == 5


async def test_metadata_goes_both_ways(channel: grpc.Channel, notes: BlockingNotes) -> None:
    """That of the channel with each call, that of the call in its place."""
    channel.metadata["who"] = "me"
    await channel.unary(ONE, {"n": 1})
    assert notes.metadata["who"] == "me"
    await channel.unary(ONE, {"n": 1}, metadata={"who": "you"})
    assert notes.metadata["who"] == "you"


async def test_a_closed_channel_makes_no_calls(served: tuple[str, BlockingNotes]) -> None:
    """It says that it is closed; closing it again is nothing."""
    channel = grpc.Channel(served[0], schema=note_schema())
    await channel.unary(ONE, {"n": 1})
    await channel.close()
    await channel.close()
    with pytest.raises(ClosedError):
        await channel.unary(ONE, {"n": 1})
    assert channel.stats.succeeded == 1
