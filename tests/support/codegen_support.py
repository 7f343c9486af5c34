"""Generated code for the tests: made once, in a directory of its own, and imported under a name of its own."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from wirelane.codegen import GeneratedFile, Messages, Settings, compare, generate, request_of_sources, write

ROOT = Path(__file__).resolve().parents[2]
PROTOS = {
    "awkward": ROOT / "tests" / "protos" / "awkward",
    "calls": ROOT / "tests" / "protos" / "calls",
    "demo": ROOT / "protos" / "demo",
}


def files_of(source: str | Path, messages: str = "betterproto2", **settings: bool) -> list[GeneratedFile]:
    """Generate for .proto text, or for what is at a path."""
    request = request_of_sources([source])
    return generate(request, Settings(messages=Messages(messages), **settings))


def texts_of(source: str | Path, messages: str = "betterproto2", **settings: bool) -> dict[str, str]:
    """Generate; return the text by path."""
    return {file.path: file.text for file in files_of(source, messages, **settings)}


def write_package(directory: Path, name: str, files: list[GeneratedFile]) -> Path:
    """Write a generated package."""
    root = directory / name
    write(root, files, compare(root, files))
    return root


@contextmanager
def imported(directory: Path, name: str, files: list[GeneratedFile]) -> Iterator[ModuleType]:
    """Write a generated package, and import it for a while."""
    write_package(directory, name, files)
    sys.path.insert(0, str(directory))
    try:
        importlib.invalidate_caches()
        yield importlib.import_module(name)
    finally:
        sys.path.remove(str(directory))
        for module in [each for each in sys.modules if each == name or each.startswith(f"{name}.")]:
            del sys.modules[module]
