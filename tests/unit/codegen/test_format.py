"""Generated code is formatted as formatters do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.codegen_support import PROTOS, files_of, write_package


@pytest.mark.parametrize("source", PROTOS)
@pytest.mark.parametrize("messages", ["betterproto2", "protobuf", "none"])
def test_a_formatter_changes_nothing(tmp_path: Path, messages: str, source: str) -> None:
    # What protoc writes is left as protoc writes it.
    files = [file for file in files_of(PROTOS[source], messages) if not file.path.endswith("_pb2.py")]
    root = write_package(tmp_path, "made", files)
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--isolated", "--no-cache", "--diff", str(root)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
