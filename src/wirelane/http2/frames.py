"""HTTP/2 frames as bytes: constants, and one function per frame we send (RFC 9113 sections 4 and 6).

There are no frame objects: frames are read in place by `connection` and written as bytes by these functions.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct

__all__ = [
    "ACK",
    "CONTINUATION",
    "DATA",
    "DEFAULT_MAX_FRAME_SIZE",
    "DEFAULT_WINDOW",
    "END_HEADERS",
    "END_STREAM",
    "FRAME_HEAD",
    "GOAWAY",
    "HEADERS",
    "MAX_STREAM_ID",
    "MAX_WINDOW",
    "PADDED",
    "PING",
    "PREFACE",
    "PRIORITY",
    "PRIORITY_FLAG",
    "PUSH_PROMISE",
    "RST_STREAM",
    "SETTINGS",
    "WINDOW_UPDATE",
    "ErrorCode",
    "ProtocolViolation",
    "Setting",
    "frame",
    "goaway",
    "header_frames",
    "ping",
    "rst_stream",
    "settings",
    "window_update",
]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # section 3.4

# Frame types, section 6.
DATA = 0x0
HEADERS = 0x1
PRIORITY = 0x2
RST_STREAM = 0x3
SETTINGS = 0x4
PUSH_PROMISE = 0x5
PING = 0x6
GOAWAY = 0x7
WINDOW_UPDATE = 0x8
CONTINUATION = 0x9

# Flags.
END_STREAM = 0x1
ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITY_FLAG = 0x20

DEFAULT_WINDOW = 65_535  # section 6.9.2
DEFAULT_MAX_FRAME_SIZE = 16_384  # section 4.2
MAX_WINDOW = 2**31 - 1  # section 6.9.1
MAX_STREAM_ID = 2**31 - 1  # section 5.1.1

# A frame's head in one go: 24 bits of length and 8 of type as one integer, flags, stream (its reserved bit on top).
FRAME_HEAD = Struct(">IBI")
_LONG = Struct(">I")
_SETTING = Struct(">HI")


class ErrorCode(IntEnum):
    """Error codes of RST_STREAM and GOAWAY, section 7."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC
    HTTP_1_1_REQUIRED = 0xD

    @classmethod
    def text(cls, code: int) -> str:
        """Return the name of a code, or its number for one that no RFC names."""
        try:
            return cls(code).name
        except ValueError:
            return f"error 0x{code:x}"


class ProtocolViolation(Exception):
    """The peer broke a rule that ends the connection (section 5.4.1). Raised and caught inside the engine."""

    def __init__(self, code: ErrorCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Setting(IntEnum):
    """SETTINGS parameters, section 6.5.2."""

    HEADER_TABLE_SIZE = 0x1
    ENABLE_PUSH = 0x2
    MAX_CONCURRENT_STREAMS = 0x3
    INITIAL_WINDOW_SIZE = 0x4
    MAX_FRAME_SIZE = 0x5
    MAX_HEADER_LIST_SIZE = 0x6


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """Return one whole frame."""
    return FRAME_HEAD.pack(len(payload) << 8 | kind, flags, stream_id) + payload


def settings(values: dict[int, int] | None) -> bytes:
    """Return a SETTINGS frame with these values, or the acknowledgement for None."""
    if values is None:
        return frame(SETTINGS, ACK, 0)
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(key, value) for key, value in values.items()))


def ping(payload: bytes, *, ack: bool = False) -> bytes:
    """Return a PING with its eight bytes."""
    return frame(PING, ACK if ack else 0, 0, payload)


def goaway(last_stream_id: int, code: int, debug: bytes = b"") -> bytes:
    """Return a GOAWAY."""
    return frame(GOAWAY, 0, 0, _LONG.pack(last_stream_id) + _LONG.pack(code) + debug)


def rst_stream(stream_id: int, code: int) -> bytes:
    """Return a RST_STREAM."""
    return FRAME_HEAD.pack(4 << 8 | RST_STREAM, 0, stream_id) + _LONG.pack(code)


def window_update(stream_id: int, increment: int) -> bytes:
    """Return a WINDOW_UPDATE."""
    return FRAME_HEAD.pack(4 << 8 | WINDOW_UPDATE, 0, stream_id) + _LONG.pack(increment)


def header_frames(stream_id: int, block: bytes, *, end_stream: bool, max_frame_size: int) -> bytes:
    """Return HEADERS and as many CONTINUATION as the block needs, to be written without a gap (section 4.3)."""
    flags = END_STREAM if end_stream else 0
    if len(block) <= max_frame_size:
        return FRAME_HEAD.pack(len(block) << 8 | HEADERS, flags | END_HEADERS, stream_id) + block
    parts = [frame(HEADERS, flags, stream_id, block[:max_frame_size])]
    for start in range(max_frame_size, len(block), max_frame_size):
        piece = block[start : start + max_frame_size]
        last = start + max_frame_size >= len(block)
        parts.append(frame(CONTINUATION, END_HEADERS if last else 0, stream_id, piece))
    return b"".join(parts)
