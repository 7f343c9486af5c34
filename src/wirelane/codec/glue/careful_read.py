"""The slow way to read an object, taken when the fast one has failed: it says what is wrong, and where.

`read(plan, message)` makes the same object as the generated `read`, value by value, and raises `Fault` with the path of the
first that does not convert. Conversions, enums and constructors are the library's or the user's, and raise what they like.
"""

from __future__ import annotations

from typing import Any

from wirelane.codec.base import Fault, index_step, key_step
from wirelane.codec.glue.plan import Field, Inside, Making, Plan

__all__ = ["read"]


def read(plan: Plan, message: Any) -> Any:
    """Return the object for a message.

    Raises:
        Fault: A value does not convert, or the object cannot be made.
    """
    values: dict[str, Any] = {}
    for attribute, fields in plan.attributes():
        try:
            values[attribute] = _attribute(fields, message)
        except Fault as fault:
            fault.at(attribute)
            raise
    try:
        made = _make(plan, values)
        if plan.check is not None:
            plan.check(made)
    except Exception as error:
        raise Fault(_reason(error)) from error
    return made


def _make(plan: Plan, values: dict[str, Any]) -> Any:
    if plan.making is Making.ARGUMENTS:
        unknown = {} if plan.unknown is None else {plan.unknown: b""}
        return (plan.maker or plan.kind)(**values, **unknown)
    made: Any = object.__new__(plan.kind) if plan.making is Making.ATTRIBUTES else plan.kind()
    for attribute, value in values.items():
        setattr(made, attribute, value)
    return made


def _attribute(fields: list[Field], message: Any) -> Any:
    for field in fields:
        if field.many:
            return _many(field, getattr(message, f"f{field.number}"))
        if not (field.presence or field.oneof is not None) or _is_set(field, message):
            return _convert(field, getattr(message, f"f{field.number}"))
    return None if fields[0].absent is None else _try(fields[0].absent)


def _is_set(field: Field, message: Any) -> bool:
    found: bool = type(message).HasField(message, f"f{field.number}")
    return found


def _many(field: Field, items: Any) -> Any:
    found: list[Any] = []
    for index, item in enumerate(items):
        try:
            found.append(_convert(field, item.f2 if field.key is not None else item))
        except Fault as fault:
            fault.at(index_step(index) if field.key is None else key_step(item.f1))
            raise
    if field.key is not None:
        return dict(zip((item.f1 for item in items), found, strict=True))
    return field.container(found)


def _convert(field: Field, value: Any) -> Any:
    if field.nested:
        inside = field.inside
        assert inside is not None
        value = _try(inside.read, value) if isinstance(inside, Inside) else read(inside(), value)
    elif field.enum is not None:
        value = _try(field.enum.kind, value)
    return value if field.out_of is None else _try(field.out_of, value)


def _try(convert: Any, *values: Any) -> Any:
    try:
        return convert(*values)
    except Fault:
        raise
    except Exception as error:
        raise Fault(_reason(error)) from error


def _reason(error: Exception) -> str:
    # A ValueError is written for whoever gave the value; what others say needs their name.
    return str(error) if isinstance(error, ValueError) and str(error) else f"{type(error).__name__}: {error}"
