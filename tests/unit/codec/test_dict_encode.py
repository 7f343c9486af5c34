"""Dicts into messages: what is accepted, what is refused, and with which path."""

from __future__ import annotations

import enum
import math
from collections import OrderedDict
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import pytest
from google.protobuf.struct_pb2 import Value

from support.codec_support import ALL_KINDS, demo, echo, sample
from wirelane.errors import CodecError

INTS = {
    "f_int32": (-(2**31), 2**31 - 1),
    "f_sint32": (-(2**31), 2**31 - 1),
    "f_sfixed32": (-(2**31), 2**31 - 1),
    "f_int64": (-(2**63), 2**63 - 1),
    "f_sint64": (-(2**63), 2**63 - 1),
    "f_sfixed64": (-(2**63), 2**63 - 1),
    "f_uint32": (0, 2**32 - 1),
    "f_fixed32": (0, 2**32 - 1),
    "f_uint64": (0, 2**64 - 1),
    "f_fixed64": (0, 2**64 - 1),
}


def refuse(value: object, schema=None, name: str = ALL_KINDS) -> CodecError:
    with pytest.raises(CodecError) as caught:
        (schema or demo()).encode(name, value)
    return caught.value


@pytest.mark.parametrize("field", INTS)
def test_the_whole_range_of_an_integer_goes_through_and_not_one_more(field: str) -> None:
    low, high = INTS[field]
    assert echo({field: low}) == {field: low}
    assert echo({field: high}) == {field: high}
    for beyond in (low - 1, high + 1):
        error = refuse({field: beyond})
        assert error.path == field
        assert f"{beyond} is out of range" in str(error)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("f_int32", True),
        ("f_int32", 5.0),
        ("f_int32", "5"),
        ("f_int64", math.nan),
        ("f_bool", 1),
        ("f_bool", "true"),
        ("f_double", "1.5"),
        ("f_double", True),
        ("f_double", 10**400),
        ("f_float", "1.5"),
        ("f_float", 3.5e38),
        ("f_float", -3.5e38),
        ("f_string", b"bytes"),
        ("f_string", 5),
        ("f_string", "\ud800"),
        ("f_bytes", "text"),
        ("f_bytes", [1, 2]),
        ("f_enum", "PURPLE"),
        ("f_enum", 1.0),
        ("f_enum", True),
        ("f_enum", 2**31),
        ("f_item", []),
        ("f_item", "name"),
        ("f_items", {}),
        ("f_items", "name"),
        ("f_strings", "abc"),
        ("f_strings", b"abc"),
        ("f_int32s", 5),
        ("string_map", [("a", "b")]),
        ("item_map", []),
        ("int64_wrapper", "5"),
        ("bytes_wrapper", "text"),
        ("double_wrapper", {"value": 1.0}),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_with_its_field(field: str, value: object) -> None:
    assert refuse({field: value}).path == field


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"f_items": [{}, {}, {"price": "dear"}]}, "f_items[2].price"),
        ({"f_items": [{}, None]}, "f_items[1]"),
        ({"f_items": [{"tags": ["a", 5]}]}, "f_items[0].tags[1]"),
        ({"f_int32s": [1, 2, 2**31]}, "f_int32s[2]"),
        ({"f_int32s": [1, None]}, "f_int32s[1]"),
        ({"f_floats": [1.0, 1e39]}, "f_floats[1]"),
        ({"f_enums": ["RED", "PURPLE"]}, "f_enums[1]"),
        ({"item_map": {"k": {"price": "dear"}}}, 'item_map["k"].price'),
        ({"string_map": {"a": "b", 'q"\\': 5}}, 'string_map["q\\"\\\\"]'),
        ({"int32_map": {"5": "x"}}, 'int32_map["5"]'),
        ({"int32_map": {2**31: "x"}}, "int32_map[2147483648]"),
        ({"bool_map": {True: "x"}}, "bool_map[true]"),
        ({"enum_map": {"k": "PURPLE"}}, 'enum_map["k"]'),
        ({"f_child": {"f_child": {"f_item": {"name": 5}}}}, "f_child.f_child.f_item.name"),
        ({"fChild": {"fItem": {"name": 5}}}, "fChild.fItem.name"),
        ({"choice_item": {"price": "dear"}}, "choice_item.price"),
        ({"timestamps": ["2026-01-01T00:00:00Z", "later"]}, "timestamps[1]"),
        ({"duration_map": {"k": 5}}, 'duration_map["k"]'),
        ({"struct": {"a": [1, {"b": object()}]}}, 'struct["a"][1]["b"]'),
        ({"list_value": [1, b"x"]}, "list_value[1]"),
        ({"any": {"@type": "wirelane.demo.Item", "price": "dear"}}, "any.price"),
        ({"any": {"@type": "google.protobuf.Duration", "value": "soon"}}, "any.value"),
        ({"field_mask": ["a", 5]}, "field_mask[1]"),
    ],
)
def test_a_fault_inside_is_told_by_its_path(value: dict, path: str) -> None:
    error = refuse(value)
    assert error.path == path
    assert str(error).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("value", "near"),
    [
        ({"f_itmes": []}, "f_items"),
        ({"F_STRING": ""}, "f_string"),
        ({"f_item": {"prise": 1}}, "price"),
    ],
)
def test_an_unknown_field_is_refused_and_the_nearest_is_named(value: dict, near: str) -> None:
    assert f'did you mean "{near}"' in str(refuse(value))


def test_an_unknown_field_far_from_any_is_refused_without_a_guess() -> None:
    assert str(refuse({"zzzzzzzz": 1})) == 'zzzzzzzz: wirelane.demo.AllKinds has no field "zzzzzzzz"'


def test_an_unknown_enum_name_is_refused_and_the_nearest_is_named() -> None:
    assert 'did you mean "GREEN"' in str(refuse({"f_enum": "GREN"}))


def test_an_unknown_field_is_refused_even_when_it_holds_none() -> None:
    assert refuse({"nothing_here": None}).path == "nothing_here"


def test_str_for_bytes_says_to_pass_bytes() -> None:
    assert "pass bytes" in str(refuse({"f_bytes": "text"}))


@pytest.mark.parametrize("value", [[], "text", 5, [("f_int32", 5)], {5: 6}])
def test_what_is_no_dict_of_fields_is_refused(value: object) -> None:
    assert refuse(value).path == ""


def test_two_members_of_a_oneof_are_refused_even_when_they_hold_defaults() -> None:
    error = refuse({"choice_text": "", "choice_number": 0})
    assert error.path == "choice_number"
    assert '"choice_text"' in str(error)


def test_a_member_of_a_oneof_that_is_none_does_not_count() -> None:
    assert echo({"choice_number": 5}) == {"choice_number": 5}
    data = demo().encode(ALL_KINDS, {"choice_text": None, "choice_number": 5, "choice_item": None})
    assert demo().decode(ALL_KINDS, data)["choice_number"] == 5


def test_proto_and_json_names_are_accepted_and_mean_the_same() -> None:
    schema = demo()
    by_proto = schema.encode(ALL_KINDS, {"f_int32": 1, "string_map": {"a": "b"}, "f_item": {"name": "x"}})
    assert (
        schema.encode(ALL_KINDS, {"fInt32": 1, "stringMap": {"a": "b"}, "fItem": {"name": "x"}}) == by_proto
    )


def test_a_json_name_given_in_the_proto_file_is_accepted() -> None:
    assert echo({"given_json": 5}, sample("odd"), "odd.Names") == {"given_json": 5}
    schema = sample("odd")
    assert schema.encode("odd.Names", {"anotherName": 5}) == schema.encode("odd.Names", {"given_json": 5})


def test_one_field_by_both_its_names_is_refused() -> None:
    assert "given twice" in str(refuse({"f_int32": 1, "fInt32": 2}))
    assert "given twice" in str(refuse({"fInt32": 1, "f_int32": 2}))


def test_none_is_the_same_as_leaving_a_field_out() -> None:
    schema = demo()
    nothing = dict.fromkeys(
        ["f_int32", "f_string", "f_item", "f_items", "string_map", "maybe_int32", "timestamp"]
    )
    assert schema.encode(ALL_KINDS, nothing) == b""
    assert schema.encode(ALL_KINDS, None) == b""
    assert schema.encode(ALL_KINDS, {}) == b""


def test_an_empty_message_is_present_and_an_absent_one_is_not() -> None:
    schema = demo()
    assert "f_item" in schema.decode(ALL_KINDS, schema.encode(ALL_KINDS, {"f_item": {}}))
    assert "f_item" not in schema.decode(ALL_KINDS, schema.encode(ALL_KINDS, {}))


def test_enums_go_in_by_name_number_or_as_python_enums() -> None:
    class Color(enum.Enum):
        BLUE = "anything"

    class Number(enum.IntEnum):
        GREEN = 2

    assert echo({"f_enums": ["RED", 2, Color.BLUE, Number.GREEN, 77, 0]})["f_enums"] == [
        "RED",
        "GREEN",
        "BLUE",
        "GREEN",
        77,
        "COLOR_UNSPECIFIED",
    ]


def test_numbers_of_other_types_that_are_exact_are_accepted() -> None:
    class Index:
        def __index__(self) -> int:
            return 41

    value = {
        "f_int32": Index(),
        "f_double": Fraction(1, 4),
        "f_float": 3,
        "f_doubles": [1, 2.5, Fraction(1, 2)],
    }
    assert echo(value) == {"f_int32": 41, "f_double": 0.25, "f_float": 3.0, "f_doubles": [1.0, 2.5, 0.5]}


def test_infinities_and_nan_go_through_both_kinds_of_float() -> None:
    out = echo({"f_floats": [math.inf, -math.inf, math.nan], "f_double": math.inf, "f_float": -math.inf})
    assert out["f_floats"][:2] == [math.inf, -math.inf]
    assert math.isnan(out["f_floats"][2])
    assert (out["f_double"], out["f_float"]) == (math.inf, -math.inf)


def test_the_largest_float_goes_through_as_a_number_and_in_a_list() -> None:
    largest = 3.4028234663852886e38
    out = echo({"f_float": largest, "f_floats": [largest, -largest]})
    assert out["f_float"] == pytest.approx(largest, rel=1e-7)
    assert all(math.isfinite(each) for each in out["f_floats"])


def test_other_mappings_and_sequences_are_accepted() -> None:
    value = MappingProxyType(
        {
            "f_items": ({"name": "a"}, OrderedDict(name="b")),
            "f_int32s": range(3),
            "f_strings": (text for text in ("x", "y")),
            "string_map": MappingProxyType({"a": "b"}),
            "f_bytes": bytearray(b"ab"),
            "f_bytess": [memoryview(b"cd")],
        }
    )
    out = demo().decode(ALL_KINDS, demo().encode(ALL_KINDS, value))
    assert [item["name"] for item in out["f_items"]] == ["a", "b"]
    assert (out["f_int32s"], out["f_strings"]) == ([0, 1, 2], ["x", "y"])
    assert (out["string_map"], out["f_bytes"], out["f_bytess"]) == ({"a": "b"}, b"ab", [b"cd"])


def test_a_string_is_never_the_name_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("what is inside")
    for text in (str(file), f"@{file}", f"file://{file}"):
        assert echo({"f_string": text, "f_strings": [text]}) == {"f_string": text, "f_strings": [text]}
        assert "pass bytes" in str(refuse({"f_bytes": text}))
        assert demo().from_json(ALL_KINDS, {"f_string": text})["f_string"] == text
    assert refuse({"f_string": file}).path == "f_string"


def test_the_dict_given_is_not_changed() -> None:
    value = {"f_items": [{"name": "a"}], "any": {"@type": "wirelane.demo.Item", "name": "x"}, "fInt32": 5}
    before = repr(value)
    demo().encode(ALL_KINDS, value)
    assert repr(value) == before


def test_a_message_of_the_type_is_accepted_whole_and_inside() -> None:
    schema = demo()
    item = schema.message_class("wirelane.demo.Item")(name="x", price=2.5)
    assert schema.encode("wirelane.demo.Item", item) == item.SerializeToString()
    assert echo({"f_items": [item], "item_map": {"k": item}}) == {
        "f_items": [{"name": "x", "price": 2.5, "tags": []}],
        "item_map": {"k": {"name": "x", "price": 2.5, "tags": []}},
    }


def test_a_message_of_another_type_is_refused() -> None:
    schema = demo()
    item = schema.message_class("wirelane.demo.Item")()
    assert "wirelane.demo.Item" in str(refuse(item))
    assert "wirelane.demo.Item" in str(refuse(item, name="google.protobuf.Any"))
    assert refuse({"f_child": item}).path == "f_child"
    assert "google.protobuf.Value" in str(refuse(Value(), name="google.protobuf.Struct"))


def test_names_that_mean_something_to_python_or_protobuf_are_ordinary_fields() -> None:
    value = {
        "class": 1,
        "from": 2,
        "None": [3],
        "HasField": 4,
        "WhichOneof": 5,
        "DESCRIPTOR": "six",
        "depth": 7,
        "out": 8,
        "m": 9,
        "SerializeToString": 11,
    }
    assert echo(value, sample("odd"), "odd.Names") == value
    assert echo({"def": {"class": 1}}, sample("odd"), "odd.Names")["def"]["class"] == 1


def nested(depth: int, *, kind: str = "child") -> dict:
    wrap: dict[str, Callable[[dict], dict]] = {
        "child": lambda inner: {"child": inner},
        "list": lambda inner: {"children": [inner]},
        "map": lambda inner: {"named": {"k": inner}},
    }
    value: dict = {}
    for _ in range(depth):
        value = wrap[kind](value)
    return value


@pytest.mark.parametrize(("kind", "deepest"), [("child", 100), ("list", 100), ("map", 50)])
def test_messages_nest_to_the_depth_that_parsers_accept_and_no_deeper(kind: str, deepest: int) -> None:
    schema = sample("odd")
    fits = nested(deepest, kind=kind)
    schema.decode("odd.Tree", schema.encode("odd.Tree", fits))
    for beyond in (deepest + 1, 5000):
        assert "nested more than 100 deep" in str(refuse(nested(beyond, kind=kind), schema, "odd.Tree"))


def test_entries_of_a_scalar_map_count_as_a_level() -> None:
    schema = sample("odd")
    value: dict = {"numbers": {"a": 1}}
    for _ in range(99):
        value = {"child": value}
    schema.decode("odd.Tree", schema.encode("odd.Tree", value))
    assert "nested more" in str(refuse({"child": value}, schema, "odd.Tree"))


def test_a_dict_that_contains_itself_is_refused() -> None:
    value: dict = {}
    value["child"] = value
    assert "nested more than 100 deep" in str(refuse(value, sample("odd"), "odd.Tree"))
    packed: dict = {"@type": "odd.Tree"}
    packed["any"] = packed
    assert "nested more than 100 deep" in str(refuse({"any": packed}, sample("odd"), "odd.Tree"))
    struct: dict = {}
    struct["s"] = [struct]
    assert "nested more than 100 deep" in str(refuse({"struct": struct}, sample("odd"), "odd.Tree"))


def test_values_too_large_to_be_shown_are_refused_all_the_same() -> None:
    huge = 10**5000
    for field in ("f_int32", "f_enum", "f_double", "f_string", "int64_wrapper", "value", "f_float"):
        assert len(str(refuse({field: huge}))) < 300
    assert len(str(refuse({"f_string": [huge]}))) < 300
    assert len(str(refuse({"f_int32": "x" * 10**6}))) < 300
    assert refuse({"f_int32s": [1, huge]}).path == "f_int32s[1]"


class Several:
    """What arrays of more than one element say when they are asked for a number."""

    def __index__(self) -> int:
        raise TypeError("only arrays of one element convert")

    def __float__(self) -> float:
        raise TypeError("only arrays of one element convert")


@pytest.mark.parametrize("field", ["f_int32", "f_uint64", "f_float", "f_double", "f_enum", "int64_wrapper"])
@pytest.mark.parametrize(
    "value", [int, float, Several(), Decimal("sNaN")], ids=["int", "float", "array", "signal"]
)
def test_what_has_the_methods_of_a_number_and_is_none_is_refused(field: str, value: object) -> None:
    assert refuse({field: value}).path == field
    assert refuse({"f_child": {field: value}}).path == f"f_child.{field}"


@pytest.mark.parametrize("key", ["\ud800", "[\ud800]", "f_int32\0", "f_int32\ud800", "[wirelane\0]"])
def test_a_key_that_no_name_can_be_is_an_unknown_field(key: str) -> None:
    for value in (
        {key: 1},
        {"f_int32": 1, key: 1},
        {"f_child": {key: 1}},
        {"any": {"@type": ALL_KINDS, key: 1}},
    ):
        assert "has no field" in refuse(value).message
    with pytest.raises(CodecError, match="has no field"):
        demo().from_json(ALL_KINDS, {key: 1})


@pytest.mark.parametrize("url", ["\ud800", "x/\ud800", "\ud800/x", f"\ud800/{ALL_KINDS}"])
def test_a_type_that_is_no_unicode_is_refused_in_an_any(url: str) -> None:
    assert refuse({"any": {"@type": url}}).path == "any.@type"
    assert refuse({"@type": url, "value": b""}, name="google.protobuf.Any").path == "@type"
