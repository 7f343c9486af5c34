"""Descriptions: what a form, a completion or a person wants to know."""

from __future__ import annotations

import dataclasses
import json
import pickle

import pytest

from support.schema_support import ORDERS, PROTO2, schema
from wirelane import protos
from wirelane.core.method import Cardinality
from wirelane.errors import UsageError
from wirelane.schema import Descriptors
from wirelane.schema.descriptions import (
    EnumDescription,
    FieldDescription,
    MessageDescription,
    MethodDescription,
    ServiceDescription,
)


@pytest.fixture(scope="module")
def orders() -> Descriptors:
    return schema(ORDERS)


def fields(descriptors: Descriptors, name: str) -> dict[str, FieldDescription]:
    described = descriptors.describe(name)
    assert isinstance(described, MessageDescription)
    return {field.name: field for field in described.fields}


def test_a_service_with_its_methods(orders: Descriptors) -> None:
    service = orders.describe("Orders")
    assert isinstance(service, ServiceDescription)
    assert (service.name, service.file, service.comment) == (
        "shop.v1.Orders",
        "sample.proto",
        "Takes orders.",
    )
    assert [method.name for method in service.methods] == ["Place", "Watch", "Import", "Chat"]
    assert str(service).startswith("// Takes orders.\nservice Orders {\n  // Takes one.\n  rpc Place(Order)")


@pytest.mark.parametrize("name", ["shop.v1.Orders/Watch", "shop.v1.Orders.Watch", "Orders/Watch"])
def test_a_method_with_request_and_response(orders: Descriptors, name: str) -> None:
    method = orders.describe(name)
    assert isinstance(method, MethodDescription)
    assert method.cardinality is Cardinality.SERVER_STREAM
    assert (method.client_streaming, method.server_streaming) == (False, True)
    assert method.path == "/shop.v1.Orders/Watch"
    assert method.request.name == method.response.name == "shop.v1.Order"
    assert "google.protobuf.Timestamp" in {type_.name for type_ in method.request.types}


def test_fields_tell_everything_about_themselves(orders: Descriptors) -> None:
    found = fields(orders, "shop.v1.Order")
    assert found["id"] == FieldDescription(
        "id", 1, "string", default="", json_name="id", comment="Given by us."
    )
    assert (found["lines"].kind, found["lines"].type, found["lines"].repeated) == (
        "message",
        "shop.v1.Order.Line",
        True,
    )
    assert found["priority"].optional
    assert found["priority"].presence
    assert found["priority"].oneof is None
    assert not found["id"].presence
    assert found["parent"].deprecated
    assert found["status"].values == ("STATUS_UNSPECIFIED", "STATUS_PAID", "STATUS_GONE")
    assert found["status"].default == "STATUS_UNSPECIFIED"
    assert found["at"].type == "google.protobuf.Timestamp"


def test_maps_tell_keys_and_values(orders: Descriptors) -> None:
    found = fields(orders, "shop.v1.Order")
    counts, by_number = found["counts"], found["by_number"]
    assert (counts.kind, counts.key, counts.value, counts.type, counts.repeated) == (
        "map",
        "string",
        "int64",
        None,
        False,
    )
    assert (by_number.key, by_number.value, by_number.type) == ("int32", "message", "shop.v1.Order.Line")


def test_oneofs_and_their_members(orders: Descriptors) -> None:
    described = orders.describe("shop.v1.Order")
    assert isinstance(described, MessageDescription)
    assert [(oneof.name, oneof.fields) for oneof in described.oneofs] == [("payment", ("card", "token"))]
    assert {field.name for field in described.fields if field.oneof} == {"card", "token"}


def test_nested_types_and_their_comments(orders: Descriptors) -> None:
    described = orders.describe("Order")
    assert isinstance(described, MessageDescription)
    assert [inner.name for inner in described.nested] == ["shop.v1.Order.Line", "shop.v1.Order.Status"]
    line = described.nested[0]
    assert isinstance(line, MessageDescription)
    assert line.fields[0].comment == "as in the catalogue"


def test_an_enum_with_its_numbers(orders: Descriptors) -> None:
    status = orders.describe("shop.v1.Order.Status")
    assert isinstance(status, EnumDescription)
    assert [(value.name, value.number, value.deprecated) for value in status.values] == [
        ("STATUS_UNSPECIFIED", 0, False),
        ("STATUS_PAID", 1, False),
        ("STATUS_GONE", 2, True),
    ]
    assert status.values[0].comment == "Nothing yet."
    assert not status.closed


def test_proto2_has_defaults_requirements_and_groups() -> None:
    legacy = schema(PROTO2)
    found = fields(legacy, "legacy.v2.Wide")
    assert (found["a"].required, found["a"].default) == (True, -7)
    assert (found["b"].default, found["b"].json_name) == ('a\tb"cä', "BEE")
    assert found["c"].default == b"\x00\xff'\""
    assert found["f"].default == "NEGATIVE"
    assert (found["item"].kind, found["item"].type) == ("group", "legacy.v2.Wide.Item")
    assert found["g"].packed
    assert not found["g"].presence
    kind = legacy.describe("legacy.v2.Kind")
    assert isinstance(kind, EnumDescription)
    assert kind.closed


def test_an_extension_is_described_like_a_field() -> None:
    extension = schema(PROTO2).describe("legacy.v2.Wide.wide")
    assert isinstance(extension, FieldDescription)
    assert (extension.name, extension.extendee) == ("legacy.v2.Wide.wide", "legacy.v2.Rules")
    assert str(extension).startswith("extend")


def test_types_are_flat_and_end_where_they_repeat() -> None:
    described = schema(
        'syntax = "proto3"; message A { B b = 1; A a = 2; } message B { A a = 1; C c = 2; E e = 3; } '
        "message C { repeated C more = 1; map<int32, D> d = 2; } message D { B b = 1; } enum E { Z = 0; }"
    ).describe("A")
    assert isinstance(described, MessageDescription)
    assert [type_.name for type_ in described.types] == ["B", "C", "D", "E"]
    assert all(not type_.types for type_ in described.types if isinstance(type_, MessageDescription))


def test_types_that_fan_out_are_described_once_each() -> None:
    width = 8
    levels = "".join(
        f"message L{level} {{ {' '.join(f'L{level + 1} f{n} = {n + 1};' for n in range(width))} }}"
        for level in range(20)
    )
    described = schema(f'syntax = "proto3"; {levels} message L20 {{}}').describe("L0")
    assert isinstance(described, MessageDescription)
    assert len(described.types) == 20


@pytest.mark.parametrize("sample", [ORDERS, PROTO2])
def test_everything_becomes_json_and_pickles(sample: str) -> None:
    descriptors = schema(sample)
    for symbol in descriptors.symbols():
        described = descriptors.describe(symbol)
        assert json.loads(json.dumps(described.to_dict()))["name"] == symbol
        assert repr(pickle.loads(pickle.dumps(described))) == repr(described)  # NaN is not equal to itself
        assert str(described).strip()


def test_json_of_odd_defaults() -> None:
    described = schema(PROTO2).describe("legacy.v2.Wide").to_dict()
    listed = described["fields"]
    assert isinstance(listed, list)
    defaults = {field["name"]: field["default"] for field in listed}
    assert (defaults["c"], defaults["d"], defaults["e"]) == ("AP8nIg==", "Infinity", "NaN")


def test_descriptions_are_frozen(orders: Descriptors) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        orders.describe("Order").name = "x"  # type: ignore[misc]


def test_fields_read_as_proto_syntax(orders: Descriptors) -> None:
    found = fields(orders, "Order")
    assert str(found["lines"]) == "repeated shop.v1.Order.Line lines = 2"
    assert str(found["counts"]) == "map<string, int64> counts = 3"
    assert str(found["priority"]) == "optional int32 priority = 7"


def test_the_demo_is_described_whole() -> None:
    demo = Descriptors.from_set(protos.descriptor_set("demo"))
    for symbol in demo.symbols():
        assert demo.describe(symbol).to_dict()


@pytest.mark.parametrize("symbol", ["Ordr", "shop.v1.orders", "shop.v1.Orders/Plce", "shop.v1"])
def test_unknown_symbols_name_the_nearest(orders: Descriptors, symbol: str) -> None:
    with pytest.raises(UsageError, match="did you mean"):
        orders.describe(symbol)
