"""Generated files in a directory: what would change, and changing it.

The directory belongs to one command: files of ours in it that are no longer made are stale and go. Ours are those that
begin with our header; what is below a `py.typed` further down is the tree of another command. What somebody else wrote is
not touched, unless it is empty (an `__init__.py` that was made by hand) or force is used.

Writing is all or nothing as far as a file system lets it: every file is written beside its place first, and only when
all are there do they take their places, each in one step.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wirelane.codegen.generate import GeneratedFile
from wirelane.codegen.text import HEADER
from wirelane.errors import UsageError

__all__ = ["Changes", "compare", "write"]

_MARK: Final = HEADER.encode()


@dataclass(frozen=True, slots=True)
class Changes:
    """How a directory differs from what belongs in it; paths relative to it, sorted.

    Attributes:
        missing: Not there yet.
        differing: There, ours or empty, and different.
        stale: Ours, and no longer made.
        foreign: In the way of ours, and somebody else's.
        unchanged: There as they should be.
    """

    missing: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to change."""
        return bool(self.missing or self.differing or self.stale or self.foreign)


def compare(root: Path, files: Sequence[GeneratedFile]) -> Changes:
    """Tell how a directory, which need not be there, differs from what belongs in it.

    Raises:
        UsageError: It is no directory.
        OSError: Something cannot be read.
    """
    there = next((each for each in (root, *root.parents) if each.exists()), None)
    if there is not None and not there.is_dir():
        raise UsageError(f"{there} is no directory")
    found: dict[str, list[str]] = {name: [] for name in ("missing", "differing", "foreign", "unchanged")}
    for file in files:
        found[_state(root / file.path, file.text.encode())].append(file.path)
    ours = {file.path for file in files}
    stale = [path for path in _ours_in(root) if path not in ours]
    return Changes(
        **{name: tuple(sorted(paths)) for name, paths in found.items()}, stale=tuple(sorted(stale))
    )


def _state(path: Path, content: bytes) -> str:
    try:
        there = path.read_bytes()
    except FileNotFoundError:
        return "missing"
    except (IsADirectoryError, NotADirectoryError):
        return "foreign"
    if there == content:
        return "unchanged"
    if there.startswith(_MARK):
        return "differing"
    if path.name == "py.typed" or (path.name == "__init__.py" and _is_plain(content)):
        return "unchanged"  # that there is one is all that is needed
    return "foreign" if there.strip() else "differing"


def _is_plain(content: bytes) -> bool:
    """Whether a package has nothing in it but comments."""
    return all(line.startswith(b"#") or not line for line in content.split(b"\n"))


def _ours_in(root: Path) -> Iterator[str]:
    for current, directories, names in os.walk(root):
        if "py.typed" in names and Path(current) != root:
            directories.clear()  # the root of another tree, which another command wrote
            continue
        directories[:] = sorted(
            name for name in directories if not name.startswith(".") and name != "__pycache__"
        )
        for name in names:
            if name.endswith((".py", ".pyi")):
                path = Path(current, name)
                with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                    if file.read(len(_MARK)) == _MARK:
                        yield path.relative_to(root).as_posix()


def write(
    root: Path,
    files: Sequence[GeneratedFile],
    changes: Changes,
    *,
    force: bool = False,
    progress: Callable[[int, int], None] = lambda done, all_: None,
) -> None:
    """Make a directory what it should be.

    Args:
        root: The directory; it is made if it is missing.
        files: What belongs in it.
        changes: What `compare` found.
        force: Replace what somebody else wrote, too.
        progress: Told how many of how many files were written.

    Raises:
        UsageError: Somebody else's files are in the way, or something that cannot be replaced; nothing was changed.
        OSError: Something cannot be written. Before the first file took its place, nothing was changed.
    """
    if changes.foreign and not force:
        shown = ", ".join(changes.foreign[:5]) + (", ..." if len(changes.foreign) > 5 else "")
        raise UsageError(f"{shown} in {root} was not written by wirelane generate; move it, or use --force")
    for foreign in changes.foreign:
        in_the_way = _no_file(root, foreign)
        if in_the_way is not None:
            raise UsageError(f"{in_the_way} is in the way of {root / foreign}; move it")
    wanted = {*changes.missing, *changes.differing, *changes.foreign}
    placed: list[tuple[Path, Path]] = []
    made: list[Path] = []
    try:
        for file in files:
            if file.path in wanted:
                path = root / file.path
                made += _make_directories(path.parent)
                beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
                placed.append((beside, path))
                beside.write_bytes(file.text.encode())
                progress(len(placed), len(wanted))
        for beside, path in placed:
            beside.replace(path)
    except BaseException:
        for beside, _ in placed:
            beside.unlink(missing_ok=True)
        for directory in reversed(made):
            with contextlib.suppress(OSError):
                directory.rmdir()
        raise
    for stale in changes.stale:
        path = root / stale
        path.unlink(missing_ok=True)
        _remove_empty(path.parent, root)


def _no_file(root: Path, name: str) -> Path | None:
    """Return what keeps a file from its place: a directory there, or a file in place of a directory above."""
    path = root / name
    if path.is_dir():
        return path
    return next((each for each in path.parents if root in each.parents and each.is_file()), None)


def _make_directories(directory: Path) -> list[Path]:
    """Make a directory and those above; return those that were not there, outermost first."""
    missing = [each for each in (directory, *directory.parents) if not each.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    return missing[::-1]


def _remove_empty(directory: Path, root: Path) -> None:
    while directory != root and root in directory.parents:
        with contextlib.suppress(OSError):
            cache = directory / "__pycache__"
            if cache.is_dir() and not any(each for each in directory.iterdir() if each != cache):
                for each in cache.glob("*.pyc"):
                    each.unlink()
                cache.rmdir()
        try:
            directory.rmdir()
        except OSError:
            return
        directory = directory.parent
