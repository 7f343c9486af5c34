"""Compression of single messages: gzip (RFC 1952) and deflate, which is the zlib format (RFC 1950).

A message is inflated up to a limit and never past it: at most one byte more than the limit is ever held,
whatever the message claims to be. Corrupt, cut-off and over-long input are errors; nothing is dropped in
silence.
"""

from __future__ import annotations

import zlib
from typing import Final

from wirelane.errors import CodecError, LimitExceeded, UsageError

__all__ = ["IDENTITY", "SUPPORTED", "accept_encoding", "choose", "compress", "decompress"]

IDENTITY: Final = "identity"
_WINDOW_BITS: Final = {"gzip": zlib.MAX_WBITS + 16, "deflate": zlib.MAX_WBITS}

SUPPORTED: Final[tuple[str, ...]] = (IDENTITY, *_WINDOW_BITS)
"""The names that both directions know, the preferred ones after identity first."""

_ACCEPT: Final = ",".join(_WINDOW_BITS)
# zlib hands back a copy of all input behind a member. Input in pieces, and an end to the members, keep a
# message of empty members from being quadratic. bgzip, which makes the most members, puts 64 KiB in each.
_PIECE: Final = 64 * 1024
_MOST_MEMBERS: Final = 1024


def accept_encoding() -> str:
    """Return the value of `grpc-accept-encoding`. Identity is always accepted and need not be said."""
    return _ACCEPT


def choose(accepted: str | None) -> str:
    """Return the best encoding a peer with this `grpc-accept-encoding` can read; identity if there is none."""
    if not accepted:
        return IDENTITY
    names = {name.strip().lower() for name in accepted.split(",")}
    return next((name for name in _WINDOW_BITS if name in names), IDENTITY)


def _window_bits(name: str) -> int:
    bits = _WINDOW_BITS.get(name)
    if bits is None:
        raise UsageError(f"compression {name!r} is not supported; choose one of {', '.join(SUPPORTED)}")
    return bits


def compress(name: str, data: bytes) -> bytes:
    """Return a message compressed with the named encoding, at zlib's default level.

    Raises:
        UsageError: The encoding is not in SUPPORTED.
    """
    if name == IDENTITY:
        return data
    return zlib.compress(data, wbits=_window_bits(name))


def decompress(name: str, data: bytes, limit: int) -> bytes:
    """Return a compressed message as it was.

    Args:
        name: The encoding.
        data: The message as it travelled.
        limit: The longest result to accept, in bytes.

    Raises:
        LimitExceeded: The result is longer than `limit`; it was not inflated any further.
        CodecError: The data is corrupt, ends too early, or goes on behind its end.
        UsageError: The encoding is not in SUPPORTED.
    """
    if name == IDENTITY:
        if len(data) > limit:
            raise _too_long(limit)
        return data
    bits = _window_bits(name)
    try:
        return _inflate(name, bits, data, limit)
    except zlib.error as error:
        raise CodecError(f"the message is no valid {name}: {error}") from None


def _inflate(name: str, bits: int, data: bytes, limit: int) -> bytes:
    inflater = zlib.decompressobj(bits)
    parts: list[bytes] = []
    room = limit + 1  # never 0, which zlib reads as "no bound"
    members = 1
    start = 0
    while start < len(data):
        piece = data[start : start + _PIECE]
        if inflater.eof:
            if name != "gzip":
                raise CodecError(f"the {name} message goes on behind its end")
            if members == _MOST_MEMBERS:
                raise CodecError(f"the gzip message has more than {_MOST_MEMBERS} members")
            members += 1
            inflater = zlib.decompressobj(bits)
        part = inflater.decompress(piece, room)
        room -= len(part)
        if room == 0:
            raise _too_long(limit)
        parts.append(part)
        start += len(piece) - len(inflater.unused_data)
    if not inflater.eof:
        raise CodecError(f"the {name} message ends too early")
    return b"".join(parts)


def _too_long(limit: int) -> LimitExceeded:
    return LimitExceeded(
        f"the message is longer than {limit} bytes when decompressed",
        limit="max_receive_message",
        maximum=limit,
    )
