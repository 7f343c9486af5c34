"""Services of functions that block: their threads, and where they may not be served; all else is in tests/twins."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest

from wirelane import UsageError
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
    return Order(request.id)


@service.method
def thread() -> str:
    return threading.current_thread().name


def test_functions_run_in_threads_of_the_server() -> None:
    """Not in the loop, and not in the caller's."""
    with (
        grpc.Server([service]).listen("127.0.0.1:0") as listening,
        grpc.Channel(str(listening.address)) as channel,
    ):
        assert service.stub(channel).thread() == "wirelane.sync: handler"


def test_functions_that_block_are_kept_from_the_loop() -> None:
    """And functions that do not, from threads."""
    with pytest.raises(
        UsageError, match=r"shop\.v1\.Orders block: give it to a wirelane\.sync\.grpc\.Server"
    ):
        async_grpc.Server([service])

    async def get(request: Query) -> Order:
        return Order(request.id)

    with pytest.raises(UsageError, match=r"get is async def; it needs the Service of wirelane\.grpc"):
        grpc.Service("a.B").method(get)
    asynchronous = async_grpc.Service("a.B")
    asynchronous.method(get)
    with (
        grpc.Server([asynchronous]).listen("127.0.0.1:0") as listening,
        grpc.Channel(str(listening.address)) as channel,
    ):
        assert asynchronous.stub(channel).get(Query("7")) == Order("7")
