"""Names of a schema as names of Python: identifiers, never keywords, no two alike in one scope.

Names may come from a hostile server. `identifier` is the gate: nothing passes it that is more than letters, digits and
underscores, and no name enters generated code by another way but as a literal.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable
from typing import Final

from wirelane.errors import SchemaError

__all__ = ["Scope", "class_name", "enum_member_names", "field_name", "identifier", "package_parts", "safe"]

_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SOFT: Final = frozenset({"__init__", "__main__"})  # file names that mean something in a package

# How betterproto2's compiler finds the words of a name; messages must keep the names that it gives them.
_WORDS: Final = re.compile(r"([^a-zA-Z0-9]*)([A-Z]+(?![a-z])[0-9]*|[A-Z]*[a-z]*[0-9]*)")

# What betterproto2.Message defines; a field of this name would take its place.
_OF_MESSAGES: Final = frozenset(
    {
        *("FromString", "SerializeToString", "dump", "from_dict", "from_json", "is_set", "load", "parse"),
        *("to_dict", "to_json", "_abc_impl", "_betterproto", "_betterproto_meta", "_cls_for"),
        *("_from_dict_init", "_get_field_default", "_is_pydantic", "_postprocess_single", "_type_hint"),
        *("_type_hints", "_unknown_fields", "_validate", "_validate_field_groups"),
    }
)
# What enum.IntEnum and betterproto2.Enum define for their members.
_OF_ENUMS: Final = frozenset(
    {
        *("as_integer_ratio", "bit_count", "bit_length", "conjugate", "denominator", "from_bytes", "imag"),
        *("is_integer", "mro", "name", "numerator", "real", "to_bytes", "value", "from_string", "proto_name"),
        *("betterproto_value_to_renamed_proto_names", "betterproto_renamed_proto_names_to_value"),
    }
)


def identifier(name: str) -> str:
    """Return the name if it is an identifier.

    Raises:
        SchemaError: It is something else, which no .proto file can have.
    """
    if not _IDENTIFIER.fullmatch(name):
        raise SchemaError(f"{name[:200]!r} is no name that a .proto file can have")
    return name


def safe(name: str) -> str:
    """Return a name that Python takes: a keyword gets an underscore behind, a digit one in front."""
    if not name.isidentifier():
        name = f"_{name}"
    return f"{name}_" if keyword.iskeyword(name) else name


class Scope:
    """The names of one scope.

    Args:
        taken: Names that are not to be had.
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)

    def take(self, *wanted: str) -> str:
        """Return the first of `wanted` that is free, or the last with underscores behind; it is taken then."""
        name = next((each for each in wanted if each not in self._taken), wanted[-1])
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name

    def is_free(self, name: str) -> bool:
        """Whether nothing has this name."""
        return name not in self._taken


def package_parts(package: str) -> tuple[str, ...]:
    """Return the names of the Python packages for a package of a .proto file: "a.import" -> ("a", "import_")."""
    parts = (safe(identifier(part)) for part in package.split(".")) if package else ()
    return tuple(f"{part}_" if part in _SOFT else part for part in parts)


def class_name(nested: str) -> str:
    """Return the class name for a message or enum, as betterproto2 flattens it: "Outer.inner_one" -> "OuterInnerOne"."""
    for part in nested.split("."):
        identifier(part)
    return safe(_WORDS.sub(lambda word: word[2].capitalize(), nested) or nested)


def field_name(name: str) -> str:
    """Return the attribute for a field, as betterproto2 names it, but never one that means something already.

    An underscore behind does no harm: betterproto2 drops it from the names in JSON.
    """
    identifier(name)
    if name.startswith("__"):
        name = name.strip("_") or "field"  # Python would mangle it, or take it for its own
    if "_" not in name and any(letter.isupper() for letter in name):
        name = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name)
        name = re.sub(r"(?<=[A-Z])([A-Z])(?=[a-z])", r"_\1", name)
        name = re.sub(r"(?<=[a-zA-Z])([0-9])", r"_\1", name)
        name = name.lower()
    name = safe(name)
    return f"{name}_" if name in _OF_MESSAGES else name


def enum_member_names(enum: str, values: list[str]) -> list[str]:
    """Return the members for the values of an enum, without the enum's name if all begin with it, as betterproto2 does.

    Where that gives a name that two would have, or that an enum has for something else, the value keeps its own.
    """
    for value in values:
        identifier(value)
    prefix = _common_prefix(enum, values)
    scope = Scope(_OF_ENUMS)
    return [scope.take(*_member_candidates(value, value[len(prefix) :])) for value in values]


def _common_prefix(enum: str, values: list[str]) -> str:
    folded = enum.replace("_", "").lower()
    first = values[0]
    ends = (end for end in range(1, len(first) + 1) if first[:end].replace("_", "").lower() == folded)
    prefix = first[: next(ends, 0)] + "_"
    return (
        prefix if all(len(value) > len(prefix) > 1 and value.startswith(prefix) for value in values) else ""
    )


def _member_candidates(value: str, short: str) -> list[str]:
    names = [safe(short), safe(value), f"VALUE_{value.strip('_')}"]
    # Enum keeps _sunder_ names to itself, and Python mangles __private ones.
    return [name for name in names if not name.startswith("__") and not (name[0] == "_" == name[-1])]
