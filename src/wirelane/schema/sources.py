"""Whatever names a schema, to one descriptor set.

| source | what it is |
|---|---|
| `str` that is an http(s) URL | fetched: .proto text or a descriptor set; its imports are not fetched |
| `str` with several lines or a statement | .proto text |
| any other `str`, `pathlib.Path` | a .proto file, a directory of them, or a file with a descriptor set |
| `bytes` | a serialized FileDescriptorSet |
| `FileDescriptorSet` | itself |
| mapping | import names to any of these, in any order |
| list, tuple | several of these together |

`load` blocks (it reads files and may run protoc); from async code, call it in a thread.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from wirelane.core.deadline import Deadline
from wirelane.core.limits import Limits
from wirelane.schema import cache as caches
from wirelane.schema import wellknown
from wirelane.schema.budget import Budget
from wirelane.schema.compiler import OPTIONS, compile_files, merge_sets
from wirelane.schema.gather import Gathering, OneSource, Source, import_roots, origin_of
from wirelane.schema.linking import read_set
from wirelane.schema.protoc import find_protoc
from wirelane.schema.resolve import SourceFiles, resolve

__all__ = ["LoadedSet", "OneSource", "Source", "load"]

_LONGEST_WAIT: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class LoadedSet:
    """What a source turned out to be.

    Attributes:
        data: A serialized FileDescriptorSet; with comments if it was compiled here.
        origin: Where it came from, for people.
        entries: The files that were named, or are in what was; the others are imported by them.
    """

    data: bytes
    origin: str
    entries: tuple[str, ...]


def load(
    source: Source,
    *,
    import_paths: Sequence[str | os.PathLike[str]] = (),
    limits: Limits | None = None,
    cache: bool = True,
    timeout: float | None = None,
) -> LoadedSet:
    """Turn a source, see the table above, into a descriptor set.

    Imports are looked for beside the file that was named, in `import_paths`, and in directories above the file that
    belong to the same project; google/protobuf and google/rpc are always there.

    Args:
        source: What names the schema.
        import_paths: Directories that import names are relative to.
        limits: Bounds on sizes, numbers, memory and time.
        cache: Use results compiled earlier, here or by another process, and keep this one.
        timeout: Seconds for all of it; `limits.schema_timeout` if None.

    Raises:
        SchemaError: Something is missing or wrong; it tells file, line and column by import name.
        LimitExceeded: More bytes or files than `limits` allows.
        UsageError: `source` is nothing of the kind.
    """
    limits = limits or Limits()
    seconds = limits.schema_timeout if timeout is None else timeout
    deadline = Deadline.after(seconds if seconds != math.inf else _LONGEST_WAIT)
    assert deadline is not None
    if isinstance(import_paths, (str, os.PathLike)):
        import_paths = [import_paths]
    gathering = Gathering(import_roots(import_paths), Budget(limits, deadline))
    gathering.add_all(source)
    origin = origin_of(source)
    if not gathering.given and not gathering.paths:
        merged = gathering.sets[0] if len(gathering.sets) == 1 else merge_sets(b"", gathering.sets)
        return LoadedSet(merged, origin, _own_files(gathering))
    data, entries = _compile(gathering, cache=cache)
    return LoadedSet(data, origin, (*entries, *_own_files(gathering)))


def _own_files(gathering: Gathering) -> tuple[str, ...]:
    """Return the files of the descriptor sets, but for the well-known ones: sets have them for those that import them."""
    limits = gathering.budget.limits
    sets = [read_set(data, origin="descriptor set", limits=limits) for data in gathering.sets]
    return tuple(dict.fromkeys(name for files in sets for name in files if name not in wellknown.NAMES))


def _compile(gathering: Gathering, *, cache: bool) -> tuple[bytes, list[str]]:
    compiler = find_protoc()
    budget = gathering.budget
    names = [read_set(data, origin="descriptor set", limits=budget.limits) for data in gathering.sets]
    found = resolve(
        given=gathering.given,
        paths=gathering.paths,
        roots=gathering.ordered_roots(),
        anchors=gathering.anchors,
        sets=gathering.sets,
        set_names=frozenset(name for files in names for name in files),
        include=compiler.include,
        budget=budget,
    )
    key = caches.content_key(_key_parts(found, compiler.identity)) if cache else ""
    data = caches.shared.get(key) if cache else None
    if data is None:
        data = compile_files(found, limits=budget.limits, deadline=budget.deadline)
        if gathering.sets:
            data = merge_sets(data, gathering.sets)
        if cache:
            caches.shared.put(key, data)
    return data, found.entries


def _key_parts(found: SourceFiles, compiler: str) -> Iterator[bytes]:
    yield compiler.encode()
    yield " ".join(OPTIONS).encode()
    for name in sorted(found.files):
        yield name.encode()
        yield found.files[name]
    yield b"entries"
    yield from (name.encode() for name in found.entries)
    yield b"sets"
    yield from found.sets
