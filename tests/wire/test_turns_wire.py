"""A connection on which much arrives is read in pieces, with a turn of the loop for everybody else after each."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable

import pytest
import uvloop

from conftest import Certificates
from support.wire_support import PING, PREFACE, SETTINGS, frame
from wirelane.core.limits import Limits
from wirelane.core.target import HostPort
from wirelane.transport.base import ServerStream
from wirelane.transport.server import serve

# What one read brings at most, on either loop.
READ = 256 * 1024
UNKNOWN = frame(0x77, 0, 0, bytes(16_384))
ANSWER = frame(PING, 1, 0, b"the end!")


def no_call(stream: ServerStream) -> None:
    raise AssertionError(f"nobody calls here: {stream!r}")


class Plain:
    """What a client says and hears, as it is."""

    async def shake_hands(self, client: socket.socket) -> None: ...

    def seal(self, octets: bytes) -> bytes:
        return octets

    def open(self, octets: bytes) -> bytes:
        return octets


class Tls(Plain):
    """The same through TLS."""

    def __init__(self, ca: Certificates) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ca.client_context(("h2",))
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    async def shake_hands(self, client: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                await loop.sock_sendall(client, self.outgoing.read())
                self.incoming.write(await loop.sock_recv(client, 65_536))
            else:
                return

    def seal(self, octets: bytes) -> bytes:
        self.tls.write(octets)
        return self.outgoing.read()

    def open(self, octets: bytes) -> bytes:
        self.incoming.write(octets)
        opened = b""
        with contextlib.suppress(ssl.SSLWantReadError):
            while piece := self.tls.read(65_536):
                opened += piece
        return opened


async def turns_for_what_waits(line: Plain, context: ssl.SSLContext | None) -> tuple[int, int]:
    """Fill the socket of a server while it cannot read; how much that was, and in how many turns it is answered."""
    serving = await serve(HostPort("127.0.0.1", 0), no_call, tls=context, limits=Limits())
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * 2**20)
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", serving.port))
        await line.shake_hands(client)
        await loop.sock_sendall(client, line.seal(PREFACE + frame(SETTINGS, 0, 0)))
        while not serving.connections or not line.open(await loop.sock_recv(client, 65_536)):
            await asyncio.sleep(0)
        flood = memoryview(line.seal(UNKNOWN * 600))
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while sent < len(flood):
                sent += client.send(flood[sent:])
        # From here on the loop turns; the rest follows as there is room.
        rest = asyncio.ensure_future(
            loop.sock_sendall(client, bytes(flood[sent:]) + line.seal(frame(PING, 0, 0, b"the end!")))
        )
        turns, heard = 0, b""
        while ANSWER not in heard:
            await asyncio.sleep(0)
            turns += 1
            with contextlib.suppress(BlockingIOError):
                heard += line.open(client.recv(65_536))
        await rest
    serving.close()
    await serving.wait_closed()
    return len(flood), turns


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_no_more_than_one_read_of_a_connection_is_taken_in_a_turn(
    loop: Callable[[], asyncio.AbstractEventLoop], tls: bool, ca: Certificates
) -> None:
    """10 MB wait, or come as fast as they are read."""
    line, context = (Tls(ca), ca.server_context(("h2",))) if tls else (Plain(), None)
    with asyncio.Runner(loop_factory=loop) as runner:
        octets, turns = runner.run(turns_for_what_waits(line, context))
    assert turns >= octets // READ
