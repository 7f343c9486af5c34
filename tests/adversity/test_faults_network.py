"""What else networks and machines do to TCP: drips, floods, silence, no descriptors left, processes that stop or die."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import pytest

from support.faults_support import bare, line, listening_socket
from support.tcp_support import served, turns, until
from wirelane import Limits, SocketOptions, tcp
from wirelane.errors import (
    ConnectError,
    ConnectionLost,
    EndOfStream,
    LimitExceeded,
    ReadTimeout,
    SendTimeout,
)
from wirelane.testing import faults

if TYPE_CHECKING:
    from collections.abc import Iterator

SILENT = faults.Stall(direction="both")


# -- slow drip


async def test_bytes_that_drip_do_not_prolong_a_total_timeout() -> None:
    """A byte every millisecond, and never a line: the deadline is that of the call."""
    async with line(faults.Slicer(1, delay=0.001)) as at:
        at.server.writer.write(bytes(65536))
        with pytest.raises(ReadTimeout) as raised:
            await at.client.read_line(timeout=0.1, idle_timeout=30.0)
        assert len(raised.value.partial) == at.client.buffered > 0
        assert set(raised.value.partial) == {0}


async def test_bytes_that_drip_keep_an_idle_timeout_away_and_their_end_brings_it() -> None:
    """The drip takes longer than the silence that is allowed; what then stalls is silent."""
    async with line(faults.Slicer(1, delay=0.01), faults.Stall(after_bytes=50)) as at:
        at.server.writer.write(bytes(100))
        with pytest.raises(ReadTimeout) as raised:
            await at.client.read_exactly(100, timeout=30.0, idle_timeout=0.4)
        assert raised.value.partial == bytes(50)


@pytest.mark.parametrize(
    ("stream", "marker", "message"),
    [
        (b"aaab", b"aab", b"aaab"),
        (b"ababac!", b"abac", b"ababac"),
        (b"\r\r\n\r\n.", b"\r\n\r\n", b"\r\r\n\r\n"),
        (b"x" * 40 + b"END" + b"tail", b"END", b"x" * 40 + b"END"),
    ],
)
async def test_a_marker_is_found_wherever_it_is_split(stream: bytes, marker: bytes, message: bytes) -> None:
    """In two, at every offset of the stream: the second half comes when the reader has seen the first."""
    async with line() as at:
        for place in range(1, len(stream)):
            reading = asyncio.create_task(at.client.read(marker=marker))
            stall = at.proxy.add(faults.Stall(after_bytes=place))
            at.server.writer.write(stream)
            await until(lambda place=place, reading=reading: reading.done() or at.client.buffered == place)
            at.proxy.remove(stall)
            assert await reading == message
            assert await at.client.read_exactly(len(stream) - len(message)) == stream[len(message) :]


# -- floods, and peers that do not read


async def test_endless_data_without_a_marker_is_bounded_at_every_hop() -> None:
    """The read gives up at its limit, and the reader's backpressure goes through the proxy to the sender."""
    endless = 64 * 2**20
    async with listening_socket() as (address, accept), faults.FaultProxy(address, buffer=65536) as proxy:
        async with tcp.connect(proxy.address) as client, accept() as server:
            sending = asyncio.create_task(server.send(bytes(endless)))
            with pytest.raises(LimitExceeded) as raised:
                await client.read(marker=b"\n")
            assert len(raised.value.partial) == Limits().read_buffer
            passed = -1
            while passed != proxy.stats.downstream_bytes:
                passed = proxy.stats.downstream_bytes
                await turns(200)
            assert client.buffered <= 2**20
            assert passed < endless // 2, "more than the buffers of two systems"
            assert not sending.done()
            client.abort()
            with pytest.raises(ConnectionError):
                await sending


async def test_a_peer_that_never_reads_costs_the_sender_its_deadline_and_bounded_memory() -> None:
    async with listening_socket() as (address, accept):
        async with faults.FaultProxy(address, buffer=4096) as proxy:
            limits, options = Limits(max_send_buffer=100_000), SocketOptions(send_buffer=65536)
            async with (
                tcp.connect(proxy.address, limits=limits, options=options) as client,
                accept() as server,
            ):
                server.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                with pytest.raises(SendTimeout) as raised:
                    while True:
                        await client.send(bytes(65536), timeout=0.1)
                assert 0 < raised.value.unsent <= 65536
                client.abort()


# -- no descriptors


@contextmanager
def few_descriptors(free: int) -> Iterator[None]:
    """Leave so many descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def echo(connection: tcp.Connection) -> None:
    async for chunk in connection:
        await connection.send(chunk)


async def test_a_client_without_descriptors_is_told_so() -> None:
    async with served(echo) as (_, address):
        with few_descriptors(0), pytest.raises(ConnectError, match="too many open files") as raised:
            await tcp.connect(address)
        assert raised.value.attempts[0][1].errno == errno.EMFILE  # type: ignore[attr-defined]
        async with tcp.connect(address) as connection:
            await connection.send(b"x")
            assert await connection.read_exactly(1) == b"x"


async def test_a_server_without_descriptors_serves_those_who_waited_when_it_has_some(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with served(echo) as (_, address):
        with few_descriptors(1):
            connecting = await tcp.connect(address)  # the kernel's queue has it; nobody can accept it
            await connecting.send(b"patience")
            await until(lambda: "pauses" in caplog.text)
        assert await connecting.read_exactly(8, timeout=30.0) == b"patience"
        await connecting.close()


# -- processes


TALKER = """
import socket, sys
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
peer, _ = listening.accept()
while data := peer.recv(65536):
    peer.sendall(data)
    if data.endswith(b"then be deaf"):
        print("deaf", flush=True)
        sys.stdin.read()
"""


@asynccontextmanager
async def talker() -> AsyncIterator[tuple[asyncio.subprocess.Process, faults.FaultProxy, tcp.Connection]]:
    """An echo in another process, behind a proxy."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        TALKER,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = int(await process.stdout.readline())
        async with faults.FaultProxy(f"127.0.0.1:{port}") as proxy:
            async with tcp.connect(proxy.address) as connection:
                yield process, proxy, connection
    finally:
        if process.returncode is None:
            process.kill()
        process.stdin.close()
        await process.communicate()


async def test_a_process_that_is_stopped_is_silence_and_goes_on_when_it_does() -> None:
    """Its system acknowledges all the same: no keepalive of TCP can tell, an idle timeout can."""
    async with talker() as (process, _, connection):
        await connection.send(b"one")
        assert await connection.read_exactly(3) == b"one"
        process.send_signal(signal.SIGSTOP)
        await connection.send(b"two")
        with pytest.raises(ReadTimeout):
            await connection.read_exactly(3, idle_timeout=0.05)
        process.send_signal(signal.SIGCONT)
        assert await connection.read_exactly(3, timeout=30.0) == b"two"


async def test_a_process_that_is_killed_ends_its_stream() -> None:
    """Having read all, its system ends the connection in order: only the protocol can tell that it was no end."""
    async with talker() as (process, _, connection):
        await connection.send(b"half a mess")
        await connection.read_exactly(5)
        process.kill()
        with pytest.raises(EndOfStream) as raised:
            await connection.read_exactly(11)
        assert raised.value.partial == b"a mess"


async def test_a_process_that_is_killed_with_something_unread_resets() -> None:
    async with talker() as (process, proxy, connection):
        await connection.send(b"then be deaf")
        assert await connection.read_exactly(12) == b"then be deaf"
        assert process.stdout is not None
        assert await process.stdout.readline() == b"deaf\n"
        await connection.send(b"you do not read this")
        await proxy.passed(32, "upstream")
        process.kill()
        with pytest.raises(ConnectionLost):
            await connection.read(timeout=30.0)


# -- a server's side


@pytest.mark.parametrize("strike", [faults.Cut, faults.Reset])
async def test_handlers_of_a_server_are_told_what_became_of_their_client(strike: type[faults.Cut]) -> None:
    """The same connection object, the same errors: a handler that waits for a line gets what came of it."""
    outcomes: asyncio.Queue[Exception] = asyncio.Queue()

    async def handler(connection: tcp.Connection) -> None:
        try:
            while True:
                await connection.read_line()
        except (EndOfStream, ConnectionLost) as error:
            outcomes.put_nowait(error)

    async with served(handler) as (listening, address):
        for size in range(12):
            async with faults.FaultProxy(
                address, faults=[strike(after_bytes=size, direction="upstream")]
            ) as proxy:
                async with bare(proxy.address) as client:
                    if size:
                        await client.send(b"one\ntwo\nthree\n")
                    error = await outcomes.get()
                    assert type(error) is (EndOfStream if strike is faults.Cut else ConnectionLost)
                    assert error.partial == b"one\ntwo\nthree\n"[:size].rpartition(b"\n")[2]  # type: ignore[attr-defined]
        await until(lambda: listening.connections == 0)


async def test_an_idle_client_of_a_server_is_closed_however_it_went_silent() -> None:
    """`Limits.idle_timeout` finds what TCP cannot: a client that stalls, and one that is gone without a word."""
    for fault in (SILENT, faults.HalfOpen(gone="client")):
        async with served(echo, limits=Limits(idle_timeout=0.1)) as (listening, address):
            async with faults.FaultProxy(address) as proxy, tcp.connect(proxy.address) as client:
                await client.send(b"x")
                assert await client.read_exactly(1) == b"x"
                proxy.add(fault)
                await until(lambda: listening.connections == 0)
                client.abort()


async def test_the_proxy_keeps_nothing_of_connections_that_have_ended() -> None:
    """Hundreds in turn, with every end there is."""
    async with (
        served(echo) as (_, address),
        faults.FaultProxy(address, faults=[faults.Slicer(2, 1)]) as proxy,
    ):
        for number in range(250):
            async with bare(proxy.address) as client:
                await client.send(b"x")
                assert await client.receive() == b"x"
                match number % 3:
                    case 0:
                        assert proxy.cut() == 1
                    case 1:
                        assert proxy.reset() == 1
                    case 2:
                        client.end()
                        assert await client.rest() == b""
            await proxy.closed(number + 1)
        assert proxy.connections == ()
        assert proxy.stats.downstream_bytes == 250
