"""What a read gives, for whoever sees the whole stream at once and looks at it byte by byte."""

from __future__ import annotations

import re
from dataclasses import dataclass

from wirelane.core.delimiters import Exactly, Matching, ReadRule, UntilEof, UpTo
from wirelane.core.readbuffer import Markers

PATTERNS = [
    rb"\n",
    rb"a+b",
    rb"a+",
    rb"(a|ab)(\n|bb)",
    rb"a$",
    rb"\bb\b",
    rb"a(?=b)",
    rb"a(?!b)",
    rb"(?>a|ab)b",
    rb"(?s)b.*a",
]

Outcome = tuple[str, bytes]


@dataclass(frozen=True)
class Read:
    """One read: how the library is asked, and what a reader of the whole stream would expect."""

    markers: tuple[bytes, ...] = ()
    align: int = 1
    size: int = 10
    limit: bool = False
    keep: bool = True
    pattern: bytes | None = None
    to_the_end: bool = False

    def rule(self) -> ReadRule[bytes]:
        if self.to_the_end:
            return UntilEof(self.size)
        if self.pattern is not None:
            return Matching(self.pattern, max(self.size, 1))
        if not self.markers:
            return Exactly(self.size)
        name = "max_bytes" if self.limit else None
        return UpTo(
            Markers.of(self.markers, align=self.align), max(self.size, 1), keep=self.keep, limit_name=name
        )

    def model(self, rest: bytes) -> tuple[Outcome, int]:
        """Return what the read gives for the rest of a stream, and how many bytes it takes from it."""
        size = self.size if self.to_the_end or not (self.markers or self.pattern) else max(self.size, 1)
        if self.to_the_end:
            return (("limit", rest[:size]), 0) if len(rest) > size else (("data", rest), len(rest))
        if self.pattern is not None:
            for end in range(min(len(rest), size) + 1):
                found = re.search(self.pattern, rest[:end])
                if found is not None:
                    return ("data", rest[: found.end()]), found.end()
        for end in range(min(len(rest), size) + 1):
            ending = [m for m in self.markers if rest[:end].endswith(m) and (end - len(m)) % self.align == 0]
            if ending:
                return ("data", rest[: end if self.keep else end - max(map(len, ending))]), end
        if len(rest) < size:
            return ("end", rest), 0
        if self.limit or self.pattern is not None:
            return ("limit", rest[:size]), 0
        return ("data", rest[:size]), size
