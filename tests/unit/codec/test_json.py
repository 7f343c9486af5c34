"""ProtoJSON for people: the mapping, both directions, and errors with paths."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from support.codec_support import ALL_KINDS, demo, sample
from wirelane.errors import CodecError

VALUE = {
    "f_int64": 2**63 - 1,
    "f_int32": 5,
    "f_float": 123.22,
    "f_bytes": b"\xff\x00",
    "f_enum": "RED",
    "f_items": [{"name": "a", "price": 1.5}],
    "int32_map": {5: "five"},
    "maybe_int32": 0,
    "timestamp": datetime(2026, 1, 1, tzinfo=UTC),
    "duration": "1.5s",
    "field_mask": ["f_int32"],
    "struct": {"a": [None, True]},
    "value": None,
    "int64_wrapper": 5,
    "any": {"@type": "wirelane.demo.Item", "name": "x"},
}
JSON = {
    "f_int64": "9223372036854775807",
    "f_int32": 5,
    "f_float": 123.22,
    "f_bytes": "/wA=",
    "f_enum": "RED",
    "f_items": [{"name": "a", "price": 1.5}],
    "int32_map": {"5": "five"},
    "maybe_int32": 0,
    "timestamp": "2026-01-01T00:00:00Z",
    "duration": "1.500s",
    "field_mask": "fInt32",
    "struct": {"a": [None, True]},
    "value": None,
    "int64_wrapper": "5",
    "any": {"@type": "type.googleapis.com/wirelane.demo.Item", "name": "x"},
}


def test_every_kind_has_its_protojson_form() -> None:
    assert json.loads(json.dumps(demo().to_json(ALL_KINDS, VALUE))) == JSON


def test_json_comes_in_by_the_same_mapping() -> None:
    schema = demo()
    assert schema.from_json(ALL_KINDS, JSON) == schema.decode(ALL_KINDS, schema.encode(ALL_KINDS, VALUE))


def test_json_names_are_written_on_request_and_always_read() -> None:
    schema = demo()
    assert schema.to_json(ALL_KINDS, {"f_int32": 5, "f_items": [{}]}, json_names=True) == {
        "fInt32": 5,
        "fItems": [{}],
    }
    assert schema.from_json(ALL_KINDS, {"fInt32": 5}) == schema.from_json(ALL_KINDS, {"f_int32": 5})


def test_defaults_are_written_on_request() -> None:
    schema = demo()
    assert schema.to_json("SumReply", {}) == {}
    assert schema.to_json("SumReply", {}, emit_defaults=True) == {"value": 0.0}
    assert schema.to_json("wirelane.demo.Item", None, emit_defaults=True) == {
        "name": "",
        "price": 0.0,
        "tags": [],
    }


def test_a_decoded_reply_goes_to_json_as_it_is() -> None:
    schema = demo()
    assert schema.to_json("SumReply", schema.decode("SumReply", schema.encode("SumReply", {"value": 8}))) == {
        "value": 8.0
    }


def test_what_has_no_json_type_is_text() -> None:
    out = demo().to_json(ALL_KINDS, {"f_double": float("nan"), "f_float": float("-inf")})
    assert out == {"f_double": "NaN", "f_float": "-Infinity"}
    assert demo().from_json(ALL_KINDS, out)["f_float"] == float("-inf")


def test_a_struct_that_json_cannot_write_is_refused() -> None:
    with pytest.raises(CodecError, match="no JSON form"):
        demo().to_json(ALL_KINDS, {"value": float("nan")})


@pytest.mark.parametrize(
    "name", ["google.protobuf.Timestamp", "google.protobuf.StringValue", "google.protobuf.Value"]
)
def test_a_well_known_type_may_be_the_message_itself(name: str) -> None:
    text = "2026-01-01T00:00:00Z"
    assert demo().to_json(name, demo().from_json(name, text)) == text


def test_an_any_of_an_unknown_type_is_base64_at_any_depth_and_comes_back() -> None:
    unknown = {"@type": "type.googleapis.com/nobody.Knows", "value": b"\x01\x02"}
    nested = {"@type": "type.googleapis.com/wirelane.demo.AllKinds", "any": unknown}
    value = {"any": unknown, "f_child": {"any": nested}}
    schema = demo()
    out = schema.to_json(ALL_KINDS, value)
    shown = {"@type": "type.googleapis.com/nobody.Knows", "value": "AQI="}
    assert out == {"any": shown, "f_child": {"any": {**nested, "any": shown}}}
    assert schema.encode(ALL_KINDS, schema.from_json(ALL_KINDS, out)) == schema.encode(
        ALL_KINDS, schema.decode(ALL_KINDS, schema.encode(ALL_KINDS, value))
    )


def test_writing_json_leaves_the_message_given_as_it_was() -> None:
    message: Any = demo().message_class(ALL_KINDS)()
    message.any.type_url = "x/nobody.Knows"
    message.any.value = b"\x01"
    before = message.SerializeToString()
    demo().to_json(ALL_KINDS, message)
    assert message.SerializeToString() == before


def test_extensions_are_read_and_written_by_name() -> None:
    schema = sample("legacy")
    value = {"id": 1, "[legacy.mark]": 7}
    assert schema.to_json("legacy.Record", value) == value
    assert schema.from_json("legacy.Record", value)["[legacy.mark]"] == 7


def test_null_is_absent_and_nothing_is_an_empty_message() -> None:
    schema = demo()
    assert schema.from_json(ALL_KINDS, {"f_int32": None, "f_items": None}) == schema.decode(ALL_KINDS, b"")
    assert schema.from_json(ALL_KINDS, None) == schema.decode(ALL_KINDS, b"")


@pytest.mark.parametrize(
    ("content", "path", "text"),
    [
        ({"f_itmes": []}, "f_itmes", 'did you mean "f_items"'),
        ({"f_items": [{}, {"prise": 1}]}, "f_items[1].prise", 'did you mean "price"'),
        ({"item_map": {"k": {"prise": 1}}}, 'item_map["k"].prise', 'did you mean "price"'),
        ({"any": {"@type": "wirelane.demo.Item", "prise": 1}}, "any.prise", 'did you mean "price"'),
        ({"f_enum": "GREN"}, "f_enum", 'did you mean "GREEN"'),
        ({"f_enums": ["RED", "GREN"]}, "f_enums[1]", 'did you mean "GREEN"'),
        ({"f_items": {}}, "f_items", "array"),
        ({"f_item": 5}, "f_item", "object"),
        ({"f_item": "name"}, "f_item", "object"),
        ({"string_map": []}, "string_map", "object"),
        ({"f_int32": "x"}, "f_int32", "'x'"),
        ({"f_int32": 1.5}, "f_int32", "1.5"),
        ({"f_int32": 2**31}, "f_int32", "out of range"),
        ({"f_items": [{"price": "dear"}]}, "f_items[0].price", "dear"),
        ({"f_bytes": "***"}, "f_bytes", "base64"),
        ({"f_bytess": ["", "***"]}, "f_bytess[1]", "base64"),
        ({"f_strings": [5]}, "f_strings[0]", ""),
        ({"f_bool": "true"}, "f_bool", ""),
        ({"timestamp": "yesterday"}, "timestamp", ""),
        ({"timestamp": 5}, "timestamp", ""),
        ({"duration": "3"}, "duration", ""),
        ({"duration": 3}, "duration", ""),
        ({"field_mask": 5}, "field_mask", ""),
        ({"int64_wrapper": "x"}, "int64_wrapper", ""),
        ({"choice_text": "a", "choice_number": 1}, "choice_number", "choice"),
        ({"any": {"name": "x"}}, "any", "@type"),
        ({"any": {"@type": "nobody.Knows", "name": "x"}}, "any", "nobody.Knows"),
        ({"any": {"@type": "google.protobuf.Duration"}}, "any", '"value"'),
        ({"any": []}, "any", "object"),
        ([], "", "object"),
        ("text", "", "object"),
        (5, "", "object"),
    ],
)
def test_wrong_json_is_refused_with_the_path(content: object, path: str, text: str) -> None:
    with pytest.raises(CodecError) as caught:
        demo().from_json(ALL_KINDS, content)
    assert caught.value.path == path
    assert text in str(caught.value)


def test_json_nested_too_deep_is_refused() -> None:
    content: dict = {}
    for _ in range(5000):
        content = {"child": content}
    with pytest.raises(CodecError, match="nested more than 100 deep"):
        sample("odd").from_json("odd.Tree", content)
    struct: dict = {}
    for _ in range(5000):
        struct = {"a": [struct]}
    with pytest.raises(CodecError, match="nested more than 100 deep") as caught:
        sample("odd").from_json("odd.Tree", {"struct": struct})
    assert caught.value.path.startswith('struct["a"][0]["a"][0]')
