"""A server's life: listening, TLS, draining, aborting, signals. Nothing may be left at the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
from pathlib import Path

import grpc as grpcio
import pytest

from support.server_support import (
    DEMO,
    DEMO_SERVICE,
    Trail,
    demo_schema,
    demo_server,
    ended,
    grpcio_client,
    listening,
    raw_call,
    raw_client,
    until,
)
from support.wire_support import (
    DATA,
    END_STREAM,
    GOAWAY,
    HEADERS,
    REQUEST,
    RST_STREAM,
    RawPeer,
    frame,
    message,
)
from wirelane import grpc
from wirelane.core.limits import Limits
from wirelane.errors import ClosedError, ConnectError, PeerError, SchemaError, UsageError
from wirelane.grpc.server import Server, ServerState
from wirelane.net.tls import TlsConfig
from wirelane.transport.base import Unavailable


def echo_server(**options):
    """Return a server whose One answers what it was asked."""
    server = demo_server(**options)

    @server.method("Demo/One")
    async def one(request, context):
        return {"n": request.get("n", 0), "text": str(context.peer)}

    return server


def slow_server(trail, **options):
    """Return a server whose One waits for the event `release` of the trail."""
    server = demo_server(**options)

    @server.method("Demo/One")
    async def one(request):
        trail.mark("started")
        try:
            await trail.reached("release", seconds=60)
        except asyncio.CancelledError:
            trail.mark("cancelled")
            raise
        return {"n": 7}

    return server


# -- listening --------------------------------------------------------------------------------------------------


async def test_listen_gives_the_port_and_the_address():
    async with listening(echo_server(), "127.0.0.1:0") as at, grpcio_client(at) as client:
        assert at.port > 0
        assert str(at.address) == f"127.0.0.1:{at.port}"
        assert (await client.unary_unary("One")({"n": 1}))["n"] == 1


async def test_server_listens_at_several_addresses(tmp_path):
    path = tmp_path / "server.sock"
    async with listening(echo_server(), "127.0.0.1:0", f"unix:{path}", "[::1]:0") as at:
        assert len(at.addresses) == 3
        for target in (f"127.0.0.1:{at.port}", f"unix:{path}", str(at.addresses[2])):
            async with grpcio_client(target) as client:
                assert (await client.unary_unary("One")({"n": 2}))["n"] == 2
        assert at.port == at.addresses[0].port
    assert not path.exists()


async def test_unix_socket_has_no_port(tmp_path):
    async with listening(echo_server(), f"unix:{tmp_path / 's'}") as at:
        with pytest.raises(UsageError, match="unix"):
            _ = at.port


async def test_listen_may_be_awaited_and_drained_later():
    server = echo_server()
    at = await server.listen("127.0.0.1:0")
    async with grpcio_client(at) as client:
        assert (await client.unary_unary("One")({"n": 1}))["n"] == 1
    await server.drain()
    assert (server.state, server.calls, server.connections) == (ServerState.CLOSED, 0, 0)


async def test_address_in_use_fails_and_leaves_no_socket():
    server = echo_server()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        with pytest.raises(OSError, match=str(taken.getsockname()[1])):
            await server.listen(f"127.0.0.1:{port}", f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


@pytest.mark.parametrize(
    ("limit", "kind"), [("max_connections", "rejected"), ("max_connections_per_peer", "rejected_peers")]
)
async def test_connections_are_limited_over_all_addresses_together(limit, kind):
    server = echo_server(limits=Limits(**{limit: 1}))
    async with listening(server, "127.0.0.1:0", "127.0.0.1:0") as at:
        first, second = (f"127.0.0.1:{address.port}" for address in at.addresses)
        async with grpc.connect(first, schema=demo_schema()) as channel:
            assert (await channel.unary("Demo/One", {"n": 4}, timeout=30))["n"] == 4
            with pytest.raises((ConnectError, PeerError)):
                await grpc.connect(second)
            assert server.stats.refusals == {kind: 1}
        # The event loop may close the socket a turn after its connection is over.
        await until(lambda: not any(serving.listening.connections for serving in at._servings))
        async with grpc.connect(second, schema=demo_schema()) as channel:
            assert (await channel.unary("Demo/One", {"n": 5}, timeout=30))["n"] == 5


async def test_a_server_listens_once_at_a_time_and_again_afterwards():
    server = echo_server()
    async with listening(server):
        with pytest.raises(UsageError, match="already"):
            server.listen("127.0.0.1:0")
    async with listening(server) as at, grpcio_client(at) as client:
        assert (await client.unary_unary("One")({"n": 4}))["n"] == 4


def test_listen_needs_an_address_that_is_one():
    with pytest.raises(UsageError, match="address"):
        echo_server().listen()
    with pytest.raises(UsageError, match="port"):
        echo_server().listen("127.0.0.1")


async def test_repr_shows_address_state_connections_and_calls():
    trail = Trail()
    server = slow_server(trail)
    assert "IDLE" in repr(server)
    async with listening(server) as at, grpcio_client(at) as client:
        call = client.unary_unary("One")({})
        await trail.reached("started")
        assert repr(server) == f"<Server 127.0.0.1:{at.port} SERVING 1 connection, 1 call>"
        trail.mark("release")
        await call
        await until(lambda: server.calls == 0)
        assert repr(server) == f"<Server 127.0.0.1:{at.port} SERVING 1 connection, 0 calls>"
    assert "CLOSED 0 connections, 0 calls" in repr(server)


# -- TLS --------------------------------------------------------------------------------------------------------


async def test_tls(ca):
    server = echo_server(tls=TlsConfig(cert=ca.server_cert, key=ca.server_key))
    credentials = grpcio.ssl_channel_credentials(ca.ca.read_bytes())
    async with (
        listening(server) as at,
        grpcio_client(f"localhost:{at.port}", credentials=credentials) as client,
    ):
        assert (await client.unary_unary("One")({"n": 1}))["n"] == 1


async def test_mutual_tls_shows_the_handler_who_calls(ca):
    seen = []
    server = demo_server(tls=TlsConfig(cert=ca.server_cert, key=ca.server_key, ca=ca.ca))

    @server.method("Demo/One")
    async def one(request, context):
        seen.append(context.peer)
        return {}

    credentials = grpcio.ssl_channel_credentials(
        ca.ca.read_bytes(), ca.client_key.read_bytes(), ca.client_cert.read_bytes()
    )
    async with (
        listening(server) as at,
        grpcio_client(f"localhost:{at.port}", credentials=credentials) as client,
    ):
        await client.unary_unary("One")({})
    assert seen[0].tls
    assert "client@example.test" in str(seen[0].certificate)


async def test_mutual_tls_refuses_a_client_without_a_certificate(ca):
    server = echo_server(tls=TlsConfig(cert=ca.server_cert, key=ca.server_key, ca=ca.ca))
    credentials = grpcio.ssl_channel_credentials(ca.ca.read_bytes())
    async with (
        listening(server) as at,
        grpcio_client(f"localhost:{at.port}", credentials=credentials) as client,
    ):
        with pytest.raises(grpcio.aio.AioRpcError) as caught:
            await client.unary_unary("One")({}, timeout=5)
        assert caught.value.code() is grpcio.StatusCode.UNAVAILABLE


def test_tls_true_is_not_enough():
    with pytest.raises(UsageError, match="cert"):
        demo_server(tls=True)


# -- draining ---------------------------------------------------------------------------------------------------


async def test_drain_lets_calls_in_flight_finish():
    trail = Trail()
    server = slow_server(trail)
    async with listening(server) as at, grpcio_client(at) as client:
        call = client.unary_unary("One")({})
        await trail.reached("started")
        drain = asyncio.create_task(server.drain(30))
        await until(lambda: server.state is ServerState.DRAINING)
        trail.mark("release")
        assert (await call)["n"] == 7
        await drain
        assert server.state is ServerState.CLOSED
    assert "cancelled" not in trail


async def test_draining_server_takes_no_new_connections():
    trail = Trail()
    server = slow_server(trail)
    async with listening(server) as at, grpcio_client(at) as client:
        call = client.unary_unary("One")({})
        await trail.reached("started")
        drain = asyncio.create_task(server.drain(30))
        await until(lambda: server.state is ServerState.DRAINING)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", at.port)
        trail.mark("release")
        await call
        await drain


async def test_draining_connection_takes_no_calls_and_answers_those_it_has():
    trail = Trail()
    server = slow_server(trail)
    async with listening(server) as at, raw_client(at) as connection:
        stream = await raw_call(connection, "One")
        await stream.send(b"", end=True)
        await trail.reached("started")
        drain = asyncio.create_task(server.drain(30))
        await until(lambda: not connection.available)
        with pytest.raises(Unavailable):
            await raw_call(connection, "One")
        trail.mark("release")
        assert await ended(stream) == ("OK", "")
        await drain


async def test_calls_that_outlast_the_grace_end_as_unavailable():
    trail = Trail()
    server = slow_server(trail)
    async with listening(server) as at, grpcio_client(at) as client:
        call = client.unary_unary("One")({})
        await trail.reached("started")
        await server.drain(0.05)
        with pytest.raises(grpcio.aio.AioRpcError) as caught:
            await call
    assert caught.value.code() is grpcio.StatusCode.UNAVAILABLE
    assert "shutting down" in caught.value.details()
    assert "cancelled" in trail


async def test_the_shortest_grace_of_several_drains_counts():
    trail = Trail()
    server = slow_server(trail)
    async with listening(server) as at, grpcio_client(at) as client:
        call = client.unary_unary("One")({})
        await trail.reached("started")
        patient = asyncio.create_task(server.drain(3600))
        await until(lambda: server.state is ServerState.DRAINING)
        await server.drain(0)
        await patient
        with pytest.raises(grpcio.aio.AioRpcError):
            await call


async def test_drain_of_a_server_that_does_not_listen_is_quiet():
    server = echo_server()
    await server.drain()
    server.abort()
    assert server.state is ServerState.IDLE


async def test_abort_cuts_calls_and_connections():
    trail = Trail()
    server = slow_server(trail)
    async with listening(server) as at, grpcio_client(at) as client:
        call = client.unary_unary("One")({})
        await trail.reached("started")
        server.abort()
        with pytest.raises(grpcio.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is grpcio.StatusCode.UNAVAILABLE
        await trail.reached("cancelled")


async def test_abort_ends_a_drain():
    trail = Trail()
    server = slow_server(trail)
    async with listening(server) as at, grpcio_client(at) as client:
        call = client.unary_unary("One")({})
        await trail.reached("started")
        drain = asyncio.create_task(server.drain(3600))
        await until(lambda: server.state is ServerState.DRAINING)
        server.abort()
        await drain
        with pytest.raises(grpcio.aio.AioRpcError):
            await call


async def test_cancelled_drain_aborts_and_stays_cancelled():
    trail = Trail()
    server = slow_server(trail)
    async with listening(server) as at, grpcio_client(at) as client:
        call = client.unary_unary("One")({})
        await trail.reached("started")
        drain = asyncio.create_task(server.drain(3600))
        await until(lambda: server.state is ServerState.DRAINING)
        drain.cancel()
        with pytest.raises(asyncio.CancelledError):
            await drain
        assert (server.calls, server.connections) == (0, 0)
        with pytest.raises(grpcio.aio.AioRpcError):
            await call


async def test_leaving_the_block_with_an_exception_does_not_wait_for_calls():
    trail = Trail()
    server = slow_server(trail)

    async def fail():
        async with server.listen("127.0.0.1:0", grace=3600) as at, raw_client(at) as connection:
            stream = await raw_call(connection, "One")
            await stream.send(b"", end=True)
            await trail.reached("started")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert "cancelled" in trail
    assert (server.calls, server.connections) == (0, 0)


async def test_handler_that_goes_on_after_its_cancellation_is_named_and_left_behind(caplog):
    trail = Trail()
    server = demo_server(limits=Limits(close_timeout=0.05))

    @server.method("Demo/One")
    async def one(request):
        trail.mark("started")
        while "release" not in trail:
            with contextlib.suppress(asyncio.CancelledError):
                await trail.reached("release", seconds=60)
        trail.mark("finished")

    at = await server.listen("127.0.0.1:0")
    async with raw_client(at) as connection:
        stream = await raw_call(connection, "One")
        await stream.send(b"", end=True)
        await trail.reached("started")
        await server.drain(0)
        assert (await ended(stream))[0] == "UNAVAILABLE"
    assert [record for record in caplog.records if "Demo/One" in record.getMessage()]
    trail.mark("release")
    await trail.reached("finished")
    await until(lambda: server.calls == 0)


async def test_handler_cannot_await_the_drain_that_waits_for_it_but_may_start_it():
    server = demo_server()
    drains = []

    @server.method("Demo/One")
    async def one(request):
        with pytest.raises(UsageError, match="create_task"):
            await server.drain()
        drains.append(asyncio.create_task(server.drain()))
        return {"n": 1}

    async with listening(server) as at, grpcio_client(at) as client:
        assert (await client.unary_unary("One")({}))["n"] == 1
        await drains[0]
        assert server.state is ServerState.CLOSED


async def test_server_stopped_while_it_starts_is_closed():
    server = echo_server()
    start = asyncio.create_task(_start(server))
    await asyncio.sleep(0)
    server.abort()
    with pytest.raises(ClosedError):
        await start
    assert (server.state, server.connections) == (ServerState.CLOSED, 0)


async def _start(server):
    await server.listen("localhost:0")  # a name is looked up in a thread


async def test_idle_connections_do_not_hold_a_drain_up():
    server = echo_server()
    async with listening(server) as at, raw_client(at):
        await until(lambda: server.connections == 1)
        await server.drain(3600)
        assert server.connections == 0


async def test_silent_connections_hold_a_drain_up_for_the_close_timeout_only():
    server = echo_server(limits=Limits(close_timeout=0.05))
    async with listening(server) as at:
        reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
        await until(lambda: server.connections == 1)
        await server.drain(3600)
        assert server.connections == 0
        writer.close()
        with contextlib.suppress(ConnectionError):
            await reader.read()
            await writer.wait_closed()


async def test_a_client_that_is_still_connecting_takes_part_in_a_drain(ca):
    """Its TLS handshake comes to its end, and it is told to go elsewhere; cut, it would report a broken server."""
    server = echo_server(tls=TlsConfig(cert=ca.server_cert, key=ca.server_key))
    async with listening(server) as at:
        with socket.create_connection(("127.0.0.1", at.port)) as raw:
            drain = asyncio.create_task(server.drain(3600))
            await until(lambda: server.state is ServerState.DRAINING)
            handshake = asyncio.to_thread(
                ca.client_context(alpn=("h2",)).wrap_socket, raw, server_hostname="localhost"
            )
            with await handshake as secured:
                received = b""
                while b"graceful_stop" not in received:
                    piece = await asyncio.to_thread(secured.recv, 4096)
                    assert piece
                    received += piece
        await drain


async def test_a_client_that_never_finishes_connecting_holds_a_drain_up_for_the_close_timeout_only(ca):
    """There is no call it could have begun."""
    tls = TlsConfig(cert=ca.server_cert, key=ca.server_key)
    server = echo_server(tls=tls, limits=Limits(close_timeout=0.05))
    async with listening(server) as at:
        with socket.create_connection(("127.0.0.1", at.port)) as silent:
            await server.drain(3600)
            assert await asyncio.to_thread(silent.recv, 1) == b""


async def test_a_background_call_that_comes_during_a_drain_may_be_made_elsewhere():
    """A watch of health would keep the server from going; REFUSED_STREAM sends it on to the next."""
    trail = Trail()
    server = slow_server(trail)
    async with listening(server) as at, grpcio_client(at) as client:
        raw = RawPeer(server=False)
        await asyncio.get_running_loop().create_connection(lambda: raw, "127.0.0.1", at.port)
        call = client.unary_unary("One")({})
        await trail.reached("started")
        drain = asyncio.create_task(server.drain(30))
        await raw.next(GOAWAY)
        path = "/grpc.health.v1.Health/Watch"
        fields = [(name, path if name == ":path" else value) for name, value in REQUEST]
        raw.write(raw.headers(1, fields), frame(DATA, END_STREAM, 1, message(b"")))
        reset = await raw.next(RST_STREAM, HEADERS)
        assert (reset.kind, reset.code) == (RST_STREAM, 7)
        trail.mark("release")
        assert (await call)["n"] == 7
        raw.close()
        await drain


async def test_several_servers_share_a_port_if_they_are_told_to():
    """And only then: a second one on a port that is taken is a mistake."""
    async with await echo_server().listen("127.0.0.1:0", reuse_port=True) as first:
        async with echo_server().listen(f"127.0.0.1:{first.port}", reuse_port=True) as second:
            assert second.port == first.port
        with pytest.raises(OSError, match="in use"):
            await echo_server().listen(f"127.0.0.1:{first.port}")


# -- serve ------------------------------------------------------------------------------------------------------


async def serving(server, trail):
    """Start `serve` in a task; return it with the port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    task = asyncio.create_task(server.serve(f"127.0.0.1:{port}", grace=3600))
    await until(lambda: server.state is ServerState.SERVING or task.done())
    return task, f"127.0.0.1:{port}"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_serve_drains_and_returns_on_a_signal(number):
    trail = Trail()
    server = slow_server(trail)
    before = signal.getsignal(number)
    task, target = await serving(server, trail)
    async with grpcio_client(target) as client:
        call = client.unary_unary("One")({}, wait_for_ready=True)
        await trail.reached("started")
        os.kill(os.getpid(), number)
        await until(lambda: server.state is ServerState.DRAINING)
        trail.mark("release")
        assert (await call)["n"] == 7
        await task
    assert signal.getsignal(number) is before


async def test_second_signal_stops_at_once():
    trail = Trail()
    server = slow_server(trail)
    task, target = await serving(server, trail)
    async with grpcio_client(target) as client:
        call = client.unary_unary("One")({}, wait_for_ready=True)
        await trail.reached("started")
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: server.state is ServerState.DRAINING)
        os.kill(os.getpid(), signal.SIGTERM)
        await task
        await trail.reached("cancelled")
        with pytest.raises(grpcio.aio.AioRpcError):
            await call


async def test_cancelled_serve_drains_and_stays_cancelled():
    trail = Trail()
    server = slow_server(trail)
    task, target = await serving(server, trail)
    async with grpcio_client(target) as client:
        call = client.unary_unary("One")({}, wait_for_ready=True)
        await trail.reached("started")
        task.cancel()
        await until(lambda: server.state is ServerState.DRAINING)
        trail.mark("release")
        assert (await call)["n"] == 7
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (server.calls, server.connections) == (0, 0)


async def test_serve_cancelled_twice_aborts():
    trail = Trail()
    server = slow_server(trail)
    task, target = await serving(server, trail)
    async with grpcio_client(target) as client:
        call = client.unary_unary("One")({}, wait_for_ready=True)
        await trail.reached("started")
        task.cancel()
        await until(lambda: server.state is ServerState.DRAINING)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (server.calls, server.connections) == (0, 0)
        with pytest.raises(grpcio.aio.AioRpcError):
            await call


class _Watched:
    """A path that remembers which threads asked for it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.threads: set[int] = set()

    def __fspath__(self) -> str:
        self.threads.add(threading.get_ident())
        return str(self._path)


async def test_schema_of_a_server_is_loaded_in_a_thread_before_it_listens(tmp_path):
    (tmp_path / "demo.proto").write_text(DEMO)
    path = _Watched(tmp_path / "demo.proto")
    server = Server(schema=path)
    async with server.listen("127.0.0.1:0"):
        assert server.schema.services() == [DEMO_SERVICE]
    assert path.threads
    assert threading.get_ident() not in path.threads


async def test_server_whose_schema_does_not_compile_does_not_listen(tmp_path):
    (tmp_path / "bad.proto").write_text("message {")
    server = Server(schema=tmp_path / "bad.proto")
    with pytest.raises(SchemaError, match=r"bad\.proto:1:"):
        await server.listen("127.0.0.1:0")
    assert server.state is ServerState.CLOSED
    with pytest.raises(SchemaError):
        async with server.listen("127.0.0.1:0"):
            raise AssertionError("it listens")
