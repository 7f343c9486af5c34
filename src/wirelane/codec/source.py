"""Python source made from descriptors, as `dataclasses` makes it: the hot paths of `dict_encode` and `dict_decode`.

Names come from descriptors, which may come from a hostile server: they are only ever put into source as attribute
names after a test that they are identifiers, and as string literals by `repr`. All else is bound by name to objects
of the scope.
"""

from __future__ import annotations

import keyword
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

__all__ = ["Source", "access"]


class Source:
    """One function in the making: its lines, and the objects that they refer to.

    Args:
        title: Of whom, for tracebacks.
        scope: Objects that the lines refer to by these names.
    """

    def __init__(self, title: str, scope: dict[str, Any]) -> None:
        self._title = title
        self._numbers = count()
        self.scope = scope

    def bind(self, value: object) -> str:
        """A new name for an object."""
        name = f"x{next(self._numbers)}"
        self.scope[name] = value
        return name

    def later(self, make: Callable[[], Callable[..., Any]]) -> str:
        """A new name for a function that is made when it is called first.

        So recursive types and huge schemas are no matter.
        """
        name = f"f{next(self._numbers)}"
        scope = self.scope

        def first(*arguments: Any) -> Any:
            made = scope[name] = make()
            return made(*arguments)

        scope[name] = first
        return name

    def function(self, head: str, lines: Iterable[str]) -> Any:
        """Compile `def head:` with these lines."""
        text = f"def {head}:\n" + "".join(f"    {line}\n" for line in lines)
        code = compile(text, f"<{self._title}>", "exec")
        exec(code, self.scope)  # noqa: S102 - names are tested, see the docstring of the module
        return self.scope[head.partition("(")[0]]


def access(holder: str, name: str) -> str:
    """The expression for a field of the message `holder`, a name in the source."""
    plain = name.isascii() and name.isidentifier() and not keyword.iskeyword(name)
    # Two underscores at its front are mangled in classes only, and this is no class.
    return f"{holder}.{name}" if plain else f"getattr({holder}, {name!r})"
