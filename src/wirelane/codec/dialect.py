"""What single values of messages are: those of Python, or those of JSON.

The structure of a message is the same in both (`dict_encode`, `dict_decode`): objects, lists, maps, oneofs,
extensions, Any. A `Dialect` says what stands for a number, a string, a key or a well-known type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from wirelane.codec import json, json_wellknown, wellknown
from wirelane.codec.scalars import Scalar, check_bytes, scalar_of, shown

if TYPE_CHECKING:
    from google.protobuf.descriptor import FieldDescriptor

    from wirelane.codec.wellknown import Fill, Read

__all__ = ["JSON_VALUES", "PYTHON_VALUES", "Dialect", "Show"]

Show: TypeAlias = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How values of one kind are written and read.

    Attributes:
        is_json: Whether it is ProtoJSON.
        scalar: What a field that is no message takes.
        key: What the key of a map takes.
        show: What becomes of the value of a field as protobuf gives it; None where it stays. The second argument:
            enums are numbers.
        may_fail: Whether `show` may raise Fault for a field that holds no messages.
        show_key: The same for the key of a map.
        octets: The bytes inside an Any of an unknown type, in.
        show_octets: And out.
        fills: Well-known types in, by full name.
        reads: Well-known types out, by full name.
        shortcuts: Source that reads what most of them hold, by full name.
        nullable: Types of messages and enums for which None is a value.
        object: What a message or map is called in errors.
        array: What a repeated field is called.
    """

    is_json: bool
    scalar: Callable[[FieldDescriptor], Scalar]
    key: Callable[[FieldDescriptor], Scalar]
    show: Callable[[FieldDescriptor, bool], Show | None]
    may_fail: Callable[[FieldDescriptor], bool]
    show_key: Callable[[FieldDescriptor], Show | None]
    octets: Callable[[Any], bytes]
    show_octets: Callable[[bytes], Any]
    fills: Mapping[str, Fill]
    reads: Mapping[str, Read]
    shortcuts: Mapping[str, str]
    nullable: frozenset[str]
    object: str
    array: str


PYTHON_VALUES: Final = Dialect(
    is_json=False,
    scalar=scalar_of,
    key=scalar_of,
    show=shown,
    may_fail=lambda field: False,
    show_key=lambda field: None,
    octets=check_bytes,
    show_octets=bytes,
    fills=wellknown.FILLS,
    reads=wellknown.READS,
    shortcuts=wellknown.SHORTCUTS,
    nullable=frozenset({"google.protobuf.Value"}),
    object="dict",
    array="list",
)

JSON_VALUES: Final = Dialect(
    is_json=True,
    scalar=json.scalar_of,
    key=json.key_of,
    show=json.shown,
    may_fail=json.may_fail,
    show_key=json.key_shown,
    octets=json.bytes_of,
    show_octets=json.show_bytes,
    fills=json_wellknown.FILLS,
    reads=json_wellknown.READS,
    shortcuts={},
    nullable=frozenset({"google.protobuf.Value", "google.protobuf.NullValue"}),
    object="JSON object",
    array="JSON array",
)
