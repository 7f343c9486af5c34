"""Dataclasses to bytes and back: strict in what goes in, and by the class's own constructor in what comes out."""

from __future__ import annotations

import enum
import gc
import subprocess
import sys
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import pytest
from google.protobuf import empty_pb2, timestamp_pb2

from wirelane import CodecError, Schema, UsageError, codec, grpc
from wirelane.codec import NanoDatetime
from wirelane.codec.dataclasses.files import message_files


class Status(enum.Enum):
    OPEN = "open"
    SENT = "sent"


class Level(enum.IntEnum):
    LOW = 0
    HIGH = 5


class Lenient(enum.IntEnum):
    OTHER = 0
    KNOWN = 1

    @classmethod
    def _missing_(cls, value: object) -> Lenient:
        return cls.OTHER


@dataclass(frozen=True, slots=True)
class Leaf:
    name: str = ""


@dataclass
class Fruit:
    weight: int = 0


@dataclass(frozen=True)
class Special(Leaf):
    more: int = 0


@dataclass
class Tree:
    leaf: Leaf = field(default_factory=lambda: Leaf("made"))
    trees: list[Tree] = field(default_factory=list)
    by_name: dict[str, Tree] = field(default_factory=dict)
    either: Annotated[Leaf, grpc.Field(name="one_leaf")] | Fruit | int | datetime | None = None
    number: Annotated[int, grpc.Field(type="uint32")] = 7
    text: str = ""
    flag: bool = False
    flags: list[bool] = field(default_factory=list)
    octets: bytes = b""
    small: Annotated[float, grpc.Field(type="float")] = 0.0
    status: Status = Status.OPEN
    levels: set[Level] = field(default_factory=set)
    way: Literal["up", "down"] = "up"
    at: datetime | None = None
    span: timedelta = timedelta(0)
    anything: Any = None
    words: Sequence[str] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    empty: empty_pb2.Empty | None = None


@pytest.mark.parametrize(
    ("given", "path", "problem"),
    [
        ({"leaf": None}, "leaf", "expected a"),
        ({"leaf": Fruit()}, "leaf", "Leaf, not Fruit(weight=0)"),
        ({"leaf": Special()}, "leaf", "expected a"),
        ({"leaf": Leaf(5)}, "leaf.name", "expected a str, not 5"),  # type: ignore[arg-type]
        ({"trees": [Tree(), Tree(text=None)]}, "trees[1].text", "expected a str, not None"),  # type: ignore[arg-type]
        ({"trees": None}, "trees", "expected a list, not None"),
        ({"trees": "ab"}, "trees", "expected a list, not 'ab'"),
        ({"trees": {}}, "trees", "expected a list, not {}"),
        ({"words": "ab"}, "words", "expected a list, not 'ab'"),
        ({"words": ["a", 5]}, "words[1]", "expected a str, not 5"),
        ({"by_name": {"a": Tree(number=-1)}}, 'by_name["a"].number', "-1 is out of range for uint32"),
        ({"by_name": {5: Tree()}}, "by_name[5]", "expected a str, not 5"),
        ({"by_name": []}, "by_name", "expected a dict, not []"),
        ({"either": "text"}, "either", "expected Leaf or Fruit or int or datetime, not 'text'"),
        ({"either": Leaf(5)}, "either.name", "expected a str"),  # type: ignore[arg-type]
        ({"either": 2**63}, "either", "out of range for int64"),
        ({"number": None}, "number", "expected an int for uint32, not None"),
        ({"number": "7"}, "number", "expected an int"),
        ({"number": 7.0}, "number", "expected an int"),
        ({"text": b"x"}, "text", "expected a str, not b'x'"),
        ({"text": "\ud800"}, "text", "does not encode as UTF-8"),
        ({"flag": 1}, "flag", "expected a bool, not 1"),
        ({"flags": [True, 0]}, "flags[1]", "expected a bool, not 0"),
        ({"octets": "x"}, "octets", "expected bytes"),
        ({"small": 1e39}, "small", "out of range for float"),
        ({"status": "open"}, "status", "expected Status, not 'open'"),
        ({"status": None}, "status", "expected Status, not None"),
        ({"levels": {Level.LOW, 3}}, "levels[1]", "expected Level, not 3"),
        ({"way": "left"}, "way", "expected 'up' or 'down', not 'left'"),
        ({"at": "2026-01-01T00:00:00Z"}, "at", "expected an aware datetime, not '2026"),
        ({"at": datetime(2026, 1, 1)}, "at", "has no time zone"),  # noqa: DTZ001
        ({"span": 5}, "span", "expected a timedelta, not 5"),
        ({"anything": object()}, "anything", "expected what JSON can hold"),
        ({"extra": {"a": [object()]}}, 'extra["a"][0]', "expected what JSON can hold"),
        ({"extra": []}, "extra", "expected a dict, not []"),
        ({"empty": timestamp_pb2.Timestamp()}, "empty", "Empty, not"),
    ],
)
def test_a_value_of_a_wrong_type_is_told_with_its_path(
    given: dict[str, Any], path: str, problem: str
) -> None:
    """Nothing is converted that may have been a mistake."""
    with pytest.raises(CodecError) as caught:
        codec.encode(Tree(**given))
    assert caught.value.path == path
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("given", "becomes"),
    [
        ({"number": True}, {"number": 1}),
        ({"small": 1}, {"small": 1.0}),
        ({"octets": bytearray(b"x")}, {"octets": b"x"}),
        ({"words": ["a", "b"]}, {"words": ("a", "b")}),
        ({"trees": (Tree(), Tree())}, {"trees": [Tree(), Tree()]}),
        ({"levels": [Level.HIGH, Level.HIGH]}, {"levels": {Level.HIGH}}),
        ({"either": True}, {"either": 1}),
        ({"at": NanoDatetime.of(datetime(2026, 1, 1, tzinfo=UTC), 5)}, {}),
        ({"either": datetime(2026, 1, 1, tzinfo=UTC)}, {}),
        ({"empty": empty_pb2.Empty()}, {}),
    ],
)
def test_what_means_the_same_is_taken(given: dict[str, Any], becomes: dict[str, Any]) -> None:
    """What the annotation allows by Python's own rules."""
    assert codec.decode(Tree, codec.encode(Tree(**given))) == Tree(**{**given, **becomes})


def _bytes_of(kind: type, value: dict[str, Any]) -> bytes:
    return Schema.from_set(message_files(kind)).encode(kind.__name__, value)


def test_what_is_absent_has_its_default() -> None:
    """That of the dataclass where it has one, otherwise the zero of its type."""
    assert codec.decode(Tree, b"") == Tree()
    # Zero is a value like others where the default is another.
    assert codec.decode(Tree, _bytes_of(Tree, {"number": 0, "leaf": {}, "status": "STATUS_SENT"})) == Tree(
        number=0, leaf=Leaf(), status=Status.SENT
    )
    assert codec.decode(Tree, codec.encode(Tree(number=0, leaf=Leaf()))) == Tree(number=0, leaf=Leaf())

    @dataclass
    class Required:
        leaf: Leaf
        at: datetime
        span: timedelta
        number: int
        level: Level
        anything: Any
        extra: dict[str, Any]
        foreign: timestamp_pb2.Timestamp
        some: tuple[int, ...]

    assert codec.decode(Required, b"") == Required(
        Leaf(),
        datetime(1970, 1, 1, tzinfo=UTC),
        timedelta(0),
        0,
        Level.LOW,
        None,
        {},
        timestamp_pb2.Timestamp(),
        (),
    )


@dataclass
class Strict:
    status: Status
    way: Literal["up", "down"]
    either: Leaf | int


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"way": 1, "leaf": {}}, "status: it must be given: STATUS_UNSPECIFIED is no Status"),
        ({"status": 1, "leaf": {}}, "way: it must be given: WAY_UNSPECIFIED is no 'up' or 'down'"),
        ({"status": 1, "way": 1}, "either: one of leaf, either_int must be set"),
        ({"status": 9, "way": 1, "leaf": {}}, "status: Status has no number 9"),
        ({"status": 1, "way": 9, "leaf": {}}, "way: 'up' or 'down' has no number 9"),
    ],
)
def test_what_nothing_can_stand_for_must_be_given(value: dict[str, Any], problem: str) -> None:
    """An enum without zero, and a union without None or default."""
    with pytest.raises(CodecError) as caught:
        codec.decode(Strict, _bytes_of(Strict, value))
    assert str(caught.value).startswith(problem)


def test_zero_of_an_enum_that_has_none_is_absence() -> None:
    """Where there is a default, or None."""

    @dataclass
    class Orders:
        status: Status = Status.SENT
        maybe: Status | None = None

    sent = _bytes_of(Orders, {"status": "STATUS_UNSPECIFIED", "maybe": "STATUS_UNSPECIFIED"})
    assert codec.decode(Orders, sent) == Orders(Status.SENT, None)


def test_an_enum_may_make_something_of_numbers_that_it_does_not_know() -> None:
    """As Python has it: `_missing_`."""

    @dataclass
    class Holder:
        it: Lenient = Lenient.KNOWN
        several: list[Lenient] = field(default_factory=list)

    value = codec.decode(Holder, _bytes_of(Holder, {"it": 9, "several": [1, 8]}))
    assert value == Holder(Lenient.OTHER, [Lenient.KNOWN, Lenient.OTHER])


@dataclass
class Checked:
    number: int = 0
    inner: list[Checked] = field(default_factory=list)
    named: dict[str, Checked] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.number < 0:
            raise ValueError("number must not be negative")
        if self.number > 100:
            raise RuntimeError("too much")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"number": -1}, f"no valid {__name__}.Checked: number must not be negative"),
        (
            {"inner": [{}, {"named": {"a": {"number": -1}}}]},
            'inner[1].named["a"]: number must not be negative',
        ),
        ({"inner": [{"number": 101}]}, "inner[0]: RuntimeError: too much"),
    ],
)
def test_what_the_constructor_refuses_is_told_with_its_path(value: dict[str, Any], text: str) -> None:
    """`__post_init__` runs for what comes from the wire as for all else."""
    with pytest.raises(CodecError) as caught:
        codec.decode(Checked, _bytes_of(Checked, value))
    assert str(caught.value) == text


def test_bytes_that_are_no_message_are_refused() -> None:
    """With the name of the class."""
    with pytest.raises(CodecError, match=r"1 bytes are no valid \S+\.Leaf: Wire format was corrupt"):
        codec.decode(Leaf, b"\xff")


def test_only_objects_of_the_class_itself_are_encoded() -> None:
    """A subclass may say more than the message has room for."""
    of_leaf = codec.codec_for(Leaf)
    for value in (Special(), Fruit(), {"name": "x"}, None):
        with pytest.raises(CodecError, match=r"expected a \S+\.Leaf, not"):
            of_leaf.encode(value)


def test_values_that_contain_each_other_without_end_are_refused() -> None:
    """Also such as contain themselves."""
    tree = Tree()
    tree.trees.append(tree)
    with pytest.raises(CodecError, match="nested more than 100 deep"):
        codec.encode(tree)


def test_fields_that_the_class_does_not_know_are_dropped() -> None:
    """A newer peer may send them."""

    @dataclass
    class Newer:
        name: str
        more: int

    assert codec.decode(Leaf, codec.encode(Newer("x", 5))) == Leaf("x")


def test_a_class_that_cannot_be_a_message_is_told_when_it_is_used() -> None:
    """Whoever asks for its codec learns why there is none."""

    @dataclass
    class Bad:
        price: complex

    with pytest.raises(UsageError, match=r"Bad\.price: complex has no counterpart"):
        codec.encode(Bad(1j))


def test_classes_go_when_nobody_uses_them() -> None:
    """What belongs to a class is kept with the class."""

    def use() -> weakref.ref[type]:
        @dataclass
        class Passing:
            number: int

        assert codec.decode(Passing, codec.encode(Passing(5))) == Passing(5)
        Schema.from_set(message_files(Passing))
        return weakref.ref(Passing)

    gone = use()
    gc.collect()
    assert gone() is None


def test_dataclasses_cost_nothing_where_there_are_none() -> None:
    """Neither a client nor a server imports what they need before the first one."""
    program = (
        "import sys; from wirelane import grpc, codec; grpc.Server(); grpc.Channel; codec.codec_for(bytes); "
        "print([name for name in sys.modules if name.startswith('wirelane.codec.dataclasses')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=50
    )
    assert done.stdout == "[]\n"
