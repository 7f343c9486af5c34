"""What both sides of server reflection need, as plain data.

The server asks for files by name, by symbol or by extension, always with everything they import; the client gathers
files from the answers in a `DescriptorCollector` until none is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf import descriptor_pb2
from google.protobuf.message import DecodeError

from wirelane.core.limits import Limits
from wirelane.errors import LimitExceeded, PeerError, SchemaError
from wirelane.schema import linking, wellknown

if TYPE_CHECKING:
    from wirelane.schema.pool import Descriptors

__all__ = [
    "DescriptorCollector",
    "extension_numbers",
    "file_with_dependencies",
    "files_by_extension",
    "files_by_symbol",
]


def file_with_dependencies(descriptors: Descriptors, name: str) -> list[bytes]:
    """Return a file and all that it imports, directly or not, as serialized FileDescriptorProtos.

    The file itself comes first, as the reflection protocol's clients expect; then what it imports, nearest first.

    Raises:
        UsageError: There is no such file.
    """
    descriptors.file_bytes(name)
    found = {name: None}
    waiting = [name]
    for current in waiting:  # grows while it is walked: breadth first
        for needed in linking.imports_of(descriptors.file_proto(current)):
            if needed not in found:
                found[needed] = None
                waiting.append(needed)
    return [descriptors.file_bytes(each) for each in found]


def files_by_symbol(descriptors: Descriptors, symbol: str) -> list[bytes]:
    """Return the file that declares a symbol, and all that it imports; see `file_with_dependencies`.

    Raises:
        UsageError: There is no such symbol.
    """
    return file_with_dependencies(descriptors, descriptors.file_containing_symbol(symbol))


def files_by_extension(descriptors: Descriptors, message: str, number: int) -> list[bytes]:
    """Return the file that declares an extension, and all that it imports; see `file_with_dependencies`.

    Raises:
        UsageError: There is no such message or extension.
    """
    extension = descriptors.extension(message, number)
    return files_by_symbol(descriptors, extension.full_name)


def extension_numbers(descriptors: Descriptors, message: str) -> list[int]:
    """Return the numbers of all known extensions of a message, sorted.

    Raises:
        UsageError: There is no such message.
    """
    return descriptors.extension_numbers(message)


class DescriptorCollector:
    """Gathers files from a server that may send them in any order, repeatedly, or not at all.

    Args:
        origin: Where they come from, for errors.
        limits: How many bytes and files to take; a server cannot make us hold more.
    """

    __slots__ = ("_files", "_limits", "_order", "_origin", "_services", "_size")

    def __init__(self, *, origin: str = "server reflection", limits: Limits | None = None) -> None:
        self._origin = origin
        self._limits = limits or Limits()
        self._files: dict[str, descriptor_pb2.FileDescriptorProto] = {}
        self._order: dict[str, None] = {}  # imports, in the order in which they were first seen
        self._services: set[str] = set()
        self._size = 0

    def __repr__(self) -> str:
        return f"<DescriptorCollector {self._origin} {len(self._files)} files, {len(self.missing())} missing>"

    @property
    def names(self) -> tuple[str, ...]:
        """The files gathered so far, in the order in which they came."""
        return tuple(self._files)

    @property
    def services(self) -> frozenset[str]:
        """The full names of the services that the files gathered so far declare."""
        return frozenset(self._services)

    def __contains__(self, name: object) -> bool:
        return name in self._files

    def __len__(self) -> int:
        return len(self._files)

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
            alias = descriptor_pb2.FileDescriptorProto(
                name=requested, dependency=[file.name], public_dependency=[0], syntax="proto3"
            )
            self._keep(alias, alias.ByteSize())
        return file.name

    def _keep(self, file: descriptor_pb2.FileDescriptorProto, size: int) -> None:
        self._check(size)
        self._files[file.name] = file
        self._order.update(dict.fromkeys(linking.imports_of(file)))
        package = f"{file.package}." if file.package else ""
        self._services.update(package + service.name for service in file.service)

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

    def build(self) -> bytes:
        """Return everything as a serialized FileDescriptorSet, every file after those that it imports.

        Raises:
            SchemaError: Nothing has come, or a file that another imports has not.
        """
        if not self._files:
            raise SchemaError(f"{self._origin} gave no files")
        files = dict(self._files)
        linking.supply_missing(files)
        return linking.pack(files[name] for name in linking.in_import_order(files, origin=self._origin))
