"""betterproto 1.2 and 2.0, which cannot be installed beside each other: each in a directory of its own, made on demand."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.codec_support import ROOT

__all__ = ["VERSIONS", "run_with"]

# What they need besides: what they have in common with betterproto2 is in this environment.
VERSIONS = {"1.2.5": ("betterproto==1.2.5", "stringcase==1.2.0"), "2.0.0b7": ("betterproto==2.0.0b7",)}
_MINUTES = 60


def _directory(version: str) -> Path:
    """Where a version is installed, after it was; skips the test if it cannot be."""
    place = ROOT / ".venv-betterproto" / f"{version}-py{sys.version_info[0]}.{sys.version_info[1]}"
    if (place / "betterproto").is_dir():
        return place
    # Elsewhere first, so that two that do this at once do not see each other's half.
    making = place.with_name(f"{place.name}.{os.getpid()}")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    try:
        done = subprocess.run(
            [*command, "--target", str(making), *VERSIONS[version]],
            capture_output=True,
            text=True,
            timeout=3 * _MINUTES,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"betterproto {version} cannot be installed: {done.stderr.strip()[-300:]}")
        if not place.exists():
            making.rename(place)
    except subprocess.TimeoutExpired:
        pytest.skip(f"betterproto {version} cannot be installed: pip took more than three minutes")
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return place


def run_with(version: str, cases: Path) -> None:
    """Run a file of tests with a version of betterproto; fails with what pytest says if they do.

    Args:
        version: Of betterproto, one of VERSIONS.
        cases: The file.
    """
    path = os.pathsep.join([str(_directory(version)), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(ROOT), str(cases)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=4 * _MINUTES,
        check=False,
    )
    assert done.returncode == 0, f"with betterproto {version}:\n{done.stdout[-6000:]}{done.stderr[-2000:]}"
    assert " passed" in done.stdout
