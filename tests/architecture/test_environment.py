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


@pytest.fixture
def system_packages(tmp_path: Path):
    """Run tools/system_packages.sh on a machine that has only these programs; return its status and words."""
    programs = tmp_path / "bin"
    programs.mkdir()
    # The script adds the places of daemons to its path: here they are empty.
    script = tmp_path / "system_packages.sh"
    text = (ROOT / "tools" / "system_packages.sh").read_text(encoding="utf-8")
    assert ":/usr/local/sbin:/usr/sbin:/sbin" in text
    assert "policy=/usr/sbin/policy-rc.d" in text
    text = text.replace(":/usr/local/sbin:/usr/sbin:/sbin", "").replace("policy=/usr", f"policy={tmp_path}")
    script.write_text(text, encoding="utf-8")
    (tmp_path / "sbin").mkdir()
    for name in ("sh", "cat", "rm", "mktemp", "chmod", "env"):
        (programs / name).symlink_to(shutil.which(name) or name)

    def run(**others: str) -> tuple[int, str]:
        for name, text in others.items():
            path = programs / name.replace("_", "-")
            path.write_text(text)
            path.chmod(0o755)
        done = subprocess.run(
            ["sh", str(script)],
            env={"PATH": str(programs), "TMPDIR": str(tmp_path)},
            capture_output=True, text=True, check=False, timeout=50,
        )  # fmt: skip
        assert done.stdout == ""
        assert not (tmp_path / "sbin" / "policy-rc.d").exists(), "it left its policy behind"
        return done.returncode, done.stderr

    return run


ROOT_USER = "#!/bin/sh\necho 0\n"
SOMEBODY = "#!/bin/sh\necho 1000\n"
# Notes what it is asked for, and whether services may start meanwhile; says no to the first install.
APT_GET = """#!/bin/sh
here=${0%/*}/..
echo "$*" >>"$here/asked"
"$here/sbin/policy-rc.d"
[ $? -eq 101 ] || echo "services may start" >>"$here/asked"
case "$1" in
    update) exit 0 ;;
    install) [ -e "$here/updated" ] && exit 0; : >"$here/updated"; echo "E: Unable to locate package"; exit 100 ;;
esac
"""
BROKEN_APT_GET = "#!/bin/sh\necho 'E: no network here'; exit 100\n"


def test_without_apt_get_it_names_what_the_tests_will_lack_and_goes_on(system_packages) -> None:
    status, words = system_packages(microsocks="#!/bin/sh\n")
    assert status == 0
    assert "danted tinyproxy squid socat" in words
    assert "microsocks" not in words
    assert "skipped" in words


def test_who_is_not_root_is_told_what_to_type(system_packages) -> None:
    status, words = system_packages(id=SOMEBODY, apt_get=APT_GET)
    assert status == 0
    assert "sudo apt-get install microsocks dante-server tinyproxy squid-openssl" in words


def test_root_gets_the_packages_from_fresh_lists_and_no_service_is_started(
    system_packages, tmp_path: Path
) -> None:
    status, words = system_packages(id=ROOT_USER, apt_get=APT_GET)
    assert status == 0, words
    asked = (tmp_path / "asked").read_text().splitlines()
    assert [line.split()[0] for line in asked] == ["install", "update", "install"]
    assert "squid-openssl" in asked[2]


def test_packages_that_cannot_be_installed_are_a_failure_in_the_words_of_apt_get(system_packages) -> None:
    status, words = system_packages(id=ROOT_USER, apt_get=BROKEN_APT_GET)
    assert status == 1
    assert "E: no network here" in words
    assert "could not install" in words
