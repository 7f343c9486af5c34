"""A server's life, listening, TLS, draining, aborting; nothing may be left at the end: written once, run with asyncio and without."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import asynccontextmanager
from pathlib import Path

import grpc as grpcio
import pytest

from support.server_support import DEMO, DEMO_SERVICE, demo_schema
from support.twins_support import elsewhere, start, there, until
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
from twins.server_support import Trail, demo_server, ended, grpcio_client, listening, raw_call, raw_client
from wirelane import ConnectError, Limits, PeerError, SchemaError, TlsConfig, UsageError, grpc
from wirelane.grpc.server import ServerState
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
    async def one(request, context):
        trail.mark("started")
        try:
            await until(lambda: "release" in trail or context.cancelled)
        finally:
            if context.cancelled:
                trail.mark("cancelled")
        return {"n": 7}

    return server


# -- listening --------------------------------------------------------------------------------------------------


async def test_listen_gives_the_port_and_the_address():
    async with listening(echo_server(), "127.0.0.1:0") as at, grpcio_client(at) as client:
        assert at.port > 0
        assert str(at.address) == f"127.0.0.1:{at.port}"
        assert (await client.unary_unary("One", {"n": 1}).reply())["n"] == 1


async def test_server_listens_at_several_addresses(tmp_path):
    path = tmp_path / "server.sock"
    async with listening(echo_server(), "127.0.0.1:0", f"unix:{path}", "[::1]:0") as at:
        assert len(at.addresses) == 3
        for target in (f"127.0.0.1:{at.port}", f"unix:{path}", str(at.addresses[2])):
            async with grpcio_client(target) as client:
                assert (await client.unary_unary("One", {"n": 2}).reply())["n"] == 2
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
        assert (await client.unary_unary("One", {"n": 1}).reply())["n"] == 1
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
            socket.create_connection(("127.0.0.1", port))


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
        # The server may count a connection a turn after its client does not.
        async with grpc.Channel(second, schema=demo_schema()) as channel:
            assert (await channel.unary("Demo/One", {"n": 5}, timeout=30, wait_for_ready=True))["n"] == 5


async def test_a_server_listens_once_at_a_time_and_again_afterwards():
    server = echo_server()
    async with listening(server):
        with pytest.raises(UsageError, match="already"):
            server.listen("127.0.0.1:0")
    async with listening(server) as at, grpcio_client(at) as client:
        assert (await client.unary_unary("One", {"n": 4}).reply())["n"] == 4


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
        call = client.unary_unary("One", {})
        await trail.reached("started")
        assert f"Server 127.0.0.1:{at.port} SERVING 1 connection, 1 call>" in repr(server)
        trail.mark("release")
        await call.reply()
        await until(lambda: server.calls == 0)
        assert f"Server 127.0.0.1:{at.port} SERVING 1 connection, 0 calls>" in repr(server)
    assert "CLOSED 0 connections, 0 calls" in repr(server)


# -- TLS --------------------------------------------------------------------------------------------------------


async def test_tls(ca):
    server = echo_server(tls=TlsConfig(cert=ca.server_cert, key=ca.server_key))
    credentials = grpcio.ssl_channel_credentials(ca.ca.read_bytes())
    async with (
        listening(server) as at,
        grpcio_client(f"localhost:{at.port}", credentials=credentials) as client,
    ):
        assert (await client.unary_unary("One", {"n": 1}).reply())["n"] == 1


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
        await client.unary_unary("One", {}).reply()
    assert seen[0].tls
    assert "client@example.test" in str(seen[0].certificate)


async def test_mutual_tls_refuses_a_client_without_a_certificate(ca):
    server = echo_server(tls=TlsConfig(cert=ca.server_cert, key=ca.server_key, ca=ca.ca))
    credentials = grpcio.ssl_channel_credentials(ca.ca.read_bytes())
    async with (
        listening(server) as at,
        grpcio_client(f"localhost:{at.port}", credentials=credentials) as client,
    ):
        error = await client.unary_unary("One", {}, timeout=5).error()
        assert error.code() is grpcio.StatusCode.UNAVAILABLE


def test_tls_true_is_not_enough():
    with pytest.raises(UsageError, match="cert"):
        demo_server(tls=True)


# -- draining ---------------------------------------------------------------------------------------------------


async def test_drain_lets_calls_in_flight_finish():
    trail = Trail()
    server = slow_server(trail)
    async with listening(server) as at, grpcio_client(at) as client:
        call = client.unary_unary("One", {})
        await trail.reached("started")
        drain = start(server.drain, 30)
        await until(lambda: server.state is ServerState.DRAINING)
        trail.mark("release")
        assert (await call.reply())["n"] == 7
        await drain.result()
        assert server.state is ServerState.CLOSED
    assert "cancelled" not in trail


async def test_draining_server_takes_no_new_connections():
    trail = Trail()
    server = slow_server(trail)
    async with listening(server) as at, grpcio_client(at) as client:
        call = client.unary_unary("One", {})
        await trail.reached("started")
        drain = start(server.drain, 30)
        await until(lambda: server.state is ServerState.DRAINING)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", at.port))
        trail.mark("release")
        await call.reply()
        await drain.result()


async def test_draining_connection_takes_no_calls_and_answers_those_it_has():
    trail = Trail()
    server = slow_server(trail)
    async with listening(server) as at, raw_client(at) as connection:
        stream = await raw_call(connection, "One")
        await stream.send(b"", end=True)
        await trail.reached("started")
        drain = start(server.drain, 30)
        await until(lambda: not connection.available)
        with pytest.raises(Unavailable):
            await raw_call(connection, "One")
        trail.mark("release")
        assert await ended(stream) == ("OK", "")
        await drain.result()


async def test_calls_that_outlast_the_grace_end_as_unavailable():
    trail = Trail()
    server = slow_server(trail)
    async with listening(server) as at, grpcio_client(at) as client:
        call = client.unary_unary("One", {})
        await trail.reached("started")
        await server.drain(0.05)
        error = await call.error()
    assert error.code() is grpcio.StatusCode.UNAVAILABLE
    assert "shutting down" in error.details()
    assert "cancelled" in trail


async def test_the_shortest_grace_of_several_drains_counts():
    trail = Trail()
    server = slow_server(trail)
    async with listening(server) as at, grpcio_client(at) as client:
        call = client.unary_unary("One", {})
        await trail.reached("started")
        patient = start(server.drain, 3600)
        await until(lambda: server.state is ServerState.DRAINING)
        await server.drain(0)
        await patient.result()
        await call.error()


async def test_drain_of_a_server_that_does_not_listen_is_quiet():
    server = echo_server()
    await server.drain()
    server.abort()
    assert server.state is ServerState.IDLE


async def test_abort_cuts_calls_and_connections():
    trail = Trail()
    server = slow_server(trail)
    async with listening(server) as at, grpcio_client(at) as client:
        call = client.unary_unary("One", {})
        await trail.reached("started")
        server.abort()
        error = await call.error()
        assert error.code() is grpcio.StatusCode.UNAVAILABLE
        await trail.reached("cancelled")


async def test_abort_ends_a_drain():
    trail = Trail()
    server = slow_server(trail)
    async with listening(server) as at, grpcio_client(at) as client:
        call = client.unary_unary("One", {})
        await trail.reached("started")
        drain = start(server.drain, 3600)
        await until(lambda: server.state is ServerState.DRAINING)
        server.abort()
        await drain.result()
        await call.error()


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


async def test_idle_connections_do_not_hold_a_drain_up():
    server = echo_server()
    async with listening(server) as at, raw_client(at):
        await until(lambda: server.connections == 1)
        await server.drain(3600)
        assert server.connections == 0


async def test_silent_connections_hold_a_drain_up_for_the_close_timeout_only():
    server = echo_server(limits=Limits(close_timeout=0.05))
    async with listening(server) as at:
        with socket.create_connection(("127.0.0.1", at.port)):
            await until(lambda: server.connections == 1)
            await server.drain(3600)
            assert server.connections == 0


async def test_a_client_that_is_still_connecting_takes_part_in_a_drain(ca):
    """Its TLS handshake comes to its end, and it is told to go elsewhere; cut, it would report a broken server."""
    server = echo_server(tls=TlsConfig(cert=ca.server_cert, key=ca.server_key))
    async with listening(server) as at:
        with socket.create_connection(("127.0.0.1", at.port)) as raw:
            drain = start(server.drain, 3600)
            await until(lambda: server.state is ServerState.DRAINING)
            context = ca.client_context(alpn=("h2",))
            with await asyncio.to_thread(context.wrap_socket, raw, server_hostname="localhost") as secured:
                received = b""
                while b"graceful_stop" not in received:
                    piece = await asyncio.to_thread(secured.recv, 4096)
                    assert piece
                    received += piece
        await drain.result()


async def test_a_client_that_never_finishes_connecting_holds_a_drain_up_for_the_close_timeout_only(ca):
    """There is no call it could have begun."""
    tls = TlsConfig(cert=ca.server_cert, key=ca.server_key)
    server = echo_server(tls=tls, limits=Limits(close_timeout=0.05))
    async with listening(server) as at:
        with socket.create_connection(("127.0.0.1", at.port)) as silent:
            await server.drain(3600)
            assert await asyncio.to_thread(silent.recv, 1) == b""


@there
@asynccontextmanager
async def raw_peer(port):
    raw = RawPeer(server=False)
    await asyncio.get_running_loop().create_connection(lambda: raw, "127.0.0.1", port)
    yield raw


async def test_a_background_call_that_comes_during_a_drain_may_be_made_elsewhere():
    """A watch of health would keep the server from going; REFUSED_STREAM sends it on to the next."""
    trail = Trail()
    server = slow_server(trail)
    async with listening(server) as at, grpcio_client(at) as client, elsewhere(raw_peer, at.port) as raw:
        call = client.unary_unary("One", {})
        await trail.reached("started")
        drain = start(server.drain, 30)
        await raw.next(GOAWAY)
        path = "/grpc.health.v1.Health/Watch"
        fields = [(name, path if name == ":path" else value) for name, value in REQUEST]
        raw.write(raw.headers(1, fields), frame(DATA, END_STREAM, 1, message(b"")))
        reset = await raw.next(RST_STREAM, HEADERS)
        assert (reset.kind, reset.code) == (RST_STREAM, 7)
        trail.mark("release")
        assert (await call.reply())["n"] == 7
        raw.close()
        await drain.result()


async def test_several_servers_share_a_port_if_they_are_told_to():
    """And only then: a second one on a port that is taken is a mistake."""
    async with await echo_server().listen("127.0.0.1:0", reuse_port=True) as first:
        async with echo_server().listen(f"127.0.0.1:{first.port}", reuse_port=True) as second:
            assert second.port == first.port
        with pytest.raises(OSError, match="in use"):
            await echo_server().listen(f"127.0.0.1:{first.port}")


# -- schema -----------------------------------------------------------------------------------------------------


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
    server = grpc.Server(schema=path)
    async with server.listen("127.0.0.1:0"):
        assert server.schema.services() == [DEMO_SERVICE]
    assert path.threads
    assert threading.get_ident() not in path.threads


async def test_server_whose_schema_does_not_compile_does_not_listen(tmp_path):
    (tmp_path / "bad.proto").write_text("message {")
    server = grpc.Server(schema=tmp_path / "bad.proto")
    with pytest.raises(SchemaError, match=r"bad\.proto:1:"):
        await server.listen("127.0.0.1:0")
    assert server.state is ServerState.CLOSED
    with pytest.raises(SchemaError):
        async with server.listen("127.0.0.1:0"):
            raise AssertionError("it listens")
