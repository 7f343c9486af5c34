"""betterproto2's own methods, made faster: everything but the time is as before, and comes back."""

from __future__ import annotations

import copy
import io
import json
import pickle
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import betterproto2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.better_support import compile_better, differences, make_class, messages, shapes
from wirelane.codec import accelerate
from wirelane.codec.glue import kept_glue
from wirelane.errors import UsageError


@pytest.fixture
def typed(tmp_path: Path, request: pytest.FixtureRequest) -> ModuleType:
    """What betterproto2's compiler makes of typed.proto, anew for every test."""
    return compile_better(tmp_path, f"fresh_{abs(hash(request.node.nodeid))}")


@dataclass(eq=False, repr=False)
class Plain(betterproto2.Message):
    text: str = betterproto2.field(1, betterproto2.TYPE_STRING)
    number: int = betterproto2.field(2, betterproto2.TYPE_INT32)


class Polite(Plain):
    def __bytes__(self) -> bytes:
        return super().__bytes__() + b"\x0a\x06please"


def everything(typed: ModuleType) -> Any:
    return typed.Everything(
        f_string="x", r_leaf=[typed.Leaf("a", 1)], m_string={"k": typed.Everything(f_int32=5)}
    )


def test_every_way_to_bytes_and_back_is_faster_and_gives_the_same(typed: ModuleType) -> None:
    message = everything(typed)
    data = bytes(message)
    with accelerate(typed) as acceleration:
        assert typed.Everything in acceleration.classes
        assert kept_glue(typed.Everything) is None  # nothing is made before it is needed
        assert bytes(message) == message.SerializeToString() == data
        assert kept_glue(typed.Everything) is not None
        stream = io.BytesIO()
        message.dump(stream)
        assert stream.getvalue() == data
        for again in (
            typed.Everything.parse(data),
            typed.Everything.FromString(data),
            typed.Everything.parse(data=bytearray(data)),
            typed.Everything().load(io.BytesIO(data)),
            pickle.loads(pickle.dumps(message)),
        ):
            assert differences(again, message) == []
        assert copy.deepcopy(message) == message
        assert json.loads(message.to_json()) == json.loads(
            typed.Everything.from_json(message.to_json()).to_json()
        )


def test_all_of_it_is_undone(typed: ModuleType) -> None:
    kinds = (typed.Everything, typed.Leaf)
    before = [{name: value for name, value in vars(kind).items() if "wirelane" not in name} for kind in kinds]
    undo = accelerate(typed)
    for use in (False, True):
        if use:
            bytes(everything(typed))
        assert "parse" in vars(typed.Leaf)
    undo()
    undo()
    after = [{name: value for name, value in vars(kind).items() if "wirelane" not in name} for kind in kinds]
    for kind_before, kind_after in zip(before, after, strict=True):
        kind_after.pop("_betterproto_meta", None)
        assert kind_after.keys() == kind_before.keys() - {"_betterproto_meta"}
    assert typed.Leaf.parse.__func__ is vars(betterproto2.Message)["parse"].__func__
    assert repr(undo).endswith("undone>")


def test_who_accelerates_twice_undoes_twice() -> None:
    first, second = accelerate(Plain), accelerate(sys.modules[__name__], Plain)
    first()
    assert "parse" in vars(Plain)
    second()
    assert "parse" not in vars(Plain)


def test_classes_with_ways_of_their_own_are_left_as_they_are() -> None:
    with accelerate(Plain, Polite) as acceleration:
        assert acceleration.classes == (Plain,)
        assert acceleration.left == {Polite: "has a __bytes__ of its own"}
        assert bytes(Polite("x")) == b"\x0a\x01x\x0a\x06please"
        assert type(Polite.parse(b"\x0a\x01x")) is Polite
        assert bytes(Plain("x")) == b"\x0a\x01x"


def test_what_the_library_accepts_is_still_accepted_and_what_it_raises_is_raised() -> None:
    wrong: list[Any] = [Plain(number=2**40), Plain(text=5), Plain(number="x")]  # type: ignore[arg-type]
    cut = [b"\x0a\x05ab", b"\x0a\x01\xff", b"\x12", b"\x0c"]

    def outcomes() -> list[Any]:
        found: list[Any] = []
        for call in [
            *(lambda m=m: bytes(m) for m in wrong),
            *(lambda d=d: vars(Plain.parse(d)) for d in cut),
        ]:
            try:
                found.append(call())
            except Exception as error:
                found.append((type(error), str(error)))
        return found

    before = outcomes()
    with accelerate(Plain):
        assert outcomes() == before
    assert any(isinstance(each, tuple) for each in before)
    assert not all(isinstance(each, tuple) for each in before)


def test_a_message_deeper_than_protobuf_allows_is_still_read(typed: ModuleType) -> None:
    message = typed.Older("bottom")
    for _ in range(120):
        message = typed.Older(child=message)
    data = bytes(message)
    with accelerate(typed):
        assert bytes(message) == data
        assert typed.Older.parse(data) == message


@given(st.data())
def test_random_messages_are_the_same(data: Any) -> None:
    kind = make_class(data.draw(shapes))
    message = data.draw(messages(kind))
    octets = bytes(message)
    parsed = kind.parse(octets)
    with accelerate(kind) as acceleration:
        assert acceleration.classes == (kind,)
        for _ in range(2):
            assert bytes(message) == octets
            assert differences(kind.parse(octets), parsed) == []


def test_a_class_that_cannot_be_expressed_goes_on_as_before() -> None:
    class Sort(betterproto2.Enum):
        NONE = 0
        ONE = 1

    @dataclass(eq=False, repr=False)
    class Odd(betterproto2.Message):
        sort: Sort = betterproto2.field(1, betterproto2.TYPE_ENUM, default_factory=lambda: Sort.ONE)

    Odd.__annotations__["sort"] = Sort
    with accelerate(Odd):
        assert bytes(Odd()) == b""
        assert bytes(Odd(Sort.NONE)) == b"\x08\x00"
        assert Odd.parse(b"").sort is Sort.ONE
    assert kept_glue(Odd) is None


def test_packages_are_taken_whole_if_asked_for(tmp_path: Path) -> None:
    typed = compile_better(tmp_path, "whole_package")
    package = sys.modules["whole_package"]
    with pytest.raises(UsageError, match="subpackages=True"):
        accelerate(package)
    with accelerate(package, subpackages=True) as acceleration:
        assert typed.Everything in acceleration.classes
        assert sys.modules["whole_package.google.protobuf"].Timestamp in acceleration.classes


@pytest.mark.parametrize("target", [json, int, "module", None])
def test_what_has_no_messages_is_refused(target: Any) -> None:
    with pytest.raises(UsageError, match="betterproto2 messages"):
        accelerate(target)
    with pytest.raises(UsageError, match="needs a module"):
        accelerate()


def test_many_threads_may_be_the_first_to_use_a_class(typed: ModuleType) -> None:
    message = everything(typed)
    data = bytes(message)
    barrier = threading.Barrier(8)
    found: list[bool] = []

    def use() -> None:
        barrier.wait()
        found.append(bytes(message) == data and typed.Everything.parse(data) == message)

    with accelerate(typed):
        threads = [threading.Thread(target=use) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [True] * 8
