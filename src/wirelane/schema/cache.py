"""Compiled schemas, kept: in this process, and on disk for the next.

An entry's name is a hash over all that went into it, so entries are never wrong, only unused. On disk they live in
`$WIRELANE_CACHE_DIR`, else `$XDG_CACHE_HOME/wirelane`, else `~/.cache/wirelane`: private (0700), each with a checksum,
written beside and renamed, the least recently used dropped. A directory that cannot be used, or that others could
write to, means no cache on disk, which is told at DEBUG and is no error.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Final

__all__ = ["SchemaCache", "cache_directory", "content_key", "shared"]

_logger = logging.getLogger(__name__)

_MAGIC: Final = b"wirelane-schema-1\n"
_SUFFIX: Final = ".fds"
_DIGEST: Final = 32
_MOST_BYTES: Final = 128 * 1024 * 1024
_MOST_ENTRIES: Final = 512
_MOST_IN_MEMORY: Final = 32 * 1024 * 1024
# A file under a temporary name that is older was left by a process that died.
_STALE: Final = 3600.0


def content_key(parts: Iterable[bytes]) -> str:
    """Return a hash over `parts` and their borders: ("ab", "c") and ("a", "bc") differ."""
    digest = hashlib.sha256(_MAGIC)
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


def cache_directory() -> Path | None:
    """Return where entries belong, or None if there is no home to have them in."""
    chosen = os.environ.get("WIRELANE_CACHE_DIR")
    if chosen:
        return Path(chosen).absolute() / "schema"
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):  # relative ones are to be ignored, says the XDG specification
        try:
            base = str(Path.home() / ".cache")
        except RuntimeError:
            return None
    return Path(base) / "wirelane" / "schema"


class SchemaCache:
    """Bytes by key, in memory and on disk. Safe to share between threads and processes.

    Args:
        most_bytes: How much to keep on disk.
        most_entries: How many to keep on disk.
        most_in_memory: How many bytes to keep in memory.
    """

    def __init__(
        self,
        *,
        most_bytes: int = _MOST_BYTES,
        most_entries: int = _MOST_ENTRIES,
        most_in_memory: int = _MOST_IN_MEMORY,
    ) -> None:
        self._most_bytes = most_bytes
        self._most_entries = most_entries
        self._most_in_memory = most_in_memory
        self._memory: OrderedDict[str, bytes] = OrderedDict()
        self._held = 0
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<SchemaCache {len(self._memory)} in memory ({self._held} bytes), disk {cache_directory()}>"

    def get(self, key: str) -> bytes | None:
        """Return what was put under `key`, or None. Never raises: a broken entry is removed and not there."""
        with self._lock:
            data = self._memory.get(key)
            if data is not None:
                self._memory.move_to_end(key)
                return data
        directory = _usable(cache_directory())
        if directory is None:
            return None
        data = self._read(directory / (key + _SUFFIX))
        if data is not None:
            self._remember(key, data)
        return data

    def put(self, key: str, data: bytes) -> None:
        """Keep `data` under `key`. Never raises for the disk's sake."""
        self._remember(key, data)
        directory = _usable(cache_directory(), create=True)
        if directory is None:
            return
        try:
            self._write(directory, key, data)
            self._evict(directory)
        except OSError as error:
            _logger.debug("the schema cache in %s is not written: %s", directory, error)

    def forget(self) -> None:
        """Drop what is in memory; what is on disk stays."""
        with self._lock:
            self._memory.clear()
            self._held = 0

    def _remember(self, key: str, data: bytes) -> None:
        with self._lock:
            self._held += len(data) - len(self._memory.pop(key, b""))
            self._memory[key] = data
            while self._held > self._most_in_memory:
                _, dropped = self._memory.popitem(last=False)
                self._held -= len(dropped)

    def _read(self, path: Path) -> bytes | None:
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode) or status.st_size > self._most_bytes:
                os.close(handle)
                return None
            with open(handle, "rb") as file:
                content = file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            _logger.debug("the schema cache's %s is not read: %s", path, error)
            return None
        head = len(_MAGIC) + _DIGEST
        data = content[head:]
        if content[: len(_MAGIC)] == _MAGIC and content[len(_MAGIC) : head] == hashlib.sha256(data).digest():
            try:
                os.utime(path)  # the time of last use, for eviction
            except OSError as error:
                _logger.debug("the schema cache's %s is not marked as used: %s", path, error)
            return data
        _logger.debug("the schema cache's %s is corrupt; it is made anew", path)
        path.unlink(missing_ok=True)
        return None

    def _write(self, directory: Path, key: str, data: bytes) -> None:
        if len(data) > self._most_bytes:
            return
        handle, temporary = tempfile.mkstemp(dir=directory, prefix=".", suffix=".tmp")  # 0600
        try:
            with open(handle, "wb") as file:
                file.write(_MAGIC + hashlib.sha256(data).digest())
                file.write(data)
            os.replace(temporary, directory / (key + _SUFFIX))
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def _evict(self, directory: Path) -> None:
        entries: list[tuple[float, int, str]] = []
        oldest = time.time() - _STALE
        with os.scandir(directory) as listing:
            for entry in listing:
                status = entry.stat(follow_symlinks=False)
                if entry.name.endswith(_SUFFIX):
                    entries.append((status.st_mtime, status.st_size, entry.path))
                elif entry.name.endswith(".tmp") and status.st_mtime < oldest:
                    Path(entry.path).unlink(missing_ok=True)
        entries.sort()
        count, size = len(entries), sum(entry[1] for entry in entries)
        for _, length, path in entries:
            if count <= self._most_entries and size <= self._most_bytes:
                break
            Path(path).unlink(missing_ok=True)
            count, size = count - 1, size - length


def _usable(directory: Path | None, *, create: bool = False) -> Path | None:
    """Return the directory if it is there and nobody else can write to it."""
    if directory is None:
        return None
    try:
        if create:
            directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            directory.mkdir(mode=0o700, exist_ok=True)
        status = directory.lstat()
    except FileNotFoundError:
        return None
    except OSError as error:
        _logger.debug("no schema cache in %s: %s", directory, error)
        return None
    private = stat.S_ISDIR(status.st_mode) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not private or status.st_uid != os.getuid():
        # Whoever can write there could put in a schema of theirs.
        _logger.debug("no schema cache in %s: it is not ours alone to write to", directory)
        return None
    return directory


shared: Final = SchemaCache()
"""The one that `sources.load` uses."""
