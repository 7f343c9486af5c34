"""betterproto2's classes that do things their own way, and what the glue does better than the library."""

from __future__ import annotations

import gc
import sys
import warnings
import weakref
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import betterproto2
import pytest
from google.protobuf import descriptor_pool

from support.better_support import compile_better, differences
from support.codec_support import SAMPLES
from support.codegen_support import files_of, imported
from wirelane import codec
from wirelane.codec.betterproto.describe import describe
from wirelane.codec.glue import kept_glue
from wirelane.errors import CodecError


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """What betterproto2's compiler makes of typed.proto."""
    return compile_better(tmp_path_factory.mktemp("better"), "better_unit")


@dataclass(eq=False, repr=False)
class Plain(betterproto2.Message):
    text: str = betterproto2.field(1, betterproto2.TYPE_STRING)


class Child(Plain):
    """Has no fields of its own."""


@dataclass(eq=False, repr=False)
class Longer(Plain):
    number: int = betterproto2.field(2, betterproto2.TYPE_INT32)


class WritesItself(Plain):
    def __bytes__(self) -> bytes:
        return b"\x0a\x04self"


class ReadsItself(Plain):
    @classmethod
    def parse(cls, data: bytes) -> ReadsItself:
        return cls(text=f"{len(data)} bytes")


class LoadsItself(Plain):
    def load(self, stream: Any, size: int | None = None) -> Any:
        self.text = "loaded"
        return self


@dataclass(eq=False, repr=False)
class Checks(betterproto2.Message):
    text: str = betterproto2.field(1, betterproto2.TYPE_STRING)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.text = self.text or "nothing"


@dataclass(eq=False, repr=False)
class Watches(betterproto2.Message):
    text: str = betterproto2.field(1, betterproto2.TYPE_STRING)

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value.upper() if name == "text" else value)


class Sort(betterproto2.Enum):
    NONE = 0
    ONE = 1


@dataclass(eq=False, repr=False)
class Defaults(betterproto2.Message):
    sort: Sort = betterproto2.field(1, betterproto2.TYPE_ENUM, default_factory=lambda: Sort.ONE)


class Computes(Plain):
    @property
    def text(self) -> str:
        return "computed"

    @text.setter
    def text(self, value: str) -> None:
        pass


@dataclass(eq=False, repr=False)
class Holder(betterproto2.Message):
    one: WritesItself | None = betterproto2.field(1, betterproto2.TYPE_MESSAGE, optional=True)
    many: list[WritesItself] = betterproto2.field(2, betterproto2.TYPE_MESSAGE, repeated=True)
    named: dict[str, ReadsItself] = betterproto2.field(
        3, betterproto2.TYPE_MAP, map_meta=betterproto2.map_meta("string", "message")
    )
    plain: Plain | None = betterproto2.field(4, betterproto2.TYPE_MESSAGE, optional=True)


@dataclass(eq=False, repr=False, slots=True)
class Slotted(betterproto2.Message):
    text: str = betterproto2.field(1, betterproto2.TYPE_STRING)


@pytest.mark.parametrize(
    "kind", [WritesItself, ReadsItself, LoadsItself, Checks, Watches, Defaults, Computes]
)
def test_a_class_with_ways_of_its_own_keeps_them(kind: Any) -> None:
    message = kind()
    assert codec.encode(message) == bytes(message)
    for data in (b"", b"\x0a\x01x", bytes(message)):
        if kind is not Defaults or data != b"\x0a\x01x":
            assert differences(codec.decode(kind, data), kind.parse(data)) == []
    assert kept_glue(kind) is None


@pytest.mark.parametrize("kind", [Child, Longer, Slotted])
def test_subclasses_are_classes_like_others(kind: Any) -> None:
    message = kind(text="x")
    assert codec.encode(message) == bytes(message) == b"\x0a\x01x"
    again = codec.decode(kind, b"\x0a\x01x\x10\x05")
    assert type(again) is kind
    assert again == kind.parse(b"\x0a\x01x\x10\x05")
    assert bytes(again) == b"\x0a\x01x\x10\x05"
    assert kept_glue(kind) is not None


def test_a_message_inside_may_have_ways_of_its_own() -> None:
    message = Holder(
        WritesItself(), [WritesItself(), WritesItself()], {"a": ReadsItself(), "b": ReadsItself()}, Plain("p")
    )
    assert codec.encode(message) == bytes(message)
    assert kept_glue(Holder) is not None
    data = bytes(message)
    assert differences(codec.decode(Holder, data), Holder.parse(data)) == []
    with pytest.raises(CodecError):
        codec.decode(Holder, b"\x0a\x02\x0a\x05")  # cut off inside
    with pytest.raises(CodecError) as caught:
        codec.encode(Holder(many=[WritesItself(), 5]))  # type: ignore[list-item]
    assert caught.value.path == "many[1]"


def test_a_message_of_a_subclass_inside_serializes_itself() -> None:
    for inside in (Child("x"), Longer("x", 5), WritesItself("x")):
        message = Holder(plain=inside)
        assert codec.encode(message) == bytes(message)
        assert codec.encode(inside) == codec.codec_for(Plain).encode(inside) == bytes(inside)


def test_annotations_that_do_not_resolve_yet_are_the_library_s_business() -> None:
    @dataclass(eq=False, repr=False)
    class Early(betterproto2.Message):
        late: Late | None = betterproto2.field(  # type: ignore[name-defined]  # noqa: F821
            1, betterproto2.TYPE_MESSAGE, optional=True
        )

    with pytest.raises(CodecError, match="Late"):
        codec.encode(Early())


def test_what_is_deprecated_warns_as_it_does_without_us(typed: ModuleType) -> None:
    going = bytes([8, 5, 26, 0])
    for read in (typed.Going.parse, codec.codec_for(typed.Going).decode):
        with pytest.warns(DeprecationWarning, match="Gone is deprecated") as caught:
            message = read(going)
        assert len(caught) == 1
        assert message.number == 5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert codec.decode(typed.Going, b"\x08\x05").number == 5
    assert kept_glue(typed.Going) is not None


def test_what_wirelane_generates_has_no_ways_of_its_own(tmp_path: Path) -> None:
    with imported(tmp_path, "made_by_wirelane", files_of(SAMPLES / "typed.proto")):
        with codec.accelerate(sys.modules["made_by_wirelane"], subpackages=True) as acceleration:
            typed = sys.modules["made_by_wirelane.typed.v1"]
            assert acceleration.left == {}
            assert {typed.Everything, typed.Going, typed.Gone} <= set(acceleration.classes)
        message = typed.Everything(f_string="x", o_int32=0, f_leaf=typed.Leaf("y"))
        assert codec.encode(message) == bytes(message)
        assert codec.codec_for(typed.Gone).name == "typed.v1.Gone"
        with pytest.warns(DeprecationWarning, match="Gone is deprecated"):
            codec.decode(typed.Gone, b"")


def test_what_is_set_is_told_as_by_the_library(typed: ModuleType) -> None:
    data = bytes(typed.Everything(o_int32=0, c_string="", f_string="x", c_bytes=b""))
    message = codec.decode(typed.Everything, data)
    assert message.is_set("o_int32")
    assert message.is_set("f_string")
    assert not message.is_set("o_string")
    assert not message.is_set("f_int32")
    assert betterproto2.which_one_of(message, "choice") == ("c_string", "")
    assert betterproto2.which_one_of(message, "other") == ("c_bytes", b"")


def test_unknown_numbers_of_enums_are_members_without_a_name(typed: ModuleType) -> None:
    message = codec.decode(typed.Everything, bytes(typed.Everything(f_colour=typed.Colour(99))))
    assert type(message.f_colour) is typed.Colour
    assert repr(message.f_colour) == "<Colour.~UNKNOWN: 99>"


def test_what_is_cut_off_is_refused(typed: ModuleType) -> None:
    data = bytes(typed.Everything(f_string="hello", f_leaf=typed.Leaf("x", 5)))
    for end in range(1, len(data)):
        try:
            message = codec.decode(typed.Everything, data[:end])
        except CodecError:
            continue
        assert bytes(message) == data[:end]  # a whole number of fields


def test_two_members_of_a_oneof_are_refused_going_out_and_the_last_counts_coming_in(
    typed: ModuleType,
) -> None:
    both = typed.Everything(c_int32=5, c_string="x")
    with pytest.raises(CodecError, match='"c_int32" and "c_string" are both set'):
        codec.encode(both)
    assert betterproto2.which_one_of(codec.decode(typed.Everything, bytes(both)), "choice") == (
        "c_string",
        "x",
    )


def test_a_message_that_comes_in_pieces_is_merged(typed: ModuleType) -> None:
    pieces = bytes(typed.Everything(f_leaf=typed.Leaf("x"))) + bytes(
        typed.Everything(f_leaf=typed.Leaf(number=5))
    )
    assert codec.decode(typed.Everything, pieces).f_leaf == typed.Leaf("x", 5)


def test_an_entry_of_a_map_may_lack_its_key_and_its_value(typed: ModuleType) -> None:
    # m_fixed32 = 57, m_int32 = 51: entries of no octets at all
    message = codec.decode(typed.Everything, b"\xca\x03\x00\x9a\x03\x00")
    assert message.m_fixed32 == {0: typed.Leaf()}
    assert message.m_int32 == {0: 0.0}


def test_unknown_groups_are_kept_whole() -> None:
    # Field 1 inside a group 5 is not the text of the message.
    data = b"\x0a\x01x\x2b\x0a\x01y\x2c"
    message = codec.decode(Plain, data)
    assert message.text == "x"
    assert message._unknown_fields == b"\x2b\x0a\x01y\x2c"
    assert codec.encode(message) == data


def test_fields_are_written_in_the_order_of_their_numbers(typed: ModuleType) -> None:
    message = typed.Shuffled("c", "b", "a")
    assert codec.encode(message) == b"\x0a\x01a\x12\x01b\x1a\x01c"
    assert codec.decode(typed.Shuffled, bytes(message)) == message


def test_a_naive_datetime_is_refused_with_its_path(typed: ModuleType) -> None:
    from datetime import UTC, datetime

    aware, naive = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1)  # noqa: DTZ001 - the mistake
    with pytest.raises(CodecError, match="timezone") as caught:
        codec.encode(typed.Everything(moments=[aware, naive]))
    assert caught.value.path == "moments[1]"


def test_pydantic_messages_are_refused_by_pydantic(tmp_path_factory: pytest.TempPathFactory) -> None:
    typed = compile_better(tmp_path_factory.mktemp("better"), "better_checked", "pydantic_dataclasses")
    message = typed.Everything(f_leaf=typed.Leaf("x"))
    message.f_leaf.number = 2**40
    with pytest.raises(CodecError, match="less than or equal to") as caught:
        codec.encode(message)
    assert caught.value.path == "f_leaf"


def test_classes_that_are_gone_are_not_kept() -> None:
    @dataclass(eq=False, repr=False)
    class Fleeting(betterproto2.Message):
        text: str = betterproto2.field(1, betterproto2.TYPE_STRING)

    assert codec.decode(Fleeting, codec.encode(Fleeting("x"))).text == "x"
    gone = weakref.ref(Fleeting)
    del Fleeting
    gc.collect()
    assert gone() is None


# -- describe ---------------------------------------------------------------------------------------------------------


def test_generated_classes_are_described_as_what_they_were_generated_from(typed: ModuleType) -> None:
    from support.codec_support import sample

    files = {file.name: file for file in describe([typed.Everything, typed.Names])}
    assert list(files)[-1] == "typed/v1.proto"
    pool = descriptor_pool.DescriptorPool()
    for file in files.values():
        pool.AddSerializedFile(file.SerializeToString())
    for name in ("Leaf", "Everything", "Everything.Inner"):
        found = pool.FindMessageTypeByName(f"typed.v1.{name}")
        wanted = sample("typed").message_class(f"typed.v1.{name}").DESCRIPTOR
        assert facts(found) == facts(wanted)
    assert [field.name for field in pool.FindMessageTypeByName("typed.v1.Names").fields][:2] == [
        "class",
        "from",
    ]
    for name in ("Colour", "Everything.Shade", "Everything.Inner.Unprefixed"):
        found_values = pool.FindEnumTypeByName(f"typed.v1.{name}").values
        assert {value.name: value.number for value in found_values} == {
            value.name: value.number
            for value in sample("typed").pool.FindEnumTypeByName(f"typed.v1.{name}").values
        }


def facts(message: Any) -> list[tuple[Any, ...]]:
    """What a message type is made of."""
    return [
        (
            field.name,
            field.number,
            field.type,
            field.is_repeated,
            field.has_presence,
            field.message_type and field.message_type.full_name,
            field.enum_type and field.enum_type.full_name,
            # That of an `optional` is nobody's business, and betterproto2 does not know which messages were one.
            (field.containing_oneof and field.containing_oneof.name.removeprefix(f"_{field.name}")) or None,
        )
        for field in message.fields
    ]


def test_classes_that_know_their_files_are_described_by_them(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    directory = tmp_path_factory.mktemp("better")
    typed = compile_better(directory, "better_described", "google_protobuf_descriptors")
    files = {file.name: file for file in describe([typed.EverythingInner, typed.Everything])}
    assert list(files)[-1] == "typed.proto"
    assert any(message.name == "Newer" for message in files["typed.proto"].message_type)
    pool = descriptor_pool.DescriptorPool()
    for file in files.values():
        pool.AddSerializedFile(file.SerializeToString())
    assert pool.FindMessageTypeByName("typed.v1.Everything").fields_by_name["f_leaf"].number == 18


def test_classes_written_by_hand_have_no_package_and_what_is_opaque_is_described() -> None:
    *_, file = describe([Holder])
    assert (file.name, file.package) == ("messages.proto", "")
    assert sorted(message.name for message in file.message_type) == [
        "Holder",
        "Plain",
        "ReadsItself",
        "WritesItself",
    ]
    assert [field.type_name for field in file.message_type[0].field][:2] == [".WritesItself", ".WritesItself"]
