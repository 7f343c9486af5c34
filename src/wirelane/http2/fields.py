"""Header fields, and what RFC 9113 section 8.2 says of one by itself.

The verdict on a field is made once, when it is read as a literal or enters the compression table, and goes with it
from there: the same field is never judged again in the block of the next call.
"""

from __future__ import annotations

from typing import Final

__all__ = ["BINARY", "CONTENT_LENGTH", "ORDINARY", "PSEUDO", "Field", "HeaderList", "field", "shown"]

HeaderList = list[tuple[bytes, bytes]]

ORDINARY: Final = 0
PSEUDO: Final = 1
CONTENT_LENGTH: Final = 2
BINARY: Final = 3  # a name that ends in -bin: gRPC has its value in base64

Field = tuple[tuple[bytes, bytes], int, "int | str"]
"""One field that was read: (name, value), its size as section 6.5.2 counts it, and its kind, or why it is malformed."""

# More digits than any length has; int() refuses thousands of them.
_MAX_LENGTH_DIGITS = 18
# RFC 9113 section 8.2.2.
_CONNECTION_SPECIFIC = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
)
# Section 8.2.1: what a name may not hold. Control characters, space, upper case, DEL and above; the colon is pseudo.
_BAD_NAME = bytes(c for c in range(256) if c <= 0x20 or 0x41 <= c <= 0x5A or c >= 0x7F)
_BAD_VALUE = b"\0\r\n"


def field(name: bytes, value: bytes) -> Field:
    """Return a field with its size and the verdict on it."""
    return (name, value), len(name) + len(value) + 32, _judge(name, value)


def _judge(name: bytes, value: bytes) -> int | str:
    if value.translate(None, _BAD_VALUE) != value:
        # Octets above ASCII are let through, and blanks around a value too, against the letter of section 8.2.1: gRPC
        # in C and Go sends a `grpc-message` that ends with one as it is, and its status must not be lost for that.
        return f"a control character in the value of {shown(name)}"
    if name[:1] == b":":
        if value and (value[0] in b" \t" or value[-1] in b" \t"):
            return f"white space around the value of {shown(name)}"
        return PSEUDO
    if not name or b":" in name or name.translate(None, _BAD_NAME) != name:
        return f"a field name that HTTP/2 does not allow: {shown(name)}"
    if name in _CONNECTION_SPECIFIC:
        return f"a connection-specific field: {shown(name)}"
    if name == b"te" and value.lower() != b"trailers":
        return "te with a value other than trailers"
    if name == b"content-length":
        if not value.isdigit() or len(value) > _MAX_LENGTH_DIGITS:
            return "a content-length that is no number of octets"
        return CONTENT_LENGTH
    return BINARY if name[-4:] == b"-bin" else ORDINARY


def shown(name: bytes) -> str:
    """Return a name as an error shows it."""
    return ascii(name[:40].decode("latin-1"))
