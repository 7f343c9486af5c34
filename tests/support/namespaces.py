"""Views of the machine that a test makes itself: files that one program alone sees, networks that lead nowhere.

They are namespaces of Linux, made by `unshare` for one process and its children and gone with it: nothing is left on
the machine, whatever happens. Where this user may not make them, the tests that need them are skipped and say so.
"""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from support.programs import find, path_of

__all__ = ["needs_namespaces", "seeing"]


@functools.cache
def _unshare() -> tuple[str, ...]:
    """Return the command that makes namespaces of mounts and more, as far as this user may."""
    unshare = path_of("unshare")
    return (unshare,) if os.geteuid() == 0 else (unshare, "--user", "--map-root-user")


@functools.cache
def _may() -> bool:
    if find("unshare") is None or find("ip") is None:
        return False
    probe = (*_unshare(), "--mount", "--net", path_of("ip"), "link", "set", "lo", "up")
    return subprocess.run(probe, capture_output=True, check=False, timeout=20).returncode == 0


def needs_namespaces() -> pytest.MarkDecorator:
    """Return the mark of tests that cannot do without namespaces of mounts and networks."""
    return pytest.mark.skipif(
        not _may(), reason="this user may not make network and mount namespaces (root may: unshare(1), ip(8))"
    )


def seeing(
    files: Mapping[str, str], directory: Path, command: Sequence[str | Path]
) -> tuple[str | Path, ...]:
    """Return a command that runs another with files of its own in place of those of the machine.

    Args:
        files: What these paths are to hold, as "/etc/hosts".
        directory: Where the files are kept.
        command: What is run.
    """
    script: list[str] = []
    places: list[Path] = []
    for number, (path, text) in enumerate(files.items()):
        place = directory / f"seen-{number}"
        place.write_text(text)
        place.chmod(0o644)
        script.append(f'mount --bind "${len(places) + 1}" {path} && ')
        places.append(place)
    script.append(f'shift {len(places)} && exec "$@"')
    inside = (path_of(str(command[0])), *command[1:])
    return (*_unshare(), "--mount", "sh", "-c", "".join(script), "sh", *places, *inside)
