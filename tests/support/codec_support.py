"""Helpers of the tests of wirelane.codec: schemas, and messages of other libraries generated for the occasion."""

from __future__ import annotations

import importlib
import subprocess
import sys
import sysconfig
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from wirelane import protos
from wirelane.codec import Schema

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "tests" / "protos"
ALL_KINDS = "wirelane.demo.AllKinds"


@cache
def demo() -> Schema:
    """The demo protos."""
    return Schema.from_set(protos.descriptor_set("demo"), origin="demo")


@cache
def sample(name: str) -> Schema:
    """One of tests/protos."""
    return Schema.load(SAMPLES / f"{name}.proto", cache=False)


def echo(value: dict[str, Any], schema: Schema | None = None, name: str = ALL_KINDS) -> dict[str, Any]:
    """What comes out after a value went in; only the fields that were given."""
    schema = schema or demo()
    out = schema.decode(name, schema.encode(name, value))
    return {key: out[key] for key in value}


def generate(directory: Path, files: list[str], *options: str, root: Path = ROOT / "protos" / "demo") -> None:
    """Run the protoc of this environment with some output option."""
    scripts = Path(sysconfig.get_path("scripts"))
    command = [str(scripts / "protoc"), f"--proto_path={root}", *options, *files]
    environment = {"PATH": f"{scripts}:/usr/bin:/bin"}
    subprocess.run(command, check=True, capture_output=True, cwd=directory, env=environment)


def import_from(directory: Path, name: str) -> ModuleType:
    """Import a generated module, with the directory on the path only for this."""
    sys.path.insert(0, str(directory))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(directory))
