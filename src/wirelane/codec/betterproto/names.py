"""What betterproto2's classes are called in their .proto, as far as that can be known.

Generated messages are registered in the message pool of their package tree, under their full name. Classes
written by hand are not, and have no package. Enums are not registered at all. Their package is that of the
messages beside them, and whether they stand inside a message is told by their names: the compiler calls
Order.Status, and a Status beside Order, "OrderStatus"; but the values of the former begin with STATUS_ and
those of the latter with ORDER_STATUS_, where the style guide is followed. Nothing on the wire depends on it.
"""

from __future__ import annotations

import keyword
import sys
from enum import Enum
from typing import Any

from wirelane.codec.glue import Enumeration

__all__ = ["enumeration", "field_name", "is_registered", "message_name", "registered"]


def registered(kind: type) -> dict[str, type]:
    """Full name to class of all messages in the pool that the module of a class registers its messages in."""
    pool = getattr(sys.modules.get(kind.__module__), "default_message_pool", None)
    urls: dict[str, type] = getattr(pool, "url_to_type", None) or {}
    return {_name_of(url): each for url, each in urls.items()}


def _name_of(url: str) -> str:
    # "type.googleapis.com/pkg.Outer.Inner"; without a package there is a dot before the name.
    return url.rpartition("/")[2].lstrip(".")


def is_registered(kind: type) -> bool:
    """Whether the full name of a message class is known."""
    return _url_of(kind) is not None


def _url_of(kind: type) -> str | None:
    pool = getattr(sys.modules.get(kind.__module__), "default_message_pool", None)
    url = (getattr(pool, "type_to_url", None) or {}).get(kind)
    return url if isinstance(url, str) else None


def message_name(kind: type) -> tuple[str, str]:
    """Package and full name of a message class; "" and the name of the class where they are not known."""
    url = _url_of(kind)
    if url is None:
        return "", kind.__name__
    full_name = _name_of(url)
    names = registered(kind)
    package = full_name.rpartition(".")[0]
    while package in names:
        package = package.rpartition(".")[0]
    return package, full_name


def field_name(attribute: str) -> str:
    """The name of a field: the compiler appends an underscore to what is a keyword in Python."""
    bare = attribute.removesuffix("_")
    return bare if keyword.iskeyword(bare) else attribute


def enumeration(kind: type[Enum], user: type) -> Enumeration:
    """An enum class, which is a type of a field of the class `user`."""
    beside = kind.__module__ == user.__module__
    package = message_name(user)[0] if beside else _package_of(kind)
    values = _values(kind)
    outer, inner = _outer_of(kind, package)
    if outer and not all(name.startswith(f"{_screaming(kind.__name__)}_") for name, _ in values):
        full_name = f"{outer}.{inner}"
    else:
        full_name = f"{package}.{kind.__name__}".lstrip(".")
    return Enumeration(kind, full_name, package, values)


def _package_of(kind: type) -> str:
    """The package of the messages in the module of an enum."""
    module: Any = sys.modules.get(kind.__module__)
    for each in vars(module).values() if module is not None else ():
        if isinstance(each, type) and each.__module__ == kind.__module__:
            package = message_name(each)[0]
            if package:
                return package
    return ""


def _outer_of(kind: type, package: str) -> tuple[str, str]:
    """The message whose Python name an enum's begins with, the longest, and the rest of the name."""
    best = "", ""
    for name, each in registered(kind).items():
        rest = kind.__name__.removeprefix(each.__name__)
        if (
            each.__module__ == kind.__module__
            and rest[:1].isupper()
            and len(rest) < len(best[1] or kind.__name__)
            and name.startswith(package)
        ):
            best = name, rest
    return best


def _values(kind: Any) -> tuple[tuple[str, int], ...]:
    # The compiler cuts the name of the enum off its values, and remembers what they were.
    renamed: dict[int, str] = getattr(kind, "betterproto_value_to_renamed_proto_names", dict)()
    values: list[tuple[str, int]] = []
    for name, member in kind.__members__.items():
        first = name == member.name  # and no alias
        values.append((str((first and renamed.get(member.value)) or name), member.value))
    return tuple(values)


def _screaming(name: str) -> str:
    return "".join(f"_{c}" if c.isupper() and i else c for i, c in enumerate(name)).upper()
