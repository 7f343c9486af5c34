"""Calls of every kind, against grpcio's threaded server.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.client_support import SERVICE, note_schema
from support.sync_support import BlockingNotes, blocking_server
from support.twins_sync_support import BOTH, DOWN, ONE, UP
from wirelane.sync import (
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
def channel(served: tuple[str, BlockingNotes]) -> Iterator[grpc.Channel]:
    with grpc.connect(served[0], schema=note_schema()) as channel:
        yield channel


def test_a_unary_call_gives_its_reply(channel: grpc.Channel) -> None:
    """As a dict, with all fields."""
    reply = channel.unary(ONE, {"n": 7, "text": "hello"}, timeout=10)
    assert (reply["n"], reply["text"]) == (7, "hello")


def test_a_stub_of_the_schema_makes_calls_of_every_kind(channel: grpc.Channel) -> None:
    """On the channel that it was asked of."""
    calls = channel.service(SERVICE)
    reply = calls.one({"n": 1})
    assert reply["n"] == 1
    with calls.down({"n": 2}) as stream:
        numbers = [each["n"] for each in stream]
    assert numbers == [0, 1]
    reply = calls.up([{"text": "a"}, {"text": "b"}])
    assert reply["text"] == "a,b"


def test_a_failed_call_raises_with_all_that_the_server_said(channel: grpc.Channel) -> None:
    """Code, message and trailers are in the error."""
    with pytest.raises(RpcError, match="käse") as failed:
        channel.unary(ONE, {"text": "fail"})
    assert failed.value.code is StatusCode.FAILED_PRECONDITION
    assert failed.value.metadata is not None
    assert failed.value.metadata["why"] == "because"


def test_a_deadline_ends_a_call_on_both_sides(channel: grpc.Channel, notes: BlockingNotes) -> None:
    """`timeout=` raises DeadlineExceeded here, and the server sees the call end."""
    with pytest.raises(DeadlineExceeded):
        channel.unary(ONE, {"text": "hang"}, timeout=0.2)
    assert notes.ended.wait(10)


def test_a_wrong_request_is_told_before_anything_is_sent(channel: grpc.Channel) -> None:
    """CodecError names the field; also from `send`, and the stream goes on."""
    with pytest.raises(CodecError, match="nope"):
        channel.unary(ONE, {"nope": 1})
    with channel.bidi_stream(BOTH) as stream:
        with pytest.raises(CodecError, match="n"):
            stream.send({"n": "many"})
        assert stream.send({"n": 3})
        reply = stream.receive()
        assert reply is not None
        assert reply["n"] == 3


def test_connecting_to_nothing_is_an_error() -> None:
    """Of its own kind, and nothing is left open."""
    with pytest.raises(ConnectError):
        with grpc.connect("127.0.0.1:1"):
            raise AssertionError


def test_a_server_stream_gives_every_message_in_order(channel: grpc.Channel) -> None:
    """And then the status."""
    with channel.server_stream(DOWN, {"n": 3000}) as stream:
        numbers = [each["n"] for each in stream]
        assert stream.receive() is None
        assert stream.status is StatusCode.OK
    assert numbers == list(range(3000))


def test_messages_before_an_error_are_given_first(channel: grpc.Channel) -> None:
    """The error comes where the server put it."""
    got = []
    with channel.server_stream(DOWN, {"n": 40, "text": "fail"}) as stream:
        with pytest.raises(RpcError) as failed:
            for message in stream:
                got.append(message["n"])  # noqa: PERF401  (those before the error count)
    assert got == list(range(40))
    assert failed.value.code is StatusCode.DATA_LOSS


def test_reading_one_by_one_and_iterating_share_one_place(channel: grpc.Channel) -> None:
    """Each goes on where the other stopped."""
    got = []
    with channel.server_stream(DOWN, {"n": 300}) as stream:
        for message in stream:
            got.append(message["n"])
            if len(got) == 10:
                break
        for _ in range(10):
            received = stream.receive()
            assert received is not None
            got.append(received["n"])
        got += [each["n"] for each in stream]
    assert got == list(range(300))


def test_a_receive_that_times_out_loses_nothing(channel: grpc.Channel) -> None:
    """The call goes on, and the next `receive` gets the message."""
    with channel.bidi_stream(BOTH) as stream:
        with pytest.raises(ReadTimeout):
            stream.receive(timeout=0.05)
        stream.send({"n": 9})
        message = stream.receive(timeout=10)
        assert message is not None
        assert message["n"] == 9


def test_a_timeout_that_is_none_is_refused(channel: grpc.Channel) -> None:
    """Also where a message is here already."""
    with channel.server_stream(DOWN, {"n": 3}) as stream:
        stream.receive()
        with pytest.raises(UsageError):
            stream.receive(timeout=-1)


def test_cancelling_drops_what_was_not_read(channel: grpc.Channel) -> None:
    """The next read raises CANCELLED, although messages are here."""
    with channel.server_stream(DOWN, {"n": 50, "text": "hang"}) as stream:
        stream.receive()
        stream.cancel()
        with pytest.raises(RpcError) as failed:
            stream.receive()
    assert failed.value.code is StatusCode.CANCELLED


def test_leaving_a_stream_early_cancels_it(channel: grpc.Channel, notes: BlockingNotes) -> None:
    """The server sees the call end when the block is left."""
    with channel.server_stream(DOWN, {"n": 1, "text": "hang"}) as stream:
        stream.receive()
    assert notes.ended.wait(10)


def test_a_client_stream_has_its_reply_in_the_end(channel: grpc.Channel) -> None:
    """`finish` sends what is left, half-closes, and gives the reply; again the same."""
    with channel.client_stream(UP) as stream:
        for n in range(500):
            assert stream.send({"n": n})
        reply = stream.finish()
        assert reply["n"] == 500
        assert stream.finish() is reply


def test_a_client_stream_takes_its_messages_from_an_iterable(channel: grpc.Channel) -> None:
    """A list as well as a generator; the reply is what the call gives."""
    reply = channel.client_stream(UP, [{"text": "a"}, {"text": "b"}])
    assert reply["text"] == "a,b"
    reply = channel.client_stream(UP, ({"text": text} for text in "xyz"))
    assert reply["text"] == "x,y,z"


def test_what_an_iterable_raises_is_raised_and_cancels_the_call(
    channel: grpc.Channel, notes: BlockingNotes
) -> None:
    """As itself, in the one who makes the call."""

    def broken() -> Iterator[dict[str, object]]:
        yield {"text": "a"}
        raise LookupError("no more words")

    with pytest.raises(LookupError, match="no more words"):
        channel.client_stream(UP, broken())
    with pytest.raises(LookupError):
        with channel.bidi_stream(BOTH, broken()) as stream:
            while stream.receive() is not None:
                pass


def test_sending_to_a_call_that_failed_raises_its_status(channel: grpc.Channel) -> None:
    """At the latest once the failure was read."""
    with channel.bidi_stream(BOTH) as stream:
        stream.send({"text": "fail"})
        with pytest.raises(RpcError) as failed:
            stream.receive()
        assert failed.value.code is StatusCode.ABORTED
        with pytest.raises(RpcError):
            stream.send({"n": 1})


def test_a_server_that_answers_early_needs_no_more_messages(channel: grpc.Channel) -> None:
    """`send` returns False once nobody reads, and the reply is there."""
    with channel.client_stream(UP) as stream:
        stream.send({"text": "stop"})
        while stream.send({"text": "more"}):
            pass
        reply = stream.finish()
    assert reply["text"] == "stop"


def test_a_half_closed_stream_takes_no_more(channel: grpc.Channel) -> None:
    """`send` after `done_sending` is a mistake, and says so; the replies come."""
    with channel.bidi_stream(BOTH) as stream:
        stream.send({"n": 1})
        stream.done_sending()
        stream.done_sending()
        with pytest.raises(UsageError):
            stream.send({"n": 2})
        numbers = [each["n"] for each in stream]
    assert numbers == [1]


def test_what_was_received_can_be_collected(channel: grpc.Channel) -> None:
    """Up to a limit, of every kind of method, into a list of one's own."""
    replies = channel.collect(DOWN, {"n": 100}, limit=3)
    assert [each["n"] for each in replies] == [0, 1, 2]
    reply = channel.call(UP, [{"text": "x"}])
    assert reply["text"] == "x"
    kept: list[dict[str, int]] = []
    with pytest.raises(RpcError):
        channel.collect(DOWN, {"n": 2, "text": "fail"}, into=kept)
    assert [each["n"] for each in kept] == [0, 1]


def test_a_script_is_run_in_order(channel: grpc.Channel) -> None:
    """And the end of the server before its end is an error."""
    script = [grpc.Send({"n": 1}), grpc.Receive(), grpc.Send({"n": 2}), grpc.Receive()]
    replies = channel.exchange(BOTH, script)
    assert [each["n"] for each in replies] == [1, 2]
    with pytest.raises(EndOfStream):
        channel.exchange(BOTH, [grpc.DoneSending(), grpc.Receive()])


def test_a_call_needs_no_channel(served: tuple[str, BlockingNotes]) -> None:
    """`grpc.call` connects, calls and closes."""
    reply = grpc.call(served[0], ONE, {"n": 5}, schema=note_schema())
    assert reply["n"] == 5


def test_metadata_goes_both_ways(channel: grpc.Channel, notes: BlockingNotes) -> None:
    """That of the channel with each call, that of the call in its place."""
    channel.metadata["who"] = "me"
    channel.unary(ONE, {"n": 1})
    assert notes.metadata["who"] == "me"
    channel.unary(ONE, {"n": 1}, metadata={"who": "you"})
    assert notes.metadata["who"] == "you"


def test_a_closed_channel_makes_no_calls(served: tuple[str, BlockingNotes]) -> None:
    """It says that it is closed; closing it again is nothing."""
    channel = grpc.Channel(served[0], schema=note_schema())
    channel.unary(ONE, {"n": 1})
    channel.close()
    channel.close()
    with pytest.raises(ClosedError):
        channel.unary(ONE, {"n": 1})
    assert channel.stats.succeeded == 1
