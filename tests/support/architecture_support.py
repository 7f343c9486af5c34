"""The tree as the architecture tests see it."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import wirelane

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "wirelane"
GENERATED = {PACKAGE / "protos" / "_descriptors.py"}

SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if path not in GENERATED)
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

PRODUCTS = ("wirelane", "wirelane.grpc", "wirelane.tcp", "wirelane.codec", "wirelane.testing.faults")
"""What people import: whatever these name in `__all__` is public."""


def name_of(path: Path) -> str:
    """Return a path as the tests show it: relative to the root of the tree."""
    return path.relative_to(ROOT).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    """Return the syntax tree of a source file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@cache
def module_names() -> list[str]:
    """Return the dotted name of every module of the package, but for programs (`__main__`)."""
    names = ["wirelane"]
    names += [info.name for info in pkgutil.walk_packages(wirelane.__path__, "wirelane.")]
    return [name for name in names if not name.endswith("__main__")]


def public_objects() -> Iterator[tuple[str, object]]:
    """Yield every function, class and method that a user can reach, with its dotted name, each once."""
    seen: set[int] = set()
    for product in PRODUCTS:
        module = importlib.import_module(product)
        for name in module.__all__:
            value = getattr(module, name)
            if isinstance(value, ModuleType) or id(value) in seen:
                continue
            seen.add(id(value))
            if inspect.isclass(value):
                yield f"{product}.{name}", value
                yield from _members(f"{product}.{name}", value)
            elif inspect.isroutine(value):
                yield f"{product}.{name}", value


def _members(prefix: str, owner: type) -> Iterator[tuple[str, object]]:
    """Yield the public methods and properties that our own classes define, not what they inherit from Python's."""
    for ours in owner.__mro__:
        if not ours.__module__.startswith("wirelane"):
            continue
        for name, value in vars(ours).items():
            value = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
            if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                yield f"{prefix}.{name}", getattr(owner, name, value) if ours is owner else value


def docstring_of(value: object) -> str:
    """Return an object's own or inherited docstring, or "" where there is none."""
    return inspect.getdoc(value.fget if isinstance(value, property) else value) or ""
