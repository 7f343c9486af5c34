"""What a dataclass is in a .proto, and what it cannot be."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, make_dataclass
from typing import (
    Annotated,
    Any,
    ClassVar,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    Optional,
    TypedDict,
    TypeVar,
    Union,
)

import pytest
from google.protobuf import timestamp_pb2

from wirelane import Schema, UsageError, grpc
from wirelane.codec.dataclasses.files import message_files

T = TypeVar("T")
UserId = NewType("UserId", int)


class Status(enum.Enum):
    OPEN = "open"
    PAID = "paid"


class Level(enum.IntEnum):
    HIGH = 3
    NONE = 0


class Inner: ...


@dataclass
class Leaf:
    name: str = ""


@dataclass
class Fruit:
    weight: float


@dataclass
class Page(Generic[T]):
    items: list[T]


class Pair(NamedTuple):
    a: int


class Typed(TypedDict):
    a: int


def _proto(kind: type) -> str:
    schema = Schema.from_set(message_files(kind))
    return schema.proto_text(kind.__name__)


def _field_text(annotation: Any, **given: Any) -> str:
    """Return the statement of the one field of a message."""
    kind = make_dataclass("Message", [("it", annotation, field(**given))])
    lines = _proto(kind).splitlines()
    return " ".join(line.strip() for line in lines[1:-1])


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (int, "int64 it = 1;"),
        (float, "double it = 1;"),
        (bool, "bool it = 1;"),
        (str, "string it = 1;"),
        (bytes, "bytes it = 1;"),
        (UserId, "int64 it = 1;"),
        (Annotated[int, "of no meaning here"], "int64 it = 1;"),
        (Annotated[int, grpc.Field(type="sint32")], "sint32 it = 1;"),
        (Annotated[float, grpc.Field(7, type="float")], "float it = 7;"),
        (Annotated[str, grpc.Field(name="other")], "string other = 1;"),
        (Annotated[str, grpc.Field(deprecated=True)], "string it = 1 [deprecated = true];"),
        (int | None, "optional int64 it = 1;"),
        (Optional[str],  # noqa: UP045
         "optional string it = 1;"),
        (Annotated[int | None, grpc.Field(type="int32")], "optional int32 it = 1;"),
        (Annotated[int, grpc.Field(type="int32")] | None, "optional int32 it = 1;"),
        (list[int], "repeated int64 it = 1;"),
        (tuple[str, ...], "repeated string it = 1;"),
        (set[bytes], "repeated bytes it = 1;"),
        (frozenset[Level], "repeated Level it = 1;"),
        (Sequence[float], "repeated double it = 1;"),
        (list[Annotated[int, grpc.Field(type="fixed32")]], "repeated fixed32 it = 1;"),
        (Annotated[list[int], grpc.Field(type="fixed32")], "repeated fixed32 it = 1;"),
        (list[Leaf], "repeated Leaf it = 1;"),
        (list[Any], "repeated google.protobuf.Value it = 1;"),
        (dict[str, int], "map<string, int64> it = 1;"),
        (dict[int, Leaf], "map<int64, Leaf> it = 1;"),
        (Mapping[bool, Status], "map<bool, Status> it = 1;"),
        (dict[Annotated[int, grpc.Field(type="fixed64")], str], "map<fixed64, string> it = 1;"),
        (dict[str, datetime.datetime], "map<string, google.protobuf.Timestamp> it = 1;"),
        (dict[str, Any], "google.protobuf.Struct it = 1;"),
        (dict, "google.protobuf.Struct it = 1;"),
        (Any, "google.protobuf.Value it = 1;"),
        (object, "google.protobuf.Value it = 1;"),
        (datetime.datetime, "google.protobuf.Timestamp it = 1;"),
        (datetime.datetime | None, "google.protobuf.Timestamp it = 1;"),
        (datetime.timedelta, "google.protobuf.Duration it = 1;"),
        (timestamp_pb2.Timestamp, "google.protobuf.Timestamp it = 1;"),
        (Leaf, "Leaf it = 1;"),
        (Leaf | None, "Leaf it = 1;"),
        (Status, "Status it = 1;"),
        (Status | None, "optional Status it = 1;"),
        (Level, "Level it = 1;"),
        (Leaf | Fruit, "oneof it { Leaf leaf = 1; Fruit fruit = 2; }"),
        (Union[int, str, None],  # noqa: UP007
         "oneof it { int64 it_int = 1; string it_str = 2; }"),
        (
            Annotated[Leaf, grpc.Field(4, name="a")] | Annotated[int, grpc.Field(type="uint32", name="b")] | Fruit,
            "oneof it { Leaf a = 4; uint32 b = 5; Fruit fruit = 6; }",
        ),
        (Annotated[Leaf | bytes, grpc.Field(9)], "oneof it { Leaf leaf = 9; bytes it_bytes = 10; }"),
    ],
)  # fmt: skip
def test_each_annotation_is_a_field(annotation: Any, expected: str) -> None:
    """A type in Python is this in a .proto."""
    assert _field_text(annotation) == expected


@pytest.mark.parametrize(
    ("annotation", "given", "expected"),
    [
        (int, {"default": 0}, "int64 it = 1;"),
        (int, {"default": 5}, "optional int64 it = 1;"),
        (float, {"default": -0.0}, "optional double it = 1;"),
        (str, {"default": ""}, "string it = 1;"),
        (bool, {"default": True}, "optional bool it = 1;"),
        (str, {"default_factory": lambda: "made"}, "optional string it = 1;"),
        (int | None, {"default": None}, "optional int64 it = 1;"),
        (Level, {"default": Level.NONE}, "Level it = 1;"),
        (Level, {"default": Level.HIGH}, "optional Level it = 1;"),
        (Status, {"default": Status.OPEN}, "optional Status it = 1;"),
        (list[int], {"default_factory": list}, "repeated int64 it = 1;"),
        (Leaf, {"default_factory": Leaf}, "Leaf it = 1;"),
    ],
)
def test_a_default_that_is_not_zero_makes_a_field_optional(
    annotation: Any, given: dict[str, Any], expected: str
) -> None:
    """Only then does the reader have to know whether it was sent."""
    assert _field_text(annotation, **given) == expected


@pytest.mark.parametrize(
    ("annotation", "given", "complaint"),
    [
        (decimal.Decimal, {}, "Message.it: Decimal has no counterpart in a .proto; use a str"),
        (uuid.UUID, {}, "UUID has no counterpart in a .proto; use a str, or bytes"),
        (datetime.date, {}, "use a datetime, or a str"),
        (bytearray, {}, "use bytes"),
        (list, {}, "use list[...] with the type of what is in it"),
        (complex, {}, "a dataclass of two floats"),
        (Inner, {}, "Inner is no type of a message"),
        (Pair, {}, "make it a dataclass"),
        (Typed, {}, "make it a dataclass"),
        (Page[int], {}, "generic"),
        (Page, {}, "Page is generic"),
        (T, {}, "generic"),
        (enum.Flag("Bits", "A B"), {}, "use an int"),
        (enum.Enum("Empty", []), {}, "has no members"),
        (enum.IntEnum("Big", {"A": 2**40}), {}, "32 bits"),
        (Literal[1, 2], {}, "made of strings"),
        (Literal["a b", "a-b"], {}, "would both be IT_A_B"),
        (tuple[int, str], {}, "write tuple[X, ...]"),
        (list[list[int]], {}, "holds no lists or dicts"),
        (list[int | None], {}, "not None"),
        (list[int] | None, {}, "cannot be None, only empty"),
        (dict[str, int] | None, {}, "cannot be None, only empty"),
        (dict[str, list[int]], {}, "holds no lists or dicts"),
        (dict[float, int], {}, "must be str, int or bool"),
        (set[Leaf], {}, "what has a hash"),
        (Leaf | dict[str, Any], {}, "a union holds no lists or dicts"),
        (Leaf | Any | int, {}, "could be anything"),
        (int | Literal["a"], {}, "use an enum.Enum"),
        (int | UserId, {}, "twice"),
        (Annotated[int, grpc.Field(type="string")], {}, "int cannot be 'string', only int64"),
        (Annotated[Leaf, grpc.Field(type="string")], {}, "is for int, float"),
        (Annotated[int, grpc.Field(1), grpc.Field(2)], {}, "one Field(...) is enough"),
        (Annotated[int, grpc.Field], {}, "with its parentheses"),
        (list[Annotated[int, grpc.Field(3)]], {}, "no number or name of its own"),
        (int | None, {"default": 5}, "drop `| None`, or make None the default"),
        (str, {"default": None}, "add `| None`"),
        (dataclasses.InitVar[int], {}, "an InitVar is lost on the wire"),
        ("Nowhere", {}, "'Nowhere', which is not defined"),
        ("int |", {}, "cannot be evaluated"),
    ],
)
def test_what_cannot_be_a_field_is_refused(annotation: Any, given: dict[str, Any], complaint: str) -> None:
    """The error says where it is, and what to write instead."""
    kind = make_dataclass("Message", [("it", annotation, field(**given))], namespace={"__module__": __name__})
    with pytest.raises(UsageError) as caught:
        message_files(kind)
    assert "Message" in str(caught.value)
    assert complaint in str(caught.value)


def test_numbers_follow_the_order_of_declaration() -> None:
    """After a number of its own, counting goes on from there."""

    @dataclass
    class Numbered:
        a: int
        b: Annotated[int, grpc.Field(5)]
        c: int
        d: Annotated[int, grpc.Field(2)]
        e: Annotated[int, grpc.Field(18999)]
        f: int
        kept: ClassVar[int] = 3
        computed: int = field(init=False, default=0)

    (message,) = message_files(Numbered).file[0].message_type
    assert [(each.name, each.number) for each in message.field] == [
        ("a", 1),
        ("b", 5),
        ("c", 6),
        ("d", 2),
        ("e", 18999),
        ("f", 20000),
    ]


def test_reserved_numbers_are_passed_over() -> None:
    """A field that was removed leaves its number behind, and the others keep theirs."""

    @grpc.message(name="Renamed", reserved=(2, range(4, 6), "gone"), deprecated=True)
    @dataclass
    class Shrunk:
        a: int
        c: int
        d: int

    text = Schema.from_set(message_files(Shrunk)).proto_text("Renamed")
    assert (
        text.split()
        == (
            'message Renamed { option deprecated = true; reserved 2; reserved 4, 5; reserved "gone"; '
            "int64 a = 1; int64 c = 3; int64 d = 6; }"
        )
        .replace("4, 5", "4 to 5")
        .split()
    )


@pytest.mark.parametrize(
    ("fields", "options", "complaint"),
    [
        ([("a", Annotated[int, grpc.Field(2)]), ("b", Annotated[int, grpc.Field(2)])], {}, "number 2 is that of a"),
        ([("a", Annotated[int, grpc.Field(2)]), ("b", int), ("c", Annotated[int, grpc.Field(3)])], {}, "is that of b"),
        ([("a", Annotated[int, grpc.Field(2)])], {"reserved": (2,)}, "number 2 is reserved"),
        ([("a", int)], {"reserved": ("a",)}, 'the name "a" is reserved'),
        ([("a_b", int), ("aB", int)], {}, "are one name in JSON"),
        ([("a", int), ("b", Annotated[int, grpc.Field(name="a")])], {}, 'another field is called "a"'),
        ([("leaf", int), ("b", Leaf | Fruit)], {}, 'another field is called "leaf"'),
        ([("größe", int)], {}, "ASCII name"),
    ],
)  # fmt: skip
def test_clashes_are_refused(fields: list[tuple[str, Any]], options: dict[str, Any], complaint: str) -> None:
    """Two fields never have one number or name."""
    kind = grpc.message(**options)(make_dataclass("Clash", fields))
    with pytest.raises(UsageError, match="Clash") as caught:
        message_files(kind)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: grpc.Field(0), "number is a field number"),
        (lambda: grpc.Field(2**29), "number is a field number"),
        (lambda: grpc.Field(19500), "19000 to 19999"),
        (lambda: grpc.Field(True), "number is a field number"),
        (lambda: grpc.Field(type="int"), "type='int' is no scalar type"),
        (lambda: grpc.Field(name="a b"), "name='a b' is no name"),
        (lambda: grpc.message(name="a.b"), "name='a.b' is no name"),
        (lambda: grpc.message(reserved=(0,)), "reserved is a field number"),
        (lambda: grpc.message(reserved=("a b",)), "reserved='a b' is no name"),
        (lambda: grpc.message(reserved=5), "reserved is a tuple"),  # type: ignore[arg-type]
    ],
)
def test_settings_are_checked_as_they_are_made(make: Any, complaint: str) -> None:
    """A setting that cannot be is told by its name."""
    with pytest.raises(UsageError) as caught:
        make()
    assert complaint in str(caught.value)


@dataclass
class Tree:
    """Grows."""

    children: list[Tree] = field(default_factory=list)
    other: Hedge | None = None


@dataclass
class Hedge:
    tree: Tree


@dataclass
class Snake:
    tail: Snake


@dataclass
class Egg:
    hen: Hen


@dataclass
class Hen:
    egg: Egg


def test_types_may_refer_to_each_other() -> None:
    """Recursion is fine where it can end."""
    schema = Schema.from_set(message_files(Tree))
    assert schema.proto_text("Hedge") == "message Hedge {\n  Tree tree = 1;\n}\n"
    assert schema.describe("Tree").comment == "Grows."


@pytest.mark.parametrize(("kind", "where"), [(Snake, "Snake.tail"), (Egg, "Hen.egg"), (Hen, "Egg.hen")])
def test_a_message_without_end_is_refused(kind: type, where: str) -> None:
    """What cannot be made of an absent message would be made for ever."""
    with pytest.raises(UsageError, match=rf"{where}: .* without end; write"):
        message_files(kind)


def test_enums_begin_with_zero_and_have_a_prefix() -> None:
    """Values of all enums of a package share one scope, and the first is 0 in proto3."""

    class Shade(enum.IntEnum):
        """How dark."""

        DARK = 7
        LIGHT = -2
        SHADE_NONE = 0
        ALSO_DARK = 7

    @dataclass
    class Holder:
        shade: Shade
        status: Status
        state: Literal["new", "in-progress", "done2"]

    schema = Schema.from_set(message_files(Holder, names=locals()))
    shade = schema.enum_descriptor("Shade")
    assert [(value.name, value.number) for value in shade.values] == [
        ("SHADE_NONE", 0),
        ("SHADE_DARK", 7),
        ("SHADE_LIGHT", -2),
    ]
    assert schema.describe("Shade").comment == "How dark."
    assert [value.name for value in schema.enum_descriptor("Status").values] == [
        "STATUS_UNSPECIFIED",
        "STATUS_OPEN",
        "STATUS_PAID",
    ]
    assert [(value.name, value.number) for value in schema.enum_descriptor("Holder.State").values] == [
        ("STATE_UNSPECIFIED", 0),
        ("STATE_NEW", 1),
        ("STATE_IN_PROGRESS", 2),
        ("STATE_DONE2", 3),
    ]


def test_dataclasses_of_every_make_are_messages() -> None:
    """Frozen, slotted, keyword-only and inherited fields make no difference."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Base:
        a: int = 0

    @dataclass(frozen=True, slots=True)
    class Derived(Base):
        """More."""

        from_: str

    text = Schema.from_set(message_files(Derived)).proto_text("Derived")
    assert text == "// More.\nmessage Derived {\n  int64 a = 1;\n  string from = 2;\n}\n"


def test_docs_of_fields_are_comments() -> None:
    """From `Field`, or from a Doc as PEP 727 has it."""

    class Doc:
        def __init__(self, documentation: str) -> None:
            self.documentation = documentation

    @dataclass
    class Documented:
        a: Annotated[int, grpc.Field(doc="The first.\nIn two lines.")]
        b: Annotated[int, Doc("The second.")]

    text = Schema.from_set(message_files(Documented, names=locals())).proto_text("Documented")
    assert text == (
        "message Documented {\n  // The first.\n  // In two lines.\n  int64 a = 1;\n  // The second.\n  int64 b = 2;\n}\n"
    )


def test_a_docstring_that_dataclass_wrote_is_no_comment() -> None:
    """It says what the fields say."""
    assert str(Leaf.__doc__).startswith("Leaf(name")
    assert _proto(Leaf) == "message Leaf {\n  string name = 1;\n}\n"


def test_descriptors_stay_out_of_the_default_pool() -> None:
    """Two programs in one process may each have an Order."""
    from google.protobuf import descriptor_pool

    Schema.from_set(message_files(Leaf))
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName("Leaf")
