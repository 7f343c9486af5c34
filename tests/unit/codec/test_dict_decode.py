"""Messages into dicts: what is there, in which order and form."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google.protobuf import descriptor_pb2

from support.codec_support import ALL_KINDS, demo, sample
from wirelane.codec import Schema
from wirelane.codec.source import Source
from wirelane.errors import CodecError, SchemaError


def test_fields_without_presence_are_always_there() -> None:
    assert demo().decode("SumReply", b"") == {"value": 0.0}
    assert demo().decode("wirelane.demo.Item", b"") == {"name": "", "price": 0.0, "tags": []}
    out = demo().decode(ALL_KINDS, b"")
    assert out["f_enum"] == "COLOR_UNSPECIFIED"
    assert (out["f_bytes"], out["f_bool"], out["f_items"], out["item_map"]) == (b"", False, [], {})


def test_fields_with_presence_are_there_only_if_set() -> None:
    out = demo().decode(ALL_KINDS, b"")
    absent = {
        "f_item",
        "f_child",
        "choice_text",
        "choice_number",
        "choice_item",
        "maybe_int32",
        "maybe_string",
    }
    absent |= {"timestamp", "struct", "value", "any", "int64_wrapper", "field_mask"}
    assert not absent & out.keys()
    value = {"maybe_int32": 0, "maybe_string": "", "choice_number": 0, "f_item": {}, "int64_wrapper": 0}
    out = demo().decode(ALL_KINDS, demo().encode(ALL_KINDS, value))
    assert (
        value.keys()
        == {"maybe_int32", "maybe_string", "choice_number", "f_item", "int64_wrapper"} & out.keys()
    )


def test_keys_come_in_the_order_of_the_proto_file() -> None:
    value = {"maybe_string": "x", "choice_number": 1, "f_item": {}, "timestamp": "2026-01-01T00:00:00Z"}
    keys = list(demo().decode(ALL_KINDS, demo().encode(ALL_KINDS, value)))
    declared = [field.name for field in demo().message_descriptor(ALL_KINDS).fields]
    assert keys == [name for name in declared if name in keys]


def test_defaults_are_fresh_objects_each_time() -> None:
    first = demo().decode("wirelane.demo.Item", b"")
    first["tags"].append("x")
    assert demo().decode("wirelane.demo.Item", b"")["tags"] == []


def test_an_enum_number_without_a_name_stays_a_number() -> None:
    out = demo().decode(ALL_KINDS, demo().encode(ALL_KINDS, {"f_enum": 77, "enum_map": {"k": 78}}))
    assert (out["f_enum"], out["enum_map"]) == (77, {"k": 78})


def test_of_two_names_for_a_number_the_first_comes_out_and_both_go_in() -> None:
    schema = sample("odd")
    for name in ("FIRST", "SAME", 1):
        assert schema.decode("odd.Names", schema.encode("odd.Names", {"alias": name}))["alias"] == "FIRST"


@pytest.mark.parametrize("value", [123.22, 0.1, 1e-7, 16777216.0, 3.4028235e38, 1.1754944e-38, -2.5])
def test_a_float_comes_out_with_the_digits_that_went_in(value: float) -> None:
    out = demo().decode(ALL_KINDS, demo().encode(ALL_KINDS, {"f_float": value, "f_floats": [value]}))
    assert (out["f_float"], out["f_floats"]) == (value, [value])


def test_long_vectors_come_out_as_they_are_on_the_wire() -> None:
    out = demo().decode(ALL_KINDS, demo().encode(ALL_KINDS, {"f_floats": [0.1] * 65}))["f_floats"]
    assert set(out) == {0.10000000149011612}
    assert (
        demo().decode(ALL_KINDS, demo().encode(ALL_KINDS, {"f_floats": out[:64]}))["f_floats"] == [0.1] * 64
    )


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\x05ab", b"\x07", b"\x82\x01\x01"])
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    with pytest.raises(CodecError, match=r"no valid wirelane\.demo\.Item"):
        demo().decode("wirelane.demo.Item", data)


def test_a_string_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(CodecError):
        demo().decode("wirelane.demo.Item", b"\x0a\x01\xff")


def test_messages_nested_deeper_than_parsers_accept_are_refused() -> None:
    data = b""
    for _ in range(101):
        size = len(data)
        head = bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])
        data = b"\x0a" + head + data
    with pytest.raises(CodecError, match=r"odd\.Tree"):
        sample("odd").decode("odd.Tree", data)


@pytest.mark.parametrize("field", ["many", "named"])
def test_what_is_wrong_deep_inside_is_found_by_reading_once(field: str) -> None:
    """A search that began anew at every level would take 2**45 steps for these 300 octets."""
    schema = Schema.load(
        """
        syntax = "proto3"; import "google/protobuf/timestamp.proto";
        message Nest { repeated Nest many = 1; map<int32, Nest> named = 2; google.protobuf.Timestamp at = 3; }
        """
    )
    kind = schema.message_class("Nest")
    message: Any = kind()
    inner = message
    for _ in range(45):
        inner = inner.many.add() if field == "many" else inner.named[7]
    inner.at.seconds = 2**60
    with pytest.raises(CodecError, match="beyond the years") as caught:
        schema.decode("Nest", message.SerializeToString())
    assert caught.value.path == ".".join([f"{field}[{0 if field == 'many' else 7}]"] * 45 + ["at"])


def test_anys_nested_as_bytes_are_bounded_too() -> None:
    schema = sample("odd")
    kind: Any = schema.message_class("odd.Tree")
    tree = kind()
    for _ in range(300):
        outer = kind()
        outer.any.type_url = "type.googleapis.com/odd.Tree"
        outer.any.value = tree.SerializeToString()
        tree = outer
    with pytest.raises(CodecError, match="nested more than 100 deep"):
        schema.decode("odd.Tree", tree.SerializeToString())


def test_bytes_like_objects_are_accepted() -> None:
    data = demo().encode("wirelane.demo.Item", {"name": "x"})
    forms: list[Any] = [bytearray(data), memoryview(data)]
    for form in forms:
        assert demo().decode("wirelane.demo.Item", form)["name"] == "x"


def test_unknown_fields_on_the_wire_are_no_error() -> None:
    data = demo().encode(ALL_KINDS, {"maybe_string": "newer"})
    assert demo().decode("wirelane.demo.Item", data) == {"name": "", "price": 0.0, "tags": []}


def test_a_message_without_fields_is_an_empty_dict() -> None:
    assert sample("odd").decode("odd.Nothing", b"") == {}
    assert demo().decode("google.protobuf.Empty", b"") == {}


def test_a_message_with_more_members_than_python_nests_statements_decodes() -> None:
    file = descriptor_pb2.FileDescriptorProto(name="wide.proto", package="wide", syntax="proto3")
    message = file.message_type.add(name="Wide")
    message.oneof_decl.add(name="choice")
    for number in range(1, 3001):
        message.field.add(name=f"f{number}", number=number, type=3, label=1, oneof_index=0)
    schema = Schema.from_set(descriptor_pb2.FileDescriptorSet(file=[file]))
    assert schema.decode("wide.Wide", schema.encode("wide.Wide", {"f2999": 5})) == {"f2999": 5}


def test_the_source_of_a_small_schema_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message of 400 fields of a message of 24 lists of a message of 24 numbers is 10 kB, and 230,000 numbers."""
    file = descriptor_pb2.FileDescriptorProto(name="grown.proto", package="grown", syntax="proto3")
    inner, middle, outer = (file.message_type.add(name=name) for name in ("Inner", "Middle", "Outer"))
    for number in range(1, 25):
        inner.field.add(name=f"f{number}", number=number, type=5, label=1)
        middle.field.add(name=f"f{number}", number=number, type=11, label=3, type_name=".grown.Inner")
    for number in range(1, 401):
        outer.field.add(name=f"f{number}", number=number, type=11, label=1, type_name=".grown.Middle")
    schema = Schema.from_set(descriptor_pb2.FileDescriptorSet(file=[file]))
    made: list[int] = []
    function = Source.function

    def counted(source: Source, head: str, lines: Iterable[str]) -> Any:
        kept = list(lines)
        made.append(sum(map(len, kept)))
        return function(source, head, kept)

    monkeypatch.setattr(Source, "function", counted)
    value = {"f400": {"f24": [{"f24": 5}]}}
    out = schema.decode("grown.Outer", schema.encode("grown.Outer", value))
    assert out.keys() == {"f400"}
    assert out["f400"]["f24"][0]["f24"] == 5
    assert made
    assert sum(made) < 200_000


def chain(length: int) -> Schema:
    file = descriptor_pb2.FileDescriptorProto(name="chain.proto", package="chain", syntax="proto3")
    for number in range(length):
        message = file.message_type.add(name=f"M{number}")
        message.field.add(
            name="next", number=1, type=11, label=1, type_name=f".chain.M{(number + 1) % length}"
        )
    return Schema.from_set(descriptor_pb2.FileDescriptorSet(file=[file]))


def test_a_long_circle_of_message_types_compiles() -> None:
    schema = chain(100)
    value: dict = {"next": {"next": {}}}
    assert schema.decode("chain.M0", schema.encode("chain.M0", value)) == value


def test_a_chain_of_message_types_that_protobuf_cannot_take_is_a_schema_error() -> None:
    with pytest.raises(SchemaError, match=r"chain\.M0 refers to too long a chain"):
        chain(5000).codec("chain.M0")


def test_many_threads_share_one_schema_from_its_first_use() -> None:
    schema = Schema.from_set(demo().to_set())
    value = {"f_items": [{"name": "a"}], "item_map": {"k": {"price": 1.5}}, "f_child": {"f_enum": "RED"}}

    def turn(number: int) -> tuple[int, str]:
        out = schema.decode(ALL_KINDS, schema.encode(ALL_KINDS, {**value, "f_int32": number}))
        return out["f_int32"], out["f_child"]["f_enum"]

    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(turn, range(64))) == [(number, "RED") for number in range(64)]
