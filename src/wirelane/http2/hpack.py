"""HPACK (RFC 7541): the compression tables of both directions, and the octets of a header block.

Both sides are written for gRPC's traffic: the same few fields from call to call. The Huffman code and the static table
come from `hpack`; we read Huffman and never write it, which costs octets once per field and saves time for each.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from hpack.exceptions import HPACKDecodingError
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

from wirelane.http2.fields import Field, field

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["HpackDecoder", "HpackEncoder", "OversizedBlock", "literal"]

_STATIC: Final = tuple((bytes(name), bytes(value)) for name, value in HeaderTable.STATIC_TABLE)  # Appendix A
_STATIC_FIELDS: Final = (None, *(field(name, value) for name, value in _STATIC))
_STATIC_SIZE: Final = len(_STATIC)
_STATIC_INDEX: Final = {pair: index for index, pair in reversed(list(enumerate(_STATIC, 1)))}
_STATIC_NAMES: Final = {name: index for index, (name, _) in reversed(list(enumerate(_STATIC, 1)))}

# SETTINGS_HEADER_TABLE_SIZE, which we never change (RFC 9113 section 6.5.2).
_TABLE_SIZE: Final = 4096
# Fields in a row that are one octet each; what such a row means is remembered until the table changes.
_ROW: Final = re.compile(rb"[\x80-\xfe]+")
_ROWS: Final = 64
_LONGEST_ROW: Final = 64
# Octets that continue an integer: 28 bits are more than any length or index here (CVE-2023-33953, run-away integers).
_MOST_CONTINUED: Final = 4
# A longer field never enters our table: it would push out all that repeats.
_LONGEST_INDEXED: Final = 1024
# Values of these never enter a compression table (RFC 7541 section 7.1.3).
_SENSITIVE: Final = frozenset({b"authorization", b"proxy-authorization", b"cookie", b"set-cookie"})
# Of a timeout there are too many values that come twice: they would push out what repeats.
_NEVER_INDEXED: Final = _SENSITIVE | {b"grpc-timeout"}
# Fields that vary are indexed when they are seen a second time among this many.
_SEEN: Final = 64


class OversizedBlock(Exception):
    """A header list is beyond the hard limit; the table's state is lost with it, so the connection must end."""


class HpackDecoder:
    """Blocks in, fields out.

    Args:
        hard_limit: Header list size (RFC 9113 section 6.5.2) above which decoding stops.

    Attributes:
        changed: The last block changed the table.
        literals: The last block had a literal.
        size: Of the last list, as section 6.5.2 counts.
    """

    __slots__ = ("_hard_limit", "_maximum", "_rows", "_size", "_table", "changed", "literals", "size")

    def __init__(self, hard_limit: int) -> None:
        self._hard_limit = hard_limit
        # Newest last: index 62 is table[-1].
        self._table: list[Field] = []
        self._size = 0
        self._maximum = _TABLE_SIZE
        self._rows: dict[bytes, tuple[list[Field], int]] = {}
        self.changed = self.literals = False
        self.size = 0

    def decode(self, block: bytes) -> list[Field]:
        """Decode one complete block.

        Raises:
            OversizedBlock: The list is above the hard limit.
            HPACKError: The block is not HPACK.
        """
        fields: list[Field] = []
        self.changed = self.literals = False
        position, end, total = 0, len(block), 0
        while position < end:
            octet = block[position]
            if octet == 0xFF:  # section 6.1, indexed, with an index of several octets
                index, position = _read_integer(block, position + 1, 0x7F)
                one = self._entry(index)
            elif octet >= 0x80:  # section 6.1, as many as there are
                row = block[position : _ROW.match(block, position).end()]  # type: ignore[union-attr] # it does
                known = self._rows.get(row) or self._read_row(row, total)
                fields += known[0]
                total += known[1]
                if total > self._hard_limit:
                    raise OversizedBlock(f"a header list of more than {self._hard_limit} octets")
                position += len(row)
                continue
            elif 0x20 <= octet < 0x40:  # section 6.3, a size update
                size, position = octet & 0x1F, position + 1
                if size == 0x1F:
                    size, position = _read_integer(block, position, size)
                if fields or size > _TABLE_SIZE:
                    raise HPACKDecodingError("a table size update that is not allowed")
                self._maximum = size
                self._evict(0)
                self._changes()
                continue
            else:  # section 6.2, a literal
                self.literals = True
                mask = 0x3F if octet >= 0x40 else 0x0F
                one, position = self._literal(block, position + 1, octet & mask, mask)
                if octet >= 0x40:
                    self._insert(one)
            total += one[1]
            if total > self._hard_limit:
                raise OversizedBlock(f"a header list of more than {self._hard_limit} octets")
            fields.append(one)
        self.size = total
        return fields

    def _read_row(self, row: bytes, total: int) -> tuple[list[Field], int]:
        fields: list[Field] = []
        size, table = 0, self._table
        for octet in row:
            index = octet - 0x80
            one = (
                table[_STATIC_SIZE - index] if 0 < index - _STATIC_SIZE <= len(table) else self._entry(index)
            )
            size += one[1]
            if total + size > self._hard_limit:
                raise OversizedBlock(f"a header list of more than {self._hard_limit} octets")
            fields.append(one)
        known = (fields, size)
        if len(row) <= _LONGEST_ROW:
            if len(self._rows) >= _ROWS:
                self._rows.clear()
            self._rows[row] = known
        return known

    def _entry(self, index: int) -> Field:
        """Section 2.3.3."""
        if index <= _STATIC_SIZE:
            one = _STATIC_FIELDS[index]
            if one is None:
                raise HPACKDecodingError("index 0")
            return one
        if index - _STATIC_SIZE > len(self._table):
            raise HPACKDecodingError(f"index {index} is beyond the table")
        return self._table[_STATIC_SIZE - index]

    def _literal(self, block: bytes, position: int, index: int, mask: int) -> tuple[Field, int]:
        if index == mask:
            index, position = _read_integer(block, position, index)
        if index:
            name = self._entry(index)[0][0]
        else:
            name, position = _read_string(block, position)
        value, position = _read_string(block, position)
        return field(name, value), position

    def _insert(self, one: Field) -> None:
        """Section 4.4; an entry larger than the table empties it."""
        self._changes()
        self._evict(one[1])
        if one[1] <= self._maximum:
            self._table.append(one)
            self._size += one[1]

    def _changes(self) -> None:
        self.changed = True
        self._rows.clear()

    def _evict(self, room: int) -> None:
        table = self._table
        while table and self._size + room > self._maximum:
            self._size -= table.pop(0)[1]


def _read_integer(block: bytes, position: int, value: int) -> tuple[int, int]:
    """Section 5.1: the octets that follow a prefix whose bits are all set, which is `value`."""
    shift = 0
    for count, octet in enumerate(block[position : position + _MOST_CONTINUED], 1):
        value += (octet & 0x7F) << shift
        if octet < 0x80:
            return value, position + count
        shift += 7
    raise HPACKDecodingError("an integer that does not end")


def _read_string(block: bytes, position: int) -> tuple[bytes, int]:
    """Section 5.2."""
    if position >= len(block):
        raise HPACKDecodingError("a string without its length")
    octet = block[position]
    length, position = octet & 0x7F, position + 1
    if length == 0x7F:
        length, position = _read_integer(block, position, length)
    end = position + length
    if end > len(block):
        raise HPACKDecodingError("a string that is longer than its block")
    text = block[position:end]
    return (decode_huffman(text) if octet & 0x80 else text), end


class HpackEncoder:
    """Fields in, octets out.

    Attributes:
        inserted: How many fields have entered the table; what was encoded before the last is not valid after it.
        noted: How many have been seen a first time; they are encoded otherwise the second time.
    """

    __slots__ = ("_entries", "_index", "_maximum", "_resize", "_seen", "_size", "inserted", "noted")

    def __init__(self) -> None:
        self._entries: list[tuple[tuple[bytes, bytes], int]] = []  # with their sizes, newest last
        self._index: dict[tuple[bytes, bytes], int] = {}  # to the number at which each was inserted
        self._size = 0
        self._maximum = _TABLE_SIZE
        # The smallest and the last table size that the peer named since the last block.
        self._resize: tuple[int, int] | None = None
        self._seen: dict[tuple[bytes, bytes], None] = {}
        self.inserted = 0
        self.noted = 0

    def set_table_size(self, size: int) -> None:
        """Obey the peer's HEADER_TABLE_SIZE; we never use more than the default 4,096 (section 4.2)."""
        size = min(size, _TABLE_SIZE)
        smallest = size if self._resize is None else min(size, self._resize[0])
        self._resize = (smallest, size)

    def resize(self) -> bytes:
        """Return the announcement of the smallest size of the interval, then of the last (section 4.2)."""
        if self._resize is None:
            return b""
        announced = b""
        for size in self._resize:
            if size != self._maximum:
                self._maximum = size
                self._make_room(0)
                announced += _write_integer(size, 5, 0x20)
        self._resize = None
        return announced

    def encode(
        self, stable: Iterable[tuple[bytes, bytes]], variable: Iterable[tuple[bytes, bytes]] = ()
    ) -> bytes:
        """Return a block.

        Args:
            stable: Fields that repeat from block to block; they enter the table.
            variable: Fields that may never come again: literals that enter no table, until they are seen twice.
        """
        find = self._index.get
        out = []
        for pair in stable:
            number = find(pair)
            out.append(self._insert(pair) if number is None else _INDEXED[self.inserted - number])
        for pair in variable:
            number = find(pair)
            out.append(self._maybe(pair) if number is None else _INDEXED[self.inserted - number])
        return b"".join(out)

    def _insert(self, pair: tuple[bytes, bytes]) -> bytes:
        """Return a field that is not in the dynamic table; it enters it if it may and has to."""
        known = _STATIC_INDEX.get(pair)
        if known is not None:
            return bytes((0x80 | known,))
        name, value = pair
        size = len(name) + len(value) + 32
        if name in _SENSITIVE or size > self._maximum or size > _LONGEST_INDEXED:
            return literal(name, value)
        self._make_room(size)
        self.inserted += 1
        self._entries.append((pair, size))
        self._index[pair] = self.inserted
        self._size += size
        return (
            _write_integer(_STATIC_NAMES.get(name, 0), 6, 0x40)
            + (b"" if name in _STATIC_NAMES else _string(name))
            + _string(value)
        )

    def _maybe(self, pair: tuple[bytes, bytes]) -> bytes:
        """Return a field that is not in the dynamic table; it enters it if it was seen before."""
        if pair[0] in _NEVER_INDEXED:
            return literal(*pair)
        seen = self._seen
        if pair in seen or pair in _STATIC_INDEX:
            seen.pop(pair, None)
            return self._insert(pair)
        if len(seen) >= _SEEN:
            seen.clear()
        if len(pair[0]) + len(pair[1]) <= _LONGEST_INDEXED:
            seen[pair] = None
            self.noted += 1
        return literal(*pair)

    def _make_room(self, size: int) -> None:
        entries = self._entries
        while entries and self._size + size > self._maximum:
            pair, freed = entries.pop(0)
            self._size -= freed
            del self._index[pair]


def literal(name: bytes, value: bytes) -> bytes:
    """Return a literal field that enters no table (sections 6.2.2 and 6.2.3), not Huffman-coded."""
    lead = b"\x10" if name in _SENSITIVE else b"\x00"
    size, length = len(name), len(value)
    if size < 127 and length < 127:
        return b"%b%c%b%c%b" % (lead, size, name, length, value)
    return b"".join((lead, _string(name), _string(value)))


def _string(text: bytes) -> bytes:
    return _write_integer(len(text), 7, 0) + text


def _write_integer(value: int, bits: int, lead: int) -> bytes:
    """Section 5.1."""
    full = (1 << bits) - 1
    if value < full:
        return bytes((lead | value,))
    out = bytearray((lead | full,))
    value -= full
    while value >= 128:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


# Section 6.1: an entry of the dynamic table, by how many have been inserted after it. No entry has fewer than 32 octets.
_INDEXED: Final = tuple(
    _write_integer(_STATIC_SIZE + 1 + after, 7, 0x80) for after in range(_TABLE_SIZE // 32)
)
