"""Messages of betterproto 1.2 and 2.0 (beta) as plans: betterproto2's predecessors, which are not developed any more.

Their objects keep what is set beside the values: a placeholder where nothing is, the member of a oneof that was
set last, whether a message that is empty is to be sent. So what is written is a view of an object, in which all
that is not to be sent is None; and what is read is put into the object's `__dict__`, as the library would have
left it.

What goes out means what the library's own octets mean, and need not be the same octets: where 1.2 drops empty
elements of lists and an empty string chosen in a oneof, they are sent.
"""

from __future__ import annotations

import dataclasses
import sys
import types
import typing
import warnings
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from math import copysign
from operator import attrgetter
from typing import Any, Final

from google.protobuf import wrappers_pb2

from wirelane.codec.base import Fault, describe_value
from wirelane.codec.betterproto.bases import base_of, is_message_of
from wirelane.codec.betterproto.names import field_name
from wirelane.codec.betterproto.obstacles import obstacle_of, warns_when_made
from wirelane.codec.glue import Field, Inside, Making, Plan, Unplannable
from wirelane.codec.glue.plan import PACKABLE
from wirelane.codec.scalars import scalar_of

__all__ = ["is_message", "plan_of"]

_ATTRIBUTE: Final = "__wirelane_plan__"
_UNKNOWN: Final = "_unknown_fields"

_RELIED_ON: Final = (
    "__bytes__",
    "SerializeToString",
    "dump",
    "parse",
    "FromString",
    "load",
    "_postprocess_single",
    "_get_field_default",
    "_get_field_default_gen",
    "_include_default_value_for_oneof",
    "_betterproto",
    "_cls_for",
    "_type_hint",
    "_type_hints",
    "__new__",
    "__getattribute__",
    "__setattr__",
)


def is_message(kind: object) -> bool:
    """Whether something is a subclass of betterproto.Message."""
    return is_message_of("betterproto", kind)


def plan_of(kind: Any) -> Plan:
    """The plan of a subclass of betterproto.Message, made at first use.

    Raises:
        Unplannable: It has its own ways, or its annotations do not resolve (yet).
    """
    plan: Plan | None = kind.__dict__.get(_ATTRIBUTE)
    if plan is None:
        reason = obstacle_of(kind, base_of("betterproto"), _RELIED_ON)
        if reason:
            raise Unplannable(f"{kind.__module__}.{kind.__qualname__} {reason}")
        plan = _make(kind)
        setattr(kind, _ATTRIBUTE, plan)
    return plan


def _make(kind: Any) -> Plan:
    try:
        hints = typing.get_type_hints(kind, vars(sys.modules[kind.__module__]), {})
    except Exception as error:
        # Annotations are strings, evaluated as code.
        raise Unplannable(f"the annotations of {kind.__qualname__} do not resolve: {error}") from error
    fields = tuple(_field(each, hints[each.name]) for each in dataclasses.fields(kind))
    state = (_Beta if hasattr(base_of("betterproto"), "load") else _First)(kind, fields)
    return Plan(
        kind,
        kind.__name__,
        "",
        fields,
        making=Making.ARGUMENTS,
        unknown=_UNKNOWN,
        foreign=_serialize_other,
        view=state.view,
        maker=state.make,
        anonymous=True,
    )


def _serialize_other(value: Any) -> bytes:
    if not is_message(type(value)):
        raise TypeError(type(value).__qualname__)
    return bytes(value)


# -- fields -----------------------------------------------------------------------------------------------------------


def _field(field: Any, hint: Any) -> Field:
    meta = field.metadata.get("betterproto")
    if meta is None:
        raise Unplannable(f"{field.name} is no field of a message")
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    kind, inner, key = meta.proto_type, hint, None
    if meta.map_types:
        (key, kind), inner = meta.map_types, arguments[1]
    elif origin in {list, typing.Union, types.UnionType}:
        inner = arguments[0]
    repeated = origin is list
    planned = Field(
        field.name,
        meta.number,
        kind,
        field_name(field.name),
        repeated=repeated,
        key=key,
        presence=not (repeated or key)
        and bool(meta.group or getattr(meta, "optional", False) or kind == "message"),
        oneof=meta.group,
    )
    if kind == "enum":
        # The enums of 1.2 are ints when they come in.
        return dataclasses.replace(planned, out_of=getattr(inner, "try_value", None))
    if kind == "message":
        return dataclasses.replace(planned, inside=_inside(field.name, inner, meta.wraps))
    return planned


def _inside(name: str, kind: Any, wraps: str | None) -> Callable[[], Plan] | Inside:
    if wraps:
        wrapper = getattr(wrappers_pb2, _WRAPPERS.get(wraps, ""), None)
        if wrapper is None:
            raise Unplannable(f"{name} wraps {wraps}")
        check = scalar_of(wrapper.DESCRIPTOR.fields_by_name["value"]).check

        def write(value: Any, message: Any) -> None:
            message.value = check(value)

        return Inside(wrapper.DESCRIPTOR.full_name, write, attrgetter("value"))
    library: Any = sys.modules["betterproto"]
    if kind is datetime:
        return Inside("google.protobuf.Timestamp", _write_moment, library._Timestamp.to_datetime)
    if kind is timedelta:
        return Inside("google.protobuf.Duration", _write_span, library._Duration.to_timedelta)
    if not is_message(kind):
        raise Unplannable(f"{name} holds no betterproto message")
    return lambda: plan_of(kind)


_WRAPPERS: Final = {
    **{name.lower(): f"{name}Value" for name in ("Bool", "Bytes", "Double", "Float", "String")},
    **{name.lower(): f"{name}Value" for name in ("Int32", "Int64", "UInt32", "UInt64")},
}


def _write_moment(value: Any, message: Any) -> None:
    if not isinstance(value, datetime):
        raise Fault(f"expected a datetime, not {describe_value(value)}")
    convert = getattr(sys.modules["betterproto"]._Timestamp, "from_datetime", None)
    if convert is None:
        message.seconds, message.nanos = int(value.timestamp()), int(value.microsecond * 1e3)
    elif value.tzinfo is None:
        raise Fault("a datetime without a time zone is no moment; give it one, such as datetime.UTC")
    else:
        moment = convert(value)
        message.seconds, message.nanos = moment.seconds, moment.nanos


def _write_span(value: Any, message: Any) -> None:
    if not isinstance(value, timedelta):
        raise Fault(f"expected a timedelta, not {describe_value(value)}")
    # As the library does, for negative ones, too.
    microseconds = value // timedelta(microseconds=1)
    message.seconds, message.nanos = int(microseconds / 1e6), int((microseconds % 1e6) * 1e3)


# -- what objects keep ------------------------------------------------------------------------------------------------


def _state_of(message: Any) -> dict[str, Any]:
    # Past the library's __getattribute__, which is slow.
    state: dict[str, Any] = object.__getattribute__(message, "__dict__")
    return state


class _State:
    """How the objects of one class keep what is set."""

    def __init__(self, kind: Any, fields: tuple[Field, ...]) -> None:
        self._kind = kind
        self._new = kind if warns_when_made(kind) else partial(object.__new__, kind)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            self._defaults: dict[str, Callable[[], Any]] = kind()._betterproto.default_gen
        self._groups: dict[str, list[str]] = {}
        for field in fields:
            if field.oneof is not None:
                self._groups.setdefault(field.oneof, []).append(field.attribute)
        # Messages, and what stands for one: they have a default, which is not sent.
        self._single = [
            field.attribute
            for field in fields
            if field.kind == "message" and field.presence and field.oneof is None
        ]
        # Attributes that are not there are those of the class: None.
        self._view_class: Any = type("View", (), {field.attribute: None for field in fields})

    def view(self, message: Any) -> Any:
        """What is to be sent of an object; everything else is None."""
        state = _state_of(message)
        values = self._values(state)
        for group, members in self._groups.items():
            chosen = self._chosen(state, group)
            for name in members:
                if name != chosen:
                    values.pop(name, None)
        for name in self._single:
            value = values.get(name)
            if value is not None and not self._is_on_wire(value) and value == self._defaults[name]():
                del values[name]
        view = object.__new__(self._view_class)
        view.__dict__ = values
        return view

    def make(self, **values: Any) -> Any:
        """The object of what was read."""
        raise NotImplementedError

    def _values(self, state: dict[str, Any]) -> dict[str, Any]:
        """The attributes that hold a value, the state of the object among them; the caller may change it."""
        raise NotImplementedError

    def _chosen(self, state: dict[str, Any], group: str) -> str | None:
        """The member of a oneof that is set."""
        raise NotImplementedError

    @staticmethod
    def _is_on_wire(value: Any) -> bool:
        return is_message(type(value)) and _state_of(value)["_serialized_on_wire"]


class _Beta(_State):
    """2.0: what is not set is a placeholder, which becomes the default when it is looked at."""

    def __init__(self, kind: Any, fields: tuple[Field, ...]) -> None:
        super().__init__(kind, fields)
        self._placeholder = sys.modules["betterproto"].PLACEHOLDER
        # Only an `optional` is None where it is not set.
        initial = {each.name: each.default for each in dataclasses.fields(kind)}
        self._ways = [(field.attribute, field.presence, initial[field.attribute]) for field in fields]

    def make(self, **values: Any) -> Any:
        """The object of what was read."""
        message = self._new()
        state = _state_of(message)
        state["_serialized_on_wire"] = True
        for name, presence, initial in self._ways:
            value = values[name]
            # What has no presence and is the default was not there: nobody sends it.
            there = value is not None if presence else value or _is_negative_zero(value)
            state[name] = value if there else initial
        state[_UNKNOWN] = values[_UNKNOWN]
        state["_group_current"] = {
            group: next((name for name in members if values[name] is not None), None)
            for group, members in self._groups.items()
        }
        return message

    def _values(self, state: dict[str, Any]) -> dict[str, Any]:
        placeholder = self._placeholder
        return {name: value for name, value in state.items() if value is not placeholder}

    def _chosen(self, state: dict[str, Any], group: str) -> str | None:
        chosen: str | None = state["_group_current"].get(group)
        return chosen


class _First(_State):
    """1.2: what is not set is the default."""

    def __init__(self, kind: Any, fields: tuple[Field, ...]) -> None:
        super().__init__(kind, fields)
        self._by_name = {each.name: each for each in dataclasses.fields(kind)}
        self._ways = [
            (
                field.attribute,
                field.presence,
                _marker(field),
                # What is put into a list or dict one by one does not count as being set.
                not field.many or (field.repeated and field.kind in PACKABLE),
                self._defaults[field.attribute],
            )
            for field in fields
        ]

    def make(self, **values: Any) -> Any:
        """The object of what was read."""
        message = self._new()
        state = _state_of(message)
        state["_serialized_on_wire"] = bool(values[_UNKNOWN])
        for name, presence, mark, counts, default in self._ways:
            value = values[name]
            there = value is not None if presence else value or _is_negative_zero(value)
            if there:
                if counts:
                    state["_serialized_on_wire"] = True
                if mark is not None:
                    mark(value)
                state[name] = value
            else:
                state[name] = default()
        state[_UNKNOWN] = values[_UNKNOWN]
        state["_group_map"] = {
            group: next((self._by_name[name] for name in members if values[name] is not None), None)
            for group, members in self._groups.items()
        }
        return message

    def _values(self, state: dict[str, Any]) -> dict[str, Any]:
        return dict(state)

    def _chosen(self, state: dict[str, Any], group: str) -> str | None:
        field = state["_group_map"].get(group)
        name: str | None = getattr(field, "name", None)
        return name


def _marker(field: Field) -> Callable[[Any], None] | None:
    """What tells messages that were read that they are to be sent again, though they may be empty."""
    if not field.nested or isinstance(field.inside, Inside):
        return None

    def mark(value: Any) -> None:
        messages = value if field.repeated else value.values() if field.key is not None else (value,)
        for message in messages:
            _state_of(message)["_serialized_on_wire"] = True

    return mark


def _is_negative_zero(value: Any) -> bool:
    return type(value) is float and copysign(1.0, value) < 0.0
