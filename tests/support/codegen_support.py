"""Generated code for the tests: made once, in a directory of its own, and imported under a name of its own."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from wirelane.codegen import GeneratedFile, Messages, Settings, compare, generate, request_of_sources, write

K = TypeVar("K", bound="CallsKit")

_PLUGIN = Path(sys.executable).parent / "protoc-gen-python_betterproto"
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


class CallsKit:
    """Generated code for tests/protos/calls, whatever its messages are."""

    def __init__(self, root: ModuleType, messages: str) -> None:
        self.messages = messages
        home, beside = f"{root.__name__}.tests.calls", ""
        if messages == "protobuf":
            home, beside = f"{root.__name__}.calls_pb2", f"{root.__name__}.calls_wirelane"
        elif messages == "betterproto":
            beside = f"{home}.wirelane_services"
        self._module = importlib.import_module(home)
        code = importlib.import_module(beside or home)
        sync = importlib.import_module(f"{beside}_sync" if beside else f"{home}.sync")
        self.stub: Any = code.CallsStub
        self.base: Any = code.CallsBase
        self.sync_stub: Any = sync.CallsStub
        self.sync_base: Any = sync.CallsBase

    def ask(self, n: int = 0, fail: int = 0) -> Any:
        return {"n": n, "fail": fail} if self.messages == "none" else self._module.Ask(n=n, fail=fail)

    def answer(self, n: int = 0, metadata: str = "") -> Any:
        if self.messages == "none":
            return {"n": n, "metadata": metadata}
        return self._module.Answer(n=n, metadata=metadata)

    def read(self, message: Any, name: str = "n") -> Any:
        return message[name] if self.messages == "none" else getattr(message, name)


LIBRARIES = ["betterproto2", "protobuf", "none", *(["betterproto"] if _PLUGIN.exists() else [])]
"""What messages are generated for."""


@contextmanager
def calls_kit(directory: Path, messages: str, kind: type[K]) -> Iterator[K]:
    """Generate code for tests/protos/calls, for a while."""
    with imported(directory, f"calls_{messages}", files_of(PROTOS["calls"], messages)) as root:
        yield kind(root, messages)
