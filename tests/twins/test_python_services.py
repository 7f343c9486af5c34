"""A service written in Python, called by its own stub, by dicts, by grpcio and by the command: written once, run with asyncio and without."""

from __future__ import annotations

import asyncio
import enum
import json
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, assert_type

import grpc as grpcio
import pytest

from support.cli_support import command, environment
from support.server_support import generated_from
from twins.server_support import grpcio_client
from wirelane import CodecError, RpcError, Schema, StatusCode, UsageError, grpc

service = grpc.Service("shop.v1.Orders", doc="Sells things.")
admin = grpc.Service("shop.v1.Admin")


class Status(enum.Enum):
    """How far an order is."""

    OPEN = "open"
    SENT = "sent"


@dataclass(frozen=True, slots=True)
class Card:
    number: str


@dataclass(frozen=True, slots=True)
class Cash:
    paid: bool = False


@dataclass
class Query:
    id: str


@dataclass
class Order:
    """What somebody wants."""

    id: str
    quantity: Annotated[int, grpc.Field(type="int32", doc="How many.")] = 1
    status: Status = Status.OPEN
    tags: list[str] = field(default_factory=list)
    payment: Card | Cash | None = None
    created: datetime | None = None
    took: timedelta = timedelta(0)
    parts: list[Order] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.quantity < 0:
            raise ValueError("quantity must not be negative")


@service.method
async def get_order(request: Query, context: grpc.Context) -> Order:
    """Find one order."""
    if request.id == "none":
        context.abort(StatusCode.NOT_FOUND, "no such order")
    if request.id == "broken":
        return Order("1", tags=[5])  # type: ignore[list-item]
    return Order(
        request.id,
        quantity=2,
        status=Status.SENT,
        tags=["a", "b"],
        payment=Card("4111"),
        created=datetime(2026, 1, 31, tzinfo=UTC),
        took=timedelta(seconds=1.5),
        parts=[Order("part", quantity=0)],
    )


@service.method
async def watch(request: Query) -> AsyncIterator[Order]:
    for index in range(3):
        yield Order(f"{request.id}{index}")


@service.method
async def upload(orders: AsyncIterator[Order]) -> Query:
    return Query(" ".join([order.id async for order in orders]))


@service.method
async def echo(orders: AsyncIterator[Order], context: grpc.Context) -> AsyncIterator[Order]:
    async for order in orders:
        yield order


@service.method
async def add(a: int, b: int = 1, *, context: grpc.Context, by: float | None = None) -> float:
    """Add two numbers."""
    context.trailing_metadata["x-by"] = repr(by)
    return a + b if by is None else (a + b) * by


@service.method
async def running(numbers: AsyncIterator[int]) -> AsyncIterator[int]:
    total = 0
    async for number in numbers:
        total += number
        yield total


@service.method
async def ping() -> None: ...


class Administration:
    def __init__(self, name: str) -> None:
        self.name = name
        self.removed: list[str] = []

    @admin.method
    async def remove(self, request: Order) -> Query:
        self.removed.append(request.id)
        return Query(f"{self.name} removed {request.id}")

    @admin.method
    async def who(self) -> str:
        return self.name


class Stern(Administration):
    async def who(self) -> str:
        return f"{self.name} the stern"


def _server(**options: Any) -> grpc.Server:
    return grpc.Server([service, admin.bind(Stern("ann"))], **options)


async def test_the_stub_takes_and_gives_what_the_functions_do() -> None:
    """All four kinds, messages and plain values."""
    async with _server().listen("127.0.0.1:0") as listening, grpc.Channel(str(listening.address)) as channel:
        orders = service.stub(channel)
        order = await orders.get_order(Query("7"), timeout=5.0)
        assert order == Order(
            "7",
            2,
            Status.SENT,
            ["a", "b"],
            Card("4111"),
            datetime(2026, 1, 31, tzinfo=UTC),
            timedelta(seconds=1.5),
            [Order("part", quantity=0)],
        )
        async with orders.watch(Query("w")) as stream:
            assert [each.id async for each in stream] == ["w0", "w1", "w2"]
        assert await orders.upload([Order("a"), Order("b")]) == Query("a b")
        async with orders.echo() as stream:
            await stream.send(Order("x", payment=Cash(True)))
            assert await stream.receive() == Order("x", payment=Cash(True))
        assert await orders.add(2, b=3, by=0.5) == 2.5
        assert await orders.Add(2) == 3.0
        async with orders.running([1, 2, 3]) as totals:
            assert [total async for total in totals] == [1, 3, 6]
        assert await orders.ping() is None
        stub = admin.stub(channel)
        assert await stub.remove(Order("9")) == Query("ann removed 9")
        assert await stub.who() == "ann the stern"


async def test_a_method_is_called_through_the_channel_with_its_types() -> None:
    """`method_for` knows the types of the function."""
    async with _server().listen("127.0.0.1:0") as listening, grpc.Channel(str(listening.address)) as channel:
        method = service.method_for(get_order)
        assert_type(method, grpc.Method[Query, Order])
        assert_type(service.method_for(watch), grpc.Method[Query, Order])
        assert_type(service.method_for(upload), grpc.Method[Order, Query])
        assert_type(service.method_for(echo), grpc.Method[Order, Order])
        assert_type(admin.method_for(Administration.remove), grpc.Method[Order, Query])
        order = await channel.unary(method, Query("7"))
        assert order.quantity == 2
        assert await channel.collect(service.methods["watch"], Query("w"), limit=1) == [Order("w0")]
        made = service.methods["add"]
        assert await channel.unary(made, made.request_type(a=1)) == made.response_type(value=2.0)


async def test_wrong_arguments_of_a_stub_are_told_like_those_of_the_function() -> None:
    """Before anything is sent."""
    async with _server().listen("127.0.0.1:0") as listening, grpc.Channel(str(listening.address)) as channel:
        orders = service.stub(channel)
        with pytest.raises(UsageError, match=r"add\(a: .*b: .*\): missing a required argument: 'a'"):
            orders.add()
        with pytest.raises(UsageError, match=r"get_order\(request\) takes one argument"):
            orders.get_order(Query("1"), Query("2"))
        with pytest.raises(UsageError, match=r"get_order\(request\) lacks its request"):
            orders.get_order()
        with pytest.raises(AttributeError, match="has no method 'get_oder'; did you mean 'get_order'"):
            _ = orders.get_oder
        with pytest.raises(CodecError, match="a: expected an int"):
            await orders.add("1")
        with pytest.raises(CodecError, match=r"expected a \S+\.Query, not Order"):
            await orders.get_order(Order("1"))
        assert "get_order" in dir(orders)
        assert repr(orders).startswith(
            ("<service shop.v1.Orders on <Channel", "<service shop.v1.Orders on <sync Channel")
        )
        assert repr(orders.add) == "<shop.v1.Orders/Add as add>"


async def test_what_a_class_does_not_accept_is_an_invalid_argument() -> None:
    """A request that is a message and no object of the class says which field, and why."""
    async with (
        _server().listen("127.0.0.1:0") as listening,
        grpc.connect(str(listening.address), schema="reflection") as channel,
    ):
        for request, text in (
            ({"id": "1", "quantity": -1}, "quantity must not be negative"),
            ({"id": "1", "parts": [{}, {"quantity": -1}]}, "parts[1]: quantity must not be negative"),
            ({"id": "1", "status": 7}, "status: Status has no number 7"),
        ):
            with pytest.raises(RpcError) as caught:
                await channel.unary("shop.v1.Admin/Remove", request)
            assert caught.value.code is StatusCode.INVALID_ARGUMENT
            assert text in caught.value.message


async def test_a_reply_of_a_wrong_type_is_the_servers_fault(caplog: pytest.LogCaptureFixture) -> None:
    """The client learns that it failed, the log which field it was."""
    async with _server().listen("127.0.0.1:0") as listening, grpc.Channel(str(listening.address)) as channel:
        with pytest.raises(RpcError) as caught:
            await service.stub(channel).get_order(Query("broken"))
        assert caught.value.code is StatusCode.INTERNAL
        with pytest.raises(RpcError) as caught:
            await service.stub(channel).get_order(Query("none"))
        assert (caught.value.code, caught.value.message) == (StatusCode.NOT_FOUND, "no such order")
    assert "tags[0]: expected a str, not 5" in caplog.text


async def test_reflection_tells_one_schema_of_all_services() -> None:
    """Without a word of configuration, a client with dicts calls each of them."""
    async with (
        _server().listen("127.0.0.1:0") as listening,
        grpc.connect(str(listening.address), schema="reflection") as channel,
    ):
        schema = channel.schema
        assert {"shop.v1.Admin", "shop.v1.Orders"} <= set(schema.services())
        assert schema.file_containing_symbol("shop.v1.Order") == "shop/v1/shared_types.proto"
        assert schema.describe("shop.v1.Orders/GetOrder").comment == "Find one order."
        reply = await channel.unary("shop.v1.Orders/GetOrder", {"id": "7"})
        assert reply["status"] == "STATUS_SENT"
        assert reply["card"] == {"number": "4111"}
        assert (reply["parts"][0]["id"], reply["parts"][0]["status"]) == ("part", "STATUS_OPEN")
        assert await channel.unary("shop.v1.Orders/Add", {"a": 1}) == {"value": 2.0}


async def test_grpcio_calls_it_from_the_text_of_the_schema(tmp_path: Path) -> None:
    """What other languages generate from `proto_text` speaks to the server."""
    modules = generated_from({"shop/v1/orders.proto": service.proto_text()}, tmp_path)
    pb2, stubs = modules["shop.v1.orders_pb2"], modules["shop.v1.orders_pb2_grpc"]
    async with _server().listen("127.0.0.1:0") as listening, grpcio_client(listening) as client:
        stub = client.stub(stubs.OrdersStub)
        order = await stub.call("GetOrder", pb2.Query(id="7")).reply()
        assert (order.id, order.quantity, order.status) == ("7", 2, pb2.STATUS_SENT)
        assert order.card.number == "4111"
        assert order.created.ToDatetime(UTC) == datetime(2026, 1, 31, tzinfo=UTC)
        watched = await stub.call("Watch", pb2.Query(id="w")).replies()
        assert [each.id for each in watched] == ["w0", "w1", "w2"]
        sent = [pb2.Order(id="a"), pb2.Order(id="b", quantity=0)]
        assert await stub.call("Upload", sent).reply() == pb2.Query(id="a b")
        # What grpcio leaves out, the function's own default fills in; and comes back as it was understood.
        echoed = await stub.call("Echo", [pb2.Order(id="e")]).replies()
        assert [(each.quantity, each.status) for each in echoed] == [(1, pb2.STATUS_OPEN)]
        assert (await stub.call("Add", pb2.AddRequest(a=2, b=0, by=2)).reply()).value == 4.0
        totals = await stub.call("Running", [pb2.RunningRequest(value=4)]).replies()
        assert [each.value for each in totals] == [4]
        error = await stub.call("Upload", [pb2.Order(quantity=-1)]).error()
        assert error.code() is grpcio.StatusCode.INVALID_ARGUMENT


def _run(arguments: tuple[str, ...]) -> str:
    done = subprocess.run(
        command(*arguments), stdin=subprocess.DEVNULL, capture_output=True, env=environment(), check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode()


async def _wirelane(*arguments: str) -> str:
    return await asyncio.to_thread(_run, arguments)


async def test_the_command_lists_describes_and_calls_it(tmp_path: Path) -> None:
    """By reflection, and by the .proto that it wrote."""
    async with _server(health=False).listen("127.0.0.1:0") as listening:
        address = str(listening.address)
        listed = (await _wirelane("list", address)).split()
        assert {"shop.v1.Admin", "shop.v1.Orders"} <= set(listed)
        described = await _wirelane("describe", address, "shop.v1.Orders/Add")
        assert "// Add two numbers.\nrpc Add(AddRequest) returns (AddResponse);" in described
        called = await _wirelane("call", address, "shop.v1.Orders/Add", "-d", '{"a": 2, "b": 3}', "--compact")
        assert json.loads(called) == {"value": 5.0}
        written = tmp_path / "orders.proto"
        written.write_text(service.proto_text())
        called = await _wirelane(
            "call", address, "Orders/Watch", "-d", '{"id": "w"}', "--proto", str(written)
        )
        assert called.count('"id": "w') == 3


def test_the_schema_encodes_what_the_codec_does() -> None:
    """One message, whoever writes it."""
    schema: Schema = service.schema
    from wirelane import codec

    order = Order("1", 5, Status.SENT, ["x"], Cash(True), datetime(2026, 1, 1, tzinfo=UTC), timedelta(1))
    assert (
        codec.decode(
            Order, schema.encode("shop.v1.Order", schema.decode("shop.v1.Order", codec.encode(order)))
        )
        == order
    )
