"""A direction of an HTTP/2 conversation as lines, one for each frame: for a log, not for the engine.

It takes any octets, cut anywhere; of what is not HTTP/2 it makes lines that say so.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

from wirelane.http2 import frames
from wirelane.http2.frames import FRAME_HEAD, PREFACE, ErrorCode

__all__ = ["FrameLines", "describe_frames"]

_MOST_LINES: Final = 100
"""Lines about one piece: an octet of the wire must not become a hundred here. The others are counted."""

_HEAD: Final = FRAME_HEAD.size
_LONG: Final = Struct(">I")
_STREAM: Final = 0x7FFF_FFFF  # without the reserved bit, RFC 9113 section 4.1

_NAMES: Final = {
    getattr(frames, name): name
    for name in (
        "DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY", "WINDOW_UPDATE",
        "CONTINUATION",
    )
}  # fmt: skip
_PADDING: Final = {frames.PADDED: "PADDED"}
_FLAGS: Final[dict[int, dict[int, str]]] = {
    frames.DATA: {frames.END_STREAM: "END_STREAM"} | _PADDING,
    frames.HEADERS: {
        frames.END_STREAM: "END_STREAM",
        frames.END_HEADERS: "END_HEADERS",
        frames.PRIORITY_FLAG: "PRIORITY",
    }
    | _PADDING,
    frames.PUSH_PROMISE: {frames.END_HEADERS: "END_HEADERS"} | _PADDING,
    frames.CONTINUATION: {frames.END_HEADERS: "END_HEADERS"},
    frames.SETTINGS: {frames.ACK: "ACK"},
    frames.PING: {frames.ACK: "ACK"},
}
# Octets of the payload that belong in the line.
_TOLD: Final = {frames.RST_STREAM: 4, frames.WINDOW_UPDATE: 4, frames.GOAWAY: 8}


class FrameLines:
    """The frames of one direction. `feed` returns the lines for those whose head a piece completes."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._need = _HEAD
        self._payload = 0  # octets still to come of the frame that was told of
        self._begun = False
        self._last = ""

    def feed(self, data: bytes | bytearray | memoryview) -> tuple[str, ...]:
        """Return the lines for a piece; one of which no frame begins is "more of" the frame before."""
        lines: list[str] = []
        count = at = 0
        while at < len(data):
            if self._payload:
                step = min(self._payload, len(data) - at)
                self._payload -= step
            else:
                step = min(self._need - len(self._head), len(data) - at)
                self._head += data[at : at + step]
                if len(self._head) == self._need and (line := self._line()) is not None:
                    count += 1
                    self._last = line
                    if count <= _MOST_LINES:
                        lines.append(line)
            at += step
        if count > _MOST_LINES:
            lines.append(f"and {count - _MOST_LINES} more frames")
        if not lines and data:
            lines.append(f"more of {self._last}" if not self._head else "part of the head of a frame")
        return tuple(lines)

    def _line(self) -> str | None:
        """Return the line for the head that is complete, or None and ask for more of it."""
        head = self._head
        if not self._begun and PREFACE.startswith(bytes(head)):
            # Section 3.4: what a client says first.
            if len(head) < len(PREFACE):
                self._need = len(PREFACE)
                return None
            return self._told("preface", 0)
        size_and_kind, flags, stream = FRAME_HEAD.unpack_from(head)
        length, kind, stream = size_and_kind >> 8, size_and_kind & 0xFF, stream & _STREAM
        told = min(length, _TOLD.get(kind, 0))
        if len(head) < _HEAD + told:
            self._need = _HEAD + told
            return None
        return self._told(_line(kind, flags, stream, length, bytes(head[_HEAD:])), length - len(head) + _HEAD)

    def _told(self, line: str, payload: int) -> str:
        self._begun = True
        self._head.clear()
        self._need = _HEAD
        self._payload = payload
        return line


def describe_frames() -> Callable[[bytes | bytearray | memoryview], tuple[str, ...]]:
    """Return the `feed` of a direction that begins."""
    return FrameLines().feed


def _line(kind: int, flags: int, stream: int, length: int, told: bytes) -> str:
    known = _FLAGS.get(kind, {})
    words = [_NAMES.get(kind, f"unknown frame 0x{kind:02x}"), f"stream {stream}"]
    words += [name for bit, name in known.items() if flags & bit]
    if rest := flags & ~sum(known):
        words.append(f"flags 0x{rest:02x}")
    if kind == frames.RST_STREAM and len(told) == 4:
        words.append(ErrorCode.text(*_LONG.unpack(told)))
    elif kind == frames.WINDOW_UPDATE and len(told) == 4:
        words.append(f"+{_LONG.unpack(told)[0] & _STREAM}")
    elif kind == frames.GOAWAY and len(told) == 8:
        last, code = (_LONG.unpack_from(told, at)[0] for at in (0, 4))
        words += [f"last {last & _STREAM}", ErrorCode.text(code)]
    return f"{' '.join(words)}, {length} octets"
