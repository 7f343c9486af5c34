"""Where google.protobuf's module for a file is."""

from __future__ import annotations

from wirelane.codegen.names import identifier, safe

__all__ = ["dotted", "place_of"]


def place_of(file: str) -> tuple[tuple[str, ...], str]:
    """Return the package of the module for a file, and what its name begins with: "a/b-c.proto" -> (("a",), "b_c")."""
    *directories, stem = dotted(file).split(".")
    return tuple(safe(identifier(part)) for part in directories), identifier(stem)


def dotted(file: str) -> str:
    """Return a file as protoc's generator names its module, without the _pb2 behind."""
    return file.removesuffix(".proto").replace("-", "_").replace("/", ".")
