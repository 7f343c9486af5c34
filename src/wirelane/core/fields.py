"""Header fields that go out again and again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

__all__ = ["NO_FIELDS", "Fields"]


class Fields(tuple[tuple[bytes, bytes], ...]):  # noqa: SLOT001 - a tuple with slots has no room for `size`
    """(name, value) pairs, found by identity: what was made of them once is one look-up away.

    Attributes:
        size: As MAX_HEADER_LIST_SIZE counts: names, values and 32 per field (RFC 9113 section 6.5.2).
    """

    size: int
    __hash__ = object.__hash__
    __eq__ = object.__eq__
    __ne__ = object.__ne__

    def __new__(cls, pairs: Iterable[tuple[bytes, bytes]] = ()) -> Self:
        self = super().__new__(cls, pairs)
        self.size = sum([len(name) + len(value) + 32 for name, value in self])
        return self


NO_FIELDS = Fields()
