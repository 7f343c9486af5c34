"""A module that is being written: its names, its imports, its text.

Imports between generated modules are relative, so that the tree works wherever it is put. A module of Python or of
wirelane is imported under its own name unless that name means something else in this module (a package below it, a
class, a field); then it gets an underscore in front.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from wirelane.codegen.names import Scope
from wirelane.codegen.text import HEADER, call, comment_line, docstring, literal

__all__ = ["PyModule", "empty_package", "with_docstring"]

# Name -> how it is imported; those of the standard library first.
_STANDARD: Final = {
    "base64": "import base64",
    "builtins": "import builtins",
    "dataclasses": "import dataclasses",
    "datetime": "import datetime",
    "re": "import re",
    "typing": "import typing",
    "warnings": "import warnings",
    "abc": "from collections import abc",
}
_OTHERS: Final = {
    "betterproto2": "import betterproto2",
    "codec": "from wirelane import codec",
    "grpc": "from wirelane import grpc",
}
_SYNC: Final = "from wirelane.sync import grpc"


class PyModule:
    """One generated module.

    Args:
        package: The names of the packages that it is in, from the root of the tree.
        name: "__init__", or the name of the module in its package.
        taken: Names that its own may not take.
        sync: Whether `grpc` is that of `wirelane.sync`.
    """

    def __init__(
        self, package: tuple[str, ...], name: str, *, taken: Iterable[str] = (), sync: bool = False
    ) -> None:
        self.package = package
        self.name = name
        self.sync = sync
        self.scope = Scope(taken)
        self.public: list[str] = []
        self.body: list[str] = []
        self.services: list[str] = []
        self._aliases: dict[str, str] = {}
        self._local: dict[tuple[tuple[str, ...], str], str] = {}
        self._late: dict[tuple[tuple[str, ...], str], str] = {}
        self._short: dict[str, str] = {}

    @property
    def path(self) -> str:
        """Where it goes, relative to the root of the tree."""
        return "/".join([*self.package, f"{self.name}.py"])

    def use(self, name: str) -> str:
        """Import a module of Python, of wirelane or of a library of messages; return what it is called here."""
        alias = self._aliases.get(name)
        if alias is None:
            short = name.rpartition(".")[2]
            alias = self._aliases[name] = self.scope.take(short, f"_{short}")
        return alias

    def use_local(self, package: tuple[str, ...], name: str, *wanted: str, late: bool = False) -> str:
        """Import `name` from a package of the tree; return what it is called here.

        Args:
            package: The package, from the root of the tree.
            name: A module or a class in it.
            wanted: What it might be called here, the best first.
            late: Import it behind the messages: theirs and ours may need each other.
        """
        imports = self._late if late else self._local
        alias = imports.get((package, name))
        if alias is None:
            alias = imports[package, name] = self.scope.take(*(wanted or (name, f"_{name}")))
        return alias

    def shorten(self, wanted: str, kind: str) -> str:
        """Return a name of the module's own for a type, if that is shorter."""
        if len(kind) <= len(wanted) + len("typing"):
            return kind
        if kind not in self._short:
            self._short[kind] = self.scope.take(wanted)
            self.use("typing")
        return self._short[kind]

    def text(self, sources: Sequence[str]) -> str:
        """Return the text of the module."""
        lines = [HEADER, comment_line(f"Source: {', '.join(sources)}"), ""]
        lines += ["from __future__ import annotations", ""]
        lines += [*self._standard(), *_section(self._imports(self._local, "")), *self._all()]
        lines += self.body
        late = self._imports(self._late, "  # noqa: E402")
        if late:
            lines += ["", "", *late] if self.body else ["", *late]
        if self._short:
            alias = f"{self.use('typing')}.TypeAlias"
            lines += ["", "", *(f"{name}: {alias} = {kind}" for kind, name in self._short.items())]
            # One empty line behind it, not two: what follows is no class.
            del self.services[0]
        lines += self.services
        return "\n".join(lines).strip("\n") + "\n"

    def _standard(self) -> list[str]:
        standard = [self._import(name) for name in _STANDARD if name in self._aliases]
        others = [self._import(name) for name in self._aliases if name not in _STANDARD]
        # Plain imports before those with `from`, as isort has it.
        return [
            *_section(standard),
            *_section(sorted(others, key=lambda line: (line.startswith("from"), line))),
        ]

    def _import(self, name: str) -> str:
        package, _, short = name.rpartition(".")
        statement = _STANDARD.get(name) or _OTHERS.get(name) or f"from {package} import {short}"
        if self.sync and name == "grpc":
            statement = _SYNC
        alias = self._aliases[name]
        return statement if alias == short else f"{statement} as {alias}"

    def _imports(self, imports: dict[tuple[tuple[str, ...], str], str], behind: str) -> list[str]:
        lines = []
        for (package, name), alias in imports.items():
            renamed = "" if alias == name else f" as {alias}"
            lines.append(f"from {self.relative(package)} import {name}{renamed}{behind}")
        return sorted(lines)

    def relative(self, package: tuple[str, ...]) -> str:
        """Return how this module names a package of the tree in `from ... import`."""
        shared = 0
        for ours, theirs in zip(self.package, package, strict=False):
            if ours != theirs:
                break
            shared += 1
        return "." * (len(self.package) - shared + 1) + ".".join(package[shared:])

    def _all(self) -> list[str]:
        names = [literal(name) for name in sorted(self.public)]
        return call("__all__ = [", names, "]")


def _section(lines: list[str]) -> list[str]:
    return [*lines, ""] if lines else []


def empty_package(sources: Sequence[str]) -> str:
    """Return the text of a package that has only others in it."""
    return "\n".join([HEADER, comment_line(f"Source: {', '.join(sources)}"), ""])


def with_docstring(head: Sequence[str], text: str, body: Sequence[str]) -> list[str]:
    """Return a head, an indented docstring if there is one, and an indented body."""
    said = docstring(text)
    return [*head, *(f"    {line}" if line else "" for line in [*said, *body])]
