"""How messages without a class look in Python: `DictFormat`, and the names that stand for the usual ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from wirelane.errors import UsageError

__all__ = ["DICT", "JSON", "Codec", "DictFormat", "Enums", "Values", "format_of"]

Enums: TypeAlias = Literal["name", "number"]
Values: TypeAlias = Literal["python", "json"]


@dataclass(frozen=True, slots=True)
class DictFormat:
    """What a decoded message looks like. What is encoded may always use either kind of name, and enums of both forms.

    Attributes:
        values: "python": int, bytes, datetime and so on; "json": what `json.dumps` takes, by the ProtoJSON mapping:
            64-bit integers, bytes and times as text. It holds for what is encoded, too.
        json_names: Keys are lowerCamelCase, or what `json_name` says, instead of the names in the .proto file.
        emit_defaults: Fields without presence are there even where they hold their default. Fields with presence are
            there if they are set, in any case.
        enums: "name", or "number". A number without a name is itself.
    """

    values: Values = "python"
    json_names: bool = False
    emit_defaults: bool = True
    enums: Enums = "name"

    def __post_init__(self) -> None:
        for name, choices in (("values", ("python", "json")), ("enums", ("name", "number"))):
            if getattr(self, name) not in choices:
                raise UsageError(
                    f"DictFormat({name}=...) is {' or '.join(map(repr, choices))}, not {getattr(self, name)!r}"
                )
        for name in ("json_names", "emit_defaults"):
            if not isinstance(getattr(self, name), bool):
                raise UsageError(f"DictFormat({name}=...) is a bool, not {getattr(self, name)!r}")


DICT: Final = DictFormat()
"""What "dict" stands for."""

JSON: Final = DictFormat(values="json", json_names=True, emit_defaults=False)
"""What "json" stands for: ProtoJSON as every implementation of protobuf writes it unless told."""

Codec: TypeAlias = Literal["dict", "json", "raw"] | DictFormat
"""What messages of a schema are: dicts of Python values, dicts of JSON values, serialized bytes, or as a format says."""

_NAMED: Final[dict[object, DictFormat | None]] = {"dict": DICT, "json": JSON, "raw": None}


def format_of(codec: Codec) -> DictFormat | None:
    """The format that a codec is; None for "raw".

    Raises:
        UsageError: It is no codec.
    """
    if isinstance(codec, DictFormat):
        return codec
    if isinstance(codec, str) and codec in _NAMED:
        return _NAMED[codec]
    raise UsageError(f'codec= is "dict", "json", "raw" or a wirelane.codec.DictFormat, not {codec!r}')
