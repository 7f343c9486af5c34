"""Dataclasses made up by hypothesis: types, values of them, and the same values written by google.protobuf.

`fill` puts a value into a message of google.protobuf by looking at values alone, so that nothing of the code under test
decides what is right.
"""

# Annotations are made of variables here.
# mypy: disable-error-code="valid-type"

from __future__ import annotations

import dataclasses
import enum
import types
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from hypothesis import strategies as st

from wirelane import grpc

__all__ = ["Made", "fill", "made_classes"]


class Shade(enum.IntEnum):
    NONE = 0
    DARK = 5
    LIGHT = -3


class Size(enum.Enum):
    SMALL = "s"
    LARGE = "l"


@dataclass(frozen=True)
class Leaf:
    name: str = ""
    weight: float = 0.0


@dataclass
class Twig:
    leaf: Leaf
    more: list[Twig]
    flag: bool = True


def _as_struct_has_it(value: Any) -> Any:
    """Return a value as it comes out of a Struct: whole numbers are ints."""
    if isinstance(value, dict):
        return {key: _as_struct_has_it(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_struct_has_it(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
        return int(value)
    return value


texts = st.text(max_size=5)
floats = st.floats(allow_nan=False)
narrow = st.floats(width=32, allow_nan=False)
leaves = st.builds(Leaf, texts, floats)
twigs = st.recursive(
    st.builds(Twig, leaves, st.just([]), st.booleans()),
    lambda inner: st.builds(Twig, leaves, st.lists(inner, max_size=2), st.booleans()),
    max_leaves=3,
)
moments = st.datetimes(timezones=st.just(UTC))
spans = st.timedeltas(timedelta(days=-3_000_000), timedelta(days=3_000_000))
json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False).map(float) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
).map(_as_struct_has_it)


_INTS = {
    "int32": (-(2**31), 2**31 - 1),
    "sint32": (-(2**31), 2**31 - 1),
    "sfixed32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "fixed32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "sint64": (-(2**63), 2**63 - 1),
    "sfixed64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
    "fixed64": (0, 2**64 - 1),
}

SCALARS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    *((Annotated[int, grpc.Field(type=name)], st.integers(low, high)) for name, (low, high) in _INTS.items()),
    (int, st.integers(-(2**63), 2**63 - 1)),
    (float, floats),
    (Annotated[float, grpc.Field(type="float")], narrow),
    (bool, st.booleans()),
    (str, texts),
    (bytes, st.binary(max_size=5)),
    (Shade, st.sampled_from(Shade)),
    (Size, st.sampled_from(Size)),
]
OTHERS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (Leaf, leaves),
    (Twig, twigs),
    (datetime, moments),
    (timedelta, spans),
]
SINGLE_ONLY: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (Literal["up", "down"], st.sampled_from(["up", "down"])),
    (dict[str, Any], st.dictionaries(texts, json_values, max_size=3)),
    (Any, json_values),
]
KEYS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (str, texts),
    (bool, st.booleans()),
    (Annotated[int, grpc.Field(type="sfixed32")], st.integers(-(2**31), 2**31 - 1)),
]


@dataclass(frozen=True)
class Made:
    """A class, and what its values may be."""

    kind: type
    values: st.SearchStrategy[Any]


@st.composite
def _fields(draw: st.DrawFn) -> tuple[Any, st.SearchStrategy[Any], Any]:
    """An annotation, its values, and the dataclass field."""
    shape = draw(
        st.sampled_from(["one", "one", "optional", "default", "list", "tuple", "set", "dict", "union"])
    )
    anything = st.sampled_from([*SCALARS, *OTHERS, *SINGLE_ONLY])
    if shape in ("one", "optional", "default"):
        hint, values = draw(anything)
        if shape == "one":
            return hint, values, dataclasses.field()
        if shape == "optional" and hint is not Any:
            return hint | None, st.none() | values, dataclasses.field(default=None)
        if hint is Any:
            return hint, values, dataclasses.field()
        default = draw(values)
        return hint, values, dataclasses.field(default_factory=lambda: default)
    if shape == "union":
        chosen = draw(st.lists(st.sampled_from([(int, st.integers(-5, 5)), (str, texts), (Size, st.sampled_from(Size)), *OTHERS]), min_size=2, max_size=4, unique_by=lambda each: each[0]))  # fmt: skip
        hints, values = None, st.none()
        for hint, each in chosen:
            hints = hint if hints is None else hints | hint
            values |= each
        return hints | None, values, dataclasses.field(default=None)
    hint, values = draw(st.sampled_from(SCALARS if shape == "set" else [*SCALARS, *OTHERS]))
    if shape == "dict":
        key, keys = draw(st.sampled_from(KEYS))
        return (
            dict[key, hint],
            st.dictionaries(keys, values, max_size=3),
            dataclasses.field(default_factory=dict),
        )
    several = st.lists(values, max_size=3)
    if shape == "tuple":
        return tuple[hint, ...], several.map(tuple), dataclasses.field(default=())
    if shape == "set":
        return frozenset[hint], several.map(frozenset), dataclasses.field(default=frozenset())
    return list[hint], several, dataclasses.field(default_factory=list)


@st.composite
def made_classes(draw: st.DrawFn) -> Made:
    """A dataclass of some fields of any kind."""
    fields = draw(st.lists(_fields(), min_size=1, max_size=7))
    # Members of a oneof are named after their types, and two of one name do not go into one message.
    unions = [
        index
        for index, (hint, *_) in enumerate(fields)
        if isinstance(hint, types.UnionType) and len(hint.__args__) > 2
    ]
    named = [
        (f"f_{index}", hint, values, field)
        for index, (hint, values, field) in enumerate(fields)
        if index not in unions[1:]
    ]
    frozen = draw(st.booleans())
    kind = dataclasses.make_dataclass(
        "Made",
        [(name, hint, field) for name, hint, _, field in named],
        kw_only=True,
        frozen=frozen,
        slots=draw(st.booleans()),
    )
    return Made(kind, st.builds(kind, **{name: values for name, _, values, _ in named}))


# ------------------------------------------------------------------------------------------ by google.protobuf's API


def fill(message: Any, value: Any) -> None:
    """Put a dataclass into a message of google.protobuf."""
    for field in dataclasses.fields(value):
        item = getattr(value, field.name)
        name = field.name
        if name not in message.DESCRIPTOR.fields_by_name:  # a oneof
            if item is None:
                continue
            kind = type(item)
            name = (
                f"{name}_{kind.__name__}"
                if kind in (int, str, datetime, timedelta)
                else kind.__name__.lower()
            )
        _put(message, message.DESCRIPTOR.fields_by_name[name], item)


def _put(message: Any, descriptor: Any, item: Any) -> None:
    name = descriptor.name
    target = getattr(message, name)
    of_value = (
        descriptor.message_type is not None and descriptor.message_type.full_name == "google.protobuf.Value"
    )
    if item is None and not of_value:
        return
    if descriptor.message_type is not None and descriptor.message_type.GetOptions().map_entry:
        value_descriptor = descriptor.message_type.fields_by_name["value"]
        for key, inner in item.items():
            if value_descriptor.message_type is not None:
                _put_message(target[key], inner)
            else:
                target[key] = _scalar(value_descriptor, inner)
    elif descriptor.is_repeated:
        for inner in item:
            if descriptor.message_type is not None:
                _put_message(target.add(), inner)
            else:
                target.append(_scalar(descriptor, inner))
    elif descriptor.message_type is not None:
        target.SetInParent()
        _put_message(target, item)
    else:
        setattr(message, name, _scalar(descriptor, item))


def _put_message(target: Any, item: Any) -> None:
    if isinstance(item, datetime):
        target.FromDatetime(item)
    elif isinstance(item, timedelta):
        target.FromTimedelta(item)
    elif target.DESCRIPTOR.full_name == "google.protobuf.Value":
        _put_value(target, item)
    elif isinstance(item, Mapping):
        for key, inner in item.items():
            _put_value(target.fields[key], inner)
    else:
        fill(target, item)


def _put_value(target: Any, item: Any) -> None:
    if item is None:
        target.null_value = 0
    elif isinstance(item, bool):
        target.bool_value = item
    elif isinstance(item, (int, float)):
        target.number_value = item
    elif isinstance(item, str):
        target.string_value = item
    elif isinstance(item, list):
        target.list_value.SetInParent()
        for inner in item:
            _put_value(target.list_value.values.add(), inner)
    else:
        target.struct_value.SetInParent()
        for key, inner in item.items():
            _put_value(target.struct_value.fields[key], inner)


def _scalar(descriptor: Any, item: Any) -> Any:
    if isinstance(item, enum.Enum):
        return descriptor.enum_type.values_by_name[f"{type(item).__name__.upper()}_{item.name}"].number
    if descriptor.enum_type is not None:
        return {"up": 1, "down": 2}[item]
    return item
