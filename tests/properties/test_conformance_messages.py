"""protobuf's own conformance messages through dicts and JSON: nothing is lost, and json_format says the same."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from support.codec_support import sample
from support.message_strategies import messages
from wirelane.codec.dynamic import PoolTypes
from wirelane.codec.formats import JSON, DictFormat
from wirelane.codec.protobuf import descriptor_of
from wirelane.errors import CodecError

TYPES = {
    "protobuf_test_messages.proto3.TestAllTypesProto3": "test_messages_proto3",
    "protobuf_test_messages.proto2.TestAllTypesProto2": "test_messages_proto2",
    "protobuf_test_messages.editions.TestAllTypesEdition2023": "test_messages_edition2023",
    "features.Features": "features",
}
# What is refused here and not by json_format, and the other way round: the lists of docs/schema.md.
STRICTER = re.compile(
    "expected base64|expected a number|expected a name or number|out of range for an enum|is closed and has no value"
    "|expected a JSON object for|and nothing else|only one member of the oneof"
)
MORE = re.compile(
    "NoneType|null is not allowed|repeated field \"null_list\"|no attribute 'null_value'|Can not find message descriptor"
)
each_type = pytest.mark.parametrize("name", TYPES)


class AnyPool:
    """What json_format asks for the type inside an Any: those of the schema and those that are always known."""

    def __init__(self, name: str) -> None:
        self._types = PoolTypes(sample(TYPES[name]).pool)

    def FindMessageTypeByName(self, full_name: str) -> Any:  # noqa: N802 - protobuf's name
        found = self._types.find_message(full_name)
        if found is None:
            raise KeyError(full_name)
        return descriptor_of(found)


def octets(message: Message) -> bytes:
    """The serialized form, maps in a fixed order."""
    return message.SerializeToString(deterministic=True)


def printed(name: str, message: Message, *, json_names: bool = False, emit_defaults: bool = False) -> Any:
    """What json_format makes of a message."""
    pool: Any = AnyPool(name)
    return json_format.MessageToDict(
        message,
        preserving_proto_field_name=not json_names,
        always_print_fields_with_no_presence=emit_defaults,
        descriptor_pool=pool,
    )


def text_of(content: Any) -> str:
    return json.dumps(content, sort_keys=True)


@each_type
@given(data=st.data())
def test_a_message_goes_through_a_dict_and_back_octet_by_octet(name: str, data: st.DataObject) -> None:
    schema = sample(TYPES[name])
    message = data.draw(messages(schema, name))
    value = schema.decode(name, message.SerializeToString())
    codec = schema.dict_codec(name)
    assert octets(codec.parse(schema.encode(name, value))) == octets(message)


def proxied(value: Any) -> Any:
    """The same in other mappings than dict, which go key by key and not the fast way."""
    if isinstance(value, dict):
        return MappingProxyType({key: proxied(item) for key, item in value.items()})
    return [proxied(item) for item in value] if isinstance(value, list) else value


@each_type
@given(data=st.data(), json_names=st.booleans())
def test_the_fast_way_of_a_dict_stores_what_the_careful_one_does(
    name: str, data: st.DataObject, json_names: bool
) -> None:
    schema = sample(TYPES[name])
    message = data.draw(messages(schema, name))
    value = schema.decode(name, message.SerializeToString(), json_names=json_names)
    codec = schema.dict_codec(name)
    assert octets(codec.to_message(proxied(value))) == octets(codec.to_message(value)) == octets(message)


@each_type
@given(data=st.data(), emit_defaults=st.booleans())
def test_every_format_reads_back(name: str, data: st.DataObject, emit_defaults: bool) -> None:
    schema = sample(TYPES[name])
    message = data.draw(messages(schema, name))
    for form in (
        DictFormat(emit_defaults=emit_defaults, enums="number"),
        DictFormat(values="json", emit_defaults=emit_defaults, enums="number"),
        JSON,
    ):
        codec = schema.dict_codec(name, form)
        assert octets(codec.to_message(codec.to_value(message))) == octets(message)


@each_type
@given(data=st.data(), json_names=st.booleans(), emit_defaults=st.booleans())
def test_json_is_written_as_by_json_format(
    name: str, data: st.DataObject, json_names: bool, emit_defaults: bool
) -> None:
    schema = sample(TYPES[name])
    message = data.draw(messages(schema, name))
    ours = schema.to_json(name, message, json_names=json_names, emit_defaults=emit_defaults)
    theirs = printed(name, message, json_names=json_names, emit_defaults=emit_defaults)
    assert text_of(ours) == text_of(theirs)


@each_type
@given(data=st.data(), json_names=st.booleans(), emit_defaults=st.booleans())
def test_json_is_read_as_by_json_format(
    name: str, data: st.DataObject, json_names: bool, emit_defaults: bool
) -> None:
    schema = sample(TYPES[name])
    message = data.draw(messages(schema, name))
    content = json.loads(
        json.dumps(printed(name, message, json_names=json_names, emit_defaults=emit_defaults))
    )
    codec = schema.dict_codec(name)
    assert octets(codec.to_message(schema.from_json(name, content))) == octets(message)


# What may stand anywhere in JSON that somebody got wrong, or right in an unusual way.
ODD_VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2, 1.0, 1.5, -0.0, 2**31, 2**32, 2**63, 2**64, 2**53 + 1, 1e5, 1e19, 1e300, 3.5e38,
    "", "0", "1", "-1", "1.0", "1.5", "1e2", "1e-2", "-0", "1e400", "9223372036854775807", "18446744073709551615",
    "NaN", "Infinity", "-Infinity", "nan", "inf", "true", "false", "null", "FOO", "BAR", "MOO", "moo", "foo",
    "FOREIGN_BAR", "NULL_VALUE", "AQI=", "AQI", "-_8=", "+/8", "A", "text", "\ud800",
    "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.123456789-08:00", "2026-02-30T00:00:00Z", "2026-01-02t03:04:05z",
    "1.5s", "-0.000000001s", "315576000001s", "1", "aB,c.dE", "a_b", "A",
    [], [None], [1], ["1"], [[]], [{}], {}, {"a": 1}, {"c": "1"}, {"1": 1}, {"true": True}, {"": {}}, {"x": None},
    {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1s"},
    {"@type": "type.googleapis.com/google.protobuf.Empty"}, {"@type": "x/google.protobuf.Value", "value": None},
    {"value": 1}, {"@type": ""}, {"@type": 5},
]  # fmt: skip


def places(content: Any) -> list[tuple[Any, Any]]:
    """Every container and key of nested JSON."""
    found: list[tuple[Any, Any]] = []
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in list(items):
        found.append((content, key))
        if isinstance(value, (dict, list)):
            found += places(value)
    return found


@st.composite
def odd_json(draw: st.DrawFn, name: str) -> Any:
    """The JSON of a message, with one value changed, or one field added."""
    schema = sample(TYPES[name])
    json_names = draw(st.booleans())
    content = json.loads(json.dumps(printed(name, draw(messages(schema, name)), json_names=json_names)))
    value = copy.deepcopy(draw(st.sampled_from(ODD_VALUES)))
    holders = places(content)
    changed: bool = draw(st.booleans())
    if holders and changed:
        holder, key = draw(st.sampled_from(holders))
        holder[key] = value
    else:
        field = draw(st.sampled_from(list(schema.message_descriptor(name).fields)))
        content[field.json_name if json_names else field.name] = value
    return content


def compare(name: str, content: Any) -> None:
    """Whether a message is read from JSON as by json_format, or refused as by it, but for the known differences."""
    schema = sample(TYPES[name])
    pool: Any = AnyPool(name)
    theirs = schema.message_class(name)()
    refused: Exception | None = None
    try:
        json_format.ParseDict(copy.deepcopy(content), theirs, descriptor_pool=pool)
    except Exception as error:
        refused = error
    try:
        ours = schema.dict_codec(name, JSON).to_message(content)
    except CodecError as error:
        assert refused or STRICTER.search(str(error)), error
        return
    if refused is not None:
        assert MORE.search(str(refused)), refused
    else:
        assert octets(ours) == octets(theirs)


@each_type
@given(data=st.data())
def test_odd_json_is_taken_or_refused_as_by_json_format(name: str, data: st.DataObject) -> None:
    compare(name, data.draw(odd_json(name)))


def forms(field: Any) -> tuple[Any, list[Callable[[Any], Any]]]:
    """What makes a field different from others, and the places where a value may be wrong in it."""

    def itself(value: Any) -> Any:
        return value

    kind = field.message_type or field.enum_type
    what = (field.type, field.is_repeated, kind and kind.full_name, field.has_presence)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        entry = field.message_type.fields_by_name
        inside = {FieldDescriptor.TYPE_BOOL: "true"}.get(entry["key"].type, "1")
        good: Any = {} if entry["value"].message_type is not None else "1"
        return what, [itself, lambda value: {inside: value}, lambda value: {str(value): good}]
    return what, [itself, lambda value: [value]]


@each_type
def test_every_kind_of_field_takes_and_refuses_what_json_format_does(name: str) -> None:
    seen: set[Any] = set()
    for field in sample(TYPES[name]).message_descriptor(name).fields:
        what, wraps = forms(field)
        if what not in seen:
            seen.add(what)
            for wrap in wraps:
                for value in ODD_VALUES:
                    compare(name, {field.json_name: wrap(copy.deepcopy(value))})
    assert len(seen) > 25
