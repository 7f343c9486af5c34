"""Dataclasses of every kind come back as they went, and are on the wire what google.protobuf says."""

from __future__ import annotations

import dataclasses
from typing import Any

from google.protobuf import descriptor_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.dataclass_strategies import Made, fill, made_classes
from wirelane import CodecError, Schema, codec
from wirelane.codec.dataclasses.files import message_files

QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@given(data=st.data(), made=made_classes())
@settings(QUIET, max_examples=300)
def test_values_come_back_as_they_went(data: st.DataObject, made: Made) -> None:
    """Through our bytes, and through those of google.protobuf for the same message of the derived schema."""
    value = data.draw(made.values)
    encoded = codec.encode(value)
    assert codec.decode(made.kind, encoded) == value
    kind = Schema.from_set(message_files(made.kind)).message_class("Made")
    theirs = kind()
    fill(theirs, value)
    assert kind.FromString(encoded) == theirs
    assert codec.decode(made.kind, theirs.SerializeToString()) == value


@given(made=made_classes(), data=st.binary(max_size=40))
@settings(QUIET, max_examples=150)
def test_bytes_of_anybody_are_a_value_or_a_codec_error(made: Made, data: bytes) -> None:
    """And what is a value can be sent on."""
    try:
        value = codec.decode(made.kind, data)
    except CodecError:
        return
    assert _canonical(codec.decode(made.kind, codec.encode(value))) == _canonical(value)


def _canonical(value: Any) -> Any:
    """Return what two values have in common that are the same, NaN included."""
    if dataclasses.is_dataclass(value):
        return tuple(_canonical(getattr(value, field.name)) for field in dataclasses.fields(value))
    if isinstance(value, dict):
        return frozenset((key, _canonical(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(map(_canonical, value))
    return frozenset(map(_canonical, value)) if isinstance(value, frozenset) else repr(value)


@given(made=made_classes())
@settings(QUIET, max_examples=25)
def test_protoc_makes_the_same_descriptors_of_the_text(made: Made) -> None:
    """So every other language has the same message."""
    schema = Schema.from_set(message_files(made.kind))
    compiled = Schema.load({"made.proto": schema.proto_text("made.proto")}, cache=False)
    assert _bare(compiled) == _bare(schema)


def _bare(schema: Schema) -> Any:
    copy = descriptor_pb2.FileDescriptorProto()
    copy.CopyFrom(schema.file_proto("made.proto"))
    copy.ClearField("source_code_info")
    return copy
