"""Header blocks: HPACK by memory, and the rules a header list must obey (RFC 7541, RFC 9113 section 8).

Reading: a block of indexed fields only (every byte has its top bit set) changes no table state, so it is decoded
and validated once, and found by its bytes until the table changes. Writing: fields that repeat from call to call
(`stable`) go through the dynamic table and soon become such a block, kept as bytes; fields that vary (`variable`:
timeouts, metadata) are literals that never enter the table, so that they never push the others out.
"""

from __future__ import annotations

from enum import Enum

from hpack import Decoder, Encoder, HPACKError
from hpack.exceptions import OversizedHeaderListError

__all__ = [
    "BlockKind",
    "HeaderBlock",
    "HeaderDecoder",
    "HeaderEncoder",
    "HeaderList",
    "OversizedBlock",
    "literal",
]

HeaderList = list[tuple[bytes, bytes]]

# Blocks remembered at most, each way. A peer with more distinct heads than this gains nothing from memory.
_MEMORY = 512
# The longest block to remember: an octet may stand for a field of kilobytes, and the peer chooses what we keep.
_LONGEST_REMEMBERED = 64
# More digits than any length has; int() refuses thousands of them.
_MAX_LENGTH_DIGITS = 18
# Values of these never enter a compression table (RFC 7541 section 7.1.3).
_SENSITIVE = frozenset({b"authorization", b"proxy-authorization", b"cookie", b"set-cookie"})
# RFC 9113 section 8.2.2.
_CONNECTION_SPECIFIC = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
)
# Section 8.2.1: what a name may not hold. Control characters, space, upper case, DEL and above; the colon is pseudo.
_BAD_NAME = bytes(c for c in range(256) if c <= 0x20 or 0x41 <= c <= 0x5A or c >= 0x7F)
_REQUEST_PSEUDO = frozenset({b":method", b":scheme", b":path", b":authority"})
_RESPONSE_PSEUDO = frozenset({b":status"})


class OversizedBlock(Exception):
    """A header list is beyond the hard limit; the table's state is lost with it, so the connection must end."""


class BlockKind(Enum):
    """Where a block stands in its stream, which decides what it may hold."""

    REQUEST = 1
    RESPONSE = 2
    TRAILERS = 3


class HeaderBlock:
    """A decoded header list and the verdict on it; shared by all streams that received the same bytes.

    Attributes:
        headers: The fields in order, pseudo-header fields included.
        size: As MAX_HEADER_LIST_SIZE counts: names, values and 32 per field (RFC 9113 section 6.5.2).
        error: Why the list is malformed (section 8.1.1), or None.
        content_length: The declared length, or None.
        status: `:status` as a number in a response, else 0.
        memo: For the layer above: what it made of the block as a head, so that it need not do so again.
        ending_memo: The same for the block as the end of a stream; the same octets may come as either.
    """

    __slots__ = ("content_length", "ending_memo", "error", "headers", "memo", "size", "status")

    def __init__(self, headers: HeaderList, kind: BlockKind) -> None:
        self.headers = headers
        self.size = sum(len(name) + len(value) + 32 for name, value in headers)
        self.content_length: int | None = None
        self.status = 0
        self.memo: object = None
        self.ending_memo: object = None
        self.error = self._check(kind)

    def _check(self, kind: BlockKind) -> str | None:
        pseudo: dict[bytes, bytes] = {}
        regular = False
        for name, value in self.headers:
            if name[:1] == b":":
                if regular:
                    return "a pseudo-header field after a regular one"
                if name in pseudo:
                    return f"{_text(name)} twice"
                pseudo[name] = value
            else:
                regular = True
                error = self._check_field(name, value)
                if error:
                    return error
            error = _check_value(name, value)
            if error:
                return error
        return self._check_pseudo(pseudo, kind)

    def _check_field(self, name: bytes, value: bytes) -> str | None:
        if not name or b":" in name or name.translate(None, _BAD_NAME) != name:
            return f"a field name that HTTP/2 does not allow: {_text(name)}"
        if name in _CONNECTION_SPECIFIC:
            return f"a connection-specific field: {_text(name)}"
        if name == b"te" and value.lower() != b"trailers":
            return "te with a value other than trailers"
        if name == b"content-length":
            if not value.isdigit() or len(value) > _MAX_LENGTH_DIGITS:
                return "a content-length that is no number of octets"
            if self.content_length not in (None, int(value)):
                return "two values of content-length that differ"
            self.content_length = int(value)
        return None

    def _check_pseudo(self, pseudo: dict[bytes, bytes], kind: BlockKind) -> str | None:
        """RFC 9113 section 8.3."""
        if kind is BlockKind.TRAILERS:
            return "a pseudo-header field in trailers" if pseudo else None
        if kind is BlockKind.RESPONSE:
            status = pseudo.get(b":status", b"")
            if pseudo.keys() != _RESPONSE_PSEUDO or len(status) != 3 or not status.isdigit():
                return "a response needs :status, three digits, and no other pseudo-header field"
            self.status = int(status)
            return None
        if not pseudo.keys() <= _REQUEST_PSEUDO:
            return "an unknown pseudo-header field"
        if pseudo.get(b":method") == b"CONNECT":
            return None if pseudo.keys() == {b":method", b":authority"} else "CONNECT with :scheme or :path"
        for name in (b":method", b":scheme", b":path"):
            if not pseudo.get(name):
                return f"a request without {_text(name)}"
        return None


def _check_value(name: bytes, value: bytes) -> str | None:
    """Section 8.2.1: no NUL, CR, LF anywhere, no blank around a pseudo-header field's value.

    Bytes above ASCII are let through, and blanks around other values too, against the letter of the section: gRPC
    in C and Go sends a `grpc-message` that ends with one as it is, and its status must not be lost for that.
    """
    if b"\0" in value or b"\r" in value or b"\n" in value:
        return f"a control character in the value of {_text(name)}"
    if name[:1] == b":" and value and (value[0] in b" \t" or value[-1] in b" \t"):
        return f"white space around the value of {_text(name)}"
    return None


def _text(name: bytes) -> str:
    return ascii(name[:40].decode("latin-1"))


class HeaderDecoder:
    """Blocks in, header lists out.

    Args:
        hard_limit: Header list size (section 6.5.2) above which decoding stops. Decoding must go on beyond the
            advertised limit, or the table would be lost and one greedy call would take the connection with it.
    """

    __slots__ = ("_decoder", "_memory")

    def __init__(self, hard_limit: int) -> None:
        self._decoder = Decoder(max_header_list_size=hard_limit)
        self._memory: dict[tuple[BlockKind, bytes], HeaderBlock] = {}

    def decode(self, block: bytes, kind: BlockKind) -> HeaderBlock:
        """Decode one complete block.

        Raises:
            OversizedBlock: The list is above the hard limit.
            HPACKError: The block is not HPACK.
        """
        key = (kind, block)
        known = self._memory.get(key)
        if known is not None:
            return known
        try:
            headers = [(bytes(name), bytes(value)) for name, value in self._decoder.decode(block, raw=True)]
        except OversizedHeaderListError as error:
            raise OversizedBlock(str(error)) from error
        except (IndexError, ValueError) as error:
            raise HPACKError(str(error)) from error
        decoded = HeaderBlock(headers, kind)
        if block and min(block) >= 0x80:
            if len(self._memory) < _MEMORY and len(block) <= _LONGEST_REMEMBERED:
                self._memory[key] = decoded
        else:
            self._memory.clear()
        return decoded


class HeaderEncoder:
    """Header lists in, blocks out."""

    __slots__ = ("_encoder", "_memory", "_resize")

    def __init__(self) -> None:
        self._encoder = Encoder()
        self._memory: dict[tuple[tuple[bytes, bytes], ...], bytes] = {}
        # The smallest and the last table size that the peer named since the last block.
        self._resize: tuple[int, int] | None = None

    def set_table_size(self, size: int) -> None:
        """Obey the peer's HEADER_TABLE_SIZE; we never use more than the default 4,096 (RFC 7541 section 4.2)."""
        size = min(size, 4096)
        smallest = size if self._resize is None else min(size, self._resize[0])
        self._resize = (smallest, size)
        self._memory.clear()

    def _apply_resize(self, sizes: tuple[int, int]) -> None:
        """Announce the smallest size of the interval, then the last (section 4.2).

        Only here, and only changes: `hpack` would announce every size in between, which may be above what the peer
        allows by now, and would forget all of them if the last were said twice.
        """
        self._resize = None
        for size in sizes:
            if size != self._encoder.header_table_size:
                self._encoder.header_table_size = size

    def encode(self, stable: tuple[tuple[bytes, bytes], ...], variable: HeaderList | None = None) -> bytes:
        """Return the block of `stable` followed by `variable`."""
        block = self._memory.get(stable)
        if block is None:
            if self._resize is not None:
                self._apply_resize(self._resize)
            block = bytes(self._encoder.encode(stable))
            if block and min(block) >= 0x80:
                if len(self._memory) < _MEMORY:
                    self._memory[stable] = block
            else:
                self._memory.clear()
        if variable:
            return block + b"".join([literal(name, value) for name, value in variable])
        return block


def literal(name: bytes, value: bytes) -> bytes:
    """Return a literal field that enters no table (RFC 7541 sections 6.2.2 and 6.2.3), not Huffman-coded."""
    lead = b"\x10" if name in _SENSITIVE else b"\x00"
    size, length = len(name), len(value)
    if size < 127 and length < 127:
        return b"%b%c%b%c%b" % (lead, size, name, length, value)
    return b"".join((lead, _integer(size), name, _integer(length), value))


def _integer(value: int) -> bytes:
    """A 7-bit prefix integer with a clear top bit (RFC 7541 section 5.1)."""
    if value < 127:
        return bytes((value,))
    out = bytearray((127,))
    value -= 127
    while value >= 128:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
