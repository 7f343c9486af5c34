"""Comments of a .proto file, found by the path of the element that they stand at.

A path is that of `SourceCodeInfo.Location`: field numbers and indexes in FileDescriptorProto, such as (4, 0, 2, 1) for
the second field (2, 1) of the first message (4, 0).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

from google.protobuf import descriptor_pb2

__all__ = ["NONE", "Around", "Comments", "plain"]

_Location = descriptor_pb2.SourceCodeInfo.Location

Around: TypeAlias = tuple[list[str], str, str]
"""(blocks above that are set apart, what stands right above, what stands behind)."""

NONE: Final[Around] = ([], "", "")
"""Around what has no comments."""


class Comments:
    """The comments of one file; empty if its descriptor has no source information."""

    __slots__ = ("_at", "_everything", "_info")

    def __init__(self, file: descriptor_pb2.FileDescriptorProto) -> None:
        self._at: Final = {
            tuple(location.path): location
            for location in file.source_code_info.location
            if location.leading_comments or location.trailing_comments or location.leading_detached_comments
        }
        self._info: Final = file.source_code_info
        self._everything: dict[tuple[int, ...], list[_Location]] | None = None

    def leading(self, path: tuple[int, ...]) -> str:
        """What stands above the element, or behind it if nothing stands above."""
        location = self._at.get(path)
        if location is None:
            return ""
        return location.leading_comments or location.trailing_comments

    def around(self, path: tuple[int, ...]) -> Around:
        """All that stands around an element."""
        location = self._at.get(path)
        return _around(location) if location is not None else NONE

    def statements(self, path: tuple[int, ...], count: int) -> Iterator[tuple[list[int], Around]]:
        """Yield how `count` elements are spread over statements, and what stands around each statement.

        `extend`, `extensions` and `reserved` are statements that hold several elements of one list; all statements
        of a kind have the same path, that of the list. Without source information each element is by itself.
        """
        everything = self._locations()
        heads = sorted(everything.get(path, ()), key=lambda location: tuple(location.span[:2]))
        current: _Location | None = None
        indexes: list[int] = []
        for index in range(count):
            element = next(iter(everything.get((*path, index), ())), None)
            head = _holding(heads, element) if element is not None else None
            if indexes and (head is None or head is not current):
                yield indexes, _around(current)
                indexes = []
            indexes.append(index)
            current = head
        if indexes:
            yield indexes, _around(current)

    def _locations(self) -> dict[tuple[int, ...], list[_Location]]:
        if self._everything is None:
            found: dict[tuple[int, ...], list[_Location]] = {}
            for location in self._info.location:
                found.setdefault(tuple(location.path), []).append(location)
            self._everything = found
        return self._everything


def _around(location: _Location | None) -> Around:
    if location is None:
        return NONE
    return list(location.leading_detached_comments), location.leading_comments, location.trailing_comments


def _holding(heads: list[_Location], element: _Location) -> _Location | None:
    """Return the last of `heads` (sorted) that begins no later than `element`."""
    start = tuple(element.span[:2])
    before = [head for head in heads if tuple(head.span[:2]) <= start]
    return before[-1] if before else None


def plain(comment: str) -> str:
    """The text of a comment without the blank that follows each comment sign, and without blank edges."""
    return "\n".join(line.removeprefix(" ").rstrip() for line in comment.strip("\n").split("\n")).strip()
