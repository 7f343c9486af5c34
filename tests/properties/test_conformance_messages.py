"""protobuf's own conformance messages through dicts and JSON: nothing is lost, and json_format says the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from support.codec_support import sample
from support.message_strategies import messages
from wirelane.codec.dynamic import PoolTypes
from wirelane.codec.protobuf import descriptor_of

TYPES = {
    "protobuf_test_messages.proto3.TestAllTypesProto3": "test_messages_proto3",
    "protobuf_test_messages.proto2.TestAllTypesProto2": "test_messages_proto2",
    "protobuf_test_messages.editions.TestAllTypesEdition2023": "test_messages_edition2023",
    "features.Features": "features",
}
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
