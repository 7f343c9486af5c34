"""Typed messages of every library where the schema was loaded at run time: as requests, and as replies of a handler."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import betterproto2
import pytest
from google.protobuf import wrappers_pb2
from protobuf import wkt

from support.better_support import compile_better
from support.codec_support import SAMPLES
from wirelane import CodecError
from wirelane.codec import Schema


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """What betterproto2's compiler makes of typed.proto."""
    return compile_better(tmp_path_factory.mktemp("better"), "better_by_schema")


@dataclass(eq=False, repr=False)
class Leaf(betterproto2.Message):
    """Written by hand: has the fields of typed.v1.Leaf, and no full name."""

    words: str = betterproto2.field(1, betterproto2.TYPE_STRING)
    count: int = betterproto2.field(2, betterproto2.TYPE_INT32)


@dataclass(eq=False, repr=False)
class Older(betterproto2.Message):
    f_leaf: Leaf | None = betterproto2.field(18, betterproto2.TYPE_MESSAGE, optional=True)
    r_leaf: list[Leaf] = betterproto2.field(40, betterproto2.TYPE_MESSAGE, repeated=True)
    m_fixed32: dict[int, Leaf] = betterproto2.field(
        57, betterproto2.TYPE_MAP, map_meta=betterproto2.map_meta("fixed32", "message")
    )


@dataclass(eq=False, repr=False)
class Unlike(betterproto2.Message):
    words: str = betterproto2.field(1, betterproto2.TYPE_STRING)
    count: float = betterproto2.field(2, betterproto2.TYPE_DOUBLE)


@dataclass(eq=False, repr=False)
class Nothing(betterproto2.Message):
    pass


def schema() -> Schema:
    return Schema.load(SAMPLES / "typed.proto", cache=False)


def test_a_message_is_taken_by_its_full_name(typed: ModuleType) -> None:
    message = typed.Everything(
        f_string="x", f_leaf=typed.Leaf("y"), f_inner=typed.EverythingInner(leaves=[typed.Leaf("z")])
    )
    assert schema().encode("typed.v1.Everything", message) == bytes(message)
    assert schema().encode("typed.v1.Everything.Inner", message.f_inner) == bytes(message.f_inner)
    with pytest.raises(CodecError, match=r"expected typed\.v1\.Leaf, not a message of typed\.v1\.Everything"):
        schema().encode("typed.v1.Leaf", message)
    with pytest.raises(CodecError) as caught:
        schema().encode("typed.v1.Leaf", typed.Leaf(number=2**40))
    assert caught.value.path == "number"


def test_a_message_without_a_name_is_taken_by_its_shape() -> None:
    leaf = Leaf("x", 5)
    assert schema().decode("typed.v1.Leaf", schema().encode("typed.v1.Leaf", leaf)) == {
        "text": "x",
        "number": 5,
    }
    older = Older(leaf, [leaf], {7: leaf})
    out = schema().decode("typed.v1.Everything", schema().encode("typed.v1.Everything", older))
    assert (out["r_leaf"], out["m_fixed32"]) == (
        [{"text": "x", "number": 5}],
        {7: {"text": "x", "number": 5}},
    )
    for wrong, name in ((Unlike("x"), "Leaf"), (leaf, "Everything"), (older, "Leaf"), (Nothing(), "Leaf")):
        with pytest.raises(CodecError, match=f"expected typed.v1.{name}, not a message of"):
            schema().encode(f"typed.v1.{name}", wrong)


def test_messages_of_other_libraries_are_taken_by_their_full_name(typed: ModuleType) -> None:
    import sys

    bundled = sys.modules["better_by_schema.google.protobuf"]
    known = schema()
    for message in (wkt.Timestamp(seconds=5), bundled.Timestamp(seconds=5)):
        assert known.encode("google.protobuf.Timestamp", message) == b"\x08\x05"
        with pytest.raises(CodecError, match="not a message of"):
            known.encode("google.protobuf.StringValue", message)
    assert known.encode("google.protobuf.StringValue", wrappers_pb2.StringValue(value="x")) == b"\x0a\x01x"
    assert known.encode("google.protobuf.StringValue", "x") == b"\x0a\x01x"
