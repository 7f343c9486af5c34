"""Helpers of the tests of betterproto2's messages: classes generated or made at random, and comparing to the last bit."""

from __future__ import annotations

import dataclasses
import math
import struct
import warnings
from datetime import UTC, timedelta
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import betterproto2
from hypothesis import strategies as st

from support.codec_support import SAMPLES, generate, import_from

__all__ = ["compile_better", "differences", "make_class", "messages", "shapes"]


def compile_better(
    directory: Path,
    name: str,
    *options: str,
    files: tuple[str, ...] = ("typed.proto",),
    package: str = "typed.v1",
) -> ModuleType:
    """Generate betterproto2's classes for some of tests/protos into directory/name, and import one package of them."""
    (directory / name).mkdir()
    out = [f"--python_betterproto2_out={directory / name}"]
    if options:
        out.append(f"--python_betterproto2_opt={','.join(options)}")
    generate(directory, list(files), *out, root=SAMPLES)
    with warnings.catch_warnings():
        # What the compiler writes for pydantic is, to pydantic 2.12, an old way.
        warnings.simplefilter("ignore", DeprecationWarning)
        return import_from(directory, f"{name}.{package}")


def differences(left: Any, right: Any, path: str = "message") -> list[str]:
    """Where two values differ: in type, attributes, unknown fields, order of keys, sign of zeros, kind of NaN."""
    if type(left) is not type(right):
        return [f"{path}: {type(left)} is not {type(right)}"]
    if isinstance(left, betterproto2.Message):
        return differences(vars(left), vars(right), path)
    if isinstance(left, dict):
        if list(left) != list(right):
            return [f"{path}: keys {list(left)} and {list(right)}"]
        return [each for key in left for each in differences(left[key], right[key], f"{path}.{key}")]
    if isinstance(left, list):
        if len(left) != len(right):
            return [f"{path}: {len(left)} and {len(right)} elements"]
        pairs = enumerate(zip(left, right, strict=True))
        return [each for index, (a, b) in pairs for each in differences(a, b, f"{path}[{index}]")]
    if isinstance(left, float):
        same = struct.pack("<d", left) == struct.pack("<d", right) or (math.isnan(left) and math.isnan(right))
    else:
        same = left == right
    return [] if same else [f"{path}: {left!r} and {right!r}"]


# -- random values ----------------------------------------------------------------------------------------------------


def _ints(bits: int, *, signed: bool) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else st.integers(0, 2**bits - 1)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)

SCALARS: dict[str, tuple[type, st.SearchStrategy[Any]]] = {
    **{
        name: (int, _ints(int(name[-2:]), signed=not name.startswith(("uint", "fixed"))))
        for name in (
            "int32",
            "int64",
            "uint32",
            "uint64",
            "sint32",
            "sint64",
            "fixed32",
            "fixed64",
            "sfixed32",
            "sfixed64",
        )
    },
    "bool": (bool, st.booleans()),
    "float": (float, st.floats(width=32)),
    "double": (float, st.floats()),
    "string": (str, texts),
    "bytes": (bytes, st.binary(max_size=6)),
}
KEYS = [name for name in SCALARS if name not in ("float", "double", "bytes")]


class Sort(betterproto2.Enum):
    """An enum that knows few of its numbers."""

    NONE = 0
    ONE = 1
    MINUS = -3


def _whole_seconds(span: timedelta) -> timedelta:
    return timedelta(span.days, span.seconds)


# -- random classes ---------------------------------------------------------------------------------------------------

Shape = tuple[str, str, Any]
"""How a field is (one, optional, repeated, map, or the name of a oneof), its kind or that of its keys, and what is in it."""

_values = st.sampled_from([*SCALARS, "enum"])


def _shape(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Shape]:
    how = st.sampled_from(["one", "optional", "repeated", "first", "second"])
    return st.tuples(how, st.just(""), inner) | st.tuples(st.just("map"), st.sampled_from(KEYS), inner)


shapes: st.SearchStrategy[Any] = st.recursive(
    _values, lambda inner: st.lists(_shape(inner), min_size=1, max_size=6).map(tuple), max_leaves=12
).filter(lambda shape: isinstance(shape, tuple))
"""A message type: a tuple of shapes, with others inside."""


def make_class(shape: Any, numbers: list[int] | None = None) -> Any:
    """The class of a message type; `numbers` are those of its fields, 1, 2, ... unless said."""
    fields: list[Any] = []
    for index, (how, key, inner) in enumerate(shape):
        number = numbers[index] if numbers else index + 1
        fields.append((f"f{index}", *_field(how, key, inner, number)))
    return dataclasses.make_dataclass("Made", fields, bases=(betterproto2.Message,), eq=False, repr=False)


def _field(how: str, key: str, inner: Any, number: int) -> tuple[Any, Any]:
    kind, python = _type(inner)
    if how == "map":
        key_type = SCALARS[key][0]
        return dict[key_type, python], betterproto2.field(  # type: ignore[valid-type]
            number, "map", map_meta=betterproto2.map_meta(key, kind)
        )
    if how == "repeated":
        return list[python], betterproto2.field(number, kind, repeated=True)  # type: ignore[valid-type]
    if how == "optional" or kind == "message":
        group = how if how in ("first", "second") else None
        return python | None, betterproto2.field(number, kind, optional=True, group=group)
    if how == "one":
        factory = (lambda: Sort(0)) if kind == "enum" else None
        return python, betterproto2.field(number, kind, default_factory=factory)
    return python | None, betterproto2.field(number, kind, optional=True, group=how)


def _type(inner: Any) -> tuple[str, Any]:
    if isinstance(inner, tuple):
        return "message", make_class(inner)
    return inner, Sort if inner == "enum" else SCALARS[inner][0]


# What stands for a message in Python, by the name of the class that is unwrapped.
_WRAPPED: dict[str, st.SearchStrategy[Any]] = {
    "Timestamp": st.datetimes(timezones=st.just(UTC)),
    # betterproto2 counts the fraction of a negative one the wrong way, and computes in floats.
    "Duration": st.timedeltas(timedelta(0), timedelta(days=10_000)) | st.timedeltas().map(_whole_seconds),
    **{f"{name}Value": SCALARS[name.lower()][1] for name in ("Int32", "Int64", "UInt32", "UInt64", "Bool")},
    **{f"{name}Value": SCALARS[name.lower()][1] for name in ("Double", "Float", "String", "Bytes")},
}


def _field_values(meta: Any, python: Any, depth: int) -> st.SearchStrategy[Any]:
    if meta.proto_type != "message":
        if meta.proto_type == "enum":
            return st.integers(-(2**31), 2**31 - 1).map(python) | st.sampled_from(list(python))
        return SCALARS[meta.proto_type][1]
    if meta.unwrap is not None:
        return _WRAPPED[meta.unwrap().__name__]
    return st.deferred(lambda: messages(python, depth - 1)) if depth else st.builds(python)


@lru_cache(maxsize=256)
def messages(kind: Any, depth: int = 3) -> st.SearchStrategy[Any]:
    """Messages of a class: every field set or not, of each oneof one member or none, nested as deep as said."""
    hints = kind._type_hints()
    plain: dict[str, st.SearchStrategy[Any]] = {}
    groups: dict[str, list[st.SearchStrategy[Any]]] = {}
    for each in dataclasses.fields(kind):
        meta = each.metadata["betterproto"]
        types = getattr(hints[each.name], "__args__", None) or (hints[each.name],)
        values = _field_values(
            meta.map_meta[1] if meta.map_meta else meta, types[-1 if meta.map_meta else 0], depth
        )
        if meta.map_meta:
            keys = SCALARS[meta.map_meta[0].proto_type][1]
            plain[each.name] = st.dictionaries(keys, values, max_size=3)
        elif meta.repeated:
            plain[each.name] = st.lists(values, max_size=3)
        elif meta.group:
            name = each.name
            groups.setdefault(meta.group, []).append(values.map(lambda value, name=name: {name: value}))
        else:
            plain[each.name] = st.none() | values if meta.optional else values
    chosen = [st.one_of(st.just({}), *members) for members in groups.values()]
    return st.tuples(_some(plain), *chosen).map(
        lambda parts: kind(**{name: value for part in parts for name, value in part.items()})
    )


def _some(values: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Few of many: of a hundred fields that are all set, hypothesis gets to see little."""
    chosen = st.lists(st.sampled_from(sorted(values)), unique=True, max_size=10) if values else st.just([])
    return chosen.flatmap(lambda names: st.fixed_dictionaries({name: values[name] for name in names}))
