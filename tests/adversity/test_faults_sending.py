"""Every way to write, across every fault of the network, in plain text and in TLS.

What is asserted each time: what arrives is what was sent, or the beginning of it; the write that meets a fault says so with the
right error; reading goes on where it can; and (by the surroundings of every test) nothing is left behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.faults_matrix import WRITES, Write
from support.faults_support import Bare, bare_pair, held_server, listening_socket
from support.tcp_support import turns
from wirelane import SocketOptions, TlsConfig, tcp
from wirelane.errors import ClosedError, ConnectionLost, SendTimeout, WirelaneError
from wirelane.testing import faults

if TYPE_CHECKING:
    from conftest import Certificates

by_write = pytest.mark.parametrize("write", WRITES, ids=repr)
by_wire = pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])

PAYLOAD = bytes(range(256)) * 24
LARGE = (
    bytes(range(256)) * 16 * 1024
)  # 4 MiB: more than this end, the proxy and, so bounded, the system hold together
LITTLE = SocketOptions(send_buffer=65536)


@asynccontextmanager
async def to_a_bare_server(
    *what: faults.Fault, buffer: int = 65536
) -> AsyncIterator[tuple[faults.FaultProxy, tcp.Connection, Bare]]:
    """Our client, a proxy, and a server that is a bare socket: it sees ends and resets as they are."""
    async with listening_socket() as (address, accept):
        async with faults.FaultProxy(address, faults=what, buffer=buffer) as proxy:
            connection = await tcp.connect(proxy.address, options=LITTLE)
            async with accept() as server:
                try:
                    yield proxy, connection, server
                finally:
                    connection.abort()


@asynccontextmanager
async def to_a_tls_server(
    ca: Certificates, *what: faults.Fault
) -> AsyncIterator[tuple[faults.FaultProxy, tcp.Connection, asyncio.StreamReader]]:
    """Our client, a proxy, and asyncio's own TLS at the server."""
    async with held_server(ca.server_context()) as (address, peers):
        async with faults.FaultProxy(address, faults=what, buffer=65536) as proxy:
            connection = await tcp.connect(proxy.address, tls=TlsConfig(ca=ca.ca), options=LITTLE)
            peer = await peers.get()
            try:
                yield proxy, connection, peer.reader
            finally:
                connection.abort()
                peer.writer.transport.abort()


async def heard(server: Bare) -> tuple[bytes, bool]:
    """All that comes, and whether it ended in order."""
    data = bytearray()
    try:
        while part := await server.receive():
            data += part
    except ConnectionError:
        return bytes(data), False
    return bytes(data), True


async def until_it_fails(
    write: Write, connection: tcp.Connection, data: bytes, directory: Path
) -> WirelaneError:
    """Write until a write fails; it takes a round trip for an end to be told as one."""
    for _ in range(1000):
        try:
            await write.call(connection, data, 30.0, directory)
        except WirelaneError as error:
            return error
        await turns(1)
    raise AssertionError("a thousand writes to nobody have succeeded")


# -- what only delays


HARMLESS = {
    "single bytes": (faults.Slicer(1, direction="upstream"),),
    "latency": (faults.Latency(0.002, jitter=0.002, direction="upstream"),),
    "bandwidth": (faults.Bandwidth(1_000_000, direction="upstream"),),
    "all at once": (
        faults.Slicer(900, 500, direction="both"),
        faults.Latency(0.001, jitter=0.001, direction="both"),
        faults.Bandwidth(2_000_000, direction="both"),
    ),
}


@by_wire
@by_write
@pytest.mark.parametrize("what", HARMLESS.values(), ids=HARMLESS)
async def test_what_only_delays_lets_everything_through_in_order(
    write: Write, what: tuple[faults.Fault, ...], tls: bool, ca: Certificates, tmp_path: Path
) -> None:
    payload = PAYLOAD[:300] if isinstance(what[0], faults.Slicer) and what[0].average == 1 else PAYLOAD
    messages = [payload, payload[:1], payload[::-1]]
    wanted = b"".join(map(write.wire, messages))
    if tls:
        async with to_a_tls_server(ca) as (proxy, connection, reader):
            for fault in what:
                proxy.add(fault)
            for message in messages:
                await write.call(connection, message, 30.0, tmp_path)
            assert await reader.readexactly(len(wanted)) == wanted
        return
    async with to_a_bare_server(*what) as (_, connection, server):
        for message in messages:
            await write.call(connection, message, 30.0, tmp_path)
        await connection.send_eof()
        assert await heard(server) == (wanted, True)


@by_write
async def test_a_large_message_goes_whole_through_a_proxy_that_holds_little(
    write: Write, tmp_path: Path
) -> None:
    async with to_a_bare_server(faults.Slicer(100_000, 90_000, direction="upstream"), buffer=4096) as (
        _,
        connection,
        server,
    ):
        hearing = asyncio.create_task(heard(server))
        await write.call(connection, LARGE, 60.0, tmp_path)
        await connection.send_eof()
        assert await hearing == (write.wire(LARGE), True)


# -- what ends the connection


@by_write
@pytest.mark.parametrize("strike", [faults.Cut, faults.Reset])
@pytest.mark.parametrize("size", [0, 1, 5000, 100_000])
async def test_a_connection_that_ends_is_an_error_of_the_write_that_meets_it(
    write: Write, strike: type[faults.Cut], size: int, tmp_path: Path
) -> None:
    """Before, inside and behind the first message. What has arrived is the beginning of what was sent, to the byte."""
    async with to_a_bare_server(strike(after_bytes=size, direction="upstream")) as (_, connection, server):
        hearing = asyncio.create_task(heard(server))
        error = await until_it_fails(write, connection, PAYLOAD, tmp_path)
        assert type(error) is ConnectionLost
        received, in_order = await hearing
        wire = write.wire(PAYLOAD)
        assert received == (wire * (size // len(wire) + 1))[:size]
        assert in_order is (strike is faults.Cut)
        again = await until_it_fails(write, connection, PAYLOAD, tmp_path)
        assert type(again) is ConnectionLost


@by_wire
@by_write
async def test_a_write_after_a_reset_fails_at_once(
    write: Write, tls: bool, ca: Certificates, tmp_path: Path
) -> None:
    """The first write, not the second."""
    if tls:
        async with to_a_tls_server(ca) as (proxy, connection, _):
            proxy.reset()
            with pytest.raises(ConnectionLost):
                await write.call(connection, PAYLOAD, 30.0, tmp_path)
        return
    async with to_a_bare_server() as (proxy, connection, _):
        await proxy.connected()
        proxy.reset()
        with pytest.raises(ConnectionLost):
            await write.call(connection, PAYLOAD, 30.0, tmp_path)


@by_write
@pytest.mark.parametrize("strike", ["cut", "reset"])
async def test_a_connection_that_ends_wakes_a_write_that_waits(
    write: Write, strike: str, ca: Certificates, tmp_path: Path
) -> None:
    async with to_a_tls_server(ca) as (proxy, connection, _):
        proxy.stall()
        writing = asyncio.create_task(write.call(connection, LARGE, None, tmp_path))
        await turns(50)
        assert not writing.done()
        getattr(proxy, strike)()
        with pytest.raises(ConnectionLost):
            await writing


# -- what goes silent


@by_wire
@by_write
@pytest.mark.parametrize(
    "silent",
    [faults.Stall(direction="upstream"), faults.HalfOpen(direction="upstream")],
    ids=["stall", "half-open"],
)
async def test_a_peer_that_takes_nothing_is_a_send_timeout_that_tells_what_is_left(
    write: Write, silent: faults.Fault, tls: bool, ca: Certificates, tmp_path: Path
) -> None:
    """Part may have left: nothing more can be sent then, and it is said."""
    through = to_a_tls_server(ca) if tls else to_a_bare_server()
    async with through as (proxy, connection, _):
        await proxy.connected()
        proxy.add(silent)
        with pytest.raises(SendTimeout) as raised:
            await write.call(connection, LARGE, 0.05, tmp_path)
        assert 0 < raised.value.unsent <= len(write.wire(LARGE))
        with pytest.raises(ClosedError, match="part of it may have left"):
            await write.call(connection, PAYLOAD, 0.05, tmp_path)


@by_write
async def test_after_a_send_timeout_reading_goes_on_and_half_a_message_is_no_clean_end(
    write: Write, tmp_path: Path
) -> None:
    async with to_a_bare_server(faults.Stall(direction="upstream")) as (proxy, connection, server):
        with pytest.raises(SendTimeout):
            await write.call(connection, LARGE, 0.05, tmp_path)
        await server.send(b"I still speak")
        assert await connection.read_exactly(13, timeout=30.0) == b"I still speak"
        await connection.close()
        proxy.resume()
        received, in_order = await heard(server)
        assert write.wire(LARGE).startswith(received)
        assert len(received) < len(LARGE)
        assert not in_order


@by_write
async def test_a_write_that_waits_goes_on_when_the_peer_does(write: Write, tmp_path: Path) -> None:
    async with to_a_bare_server(faults.Stall(direction="upstream")) as (proxy, connection, server):
        writing = asyncio.create_task(write.call(connection, LARGE, None, tmp_path))
        await turns(50)
        assert not writing.done()
        proxy.resume()
        hearing = asyncio.create_task(heard(server))
        await writing
        await connection.send_eof()
        assert await hearing == (write.wire(LARGE), True)


@by_write
async def test_a_write_cancelled_half_way_ends_sending_and_not_reading(write: Write, tmp_path: Path) -> None:
    async with to_a_bare_server(faults.Stall(direction="upstream")) as (_, connection, server):
        writing = asyncio.create_task(write.call(connection, LARGE, None, tmp_path))
        await turns(50)
        writing.cancel()
        await asyncio.wait([writing])
        assert writing.cancelled()
        with pytest.raises(ClosedError):
            await write.call(connection, PAYLOAD, 30.0, tmp_path)
        await server.send(b"and?")
        assert await connection.read_exactly(4, timeout=30.0) == b"and?"


# -- half-closed


@by_write
async def test_after_the_peer_has_ended_its_stream_writing_goes_on(write: Write, tmp_path: Path) -> None:
    """A half-close: this end reads the end, and the peer everything that is still written."""
    async with to_a_bare_server(faults.LimitData(0)) as (_, connection, server):
        assert await connection.read(timeout=30.0) == b""
        await write.call(connection, PAYLOAD, 30.0, tmp_path)
        await connection.send_eof()
        assert await heard(server) == (write.wire(PAYLOAD), True)


async def test_send_eof_is_one_direction_however_late_it_comes() -> None:
    async with to_a_bare_server(
        faults.SlowClose(0.01, direction="upstream"), faults.Slicer(3, direction="both")
    ) as (proxy, connection, server):
        await connection.send(b"question")
        await connection.send_eof()
        assert await heard(server) == (b"question", True)
        await server.send(b"an answer to it")
        server.end()
        assert await connection.read_until_eof() == b"an answer to it"
        await connection.close()
        await proxy.closed()


@pytest.mark.parametrize("strike", ["cut", "reset"])
async def test_send_eof_to_nobody_is_an_error_or_the_end_of_it(strike: str) -> None:
    """uvloop hears no complaint when it ends a direction of a connection that was reset: then the reset is read."""
    async with to_a_bare_server() as (proxy, connection, _):
        await proxy.connected()
        getattr(proxy, strike)()
        if strike == "reset":
            with suppress(ConnectionLost):
                await connection.send_eof()
            with pytest.raises(ConnectionLost):
                await connection.read()
        else:
            await connection.send_eof()
            assert await connection.read_until_eof() == b""


async def test_closing_lets_what_was_sent_through_a_slow_proxy() -> None:
    async with bare_pair() as (_, client, server):  # the proxy alone, as the measure
        await client.send(PAYLOAD)
        client.end()
        assert await heard(server) == (PAYLOAD, True)
    async with to_a_bare_server(
        faults.Slicer(100, 50, direction="upstream"), faults.Bandwidth(500_000, direction="upstream")
    ) as (_, connection, server):
        await connection.send(PAYLOAD)
        await connection.close()
        assert await heard(server) == (PAYLOAD, True)
