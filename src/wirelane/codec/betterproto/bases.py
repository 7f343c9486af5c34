"""Which classes are messages of betterproto2 and betterproto, without importing either.

A class can only be one of theirs if the library was imported before, so it is looked for in `sys.modules`.
"""

from __future__ import annotations

import sys
from typing import Any, Final

__all__ = ["LIBRARIES", "base_of", "is_message_of", "library_of"]

LIBRARIES: Final = ("betterproto2", "betterproto")


def base_of(library: str) -> Any | None:
    """The Message class of a library, if it was imported."""
    base = getattr(sys.modules.get(library), "Message", None)
    return base if isinstance(base, type) else None


def is_message_of(library: str, kind: object) -> bool:
    """Whether something is a subclass of a library's Message, and not that itself."""
    base = base_of(library)
    return base is not None and isinstance(kind, type) and issubclass(kind, base) and kind is not base


def library_of(kind: object) -> str | None:
    """The library that something is a message class of."""
    return next((library for library in LIBRARIES if is_message_of(library, kind)), None)
