"""Import roots: the directories that import names are relative to, and how a missing one is guessed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Root", "infer_root", "is_under"]

# A directory that holds one of these is the top of a project: the search for a root goes no higher.
_TOPS: Final = (
    ".git",
    ".hg",
    "buf.yaml",
    "buf.work.yaml",
    "pyproject.toml",
    "go.mod",
    "package.json",
    "WORKSPACE",
    "MODULE.bazel",
)
_HIGHEST: Final = 8  # directories to climb


@dataclass(frozen=True, slots=True)
class Root:
    """A directory that import names are relative to: as the user knows it, and where it really is."""

    shown: str
    path: str
    real: str

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> Root:
        """Make one of an existing directory."""
        text = os.fspath(path)
        return cls(text, os.path.abspath(text), os.path.realpath(text))

    def name_of(self, file: str) -> str | None:
        """Return the import name of a file (an absolute path), or None if it lies elsewhere."""
        if is_under(file, self.path):
            return Path(os.path.relpath(file, self.path)).as_posix()
        return None


def is_under(path: str, directory: str) -> bool:
    """Whether an absolute path is that of the directory, or of something in it."""
    try:
        return os.path.commonpath((path, directory)) == directory
    except ValueError:  # different drives
        return False


def infer_root(
    missing: Sequence[str], paths: Sequence[str], anchors: Sequence[str], roots: Sequence[Root]
) -> Root | None:
    """Find a directory, not among the roots yet, in which one of the missing imports is.

    Args:
        missing: The import names.
        paths: The files that are to be compiled.
        anchors: The directories to look above.
        roots: Those that were searched.
    """
    taken = {root.real for root in roots}
    for name in missing:
        if not name.endswith(".proto"):
            continue  # nothing but .proto files is looked for outside of what was named
        candidates = [above for anchor in anchors for above in _above(anchor)]
        below = {path.removesuffix("/" + name) for path in paths if path.endswith("/" + name)}
        if len(below) == 1:
            candidates += below
        for candidate in candidates:
            if os.path.realpath(candidate) not in taken and os.path.isfile(os.path.join(candidate, name)):
                return Root(os.path.relpath(candidate), candidate, os.path.realpath(candidate))
    return None


def _above(directory: str) -> Iterator[str]:
    """Yield the directories above that belong to the same project, nearest first."""
    home = os.path.expanduser("~")
    current = directory
    for _ in range(_HIGHEST):
        if any(os.path.lexists(os.path.join(current, top)) for top in _TOPS):
            return
        parent = os.path.dirname(current)
        # Never the whole disk, a whole home, or what anybody may write to (/tmp).
        if parent in (current, home) or os.path.dirname(parent) == parent or _is_open_to_all(parent):
            return
        yield parent
        current = parent


def _is_open_to_all(directory: str) -> bool:
    try:
        return bool(os.stat(directory).st_mode & stat.S_IWOTH)
    except OSError:
        return True
