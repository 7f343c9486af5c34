"""Descriptions: what a form, a completion or a person wants to know."""

from __future__ import annotations

import dataclasses
import json
import pickle
import re
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from support.schema_support import ORDERS, PROTO2, schema
from wirelane import protos
from wirelane.core.method import Cardinality
from wirelane.errors import UsageError
from wirelane.schema import Descriptors, load
from wirelane.schema.descriptions import (
    EnumDescription,
    FieldDescription,
    MessageDescription,
    MethodDescription,
    ServiceDescription,
)

# Where the .proto files of googleapis-common-protos are.
GOOGLEAPIS = sysconfig.get_path("purelib")


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


@pytest.mark.parametrize("symbol", ["\udcff", "shop.v1.\udcff", "shop.v1.Orders/\udcff", "\udcff/Place"])
def test_a_name_that_is_no_unicode_is_unknown(orders: Descriptors, symbol: str) -> None:
    for find in (
        orders.describe,
        orders.template,
        orders.proto_text,
        orders.message_descriptor,
        orders.enum_descriptor,
        orders.file_containing_symbol,
    ):
        with pytest.raises(UsageError):
            find(symbol)


ANNOTATED = """\
syntax = "proto2";
package shop;
import "google/api/annotations.proto";
import "google/protobuf/descriptor.proto";

extend google.protobuf.FieldOptions {
  optional Rule rule = 50001;
  repeated string tags = 50002;
  optional bytes raw = 50003;
}
message Rule { optional int64 most = 1; optional Level level = 2; enum Level { LOW = 0; HIGH = 1; } }

// Apart.

// Also apart.

// Above.
message Order {
  option deprecated = true;
  // Above the field.
  optional string id = 1 [(rule) = { most: 5 level: HIGH }, (tags) = "a", (tags) = "b", (raw) = "\\000", ctype = CORD]; // Behind it.
  repeated int32 numbers = 2 [packed = true, json_name = "NUM"];
  extensions 100 to 199;
  oneof kind {
    option (strict) = true;
    // In the oneof.
    string a = 3;
  }
}
extend google.protobuf.OneofOptions { optional bool strict = 50001; }
extend Order {
  // A ribbon.
  optional string ribbon = 101;
}
enum State { option allow_alias = true; NEW = 0; FRESH = 0; OLD = 1 [deprecated = true, (note) = "gone"]; }
extend google.protobuf.EnumValueOptions { optional string note = 50001; }
message Box { extend Order { optional Box box = 102; } }
service Shop {
  option (google.api.default_host) = "shop.example.com";
  // Finds.
  rpc Find(Order) returns (Order) {
    option idempotency_level = NO_SIDE_EFFECTS;
    option (google.api.http) = { get: "/v1/orders/{id}" additional_bindings { post: "/v1/find" body: "*" } };
  }
}
"""


@pytest.fixture(scope="module")
def annotated() -> Descriptors:
    text = ANNOTATED.replace("annotations.proto", "client.proto", 1)
    text = text.replace(
        'import "google/api/client', 'import "google/api/annotations.proto";\nimport "google/api/client'
    )
    return Descriptors.from_set(load({"shop.proto": text}, import_paths=[GOOGLEAPIS]).data)


def test_options_are_data_by_the_names_of_the_proto(annotated: Descriptors) -> None:
    found = fields(annotated, "shop.Order")
    assert found["id"].options == {
        "ctype": "CORD",
        "(shop.rule)": {"most": "5", "level": "HIGH"},
        "(shop.tags)": ["a", "b"],
        "(shop.raw)": b"\0",
    }
    assert found["numbers"].options == {"packed": True}
    assert (found["numbers"].packed, found["numbers"].json_name) == (True, "NUM")
    order = annotated.describe("shop.Order")
    assert isinstance(order, MessageDescription)
    assert (order.deprecated, order.options) == (True, {"deprecated": True})
    assert order.oneofs[0].options == {"(shop.strict)": True}
    state = annotated.describe("shop.State")
    assert isinstance(state, EnumDescription)
    assert (state.options, state.values[2].options) == (
        {"allow_alias": True},
        {"deprecated": True, "(shop.note)": "gone"},
    )


def test_options_of_services_and_methods_tell_what_google_annotates(annotated: Descriptors) -> None:
    service = annotated.describe("shop.Shop")
    assert isinstance(service, ServiceDescription)
    assert service.options == {"(google.api.default_host)": "shop.example.com"}
    assert service.methods[0].options == {
        "idempotency_level": "NO_SIDE_EFFECTS",
        "(google.api.http)": {
            "get": "/v1/orders/{id}",
            "additional_bindings": [{"post": "/v1/find", "body": "*"}],
        },
    }
    assert (
        json.loads(json.dumps(annotated.describe("shop.Order").to_dict()))["fields"][0]["options"][
            "(shop.raw)"
        ]
        == "AA=="
    )


def test_comments_are_told_by_where_they_stand(annotated: Descriptors) -> None:
    order = annotated.describe("shop.Order")
    assert isinstance(order, MessageDescription)
    assert (order.detached, order.comment, order.trailing) == (("Apart.", "Also apart."), "Above.", "")
    identity = order.fields[0]
    assert (identity.comment, identity.trailing, identity.detached) == ("Above the field.", "Behind it.", ())


def test_extensions_of_a_message_are_described_with_it(annotated: Descriptors) -> None:
    order = annotated.describe("shop.Order")
    assert isinstance(order, MessageDescription)
    assert [(item.name, item.number, item.extendee, item.comment) for item in order.extensions] == [
        ("shop.ribbon", 101, "shop.Order", "A ribbon."),
        ("shop.Box.box", 102, "shop.Order", ""),
    ]


def test_editions_are_told_by_what_their_features_mean() -> None:
    descriptors = schema((Path(__file__).parents[2] / "protos" / "edition.proto").read_text())
    found = fields(descriptors, "edition.Sample")
    assert (found["explicit_number"].presence, found["implicit_number"].presence) == (True, False)
    assert found["implicit_number"].options == {"features": {"field_presence": "IMPLICIT"}}
    assert found["delimited"].kind == "group"
    closed = descriptors.describe("edition.Closed")
    assert isinstance(closed, EnumDescription)
    assert (closed.closed, closed.options) == (True, {"features": {"enum_type": "CLOSED"}})


SHAPES = {
    "service": "symbol name file methods",
    "method": "symbol name path service cardinality client_streaming server_streaming input_type output_type request response",
    "message": "symbol name file fields oneofs nested types extensions",
    "enum": "symbol name file values closed",
    "field": "name number kind type repeated key value oneof presence optional required default values json_name packed extendee",
    "oneof": "name fields",
    "value": "name number",
}
ABOUT = {"comment", "trailing", "detached", "options", "deprecated"}


def test_the_shape_of_the_json_is_the_documented_one(annotated: Descriptors) -> None:
    service: Any = annotated.describe("shop.Shop").to_dict()
    method = service["methods"][0]
    message = method["request"]
    enum: Any = annotated.describe("shop.State").to_dict()
    found = {
        "service": service,
        "method": method,
        "message": message,
        "enum": enum,
        "field": message["fields"][0],
        "oneof": message["oneofs"][0],
        "value": enum["values"][0],
    }
    document = (Path(__file__).parents[3] / "docs" / "schema.md").read_text()
    for kind, names in SHAPES.items():
        about = ABOUT - {"deprecated"} if kind == "oneof" else ABOUT
        assert set(found[kind]) == {*names.split(), *about}, kind
        (row,) = [line for line in document.splitlines() if line.startswith(f"| {kind} |")]
        assert set(re.findall(r"`(\w+)`", row)) == set(names.split()), kind
