"""The types of servers without await, as their users see them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, assert_type

from protobuf_calls.calls_pb2 import Answer, Ask

from wirelane import Limits, Metadata, StatusCode, TlsConfig
from wirelane import grpc as async_grpc
from wirelane.core.deadline import Deadline
from wirelane.sync import grpc

ONE = grpc.Method("tests.calls.Calls/One", grpc.Cardinality.UNARY, Ask, Answer)

server = grpc.Server(schema="a.proto", tls=TlsConfig(cert="c", key="k"), limits=Limits(), threads=8)
assert_type(server.stats, grpc.ServerStats)


@server.method(ONE)
def one(request: Ask, context: grpc.Context) -> Answer:
    assert_type(context.metadata, Metadata)
    assert_type(context.deadline, Deadline | None)
    assert_type(context.time_remaining(), float | None)
    assert_type(context.cancelled, bool)
    assert_type(context.send_initial_metadata({"a": "b"}), None)
    assert_type(context.peer.address, str)
    context.trailing_metadata["a"] = "b"
    context.set_compression("gzip")
    if request.n < 0:
        context.abort(StatusCode.INVALID_ARGUMENT, "below zero")
        print("never")  # type: ignore[unreachable]
    return Answer(n=request.n)


def decorated(context: grpc.Context) -> None:
    assert_type(one(Ask(), context), Answer)
    one(Ask())  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


@server.method("Calls/Down")
def down(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield request


@server.method("Calls/Both")
def both(requests: Iterator[dict[str, Any]], context: grpc.Context) -> Iterator[dict[str, Any]]:
    yield from requests


def running() -> None:
    with server.listen("127.0.0.1:0", grace=1.0) as listening:
        assert_type(listening.port, int)
        server.health.set("tests.calls.Calls", "NOT_SERVING")
        assert_type(listening.drain(), None)
    assert_type(server.serve("127.0.0.1:0", "unix:/run/a"), None)
    assert_type(server.drain(5.0), None)
    assert_type(server.abort(), None)
    server.listen(50051)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    grpc.Server(threads="8")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    async_grpc.Server(threads=8)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


# Services written in Python


@dataclass
class Point:
    x: int = 0
    y: int = 0


service = grpc.Service("tests.Points")


@service.method
def mirror(point: Point) -> Point:
    return Point(point.y, point.x)


@service.method
def add(a: int, b: int) -> int:
    return a + b


@service.method
def line(point: Point, context: grpc.Context) -> Iterator[Point]:
    yield point


@service.method
def total(points: Iterator[Point]) -> Point:
    return Point(x=sum(point.x for point in points))


@service.method
def echo(points: Iterator[Point]) -> Iterator[Point]:
    yield from points


assert_type(mirror(Point()), Point)
assert_type(add(1, 2), int)
server.add_service(service)


def calls(channel: grpc.Channel) -> None:
    assert_type(service.method_for(mirror), grpc.Method[Point, Point])
    assert_type(channel.unary(service.method_for(mirror), Point()), Point)
    with channel.server_stream(service.method_for(line), Point()) as stream:
        assert_type(next(stream), Point)
    assert_type(channel.client_stream(service.method_for(total), [Point()]), Point)
    with channel.bidi_stream(service.method_for(echo), [Point()]) as talk:
        assert_type(next(talk), Point)
    channel.unary(service.method_for(mirror), 5)  # type: ignore[misc]  # pyright: ignore[reportCallIssue, reportArgumentType]
