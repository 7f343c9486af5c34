"""What a source is made of: texts by import name, .proto files to compile, descriptor sets.

See `wirelane.schema.sources` for what counts as which. Files are located here, and read only where their content has
to tell what they are; `resolve` reads the rest.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from google.protobuf import descriptor_pb2

from wirelane.errors import SchemaError, UsageError
from wirelane.schema.budget import Budget
from wirelane.schema.linking import is_descriptor_set, read_set
from wirelane.schema.roots import Root, is_under
from wirelane.schema.scan import check_import_name, decode, looks_like_proto
from wirelane.schema.urls import is_url, without_password

__all__ = ["Gathering", "OneSource", "Source", "import_roots", "origin_of"]

OneSource: TypeAlias = str | os.PathLike[str] | bytes | descriptor_pb2.FileDescriptorSet
Source: TypeAlias = OneSource | Mapping[str, OneSource] | Sequence[OneSource]

_TEXT_NAME: Final = "main.proto"  # the import name of text that has none
_LONGEST_PATH: Final = 4096


def import_roots(import_paths: Sequence[str | os.PathLike[str]]) -> list[Root]:
    """Return the import paths as roots.

    Raises:
        SchemaError: One is no directory.
    """
    for path in import_paths:
        if not os.path.isdir(path):
            raise SchemaError(f'no such directory: "{os.fspath(path)}" (import path)')
    return [Root.of(path) for path in import_paths]


class Gathering:
    """Sorts what was given into texts, files to compile and descriptor sets."""

    def __init__(self, import_roots: list[Root], budget: Budget) -> None:
        self.budget = budget
        self.given: dict[str, bytes] = {}
        self.paths: list[str] = []
        self.sets: list[bytes] = []
        self.anchors: list[str] = []
        self._import_roots = import_roots
        self._own_roots: dict[str, Root] = {}

    def ordered_roots(self) -> list[Root]:
        """Return the import paths, and around them the directories of the files that were named.

        A file under an import path is called by its name there, as protoc would; one elsewhere by its own name.
        """
        outside: list[Root] = []
        inside: list[Root] = []
        for own in self._own_roots.values():
            (inside if any(root.name_of(own.path) for root in self._import_roots) else outside).append(own)
        return [*outside, *self._import_roots, *inside]

    def add_all(self, source: Source) -> None:
        """Sort `source` in.

        Raises:
            SchemaError: It, or a part of it, is missing, empty or no schema.
            LimitExceeded: It is more than the budget allows.
            UsageError: It is nothing of the kind.
        """
        if isinstance(source, Mapping):
            if not source:
                raise SchemaError("the schema source is an empty mapping")
            for name, one in source.items():
                _check_key(name)
                self._add(one, name)
        elif isinstance(source, (list, tuple)):
            if not source:
                raise SchemaError("the schema source is an empty list")
            for one in source:
                self._add(one, None)
        else:
            self._add(source, None)

    def _add(self, source: object, name: str | None) -> None:
        if isinstance(source, descriptor_pb2.FileDescriptorSet):
            self._add_set(source.SerializeToString(), "the descriptor set")
        elif isinstance(source, (bytes, bytearray, memoryview)):
            data = bytes(source)
            if not is_descriptor_set(data):
                raise SchemaError("the bytes are no descriptor set; .proto text is given as str")
            self._add_set(data, "the descriptor set")
        elif isinstance(source, str):
            self._add_str(source, name)
        elif isinstance(source, os.PathLike):
            self._add_path(os.fspath(source), name)
        else:
            raise UsageError(
                "a schema is a path, .proto text, a URL, a descriptor set or a mapping of import names to these, "
                f"not {type(source).__name__}"
            )

    def _add_str(self, source: str, name: str | None) -> None:
        if not source.strip():
            raise SchemaError("the schema source is empty", file=name)
        if is_url(source):
            self._add_url(source, name)
        elif "\n" not in source and _exists(source):
            self._add_path(source, name)
        elif looks_like_proto(source):
            self._add_text(source.encode("utf-8", "surrogatepass"), name or self._free_name(_TEXT_NAME))
        elif name is None and source == "reflection":
            raise UsageError(
                '"reflection" is a schema only where there is a server to ask: grpc.connect(...)'
            )
        else:
            self._add_path(source, name)

    def _add_url(self, url: str, name: str | None) -> None:
        # urllib.request brings ssl and email along; a schema from a file needs neither.
        from wirelane.schema.fetch import fetch

        data = fetch(url, most=self.budget.limits.max_url_bytes, deadline=self.budget.deadline)
        shown = without_password(url)
        if is_descriptor_set(data):
            self._add_set(data, shown)
            return
        if data.lstrip()[:1] == b"<":
            raise SchemaError(f"{shown} answers with a web page; give the URL of the raw .proto file")
        last = shown.partition("?")[0].rpartition("/")[2]
        if not last.endswith(".proto") or check_import_name(last) is not None:
            last = _TEXT_NAME
        self._add_text(data, name or self._free_name(last))

    def _add_set(self, data: bytes, shown: str) -> None:
        read_set(data, origin=shown, limits=self.budget.limits)
        self.budget.add_bytes(len(data), shown)
        self.sets.append(data)

    def _add_text(self, content: bytes, name: str) -> None:
        decode(content, name)
        self.budget.add_file()
        self.budget.add_bytes(len(content), name)
        self.given[name] = content

    def _add_path(self, path: str, name: str | None) -> None:
        located = self._locate(path, name)
        if os.path.isdir(located):
            self._add_directory(path, located, name)
        elif located.endswith(".proto"):
            self._add_proto(path, located, name)
        else:
            self._add_unknown(path, located, name)

    def _add_proto(self, path: str, located: str, name: str | None) -> None:
        root = self._own_root(os.path.dirname(path) or ".", os.path.dirname(located))
        if name is None:
            self.paths.append(located)
            self.anchors.append(root.path)
        else:
            self._add_text(self._read(path, located), name)

    def _add_unknown(self, path: str, located: str, name: str | None) -> None:
        """Take a file whose content tells what it is."""
        data = self._read(path, located)
        if is_descriptor_set(data):
            self._add_set(data, path)
        elif _is_text(data):
            self._own_root(os.path.dirname(path) or ".", os.path.dirname(located))
            self._add_text(data, name or self._free_name(_TEXT_NAME))
        else:
            raise SchemaError(f'"{path}" is neither a .proto file nor a descriptor set')

    def _own_root(self, shown: str, directory: str) -> Root:
        return self._own_roots.setdefault(directory, Root(shown, directory, os.path.realpath(directory)))

    def _read(self, path: str, located: str) -> bytes:
        """Read one file that was named; it may be a link, but not out of its directory or the import paths."""
        real = os.path.realpath(located)
        homes = [os.path.realpath(os.path.dirname(located)), *(root.real for root in self._import_roots)]
        if not any(is_under(real, home) for home in homes):
            raise SchemaError(
                f'"{path}" is a symbolic link that leads out of its directory; name its target instead'
            )
        # Counted when it is known what it is; here, one file may use all that is left for all.
        return Budget(self.budget.limits, self.budget.deadline).read(real, path)

    def _locate(self, path: str, name: str | None) -> str:
        """Return the absolute path of what `path` means: as it is, or in an import path, as grpcurl has it."""
        if len(path) > _LONGEST_PATH or "\0" in path:
            raise SchemaError(f"no such file: {path[:80]!r}...", file=name)
        if os.path.lexists(path):
            return os.path.abspath(path)
        for root in self._import_roots:
            found = os.path.join(root.path, path)
            if not os.path.isabs(path) and os.path.isfile(found) and root.name_of(os.path.abspath(found)):
                return os.path.abspath(found)
        where = ", ".join(root.shown for root in self._import_roots)
        raise SchemaError(f'no such file: "{path}"' + (f" (nor in {where})" if where else ""), file=name)

    def _add_directory(self, path: str, located: str, name: str | None) -> None:
        root = self._own_root(path, located)
        files = list(_proto_files(root, self.budget))
        for file in files:
            if name is None:
                self.paths.append(file)
            else:
                self._add_text(self._read(file, file), f"{name}/{root.name_of(file)}")
        if not files:
            raise SchemaError(f'no .proto files in "{path}"', file=name)
        self.anchors.append(located)

    def _free_name(self, wanted: str) -> str:
        stem, number, name = wanted.removesuffix(".proto"), 1, wanted
        while name in self.given:
            number += 1
            name = f"{stem}{number}.proto"
        return name


def _proto_files(root: Root, budget: Budget) -> Iterator[str]:
    """Yield the .proto files below, sorted; not in hidden directories, nor through links to directories."""
    count = 0
    for current, directories, files in os.walk(root.path):
        budget.tick()
        directories[:] = sorted(name for name in directories if not name.startswith("."))
        for name in sorted(files):
            path = os.path.join(current, name)
            if not name.endswith(".proto") or name.startswith("."):
                continue
            target = os.path.realpath(path)
            if os.path.islink(path) and is_under(target, root.real) and target.endswith(".proto"):
                continue  # its target is found by itself
            count += 1
            budget.check_files(count)
            yield path


def _check_key(name: object) -> None:
    if not isinstance(name, str):
        raise UsageError(f"the keys of a schema mapping are import names, not {type(name).__name__}")
    wrong = check_import_name(name)
    if wrong is not None:
        raise SchemaError(f'the import name "{name[:200]}" {wrong}')


def _exists(path: str) -> bool:
    if len(path) > _LONGEST_PATH or "\0" in path:
        return False
    try:
        return os.path.lexists(path)
    except ValueError:
        return False


def _is_text(data: bytes) -> bool:
    try:
        return looks_like_proto(data.decode("utf-8"))
    except UnicodeDecodeError:
        return False


def origin_of(source: Source) -> str:
    """Say where a source came from, for people: a path, a URL without password, or what it is."""
    if isinstance(source, Mapping):
        names = list(source)
        return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    if isinstance(source, (list, tuple)):
        return ", ".join(origin_of(one) for one in source[:3]) + (
            f" and {len(source) - 3} more" if len(source) > 3 else ""
        )
    if isinstance(source, str):
        if is_url(source):
            return without_password(source)
        is_path = "\n" not in source and (_exists(source) or not looks_like_proto(source))
        return source if is_path else "text"
    if isinstance(source, os.PathLike):
        return os.fspath(source)
    return "descriptor set"
