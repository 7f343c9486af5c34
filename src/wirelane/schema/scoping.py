"""Type names as short as the scoping rules of .proto files allow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from wirelane.schema.pool import Descriptors

__all__ = ["Scope"]

# What the compiler takes for something else where the name of a type may stand.
_WORDS: Final = frozenset(
    [
        "double",
        "float",
        "int32",
        "int64",
        "uint32",
        "uint64",
        "sint32",
        "sint64",
        "fixed32",
        "fixed64",
        "sfixed32",
        "sfixed64",
        "bool",
        "string",
        "bytes",
        "enum",
        "export",
        "extend",
        "extensions",
        "group",
        "local",
        "map",
        "message",
        "oneof",
        "option",
        "optional",
        "repeated",
        "required",
        "reserved",
        "rpc",
        "stream",
    ]
)


class Scope:
    """Shortens names for one schema.

    The compiler looks for the first part of a name in the innermost scope, then outwards, and commits itself to the
    first it finds. A name is shortened only where that search finds what was meant; everything that could stand in
    the way (fields, enum values, packages) counts, which is stricter than the compiler.
    """

    __slots__ = ("_descriptors", "_packages")

    def __init__(self, descriptors: Descriptors) -> None:
        self._descriptors = descriptors
        self._packages: set[str] = set()
        for name in descriptors.files():
            package = descriptors.pool.FindFileByName(name).package
            while package and package not in self._packages:
                self._packages.add(package)
                package = package.rpartition(".")[0]

    def shorten(self, full_name: str, scope: str) -> str:
        """Return the shortest way to write `full_name` (a leading dot is ignored) in `scope`."""
        target = full_name.removeprefix(".")
        parts = target.split(".")
        around = scope.split(".") if scope else []
        common = 0
        while common < min(len(parts) - 1, len(around)) and parts[common] == around[common]:
            common += 1
        # Whole packages only: "protobuf.Any" in google.rpc would be right, and puzzling.
        package = self._package_length(target)
        cuts = [kept for kept in range(common, 0, -1) if kept >= package]
        for kept in (*cuts, 0):
            if parts[kept] not in _WORDS and self._finds(parts[kept], scope) == ".".join(parts[: kept + 1]):
                return ".".join(parts[kept:])
        return "." + target

    def whole(self, full_name: str, scope: str) -> str:
        """Return `full_name` as it is, or with a leading dot where something in `scope` is in the way."""
        first = full_name.partition(".")[0]
        return full_name if self._finds(first, scope) == first else "." + full_name

    def _finds(self, first: str, scope: str) -> str | None:
        while True:
            name = f"{scope}.{first}" if scope else first
            if name in self._packages or self._is_symbol(name):
                return name
            if not scope:
                return None
            scope = scope.rpartition(".")[0]

    def _package_length(self, full_name: str) -> int:
        package = self._descriptors.pool.FindFileContainingSymbol(full_name).package
        return package.count(".") + 1 if package else 0

    def _is_symbol(self, name: str) -> bool:
        pool = self._descriptors.pool
        # Methods are no symbols to the pool. To the compiler they are: in `rpc Get(Get)` the second is the method.
        for find in (pool.FindFileContainingSymbol, pool.FindMethodByName):
            try:
                find(name)
            except KeyError:
                continue
            return True
        return False
