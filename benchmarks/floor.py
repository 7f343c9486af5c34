"""The floor: a bare loop of sockets that moves the bytes of the unary cases, and knows nothing of what they mean.

The client keeps as many requests in flight as the case; whichever are whole when bytes come in are answered, or
counted and followed by as many new ones, in one write. There is no call, no message and no task: what is left is the
event loop, the socket and the copies, which no stack on that loop gets around.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Any

from benchmarks import work

FRAME = 9
PREFIX = 5
MOST_DATA = 16_384
# Header blocks once both tables know the fields: a byte for each.
REQUEST_HEADERS = FRAME + 8
REPLY_HEADERS = FRAME + 3
TRAILERS = FRAME + 1
HELLO = struct.Struct("!II")


def framed(message: int) -> int:
    """Bytes of a message in DATA frames of the default size."""
    body = PREFIX + message
    return body + FRAME * -(-body // MOST_DATA)


def sizes(case: work.Case) -> tuple[int, int]:
    """Bytes of a request and of a reply on the wire."""
    if case.payload:
        request = work.Request(name="large", payload=bytes(case.payload))
    else:
        request = work.Request(name="wirelane", count=1)
    reply = work.answer(request)
    return REQUEST_HEADERS + framed(request.ByteSize()), REPLY_HEADERS + framed(reply.ByteSize()) + TRAILERS


class Server(asyncio.Protocol):
    """Told the two sizes first, it answers each whole request."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._hello = b""
        self._request = 0
        self._received = 0

    def data_received(self, data: bytes) -> None:
        if not self._request:
            self._hello += data
            if len(self._hello) < HELLO.size:
                return
            self._request, reply = HELLO.unpack_from(self._hello)
            self._reply = bytes(reply)
            data = self._hello[HELLO.size :]
        count, self._received = divmod(self._received + len(data), self._request)
        if count:
            self._transport.write(self._reply * count)


class Client(asyncio.Protocol):
    """Keeps `in_flight` requests on the way until `count` are answered."""

    def __init__(self, request: int, reply: int) -> None:
        self._request = bytes(request)
        self._reply = reply

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._received = 0
        transport.write(HELLO.pack(len(self._request), self._reply))  # type: ignore[attr-defined]

    async def run(self, count: int, in_flight: int) -> None:
        self._to_send, self._to_come = count, count
        self._done = asyncio.get_running_loop().create_future()
        self._send(in_flight)
        await self._done

    def _send(self, count: int) -> None:
        count = min(count, self._to_send)
        self._to_send -= count
        if count:
            self._transport.write(self._request * count)

    def data_received(self, data: bytes) -> None:
        count, self._received = divmod(self._received + len(data), self._reply)
        self._to_come -= count
        self._send(count)
        if not self._to_come:
            self._done.set_result(None)


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    work.announce(server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def client(port: int, case: work.Case) -> None:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_connection(lambda: Client(*sizes(case)), "127.0.0.1", port)
    for count in work.rounds(case):
        await protocol.run(count, case.in_flight)
    transport.close()


if __name__ == "__main__":
    work.entry(serve, client)
