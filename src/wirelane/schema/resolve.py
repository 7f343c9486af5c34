"""Import resolution: from the files that were named to all files that are needed, and not one more.

Names are looked up as protoc does: in what was given as text, then in each import root in order; google/protobuf and
google/rpc come from us where nobody else has them. Where the roots do not lead to an import, the right root is
inferred: a directory above the file that was named ("acme/a.proto" imported by a file in protos/acme: protos), or one
below the directory that was. Every file that is read must truly lie (symbolic links followed) in one of the roots.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from wirelane.errors import Problem, SchemaError
from wirelane.schema import linking, wellknown
from wirelane.schema.budget import Budget
from wirelane.schema.names import did_you_mean
from wirelane.schema.roots import Root, infer_root, is_under
from wirelane.schema.scan import Import, check_import_name, decode, imports

__all__ = ["SourceFiles", "resolve"]

_MOST_INFERRED: Final = 8  # roots; a schema that needs more needs import_paths


@dataclass(slots=True)
class SourceFiles:
    """What a compilation needs.

    Attributes:
        files: Import names to contents.
        entries: The names to compile; the rest are there to be imported.
        sets: Serialized descriptor sets to find further imports in.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    entries: list[str] = field(default_factory=list)
    sets: list[bytes] = field(default_factory=list)


def resolve(
    *,
    given: Mapping[str, bytes],
    paths: Sequence[str],
    roots: Sequence[Root],
    anchors: Sequence[str],
    sets: Sequence[bytes],
    set_names: frozenset[str],
    include: Path | None,
    budget: Budget,
) -> SourceFiles:
    """Find everything that `given` and `paths` import.

    Args:
        given: Contents by import name; they come first. Already counted in the budget.
        paths: Files to compile, absolute.
        roots: Where to search, in order; every path lies in one of them.
        anchors: Directories (absolute) from which further roots may be inferred.
        sets: Descriptor sets that may be imported from.
        set_names: The names of the files in `sets`.
        include: The compiler's own include directory.
        budget: What may be read, in what time.

    Raises:
        SchemaError: An import is missing, badly named, leads out of the roots or in a circle; or is not UTF-8.
        LimitExceeded: More bytes or files than the budget allows.
    """
    known = _Contents(budget)
    inferred: list[Root] = []
    while True:
        search = _Search([*inferred, *roots], given, known, set_names, include)
        missing = search.run(paths)
        if not missing:
            break
        extra = None
        if len(inferred) < _MOST_INFERRED:
            names = [each.statement.name for each in missing]
            extra = infer_root(names, paths, anchors, search.roots)
        if extra is None:
            raise _missing(missing, search)
        # In front, so that files get the names by which others import them.
        inferred.insert(0, extra)
    _refuse_cycles(search.imports)
    return SourceFiles(search.files, search.entries, [*sets, *search.bundled()])


class _Contents:
    """Files by real path, read once however often the search begins anew."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self._read: dict[str, tuple[bytes, list[Import]]] = {}

    def of(self, real: str, name: str) -> tuple[bytes, list[Import]]:
        found = self._read.get(real)
        if found is None:
            self.budget.add_file()
            content = self.budget.read(real, name)
            found = self._read[real] = (content, _imports(content, name))
        return found


def _imports(content: bytes, name: str) -> list[Import]:
    found = imports(decode(content, name))
    for each in found:
        wrong = check_import_name(each.name)
        if wrong is not None:
            shown = each.name[:200]
            raise SchemaError(f'import "{shown}" {wrong}', file=name, line=each.line, column=each.column)
    return found


@dataclass(frozen=True, slots=True)
class _Missing:
    importer: str
    statement: Import


class _Search:
    """One pass over all imports with a fixed list of roots."""

    def __init__(
        self,
        roots: list[Root],
        given: Mapping[str, bytes],
        contents: _Contents,
        set_names: frozenset[str],
        include: Path | None,
    ) -> None:
        self.roots = roots
        self.given = given
        self.files: dict[str, bytes] = {}
        self.entries: list[str] = []
        self.imports: dict[str, list[Import]] = {}
        self._contents = contents
        self._set_names = set_names
        self._include = include
        self._bundled: set[str] = set()
        self._names: dict[str, str] = {}  # real paths to the names that they got
        self._waiting: deque[str] = deque()

    def run(self, paths: Sequence[str]) -> list[_Missing]:
        """Collect the files; return the imports that nothing leads to."""
        for name, content in self.given.items():
            self._take(name, content, _imports(content, name))
            self.entries.append(name)
        for path in paths:
            name = self._name_of(path)
            if name not in self.files:
                self._take_path(name, path)
            self.entries.append(name)
        missing: list[_Missing] = []
        while self._waiting:
            importer = self._waiting.popleft()
            for statement in self.imports[importer]:
                if statement.name not in self.files and not self._find(statement.name):
                    missing.append(_Missing(importer, statement))  # noqa: PERF401 - _find takes files
        return missing

    def _name_of(self, path: str) -> str:
        names = (root.name_of(path) for root in self.roots)
        return next(name for name in names if name is not None)

    def _take(self, name: str, content: bytes, statements: list[Import]) -> None:
        self.files[name] = content
        self.imports[name] = statements
        self._waiting.append(name)

    def _take_path(self, name: str, path: str) -> None:
        real = os.path.realpath(path)
        if not any(is_under(real, root.real) for root in self.roots):
            raise SchemaError(
                f"is a symbolic link that leads out of {self.searched()}; name its target instead", file=name
            )
        first = self._names.setdefault(real, name)
        if first != name:
            # One file by two names would define everything twice; so the second name imports the first.
            self._take(name, _forward(first), [Import(first, 1, 1)])
        else:
            content, statements = self._contents.of(real, name)
            self._take(name, content, statements)

    def _find(self, name: str) -> bool:
        for root in self.roots:
            path = os.path.join(root.path, name)
            if os.path.isfile(path):
                self._take_path(name, path)
                return True
        if name in self._set_names:
            return True
        if (
            name.startswith("google/protobuf/")
            and self._include is not None
            and (self._include / name).is_file()
        ):
            return True
        if name in wellknown.NAMES:
            self._bundled.add(name)
            return True
        return False

    def searched(self) -> str:
        """Say where imports are looked for."""
        return ", ".join(root.shown for root in self.roots) or "no import paths"

    def bundled(self) -> Iterator[bytes]:
        """Yield what we supply ourselves, as descriptor sets."""
        files = {
            name: linking.FileProto.FromString(wellknown.file_bytes(name) or b"") for name in self._bundled
        }
        if files:
            linking.supply_missing(files)
            yield linking.pack(files[name] for name in linking.in_import_order(files, origin="wirelane"))


def _forward(name: str) -> bytes:
    return f'syntax = "proto3";\nimport public "{name}";\n'.encode()


def _missing(missing: list[_Missing], search: _Search) -> SchemaError:
    problems: list[Problem] = []
    for each in missing:
        name = each.statement.name
        where = search.searched()
        if search.given:
            where = f"the {len(search.given)} given file(s) and {where}"
        hint = did_you_mean(name, [known for known in search.files if known != each.importer])
        text = f'import "{name}" was not found in {where}{hint}'
        problems.append((each.importer, each.statement.line, each.statement.column, text))
    file, line, column, text = problems[0]
    return SchemaError(text, file=file, line=line, column=column, problems=problems[1:])


def _refuse_cycles(graph: Mapping[str, list[Import]]) -> None:
    done: set[str] = set()
    for start in graph:
        path: dict[str, Iterator[Import]] = {} if start in done else {start: iter(graph[start])}
        while path:
            name, rest = next(reversed(path.items()))
            statement = next(rest, None)
            if statement is None:
                done.add(name)
                del path[name]
            elif statement.name in path:
                names = list(path)
                chain = " -> ".join([*names[names.index(statement.name) :], statement.name])
                raise SchemaError(
                    f"import cycle: {chain}", file=name, line=statement.line, column=statement.column
                )
            elif statement.name not in done and statement.name in graph:
                path[statement.name] = iter(graph[statement.name])
