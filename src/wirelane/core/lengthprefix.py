"""Frames that begin with their length: how the length is written, and the rule that reads one frame. No I/O.

Two kinds of prefix: a number of 1 to 8 bytes in either byte order, and "varint", base 128 with the least significant group
first and the top bit of each byte for "more" (LEB128, what protobuf writes before delimited messages; at most 64 bits).

A frame that is longer than allowed is refused by its prefix, before any of it is gathered, and stays unread.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from wirelane.core.delimiters import at_least
from wirelane.core.readbuffer import ReadBuffer
from wirelane.errors import LimitExceeded, PeerError, UsageError

__all__ = ["ByteOrder", "Frame", "LengthPrefix", "Prefix", "length_prefix"]

Prefix = int | Literal["varint"]
ByteOrder = Literal["big", "little"]

_WIDEST = 8
_LONGEST_VARINT = 10  # 64 bits in groups of 7


@dataclass(frozen=True, slots=True)
class LengthPrefix:
    """How the length of a frame is written.

    Attributes:
        width: Bytes; 0 for "varint".
        byteorder: Of these bytes.
        includes_prefix: The length counts the bytes of the prefix, too.
    """

    width: int
    byteorder: ByteOrder = "big"
    includes_prefix: bool = False

    def encode(self, size: int) -> bytes:
        """Return the prefix of a frame with so many bytes behind it. Raises UsageError if it has no room for that."""
        if not self.width:
            return _varint(size)
        length = size + self.width if self.includes_prefix else size
        try:
            return length.to_bytes(self.width, self.byteorder)
        except OverflowError:
            most = 256**self.width - 1 - (self.width if self.includes_prefix else 0)
            raise UsageError(
                f"a frame of {size} bytes has no place behind a length of {self.width} bytes: {most} is the most"
            ) from None

    def read(self, buffer: ReadBuffer) -> tuple[int, int] | None:
        """Return how long the prefix at the front is and how many bytes follow, None if it is not whole yet.

        Raises:
            PeerError: It cannot be one. It stays where it is.
        """
        width = self.width
        if not width:
            return _read_varint(buffer.peek(_LONGEST_VARINT))
        raw = buffer.peek(width)
        if len(raw) < width:
            return None
        length = int.from_bytes(raw, self.byteorder)
        if not self.includes_prefix:
            return width, length
        if length < width:
            raise PeerError(f"a frame says that it is {length} bytes long, with a prefix of {width}")
        return width, length - width


@lru_cache(maxsize=64, typed=True)  # True is no width, although it equals 1
def length_prefix(width: Prefix, byteorder: ByteOrder, includes_prefix: bool) -> LengthPrefix:
    """Return the format that a user names.

    Raises:
        UsageError: There is no such format; the error names the argument.
    """
    if byteorder not in {"big", "little"}:
        raise UsageError(f'byteorder must be "big" or "little", not {byteorder!r}')
    if width == "varint":
        if includes_prefix:
            raise UsageError("includes_prefix: a varint does not count itself")
        return LengthPrefix(0)
    if not isinstance(width, int) or isinstance(width, bool) or not 1 <= width <= _WIDEST:
        raise UsageError(f'length_prefix must be a number of bytes from 1 to 8, or "varint", not {width!r}')
    return LengthPrefix(width, byteorder, bool(includes_prefix))


class Frame:
    """One frame, without its prefix.

    Args:
        limit: The most bytes behind the prefix.
        limit_name: The field or argument that says so.
    """

    __slots__ = ("_format", "_limit", "_limit_name", "demand", "least")

    def __init__(self, form: LengthPrefix, limit: int, *, limit_name: str = "max_bytes") -> None:
        self._format = form
        self._limit = at_least("max_bytes", limit, 0)
        self._limit_name = limit_name
        self.demand = form.width or _LONGEST_VARINT
        self.least = 1

    def take(self, buffer: ReadBuffer, eof: bool) -> bytes | None:
        found = self._format.read(buffer)
        if found is None:
            self.demand, self.least = self._format.width or _LONGEST_VARINT, self._format.width or 1
            return None
        prefix, size = found
        if size > self._limit:
            raise LimitExceeded(
                f"a frame of {size} bytes is longer than {self._limit} ({self._limit_name})",
                limit=self._limit_name,
                maximum=self._limit,
                seen=size,
                partial=buffer.peek(prefix),
            )
        if len(buffer) < prefix + size:
            self.demand = self.least = prefix + size
            return None
        buffer.skip(prefix)
        return buffer.take(size)


def _varint(size: int) -> bytes:
    groups = bytearray()
    while size > 0x7F:
        groups.append(size & 0x7F | 0x80)
        size >>= 7
    groups.append(size)
    return bytes(groups)


def _read_varint(raw: bytes) -> tuple[int, int] | None:
    length = 0
    for index, byte in enumerate(raw):
        length |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if length >> 64:
                break
            return index + 1, length
    else:
        if len(raw) < _LONGEST_VARINT:
            return None
    raise PeerError(f"the length of a frame is no varint of at most 64 bits: {raw.hex(' ')}")
