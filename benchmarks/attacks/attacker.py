"""A client that says exactly what it is told, over a plain blocking socket, and puts into words what it got.

It shares nothing with wirelane: frames are packed here, header blocks are made and read by `hpack`.
"""

from __future__ import annotations

import contextlib
import select
import socket
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
CODES = (
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
)
CANCEL = (8).to_bytes(4, "big")
# Seconds that a server has for anything; only a broken one needs them.
PATIENCE = 30.0

Fields = list[tuple[str, str]]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def message(payload: bytes, flag: int = 0) -> bytes:
    return bytes((flag,)) + len(payload).to_bytes(4, "big") + payload


def request(method: str = "Echo", extra: Fields | None = None) -> Fields:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", f"/attack.Victim/{method}"),
        (":authority", "victim"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        *(extra or []),
    ]


@dataclass(frozen=True)
class Heard:
    """One frame of the server."""

    kind: int
    flags: int
    stream: int
    payload: bytes
    fields: tuple[tuple[str, str], ...] = ()

    @property
    def words(self) -> str:
        """What it says: "GOAWAY ENHANCE_YOUR_CALM: why", "RST_STREAM CANCEL", "grpc-status 13", "HTTP 415"."""
        if self.kind == GOAWAY:
            why = self.payload[8:].decode("utf-8", "replace")
            return f"GOAWAY {CODES[int.from_bytes(self.payload[4:8], 'big')]}: {why}"
        if self.kind == RST_STREAM:
            return f"RST_STREAM {CODES[int.from_bytes(self.payload, 'big')]}"
        fields = dict(self.fields)
        if fields.get(":status", "200") != "200":
            return f"HTTP {fields[':status']}"
        return f"grpc-status {fields['grpc-status']}" if "grpc-status" in fields else f"frame {self.kind}"


class Attacker:
    """One connection to a server.

    Args:
        port: Of the server, on 127.0.0.1.
        settings: Payload of our SETTINGS; None: not even the preface is said.
    """

    def __init__(self, port: int, settings: bytes | None = b"") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.heard: list[Heard] = []
        self.closed = False
        self.raw = b""
        self._buffer = b""
        self._unacknowledged = 0
        # What we may send: by stream, and on the connection (0).
        self._windows: dict[int, int] = {0: 65_535}
        self._initial_window = 65_535
        self._encoder = hpack.Encoder()
        self._decoder = hpack.Decoder()
        if settings is not None:
            self._unacknowledged = 1
            self.send(PREFACE, frame(SETTINGS, 0, 0, settings))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, *frames: bytes) -> None:
        """Say it all; that the server has closed meanwhile is not an error, and is heard in due course."""
        with contextlib.suppress(ConnectionError):
            self.socket.sendall(b"".join(frames))

    def block(self, fields: Fields) -> bytes:
        return bytes(self._encoder.encode(fields))

    def call(
        self, stream: int, fields: Fields, body: bytes | None = message(b""), *, end: bool = True
    ) -> bytes:
        """The frames of a call: its head, and its body if there is one."""
        if body is None:
            return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, self.block(fields))
        head = frame(HEADERS, END_HEADERS, stream, self.block(fields))
        return head + frame(DATA, END_STREAM if end else 0, stream, body)

    def hear(self) -> Heard | None:
        """The next frame; None when the server has closed."""
        while True:
            size = 9 + int.from_bytes(self._buffer[:3], "big")
            if len(self._buffer) >= max(9, size):
                return self._frame(size)
            try:
                data = self.socket.recv(256 * 1024)
            except ConnectionError:
                data = b""
            if not data:
                self.closed = True
                return None
            self.raw += data[: 4096 - len(self.raw)] if len(self.raw) < 4096 else b""
            self._buffer += data

    def _frame(self, size: int) -> Heard:
        head, payload, self._buffer = self._buffer[:9], self._buffer[9:size], self._buffer[size:]
        fields: tuple[tuple[str, str], ...] = ()
        if head[3] == HEADERS:
            decoded = self._decoder.decode(payload, raw=True)
            fields = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in decoded)
        if head[3] == SETTINGS and head[4] & ACK:
            self._unacknowledged -= 1
        elif head[3] == SETTINGS:
            self._settings(payload)
        elif head[3] == WINDOW_UPDATE:
            self._widen(int.from_bytes(head[5:9], "big"), int.from_bytes(payload, "big"))
        heard = Heard(head[3], head[4], int.from_bytes(head[5:9], "big"), payload, fields)
        self.heard.append(heard)
        return heard

    def _settings(self, payload: bytes) -> None:
        for start in range(0, len(payload), 6):
            if payload[start : start + 2] == b"\0\4":
                self._initial_window = int.from_bytes(payload[start + 2 : start + 6], "big")

    def _widen(self, stream: int, more: int) -> None:
        self._windows[stream] = self._windows.get(stream, self._initial_window) + more

    def send_within_windows(self, bodies: dict[int, bytes]) -> int:
        """Send what the server's windows let through of the body of each stream; the octets that went.

        It ends when all went, or when the server has opened no window in three exchanges of SETTINGS.
        """
        left = {stream: memoryview(body) for stream, body in bodies.items()}
        sent, quiet = 0, 0
        self.settle()
        while any(left.values()) and quiet < 3:
            went = sum(self._send_some(stream, left) for stream in left)
            sent += went
            quiet = 0 if went else quiet + 1
            if self.settle() != "alive":
                break
        return sent

    def _send_some(self, stream: int, left: dict[int, memoryview]) -> int:
        window = min(self._windows[0], self._windows.setdefault(stream, self._initial_window))
        body = left[stream][: max(0, window)]
        left[stream] = left[stream][len(body) :]
        for number in (0, stream):
            self._windows[number] -= len(body)
        pieces = (body[start : start + 16_384] for start in range(0, len(body), 16_384))
        self.send(*(frame(DATA, 0, stream, bytes(piece)) for piece in pieces))
        return len(body)

    def settle(self) -> str:
        """Wait until all that was sent has been read; "alive", or how the server ended the connection.

        SETTINGS have to be acknowledged, as PINGs have, and are not held against a client as PINGs are.
        """
        self._unacknowledged += 1
        self.send(frame(SETTINGS, 0, 0))
        while (heard := self.hear()) is not None:
            if not self._unacknowledged:
                return "alive"
            if heard.kind == GOAWAY:
                return heard.words
        return "closed"

    def until_closed(self) -> str:
        """Listen until the server closes: "closed", after its GOAWAY if there was one."""
        while self.hear() is not None:
            pass
        ends = [heard.words for heard in self.heard if heard.kind == GOAWAY]
        return ends[-1] if ends else "closed"

    def until_cut(self) -> str:
        """Read nothing until the server closes: "closed", or "open" if it has not in `PATIENCE` seconds."""
        poll = select.poll()
        poll.register(self.socket, select.POLLRDHUP)
        return "closed" if poll.poll(PATIENCE * 1000) else "open"

    def answer(self, stream: int) -> str:
        """How the server ends a stream, or the connection before that."""
        for heard in self.heard:
            if _ends(heard, stream):
                return heard.words
        while (latest := self.hear()) is not None:
            if _ends(latest, stream) or latest.kind == GOAWAY:
                return latest.words
        return "closed"

    def count(self, words: str) -> int:
        """How many frames heard so far said this."""
        return sum(heard.words == words for heard in self.heard if heard.kind in (HEADERS, RST_STREAM))


def _ends(heard: Heard, stream: int) -> bool:
    return heard.stream == stream and (
        heard.kind == RST_STREAM or (heard.kind in (HEADERS, DATA) and bool(heard.flags & END_STREAM))
    )
