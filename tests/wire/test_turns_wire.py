"""A connection on which much arrives is read in pieces, with a turn of the loop for everybody else after each."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

import pytest
import uvloop

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


async def turns_for_what_waits() -> tuple[int, int]:
    """Fill the socket of a server while it cannot read; how much that was, and in how many turns it is answered."""
    serving = await serve(HostPort("127.0.0.1", 0), no_call, limits=Limits())
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * 2**20)
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", serving.port))
        await loop.sock_sendall(client, PREFACE + frame(SETTINGS, 0, 0))
        while not serving.connections or not await loop.sock_recv(client, 65_536):
            await asyncio.sleep(0)
        flood = memoryview(UNKNOWN * 600)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while sent < len(flood):
                sent += client.send(flood[sent:])
        # From here on the loop turns; the rest follows as there is room.
        rest = asyncio.ensure_future(
            loop.sock_sendall(client, bytes(flood[sent:]) + frame(PING, 0, 0, b"the end!"))
        )
        turns, heard = 0, b""
        while ANSWER not in heard:
            await asyncio.sleep(0)
            turns += 1
            with contextlib.suppress(BlockingIOError):
                heard += client.recv(65_536)
        await rest
    serving.close()
    await serving.wait_closed()
    return len(flood), turns


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_no_more_than_one_read_of_a_connection_is_taken_in_a_turn(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """10 MB wait, or come as fast as they are read."""
    with asyncio.Runner(loop_factory=loop) as runner:
        octets, turns = runner.run(turns_for_what_waits())
    assert turns >= octets // READ
