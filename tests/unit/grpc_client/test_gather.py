from __future__ import annotations

import pytest
from google.protobuf import struct_pb2

from wirelane import UsageError, grpc
from wirelane.grpc.gather import messages_of


def test_one_message_is_told_from_many() -> None:
    assert messages_of(None) == ()
    values = struct_pb2.ListValue()
    values.append(1.0)
    for single in ({"a": 1}, b"ab", struct_pb2.Struct(), values):
        assert list(messages_of(single)) == [single]  # type: ignore[arg-type]
    many = [{"a": 1}, {"a": 2}]
    assert messages_of(many) is many


def test_an_asynchronous_iterable_stays_itself() -> None:
    async def some():
        yield {}

    source = some()
    assert messages_of(source) is source


def test_a_script_step_is_checked_when_it_is_made() -> None:
    assert grpc.Receive().count == 1
    with pytest.raises(UsageError, match="count"):
        grpc.Receive(0)
