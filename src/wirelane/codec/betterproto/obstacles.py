"""What keeps a message class from being read and written in its place: ways of its own.

A class is planned if nothing in it has its own idea of how messages are read and written. What is overridden is
looked for by name; a `__post_init__` may be there if it is one that the compilers write for what is deprecated,
since it does nothing but warn.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterable
from types import FunctionType
from typing import Any, Final

__all__ = ["FASTER", "obstacle_of", "warns_when_made"]

FASTER: Final = "wirelane_faster"
"""What methods have that `accelerate` has put in the place of the library's."""

_WARNS: Final = frozenset(
    {"warnings", "warn", "DeprecationWarning", "builtins", "super", "__post_init__", "is_set"}
)


def obstacle_of(kind: type, base: Any, relied_on: Iterable[str]) -> str:
    """What is in the way of a class; empty if nothing is.

    Args:
        kind: The message class.
        base: The library's Message.
        relied_on: What the glue does in place of the class, or needs: attributes that have to be those of `base`,
            where it has them.
    """
    if not dataclasses.is_dataclass(kind):
        return "is no dataclass"
    for name in relied_on:
        found = inspect.getattr_static(kind, name, None)
        if found is not inspect.getattr_static(base, name, None) and not hasattr(found, FASTER):
            return f"has a {name} of its own"
    if not _is_made(inspect.getattr_static(kind, "__init__")):
        return "has an __init__ of its own"
    post_init = inspect.getattr_static(kind, "__post_init__")
    if post_init is not inspect.getattr_static(base, "__post_init__") and not _only_warns(post_init):
        return "has a __post_init__ of its own"
    for field in dataclasses.fields(kind):
        found = inspect.getattr_static(kind, field.name, None)
        if hasattr(type(found), "__set__") and not inspect.ismemberdescriptor(found):
            return f"has a property {field.name}"
    return ""


def warns_when_made(kind: type) -> bool:
    """Whether a class is deprecated as a whole: then it warns when an object is made, whatever is set in it."""
    post_init = inspect.getattr_static(kind, "__post_init__")
    told = [text for text in post_init.__code__.co_consts if isinstance(text, str)]
    return any(text.endswith(" is deprecated") and "." not in text for text in told)


def _is_made(init: Any) -> bool:
    """Whether an __init__ was made by `dataclasses` or pydantic."""
    if not isinstance(init, FunctionType):
        return False
    made_by: str = init.__globals__.get("__name__", "")
    return init.__code__.co_filename == "<string>" or made_by.startswith("pydantic.")


def _only_warns(post_init: Any) -> bool:
    if not isinstance(post_init, FunctionType):
        return False
    code = post_init.__code__
    return _WARNS.issuperset(code.co_names) and code.co_freevars in {(), ("__class__",)}
