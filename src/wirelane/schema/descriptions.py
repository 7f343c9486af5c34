"""The values that `Descriptors.describe` gives: plain, frozen, for people, completion, forms and JSON.

`to_dict()` gives JSON-able data (its shape stands in docs/schema.md, and is kept), and `str()` gives the symbol as
.proto text. Messages refer to other types by full name and hold them, each once, in `types`, so that a message that
contains itself, or a thousand that contain each other, stay finite.

All of them have what the .proto file says around the element: `comment` stands above it (or behind it, if nothing is
above), `trailing` behind it, and `detached` are the blocks above that are set apart. `options` are those that are set, by
the names that a .proto file has for them ("deprecated", "(google.api.http)"), their values as protobuf's JSON has them.
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass, field, fields
from typing import Final, TypeAlias

from wirelane.core.method import Cardinality

__all__ = [
    "Description",
    "EnumDescription",
    "EnumValueDescription",
    "FieldDescription",
    "MessageDescription",
    "MethodDescription",
    "OneofDescription",
    "ServiceDescription",
]

_INVISIBLE: Final = {"text"}


def _plain_value(value: object) -> object:
    if isinstance(value, _Described):
        return value.to_dict()
    if isinstance(value, (list, tuple)):
        return [_plain_value(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain_value(item) for name, item in value.items()}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Cardinality):
        return value.name.lower()
    if isinstance(value, float) and not math.isfinite(value):
        return {"inf": "Infinity", "-inf": "-Infinity"}.get(str(value), "NaN")  # as protobuf JSON writes them
    return value


@dataclass(frozen=True, slots=True)
class _Described:
    def to_dict(self) -> dict[str, object]:
        """Return the same as JSON-able data: bytes as base64, enums of ours as names, tuples as lists."""
        return {
            item.name: _plain_value(getattr(self, item.name))
            for item in fields(self)
            if item.name not in _INVISIBLE
        }

    def __str__(self) -> str:
        return str(getattr(self, "text", ""))


@dataclass(frozen=True, slots=True)
class EnumValueDescription(_Described):
    """One value of an enum."""

    name: str
    number: int
    comment: str = ""
    deprecated: bool = False
    trailing: str = ""
    detached: tuple[str, ...] = ()
    options: dict[str, object] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return f"{self.name} = {self.number}"


@dataclass(frozen=True, slots=True)
class FieldDescription(_Described):
    """One field of a message, or an extension.

    Attributes:
        name: As in the .proto file; of an extension, the full name.
        number: Its field number.
        kind: "int32", "string", ..., "message", "group", "enum" or "map".
        type: The full name of the message or enum; of the value's, if it is a map.
        repeated: It is a list (a map is not).
        key: The kind of a map's keys, else None.
        value: The kind of a map's values, else None.
        oneof: The oneof that it is a member of, else None.
        presence: Being unset differs from being set to the default.
        optional: It is written `optional` in a proto3 file.
        required: It must be set (proto2 `required`).
        default: What it reads as when it is unset: an enum's is a name; None for messages, lists and maps.
        values: The names of an enum's values.
        json_name: Its name in JSON.
        packed: A list of numbers that travels packed.
        extendee: The message that an extension extends, else None.
        comment: What the .proto file says about it.
        deprecated: It is marked so.
    """

    name: str
    number: int
    kind: str
    type: str | None = None
    repeated: bool = False
    key: str | None = None
    value: str | None = None
    oneof: str | None = None
    presence: bool = False
    optional: bool = False
    required: bool = False
    default: object = None
    values: tuple[str, ...] = ()
    json_name: str = ""
    packed: bool = False
    extendee: str | None = None
    comment: str = ""
    deprecated: bool = False
    trailing: str = ""
    detached: tuple[str, ...] = ()
    options: dict[str, object] = field(default_factory=dict, hash=False)
    text: str = field(default="", repr=False, compare=False)

    def __str__(self) -> str:
        if self.text:
            return self.text
        label = (
            "repeated "
            if self.repeated
            else "required "
            if self.required
            else "optional "
            if self.optional
            else ""
        )
        kind = f"map<{self.key}, {self.type or self.value}>" if self.kind == "map" else self.type or self.kind
        return f"{label}{kind} {self.name} = {self.number}"


@dataclass(frozen=True, slots=True)
class OneofDescription(_Described):
    """Fields of which at most one is set."""

    name: str
    fields: tuple[str, ...]
    comment: str = ""
    trailing: str = ""
    detached: tuple[str, ...] = ()
    options: dict[str, object] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return f"oneof {self.name} {{ {', '.join(self.fields)} }}"


@dataclass(frozen=True, slots=True)
class EnumDescription(_Described):
    """An enum. `closed`: numbers that have no name are unknown fields (proto2), not values."""

    name: str
    file: str
    values: tuple[EnumValueDescription, ...]
    closed: bool = False
    comment: str = ""
    deprecated: bool = False
    trailing: str = ""
    detached: tuple[str, ...] = ()
    options: dict[str, object] = field(default_factory=dict, hash=False)
    text: str = field(default="", repr=False, compare=False)
    symbol: str = "enum"


@dataclass(frozen=True, slots=True)
class MessageDescription(_Described):
    """A message.

    Attributes:
        name: Its full name.
        file: The file that declares it.
        fields: In the order of the .proto file.
        oneofs: Without those that `optional` makes.
        nested: Messages and enums declared inside, described in turn.
        extensions: Those that the schema knows, by number; their names are full ones.
        types: Every other message and enum that its fields lead to, however far away, sorted by name, each once
            and with empty `types` of its own.
        comment: What the .proto file says about it.
        deprecated: It is marked so.
    """

    name: str
    file: str
    fields: tuple[FieldDescription, ...]
    oneofs: tuple[OneofDescription, ...] = ()
    nested: tuple[MessageDescription | EnumDescription, ...] = ()
    types: tuple[MessageDescription | EnumDescription, ...] = ()
    extensions: tuple[FieldDescription, ...] = ()
    comment: str = ""
    deprecated: bool = False
    trailing: str = ""
    detached: tuple[str, ...] = ()
    options: dict[str, object] = field(default_factory=dict, hash=False)
    text: str = field(default="", repr=False, compare=False)
    symbol: str = "message"


@dataclass(frozen=True, slots=True)
class MethodDescription(_Described):
    """A method with its request and response."""

    name: str
    path: str
    service: str
    cardinality: Cardinality
    client_streaming: bool
    server_streaming: bool
    input_type: str
    output_type: str
    request: MessageDescription
    response: MessageDescription
    comment: str = ""
    deprecated: bool = False
    trailing: str = ""
    detached: tuple[str, ...] = ()
    options: dict[str, object] = field(default_factory=dict, hash=False)
    text: str = field(default="", repr=False, compare=False)
    symbol: str = "method"


@dataclass(frozen=True, slots=True)
class ServiceDescription(_Described):
    """A service. Its methods' `request` and `response` have empty `types`; describe a method for those."""

    name: str
    file: str
    methods: tuple[MethodDescription, ...]
    comment: str = ""
    deprecated: bool = False
    trailing: str = ""
    detached: tuple[str, ...] = ()
    options: dict[str, object] = field(default_factory=dict, hash=False)
    text: str = field(default="", repr=False, compare=False)
    symbol: str = "service"


Description: TypeAlias = (
    ServiceDescription | MethodDescription | MessageDescription | EnumDescription | FieldDescription
)
