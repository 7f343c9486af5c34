"""A schema as files: .proto sources in a directory, or one descriptor set, for compilers and other programs.

The names of files may come from a stranger's server: one that leads out of the directory is refused, before anything is
written.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from wirelane.errors import SchemaError
from wirelane.schema import linking

if TYPE_CHECKING:
    from wirelane.schema.pool import Descriptors

__all__ = ["files_for", "pack_files", "write_protos"]

_COMPILERS_OWN: Final = "google/protobuf/"


def files_for(descriptors: Descriptors, symbols: Iterable[str]) -> list[str]:
    """Return the files that declare symbols, and all that those import, every file after its imports.

    Raises:
        UsageError: There is no such symbol.
    """
    needed: set[str] = set()
    waiting = [descriptors.file_containing_symbol(descriptors.find_symbol(each)[1]) for each in symbols]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting.extend(linking.imports_of(descriptors.file_proto(name)))
    return [name for name in descriptors.files() if name in needed]


def pack_files(descriptors: Descriptors, names: Iterable[str]) -> bytes:
    """Return files as one serialized FileDescriptorSet, comments included."""
    return linking.pack(descriptors.file_proto(name) for name in names)


def write_protos(descriptors: Descriptors, names: Iterable[str], directory: Path) -> list[str]:
    """Write files as .proto sources, each under its import name; return the names of those that were written.

    Those of google/protobuf are left out, since every compiler has its own. What is there is overwritten.

    Raises:
        SchemaError: A name is no relative path, or leads out of the directory.
        OSError: Something cannot be written.
    """
    chosen = [name for name in names if not name.startswith(_COMPILERS_OWN)]
    texts = {name: (_inside(name), descriptors.proto_text(name)) for name in chosen}
    for path, text in texts.values():
        place = directory / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    return list(texts)


def _inside(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if (
        path.is_absolute()
        or not path.parts
        or ".." in path.parts
        or "\\" in name
        or ":" in name
        or "\0" in name
    ):
        raise SchemaError(f"{name!r} is no name to write a file under: it leads out of the directory")
    return path
