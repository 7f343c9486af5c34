"""Every way to read, across every fault of the network, in plain text and in TLS.

What is asserted each time: the right result or the right error, what the error carries, that nothing is lost for the next
read, and (by the surroundings of every test) that nothing is left behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from support.faults_matrix import READS, REST, Items, Outcome, Read
from support.faults_support import Line, held_server
from support.tcp_support import Peer, until
from wirelane import TlsConfig, tcp
from wirelane.errors import ConnectError, ConnectionLost, EndOfStream, ReadTimeout, TlsError
from wirelane.testing import faults

if TYPE_CHECKING:
    from conftest import Certificates

by_read = pytest.mark.parametrize("read", READS, ids=repr)
by_wire = pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])


@asynccontextmanager
async def lines_through(
    ca: Certificates | None = None,
) -> AsyncIterator[Callable[..., Any]]:
    """A server, with the TLS of `ca` if given; gives what connects to it, through a proxy of its own each time."""
    context = ca.server_context() if ca is not None else None
    tls = TlsConfig(ca=ca.ca) if ca is not None else None
    async with held_server(context) as (address, peers):

        @asynccontextmanager
        async def line(*what: faults.Fault) -> AsyncIterator[Line]:
            async with faults.FaultProxy(address, seed=5, faults=what) as proxy:
                connection = await tcp.connect(proxy.address, tls=tls)
                peer = await peers.get()
                try:
                    yield Line(proxy, connection, peer)
                finally:
                    connection.abort()
                    peer.writer.transport.abort()

        yield line


def authority(tls: bool, ca: Certificates) -> Certificates | None:
    return ca if tls else None


async def say(peer: Peer, data: bytes) -> None:
    peer.writer.write(data)
    await peer.writer.drain()


async def arrived(connection: tcp.Connection, count: int) -> None:
    """Wait until so many bytes are here, unread."""
    await until(lambda: connection.buffered == count)


async def result_of(read: Read, connection: tcp.Connection, **times: float) -> Items:
    got: Items = []
    await read.call(connection, got, times)
    return read.joined(got)


async def expect(
    read: Read, connection: tcp.Connection, wanted: Outcome, error: type[Exception], **times: float
) -> None:
    """Read, and get what is wanted: a result, or this error with the items before it and what is left as `.partial`."""
    got: Items = []
    if wanted.done:
        await read.call(connection, got, times)
        assert read.joined(got) == read.joined(wanted.items)
        assert connection.peek() == wanted.left
        return
    with pytest.raises(error) as raised:
        await read.call(connection, got, times)
    assert type(raised.value) is error
    assert read.joined(got) == read.joined(wanted.items)
    assert raised.value.partial == wanted.left  # type: ignore[attr-defined]
    assert connection.peek() == wanted.left


# -- what only delays


HARMLESS = {
    "single bytes": (faults.Slicer(1),),
    "latency": (faults.Latency(0.002, jitter=0.002),),
    "bandwidth": (faults.Bandwidth(20_000),),
    "all at once": (
        faults.Slicer(3, 2, delay=0.0005),
        faults.Latency(0.001, jitter=0.001, direction="both"),
        faults.Bandwidth(100_000, direction="both"),
        faults.SlowClose(0.01),
    ),
}


@by_wire
@by_read
@pytest.mark.parametrize("what", HARMLESS.values(), ids=HARMLESS)
async def test_what_only_delays_changes_no_result_and_loses_nothing(
    read: Read, what: tuple[faults.Fault, ...], tls: bool, ca: Certificates
) -> None:
    async with lines_through(authority(tls, ca)) as connect, connect() as line:
        for fault in what:
            line.proxy.add(fault)
        reading = asyncio.create_task(result_of(read, line.client))
        await say(line.server, read.message if read.to_the_end else read.message + REST)
        if read.to_the_end:
            line.server.writer.close()
        wanted = read.model(read.message, read.to_the_end)
        assert wanted.done
        assert await reading == read.joined(wanted.items)
        if not read.to_the_end:
            assert await line.client.read_exactly(len(wanted.left + REST)) == wanted.left + REST


@by_read
async def test_slow_drip_does_not_make_anything_idle_and_every_slice_size_gives_the_same(read: Read) -> None:
    """All slice sizes there are: what marks an end is split at every offset that it has."""
    async with lines_through() as connect:
        for size in range(1, len(read.message) + 1):
            async with connect(faults.Slicer(size)) as line:
                reading = asyncio.create_task(result_of(read, line.client, idle_timeout=30.0))
                await say(line.server, read.message)
                if read.to_the_end:
                    line.server.writer.close()
                assert await reading == read.joined(read.model(read.message, read.to_the_end).items)


# -- what ends the connection


@by_read
async def test_a_cut_after_any_byte_is_an_end_of_the_stream_with_what_came(read: Read) -> None:
    async with lines_through() as connect:
        for size in range(len(read.message) + 1):
            async with connect(faults.Cut(after_bytes=size)) as line:
                await say(line.server, read.message + REST)
                wanted = read.model(read.message[:size], True)
                await expect(read, line.client, wanted, EndOfStream)
                assert await line.client.read_until_eof() == wanted.left
                assert await line.client.read() == b""


@by_read
async def test_a_reset_after_any_byte_is_a_lost_connection_with_what_came(read: Read) -> None:
    """Before the first byte, in the middle, after the last one; never a clean end."""
    async with lines_through() as connect:
        for size in range(len(read.message) + 1):
            async with connect(faults.Reset(after_bytes=size)) as line:
                if size:  # otherwise it is reset already, and cannot say anything
                    line.server.writer.write(read.message + REST)
                wanted = read.model(read.message[:size], False)
                await expect(read, line.client, wanted, ConnectionLost)
                with pytest.raises(ConnectionLost) as raised:
                    await line.client.read_until_eof()
                assert raised.value.partial == wanted.left


@by_wire
@by_read
@pytest.mark.parametrize("strike", ["cut", "reset"])
async def test_what_ends_inside_of_tls_is_never_a_clean_end(
    read: Read, strike: str, tls: bool, ca: Certificates
) -> None:
    """FIN without close_notify (truncation, RFC 8446 section 6.1) is a lost connection, at the start, inside, and behind all."""
    async with lines_through(authority(tls, ca)) as connect:
        for size in (0, len(read.message) // 2, len(read.message)):
            async with connect() as line:
                got: Items = []
                reading = asyncio.create_task(_error(read, line.client, got))
                await say(line.server, read.message[:size])
                await _seen(line.client, reading, read, got, read.model(read.message[:size], False))
                getattr(line.proxy, strike)()
                in_order = strike == "cut" and not tls
                error = await reading
                wanted = read.model(read.message[:size], in_order)
                assert read.joined(got) == read.joined(wanted.items)
                if wanted.done:
                    assert error is None
                else:
                    assert type(error) is (EndOfStream if in_order else ConnectionLost)
                    assert error.partial == wanted.left
                assert line.client.peek() == wanted.left


async def _error(read: Read, connection: tcp.Connection, got: Items) -> Any:
    try:
        await read.call(connection, got, {})
    except (EndOfStream, ConnectionLost) as error:
        return error
    return None


async def _seen(
    connection: tcp.Connection, reading: asyncio.Task[Any], read: Read, got: Items, wanted: Outcome
) -> None:
    """Wait until the read has what has come: it is over, or the rest of it is here."""
    items = read.joined(wanted.items)
    await until(
        lambda: reading.done() or (read.joined(got) == items and connection.buffered == len(wanted.left))
    )


# -- what goes silent


@by_wire
@by_read
@pytest.mark.parametrize("times", [{"timeout": 0.01}, {"idle_timeout": 0.01}], ids=["total", "idle"])
async def test_a_stall_is_a_timeout_that_keeps_everything_and_reading_goes_on_behind_it(
    read: Read, times: dict[str, float], tls: bool, ca: Certificates
) -> None:
    """Before, inside and at the end of a message; `more` has no idle timeout of its own, silence is what it waits for."""
    if "idle_timeout" in times and read.name == "more":
        times = {"timeout": 0.01}
    async with lines_through(authority(tls, ca)) as connect:
        for size in sorted({0, len(read.message) // 2, len(read.message) - 1}):
            async with connect() as line:
                await say(line.server, read.message[:size])
                await arrived(line.client, size)
                line.proxy.stall()
                await say(line.server, read.message[size:])
                line.server.writer.close()
                wanted = read.model(read.message[:size], read.idle_ends)
                await expect(read, line.client, wanted, ReadTimeout, **times)
                line.proxy.resume()
                assert await line.client.read_until_eof() == wanted.left + read.message[size:]


@by_read
async def test_cancelled_in_a_stall_a_read_loses_nothing(read: Read) -> None:
    async with lines_through() as connect:
        for size in (0, len(read.message) // 2, len(read.message) - 1):
            async with connect(faults.Stall(after_bytes=size)) as line:
                got: Items = []
                reading = asyncio.create_task(read.call(line.client, got, {}))
                line.server.writer.write(read.message)
                wanted = read.model(read.message[:size], False)
                await _seen(line.client, reading, read, got, wanted)
                reading.cancel()
                await asyncio.wait([reading])
                assert reading.cancelled() is not wanted.done
                line.proxy.resume()
                line.server.writer.close()
                assert await line.client.read_until_eof() == wanted.left + read.message[size:]


@by_wire
@by_read
async def test_half_open_is_a_timeout_and_then_a_lost_connection(
    read: Read, tls: bool, ca: Certificates
) -> None:
    """The server has gone without a word; what it had said is there, and stays."""
    async with lines_through(authority(tls, ca)) as connect:
        size = len(read.message) // 2
        async with connect() as line:
            await say(line.server, read.message[:size])
            await arrived(line.client, size)
            line.proxy.add(faults.HalfOpen())
            wanted = read.model(read.message[:size], read.idle_ends)
            await expect(read, line.client, wanted, ReadTimeout, timeout=0.01)
            line.proxy.reset()
            with pytest.raises(ConnectionLost) as raised:
                await line.client.read_until_eof()
            assert raised.value.partial == wanted.left


@by_wire
@pytest.mark.parametrize("read", [read for read in READS if read.to_the_end and not read.idle_ends], ids=repr)
async def test_an_end_that_comes_late_is_waited_for(read: Read, tls: bool, ca: Certificates) -> None:
    async with lines_through(authority(tls, ca)) as connect, connect() as line:
        line.proxy.add(faults.Stall())
        await say(line.server, read.message)
        line.server.writer.close()
        line.proxy.add(faults.SlowClose(0.02))
        loop = asyncio.get_running_loop()
        began = loop.time()
        line.proxy.resume()
        assert await result_of(read, line.client, timeout=30.0) == read.joined(
            read.model(read.message, True).items
        )
        if not tls:  # in TLS close_notify, which are bytes, has ended the stream already
            assert loop.time() >= began + 0.01


# -- before the first byte


@pytest.mark.parametrize("strike", [faults.Cut, faults.Reset])
@pytest.mark.parametrize("direction", ["upstream", "downstream"])
async def test_a_handshake_that_is_struck_after_any_byte_is_a_typed_error(
    strike: type[faults.Cut], direction: faults.Direction, ca: Certificates
) -> None:
    """Every 53rd byte; where the handshake gets through, the first read is struck. It never hangs, and nothing is left."""
    outcomes: set[type[Exception] | None] = set()
    async with held_server(ca.server_context()) as (address, _):
        for size in range(0, 2600, 53):
            async with faults.FaultProxy(
                address, faults=[strike(after_bytes=size, direction=direction)]
            ) as proxy:
                try:
                    connection = await tcp.connect(proxy.address, tls=TlsConfig(ca=ca.ca))
                except (TlsError, ConnectError, ConnectionLost) as error:
                    outcomes.add(type(error))
                    continue
                if proxy.stats.closed:
                    with pytest.raises(ConnectionLost):
                        await connection.read()
                    outcomes.add(ConnectionLost)
                else:
                    outcomes.add(None)
                connection.abort()
    assert TlsError in outcomes or ConnectError in outcomes
    assert None in outcomes or ConnectionLost in outcomes


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
async def test_a_handshake_that_stalls_ends_at_the_connect_timeout(tls: bool, ca: Certificates) -> None:
    """In plain text there is no handshake: the first read waits instead."""
    async with held_server(ca.server_context() if tls else None) as (address, _):
        async with faults.FaultProxy(address, faults=[faults.Stall()]) as proxy:
            if tls:
                with pytest.raises(ConnectError, match="TLS handshake"):
                    await tcp.connect(proxy.address, tls=TlsConfig(ca=ca.ca), connect_timeout=0.05)
            else:
                async with tcp.connect(proxy.address, connect_timeout=30.0) as connection:
                    with pytest.raises(ReadTimeout):
                        await connection.read(timeout=0.01)
