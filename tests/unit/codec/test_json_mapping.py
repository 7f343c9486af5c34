"""ProtoJSON value by value: what is taken for what, what is refused, what is written, as protobuf's mapping has it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from support.codec_support import sample
from wirelane.codec import Schema
from wirelane.errors import CodecError

ALL = "protobuf_test_messages.proto3.TestAllTypesProto3"
SCHEMA = sample("test_messages_proto3")


def read(text: str) -> Any:
    """The message that JSON text stands for, as a dict of what is set."""
    codec = SCHEMA.dict_codec(ALL)
    data = codec.encode(SCHEMA.from_json(ALL, json.loads(text)))
    return SCHEMA.decode(ALL, data, emit_defaults=False)


def written(value: dict[str, Any]) -> Any:
    return SCHEMA.to_json(ALL, value, json_names=True)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"optionalInt32": 2147483647}', {"optional_int32": 2**31 - 1}),
        ('{"optionalInt32": "-2147483648"}', {"optional_int32": -(2**31)}),
        ('{"optionalInt32": 100000.000}', {"optional_int32": 100_000}),
        ('{"optionalInt32": 1e5}', {"optional_int32": 100_000}),
        ('{"optionalInt32": "1e5"}', {"optional_int32": 100_000}),
        ('{"optionalInt32": "1.50e1"}', {"optional_int32": 15}),
        ('{"optionalInt32": -2.147483648e9}', {"optional_int32": -(2**31)}),
        ('{"optionalUint32": 4.294967295e9}', {"optional_uint32": 2**32 - 1}),
        ('{"optionalInt64": "9223372036854775807"}', {"optional_int64": 2**63 - 1}),
        ('{"optionalInt64": "9223372036854775807.0"}', {"optional_int64": 2**63 - 1}),
        ('{"optionalInt64": -9223372036854775808}', {"optional_int64": -(2**63)}),
        ('{"optionalUint64": 18446744073709549568}', {"optional_uint64": 18446744073709549568}),
        ('{"optionalUint64": "18446744073709551615"}', {"optional_uint64": 2**64 - 1}),
        ('{"optionalBool": true}', {"optional_bool": True}),
        ('{"optionalFloat": 3.402823e+38}', {"optional_float": 3.402823e38}),
        ('{"optionalFloat": 3.4028235e+38}', {"optional_float": 3.4028235e38}),
        ('{"optionalFloat": "1.175494e-38"}', {"optional_float": 1.175494e-38}),
        ('{"optionalFloat": "-Infinity"}', {"optional_float": -math.inf}),
        ('{"optionalDouble": 1.79769e+308}', {"optional_double": 1.79769e308}),
        ('{"optionalDouble": "2.22507e-308"}', {"optional_double": 2.22507e-308}),
        ('{"optionalDouble": "Infinity"}', {"optional_double": math.inf}),
        ('{"optionalDouble": 5}', {"optional_double": 5.0}),
        ('{"optionalString": "\\u8C37\\uD83D\\uDE01\\u0000"}', {"optional_string": "谷😁\0"}),
        ('{"optionalBytes": "AQI="}', {"optional_bytes": b"\x01\x02"}),
        ('{"optionalBytes": "AQI"}', {"optional_bytes": b"\x01\x02"}),
        ('{"optionalBytes": "-_8"}', {"optional_bytes": b"\xfb\xff"}),
        ('{"optionalBytes": "+/8="}', {"optional_bytes": b"\xfb\xff"}),
        ('{"optionalNestedEnum": "BAR"}', {"optional_nested_enum": "BAR"}),
        ('{"optionalNestedEnum": -1}', {"optional_nested_enum": "NEG"}),
        ('{"optionalNestedEnum": 123}', {"optional_nested_enum": 123}),
        ('{"optionalNestedEnum": "2"}', {"optional_nested_enum": "BAZ"}),
        ('{"optionalAliasedEnum": "moo"}', {"optional_aliased_enum": "ALIAS_BAZ"}),
        ('{"optionalAliasedEnum": "bAz"}', {"optional_aliased_enum": "ALIAS_BAZ"}),
        ('{"oneofNullValue": null}', {"oneof_null_value": "NULL_VALUE"}),
        ('{"oneofNullValue": "NULL_VALUE"}', {"oneof_null_value": "NULL_VALUE"}),
        ('{"optionalNullValue": null}', {}),
        ('{"oneofUint32": null, "oneofString": "test"}', {"oneof_string": "test"}),
        ('{"oneofString": "test", "oneofUint32": null}', {"oneof_string": "test"}),
        ('{"oneofUint32": 0}', {"oneof_uint32": 0}),
        ('{"oneofNestedMessage": {}}', {"oneof_nested_message": {}}),
        ('{"mapInt32Int32": {"\\u0031": 2, "-3": "4"}}', {"map_int32_int32": {1: 2, -3: 4}}),
        (
            '{"mapUint64Uint64": {"18446744073709551615": "5"}}',
            {"map_uint64_uint64": {2**64 - 1: 5}},
        ),
        ('{"mapBoolBool": {"tr\\u0075e": true, "false": false}}', {"map_bool_bool": {True: True, False: False}}),
        ('{"mapStringNestedEnum": {"": "FOO"}}', {"map_string_nested_enum": {"": "FOO"}}),
        ('{"repeatedInt32": null, "mapBoolBool": null, "optionalAny": null}', {}),
        ('{"optionalInt32Wrapper": 0}', {"optional_int32_wrapper": 0}),
        ('{"optionalInt64Wrapper": "1"}', {"optional_int64_wrapper": 1}),
        ('{"optionalBytesWrapper": ""}', {"optional_bytes_wrapper": b""}),
        ('{"optionalInt32Wrapper": null}', {}),
        ('{"repeatedBoolWrapper": [true, false]}', {"repeated_bool_wrapper": [True, False]}),
        ('{"optionalValue": null}', {"optional_value": None}),
        ('{"repeatedValue": [null, 1, "a", [], {}]}', {"repeated_value": [None, 1, "a", [], {}]}),
        ('{"optionalStruct": {"a": [1.5, null, {"b": true}]}}', {"optional_struct": {"a": [1.5, None, {"b": True}]}}),
        ('{"optionalFieldMask": "foo,barBaz.quX"}', {"optional_field_mask": ["foo", "bar_baz.qu_x"]}),
        ('{"optionalFieldMask": ""}', {"optional_field_mask": []}),
        ('{"optionalEmpty": {}}', {"optional_empty": {}}),
        ('{"optionalAny": {}}', {"optional_any": {}}),
    ],
)  # fmt: skip
def test_what_stands_for_a_value_is_taken(text: str, value: dict[str, Any]) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    "text",
    [
        '{"optionalInt32": 2147483648}', '{"optionalInt32": -2147483649}', '{"optionalUint32": 4294967296}',
        '{"optionalUint32": -1}', '{"optionalInt64": "9223372036854775808"}', '{"optionalUint64": "18446744073709551616"}',
        '{"optionalUint64": "1e536870000"}', '{"optionalUint64": "1e5368700000000"}', '{"optionalInt32": 0.5}',
        '{"optionalInt64": "0.5"}', '{"optionalInt32": true}', '{"optionalInt32": "12abc"}', '{"optionalInt32": "12 34"}',
        '{"optionalInt32": "12谷34"}', '{"optionalInt32": ""}', '{"optionalInt32": " 1"}', '{"optionalInt32": "1 "}',
        '{"optionalInt32": "+1"}', '{"optionalInt32": "01"}', '{"optionalInt32": "1_000"}', '{"optionalInt32": "٣"}',
        '{"optionalInt32": "0x1"}', '{"optionalInt32": "NaN"}', '{"optionalInt32": [1]}', '{"optionalInt32": {}}',
        '{"optionalInt64": "1' + "0" * 5000 + '"}', '{"optionalInt64": 1' + "0" * 4000 + "}",
        '{"optionalBool": 0}', '{"optionalBool": "true"}',
        '{"optionalFloat": 3.502823e+38}', '{"optionalFloat": "3.502823e+38"}', '{"optionalFloat": -3.502823e+38}',
        '{"optionalFloat": NaN}', '{"optionalFloat": Infinity}', '{"optionalFloat": -Infinity}', '{"optionalFloat": ""}',
        '{"optionalFloat": "nan"}', '{"optionalFloat": "inf"}', '{"optionalFloat": "infinity"}', '{"optionalFloat": "1_0"}',
        '{"optionalFloat": true}', '{"optionalDouble": 1e999}', '{"optionalDouble": "1e999"}', '{"optionalDouble": false}',
        '{"optionalString": 12345}', '{"optionalString": null, "optionalBytes": 5}', '{"optionalString": "\\ud800"}',
        '{"optionalString": "\\udc00"}', '{"optionalString": "\\ude01\\ud83d"}', '{"mapStringString": {"\\ud800": ""}}',
        '{"optionalValue": "\\ud800"}', '{"optionalStruct": {"\\ud800": 1}}', '{"optionalFieldMask": "\\ud800"}',
        '{"optionalBytes": "*"}', '{"optionalBytes": "A"}', '{"optionalBytes": "AQ=I"}',
        '{"optionalNestedEnum": "UNKNOWN"}', '{"optionalNestedEnum": "bar"}', '{"optionalNestedEnum": true}',
        '{"optionalNestedEnum": ["FOO"]}', '{"optionalNestedEnum": 4294967296}', '{"optionalNestedEnum": 1.5}',
        '{"oneofUint32": 1, "oneofString": "test"}', '{"oneofNullValue": null, "oneofUint32": 1}',
        '{"optionalInt32": 1, "optional_int32": 2}', '{"optionalInt32": 1, "optional_int32": null}',
        '{"mapInt32Int32": {"a": 1}}', '{"mapInt32Int32": {"": 1}}', '{"mapInt32Int32": {"1.5": 1}}',
        '{"mapInt32Int32": {"0": null}}', '{"mapInt32Int32": []}', '{"mapBoolBool": {"True": true}}', '{"mapBoolBool": {"1": true}}',
        '{"repeatedInt32": 1}', '{"repeatedInt32": [1, null]}', '{"repeatedInt32": [1, false]}', '{"repeatedInt32": "12"}',
        '{"repeatedNestedMessage": {"a": 1}}', '{"repeatedNestedMessage": [{"a": 1}, null]}', '{"repeatedNestedMessage": [[]]}',
        '{"optionalNestedMessage": []}', '{"optionalNestedMessage": ""}', '{"optionalInt32Wrapper": "x"}',
        '{"optionalInt32Wrapper": {"value": 1}}', '{"repeatedInt32Wrapper": [null]}',
        '{"optionalStruct": []}', '{"optionalStruct": {"a": NaN}}', '{"optionalValue": Infinity}', '{"repeatedListValue": [{}]}',
        '{"optionalFieldMask": "foo,bar_bar"}', '{"optionalFieldMask": ["foo"]}', '{"optionalEmpty": {"a": 1}}',
        '{"optionalAny": {"@type": ""}}', '{"optionalAny": {"@type": "", "value": ""}}',
        '{"optionalAny": {"@type": "not_a_url", "value": ""}}', '{"optionalAny": {"optionalInt32": 1}}',
        '{"optionalAny": {"@type": 5}}', '{"optionalAny": {"@type": "x/no.Such"}}', '{"optionalAny": {"@type": "x/google.protobuf.Duration", "value": "1s", "more": 1}}',
        '{"optionalAny": {"@type": "x/google.protobuf.Int32Value"}}', '{"optionalAny": {"@type": "x/google.protobuf.Empty", "value": {}}}',
        '{"reserved_field": 1}', '{"unknown": null}', '{"[protobuf_test_messages.proto2.extension_int32]": 1}', '[]', '"text"',
    ],
)  # fmt: skip
def test_what_stands_for_none_is_refused(text: str) -> None:
    with pytest.raises(CodecError):
        SCHEMA.from_json(ALL, json.loads(text))


@pytest.mark.parametrize(
    ("text", "seconds", "nanos"),
    [
        ("0001-01-01T00:00:00Z", -62_135_596_800, 0),
        ("9999-12-31T23:59:59.999999999Z", 253_402_300_799, 999_999_999),
        ("1969-12-31T23:59:59.999999999Z", -1, 999_999_999),
        ("1969-12-31T23:59:49.500Z", -11, 500_000_000),
        ("1970-01-01T08:00:01+08:00", 1, 0),
        ("1969-12-31T16:00:01-08:00", 1, 0),
        ("2000-02-29T00:00:00Z", 951_782_400, 0),
        ("1970-01-01T00:00:00-11:30", 41_400, 0),
        ("9999-12-31T23:59:59+00:01", 253_402_300_739, 0),
        ("2106-02-07T06:28:15.999999Z", 2**32 - 1, 999_999_000),
        ("2106-02-07T06:28:16.000001Z", 2**32, 1000),
    ],
)
def test_a_timestamp_is_text_in_any_zone(text: str, seconds: int, nanos: int) -> None:
    message: Any = SCHEMA.dict_codec(ALL).to_message(SCHEMA.from_json(ALL, {"optionalTimestamp": text}))
    assert (message.optional_timestamp.seconds, message.optional_timestamp.nanos) == (seconds, nanos)


@pytest.mark.parametrize(
    "text",
    [
        "0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z", "0001-01-01T00:00:00", "0001-01-01 00:00:00Z", "0001-01-01T00:00:00z",
        "0001-01-01t00:00:00Z", "1970-01-01T08:00:01+0800", "1970-13-01T00:00:00Z", "1970-01-32T00:00:00Z",
        "1970-01-01T24:00:00Z", "1970-01-01T00:60:00Z", "1970-01-01T00:00:60Z", "1970-01-01T00:00:00+24:00",
        "1970-01-01T00:00:00+00:60", "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01",
        "1970-01-01T00:00:00.1234567890Z", "1970-01-01T00:00:00.123aZ", "1970-01-01T00:00:00.Z", "999-01-01T00:00:00Z",
        "1970-1-01T00:00:00Z", "2001-02-29T00:00:00Z", "1970-01-01T00:00:00Z ", "١٩٧٠-01-01T00:00:00Z", "", 5, None, {},
    ],
)  # fmt: skip
def test_other_times_are_refused(text: object) -> None:
    with pytest.raises(CodecError) as caught:
        SCHEMA.from_json(ALL, {"repeatedTimestamp": [text]})
    assert caught.value.path == "repeatedTimestamp[0]"


@pytest.mark.parametrize(
    ("text", "seconds", "nanos"),
    [
        ("315576000000.999999999s", 315_576_000_000, 999_999_999),
        ("-315576000000.999999999s", -315_576_000_000, -999_999_999),
        ("-5s", -5, 0),
        ("-0.5s", 0, -500_000_000),
        ("1.5s", 1, 500_000_000),
        ("0.000000001s", 0, 1),
    ],
)
def test_a_duration_is_seconds_with_an_s(text: str, seconds: int, nanos: int) -> None:
    message: Any = SCHEMA.dict_codec(ALL).to_message(SCHEMA.from_json(ALL, {"optionalDuration": text}))
    assert (message.optional_duration.seconds, message.optional_duration.nanos) == (seconds, nanos)


@pytest.mark.parametrize(
    "text",
    ["1", "s", "315576000001s", "-315576000001.000000000s", "1.s", ".5s", "+1s", "1.0000000001s", "1e3s", " 1s", "1 s", 1, True],
)  # fmt: skip
def test_other_durations_are_refused(text: object) -> None:
    with pytest.raises(CodecError) as caught:
        SCHEMA.from_json(ALL, {"optionalDuration": text})
    assert caught.value.path == "optionalDuration"


@pytest.mark.parametrize(
    ("value", "out"),
    [
        ({"optional_int64": 1, "optional_uint64": 2}, {"optionalInt64": "1", "optionalUint64": "2"}),
        ({"map_int64_int64": {1: 2}, "map_bool_bool": {True: False}}, {"mapInt64Int64": {"1": "2"}, "mapBoolBool": {"true": False}}),
        ({"optional_float": math.nan, "optional_double": -math.inf}, {"optionalFloat": "NaN", "optionalDouble": "-Infinity"}),
        ({"optional_float": 0.1, "optional_double": 0.1}, {"optionalFloat": 0.1, "optionalDouble": 0.1}),
        ({"repeated_float": [0.1] * 65}, {"repeatedFloat": [0.1] * 65}),
        ({"optional_nested_enum": 123}, {"optionalNestedEnum": 123}),
        ({"oneof_null_value": 0, "optional_value": None}, {"oneofNullValue": None, "optionalValue": None}),
        ({"optional_timestamp": "1970-01-01T00:00:00.010Z"}, {"optionalTimestamp": "1970-01-01T00:00:00.010Z"}),
        ({"optional_timestamp": "1970-01-01T00:00:00.00001-01:00"}, {"optionalTimestamp": "1970-01-01T01:00:00.000010Z"}),
        ({"optional_timestamp": "0001-01-01T00:00:00.000000010Z"}, {"optionalTimestamp": "0001-01-01T00:00:00.000000010Z"}),
        ({"optional_duration": "1.000010000s"}, {"optionalDuration": "1.000010s"}),
        ({"optional_duration": "-0.00000001s"}, {"optionalDuration": "-0.000000010s"}),
        ({"optional_field_mask": ["foo_bar.baz", "qux"]}, {"optionalFieldMask": "fooBar.baz,qux"}),
        ({"_field_name3": 3, "field__name4_": 4, "FIELD_name12": 12, "__Field_name14": 14},
         {"FieldName3": 3, "fieldName4": 4, "FIELDName12": 12, "FieldName14": 14}),
    ],
)  # fmt: skip
def test_a_value_is_written_as_every_protobuf_writes_it(value: dict[str, Any], out: dict[str, Any]) -> None:
    assert json.dumps(written(value), sort_keys=True) == json.dumps(out, sort_keys=True)


def duration(seconds: int, nanos: int) -> dict[str, Any]:
    return {"optional_duration": {"seconds": seconds, "nanos": nanos}}


@pytest.mark.parametrize(
    ("field", "parts"),
    [
        ("optional_duration", {"seconds": 315_576_000_001}),
        ("optional_duration", {"seconds": -315_576_000_001}),
        ("optional_duration", {"seconds": 1, "nanos": -1}),
        ("optional_duration", {"seconds": -1, "nanos": 1}),
        ("optional_duration", {"seconds": 1, "nanos": 1_000_000_000}),
        ("optional_timestamp", {"seconds": -62_135_596_801}),
        ("optional_timestamp", {"seconds": 253_402_300_800}),
        ("optional_timestamp", {"seconds": 5000, "nanos": -1}),
        ("optional_timestamp", {"seconds": 5000, "nanos": 1_000_000_000}),
        ("optional_field_mask", {"paths": ["fooBar"]}),
        ("optional_field_mask", {"paths": ["foo_3_bar"]}),
        ("optional_field_mask", {"paths": ["foo__bar"]}),
        ("optional_field_mask", {"paths": ["foo_"]}),
        ("optional_value", {"number_value": math.nan}),
        ("optional_value", {"number_value": math.inf}),
    ],
)
def test_what_a_well_known_type_may_not_hold_has_no_json_form(field: str, parts: dict[str, Any]) -> None:
    message: Any = SCHEMA.message_class(ALL)(**{field: parts})
    with pytest.raises(CodecError) as caught:
        SCHEMA.to_json(ALL, message)
    assert caught.value.path == field


def any_of(content: Any) -> Any:
    text = json.dumps({"optionalAny": content})
    return written(SCHEMA.from_json(ALL, json.loads(text)))["optionalAny"]


@pytest.mark.parametrize(
    "content",
    [
        {"@type": f"type.googleapis.com/{ALL}", "optionalInt32": 12345},
        {"@type": "x/google.protobuf.Any", "value": {"@type": f"x/{ALL}", "optionalInt32": 12345}},
        {"@type": "x/google.protobuf.Int32Value", "value": 12345},
        {"@type": "x/google.protobuf.Duration", "value": "1.500s"},
        {"@type": "x/google.protobuf.Timestamp", "value": "1970-01-01T00:00:00Z"},
        {"@type": "x/google.protobuf.FieldMask", "value": "foo,barBaz"},
        {"@type": "x/google.protobuf.Struct", "value": {"foo": 1.0}},
        {"@type": "x/google.protobuf.Value", "value": {"foo": 1.5}},
        {"@type": "x/google.protobuf.Value", "value": None},
        {"@type": "x/google.protobuf.ListValue", "value": [[]]},
        {"@type": "x/google.protobuf.Empty"},
        {"@type": "x/google.protobuf.Any", "value": {}},
        {"@type": "x/nobody.Knows", "value": "AQI="},
    ],
)
def test_an_any_of_every_kind_comes_back(content: dict[str, Any]) -> None:
    assert any_of(content) == content
    assert any_of(dict(reversed(content.items()))) == content


def test_the_name_of_a_type_inside_an_any_is_guessed_where_it_is_wrong() -> None:
    with pytest.raises(CodecError, match=r'did you mean "protobuf_test_messages.proto3.ForeignMessage"'):
        SCHEMA.from_json(
            ALL, {"optionalAny": {"@type": "protobuf_test_messages.proto3.ForeignMesage", "c": 1}}
        )


@pytest.mark.parametrize(("levels", "fits"), [(25, True), (200, False)])
def test_structs_nest_as_deep_as_other_protobufs_take_them(levels: int, fits: bool) -> None:
    struct, listed = '{"n": ' * levels + "1" + "}" * levels, "[" * levels + "1" + "]" * levels
    for text in (
        f'{{"optionalStruct": {struct}}}',
        f'{{"optionalValue": {struct}}}',
        f'{{"optionalValue": {listed}}}',
    ):
        if fits:
            assert json.loads(text)[next(iter(json.loads(text)))] == written(read(text)).popitem()[1]
        else:
            with pytest.raises(CodecError, match="nested more than 100 deep"):
                read(text)


@pytest.mark.parametrize("field", ["repeatedFloat", "repeatedDouble"])
def test_a_nan_is_found_behind_other_numbers_of_a_list(field: str) -> None:
    with pytest.raises(CodecError) as caught:
        NUMBERS.from_json("Numbers", json.loads(f'{{"{field}": [1.5, NaN, 2]}}'))
    assert caught.value.path == f"{field}[1]"
    assert NUMBERS.from_json("Numbers", {field: [1.5, "NaN"]}) != {}


@pytest.mark.parametrize("field", ["mapFloat", "mapDouble"])
def test_a_nan_is_found_behind_other_numbers_of_a_map(field: str) -> None:
    with pytest.raises(CodecError) as caught:
        NUMBERS.from_json("Numbers", json.loads(f'{{"{field}": {{"a": 1.5, "b": NaN}}}}'))
    assert caught.value.path == f'{field}["b"]'


# Of so few fields that a dict of one is stored by the fast way.
NUMBERS = Schema.load(
    """syntax = "proto3"; message Numbers {
    repeated float repeatedFloat = 1; repeated double repeatedDouble = 2;
    map<string, float> mapFloat = 3; map<string, double> mapDouble = 4; }""",
    cache=False,
)
