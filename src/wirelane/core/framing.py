"""Length-prefixed messages: how gRPC cuts a stream of bytes into messages, in both directions.

Each message is a flag (0 plain, 1 compressed), its length in four bytes, big endian, and that many bytes
(gRPC over HTTP/2, "Length-Prefixed-Message"). What a reader gives never depends on how the network cut the
bytes, and its limit is checked on the prefix: a message that is too large is refused before a byte of it is
kept.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NoReturn

from wirelane.errors import LimitExceeded, PeerError, UsageError, WirelaneError

__all__ = ["BATCH", "PREFIX", "MessageReader", "frame_message", "message_prefix"]

PREFIX: Final = 5
"""Bytes before each message."""
BATCH: Final = 1024
"""Messages that are cut at once; others wait as bytes."""
_PIECE: Final = 65_536

_LARGEST: Final = 2**32 - 1
_SMALL: Final = 1024  # pieces below this are gathered; an object each would cost many times their bytes
_prefix = Struct(">BI")
_pack = _prefix.pack
_unpack_from = _prefix.unpack_from


def message_prefix(payload: bytes, compressed: bool = False) -> bytes:
    """Return what travels before a message.

    Raises:
        UsageError: It is longer than four bytes can say.
    """
    size = len(payload)
    if size > _LARGEST:
        raise UsageError(f"a message of {size} bytes cannot be sent; the longest is {_LARGEST} bytes")
    return _pack(1 if compressed else 0, size)


def frame_message(payload: bytes, compressed: bool = False) -> bytes:
    """Return a message as it travels, in one piece. Raises UsageError as `message_prefix`."""
    return message_prefix(payload, compressed) + payload


class MessageReader:
    """Cuts received bytes into messages.

    After a fault the reader is done: every further `feed` raises the same error.

    A short message is many times its size as an object. So `feed` cuts at most `BATCH` messages, and what follows is held
    uncut, checked all the same, until `more` asks for it; `hold` begins that at once.

    Args:
        limit: The longest message to accept, in bytes as it travels.

    Attributes:
        missing: Bytes that the message which is not whole yet still lacks, as far as known: the rest of its prefix, or all;
            0 at a boundary.
        holding: What comes is held: `feed` returns no message before `more` has returned the last.
        held: Bytes of whole messages that are held.
    """

    __slots__ = (
        "_fault",
        "_flag",
        "_length",
        "_limit",
        "_octets",
        "_pieces",
        "completed",
        "held",
        "holding",
        "missing",
    )

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._flag = 0
        self._length = -1  # of the message being gathered; -1 until its prefix is whole
        # Of the prefix, or of the payload once the prefix is read.
        self._pieces: list[bytes | bytearray] = []
        self._fault: WirelaneError | None = None
        self._octets = bytearray()  # while holding: whole messages, and the beginning of one
        self.missing = 0
        self.holding = False
        self.held = 0
        self.completed: list[tuple[bool, bytes]] = []
        """The whole messages that the failing `feed` had found before the fault; else empty."""

    def __repr__(self) -> str:
        if self._fault is not None:
            return f"<MessageReader failed: {self._fault}>"
        if self.holding:
            return f"<MessageReader {self.held} bytes of messages held, {self.pending} bytes pending>"
        if self._length < 0:
            return f"<MessageReader {self.pending} bytes pending>"
        return f"<MessageReader {self._length - self.missing} of {self._length} bytes of a message>"

    @property
    def pending(self) -> int:
        """Bytes kept of a message that is not whole yet, its prefix included; 0 at a boundary."""
        if self.holding:
            return len(self._octets) - self.held
        if not self.missing:
            return 0
        return PREFIX + max(self._length, 0) - self.missing

    def feed(self, data: bytes) -> list[tuple[bool, bytes]]:
        """Take bytes in; return the messages that are whole now, as (compressed, payload).

        Raises:
            LimitExceeded: A prefix announces a message above the limit.
            PeerError: The flag of a prefix is neither 0 nor 1.
        """
        if not self.missing and not self.holding:
            # The hot path: nothing is kept, and mostly exactly one whole message comes.
            size = len(data)
            if size >= PREFIX and self._fault is None:
                flag, length = _unpack_from(data)
                if flag < 2 and length == size - PREFIX and length <= self._limit:
                    return [(flag == 1, data[PREFIX:])]
            return self._read(data, 0, [])
        return self._resume(data)

    def _resume(self, data: bytes) -> list[tuple[bool, bytes]]:
        """Go on with what is kept: part of a prefix, or a prefix and part of its payload."""
        if self.holding:
            self._hold(data)
            return []
        missing = self.missing
        if len(data) < missing:
            self._keep(data)
            self.missing = missing - len(data)
            return []
        pieces, self._pieces = self._pieces, []
        self.missing = 0
        if self._length < 0:
            # A prefix that was cut.
            pieces.append(data)
            return self._read(b"".join(pieces), 0, [])
        self._length = -1
        pieces.append(data[:missing])
        # join() of one piece of type bytes gives that piece itself: no copy.
        return self._read(data, missing, [(self._flag == 1, b"".join(pieces))])

    def _read(self, data: bytes, start: int, messages: list[tuple[bool, bytes]]) -> list[tuple[bool, bytes]]:
        """Read whole messages from `start` on, where one begins; keep what is left."""
        if self._fault is not None:
            raise self._fault
        size = len(data)
        limit = self._limit
        while size - start >= PREFIX:
            flag, length = _unpack_from(data, start)
            if flag > 1 or length > limit:
                self._fail(flag, length, messages)
            start += PREFIX
            end = start + length
            if end > size:
                self._flag, self._length = flag, length
                self.missing = end - size
                if start < size:
                    self._keep(data[start:])
                return messages
            messages.append((flag == 1, data[start:end]))
            start = end
            if len(messages) == BATCH and size - start >= PREFIX:
                self.completed = messages
                self.hold()
                self._hold(data[start:])
                self.completed = []
                return messages
        if start < size:
            self.missing = PREFIX - (size - start)
            self._keep(data[start:])
        return messages

    def hold(self) -> None:
        """Hold what comes from now on, until `more`."""
        if self.holding:
            return
        if self._length >= 0:
            self._octets += _pack(self._flag, self._length)
        self._octets += b"".join(self._pieces)
        self._pieces = []
        self.holding = True

    def _hold(self, data: bytes) -> None:
        """Hold bytes, and find the end of the last message that is whole."""
        if self._fault is not None:
            raise self._fault
        octets = self._octets
        octets += data
        size, held, limit, missing = len(octets), self.held, self._limit, 0
        while size - held >= PREFIX:
            flag, length = _unpack_from(octets, held)
            if flag > 1 or length > limit:
                self.held, self.missing = held, 0
                self._fail(flag, length, self.completed)
            missing = held + PREFIX + length - size
            if missing > 0:
                break
            held += PREFIX + length
        if 0 < size - held < PREFIX:
            missing = PREFIX - (size - held)
        self.held, self.missing = held, max(missing, 0)

    def more(self) -> list[tuple[bool, bytes]]:
        """Cut the next messages that are held, and hold no longer when these were the last."""
        messages: list[tuple[bool, bytes]] = []
        octets, start = self._octets, 0
        if self.held:
            first = PREFIX + _unpack_from(octets)[1]
            data = bytes(octets[: max(first, min(self.held, _PIECE))])
            size = len(data)
            while size - start >= PREFIX and len(messages) < BATCH:
                flag, length = _unpack_from(data, start)
                end = start + PREFIX + length
                if end > size:
                    break
                messages.append((flag == 1, data[start + PREFIX : end]))
                start = end
            del octets[:start]
            self.held -= start
        if self.holding and not self.held:
            self.holding = False
            self._length, self.missing = -1, 0
            self._octets = bytearray()
            if self._fault is None:
                self._read(bytes(octets), 0, messages)
        return messages

    def _fail(self, flag: int, length: int, messages: list[tuple[bool, bytes]]) -> NoReturn:
        if flag > 1:
            self._fault = PeerError(f"the peer sent a message with flag {flag}; only 0 and 1 exist")
        else:
            self._fault = LimitExceeded(
                f"the peer sent a message of {length} bytes; max_receive_message is {self._limit}",
                limit="max_receive_message",
                maximum=self._limit,
                seen=length,
            )
        self.completed = messages
        raise self._fault

    def _keep(self, data: bytes) -> None:
        if len(data) >= _SMALL:
            self._pieces.append(data)
            return
        last = self._pieces[-1] if self._pieces else None
        if isinstance(last, bytearray):
            last += data
        else:
            self._pieces.append(bytearray(data))
