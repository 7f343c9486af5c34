"""Whether a class may stand for a message type whose name it does not know: by the fields that both have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from google.protobuf.descriptor import FieldDescriptor

from wirelane.codec.glue.plan import Field, Inside, Plan
from wirelane.codec.glue.wire import field_type

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

__all__ = ["fits"]


def fits(plan: Plan, descriptor: Descriptor) -> bool:
    """Whether the type has every field of the class, under the same number and of the same kind, at every depth.

    Names do not matter, as they do not on the wire. A class without fields fits a type without fields only.
    """
    return bool(plan.fields) == bool(descriptor.fields) and _fits(plan, descriptor, set())


def _fits(plan: Plan, descriptor: Descriptor, seen: set[tuple[type, str]]) -> bool:
    key = plan.kind, descriptor.full_name
    if key in seen:
        return True  # as far as is known; if not, it shows elsewhere
    seen.add(key)
    known = descriptor.fields_by_number
    return all(
        field.number in known and _field_fits(field, known[field.number], seen) for field in plan.fields
    )


def _field_fits(field: Field, known: FieldDescriptor, seen: set[tuple[type, str]]) -> bool:
    value: Any = known
    entry = cast("Any", known.message_type)
    is_map = entry is not None and entry.GetOptions().map_entry
    if is_map != (field.key is not None):
        return False
    if is_map:
        assert entry is not None
        if entry.fields_by_name["key"].type != field_type(str(field.key)):
            return False
        value = entry.fields_by_name["value"]
    elif known.is_repeated != field.repeated:
        return False
    if value.type != field_type(field.kind):
        return False
    if field.kind != "message":
        return True
    if isinstance(field.inside, Inside):
        return bool(value.message_type.full_name == field.inside.full_name)
    return field.inside is not None and _fits(field.inside(), value.message_type, seen)
