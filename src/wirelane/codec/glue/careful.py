"""The slow way to write an object, taken when the fast one has failed: it says what is wrong, and where.

`fill(plan, object, message)` stores the same as the generated `write`, value by value, each after a check, and
raises `Fault` with the path of the first that does not fit. It also takes what fits and protobuf refuses: a bool
where an int belongs, a bytearray for bytes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from google.protobuf.message import DecodeError

from wirelane.codec.base import Fault, describe_value, index_step, key_step
from wirelane.codec.glue.plan import INTEGERS, Field, Inside, Plan
from wirelane.codec.scalars import scalar_of

__all__ = ["fill", "listed", "mapped"]

_ZERO: dict[str, Any] = {"string": "", "bytes": b"", "bool": False}


def fill(plan: Plan, value: Any, message: Any) -> None:
    """Store an object in an empty message.

    Raises:
        Fault: Something does not fit.
    """
    if type(value) is not plan.kind:
        _merge_foreign(plan, value, message)
        return
    if plan.check is not None:
        try:
            plan.check(value)
        except Exception as error:
            # The check is the library's, or the user's, and fails as it likes.
            raise Fault(f"not valid: {error}") from error
    if plan.view is not None:
        value = plan.view(value)
    seen: dict[str, str] = {}
    for field in plan.fields:
        try:
            item = getattr(value, field.attribute)
        except AttributeError:
            raise Fault("the object has no such attribute").at(field.attribute) from None
        if _is_left_out(plan, field, item):
            continue
        if field.oneof is not None:
            other = seen.setdefault(field.oneof, field.attribute)
            if other != field.attribute:
                raise Fault(
                    f'"{other}" and "{field.attribute}" are both set: of the oneof "{field.oneof}" there is one at most'
                )
        try:
            _fill_field(field, item, message, strict=plan.strict)
        except Fault as fault:
            fault.at(field.attribute)
            raise
    if plan.unknown is not None:
        _merge(message, getattr(value, plan.unknown), f"{plan.unknown} holds no fields")


def _is_left_out(plan: Plan, field: Field, item: Any) -> bool:
    """Whether nothing is stored for a value; a None that belongs nowhere is found where it is stored."""
    if field.choice is not None:
        try:
            return field.choice.pick(item) != field.number
        except Fault as fault:
            fault.at(field.attribute)
            raise
    return item is None and (not plan.strict or (field.presence and field.absent is None))


def listed(value: Any) -> Any:
    """Return what stands for a list: any iterable with a length that is not one value by itself.

    Raises:
        Fault: It is none.
    """
    if isinstance(value, (str, bytes, bytearray, memoryview, Mapping)) or not isinstance(value, Collection):
        raise Fault(f"expected a list, not {describe_value(value)}")
    return list(value)


def mapped(value: Any) -> Any:
    """Return what stands for a dict.

    Raises:
        Fault: It is none.
    """
    if not isinstance(value, Mapping):
        raise Fault(f"expected a dict, not {describe_value(value)}")
    return value


def _merge_foreign(plan: Plan, value: Any, message: Any) -> None:
    if plan.foreign is None:
        raise Fault(f"expected a {plan.python_name}, not {describe_value(value)}")
    try:
        data = plan.foreign(value)
    except TypeError:
        raise Fault(f"expected a {plan.python_name}, not {describe_value(value)}") from None
    _merge(message, data, f"expected a {plan.python_name}, not {describe_value(value)}")


def _merge(message: Any, data: Any, problem: str) -> None:
    try:
        type(message).MergeFromString(message, data)
    except (DecodeError, TypeError) as error:
        raise Fault(f"{problem}: {error}") from error


def _fill_field(field: Field, item: Any, message: Any, *, strict: bool) -> None:
    name = f"f{field.number}"
    if strict and field.many:
        item = mapped(item) if field.key is not None else listed(item)
    if field.key is not None:
        _fill_map(field, item, getattr(message, name))
    elif field.repeated:
        _fill_list(field, item, message, name)
    elif field.nested:
        inner = getattr(message, name)
        inner.SetInParent()
        _fill_inside(field, item, inner)
    elif strict or field.presence or field.oneof is not None or item != _ZERO.get(field.wire_kind, 0):
        setattr(message, name, _scalar(field, field.wire_kind, item, _descriptor(message, name)))


def _fill_list(field: Field, items: Any, message: Any, name: str) -> None:
    if not hasattr(type(items), "__iter__"):
        raise Fault(f"expected a list, not {describe_value(items)}")
    target = getattr(message, name)
    for index, item in enumerate(items):
        try:
            if field.nested:
                _fill_inside(field, item, target.add())
            else:
                target.append(_scalar(field, field.wire_kind, item, _descriptor(message, name)))
        except Fault as fault:
            fault.at(index_step(index))
            raise


def _fill_map(field: Field, items: Any, entries: Any) -> None:
    if not hasattr(items, "items"):
        raise Fault(f"expected a dict, not {describe_value(items)}")
    for key, item in items.items():
        entry = entries.add()
        try:
            assert field.key is not None
            entry.f1 = _scalar(None, field.key, key, _descriptor(entry, "f1"))
            if field.nested:
                entry.f2.SetInParent()
                _fill_inside(field, item, entry.f2)
            else:
                entry.f2 = _scalar(field, field.wire_kind, item, _descriptor(entry, "f2"))
        except Fault as fault:
            fault.at(key_step(key))
            raise


def _fill_inside(field: Field, item: Any, inner: Any) -> None:
    assert field.inside is not None
    item = _into(field, item)
    if isinstance(field.inside, Inside):
        field.inside.write(item, inner)
    else:
        fill(field.inside(), item, inner)


def _scalar(field: Field | None, kind: str, item: Any, descriptor: Any) -> Any:
    if field is not None:
        item = _into(field, item)
    if kind in INTEGERS and isinstance(item, bool):
        item = int(item)
    return scalar_of(descriptor).check(item)


def _into(field: Field, item: Any) -> Any:
    if field.into is None:
        return item
    try:
        return field.into(item)
    except Fault:
        raise
    except Exception as error:
        # The conversion is the library's, or the user's, and fails as it likes.
        raise Fault(f"{describe_value(item)} does not convert: {type(error).__name__}: {error}") from error


def _descriptor(message: Any, name: str) -> Any:
    return type(message).DESCRIPTOR.fields_by_name[name]
