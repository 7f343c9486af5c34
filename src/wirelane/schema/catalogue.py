"""Several schemas as one: what a server shows that has services of more than one.

Files keep their names where they can. Two different files of one name (two teams' "common.proto") cannot both: the later
one, and what imports it, gets a name of its own, so that every file goes with the imports that it was made with. Two
definitions of one message cannot be mended so: each service is whole with its own, and a client that puts all services
into one pool fails. That is told in `conflicts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor

from wirelane.schema import linking, wellknown
from wirelane.schema.pool import Descriptors

__all__ = ["Catalogue"]

_File = descriptor_pb2.FileDescriptorProto

_MOST_TOLD: Final = 5
"""Symbols of one conflict that are named; two versions of a large file have all in common."""


class Catalogue:
    """The files of several schemas under names that are each one's own. Immutable.

    Args:
        sources: The schemas; the first that declares a symbol has the say.
        owners: Services that one schema has the say for, wherever else they are declared.

    Attributes:
        conflicts: What is declared twice and differently, for people, one sentence each.
    """

    def __init__(
        self, sources: Sequence[Descriptors], owners: Mapping[str, Descriptors] | None = None
    ) -> None:
        self._sources = tuple({id(source): source for source in sources}.values())
        self._owners = dict(owners or {})
        self._files: dict[str, tuple[Descriptors, _File | None]] = {}  # None: as it is in its schema
        self._names: dict[int, dict[str, str]] = {}  # by schema: names there to names here
        for source in self._sources:
            self._add(source)
        self.conflicts = tuple(self._find_conflicts()) if len(self._sources) > 1 else ()

    def __repr__(self) -> str:
        return f"<Catalogue {len(self._files)} files of {len(self._sources)} schemas>"

    # -- what there is ------------------------------------------------------------------------------------------

    def files(self) -> list[str]:
        """The names of all files."""
        return list(self._files)

    def file_bytes(self, name: str) -> bytes | None:
        """A serialized FileDescriptorProto, or None if there is no such file."""
        found = self._files.get(name)
        if found is None:
            return None
        source, changed = found
        return source.file_bytes(name) if changed is None else changed.SerializeToString(deterministic=True)

    def with_imports(self, name: str, known: Iterable[str] = ()) -> list[str]:
        """A file, then all that it imports, directly or not, nearest first, without those that are known."""
        without = set(known)
        names = {name: None}
        waiting = [name]
        for current in waiting:  # grows while it is walked: breadth first
            for needed in linking.imports_of(self._proto(current)):
                if needed not in names and needed not in without:
                    names[needed] = None
                    waiting.append(needed)
        return list(names)

    def _proto(self, name: str) -> _File:
        source, changed = self._files[name]
        return source.file_proto(name) if changed is None else changed

    # The pools are asked directly: Descriptors would look for the nearest name each time, at a stranger's wish.

    def file_containing_symbol(self, symbol: str) -> str | None:
        """The file that declares a service, method, message, enum, field, value or extension, or None."""
        for source in self._asked_for(symbol):
            name = _file_containing(source, symbol)
            if name is not None:
                return self._names[id(source)][name]
        return None

    def _asked_for(self, symbol: str) -> Iterable[Descriptors]:
        owner = self._owners.get(symbol) or self._owners.get(symbol.rpartition(".")[0])
        return self._sources if owner is None else (owner, *self._sources)

    def file_containing_extension(self, message: str, number: int) -> str | None:
        """The file that declares an extension, or None."""
        for source in self._sources:
            try:
                found = source.pool.FindExtensionByNumber(source.pool.FindMessageTypeByName(message), number)
            except KeyError:
                continue
            file = source.pool.FindFileContainingSymbol(found.full_name)
            return self._names[id(source)][file.name]
        return None

    def extension_numbers(self, message: str) -> list[int] | None:
        """The numbers of all extensions of a message, sorted; None if there is no such message."""
        numbers: set[int] = set()
        known = False
        for source in self._sources:
            try:
                descriptor = source.pool.FindMessageTypeByName(message)
            except KeyError:
                continue
            known = True
            numbers.update(extension.number for extension in source.pool.FindAllExtensions(descriptor))
        return sorted(numbers) if known else None

    # -- putting together ---------------------------------------------------------------------------------------

    def _add(self, source: Descriptors) -> None:
        names = self._names[id(source)] = {}
        moved = False
        for name in _all_files(source):
            names[name] = name
            if name in wellknown.NAMES and name in self._files:
                continue  # versions of it differ, and what they say does not
            if name in self._files:
                self._take_again(source, name, names)
            elif moved:
                self._take(source, name, name, names)
            else:
                self._files[name] = (source, None)
            moved = moved or names[name] != name

    def _take(self, source: Descriptors, name: str, place: str, names: Mapping[str, str]) -> None:
        imports = [names[needed] for needed in source.file_proto(name).dependency]
        changed: _File | None = None
        if place != name or imports != list(source.file_proto(name).dependency):
            changed = _File()
            changed.CopyFrom(source.file_proto(name))
            changed.name = place
            changed.dependency[:] = imports
        self._files[place] = (source, changed)

    def _take_again(self, source: Descriptors, name: str, names: dict[str, str]) -> None:
        """Take a file whose name is in use: for the same one, or under another name."""
        wanted = _File()
        wanted.CopyFrom(source.file_proto(name))
        wanted.dependency[:] = [names[needed] for needed in wanted.dependency]
        number, place = 1, name
        while place in self._files:
            if _alike(self._proto(place), wanted):
                if not self._proto(place).HasField("source_code_info") and wanted.HasField(
                    "source_code_info"
                ):
                    self._take(source, name, place, names)  # it has the comments
                names[name] = place
                return
            number += 1
            place = f"{name.removesuffix('.proto')}.{number}.proto"
        names[name] = place
        self._take(source, name, place, names)

    def _find_conflicts(self) -> Iterable[str]:
        homes: dict[str, str] = {}
        pairs: dict[tuple[str, str], list[str]] = {}
        for source in self._sources:
            for name, place in self._names[id(source)].items():
                if self._files[place][0] is not source:
                    continue
                for symbol in _top_level(source.pool.FindFileByName(name)):
                    home = homes.setdefault(symbol, place)
                    if home != place:
                        pairs.setdefault((home, place), []).append(symbol)
        for (home, place), symbols in pairs.items():
            told = ", ".join(sorted(symbols)[:_MOST_TOLD])
            more = f" and {len(symbols) - _MOST_TOLD} more" if len(symbols) > _MOST_TOLD else ""
            yield f"{told}{more} declared by {home!r} and otherwise by {place!r}"


def _all_files(source: Descriptors) -> list[str]:
    """Return the files of a schema, and those that every schema has."""
    more = (name for name in wellknown.ALWAYS if name not in source.files() and _has_file(source, name))
    return [*source.files(), *more]


def _has_file(source: Descriptors, name: str) -> bool:
    try:
        source.pool.FindFileByName(name)
    except KeyError:
        return False
    return True


def _top_level(file: FileDescriptor) -> Iterable[str]:
    yield from (message.full_name for message in file.message_types_by_name.values())
    yield from (enum.full_name for enum in file.enum_types_by_name.values())
    yield from (service.full_name for service in file.services_by_name.values())
    yield from (extension.full_name for extension in file.extensions_by_name.values())


def _file_containing(source: Descriptors, symbol: str) -> str | None:
    try:
        return source.pool.FindFileContainingSymbol(symbol).name
    except KeyError:
        pass
    try:
        # Methods are symbols for the protocol, and not for protobuf's pool.
        return source.pool.FindMethodByName(symbol).containing_service.file.name
    except KeyError:
        return None


def _alike(one: _File, other: _File) -> bool:
    """Whether two files are the same but for their names, comments and what the compiler adds."""
    return _normal(one) == _normal(other)


def _normal(file: _File) -> _File:
    copy = _File()
    copy.CopyFrom(file)
    copy.ClearField("name")
    copy.ClearField("source_code_info")
    waiting = list(copy.message_type)
    fields = list(copy.extension)
    while waiting:
        message = waiting.pop()
        waiting += message.nested_type
        fields += [*message.field, *message.extension]
    for field in fields:
        # protoc writes it out, the modules it generates do not.
        field.ClearField("json_name")
    return copy
