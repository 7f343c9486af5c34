"""Well-known types: datetime, timedelta, plain JSON, wrappers, masks and Any."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from support.codec_support import ALL_KINDS, demo, echo
from wirelane.codec import NanoDatetime, NanoTimedelta
from wirelane.errors import CodecError


def refused(field: str, value: object) -> str:
    with pytest.raises(CodecError) as caught:
        demo().encode(ALL_KINDS, {field: value})
    assert caught.value.path == field
    return str(caught.value)


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 2, 3, 4, 5, 6, 789_012, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    ],
)
def test_a_datetime_comes_back_the_same_and_plain(moment: datetime) -> None:
    out = echo({"timestamp": moment})["timestamp"]
    assert out == moment
    assert type(out) is datetime
    assert out.tzinfo is UTC


def test_a_datetime_of_another_zone_comes_back_in_utc() -> None:
    moment = datetime(2026, 1, 1, 2, 0, tzinfo=timezone(timedelta(hours=5)))
    out = echo({"timestamp": moment})["timestamp"]
    assert out == moment
    assert out.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-01T00:00:00Z", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01T02:30:00.5+02:30", datetime(2026, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-01-01t00:00:00.000001z", datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
    ],
)
def test_a_timestamp_may_be_given_as_rfc3339_text(text: str, expected: datetime) -> None:
    assert echo({"timestamp": text})["timestamp"] == expected


def test_nanoseconds_survive_a_round_trip() -> None:
    out = echo({"timestamp": "2026-01-01T00:00:00.123456789Z", "duration": "-1.000000001s"})
    assert isinstance(out["timestamp"], NanoDatetime)
    assert out["timestamp"].nanosecond == 789
    assert out["timestamp"] == datetime(2026, 1, 1, 0, 0, 0, 123_456, tzinfo=UTC)
    assert isinstance(out["duration"], NanoTimedelta)
    schema = demo()
    data = schema.encode(ALL_KINDS, out)
    assert schema.to_json(ALL_KINDS, schema.decode(ALL_KINDS, data)) == {
        "timestamp": "2026-01-01T00:00:00.123456789Z",
        "duration": "-1.000000001s",
    }


def test_nanosecond_values_are_copied_and_pickled_whole_and_compute_as_plain_ones() -> None:
    moment = NanoDatetime.of(datetime(2026, 1, 1, tzinfo=UTC), 789)
    span = NanoTimedelta.of(timedelta(seconds=1), 5)
    for twin in (pickle.loads(pickle.dumps(moment)), copy.deepcopy(moment)):
        assert (twin, twin.nanosecond) == (moment, 789)
    for other in (pickle.loads(pickle.dumps(span)), copy.deepcopy(span)):
        assert (other, other.nanoseconds) == (span, 5)
    assert moment + timedelta(days=1) == datetime(2026, 1, 2, tzinfo=UTC)
    assert getattr(moment + timedelta(days=1), "nanosecond", 0) == 0
    assert span * 2 == timedelta(seconds=2)
    assert hash(moment) == hash(datetime(2026, 1, 1, tzinfo=UTC))
    assert "789 ns" in repr(moment)
    assert "5 ns" in repr(span)


def test_a_datetime_without_a_zone_is_refused_and_told_how_to_get_one() -> None:
    assert "tzinfo=UTC" in refused("timestamp", datetime(2026, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize("value", [5, 1.5, "yesterday", "2026-13-01T00:00:00Z", "2026-01-01", {"seconds": 5}])
def test_what_is_no_time_is_refused(value: object) -> None:
    refused("timestamp", value)


@pytest.mark.parametrize(
    "span",
    [
        timedelta(0),
        timedelta(seconds=1.5),
        timedelta(seconds=-1.5),
        timedelta(microseconds=-1),
        timedelta(days=3652500),
    ],
)
def test_a_timedelta_comes_back_the_same_and_plain(span: timedelta) -> None:
    out = echo({"duration": span})["duration"]
    assert out == span
    assert type(out) is timedelta


def test_seconds_and_nanos_of_a_negative_duration_have_the_same_sign() -> None:
    message: Any = demo().dict_codec(ALL_KINDS).to_message({"duration": timedelta(seconds=-1.5)})
    assert (message.duration.seconds, message.duration.nanos) == (-1, -500_000_000)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"])
def test_a_time_that_an_offset_moves_out_of_range_is_refused(text: str) -> None:
    assert "beyond the years 1 to 9999" in refused("timestamp", text)


def test_a_duration_may_use_all_nanoseconds_of_its_last_second() -> None:
    text = "-315576000000.999999999s"
    schema = demo()
    data = schema.encode(ALL_KINDS, {"duration": text})
    assert schema.to_json(ALL_KINDS, schema.decode(ALL_KINDS, data)) == {"duration": text}


def test_minus_zero_in_a_struct_stays_what_it_is() -> None:
    out = echo({"struct": {"a": -0.0, "b": 0.0}})["struct"]
    assert (repr(out["a"]), repr(out["b"])) == ("-0.0", "0")


@pytest.mark.parametrize("value", [5, "5", "1.5", "s", "1e3s", timedelta(days=3652501), "315576000001s"])
def test_what_is_no_duration_or_too_long_is_refused(value: object) -> None:
    refused("duration", value)


@pytest.mark.parametrize("seconds", [2**62, -(2**62), 253402300800, -62135596801])
def test_a_timestamp_from_the_wire_beyond_what_python_counts_is_refused_with_its_path(seconds: int) -> None:
    message: Any = demo().message_class(ALL_KINDS)()
    message.timestamps.add()
    message.timestamps.add(seconds=seconds)
    with pytest.raises(CodecError) as caught:
        demo().decode(ALL_KINDS, message.SerializeToString())
    assert caught.value.path == "timestamps[1]"


def test_a_duration_from_the_wire_beyond_what_python_counts_is_refused_with_its_path() -> None:
    message: Any = demo().message_class(ALL_KINDS)()
    message.duration_map["k"].seconds = 2**62
    with pytest.raises(CodecError) as caught:
        demo().decode(ALL_KINDS, message.SerializeToString())
    assert caught.value.path == 'duration_map["k"]'


def test_structs_are_dicts_and_lists_of_what_json_has() -> None:
    value = {
        "struct": {"a": 1, "b": [None, True, "x", 2.5, {}], "c": {"d": []}},
        "list_value": [1, [2, [3]]],
        "value": {"deep": [None]},
    }
    assert echo(value) == value


def test_whole_numbers_of_a_struct_come_out_as_int_and_others_as_float() -> None:
    out = echo({"list_value": [3, 3.0, 3.5, 1e300, float("inf")]})["list_value"]
    assert [type(each) for each in out] == [int, int, float, float, float]
    assert out == [3, 3, 3.5, 1e300, float("inf")]


def test_an_int_that_a_double_cannot_hold_is_refused_rather_than_changed() -> None:
    assert "not exact" in refused("value", 2**53 + 1)
    assert echo({"value": 2**60})["value"] == 2**60
    assert "not exact" in refused("value", 10**400)


@pytest.mark.parametrize("value", [b"x", object(), {1, 2}, 1j])
def test_what_json_cannot_hold_is_refused_in_a_value(value: object) -> None:
    refused("value", value)


def test_struct_keys_are_strings() -> None:
    assert "str keys" in refused("struct", {5: 1})


def test_none_is_null_in_a_value_and_absent_elsewhere() -> None:
    schema = demo()
    out = schema.decode(ALL_KINDS, schema.encode(ALL_KINDS, {"value": None, "struct": None}))
    assert out["value"] is None
    assert "struct" not in out
    assert "value" not in schema.decode(ALL_KINDS, b"")
    assert schema.decode("wirelane.demo.AllKinds", schema.encode(ALL_KINDS, {"fChild": {"value": None}}))[
        "f_child"
    ] == schema.decode(ALL_KINDS, b"") | {"value": None}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("double_wrapper", 0.0),
        ("float_wrapper", 123.22),
        ("int64_wrapper", -(2**63)),
        ("uint64_wrapper", 2**64 - 1),
        ("int32_wrapper", 0),
        ("uint32_wrapper", 5),
        ("bool_wrapper", False),
        ("string_wrapper", ""),
        ("bytes_wrapper", b"\x00"),
    ],
)
def test_a_wrapper_is_its_value_or_absent(field: str, value: object) -> None:
    assert echo({field: value}) == {field: value}
    assert field not in demo().decode(ALL_KINDS, b"")


def test_wrappers_check_what_they_hold() -> None:
    assert "out of range" in refused("int32_wrapper", 2**31)
    assert "out of range" in refused("float_wrapper", 1e39)


def test_a_field_mask_is_a_list_of_paths() -> None:
    assert echo({"field_mask": ["a.b", "c"]}) == {"field_mask": ["a.b", "c"]}
    refused("field_mask", "a.b,c")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("google.protobuf.Timestamp", datetime(2026, 1, 1, tzinfo=UTC)),
        ("google.protobuf.Duration", timedelta(seconds=2)),
        ("google.protobuf.StringValue", "text"),
        ("google.protobuf.Struct", {"a": 1}),
        ("google.protobuf.ListValue", [1, None]),
        ("google.protobuf.Value", "x"),
        ("google.protobuf.FieldMask", ["a"]),
        ("google.protobuf.Empty", {}),
    ],
)
def test_a_well_known_type_may_be_the_message_itself(name: str, value: object) -> None:
    assert demo().decode(name, demo().encode(name, value)) == value


def test_an_any_is_its_fields_and_its_type() -> None:
    url = "type.googleapis.com/wirelane.demo.Item"
    expected = {"@type": url, "name": "x", "price": 0.0, "tags": []}
    for given in (url, "wirelane.demo.Item"):
        assert echo({"any": {"@type": given, "name": "x"}}) == {"any": expected}
    other = "example.com/types/wirelane.demo.Item"
    assert echo({"any": {"@type": other}})["any"]["@type"] == other


def test_an_any_of_a_message_object_is_packed() -> None:
    item = demo().message_class("wirelane.demo.Item")(name="x")
    assert echo({"any": item})["any"]["name"] == "x"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("google.protobuf.Duration", timedelta(seconds=2)),
        ("google.protobuf.Struct", {"a": 1}),
        ("google.protobuf.Int64Value", 5),
        ("google.protobuf.Any", {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": "x"}),
    ],
)
def test_an_any_of_a_well_known_type_has_its_content_under_value(name: str, value: object) -> None:
    packed = {"@type": f"type.googleapis.com/{name}", "value": value}
    assert echo({"any": packed}) == {"any": packed}


def test_an_any_of_an_unknown_type_is_its_bytes() -> None:
    packed = {"@type": "type.googleapis.com/nobody.Knows", "value": b"\x08\x01"}
    assert echo({"any": packed}) == {"any": packed}


def test_an_any_holds_google_rpc_details_without_a_schema_for_them() -> None:
    out = echo({"any": {"@type": "google.rpc.ErrorInfo", "reason": "NO", "metadata": {"a": "b"}}})["any"]
    assert out == {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "NO",
        "domain": "",
        "metadata": {"a": "b"},
    }


def test_an_empty_any_is_an_empty_dict() -> None:
    assert echo({"any": {}}) == {"any": {}}


@pytest.mark.parametrize(
    "value",
    [
        "wirelane.demo.Item",
        {"name": "x"},
        {"@type": 5},
        {"@type": "nobody.Knows", "field": 1},
        {"@type": "nobody.Knows", "value": "text"},
        {"@type": "google.protobuf.Duration", "seconds": 5},
    ],
)
def test_an_any_that_does_not_say_what_it_is_is_refused(value: object) -> None:
    refused("any", value)


def test_an_any_whose_content_does_not_parse_is_refused() -> None:
    message: Any = demo().message_class(ALL_KINDS)()
    message.any.type_url = "type.googleapis.com/wirelane.demo.Item"
    message.any.value = b"\xff"
    with pytest.raises(CodecError, match=r"no valid wirelane\.demo\.Item") as caught:
        demo().decode(ALL_KINDS, message.SerializeToString())
    assert caught.value.path == "any"
