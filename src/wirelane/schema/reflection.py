"""What a server tells of its files by reflection, gathered until none is missing.

The collector takes files in any order. It knows what servers get wrong and what can be mended: an import that the server
does not have, because nothing in it is needed or because the file goes by another name there, and one file under two
names. What a server has to tell is a `wirelane.schema.catalogue.Catalogue`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from google.protobuf import descriptor_pb2
from google.protobuf.message import DecodeError

from wirelane.core.limits import Limits
from wirelane.errors import LimitExceeded, PeerError, SchemaError
from wirelane.schema import contents, linking, wellknown

__all__ = ["DescriptorCollector"]


class DescriptorCollector:
    """Gathers files from a server that may send them in any order, repeatedly, or not at all.

    Args:
        origin: Where they come from, for errors.
        limits: How many bytes and files to take; a server cannot make us hold more.
    """

    __slots__ = ("_declared", "_extensions", "_files", "_limits", "_order", "_origin", "_size")

    def __init__(self, *, origin: str = "server reflection", limits: Limits | None = None) -> None:
        self._origin = origin
        self._limits = limits or Limits()
        self._files: dict[str, descriptor_pb2.FileDescriptorProto] = {}
        self._order: dict[str, None] = {}  # imports, in the order in which they were first seen
        self._declared: dict[str, str] = {}  # symbols, and the file of each
        self._extensions: dict[str, dict[int, str]] = {}  # messages, and by number the file of each extension
        self._size = 0

    def __repr__(self) -> str:
        return f"<DescriptorCollector {self._origin} {len(self._files)} files, {len(self.missing())} missing>"

    @property
    def names(self) -> tuple[str, ...]:
        """The files gathered so far, in the order in which they came."""
        return tuple(self._files)

    def __contains__(self, name: object) -> bool:
        return name in self._files

    def __len__(self) -> int:
        return len(self._files)

    def file_of(self, symbol: str) -> str | None:
        """Return the file that declares a service, message, enum or extension, if it has come."""
        return self._declared.get(symbol)

    def has_extension(self, message: str, number: int) -> bool:
        """Whether the file that declares an extension has come."""
        return number in self._extensions.get(message, ())

    def extending(self, message: str) -> list[str]:
        """Return the files gathered so far that declare extensions of a message."""
        return list(dict.fromkeys(self._extensions.get(message, {}).values()))

    def extendable(self, files: Collection[str]) -> list[str]:
        """Return the messages in `files` that others may extend; options are extended by files that are imported."""
        return [
            name
            for file in files
            if file in self._files
            for name in contents.extendable(self._files[file])
            if not name.startswith("google.protobuf.")
        ]

    def add(self, data: bytes, *, requested: str | None = None) -> str:
        """Take one serialized FileDescriptorProto and return its name.

        A file that is there already stays as it came first.

        Args:
            data: The file.
            requested: The name that was asked for, given with the first file of the answer. Some servers have a
                file under another name than the one that others import it by; those then find it by both.

        Raises:
            PeerError: It is no file descriptor.
            LimitExceeded: More than `max_schema_bytes` or `max_schema_files` altogether.
        """
        try:
            file = descriptor_pb2.FileDescriptorProto.FromString(data)
        except DecodeError:
            raise PeerError(f"{self._origin} sent a file descriptor that does not decode") from None
        if not file.name:
            raise PeerError(f"{self._origin} sent a file descriptor without a name")
        if file.name not in self._files:
            self._keep(file, len(data))
        if requested is not None and requested not in self._files:
            # Who imports `requested` imports the real file by way of this one.
            self._forward(requested, [file.name])
        return file.name

    def _forward(self, name: str, files: Iterable[str]) -> None:
        made = _forwarding(name, files)
        self._keep(made, made.ByteSize())

    def _keep(self, file: descriptor_pb2.FileDescriptorProto, size: int) -> None:
        self._check(size)
        self._files[file.name] = file
        self._order.update(dict.fromkeys(linking.imports_of(file)))
        for symbol in contents.symbols(file):
            self._declared.setdefault(symbol, file.name)
        for message, number in contents.extensions(file):
            self._extensions.setdefault(message, {}).setdefault(number, file.name)

    def _check(self, size: int) -> None:
        limits = self._limits
        if len(self._files) >= limits.max_schema_files:
            raise LimitExceeded(
                f"{self._origin} sent more than max_schema_files={limits.max_schema_files} files",
                limit="max_schema_files",
                maximum=limits.max_schema_files,
                seen=len(self._files) + 1,
            )
        self._size += size
        if self._size > limits.max_schema_bytes:
            raise LimitExceeded(
                f"{self._origin} sent more than max_schema_bytes={limits.max_schema_bytes} bytes of descriptors",
                limit="max_schema_bytes",
                maximum=limits.max_schema_bytes,
                seen=self._size,
            )

    def missing(self, *, well_known: bool = False) -> list[str]:
        """Return the imports that have not come yet, in the order in which they were first seen.

        Those that `Descriptors` supplies by itself are not missing, unless `well_known` is true.
        """
        return [
            name
            for name in self._order
            if name not in self._files and (well_known or name not in wellknown.NAMES)
        ]

    def undeclared(self, missing: str) -> list[str]:
        """Return the types that the files which import `missing` refer to, and that nothing so far declares."""
        found = {
            symbol: None
            for file in self._files.values()
            if missing in file.dependency
            for symbol in contents.references(file)
            if symbol not in self._declared and not _is_supplied(symbol)
        }
        return list(found)

    def replace(self, missing: str) -> None:
        """Put a file in the place of an import that the server does not have.

        It leads on to the files that declare what its importers refer to; to none, if they refer to nothing in it.
        """
        importers = [file for file in self._files.values() if missing in file.dependency]
        homes = {
            self._declared[symbol]: None
            for file in importers
            for symbol in contents.references(file)
            if symbol in self._declared
        }
        names = {file.name for file in importers}
        self._forward(missing, [home for home in homes if not names & self.closure([home])])

    def importers(self, name: str) -> list[str]:
        """Return the files that import one."""
        return [file.name for file in self._files.values() if name in file.dependency]

    def closure(self, names: Iterable[str]) -> set[str]:
        """Return files with all that they import, directly or not, as far as it has come."""
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name in self._files and name not in found:
                found.add(name)
                waiting += linking.imports_of(self._files[name])
        return found

    def build(self, names: Collection[str] | None = None) -> bytes:
        """Return everything as a serialized FileDescriptorSet, every file after those that it imports.

        Args:
            names: Only these files and what they import.

        Raises:
            SchemaError: Nothing has come, or a file that another imports has not.
        """
        if not self._files:
            raise SchemaError(f"{self._origin} gave no files")
        chosen = self._files if names is None else self.closure(names)
        files = {name: self._files[name] for name in self._files if name in chosen}
        linking.supply_missing(files)
        _join_doubles(files)
        return linking.pack(files[name] for name in linking.in_import_order(files, origin=self._origin))


def _forwarding(name: str, files: Iterable[str]) -> descriptor_pb2.FileDescriptorProto:
    """Return a file that is nothing but others: who imports it imports those."""
    names = list(files)
    return descriptor_pb2.FileDescriptorProto(
        name=name, dependency=names, public_dependency=range(len(names)), syntax="proto3"
    )


def _is_supplied(symbol: str) -> bool:
    return symbol.startswith(("google.protobuf.", "google.rpc."))


def _join_doubles(files: dict[str, descriptor_pb2.FileDescriptorProto]) -> None:
    """Let one file under two names be one: gogo's "descriptor.proto", or what two teams import by two paths.

    The later one, or the one that is not called as it is by everybody, leads on to the other. Of the well-known ones,
    servers have versions of all ages; others must be alike.
    """
    declared: dict[str, str] = {}
    for name in sorted(
        files, key=lambda name: name not in wellknown.NAMES
    ):  # stable: the others in their order
        own = contents.top_level(files[name])
        homes = {declared.get(symbol) for symbol in own}
        home = next(iter(homes), None)
        if (
            len(homes) == 1
            and home is not None
            and (home in wellknown.NAMES or _alike(files[name], files[home]))
        ):
            files[name] = _forwarding(name, [home])
        else:
            declared.update(dict.fromkeys(own, name))


def _alike(one: descriptor_pb2.FileDescriptorProto, other: descriptor_pb2.FileDescriptorProto) -> bool:
    """Whether two files declare the same."""
    return all(
        list(getattr(one, part)) == list(getattr(other, part))
        for part in ("message_type", "enum_type", "service", "extension")
    )
