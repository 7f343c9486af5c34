"""Header blocks: HPACK by memory, and the rules a header list must obey (RFC 7541, RFC 9113 section 8).

Reading: a block that changed no table is decoded and validated once, if it is likely to come again, and found by its
octets until the table changes. Writing: fields that repeat from call to call (`stable`) go through the table and
soon become such a block, kept as octets; fields that vary (`variable`: timeouts, metadata) are literals that enter no
table, so that they never push the others out, unless they turn out to repeat. For that a block is not remembered when a
field in it was new.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from wirelane.http2.fields import BINARY, CONTENT_LENGTH, PSEUDO, Field, HeaderList, shown
from wirelane.http2.hpack import HpackDecoder, HpackEncoder, OversizedBlock

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

__all__ = [
    "BlockKind",
    "HeaderBlock",
    "HeaderDecoder",
    "HeaderEncoder",
    "HeaderList",
    "OversizedBlock",
]

# Blocks remembered at most, each way. A peer with more distinct heads than this gains nothing from memory.
_MEMORY = 512
# Sizes of the lists remembered of a peer, together: an octet may stand for a field of kilobytes, and the peer chooses.
_MEMORY_SIZE = 128 * 1024
# Blocks with a literal that are looked out for.
_SEEN = 64
_REQUEST_PSEUDO = frozenset({b":method", b":scheme", b":path", b":authority"})
_RESPONSE_PSEUDO = frozenset({b":status"})


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
        binary: A field has a name that ends in -bin.
        memo: For the layer above: what it made of the block as a head, so that it need not do so again.
        ending_memo: The same for the block as the end of a stream; the same octets may come as either.
    """

    __slots__ = ("binary", "content_length", "ending_memo", "error", "headers", "memo", "size", "status")

    def __init__(self, fields: list[Field], kind: BlockKind, size: int) -> None:
        self.content_length: int | None = None
        self.status = 0
        self.binary = False
        self.memo: object = None
        self.ending_memo: object = None
        self.headers: HeaderList = [one[0] for one in fields]
        self.size = size
        self.error = self._check(fields, kind)

    def _check(self, fields: list[Field], kind: BlockKind) -> str | None:
        pseudo: dict[bytes, bytes] = {}
        regular = False
        for pair, _, verdict in fields:
            if not verdict:
                regular = True
                continue
            name, value = pair
            if verdict == PSEUDO:
                if regular:
                    return "a pseudo-header field after a regular one"
                if name in pseudo:
                    return f"{shown(name)} twice"
                pseudo[name] = value
            elif verdict == BINARY:
                regular = self.binary = True
            elif verdict == CONTENT_LENGTH:
                regular = True
                if self.content_length not in (None, int(value)):
                    return "two values of content-length that differ"
                self.content_length = int(value)
            else:
                return str(verdict)
        return self._check_pseudo(pseudo, kind)

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
                return f"a request without {shown(name)}"
        return None


class HeaderDecoder:
    """Blocks in, header lists out.

    Args:
        hard_limit: Header list size (section 6.5.2) above which decoding stops. Decoding must go on beyond the
            advertised limit, or the table would be lost and one greedy call would take the connection with it.
    """

    __slots__ = ("_decoder", "_memory", "_remembered", "_seen")

    def __init__(self, hard_limit: int) -> None:
        self._decoder = HpackDecoder(hard_limit)
        # Blocks with a literal, by their hashes: most never come again, and are remembered when they do.
        self._seen: dict[int, None] = {}
        self._remembered = 0
        self._memory: dict[BlockKind, dict[bytes, HeaderBlock]] = {kind: {} for kind in BlockKind}

    def memory(self, kind: BlockKind) -> dict[bytes, HeaderBlock]:
        """Return the blocks known by their octets; the same dict always, so that the hot path may keep it."""
        return self._memory[kind]

    def decode(self, block: bytes, kind: BlockKind) -> HeaderBlock:
        """Decode one complete block.

        Raises:
            OversizedBlock: The list is above the hard limit.
            HPACKError: The block is not HPACK.
        """
        memory = self._memory[kind]
        known = memory.get(block)
        if known is not None:
            return known
        decoder = self._decoder
        decoded = HeaderBlock(decoder.decode(block), kind, decoder.size)
        if decoder.changed:
            self._forget()
        elif block and (not decoder.literals or self._seen_before(block)):
            if self._remembered + decoded.size > _MEMORY_SIZE or len(memory) >= _MEMORY:
                self._forget()
            self._remembered += decoded.size
            memory[block] = decoded
        return decoded

    def _seen_before(self, block: bytes) -> bool:
        seen, name = self._seen, hash(block)
        if name in seen:
            return True
        if len(seen) >= _SEEN:
            seen.clear()
        seen[name] = None
        return False

    def _forget(self) -> None:
        self._remembered = 0
        for known in self._memory.values():
            known.clear()


class HeaderEncoder:
    """Header lists in, blocks out."""

    __slots__ = ("_encoder", "_memory")

    def __init__(self) -> None:
        self._encoder = HpackEncoder()
        self._memory: dict[Hashable, bytes] = {}

    def set_table_size(self, size: int) -> None:
        """Obey the peer's HEADER_TABLE_SIZE; we never use more than the default 4,096 (RFC 7541 section 4.2)."""
        self._encoder.set_table_size(size)
        self._memory.clear()

    def encode(
        self,
        stable: tuple[tuple[bytes, bytes], ...],
        variable: Iterable[tuple[bytes, bytes]] = (),
        key: Hashable = None,
    ) -> bytes:
        """Return the block of `stable` followed by `variable`.

        Args:
            stable: Fields that repeat; best a `Fields`, which is found by identity.
            variable: Fields that may not.
            key: Stands for both together, if they may be remembered as one block; made of things that do not change.
        """
        if key is None and not variable:
            key = stable
        memory = self._memory
        if key is not None:
            block = memory.get(key)
            if block is not None:
                return block
        encoder = self._encoder
        announced = encoder.resize()
        before, noted = encoder.inserted, encoder.noted
        block = encoder.encode(stable, variable)
        if announced:
            return announced + block
        if encoder.inserted != before:
            memory.clear()
        elif key is not None and encoder.noted == noted:
            if len(memory) >= _MEMORY:
                memory.clear()
            memory[key] = block
        return block
