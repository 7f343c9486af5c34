"""proto2 and editions: required fields, groups, extensions, closed enums, explicit presence."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import descriptor_pb2

from support.codec_support import echo, sample
from wirelane.codec import Schema
from wirelane.errors import CodecError

RECORD = "legacy.Record"


def test_groups_go_in_and_out_by_their_lower_case_names() -> None:
    value = {"line": [{"text": "a"}, {}], "header": {"title": "t"}}
    assert echo(value, sample("legacy"), RECORD) == value


def test_extensions_go_in_and_out_by_their_full_names_in_brackets() -> None:
    value = {
        "id": 5,
        "[legacy.mark]": 7,
        "[legacy.numbers]": [1, 2**40],
        "[legacy.Marks.nested_mark]": "deep",
        "[legacy.extra]": {"name": "x"},
        "[legacy.extras]": [{"name": "y", "count": 1}],
    }
    assert echo(value, sample("legacy"), RECORD) == value


def test_extensions_that_are_not_set_do_not_come_out() -> None:
    schema = sample("legacy")
    assert schema.decode(RECORD, schema.encode(RECORD, {"id": 1})) == {
        "id": 1,
        "parts": [],
        "by_name": {},
        "line": [],
    }


@pytest.mark.parametrize(
    ("value", "path", "text"),
    [
        ({"[legacy.mrk]": 1}, "[legacy.mrk]", 'did you mean "[legacy.mark]"'),
        ({"[legacy.mark]": "x"}, "[legacy.mark]", "expected an int"),
        ({"[legacy.numbers]": [1, "x"]}, "[legacy.numbers][1]", "expected an int"),
        ({"part": {"[legacy.mark]": 1, "name": "x"}}, "part[legacy.mark]", "has no field"),
    ],
)
def test_wrong_extensions_are_refused_with_their_path(value: dict, path: str, text: str) -> None:
    with pytest.raises(CodecError) as caught:
        sample("legacy").encode(RECORD, value)
    assert caught.value.path == path
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"part": {}}, "part.name"),
        ({"parts": [{"name": "x"}, {"count": 1}]}, "parts[1].name"),
        ({"[legacy.extra]": {}}, "extra.name"),
    ],
)
def test_a_missing_required_field_is_refused_with_its_path(value: dict, path: str) -> None:
    with pytest.raises(CodecError, match="required field") as caught:
        sample("legacy").encode(RECORD, value)
    assert caught.value.path == path


def test_bytes_without_a_required_field_are_refused() -> None:
    with pytest.raises(CodecError, match="required field") as caught:
        sample("legacy").decode("legacy.Part", b"\x10\x05")
    assert caught.value.path == "name"


def test_a_missing_required_field_inside_an_any_is_refused() -> None:
    with pytest.raises(CodecError, match="required field") as caught:
        sample("legacy").encode("google.protobuf.Any", {"@type": "legacy.Part", "count": 1})
    assert caught.value.path == "name"


def test_proto2_scalars_have_presence_so_their_defaults_do_not_come_out() -> None:
    schema = sample("legacy")
    assert schema.decode("legacy.Part", schema.encode("legacy.Part", {"name": "x"})) == {"name": "x"}
    assert echo({"name": "x", "count": 0}, schema, "legacy.Part") == {"name": "x", "count": 0}


def test_a_closed_enum_refuses_numbers_that_it_does_not_have() -> None:
    for schema, message, field in (("legacy", RECORD, "grade"), ("edition", "edition.Sample", "closed")):
        with pytest.raises(CodecError, match="closed") as caught:
            sample(schema).encode(message, {field: 77})
        assert caught.value.path == field


def test_editions_say_field_by_field_what_has_presence() -> None:
    schema = sample("edition")
    assert schema.decode("edition.Sample", b"") == {"implicit_number": 0}
    value = {"explicit_number": 0, "implicit_number": 5, "delimited": {"text": "x"}, "closed": "ONE"}
    assert echo(value, schema, "edition.Sample") == value


PROTO2 = "protobuf_test_messages.proto2.TestAllTypesProto2"


def test_a_string_that_need_not_be_utf8_and_is_none_comes_out_as_bytes_and_has_no_json_form() -> None:
    for schema, name, field, data in (
        (sample("features"), "features.Features", "unchecked", b"\xfa\x01\x02\xff\xfe"),
        (sample("test_messages_proto2"), PROTO2, "optional_string", b"\x72\x02\xff\xfe"),
    ):
        assert schema.decode(name, data)[field] == b"\xff\xfe"
        with pytest.raises(CodecError, match="no JSON form") as caught:
            schema.to_json(name, schema.dict_codec(name).parse(data))
        assert caught.value.path == field


def test_a_key_of_a_map_that_is_no_utf8_is_refused() -> None:
    with pytest.raises(CodecError, match="a key of a map in .* is no UTF-8"):
        sample("test_messages_proto2").decode(PROTO2, b"\xaa\x04\x05\x0a\x01\xff\x12\x00")


def test_defaults_of_proto2_are_described_and_not_decoded() -> None:
    schema = sample("test_messages_proto2")
    out = schema.decode(PROTO2, b"")
    assert "default_string" not in out
    told = {field.name: field.default for field in schema.describe(PROTO2).fields}  # type: ignore[union-attr]
    assert (told["default_string"], told["default_bytes"], told["default_bool"]) == (
        "Rosebud",
        b"joshua",
        True,
    )
    assert out.get("default_int32", told["default_int32"]) == -123456789


def test_groups_and_message_sets_are_fields_like_others() -> None:
    value = {
        "data": {"group_int32": 5},
        "multiwordgroupfield": {"group_uint32": 1},
        "[protobuf_test_messages.proto2.groupfield]": {"group_int32": 7},
        "message_set_correct": {
            f"[{PROTO2}.MessageSetCorrectExtension1.message_set_extension]": {"str": "x"},
            f"[{PROTO2}.ExtensionWithOneof.extension_with_oneof]": {"b": 0},
        },
    }
    assert echo(value, sample("test_messages_proto2"), PROTO2) == value


def test_a_typo_in_a_json_name_is_told_the_json_name() -> None:
    with pytest.raises(CodecError, match=r'did you mean "@odd name"'):
        sample("features").encode("features.Features", {"@odd nam": 1})


# Names of the generated source, of Python's objects and of protobuf's messages.
_TAKEN = [
    "m",
    "v",
    "x",
    "y",
    "z",
    "n",
    "a",
    "k",
    "d",
    "e",
    "out",
    "depth",
    "get",
    "has",
    "which",
    "add",
    "store",
    "by_key",
    "missing",
    "fault",
    "Fault",
    "o0",
    "lambda",
    "await",
    "print",
    "self",
    "__class__",
    "__init__",
    "__dict__",
    "__slots__",
    "__setattr__",
    "__getattr__",
    "__eq__",
    "__hash__",
    "SetInParent",
    "ListFields",
    "FromString",
    "DESCRIPTOR",
    "Extensions",
    "HasField",
]


def test_fields_may_have_any_name_of_the_code_that_reads_and_writes_them() -> None:
    file = descriptor_pb2.FileDescriptorProto(name="taken.proto", package="taken", syntax="proto3")
    message = file.message_type.add(name="M")
    message.oneof_decl.add(name="set_")
    for number, name in enumerate(_TAKEN, 1):
        message.field.add(name=name, number=number, type=9 if number % 3 else 5, label=3 if number % 4 else 1)
    for number, name in enumerate(("oa", "ob"), 100):
        message.field.add(name=name, number=number, type=5, label=1, oneof_index=0)
    schema = Schema.from_set(descriptor_pb2.FileDescriptorSet(file=[file]))
    value: dict[str, Any] = {}
    for number, name in enumerate(_TAKEN, 1):
        single: Any = "text" if number % 3 else number
        value[name] = [single] if number % 4 else single
    value["ob"] = 0
    for given in (value, dict(list(value.items())[:3])):
        assert echo(given, schema, "taken.M") == given
        assert schema.decode("taken.M", schema.encode("taken.M", given), emit_defaults=False) == given


def test_a_message_of_more_fields_than_are_looked_for_in_turn_is_stored_key_by_key() -> None:
    file = descriptor_pb2.FileDescriptorProto(name="wide.proto", package="wide", syntax="proto3")
    message = file.message_type.add(name="Wide")
    for number in range(1, 1001):
        message.field.add(name=f"f{number}", number=number, type=5, label=1)
    schema = Schema.from_set(descriptor_pb2.FileDescriptorSet(file=[file]))
    value = {f"f{number}": number for number in range(1, 1001)}
    assert schema.decode("wide.Wide", schema.encode("wide.Wide", value)) == value
    with pytest.raises(CodecError) as caught:
        schema.encode("wide.Wide", {**value, "f77": "x"})
    assert caught.value.path == "f77"
