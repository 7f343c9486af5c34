"""A TCP relay between two gRPC ends that records, frame by frame, which messages travelled compressed.

With TLS it is a TLS server to the client and a TLS client to the server (both with the certificates of the tests, both
with client certificates where the transport has them): only so can it see the frames. It takes frames apart with
hyperframe and headers with hpack; it changes nothing.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import hpack
from hyperframe.frame import ContinuationFrame, DataFrame, Frame, HeadersFrame

if TYPE_CHECKING:
    from conftest import Certificates


_PREFACE = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")


@dataclass
class Side:
    """What one end said on one stream.

    Attributes:
        encodings: The grpc-encoding of each block of headers that names one.
        flags: Of each message, whether its compressed flag was set.
    """

    encodings: list[str] = field(default_factory=list)
    flags: list[bool] = field(default_factory=list)
    _rest: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> None:
        self._rest += data
        while len(self._rest) >= 5:
            end = 5 + int.from_bytes(self._rest[1:5], "big")
            if len(self._rest) < end:
                return
            assert self._rest[0] in (0, 1)
            self.flags.append(bool(self._rest[0]))
            del self._rest[:end]


@dataclass
class RecordedCall:
    """One stream."""

    path: str = ""
    request: Side = field(default_factory=Side)
    reply: Side = field(default_factory=Side)


class _Direction:
    """The frames of one direction of one connection."""

    def __init__(self, calls: dict[int, RecordedCall], record: list[RecordedCall], *, up: bool) -> None:
        self._calls, self._record, self._up = calls, record, up
        self._skip = _PREFACE if up else 0
        self._buffer = bytearray()
        self._block = b""
        self._decoder = hpack.Decoder()

    def feed(self, data: bytes) -> None:
        self._buffer += data
        if self._skip:
            if len(self._buffer) < self._skip:
                return
            del self._buffer[: self._skip]
            self._skip = 0
        while len(self._buffer) >= 9:
            frame, length = Frame.parse_frame_header(memoryview(bytes(self._buffer[:9])))
            if len(self._buffer) < 9 + length:
                return
            frame.parse_body(memoryview(bytes(self._buffer[9 : 9 + length])))
            del self._buffer[: 9 + length]
            self._take(frame)

    def _take(self, frame: Frame) -> None:
        if isinstance(frame, HeadersFrame | ContinuationFrame):
            self._block += frame.data
            if "END_HEADERS" in frame.flags:
                block, self._block = self._block, b""
                self._take_headers(
                    frame.stream_id, {str(name): str(value) for name, value in self._decoder.decode(block)}
                )
        elif isinstance(frame, DataFrame):
            self._side(frame.stream_id).feed(frame.data)

    def _take_headers(self, stream: int, headers: dict[str, str]) -> None:
        if self._up:
            call = self._calls[stream] = RecordedCall(headers[":path"])
            self._record.append(call)
        if "grpc-encoding" in headers:
            self._side(stream).encodings.append(headers["grpc-encoding"])

    def _side(self, stream: int) -> Side:
        call = self._calls[stream]
        return call.request if self._up else call.reply


class Relay:
    """Connections from any client to one server.

    Attributes:
        port: Where it listens, on 127.0.0.1.
        calls: Every call that went through, in order.
    """

    port = 0

    def __init__(self) -> None:
        self.calls: list[RecordedCall] = []
        self.failures: list[Exception] = []

    def came(self, path: str, claims: list[bool]) -> bool:
        """Whether the messages of the latest call of `path` were compressed as it claims of each."""
        call = next(call for call in reversed(self.calls) if call.path == path)
        return call.request.flags == claims

    def flags(self) -> list[tuple[list[bool], list[bool]]]:
        """The flags of the requests and of the replies of each call."""
        return [(call.request.flags, call.reply.flags) for call in self.calls]


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tap: _Direction) -> None:
    while data := await reader.read(65536):
        tap.feed(data)
        writer.write(data)
        await writer.drain()


def _contexts(ca: Certificates, transport: str) -> tuple[ssl.SSLContext | None, ssl.SSLContext | None]:
    if transport == "h2c":
        return None, None
    mutual = transport == "mtls"
    return (
        ca.server_context(("h2",), client_certificates=mutual),
        ca.client_context(("h2",), certificate=mutual),
    )


@asynccontextmanager
async def recording_relay(ca: Certificates, transport: str, to_port: int) -> AsyncIterator[Relay]:
    """Relay a free port of 127.0.0.1 to `to_port`; leaving cuts what is still connected."""
    relay = Relay()
    incoming, outgoing = _contexts(ca, transport)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_connection(relay, reader, writer, to_port, outgoing))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=incoming)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        server.close()
        running = list(tasks)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await server.wait_closed()
        assert relay.failures == []


async def _connection(
    relay: Relay,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    to_port: int,
    outgoing: ssl.SSLContext | None,
) -> None:
    streams: dict[int, RecordedCall] = {}
    writers = [writer]
    pumps: list[asyncio.Task[None]] = []
    try:
        there, back = await asyncio.open_connection("127.0.0.1", to_port, ssl=outgoing)
        writers.append(back)
        pumps = [
            asyncio.create_task(_pump(reader, back, _Direction(streams, relay.calls, up=True))),
            asyncio.create_task(_pump(there, writer, _Direction(streams, relay.calls, up=False))),
        ]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for pump in pumps:
            pump.cancel()
        for one in writers:
            one.close()
        outcomes = await asyncio.gather(*pumps, return_exceptions=True)
        # A connection may break; whatever else goes wrong in here must not look like the fault of an end.
        relay.failures += [
            error for error in outcomes if isinstance(error, Exception) and not isinstance(error, OSError)
        ]
        for one in writers:
            with suppress(OSError):
                await one.wait_closed()
