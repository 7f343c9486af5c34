"""Objects of Python classes through upb: what a plan says is what is written and read."""

from __future__ import annotations

import gc
import threading
import weakref
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Any

import pytest
from google.protobuf import descriptor_pool, message_factory

from wirelane.codec.glue import (
    Enumeration,
    Field,
    Inside,
    Making,
    Plan,
    Unplannable,
    closure,
    files_of,
    glue_of,
)
from wirelane.errors import CodecError


class Colour(IntEnum):
    NONE = 0
    RED = 1
    CRIMSON = 1


@dataclass
class Leaf:
    text: str = ""
    size: float = 0.0


@dataclass
class Tree:
    name: str = ""
    number: int = 0
    ratio: float = 0.0
    flag: bool = False
    data: bytes = b""
    colour: Colour = Colour.NONE
    note: str | None = None
    card: str | None = None
    cash: int | None = None
    tags: list[str] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)
    leaves: list[Leaf] = field(default_factory=list)
    ages: dict[str, int] = field(default_factory=dict)
    named: dict[int, Leaf] = field(default_factory=dict)
    child: Tree | None = None
    leaf: Leaf = field(default_factory=Leaf)
    when: datetime | None = None
    delay: timedelta | None = None


@dataclass(frozen=True)
class Frozen:
    number: int = 0

    def __post_init__(self) -> None:
        if self.number > 10:
            raise ValueError("more than ten")


COLOUR = Enumeration(
    Colour, "demo.Colour", "demo", tuple((k, v.value) for k, v in Colour.__members__.items())
)
LEAF = Plan(
    Leaf, "demo.Leaf", "demo", (Field("text", 1, "string", "text"), Field("size", 2, "float", "size"))
)


def write_moment(value: datetime, message: Any) -> None:
    message.FromDatetime(value)


def read_moment(message: Any) -> datetime:
    return message.ToDatetime(UTC)


def tree_plan() -> Plan:
    return TREE


TREE = Plan(
    Tree,
    "demo.Tree",
    "demo",
    (
        Field("name", 1, "string", "name"),
        Field("number", 2, "sint64", "number"),
        Field("ratio", 3, "double", "ratio"),
        Field("flag", 4, "bool", "flag"),
        Field("data", 5, "bytes", "data"),
        Field("colour", 6, "enum", "colour", enum=COLOUR),
        Field("note", 7, "string", "note", presence=True),
        Field("card", 8, "string", "card", presence=True, oneof="pay"),
        Field("cash", 9, "int64", "cash", presence=True, oneof="pay"),
        Field("tags", 10, "string", "tags", repeated=True),
        Field("sizes", 11, "float", "sizes", repeated=True),
        Field("leaves", 12, "message", "leaves", inside=lambda: LEAF, repeated=True),
        Field("ages", 13, "int32", "ages", key="string"),
        Field("named", 14, "message", "named", key="int32", inside=lambda: LEAF),
        Field("child", 15, "message", "child", inside=tree_plan, presence=True),
        Field("leaf", 16, "message", "leaf", inside=lambda: LEAF),
        Field(
            "when",
            17,
            "message",
            "when",
            presence=True,
            inside=Inside("google.protobuf.Timestamp", write_moment, read_moment),
        ),
        Field(
            "delay",
            18,
            "double",
            "delay",
            presence=True,
            into=timedelta.total_seconds,
            out_of=lambda seconds: timedelta(seconds=seconds),
        ),
    ),
)
FROZEN = Plan(
    Frozen, "demo.Frozen", "demo", (Field("number", 3, "int32", "number"),), making=Making.ARGUMENTS
)

FULL = Tree(
    "n",
    -5,
    2.5,
    True,
    b"\xff",
    Colour.RED,
    "",
    None,
    0,
    ["a", ""],
    [0.5, float("inf")],
    [Leaf("x", 1.5), Leaf()],
    {"b": 2, "a": 0},
    {7: Leaf("seven")},
    Tree("child", child=Tree()),
    Leaf("own"),
    datetime(2026, 1, 2, 3, 4, 5, 6, UTC),
    timedelta(seconds=1.5),
)


def google_class(plan: Plan) -> Any:
    """What protobuf makes of the files of a plan."""
    pool = descriptor_pool.DescriptorPool()
    for file in files_of(closure(plan)):
        pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(plan.full_name))


@pytest.mark.parametrize("value", [FULL, Tree()])
def test_what_goes_in_comes_out(value: Tree) -> None:
    glue = glue_of(TREE)
    assert glue.decode(glue.encode(value)) == value


def test_protobuf_reads_and_writes_the_same_by_the_files_of_the_plan() -> None:
    glue = glue_of(TREE)
    message = google_class(TREE).FromString(glue.encode(FULL))
    assert message.name == "n"
    assert message.colour == 1
    assert message.WhichOneof("pay") == "cash"
    assert dict(message.ages) == {"b": 2, "a": 0}
    assert message.named[7].text == "seven"
    assert message.child.child.HasField("leaf")
    assert message.when.ToDatetime(UTC) == FULL.when
    assert glue.decode(message.SerializeToString()) == FULL


def test_defaults_are_not_sent() -> None:
    assert glue_of(LEAF).encode(Leaf("", -0.0)) == b""
    assert glue_of(LEAF).encode(Leaf("", float("nan"))) != b""


@pytest.mark.parametrize(
    ("value", "path", "problem"),
    [
        (Tree(leaves=[Leaf(), Leaf(size="big")]), "leaves[1].size", "expected a number"),  # type: ignore[arg-type]
        (Tree(child=Tree(number=2**63)), "child.number", "out of range for sint64"),
        (Tree(name=b"x"), "name", "expected a str"),  # type: ignore[arg-type]
        (Tree(name=0), "name", "expected a str"),  # type: ignore[arg-type]
        (Tree(tags=["a", b"b"]), "tags[1]", "expected a str"),  # type: ignore[list-item]
        (Tree(data="x"), "data", "expected bytes"),  # type: ignore[arg-type]
        (Tree(ages={"a": "b"}), 'ages["a"]', "expected an int"),  # type: ignore[dict-item]
        (Tree(named={1: Tree()}), "named[1]", "expected a .*Leaf"),  # type: ignore[dict-item]
        (Tree(sizes=[1.0, 1e39]), "sizes[1]", "out of range for float"),
        (Tree(leaf=Leaf(size=1e39)), "leaf.size", "out of range for float"),
        (Tree(card="c", cash=1), "", '"card" and "cash" are both set'),
        (Tree(colour="RED"), "colour", "expected an int"),  # type: ignore[arg-type]
        (Tree(tags=5), "tags", "expected a list"),  # type: ignore[arg-type]
        (Tree(ages=[1]), "ages", "expected a dict"),  # type: ignore[arg-type]
        (Tree(name="\ud800"), "name", "UTF-8"),
        (Tree(delay="soon"), "delay", "does not convert"),  # type: ignore[arg-type]
    ],
)
def test_what_does_not_fit_is_named_by_its_path(value: Tree, path: str, problem: str) -> None:
    with pytest.raises(CodecError, match=problem) as caught:
        glue_of(TREE).encode(value)
    assert caught.value.path == path


def test_what_fits_and_protobuf_refuses_is_taken() -> None:
    value = Tree(number=True, data=bytearray(b"x"))  # type: ignore[arg-type]
    assert glue_of(TREE).decode(glue_of(TREE).encode(value)) == Tree(number=1, data=b"x")


def test_a_message_that_nests_without_end_is_refused() -> None:
    value = Tree()
    value.child = value
    with pytest.raises(CodecError, match="nested"):
        glue_of(TREE).encode(value)


@pytest.mark.parametrize("data", [b"\x0a\x05a", b"\x0a\x01\xff", b"\x07"])
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    with pytest.raises(CodecError, match=r"Tree"):
        glue_of(TREE).decode(data)


def test_classes_that_check_what_they_are_given_are_asked() -> None:
    glue = glue_of(FROZEN)
    assert glue.decode(glue.encode(Frozen(7))) == Frozen(7)
    with pytest.raises(CodecError, match="more than ten"):
        glue.decode(b"\x18\x0b")


def test_a_plan_that_protobuf_refuses_is_unplannable() -> None:
    @dataclass
    class Twice:
        a: int = 0
        b: int = 0

    with pytest.raises(Unplannable, match="Twice"):
        glue_of(Plan(Twice, "Twice", "", (Field("a", 1, "int32", "a"), Field("b", 1, "int32", "b"))))


@pytest.mark.parametrize("attribute", ["a b", "class", "x=1;y"])
def test_an_attribute_that_is_no_identifier_enters_no_source(attribute: str) -> None:
    @dataclass
    class Odd:
        pass

    with pytest.raises(Unplannable, match="no name"):
        glue_of(Plan(Odd, "Odd", "", (Field(attribute, 1, "int32", "a"),)))


def fresh_plan() -> Plan:
    """A new class, with another inside."""

    @dataclass
    class Inner:
        text: str = ""

    @dataclass
    class Outer:
        inner: Inner | None = None

    inner = Plan(Inner, "fresh.Inner", "fresh", (Field("text", 1, "string", "text"),))
    return Plan(
        Outer,
        "fresh.Outer",
        "fresh",
        (Field("inner", 1, "message", "inner", inside=lambda: inner, presence=True),),
    )


def test_classes_that_are_gone_leave_nothing_behind() -> None:
    plan = fresh_plan()
    inner = plan.fields[0].inside().kind  # type: ignore[misc, operator]
    assert glue_of(plan).encode(plan.kind(inner("x"))) == b"\x0a\x03\x0a\x01x"
    kinds = [weakref.ref(plan.kind), weakref.ref(inner)]
    del plan, inner
    gc.collect()
    assert [kind() for kind in kinds] == [None, None]


def test_many_threads_may_use_a_class_for_the_first_time() -> None:
    for _ in range(20):
        plan = fresh_plan()
        barrier = threading.Barrier(4)
        found: list[Any] = []

        def use(plan: Plan = plan, barrier: threading.Barrier = barrier, found: list[Any] = found) -> None:
            barrier.wait()
            found.append(glue_of(plan))

        threads = [threading.Thread(target=use) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 4
        assert len(set(map(id, found))) == 1


def test_thousands_of_classes_that_come_and_go_do_not_grow_the_pool() -> None:
    from wirelane.codec.glue import glue

    seen = set()
    for _ in range(700):
        glue_of(fresh_plan())
        seen.add(id(glue._wire))
    gc.collect()
    assert len(seen) > 1


# -- files --------------------------------------------------------------------------------------------------------


def plain(full_name: str, package: str, *inside: Plan, enums: tuple[Enumeration, ...] = ()) -> Plan:
    """A plan whose fields are messages of other plans, and enums."""
    kind: Any = type(full_name.rpartition(".")[2], (), {})
    messages = [
        Field(f"m{i}", i, "message", f"m{i}", inside=lambda plan=plan: plan, presence=True)  # type: ignore[misc]
        for i, plan in enumerate(inside, 1)
    ]
    numbers = [Field(f"e{i}", i, "enum", f"e{i}", enum=enum) for i, enum in enumerate(enums, 100)]
    return Plan(kind, full_name, package, (*messages, *numbers))


def pool_of(*plans: Plan) -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for file in files_of(closure(*plans)):
        pool.AddSerializedFile(file.SerializeToString())
    return pool


def test_a_package_is_a_file_named_after_it() -> None:
    common = plain("shop.common.v1.Money", "shop.common.v1")
    order = plain("shop.v1.Order", "shop.v1", common)
    nested = plain("shop.v1.Order.Item", "shop.v1", order)
    alone = plain("Alone", "", nested)
    files = files_of(closure(alone))
    assert [file.name for file in files] == ["shop/common/v1.proto", "shop/v1.proto", "messages.proto"]
    assert [list(file.dependency) for file in files] == [[], ["shop/common/v1.proto"], ["shop/v1.proto"]]
    assert [message.name for message in files[1].message_type[0].nested_type] == ["Item"]
    assert pool_of(alone).FindMessageTypeByName("shop.v1.Order.Item").containing_type.name == "Order"


def test_packages_that_use_each_other_are_several_files_each() -> None:
    # a.Low <- b.Middle <- a.High, and an enum of b in a.High
    shade = Enumeration(Colour, "b.Shade", "b", (("NONE", 0), ("RED", 1)))
    low = plain("a.Low", "a")
    middle = plain("b.Middle", "b", low)
    high = plain("a.High", "a", middle, low, enums=(shade,))
    files = files_of(closure(high))
    assert [file.name for file in files] == ["a.proto", "b.proto", "b_1.proto", "a_2.proto"]
    pool = pool_of(high)
    assert pool.FindMessageTypeByName("a.High").fields_by_name["e100"].enum_type.full_name == "b.Shade"


def test_a_message_around_others_that_has_no_class_is_there() -> None:
    inner = plain("a.Outer.Inner", "a")
    assert (
        pool_of(inner).FindMessageTypeByName("a.Outer").nested_types_by_name["Inner"].full_name
        == "a.Outer.Inner"
    )


def test_enum_values_of_one_name_get_that_of_their_enum_in_front() -> None:
    first = Enumeration(Colour, "a.FirstColour", "a", (("NONE", 0), ("RED", 1), ("CRIMSON", 1)))

    class Other(IntEnum):
        NONE = 0
        BLUE = 1

    other = Enumeration(Other, "a.OtherColour", "a", (("NONE", 0), ("BLUE", 1)))

    class Lonely(IntEnum):
        ONE = 1

    lonely = Enumeration(Lonely, "a.Lonely", "a", (("ONE", 1),))
    pool = pool_of(plain("a.Holder", "a", enums=(first, other, lonely)))
    names = {
        name: list(pool.FindEnumTypeByName(f"a.{name}").values_by_name)
        for name in ("FirstColour", "OtherColour", "Lonely")
    }
    assert names == {
        "FirstColour": ["FIRST_COLOUR_NONE", "FIRST_COLOUR_RED", "FIRST_COLOUR_CRIMSON"],
        "OtherColour": ["OTHER_COLOUR_NONE", "OTHER_COLOUR_BLUE"],
        "Lonely": ["LONELY_UNSPECIFIED", "ONE"],  # proto3 wants a zero
    }


def test_two_classes_of_one_name_are_refused() -> None:
    both = plain("a.Both", "a", plain("a.Same", "a"), plain("a.Same", "a"))
    with pytest.raises(Unplannable, match=r"both called a\.Same"):
        files_of(closure(both))
