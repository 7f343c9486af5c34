"""Generated code under mypy --strict and pyright, and the types that users of it see.

The checkers belong to `make env`, not to `make test`: where they are missing the tests skip, and `make check` runs them.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.codegen_support import PROTOS, ROOT, files_of, write_package

CASES = Path(__file__).parent / "cases"
PACKAGES = [
    *((messages, source) for messages in ("betterproto2", "protobuf") for source in PROTOS),
    ("none", "calls"),
]
# wirelane's own sources are checked elsewhere; here they are what is imported.
ENVIRONMENT = {**os.environ, "MYPYPATH": str(ROOT / "src"), "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated packages, and beside them the files that use them."""
    directory = tmp_path_factory.mktemp("typing")
    for messages, source in PACKAGES:
        write_package(directory, f"{messages}_{source}", files_of(PROTOS[source], messages))
    for case in CASES.glob("*.py"):
        # A package may be called like a case.
        shutil.copy(case, directory / f"case_{case.name}")
    return directory


def _needs(checker: str) -> pytest.MarkDecorator:
    missing = importlib.util.find_spec(checker) is None
    return pytest.mark.skipif(missing, reason=f"{checker} is not installed; make env installs it")


@_needs("mypy")
@pytest.mark.timeout(180)
def test_mypy_finds_nothing_in_strict_mode(tree: Path) -> None:
    options = ["--strict", "--warn-unreachable", "--enable-error-code=deprecated", "--python-version=3.11"]
    cache = f"--cache-dir={tree / '.mypy_cache'}"
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file=", *options, cache, "--follow-imports=silent", "."],
        cwd=tree,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout.startswith("Success: no issues found in")


@_needs("pyright")
@pytest.mark.timeout(180)
def test_pyright_finds_nothing(tree: Path) -> None:
    settings = {
        "include": ["."],
        "extraPaths": [str(ROOT / "src")],
        "pythonVersion": "3.11",
        "typeCheckingMode": "standard",
        "reportDeprecated": "error",
        "reportUnnecessaryTypeIgnoreComment": "error",
        "enableTypeIgnoreComments": False,
    }
    (tree / "pyrightconfig.json").write_text(json.dumps(settings))
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--pythonpath", sys.executable],
        cwd=tree,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "0 errors" in done.stdout
