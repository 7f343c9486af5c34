"""The types of a client without await, as its users see them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, assert_type

from protobuf_calls.calls_pb2 import Answer, Ask

from wirelane import Metadata, RpcError, Schema, StatusCode, codec
from wirelane.core.deadline import Deadline
from wirelane.errors import Detail
from wirelane.sync import grpc

ONE = grpc.Method("tests.calls.Calls/One", grpc.Cardinality.UNARY, Ask, Answer)
DOWN = grpc.Method("tests.calls.Calls/Down", grpc.Cardinality.SERVER_STREAM, Ask, Answer)
UP = grpc.Method("tests.calls.Calls/Up", grpc.Cardinality.CLIENT_STREAM, Ask, Answer)
BOTH = grpc.Method("tests.calls.Calls/Both", grpc.Cardinality.BIDI_STREAM, Ask, Answer)


def asks() -> Iterator[Ask]:
    yield Ask()


def channels() -> None:
    with grpc.connect(
        "localhost:1", schema="a.proto", timeout=5.0, metadata={"a": "b", "c-bin": b"d"}
    ) as channel:
        assert_type(channel, grpc.Channel)
        assert_type(channel.schema, Schema)
        assert_type(channel.metadata, Metadata)
        channel.metadata = [("a", "b")]
        channel.metadata = {"a": ["b", "c"]}
        assert_type(channel.state, grpc.ChannelState)
        assert_type(channel.stats.active, int)
        assert_type(channel.target, str)
        assert_type(channel.list_services(), list[str])
        assert_type(channel.reflect("a.B"), Schema)
        assert_type(channel.connect(), None)
        assert_type(channel.service("Calls"), grpc.ServiceStub)
    assert_type(grpc.reflect("localhost:1"), Schema)
    grpc.Channel("localhost:1", timeout="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    grpc.Channel("localhost:1", reflection=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def not_here(channel: grpc.Channel) -> None:
    await channel.unary(ONE, Ask())  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    async with channel:  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass


def unary(channel: grpc.Channel) -> None:
    assert_type(channel.unary(ONE, Ask()), Answer)
    assert_type(channel.unary(ONE, Ask(), timeout=1, metadata={"a": "b"}, compression="gzip").n, int)
    assert_type(channel.unary("Calls/One", {"n": 1}), Any)
    with ThreadPoolExecutor() as threads:
        assert_type(threads.submit(channel.unary, ONE, Ask()).result(), Answer)
    try:
        channel.unary(ONE, Ask())
    except RpcError as error:
        assert_type(error.code, StatusCode)
    channel.unary(ONE, Answer())  # type: ignore[misc]  # pyright: ignore[reportCallIssue, reportArgumentType]
    channel.unary(ONE, Ask(), 5.0)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


def unary_as_an_object(channel: grpc.Channel) -> None:
    call = channel.unary_call(ONE, Ask(), timeout=1.0)
    assert_type(call, grpc.UnaryCall[Answer])
    assert_type(call.initial_metadata(), Metadata)
    assert_type(call.reply(), Answer)
    assert_type(call.trailing_metadata, Metadata | None)
    assert_type(call.status, StatusCode | None)
    assert_type(call.cancel(), None)
    assert_type(channel.unary_call("Calls/One", {"n": 1}).reply(), Any)
    channel.unary_call(ONE, Answer())  # type: ignore[misc]  # pyright: ignore[reportCallIssue, reportArgumentType]
    channel.unary(ONE, Ask()).reply()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


def down(channel: grpc.Channel) -> None:
    with channel.server_stream(DOWN, Ask(), timeout=1.0) as stream:
        assert_type(stream, grpc.ServerStreamCall[Answer])
        assert_type(stream.receive(timeout=0), Answer | None)
        assert_type(next(stream), Answer)
        assert_type(list(stream), list[Answer])
        for message in stream:
            assert_type(message, Answer)
        assert_type(stream.initial_metadata(), Metadata)
        assert_type(stream.trailing_metadata, Metadata | None)
        assert_type(stream.status, StatusCode | None)
        assert_type(stream.details, tuple[Detail, ...])
        assert_type(stream.deadline, Deadline | None)
        assert_type(stream.cancel(), None)
        stream.send(Ask())  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    with channel.server_stream("Calls/Down", {"n": 1}) as untyped:
        assert_type(untyped, grpc.ServerStreamCall[Any])
        assert_type(next(untyped), Any)


def up(channel: grpc.Channel) -> None:
    assert_type(channel.client_stream(UP, asks()), Answer)
    assert_type(channel.client_stream(UP, [Ask()], timeout=1.0), Answer)
    assert_type(channel.client_stream("Calls/Up", [{"n": 1}]), Any)
    with channel.client_stream(UP) as stream:
        assert_type(stream, grpc.ClientStreamCall[Ask, Answer])
        assert_type(stream.send(Ask(), compress=False), bool)
        assert_type(stream.done_sending(), None)
        assert_type(stream.finish(), Answer)
        stream.send(Answer())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        stream.receive()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    channel.client_stream(UP, [Answer()])  # type: ignore[misc]  # pyright: ignore[reportCallIssue, reportArgumentType]


def both(channel: grpc.Channel) -> None:
    with channel.bidi_stream(BOTH) as stream:
        assert_type(stream, grpc.BidiStreamCall[Ask, Answer])
        stream.send(Ask())
        assert_type(stream.receive(), Answer | None)
        assert_type([each.n for each in stream], list[int])
    with channel.bidi_stream(BOTH, asks()) as fed:
        assert_type(next(fed), Answer)
    channel.bidi_stream(BOTH, [Answer()])  # type: ignore[misc]  # pyright: ignore[reportCallIssue, reportArgumentType]


def any_kind(channel: grpc.Channel, messages: grpc.Messages[Ask]) -> None:
    assert_type(channel.collect(DOWN, Ask()), list[Answer])
    assert_type(channel.collect(BOTH, messages), list[Answer])
    assert_type(channel.collect("Calls/Down", {}), list[Any])
    assert_type(channel.exchange(BOTH, [grpc.Send(Ask()), grpc.Receive()]), list[Answer])
    assert_type(channel.exchange("Calls/Both", [grpc.DoneSending()], rest=False), list[Any])
    steps: Sequence[grpc.Step] = [grpc.Receive(2, timeout=1.0)]
    channel.exchange(BOTH, steps)
    channel.collect(DOWN, Answer())  # type: ignore[misc]  # pyright: ignore[reportCallIssue, reportArgumentType]


assert_type(codec.encode(Ask()), bytes)
