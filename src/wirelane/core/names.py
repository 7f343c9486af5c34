"""Names as .proto files have them, and as protoc and Python make others of them. Pure functions of text."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["entry_name", "is_full_name", "is_identifier", "json_name", "pascal_case", "snake_case"]

_BOUNDARY: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def is_identifier(name: object) -> bool:
    """Whether a name may stand in a .proto."""
    return isinstance(name, str) and _IDENTIFIER.fullmatch(name) is not None


def is_full_name(name: object) -> bool:
    """Whether a name is one with its package: "shop.v1.Orders"."""
    return isinstance(name, str) and all(map(is_identifier, name.split(".")))


def snake_case(name: str) -> str:
    """Return "order_line" for "OrderLine", "get_url_by_id" for "GetURLById"."""
    return _BOUNDARY.sub("_", name).lower()


def pascal_case(name: str) -> str:
    """Return "GetOrder" for "get_order"."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def json_name(name: str) -> str:
    """Return the JSON name that protoc gives a field: "unitPrice" for "unit_price"."""
    first, *rest = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


def entry_name(field: str) -> str:
    """Return the name of the message that protoc makes for the entries of a map field."""
    return pascal_case(field) + "Entry"
