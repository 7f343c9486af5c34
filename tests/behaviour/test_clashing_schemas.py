"""Two schemas in one process that give the same names to different things, in the same file."""

from __future__ import annotations

from typing import Any

import pytest

from wirelane import CodecError, Schema
from wirelane.codec import codec_for, decode, encode, encode_status_details

VERSIONS = {
    "old": """
        syntax = "proto3"; package shop; import "google/protobuf/any.proto";
        message Item { string name = 1; Kind kind = 2; google.protobuf.Any more = 3; }
        enum Kind { NONE = 0; LAMP = 1; }
        service Shop { rpc Find(Item) returns (Item); }
    """,
    "new": """
        syntax = "proto3"; package shop; import "google/protobuf/any.proto";
        message Item { int64 number = 1; repeated Kind kinds = 2; google.protobuf.Any more = 3; }
        enum Kind { NONE = 0; SHADE = 1; }
        service Shop { rpc Find(Item) returns (Item); rpc Count(stream Item) returns (Item); }
    """,
}
VALUES: dict[str, dict[str, Any]] = {
    "old": {"name": "x", "kind": "LAMP", "more": {"@type": "shop.Item", "name": "inside", "kind": "NONE"}},
    "new": {"number": 7, "kinds": ["SHADE"], "more": {"@type": "shop.Item", "number": 8, "kinds": []}},
}


def schemas() -> dict[str, Schema]:
    return {name: Schema.load({"shop.proto": text}) for name, text in VERSIONS.items()}


def test_each_schema_has_its_own_messages_by_the_same_names() -> None:
    both = schemas()
    classes = {name: schema.message_class("shop.Item") for name, schema in both.items()}
    assert classes["old"] is not classes["new"]
    assert both["old"].template("shop.Item").keys() == {"name", "kind", "more"}
    assert both["new"].template("shop.Item").keys() == {"number", "kinds", "more"}
    for name, schema in both.items():
        data = schema.encode("shop.Item", VALUES[name])
        value = schema.decode("shop.Item", data)
        assert value["more"].pop("@type") == "type.googleapis.com/shop.Item"
        assert value == {
            **VALUES[name],
            "more": {k: v for k, v in VALUES[name]["more"].items() if k != "@type"},
        }
        assert schema.from_json("shop.Item", schema.to_json("shop.Item", VALUES[name])) == schema.decode(
            "shop.Item", data
        )
    with pytest.raises(CodecError, match="number"):
        both["old"].encode("shop.Item", {"number": 7})


def test_typed_messages_of_both_are_told_apart_by_their_class() -> None:
    both = schemas()
    old, new = (both[name].message_class("shop.Item") for name in ("old", "new"))
    assert codec_for(old) is not codec_for(new)
    assert decode(old, encode(old(name="x"))) == old(name="x")
    assert decode(new, encode(new(number=7))) == new(number=7)


def test_an_any_holds_what_its_own_schema_calls_by_that_name() -> None:
    both = schemas()
    data = {name: schema.encode("shop.Item", VALUES[name]) for name, schema in both.items()}
    assert both["old"].decode("shop.Item", data["old"])["more"]["name"] == "inside"
    assert both["new"].decode("shop.Item", data["new"])["more"]["number"] == 8
    # The same bytes are something else to the other one: its string is no number.
    assert both["new"].decode("shop.Item", data["old"]).get("number") == 0


def test_details_are_encoded_by_the_schema_that_is_given() -> None:
    both = schemas()
    detail = {"@type": "shop.Item", "name": "x"}
    assert encode_status_details(5, "no", [detail], both["old"])
    with pytest.raises(CodecError) as raised:
        encode_status_details(5, "no", [detail], both["new"])
    assert raised.value.path == "details[0].name"
