"""The types of messages and services with awkward names, in both libraries."""

from __future__ import annotations

import datetime
from typing import assert_type

from betterproto2_awkward import Loose, LooseKind
from betterproto2_awkward.awkward import v1
from betterproto2_awkward.awkward.import_.class_ import Shared as KeywordShared
from betterproto2_awkward.awkward.v1 import (
    AwkwardStub,
    Choice,
    DoubleStub,
    DoubleStub_,
    Keywords,
    Nested,
    Nested_Inner,
    NestedInner,
    NestedInnerDeep,
    NestedKind,
    Old,
    WellKnown,
)
from betterproto2_awkward.google.protobuf import Empty, Struct, Timestamp, Value
from betterproto2_awkward.json import Shared as JsonShared
from protobuf_awkward import awkward_pb2, nopackage_pb2, stdlib_pb2
from protobuf_awkward.awkward_wirelane import AwkwardStub as ProtobufStub

from wirelane import grpc


def betterproto2_fields(keywords: Keywords, nested: Nested, choice: Choice, known: WellKnown) -> None:
    assert_type(keywords.class_, int)
    assert_type(keywords.list, list[str])
    assert_type(keywords.dict, dict[str, int])
    assert_type(keywords.bytes, bytes)
    assert_type(keywords.second_int, int | None)
    assert_type(keywords.timestamp, datetime.datetime | None)
    assert_type(nested.inner, Nested_Inner | None)
    assert_type(nested.deeps, list[NestedInnerDeep])
    assert_type(nested.kinds, dict[str, NestedKind])
    assert_type(nested.kind, NestedKind)
    assert_type(nested.maybe, NestedKind | None)
    assert_type(choice.number, int | None)
    assert_type(choice.wait, datetime.timedelta | None)
    assert_type(choice.wrapped, int | None)
    assert_type(known.many, list[datetime.datetime])
    assert_type(known.waits, dict[str, datetime.timedelta])
    assert_type(known.flags, list[bool])
    assert_type(known.other_shared, KeywordShared | None)
    assert_type(known.json_shared, JsonShared | None)
    assert_type(JsonShared().loose, Loose | None)
    assert_type(JsonShared().kind, LooseKind)
    assert_type(JsonShared().struct, Struct | None)
    assert_type(Value.from_dict(1), Value)
    assert_type(Timestamp().to_datetime(), datetime.datetime)
    Keywords(self=True, bytes=b"", int=1, to_dict_="")
    DoubleStub(x=1)


async def stubs(channel: grpc.Channel) -> None:
    stub = AwkwardStub(channel)
    assert_type(await stub.import_(Keywords()), Nested)
    assert_type(stub.class_(Keywords()), grpc.ServerStreamCall[Nested])
    assert_type(await stub.self([Choice()]), WellKnown)
    assert_type(stub.get_url_by_id(), grpc.BidiStreamCall[Choice, Choice])
    assert_type(await stub.DoIt(), Empty)
    assert_type(await stub.do_it(Empty()), Timestamp)
    assert_type(await stub.init__(), Empty)
    assert_type(await stub.elsewhere(KeywordShared()), JsonShared)
    assert_type(await stub.channel(NestedInner()), NestedInnerDeep)
    assert_type(await DoubleStub_(channel).go(DoubleStub()), DoubleStub)
    await stub.retired(Old())  # type: ignore[deprecated]  # pyright: ignore[reportDeprecated]
    v1.AncientStub(channel)  # type: ignore[deprecated]  # pyright: ignore[reportDeprecated]


def protobuf_fields(keywords: awkward_pb2.Keywords, nested: awkward_pb2.Nested) -> None:
    assert_type(keywords.bytes, bytes)
    assert_type(keywords.int, int)
    assert_type(list(keywords.list), list[str])
    assert_type(keywords.dict["a"], int)
    assert_type(nested.inner, awkward_pb2.Nested.Inner)
    assert_type(nested.deeps[0].level, awkward_pb2.Nested.Inner.Deep.Level)
    assert_type(nested.by_number[1], awkward_pb2.Nested.Inner)
    assert_type(nested.kind, awkward_pb2.Nested.Kind)
    assert_type(awkward_pb2.Nested.KIND_2D, awkward_pb2.Nested.Kind)
    assert_type(stdlib_pb2.Shared().loose, nopackage_pb2.Loose)
    awkward_pb2.Keywords(self=True, bytes=b"", int=1, list=["a"], dict={"a": 1})
    awkward_pb2.Nested(inner={"deep": {}}, deeps=[awkward_pb2.Nested.Inner.Deep()], kind="KIND_2D")
    awkward_pb2.Choice(number="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    keywords.list = keywords.list  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


async def protobuf_stub(channel: grpc.Channel) -> None:
    stub = ProtobufStub(channel)
    assert_type(await stub.import_(awkward_pb2.Keywords()), awkward_pb2.Nested)
    assert_type(stub.get_url_by_id(), grpc.BidiStreamCall[awkward_pb2.Choice, awkward_pb2.Choice])
    assert_type(await stub.elsewhere(awkward_pb2.Nested()), stdlib_pb2.Shared)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
