"""A dict with every field of a message, to be filled in and sent.

As it is, it encodes: numbers are 0, strings empty, enums their first value, messages inside are written out. A list
of messages has one of them as an example, other lists and maps of plain values are empty; of a oneof only the first
member is there. A message inside itself is cut to `{}` (or `[]`), and so is what lies deeper than 50 messages or beyond
1,000 fields.
"""

from __future__ import annotations

import base64
import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor

if TYPE_CHECKING:
    from wirelane.schema.pool import Descriptors

__all__ = ["template"]

# Messages that hold ten of the next kind each, ten kinds deep, would be 10^10 fields.
_MOST_FIELDS: Final = 1000
# A chain of a thousand messages, one in the other, would exhaust Python's stack; decoders stop at 100.
_DEEPEST: Final = 50

_ANY: Final = "type.googleapis.com/google.protobuf.Empty"
_WRAPPED: Final = {
    f"google.protobuf.{name}Value"
    for name in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
}


def template(descriptors: Descriptors, message: str, *, json: bool = False) -> dict[str, object]:
    """Make the template of a message.

    Args:
        descriptors: The schema.
        message: The message's name, or that of a method for its request; the end of a name will do where only
            one fits.
        json: Give well-known types and bytes as protobuf's JSON has them (`"1970-01-01T00:00:00Z"`, base64),
            instead of as Python values (`datetime`, `bytes`).

    Raises:
        UsageError: There is no such message; the error names the nearest.
    """
    kind, name = descriptors.find_symbol(message)
    if kind == "method":
        message = descriptors.find_method(name).input_type
    elif kind == "message":
        message = name
    maker = _Template(json=json)
    made = maker.message(descriptors.message_descriptor(message), ())
    return made if isinstance(made, dict) else {"value": made}


class _Template:
    def __init__(self, *, json: bool) -> None:
        self._json = json
        self._left = _MOST_FIELDS

    def message(self, message: Descriptor, above: tuple[str, ...]) -> object:
        if above and message.full_name.startswith("google.protobuf."):
            known = self._well_known(message)
            if known is not None:
                return known[0]
        made: dict[str, object] = {}
        if message.full_name in above or len(above) >= _DEEPEST:
            return made
        inside = (*above, message.full_name)
        for field in message.fields:
            if self._left <= 0:
                break
            oneof = field.containing_oneof
            if oneof is None or oneof.fields[0].number == field.number:
                self._left -= 1
                made[field.name] = self._field(field, inside)
        return made

    def _field(self, field: FieldDescriptor, inside: tuple[str, ...]) -> object:
        inner = field.message_type
        if inner is not None and inner.GetOptions().map_entry:
            return self._map(inner, inside)
        if not field.is_repeated:
            return self._single(field, inside)
        if inner is None or inner.full_name in inside or self._left <= 0:
            return []
        return [self.message(inner, inside)]

    def _map(self, entry: Descriptor, inside: tuple[str, ...]) -> dict[object, object]:
        key, value = entry.fields_by_name["key"], entry.fields_by_name["value"]
        if value.message_type is None or value.message_type.full_name in inside or self._left <= 0:
            return {}
        return {self._key(key): self.message(value.message_type, inside)}

    def _key(self, key: FieldDescriptor) -> object:
        value = key.default_value
        if isinstance(value, str):
            return "key"
        if not self._json:
            return value
        return "false" if isinstance(value, bool) else str(value)

    def _single(self, field: FieldDescriptor, inside: tuple[str, ...]) -> object:
        if field.message_type is not None:
            return self.message(field.message_type, inside)
        if field.enum_type is not None:
            value = field.enum_type.values_by_number.get(field.default_value)
            return value.name if value is not None else field.default_value
        return self._scalar(field)

    def _scalar(self, field: FieldDescriptor) -> object:
        value = field.default_value
        if not self._json:
            return value
        if isinstance(value, bytes):
            return base64.b64encode(value).decode("ascii")
        if field.cpp_type in (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64):
            return str(value)
        if isinstance(value, float) and not math.isfinite(value):
            return {"inf": "Infinity", "-inf": "-Infinity"}.get(str(value), "NaN")
        return value

    def _well_known(self, message: Descriptor) -> tuple[object] | None:
        """Return the value of a well-known type, or None if the message is an ordinary one."""
        name = message.full_name
        if name in _WRAPPED:
            return (self._scalar(message.fields_by_name["value"]),)
        short = name.removeprefix("google.protobuf.")
        if short == "Timestamp":
            epoch = datetime.fromtimestamp(0, UTC)
            return ("1970-01-01T00:00:00Z" if self._json else epoch,)
        if short == "Duration":
            return ("0s" if self._json else timedelta(),)
        values: dict[str, object] = {
            "Any": {"@type": _ANY},
            "Struct": {},
            "Empty": {},
            "ListValue": [],
            "Value": None,
        }
        if short == "FieldMask":
            return ("" if self._json else [],)
        return (values[short],) if short in values else None
