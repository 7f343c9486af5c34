"""`make` on a machine that lacks something says what, and what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support.architecture_support import ROOT

TOO_OLD = '#!/bin/sh\necho "3.9.18"; exit 1\n'
# A shim of pyenv for a version that is not chosen: it is there, and does not run.
SHIM = "#!/bin/sh\necho 'pyenv: python3.13: command not found' >&2; exit 127\n"
# Debian's python3 without python3-venv.
NO_VENV = '#!/bin/sh\ncase "$2" in *ensurepip*|*pip*) exit 1 ;; esac\necho "3.12.3"\n'


@pytest.fixture
def make_env(tmp_path: Path):
    """Run tools/env.sh on a machine whose only interpreters are the given ones; return its status and words."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "dirname", "cat", "rm", "env"):
        (programs / name).symlink_to(shutil.which(name) or name)

    def run(**interpreters: str) -> tuple[int, str]:
        for name, text in interpreters.items():
            path = programs / name.replace("_", ".")
            path.write_text(text)
            path.chmod(0o755)
        environment = {"PATH": str(programs), "HOME": str(tmp_path)}
        done = subprocess.run(
            [str(ROOT / "tools" / "env.sh"), "run", str(tmp_path / "venv")],
            env=environment, capture_output=True, text=True, check=False, timeout=50,
        )  # fmt: skip
        assert not (tmp_path / "venv").exists()
        assert done.stdout == ""
        return done.returncode, done.stderr

    return run


def test_without_python_it_names_the_version_it_needs_and_where_it_looked(make_env) -> None:
    status, words = make_env()
    assert status == 1
    assert "needs Python 3.11 or newer" in words
    assert "python3.12: not found" in words


def test_old_and_broken_interpreters_are_told_apart(make_env) -> None:
    status, words = make_env(python3=TOO_OLD, python3_13=SHIM)
    assert status == 1
    assert "python3: 3.9.18" in words
    assert "python3.13: does not run" in words
    assert "PYTHON=" in words


def test_a_python_without_venv_names_the_package_to_install(make_env) -> None:
    status, words = make_env(python3=NO_VENV, python3_11=SHIM)
    assert status == 1
    assert "python3: 3.12.3, but without venv and ensurepip" in words
    assert "apt install python3-venv (or python3.12-venv)" in words


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_alone_lists_what_it_can_make() -> None:
    done = subprocess.run(
        ["make"],
        cwd=ROOT,
        env={**os.environ, "MAKEFLAGS": ""},
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    for target in ("demo", "test", "test-all", "check", "bench", "clean"):
        assert f"make {target} " in done.stdout
