"""Services of functions that block: defined, served and called without await."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_type

import pytest

from wirelane import RpcError, StatusCode, UsageError
from wirelane import grpc as async_grpc
from wirelane.sync import grpc

service = grpc.Service("shop.v1.Orders")


@dataclass
class Query:
    id: str


@dataclass
class Order:
    id: str
    quantity: int = 1


@service.method
def get_order(request: Query, call: grpc.Context) -> Order:
    """Find one."""
    if not request.id:
        call.abort(StatusCode.INVALID_ARGUMENT, "which?")
    return Order(request.id)


@service.method
def watch(request: Query) -> Iterator[Order]:
    for index in range(3):
        yield Order(f"{request.id}{index}")


@service.method
def upload(orders: Iterator[Order]) -> Query:
    return Query(" ".join(order.id for order in orders))


@service.method
def running(numbers: Iterator[int]) -> Iterator[int]:
    total = 0
    for number in numbers:
        total += number
        yield total


@service.method
def thread() -> str:
    return threading.current_thread().name


class Handlers:
    @service.method
    def add(self, a: int, b: int = 1) -> int:
        return a + b


def test_every_kind_is_called_without_await() -> None:
    """The stub of an async service, on a channel that blocks."""
    with grpc.Server([service.bind(Handlers())]).listen("127.0.0.1:0") as listening, grpc.Channel(str(listening.address)) as channel:  # fmt: skip
        orders = service.stub(channel)
        assert orders.get_order(Query("7"), timeout=5.0) == Order("7")
        with orders.watch(Query("w")) as stream:
            assert [order.id for order in stream] == ["w0", "w1", "w2"]
        assert orders.upload([Order("a"), Order("b")]) == Query("a b")
        with orders.running([1, 2, 3]) as totals:
            assert list(totals) == [1, 3, 6]
        assert orders.add(2) == 3
        assert orders.thread() != threading.current_thread().name
        with pytest.raises(RpcError, match="which"):
            orders.get_order(Query(""))
        method = service.method_for(get_order)
        assert_type(method, grpc.Method[Query, Order])
        assert channel.unary(method, Query("8")) == Order("8")
        streaming = service.method_for(watch)
        assert_type(streaming, grpc.Method[Query, Order])


def test_the_schema_is_that_of_an_async_service() -> None:
    """Who calls does not know the difference."""
    assert "rpc Upload(stream Order) returns (Query);" in service.proto_text()
    with grpc.Server([service.bind(Handlers())]).listen("127.0.0.1:0") as listening, grpc.connect(str(listening.address), schema="reflection") as channel:  # fmt: skip
        assert channel.unary("shop.v1.Orders/GetOrder", {"id": "7"}) == {"id": "7", "quantity": 1}


def test_functions_that_block_are_kept_from_the_loop() -> None:
    """And functions that do not, from threads."""
    with pytest.raises(
        UsageError, match=r"shop\.v1\.Orders block: give it to a wirelane\.sync\.grpc\.Server"
    ):
        async_grpc.Server([service.bind(Handlers())])

    async def get(request: Query) -> Order:
        return Order(request.id)

    with pytest.raises(UsageError, match=r"get is async def; it needs the Service of wirelane\.grpc"):
        grpc.Service("a.B").method(get)
    asynchronous = async_grpc.Service("a.B")
    asynchronous.method(get)
    with grpc.Server([asynchronous]).listen("127.0.0.1:0") as listening, grpc.Channel(str(listening.address)) as channel:  # fmt: skip
        assert asynchronous.stub(channel).get(Query("7")) == Order("7")
