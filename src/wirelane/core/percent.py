"""The percent coding of `grpc-message` (gRPC over HTTP/2, "Status-Message").

Every text has an encoding, and every sequence of bytes a decoding: a status must never be lost because of the
words that came with it.
"""

from __future__ import annotations

import re

__all__ = ["decode_message", "encode_message"]

_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
# Blanks at the ends are escaped too: a field value must not start or end with one (RFC 9113, section 8.2.1).
_UNSAFE = re.compile(rb"[^ -$&-~]|^ +| +\Z")


def encode_message(message: str) -> bytes:
    """Return a text as UTF-8 in which everything but printable ASCII, and the percent sign, is escaped."""
    if message.isascii() and message.isprintable() and "%" not in message and message.strip(" ") == message:
        return message.encode("ascii")
    # A lone surrogate has no UTF-8; a question mark in its place is better than no status.
    return _UNSAFE.sub(_escape, message.encode("utf-8", "replace"))


def _escape(match: re.Match[bytes]) -> bytes:
    return b"".join(b"%%%02X" % byte for byte in match[0])


def decode_message(data: bytes) -> str:
    """Return the text of a received `grpc-message`. Never fails.

    An escape that is none stays as it is; bytes that are no UTF-8 become U+FFFD.
    """
    if b"%" in data:
        data = _ESCAPE.sub(_unescape, data)
    return data.decode("utf-8", "replace")


def _unescape(match: re.Match[bytes]) -> bytes:
    return bytes((int(match[1], 16),))
