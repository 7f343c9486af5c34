"""Templates: every field there, and what comes out can be sent."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf import json_format

from support.schema_support import ORDERS, PROTO2, schema
from wirelane import protos
from wirelane.codec import Schema
from wirelane.errors import UsageError
from wirelane.schema import Descriptors


def test_every_field_has_a_value_to_replace() -> None:
    assert schema(ORDERS).template("shop.v1.Order") == {
        "id": "",
        "lines": [{"article": "", "price": 0.0}],
        "counts": {},
        "by_number": {0: {"article": "", "price": 0.0}},
        "card": "",
        "priority": 0,
        "status": "STATUS_UNSPECIFIED",
        "at": datetime(1970, 1, 1, tzinfo=UTC),
        "parent": {},
    }


def test_a_method_stands_for_its_request() -> None:
    orders = schema(ORDERS)
    assert orders.template("Orders/Place") == orders.template("Order")


def test_proto2_defaults_are_used_and_required_fields_are_there() -> None:
    made = schema(PROTO2).template("legacy.v2.Wide")
    assert (made["a"], made["b"], made["c"], made["f"]) == (-7, 'a\tb"cä', b"\x00\xff'\"", "NEGATIVE")
    assert made["item"] == {"x": 0, "deeper": {"y": False}}
    assert made["left"] == ""
    assert "middle" not in made


def test_well_known_types_are_python_values() -> None:
    made = Descriptors.from_set(protos.descriptor_set("demo")).template("wirelane.demo.AllKinds")
    assert made["timestamp"] == datetime(1970, 1, 1, tzinfo=UTC)
    assert made["duration"] == timedelta()
    assert (made["struct"], made["value"], made["list_value"], made["field_mask"]) == ({}, None, [], [])
    assert made["any"] == {"@type": "type.googleapis.com/google.protobuf.Empty"}
    assert (made["int64_wrapper"], made["bool_wrapper"], made["bytes_wrapper"]) == (0, False, b"")
    assert made["f_child"] == {}


@pytest.mark.parametrize("name", ["demo", "rpc", "health", "reflection"])
def test_the_json_template_of_any_message_is_valid_json_of_it(name: protos.SetName) -> None:
    descriptors = Descriptors.from_set(protos.descriptor_set(name))
    for symbol in descriptors.symbols():
        if symbol.startswith("google.protobuf.") or descriptors.find_symbol(symbol)[0] != "message":
            continue
        text = json.dumps(descriptors.template(symbol, json=True))
        json_format.Parse(text, descriptors.message_class(symbol)(), descriptor_pool=descriptors.pool)


def test_recursion_is_cut() -> None:
    made = schema(
        'syntax = "proto3"; message A { B b = 1; repeated A list = 2; map<string, A> map = 3; } message B { A a = 1; }'
    )
    assert made.template("A") == {"b": {"a": {}}, "list": [], "map": {}}


def test_a_schema_that_fans_out_stays_small() -> None:
    levels = "".join(
        f"message L{level} {{ {' '.join(f'L{level + 1} f{n} = {n + 1};' for n in range(10))} }}"
        for level in range(20)
    )
    made = schema(f'syntax = "proto3"; {levels} message L20 {{}}').template("L0")
    assert len(json.dumps(made)) < 100_000


def test_a_long_chain_of_messages_is_cut() -> None:
    chain = "".join(f"message L{level} {{ L{level + 1} next = 1; }}" for level in range(2000))
    made = schema(f'syntax = "proto3"; {chain} message L2000 {{}}').template("L0")
    assert json.dumps(made).count("next") == 50


@pytest.mark.parametrize("json_values", [False, True])
def test_what_comes_out_encodes_as_it_is(json_values: bool) -> None:
    demo = Schema.from_set(protos.descriptor_set("demo"))
    for symbol in demo.symbols():
        if symbol.startswith("wirelane.") and demo.find_symbol(symbol)[0] == "message":
            made = demo.template(symbol, json=json_values)
            value = demo.from_json(symbol, made) if json_values else made
            assert isinstance(demo.encode(symbol, value), bytes)


def test_an_unknown_message_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r'did you mean "shop\.v1\.Order"'):
        schema(ORDERS).template("shop.v1.Ordr")
    with pytest.raises(UsageError, match="no message"):
        schema(ORDERS).template("shop.v1.Orders")
