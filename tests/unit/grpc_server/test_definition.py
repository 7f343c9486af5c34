"""Services written in Python: what their functions mean, and what is refused when they are decorated."""

from __future__ import annotations

import enum
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import descriptor_pb2, empty_pb2, timestamp_pb2

from wirelane import Schema, UsageError, grpc
from wirelane.codec.dataclasses import schema_of

if TYPE_CHECKING:
    from decimal import Decimal


class Status(enum.Enum):
    OPEN = 1


@dataclass
class Query:
    """What to look for."""

    id: str


@dataclass
class Order:
    id: str
    status: Status = Status.OPEN


@dataclass
class Empty:
    pass


def _rpcs(service: grpc.Service) -> list[str]:
    """Return the methods as the .proto has them."""
    return [line.strip() for line in service.proto_text().splitlines() if line.strip().startswith("rpc ")]


def test_all_four_kinds_come_from_the_annotations() -> None:
    """An async iterator is a stream, on either side."""
    service = grpc.Service("shop.v1.Orders")

    @service.method
    async def get_order(request: Query) -> Order:
        return Order(request.id)

    @service.method
    async def watch(request: Query, context: grpc.Context) -> AsyncIterator[Order]:
        yield Order(request.id)

    @service.method
    async def upload(requests: AsyncIterator[Order]) -> Empty:
        return Empty()

    @service.method(name="Chat2", deprecated=True)
    async def chat(context: grpc.Context, requests: AsyncIterator[Query]) -> AsyncIterator[Order]:
        yield Order("")

    assert _rpcs(service) == [
        "rpc GetOrder(Query) returns (Order);",
        "rpc Watch(Query) returns (stream Order);",
        "rpc Upload(stream Order) returns (Empty);",
        "rpc Chat2(stream Query) returns (stream Order) {",
    ]
    assert service.methods["chat"] == grpc.Method(
        "shop.v1.Orders/Chat2", grpc.Cardinality.BIDI_STREAM, Query, Order
    )
    assert service.method_for(get_order) is service.methods["get_order"]
    assert repr(service) == "<Service shop.v1.Orders: GetOrder, Watch, Upload, Chat2>"


def test_plain_parameters_become_a_message() -> None:
    """`<Method>Request` has a field for each, `<Method>Response` the value."""
    service = grpc.Service("Math")

    @service.method
    async def add(a: int, b: int = 1, *, by: float | None = None, context: grpc.Context) -> float:
        """Add two numbers."""
        return a + b

    @service.method
    async def total(numbers: AsyncIterator[int]) -> AsyncIterator[float]:
        yield 0.0

    @service.method
    async def ping() -> None: ...

    @service.method
    async def find(id: str | None) -> Order | None:  # noqa: A002
        return None

    @service.method
    async def join(left: Order, right: Order) -> list[Order]: ...  # type: ignore[empty-body]

    text = service.proto_text()
    for expected in (
        "message AddRequest {\n  int64 a = 1;\n  optional int64 b = 2;\n  optional double by = 3;\n}",
        "message AddResponse {\n  double value = 1;\n}",
        "message TotalRequest {\n  int64 value = 1;\n}",
        "message PingRequest {\n}",
        "message PingResponse {\n}",
        "message FindRequest {\n  optional string id = 1;\n}",
        "message FindResponse {\n  Order value = 1;\n}",
        "message JoinRequest {\n  Order left = 1;\n  Order right = 2;\n}",
        "message JoinResponse {\n  repeated Order value = 1;\n}",
        "  // Add two numbers.\n  rpc Add(AddRequest) returns (AddResponse);",
        "  rpc Total(stream TotalRequest) returns (stream TotalResponse);",
    ):
        assert expected in text


def test_messages_of_google_protobuf_are_imported() -> None:
    """Their files are those that they come from."""
    service = grpc.Service("Clock")

    @service.method
    async def now(request: empty_pb2.Empty) -> timestamp_pb2.Timestamp:
        return timestamp_pb2.Timestamp()

    text = service.proto_text()
    assert 'import "google/protobuf/empty.proto";\nimport "google/protobuf/timestamp.proto";' in text
    assert "rpc Now(google.protobuf.Empty) returns (google.protobuf.Timestamp);" in text


def test_decorated_functions_stay_as_they_are() -> None:
    """They can be called in tests, and decorated again."""
    service = grpc.Service("a.B")

    async def get(request: Query) -> Order:
        return Order(request.id)

    assert service.method(get) is get
    assert service.method(name="Again")(get2 := _renamed(get, "get2")) is get2


def _renamed(function: Callable[..., Any], name: str) -> Any:
    import types

    made = types.FunctionType(function.__code__, function.__globals__, name)
    made.__annotations__ = dict(function.__annotations__)
    return made


async def _not_annotated(request): ...  # type: ignore[no-untyped-def]
async def _no_return(request: Query): ...  # type: ignore[no-untyped-def]
async def _stars(*requests: Query) -> Order: ...  # type: ignore[empty-body]
async def _hidden(request: Decimal) -> Order: ...  # type: ignore[empty-body]
async def _wrong_field(price: complex) -> Order: ...  # type: ignore[empty-body]
async def _wrong_return(request: Query) -> complex: ...  # type: ignore[empty-body]
async def _timeout(timeout: float) -> Order: ...  # type: ignore[empty-body]
async def _two_streams(a: AsyncIterator[Query], b: int) -> Order: ...  # type: ignore[empty-body]
async def _two_contexts(request: Query, context: grpc.Context, other: grpc.Context) -> Order: ...  # type: ignore[empty-body]
async def _nested(request: Query) -> AsyncIterator[AsyncIterator[Order]]: ...  # type: ignore[empty-body]
async def _positional(a: int, b: int, /) -> Order: ...  # type: ignore[empty-body]
async def _yields(request: Query) -> Order:  # type: ignore[misc]
    yield Order("")


def _blocking(request: Query) -> Order:
    return Order(request.id)


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        (_not_annotated, "_not_annotated(request): annotate it"),
        (_no_return, "_no_return: annotate what it returns"),
        (_stars, "_stars(requests): a message has no place for * and **"),
        (_hidden, "_hidden(request): 'Decimal' is not defined"),
        (_wrong_field, "_wrong_field: WrongFieldRequest.price: complex has no counterpart"),
        (_wrong_return, "_wrong_return: WrongReturnResponse.value: complex has no counterpart"),
        (_timeout, "_timeout(timeout): a stub's methods take timeout="),
        (_two_streams, "_two_streams(a): requests that stream come alone"),
        (_two_contexts, "_two_contexts(other): one parameter for the context"),
        (_nested, "a stream of streams"),
        (_positional, "_positional(a): parameters are passed by name"),
        (_yields, "_yields yields its replies"),
        (_blocking, "_blocking must be async def"),
        (len, "a method of a service is made of a function"),
        ("get", "a method of a service is made of a function"),
    ],
)
def test_a_function_that_is_no_method_is_refused(function: Any, complaint: str) -> None:
    """At once, with its name and the parameter's."""
    with pytest.raises(UsageError) as caught:
        grpc.Service("a.B").method(function)
    assert complaint in str(caught.value)


def test_names_are_taken_once() -> None:
    """Two functions never make one method, nor two classes one message."""
    service = grpc.Service("a.B")

    @service.method
    async def get(request: Query) -> Order: ...  # type: ignore[empty-body]

    with pytest.raises(UsageError, match=r"a\.B has a method get already"):
        service.method(get)
    with pytest.raises(UsageError, match=r"a\.B has a method Get already; name= calls"):
        service.method(name="Get")(_renamed(get, "other"))
    with pytest.raises(UsageError, match="name is the name of the method"):
        service.method(name=5)  # type: ignore[call-overload]
        service.method(name=5)(get)  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="is no name of a method"):
        service.method(name="a-b")(_renamed(get, "other"))

    @grpc.message(name="Order")
    @dataclass
    class OtherOrder:
        pass

    async def clash(request: Query) -> OtherOrder: ...  # type: ignore[empty-body]

    with pytest.raises(UsageError) as caught:
        service.method(clash)
    assert re.match(r'"a\.Order" would be both \S+\.Order and \S+\.OtherOrder; rename one', str(caught.value))
    assert _rpcs(service) == ["rpc Get(Query) returns (Order);"]


def test_a_message_is_not_called_like_its_service() -> None:
    """Both are names in the package."""

    async def get(request: Query) -> Order: ...  # type: ignore[empty-body]

    with pytest.raises(UsageError, match=r'"Query" would be both the service Query and'):
        grpc.Service("Query").method(get)


@pytest.mark.parametrize("name", ["", "a..B", "a.b-c", "ä.B", 5])
def test_a_service_has_a_full_name(name: Any) -> None:
    """As in a .proto."""
    with pytest.raises(UsageError, match="no full name of a service"):
        grpc.Service(name)


# ---------------------------------------------------------------------------------------------------- the schema


def _shop() -> tuple[grpc.Service, grpc.Service, grpc.Service]:
    orders = grpc.Service("shop.v1.Orders", doc="Sells.\n\n    Also on Sundays.\n")
    admin = grpc.Service("shop.v1.Admin")
    billing = grpc.Service("billing.v1.Bills")

    @orders.method
    async def get_order(request: Query) -> Order:
        """Find one.

        Or nothing.
        """
        return Order(request.id)

    @admin.method
    async def remove(request: Order) -> Empty: ...  # type: ignore[empty-body]

    @billing.method
    async def bill(request: Order) -> Empty: ...  # type: ignore[empty-body]

    return orders, admin, billing


def test_what_services_of_one_package_share_is_in_a_file_of_its_own() -> None:
    """Together they are one schema; each alone has all that it needs."""
    orders, admin, billing = _shop()
    assert orders.schema.files() == ["shop/v1/orders.proto"]
    assert admin.schema.files() == ["shop/v1/admin.proto"]
    schema = schema_of([each.spec for each in (orders, admin, billing)])
    assert schema.services() == ["billing.v1.Bills", "shop.v1.Admin", "shop.v1.Orders"]
    where = {name: schema.file_containing_symbol(name) for name in schema.symbols()}
    assert where == {
        "billing.v1.Bills": "billing/v1/bills.proto",
        "billing.v1.Empty": "billing/v1/bills.proto",
        "billing.v1.Order": "billing/v1/bills.proto",
        "billing.v1.Status": "billing/v1/bills.proto",
        "shop.v1.Admin": "shop/v1/admin.proto",
        "shop.v1.Empty": "shop/v1/admin.proto",
        "shop.v1.Order": "shop/v1/shared_types.proto",
        "shop.v1.Orders": "shop/v1/orders.proto",
        "shop.v1.Query": "shop/v1/orders.proto",
        "shop.v1.Status": "shop/v1/shared_types.proto",
    }


def _bare(file: descriptor_pb2.FileDescriptorProto) -> descriptor_pb2.FileDescriptorProto:
    copy = descriptor_pb2.FileDescriptorProto()
    copy.CopyFrom(file)
    copy.ClearField("source_code_info")
    return copy


def test_protoc_makes_the_same_descriptors_of_the_text() -> None:
    """What other languages compile is what the server says it is, comments included."""
    schema = schema_of([each.spec for each in _shop()])
    names = [name for name in schema.files() if not name.startswith("google/")]
    compiled = Schema.load({name: schema.proto_text(name) for name in names}, cache=False)
    for name in names:
        assert _bare(compiled.file_proto(name)) == _bare(schema.file_proto(name))
    for known in (schema, compiled):
        assert known.describe("shop.v1.Orders").comment == "Sells.\n\nAlso on Sundays."
        assert known.describe("shop.v1.Orders/GetOrder").comment == "Find one.\n\nOr nothing."
        assert known.describe("shop.v1.Query").comment == "What to look for."


def test_services_that_contradict_each_other_are_not_served_together() -> None:
    """Neither is one of them without its methods, nor anything of what was added with it."""
    orders, *_ = _shop()
    other = grpc.Service("shop.v1.Others")

    @grpc.message(name="Query")
    @dataclass
    class Question:
        pass

    @other.method
    async def ask(request: Question) -> Empty: ...  # type: ignore[empty-body]

    server = grpc.Server([orders])
    before = repr(server)
    with pytest.raises(UsageError, match=r'"shop\.v1\.Query" would be both'):
        server.add_service(other)
    assert repr(server) == before
    with pytest.raises(UsageError, match="has a handler already"):
        server.add_service(orders)
    with pytest.raises(UsageError, match=r"nothing\.Here has no methods"):
        grpc.Server([grpc.Service("nothing.Here")])


def test_a_file_has_one_service() -> None:
    """Where names of files coincide, that is told."""
    services = [grpc.Service("shop.GetAll"), grpc.Service("shop.Get_All"), grpc.Service("shop.SharedTypes")]

    for service in services:

        @service.method
        async def get(request: Query) -> Order: ...  # type: ignore[empty-body]

    with pytest.raises(UsageError, match=r'would both be the file "shop/get_all\.proto"'):
        grpc.Server(services[:2])
    with pytest.raises(UsageError, match=r'"shop/shared_types\.proto" is the file of what services share'):
        grpc.Server(services[1:])


# ------------------------------------------------------------------------------------------------------- objects


def test_methods_of_a_class_need_an_object() -> None:
    """`bind` says whose they are."""
    service = grpc.Service("a.B")

    class Handlers:
        @service.method
        async def get(self, request: Query) -> Order: ...  # type: ignore[empty-body]

    with pytest.raises(UsageError, match=r"Handlers\.get takes self: give the server service\.bind"):
        grpc.Server([service])
    with pytest.raises(UsageError, match=r"Handlers is a class: Handlers\(\)"):
        service.bind(Handlers)
    with pytest.raises(UsageError, match=r"object has no method get, which a\.B needs"):
        service.bind(object())
    bound = service.bind(Handlers())
    assert repr(bound).startswith("<BoundService a.B of ")
    assert repr(grpc.Server([bound], health=False, reflection=False)) == "<Server IDLE 1 methods>"
    assert service.method_for(Handlers.get) is service.methods["get"]
    with pytest.raises(UsageError, match="is no method of a.B"):
        service.method_for(_blocking)  # type: ignore[arg-type]


async def test_a_parameter_may_have_any_default() -> None:
    """Also one that can be changed: each call sends a copy of what the function says, as it would take it itself."""
    service = grpc.Service("shop.v1.Orders")

    @service.method
    async def find(query: Query = Query("all"), sizes: list[int] = [1, 2]) -> str:  # noqa: B006, B008
        sizes.append(3)
        return f"{query.id} {sizes}"

    async with (
        grpc.Server([service]).listen("127.0.0.1:0") as listening,
        grpc.Channel(str(listening.address)) as channel,
    ):
        stub = service.stub(channel)
        assert [await stub.find(timeout=5.0) for _ in range(2)] == ["all [1, 2, 3]"] * 2
        assert await stub.find(sizes=[]) == "all [3]"


async def _message(request: Query, /) -> Order:
    return Order(request.id)


async def _stream(requests: AsyncIterator[Query], /) -> Empty:
    return Empty()


async def _context(request: Query, context: grpc.Context, /) -> Empty:
    return Empty()


@pytest.mark.parametrize("function", [_message, _stream, _context])
def test_a_parameter_without_a_name_is_refused(function: Callable[..., Any]) -> None:
    """The server passes them by name, the request and the context as well."""
    with pytest.raises(
        UsageError, match=r"\((request|requests)\): parameters are passed by name; drop the /"
    ):
        grpc.Service("shop.v1.Orders").method(function)


def test_a_class_called_like_what_is_made_for_a_function_is_refused() -> None:
    """The error says for which function, and what to write instead."""

    @dataclass
    class AddRequest:
        count: int

    async def add(request: AddRequest, more: int) -> None: ...

    with pytest.raises(UsageError) as caught:
        grpc.Service("shop.v1.Orders").method(add)
    assert f"would be both what is made for {__name__}.add and {__name__}.test_a_class" in str(caught.value)
    assert '@service.method(name="...")' in str(caught.value)


@pytest.mark.parametrize("name", ["été", "__", "_"])
def test_a_function_whose_name_is_none_for_a_method_is_refused(name: str) -> None:
    """The error says how to give it one."""

    async def get(request: Query) -> Order:
        return Order(request.id)

    service = grpc.Service("shop.v1.Orders")
    with pytest.raises(
        UsageError, match=r'no name of a method in a \.proto.*@service\.method\(name="\.\.\."\)'
    ):
        service.method(_renamed(get, name))
    service.method(name="Get")(_renamed(get, name))
    assert _rpcs(service) == ["rpc Get(Query) returns (Order);"]
