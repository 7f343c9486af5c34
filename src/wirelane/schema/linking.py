"""From bytes to descriptors that hang together: every import there, each file once, in the order of imports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from wirelane.core.limits import Limits
from wirelane.errors import LimitExceeded, Problem, SchemaError
from wirelane.schema import wellknown

__all__ = [
    "build",
    "imports_of",
    "in_import_order",
    "is_descriptor_set",
    "pack",
    "read_set",
    "supply_missing",
    "symbols_of",
]

FileProto = descriptor_pb2.FileDescriptorProto


def is_descriptor_set(data: bytes) -> bool:
    """Whether `data` is a FileDescriptorSet and not, say, text that happens to parse as one."""
    try:
        parsed = descriptor_pb2.FileDescriptorSet.FromString(data)
    except DecodeError:
        return False
    return bool(parsed.file) and all(file.name for file in parsed.file) and not len(UnknownFieldSet(parsed))


def read_set(
    data: bytes | descriptor_pb2.FileDescriptorSet, *, origin: str, limits: Limits
) -> dict[str, FileProto]:
    """Return the files of a descriptor set by name, in the order of the set.

    Raises:
        SchemaError: It is no descriptor set, it is empty, or it has two different files of one name.
        LimitExceeded: More bytes or files than `limits` allows.
    """
    if isinstance(data, descriptor_pb2.FileDescriptorSet):
        parsed = data
    else:
        if len(data) > limits.max_schema_bytes:
            raise LimitExceeded(
                f"{origin} has {len(data)} bytes of descriptors, more than max_schema_bytes={limits.max_schema_bytes}",
                limit="max_schema_bytes",
                maximum=limits.max_schema_bytes,
                seen=len(data),
            )
        try:
            parsed = descriptor_pb2.FileDescriptorSet.FromString(data)
        except DecodeError:
            raise SchemaError(
                f"{origin} is no descriptor set (a serialized google.protobuf.FileDescriptorSet)"
            ) from None
    if len(parsed.file) > limits.max_schema_files:
        raise LimitExceeded(
            f"{origin} has {len(parsed.file)} files, more than max_schema_files={limits.max_schema_files}",
            limit="max_schema_files",
            maximum=limits.max_schema_files,
            seen=len(parsed.file),
        )
    return _by_name(parsed.file, origin)


def _by_name(parsed: Iterable[FileProto], origin: str) -> dict[str, FileProto]:
    files: dict[str, FileProto] = {}
    for file in parsed:
        if not file.name:
            raise SchemaError(f"{origin} is no descriptor set: a file in it has no name")
        known = files.setdefault(file.name, file)
        if known is not file and _bare(known) != _bare(file):
            raise SchemaError(f'{origin} has two different files named "{file.name}"', file=file.name)
    if not files:
        raise SchemaError(f"{origin} is an empty descriptor set")
    return files


def _bare(file: FileProto) -> FileProto:
    copy = FileProto()
    copy.CopyFrom(file)
    copy.ClearField("source_code_info")
    return copy


def imports_of(file: FileProto) -> Iterator[str]:
    """Yield the names of what a file needs in order to be built (`import option` needs nothing)."""
    yield from file.dependency


def supply_missing(files: dict[str, FileProto]) -> None:
    """Add the well-known files that `files` import and do not have."""
    waiting = list(files.values())
    while waiting:
        for name in imports_of(waiting.pop()):
            if name in files:
                continue
            data = wellknown.file_bytes(name)
            if data is not None:
                files[name] = FileProto.FromString(data)
                waiting.append(files[name])


def in_import_order(files: Mapping[str, FileProto], *, origin: str) -> list[str]:
    """Return the names such that every file comes after those that it imports.

    Raises:
        SchemaError: A file imports one that is not there, or itself by way of others.
    """
    missing: list[Problem] = [
        (file.name, None, None, f'{origin} lacks "{name}", imported by "{file.name}"')
        for file in files.values()
        for name in imports_of(file)
        if name not in files
    ]
    if missing:
        first = missing[0]
        raise SchemaError(first[3], file=first[0], problems=missing[1:])
    ordered: dict[str, None] = {}
    for root in files:
        # By hand, not by recursion: a chain of 2,000 imports is within the limits.
        path: dict[str, Iterator[str]] = {}
        _enter(root, files, path, ordered)
        while path:
            name, rest = next(reversed(path.items()))
            following = next(rest, None)
            if following is None:
                ordered[name] = None
                del path[name]
            elif following in path:
                chain = [*list(path)[list(path).index(following) :], following]
                raise SchemaError(f"import cycle: {' -> '.join(chain)}", file=following)
            else:
                _enter(following, files, path, ordered)
    return list(ordered)


def _enter(
    name: str, files: Mapping[str, FileProto], path: dict[str, Iterator[str]], done: Mapping[str, None]
) -> None:
    if name not in done:
        path[name] = imports_of(files[name])


def pack(files: Iterable[FileProto]) -> bytes:
    """Return the serialized FileDescriptorSet of `files`."""
    return descriptor_pb2.FileDescriptorSet(file=files).SerializeToString(deterministic=True)


def build(pool: descriptor_pool.DescriptorPool, name: str, content: bytes) -> None:
    """Add a file to a pool that has all that it imports.

    Raises:
        SchemaError: The descriptors contradict each other.
    """
    try:
        pool.AddSerializedFile(content)
        pool.FindFileByName(name)  # the pure-Python runtime builds, and finds fault, only here
    except (TypeError, KeyError) as error:
        # upb: "Couldn't build proto file into descriptor pool: <what is wrong>".
        reason = str(error.args[0] if error.args else error).rpartition("descriptor pool: ")[2]
        raise SchemaError(f"does not link: {reason}", file=name) from None


def symbols_of(files: Iterable[FileDescriptor]) -> Iterator[tuple[str, str]]:
    """Yield the full name of every service, message, enum and extension, nested ones too, and which it is."""
    for file in files:
        yield from ((service.full_name, "service") for service in file.services_by_name.values())
        yield from ((enum.full_name, "enum") for enum in file.enum_types_by_name.values())
        yield from ((field.full_name, "extension") for field in file.extensions_by_name.values())
        waiting = list(file.message_types_by_name.values())
        while waiting:
            message = waiting.pop()
            if message.GetOptions().map_entry:
                continue
            yield message.full_name, "message"
            yield from ((enum.full_name, "enum") for enum in message.enum_types)
            yield from ((field.full_name, "extension") for field in message.extensions)
            waiting.extend(message.nested_types)
