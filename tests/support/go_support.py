"""Programs in Go of our own (tests/interop/peers): built once into the user's cache, whatever the tests do to that."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

__all__ = ["PEERS", "go_program"]

PEERS = Path(__file__).resolve().parents[1] / "interop" / "peers"
# Taken now: during the tests the cache is a private one, in which Go would have to build everything anew.
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def go_program(name: str) -> str:
    """Build the program in peers/NAME, unless that was done; skips the test where it cannot be."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("Go is not installed")
    source = PEERS / name
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(source.iterdir()))).hexdigest()[:16]
    program = _CACHE / "wirelane" / "tests" / f"{name}-{digest}"
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        built = subprocess.run(
            [go, "build", "-trimpath", "-o", str(program), "."],
            cwd=source,
            env={**os.environ, "XDG_CACHE_HOME": str(_CACHE)},
            capture_output=True,
            text=True,
            check=False,
        )
        if built.returncode:
            pytest.skip("go build failed: " + " ".join(built.stderr.split())[-300:])
    return str(program)
