"""Whatever goes in comes out; whatever comes out agrees with protobuf's own JSON; bad bytes are CodecErrors."""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from support.codec_support import ALL_KINDS, demo, sample
from wirelane.codec import decode_status_details
from wirelane.codec.scalars import shortest_float32
from wirelane.errors import CodecError


def ints(bits: int, *, signed: bool) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else st.integers(0, 2**bits - 1)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
# json_format does not read back what it writes for the very largest.
floats32 = st.floats(-(2.0**127), 2.0**127, width=32).map(shortest_float32)
doubles = st.floats(allow_nan=False)
moments = st.datetimes(timezones=st.just(UTC))
spans = st.timedeltas(timedelta(days=-3_652_500), timedelta(days=3_652_500))
colors = st.sampled_from(["COLOR_UNSPECIFIED", "RED", "GREEN", "BLUE", 77, -1])
plain: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | texts
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
items = st.fixed_dictionaries({"name": texts, "price": doubles, "tags": st.lists(texts, max_size=3)})
unknown = st.fixed_dictionaries(
    {"@type": st.just("type.googleapis.com/nobody.Knows"), "value": st.binary(max_size=8)}
)

FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "f_double": doubles,
    "f_float": floats32,
    **{
        f"f_{kind}32": ints(32, signed=kind not in ("uint", "fixed"))
        for kind in ("int", "uint", "sint", "fixed", "sfixed")
    },
    **{
        f"f_{kind}64": ints(64, signed=kind not in ("uint", "fixed"))
        for kind in ("int", "uint", "sint", "fixed", "sfixed")
    },
    "f_bool": st.booleans(),
    "f_string": texts,
    "f_bytes": st.binary(max_size=8),
    "f_enum": colors,
    "f_item": items,
    "f_int32s": st.lists(ints(32, signed=True), max_size=3),
    "f_floats": st.lists(floats32, max_size=3),
    "f_bytess": st.lists(st.binary(max_size=4), max_size=3),
    "f_enums": st.lists(colors, max_size=3),
    "f_items": st.lists(items, max_size=3),
    "int64_map": st.dictionaries(ints(64, signed=True), doubles, max_size=3),
    "bool_map": st.dictionaries(st.booleans(), ints(32, signed=True), max_size=2),
    "item_map": st.dictionaries(texts, items, max_size=2),
    "enum_map": st.dictionaries(texts, colors, max_size=2),
    "maybe_int32": ints(32, signed=True),
    "maybe_string": texts,
    "timestamp": moments,
    "duration": spans,
    "struct": st.dictionaries(texts, plain, max_size=3),
    "value": plain,
    "list_value": st.lists(plain, max_size=3),
    "any": unknown,
    "field_mask": st.lists(st.sampled_from(["a", "a.b", "c_d"]), max_size=2),
    "double_wrapper": doubles,
    "float_wrapper": floats32,
    "int64_wrapper": ints(64, signed=True),
    "bytes_wrapper": st.binary(max_size=4),
    "string_wrapper": texts,
    "timestamps": st.lists(moments, max_size=2),
    "duration_map": st.dictionaries(texts, spans, max_size=2),
}
CHOICES = st.sampled_from([{}, {"choice_text": ""}, {"choice_number": 0}, {"choice_item": {}}])


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=8, unique=True))
    value = {name: draw(FIELDS[name]) for name in names}
    if draw(st.booleans()):
        value["f_child"] = {name: draw(FIELDS[name]) for name in names[:2]}
    return value


def holds(out: Any, value: Any) -> bool:
    """Whether what came out has everything that went in."""
    if isinstance(value, dict) and isinstance(out, dict):
        return all(key in out and holds(out[key], each) for key, each in value.items())
    if isinstance(value, list):
        return len(out) == len(value) and all(map(holds, out, value))
    return bool(out == value)


@given(messages(), CHOICES)
def test_what_goes_in_comes_out(value: dict[str, Any], choice: dict[str, Any]) -> None:
    schema = demo()
    out = schema.decode(ALL_KINDS, schema.encode(ALL_KINDS, value | choice))
    assert holds(out, value | choice)
    assert schema.decode(ALL_KINDS, schema.encode(ALL_KINDS, out)) == out


@given(messages())
def test_dicts_and_protobufs_own_json_agree_about_the_bytes(value: dict[str, Any]) -> None:
    schema = demo()
    value.pop("any", None)
    for struct_name in ("struct", "value", "list_value"):
        value.get("f_child", {}).pop(struct_name, None)
    value.get("f_child", {}).pop("any", None)
    message = schema.dict_codec(ALL_KINDS).parse(schema.encode(ALL_KINDS, value))
    theirs = json_format.MessageToDict(message, preserving_proto_field_name=True, descriptor_pool=schema.pool)
    assert schema.to_json(ALL_KINDS, schema.decode(ALL_KINDS, schema.encode(ALL_KINDS, value))) == theirs
    parsed = json_format.ParseDict(json.loads(json.dumps(theirs)), schema.message_class(ALL_KINDS)())
    assert parsed == schema.dict_codec(ALL_KINDS).to_message(value)


@given(st.binary(max_size=64))
def test_any_bytes_decode_or_are_a_codec_error(data: bytes) -> None:
    for schema, name in (
        (demo(), ALL_KINDS),
        (sample("legacy"), "legacy.Record"),
        (sample("odd"), "odd.Tree"),
    ):
        try:
            out = schema.decode(name, data)
        except CodecError:
            continue
        assert isinstance(out, dict)


@given(messages(), st.data())
def test_a_damaged_message_decodes_or_is_a_codec_error(value: dict[str, Any], data: st.DataObject) -> None:
    good = bytearray(demo().encode(ALL_KINDS, value))
    if good:
        good[data.draw(st.integers(0, len(good) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        out = demo().decode(ALL_KINDS, bytes(good))
    except CodecError:
        return
    assert isinstance(out, dict)


@given(st.binary(max_size=64))
def test_status_details_never_raise(data: bytes) -> None:
    assert isinstance(decode_status_details(data), tuple)
    assert isinstance(decode_status_details(data, demo()), tuple)


junk: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.binary(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*FIELDS, "f_child", "x", "@type", "value"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(junk)
def test_any_value_encodes_or_is_a_codec_error(value: Any) -> None:
    try:
        data = demo().encode(ALL_KINDS, value)
    except CodecError:
        data = None
    # Another mapping goes key by key, not the fast way: it is taken or refused alike.
    if isinstance(value, dict):
        try:
            assert demo().encode(ALL_KINDS, MappingProxyType(value)) == data
        except CodecError:
            assert data is None
    assert data is None or isinstance(demo().decode(ALL_KINDS, data), dict)


@given(st.dictionaries(st.sampled_from([*FIELDS, "f_child", "x"]), junk, max_size=3))
def test_any_json_is_read_or_is_a_codec_error(content: dict[str, Any]) -> None:
    try:
        value = demo().from_json(ALL_KINDS, content)
    except CodecError:
        return
    assert demo().encode(ALL_KINDS, value) is not None


@settings(max_examples=300)
@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_short_float_is_the_same_float32_and_none_is_shorter(value: float) -> None:
    def packed(number: float) -> bytes:
        try:
            return struct.pack("<f", number)
        except OverflowError:
            return b"infinity"

    short = shortest_float32(value)
    assert packed(short) == packed(value)
    digits = len(f"{short!r}".partition("e")[0].replace("-", "").replace(".", "").strip("0"))
    for fewer in range(1, digits):
        assert packed(float(f"{value:.{fewer}g}")) != packed(value)


def test_a_moment_in_any_zone_is_the_same_moment() -> None:
    moment = datetime(2026, 6, 1, 12, tzinfo=UTC)
    schema = demo()
    local = moment.astimezone()
    assert schema.decode(ALL_KINDS, schema.encode(ALL_KINDS, {"timestamp": local}))["timestamp"] == moment
