"""The fault proxy keeps its word: each fault does what it says, and nothing else; nothing is left behind."""

from __future__ import annotations

import asyncio
import errno
import resource
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from support.client_support import free_port
from support.faults_support import Bare, bare, bare_pair, held_server, proxied
from support.net_support import descriptors, descriptors_back, settle, sweep
from support.tcp_support import served, turns, until
from wirelane import tcp
from wirelane.errors import ClosedError, ConnectError, UsageError
from wirelane.testing import faults

if TYPE_CHECKING:
    from conftest import Certificates

BOTH: Literal["both"] = "both"


async def echo(connection: tcp.Connection) -> None:
    async for chunk in connection:
        await connection.send(chunk)


# -- a relay


async def test_without_faults_it_is_a_wire_in_both_directions() -> None:
    """Bytes, half-closes and the counts of both."""
    async with bare_pair() as (proxy, client, server):
        await client.send(b"question")
        assert await server.receive() == b"question"
        await server.send(b"answer")
        assert await client.receive() == b"answer"
        client.end()
        assert await server.receive() == b""
        await server.send(b"and more")
        server.end()
        assert await client.rest() == b"and more"
        await proxy.closed()
        assert proxy.stats == faults.ProxyStats(
            accepted=1, connected=1, closed=1, upstream_bytes=8, downstream_bytes=14
        )


@pytest.mark.parametrize("who", ["client", "server"])
async def test_a_reset_of_one_end_is_one_for_the_other_after_what_it_sent(who: str) -> None:
    async with bare_pair() as (proxy, client, server):
        gone, left = (client, server) if who == "client" else (server, client)
        await gone.send(b"last words")
        gone.reset()
        assert await left.receive() == b"last words"
        with pytest.raises(ConnectionResetError):
            await left.receive()
        await proxy.closed()


async def test_a_reset_that_a_write_meets_first_loses_nothing_that_was_said_before_it() -> None:
    """The proxy does not read from the server when that resets, and writes to it: the error is told once, to the write."""
    async with bare_pair(faults.Stall(), buffer=1) as (proxy, client, server):
        await server.send(b"first")
        flow = proxy._relays[1]._down
        await until(lambda: flow._waiting == 5)
        await server.send(b", and last words")
        server.reset()
        await client.send(b"too late")
        await until(lambda: proxy._relays[1]._server.broken)
        proxy.resume()
        received = b""
        with pytest.raises(ConnectionResetError):
            while piece := await client.receive():
                received += piece
        assert received == b"first, and last words"
        await proxy.closed()


async def test_a_server_that_has_ended_and_gone_is_a_reset_for_whoever_goes_on_writing() -> None:
    async with bare_pair() as (proxy, client, server):
        server.end()
        assert await client.receive() == b""
        server.sock.close()
        with pytest.raises(ConnectionError):
            for _ in range(1000):
                await client.send(b"anybody?")
                await turns(1)
        await proxy.closed()


async def test_megabytes_come_through_whole_both_ways_at_once() -> None:
    data = bytes(range(256)) * 16384
    async with bare_pair(faults.Slicer(70_000, 60_000, direction=BOTH)) as (_proxy, client, server):

        async def say(end: Bare) -> None:
            await end.send(data)
            end.end()

        _, _, *received = await asyncio.gather(say(client), say(server), client.rest(), server.rest())
        assert received == [data, data]


async def test_a_reader_that_does_not_read_makes_the_sender_wait() -> None:
    """What waits is the proxy's buffer and the systems', however much is to be sent."""
    async with bare_pair(buffer=4096) as (_proxy, client, server):
        sent = 0
        quiet = 0
        while quiet < 200:
            try:
                sent += client.sock.send(bytes(65536))
                quiet = 0
            except BlockingIOError:
                quiet += 1
            await turns(1)
        assert sent < 32 * 2**20
        received = 0
        while received < sent:
            received += len(await server.receive())
        assert received == sent


async def test_what_a_stalled_proxy_holds_is_bounded_for_single_bytes_too() -> None:
    async with bare_pair(faults.Stall(direction="upstream")) as (proxy, client, server):
        flow = next(iter(proxy._relays.values()))._up
        for _ in range(3000):
            await client.send(b"x")
            await turns(1)
        assert len(flow._chunks) <= 1024
        proxy.resume()
        received = b""
        while len(received) < 3000:
            received += await server.receive()


@pytest.mark.parametrize("where", ["listen", "upstream"])
async def test_unix_sockets_at_either_side(where: str, tmp_path: Path) -> None:
    at = f"unix:{tmp_path}/proxy" if where == "listen" else "127.0.0.1:0"
    upstream = f"unix:{tmp_path}/server" if where == "upstream" else "127.0.0.1:0"
    async with served(echo, listen_at=upstream) as (listening, _):
        async with faults.FaultProxy(listening.address, listen=at) as proxy:
            async with tcp.connect(proxy.address) as connection:
                await connection.send(b"hello")
                assert await connection.read_exactly(5) == b"hello"
                proxy.down()
                assert await connection.read() == b""
            with pytest.raises(ConnectError, match="refused"):
                await tcp.connect(proxy.address)
            proxy.up()
            async with tcp.connect(proxy.address):
                await proxy.connected(2)
    assert list(tmp_path.iterdir()) == []


async def test_tls_goes_through_as_it_is(ca: Certificates) -> None:
    """Nobody but the server has its key; client certificates and names are checked as without the proxy."""
    from wirelane import TlsConfig

    async with served(echo, tls=TlsConfig(cert=ca.server_cert, key=ca.server_key)) as (_listening, address):
        async with proxied(address, [faults.Slicer(7, direction=BOTH)]) as proxy:
            async with tcp.connect(
                proxy.address, tls=TlsConfig(ca=ca.ca), server_name="example.test"
            ) as connection:
                await connection.send(bytes(5000))
                assert await connection.read_exactly(5000) == bytes(5000)


async def test_the_standard_library_sees_nothing_of_it(ca: Certificates) -> None:
    """asyncio's own streams and TLS at both ends."""
    async with held_server(ca.server_context()) as (address, peers):
        async with proxied(address, [faults.Slicer(11, 5, direction=BOTH)]) as proxy:
            _reader, writer = await asyncio.open_connection(
                "127.0.0.1", proxy.port, ssl=ca.client_context(), server_hostname="localhost"
            )
            writer.write(b"from a stranger\n")
            peer = await peers.get()
            assert await peer.reader.readline() == b"from a stranger\n"
            writer.close()
            await writer.wait_closed()


# -- each fault


async def test_slices_reach_a_reader_of_the_same_loop_one_by_one() -> None:
    async with bare_pair(faults.Slicer(average=1)) as (_, client, server):
        await server.send(b"abcdef")
        server.end()
        pieces = []
        while piece := await client.receive():
            pieces.append(piece)
        assert pieces == [b"a", b"b", b"c", b"d", b"e", b"f"]


async def test_latency_delays_and_does_not_slow_down() -> None:
    """A hundred pieces in flight take one latency, not a hundred; the order of time is the loop's own clock."""
    loop = asyncio.get_running_loop()
    async with bare_pair(faults.Latency(0.05, direction=BOTH)) as (_, client, server):
        began = loop.time()
        for number in range(100):
            await client.send(bytes([number]))
            await turns(3)
        sent = loop.time()
        received = b""
        while len(received) < 100:
            received += await server.receive()
            assert loop.time() - began >= 0.05
        assert received == bytes(range(100))
        assert loop.time() - sent < 100 * 0.05


async def test_bandwidth_takes_at_least_its_time() -> None:
    loop = asyncio.get_running_loop()
    async with bare_pair(faults.Bandwidth(100_000)) as (_, client, server):
        began = loop.time()
        await server.send(bytes(10_000))
        received = 0
        while received < 10_000:
            received += len(await client.receive())
            assert received <= (loop.time() - began) * 100_000 + 1
        assert received == 10_000


async def test_slow_close_delays_the_end_and_not_the_bytes() -> None:
    loop = asyncio.get_running_loop()
    async with bare_pair(faults.SlowClose(0.05)) as (_, client, server):
        await server.send(b"bytes")
        assert await client.receive() == b"bytes"
        began = loop.time()
        server.end()
        assert await client.receive() == b""
        assert loop.time() - began >= 0.05


@pytest.mark.parametrize("after", [0, 1, 5])
async def test_a_cut_is_an_end_in_order_for_both_after_exactly_so_many_bytes(after: int) -> None:
    async with bare_pair(faults.Cut(after_bytes=after)) as (proxy, client, server):
        await server.send(b"0123456789")
        assert await client.rest() == b"0123456789"[:after]
        assert await server.rest() == b""
        await proxy.closed()
        assert proxy.stats.downstream_bytes == after


@pytest.mark.parametrize("after", [0, 1, 5])
async def test_a_reset_is_one_for_both_after_exactly_so_many_bytes(after: int) -> None:
    async with bare_pair(faults.Reset(after_bytes=after)) as (proxy, client, server):
        if after:
            await server.send(b"0123456789")
            await proxy.closed()
            assert await client.receive() == b"0123456789"[:after]
        for end in (client, server):
            with pytest.raises(ConnectionResetError):
                await end.rest()


@pytest.mark.parametrize("kind", [faults.Cut, faults.Reset])
async def test_time_strikes_an_idle_connection_and_one_whose_reader_is_stuck(kind: type[faults.Cut]) -> None:
    for stuck in (False, True):
        async with bare_pair(kind(after_seconds=0.02), buffer=4096) as (proxy, _client, server):
            while stuck:
                try:
                    server.sock.send(bytes(65536))
                except BlockingIOError:
                    break
                except ConnectionError:  # it has struck already
                    break
            await proxy.closed()


async def test_limited_data_end_one_direction_and_the_other_goes_on() -> None:
    async with bare_pair(faults.LimitData(4)) as (proxy, client, server):
        await server.send(b"0123456789")
        assert await client.rest() == b"0123"
        await client.send(b"are you there?")
        assert await server.receive() == b"are you there?"
        await server.send(bytes(2**20))  # is dropped: nobody has to wait for it
        client.end()
        assert await server.rest() == b""
        await proxy.closed()


async def test_a_stall_holds_everything_and_loses_nothing() -> None:
    async with bare_pair(faults.Stall(after_bytes=3)) as (proxy, client, server):
        await server.send(b"012345")
        server.end()
        assert await client.receive() == b"012"
        await client.send(b"the other direction goes on")
        assert await server.receive() == b"the other direction goes on"
        assert proxy.stats.downstream_bytes == 3
        proxy.resume()
        assert await client.rest() == b"345"


async def test_half_open_is_silence_for_one_end_and_a_reset_for_the_other() -> None:
    async with bare_pair(faults.HalfOpen(after_bytes=2, gone="server")) as (proxy, client, server):
        await server.send(b"ab")
        with pytest.raises(ConnectionResetError):
            await server.receive()
        assert await client.receive() == b"ab"
        await client.send(b"anybody?")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.receive()
        assert len(proxy.connections) == 1
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            await client.receive()


async def test_half_open_makes_a_sender_wait_in_the_end() -> None:
    """What it sends is acknowledged by nobody who reads: its system's buffers fill."""
    async with bare_pair(faults.HalfOpen(gone="client", direction="upstream")) as (_proxy, client, server):
        with pytest.raises(BlockingIOError):
            for _ in range(1000):
                server.sock.send(bytes(65536))
        with pytest.raises(ConnectionResetError):
            await client.receive()


@pytest.mark.parametrize("reset", [False, True])
async def test_down_takes_clients_and_closes_them_at_once(reset: bool) -> None:
    async with held_server() as (address, peers), proxied(address, [faults.Down(reset=reset)]) as proxy:
        if reset:
            with pytest.raises(ConnectionResetError):  # which of the two meets it is a matter of time
                async with bare(proxy.address) as client:
                    await client.rest()
        else:
            async with bare(proxy.address) as client:
                assert await client.rest() == b""
        assert peers.empty()
        assert (proxy.stats.turned_away, proxy.stats.connected) == (1, 0)
        proxy.up()
        async with bare(proxy.address):
            await peers.get()


async def test_refuse_lets_open_connections_go_on_and_down_cuts_them() -> None:
    async with bare_pair() as (proxy, client, server):
        refuse = proxy.add(faults.Refuse())
        with pytest.raises(ConnectionRefusedError):
            async with bare(proxy.address):
                pass
        await client.send(b"still here")
        assert await server.receive() == b"still here"
        proxy.remove(refuse)
        async with bare(proxy.address):
            await proxy.connected(2)
        proxy.down()
        assert await client.rest() == b""
        with pytest.raises(ConnectionRefusedError):
            async with bare(proxy.address):
                pass
        proxy.up()
        async with bare(proxy.address):
            await proxy.connected(3)


async def test_toxicity_strikes_the_same_connections_for_the_same_seed() -> None:
    async def struck(seed: int) -> list[int]:
        found = []
        async with served(echo) as (_, address):
            async with faults.FaultProxy(address, seed=seed, faults=[faults.Cut(toxicity=0.5)]) as proxy:
                for number in range(1, 17):
                    async with bare(proxy.address) as client:
                        await client.send(b"x")
                        if not await client.receive():
                            found.append(number)
        return found

    first = await struck(1)
    assert 0 < len(first) < 16
    assert await struck(1) == first
    assert await struck(2) != first


# -- control while it runs


async def test_faults_come_and_go_while_it_runs() -> None:
    async with bare_pair() as (proxy, client, server):
        late = proxy.add(faults.Latency(3600.0))
        await server.send(b"held")
        await client.send(b"through")
        assert await server.receive() == b"through"
        assert proxy.faults == (late,)
        proxy.remove(faults.Latency(3600.0))
        assert await client.receive() == b"held"
        proxy.add(faults.Latency(3600.0))
        proxy.add(faults.SlowClose(3600.0))
        await server.send(b"held again")
        server.end()
        await turns(5)
        proxy.clear()
        assert await client.rest() == b"held again"
        with pytest.raises(UsageError, match="Latency"):
            proxy.remove(late)


async def test_a_fault_added_to_an_open_connection_counts_from_then() -> None:
    async with bare_pair() as (proxy, client, server):
        await server.send(b"0123")
        assert await client.receive() == b"0123"
        proxy.add(faults.Cut(after_bytes=2))
        await server.send(b"4567")
        assert await client.rest() == b"45"


async def test_one_connection_of_several_is_cut_or_reset_by_its_number() -> None:
    async with served(echo) as (_, address), proxied(address) as proxy:
        async with bare(proxy.address) as one, bare(proxy.address) as two, bare(proxy.address) as three:
            for end in (one, two, three):
                await end.send(b"x")
                await end.receive()
            assert proxy.cut(2) == 1
            assert await two.rest() == b""
            assert proxy.reset(1) == 1
            with pytest.raises(ConnectionResetError):
                await one.rest()
            assert [connection.number for connection in proxy.connections] == [3]
            assert proxy.connections[0] == faults.ProxyConnection(3, upstream_bytes=1, downstream_bytes=1)
            assert (proxy.cut(2), proxy.cut(), proxy.cut()) == (0, 1, 0)


async def test_what_waits_is_woken_by_what_it_waits_for() -> None:
    async with bare_pair() as (proxy, client, server):
        passing = asyncio.create_task(proxy.passed(6))
        closing = asyncio.create_task(proxy.closed())
        await proxy.connected()
        await server.send(b"abc")
        await client.receive()
        assert not passing.done()
        await server.send(b"def")
        await passing
        proxy.cut()
        await closing
        with pytest.raises(UsageError, match="direction"):
            await proxy.passed(1, "both")  # type: ignore[arg-type]


async def test_whoever_waits_for_a_proxy_that_is_closed_is_told() -> None:
    async with served(echo) as (_, address):
        proxy = faults.FaultProxy(address)
        async with proxy:
            waiting = asyncio.create_task(proxy.connected())
            given_up = asyncio.create_task(proxy.connected())
            await turns(2)
            given_up.cancel()
        with pytest.raises(ClosedError):
            await waiting
        with pytest.raises(asyncio.CancelledError):
            await given_up


# -- ends


async def test_leaving_the_block_ends_everything_in_order_and_leaves_nothing() -> None:
    """Timers of an hour, chunks that wait, a client that is being joined: nothing keeps it."""
    await settle()
    before, tasks = descriptors(), asyncio.all_tasks()
    async with bare_pair(faults.Latency(3600.0, direction=BOTH), faults.Reset(after_seconds=3600.0)) as (
        proxy,
        client,
        server,
    ):
        await client.send(b"held")
        await server.send(b"held")
        async with bare(proxy.address) as joining:
            await proxy.aclose()
            for end in (client, server):
                assert await end.rest() == b""
            with pytest.raises(ConnectionResetError):
                await joining.rest()
            assert asyncio.all_tasks() <= tasks
            assert proxy.connections == ()
        with pytest.raises(ConnectionRefusedError):
            async with bare(proxy.address):
                pass
    await descriptors_back(before)


async def test_cancelled_at_any_await_entering_leaves_nothing() -> None:
    async with served(echo) as (_, address):

        async def enter() -> faults.FaultProxy:
            return await faults.FaultProxy(address, listen="localhost:0").__aenter__()

        def leave(proxy: faults.FaultProxy) -> None:
            proxy._listener.close()

        await sweep(enter, leave)


async def test_cancelled_at_any_await_leaving_leaves_nothing() -> None:
    async with served(echo) as (listening, address):

        async def use() -> None:
            proxy = faults.FaultProxy(address)
            await proxy.__aenter__()
            with socket.socket() as client:
                client.setblocking(False)
                try:
                    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", proxy.port))
                    await proxy.connected()
                finally:
                    await proxy.aclose()

        await sweep(use, lambda _: None)
        await until(lambda: listening.connections == 0)


async def test_a_server_that_is_not_there_is_a_reset_and_counted() -> None:
    async with proxied(f"127.0.0.1:{free_port()}") as proxy:
        async with bare(proxy.address) as client:
            with pytest.raises(ConnectionResetError):
                await client.rest()
        assert proxy.stats == faults.ProxyStats(accepted=1, failed=1)


async def test_accepting_survives_running_out_of_descriptors(caplog: pytest.LogCaptureFixture) -> None:
    async with served(echo) as (_, address), proxied(address) as proxy:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with socket.socket() as client:
            client.setblocking(False)
            resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 1, hard))
            try:
                await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", proxy.port))
                await until(lambda: "pauses" in caplog.text)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            await asyncio.get_running_loop().sock_sendall(client, b"x")
            assert await asyncio.get_running_loop().sock_recv(client, 1) == b"x"


async def test_misuse_is_refused_and_says_why() -> None:
    async with served(echo) as (_, address):
        proxy = faults.FaultProxy(address)
        with pytest.raises(UsageError, match="entered"):
            _ = proxy.address
        async with proxy:
            with pytest.raises(UsageError, match="entered before"):
                await proxy.__aenter__()
            with pytest.raises(UsageError, match="a fault is"):
                proxy.add("latency")  # type: ignore[arg-type]
            with pytest.raises(UsageError, match="one of the others"):
                proxy.add(faults.Fault())
            assert repr(proxy).startswith(f"<FaultProxy {proxy.address} -> {address} seed=0 0 faults, 0 conn")
        for arguments in ({"buffer": 0}, {"connect_timeout": 0}, {"listen": "nowhere"}):
            with pytest.raises(UsageError):
                faults.FaultProxy(address, **arguments)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="tls://"):
            faults.FaultProxy("tls://localhost:1")


async def test_an_address_in_use_is_an_error_that_leaves_nothing() -> None:
    async with served(echo) as (_, address):
        before = descriptors()
        with pytest.raises(ConnectError, match="cannot listen") as raised:
            async with faults.FaultProxy(address, listen=address):
                pass
        assert raised.value.attempts[0][1].errno == errno.EADDRINUSE  # type: ignore[attr-defined]
        assert descriptors() == before


# -- without asyncio


def test_in_a_test_without_asyncio_it_runs_in_a_thread_of_its_own() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        before = threading.active_count()
        with faults.FaultProxy(f"127.0.0.1:{port}", faults=[faults.Slicer(2)]) as proxy:
            with socket.create_connection(("127.0.0.1", proxy.port)) as client:
                server, _ = listening.accept()
                with server:
                    proxy.connected()
                    server.sendall(b"abcd")
                    proxy.passed(4)
                    assert client.recv(4, socket.MSG_WAITALL) == b"abcd"
                    proxy.stall()
                    server.sendall(b"ef")
                    with pytest.raises(TimeoutError, match="0.05 s"):
                        proxy.passed(6, timeout=0.05)
                    assert [type(fault) for fault in proxy.faults] == [faults.Slicer, faults.Stall]
                    proxy.resume()
                    proxy.passed(6)
                    proxy.clear()
                    assert proxy.connections == (faults.ProxyConnection(1, 0, 6),)
                    fault = proxy.add(faults.Latency(0.01))
                    proxy.remove(fault)
                    assert proxy.reset() == 1
                    proxy.closed()
                    with pytest.raises(ConnectionResetError):
                        server.recv(1)
            proxy.down()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", proxy.port))
            proxy.up()
            with socket.create_connection(("127.0.0.1", proxy.port)):
                proxy.connected(2)
                assert proxy.cut() == 1
                listening.accept()[0].close()
            assert repr(proxy).startswith("<BlockingFaultProxy 127.0.0.1:")
        assert threading.active_count() == before
        assert proxy.stats.connected == 2
        with pytest.raises(ClosedError):
            proxy.clear()


def test_closed_by_one_thread_it_lets_the_others_go() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        outcomes: list[BaseException | None] = []
        ready = threading.Barrier(3)

        def wait(proxy: faults.BlockingProxy) -> None:
            ready.wait()
            try:
                proxy.connected(timeout=None)
            except BaseException as error:
                outcomes.append(error)

        with faults.FaultProxy(f"127.0.0.1:{listening.getsockname()[1]}") as proxy:
            threads = [threading.Thread(target=wait, args=(proxy,)) for _ in range(2)]
            for thread in threads:
                thread.start()
            ready.wait()
        for thread in threads:
            thread.join()
        assert [type(outcome) for outcome in outcomes] == [ClosedError, ClosedError]


def test_what_fails_in_the_thread_fails_here() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        proxy = faults.FaultProxy(address, listen=address)
        with pytest.raises(ConnectError, match="cannot listen"):
            proxy.__enter__()
        with pytest.raises(UsageError, match="entered before"):
            proxy.__enter__()
