"""How a channel connects, fails, waits, connects again and closes.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

import re
import socket
from functools import partial
from pathlib import Path

import pytest

from support.client_support import DOWN, ONE, PROTO, free_port, raw_server, wire_server
from support.twins_sync_support import Event, elsewhere, gather, serving, silent, sleep, start, there, until
from twins_sync.grpc_support import grpcio_server, wire_channel
from wirelane.core.backoff import Backoff
from wirelane.core.target import HostPort, UnixPath
from wirelane.sync import (
    ClosedError,
    ConnectError,
    Limits,
    PeerError,
    ResolveError,
    RpcError,
    SchemaError,
    StatusCode,
    TlsConfig,
    TlsError,
    UsageError,
    grpc,
)
from wirelane.transport.base import ServerStream


@there
async def echo(stream: ServerStream) -> None:
    part = await stream.receive()
    assert part is not None
    stream.finish(StatusCode.OK, payload=part[1])


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the backoff short; its numbers have tests of their own."""
    monkeypatch.setattr(Backoff, "INITIAL", 0.01)
    monkeypatch.setattr(Backoff, "MAXIMUM", 0.02)


def test_connect_gives_a_channel_and_can_be_entered() -> None:
    with elsewhere(wire_server, echo) as port:
        channel = grpc.connect(f"127.0.0.1:{port}")
        assert repr(channel).endswith(f"Channel grpc://127.0.0.1:{port} READY 1 connection, 0 calls>")
        channel.close()
        assert repr(channel).endswith(f"Channel grpc://127.0.0.1:{port} SHUTDOWN 0 connections, 0 calls>")
        with grpc.connect(f"127.0.0.1:{port}") as channel:
            assert channel.unary(ONE, b"x") == b"x"
        assert channel.state == "SHUTDOWN"


def test_a_channel_does_nothing_until_it_is_used() -> None:
    with elsewhere(raw_server) as raw:
        channel = grpc.Channel(f"127.0.0.1:{raw.port}", schema="no/such/file.proto")
        sleep(0)
        assert raw.all == []
        assert (channel.state, channel.stats.connects) == ("IDLE", 0)
        channel.close()
    grpc.Channel("somewhere.invalid:1")


def test_connect_raises_the_one_clear_error() -> None:
    port = free_port()
    with pytest.raises(ConnectError, match=f"127.0.0.1:{port}.*refused") as raised:
        grpc.connect(f"127.0.0.1:{port}")
    assert [address for address, _ in raised.value.attempts] == [f"127.0.0.1:{port}"]
    with pytest.raises(ResolveError, match=r"no-such-host\.invalid"):
        grpc.connect("no-such-host.invalid:1")
    with pytest.raises(UsageError, match="no port"):
        grpc.connect("localhost")
    with pytest.raises(UsageError, match="tls=False"):
        grpc.connect("grpcs://localhost:1", tls=False)


def test_connect_raises_the_error_of_the_schema_and_leaves_no_connection() -> None:
    with elsewhere(wire_server, echo) as port:
        with pytest.raises(SchemaError):
            grpc.connect(f"127.0.0.1:{port}", schema='syntax = "proto3"; message Broken {')
        with pytest.raises(SchemaError):
            with grpc.connect(f"127.0.0.1:{port}", schema=Path("no/such/file.proto")):
                pass


def test_connect_to_a_server_that_is_no_http2_says_so() -> None:
    def http1(client: socket.socket) -> None:
        client.recv(10)
        client.sendall(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        silent(client)

    with serving(http1) as address:
        with pytest.raises(PeerError, match=r"HTTP/1"):
            grpc.connect(address)
        with grpc.Channel(address) as channel:
            with pytest.raises(RpcError) as raised:
                channel.unary(ONE, b"")
            assert raised.value.code is StatusCode.UNAVAILABLE
            assert isinstance(raised.value.__cause__, PeerError)


def test_a_silent_server_fails_connecting_in_time() -> None:
    with serving(silent) as address:
        with pytest.raises(ConnectError, match="SETTINGS"):
            grpc.connect(address, limits=Limits(connect_timeout=0.05))


@pytest.mark.parametrize("how", ["ca", "context", "server_name"])
def test_tls_is_turned_on_by_the_scheme_or_the_argument(how: str, ca) -> None:
    identity = TlsConfig(cert=ca.server_cert, key=ca.server_key)
    with elsewhere(wire_server, echo, tls=identity) as port:
        config = TlsConfig(ca=ca.ca)
        if how == "ca":
            connecting = grpc.connect(f"127.0.0.1:{port}", tls=config)
        elif how == "context":
            connecting = grpc.connect(f"grpcs://127.0.0.1:{port}", tls=ca.client_context())
        else:
            options = grpc.ChannelOptions(server_name="example.test", authority="example.test")
            connecting = grpc.connect(f"https://127.0.0.1:{port}", tls=config, options=options)
        with connecting as channel:
            assert channel.unary(ONE, b"secure") == b"secure"
            assert f"Channel grpcs://127.0.0.1:{port} READY" in repr(channel)
        with pytest.raises(TlsError, match="certificate"):
            grpc.connect(f"127.0.0.1:{port}", tls=True)
        with pytest.raises((TlsError, PeerError), match="TLS"):
            grpc.connect(f"127.0.0.1:{port}")


def test_tls_against_a_plaintext_server_is_a_tls_error() -> None:
    with elsewhere(wire_server, echo) as port:
        with pytest.raises(TlsError):
            grpc.connect(f"grpcs://127.0.0.1:{port}")


def test_a_unix_socket(tmp_path: Path) -> None:
    with elsewhere(wire_server, echo, at=UnixPath(str(tmp_path / "s"))):
        with grpc.connect(f"unix:{tmp_path}/s") as channel:
            assert channel.unary(ONE, b"u") == b"u"
            assert f"Channel unix:{tmp_path}/s READY" in repr(channel)


def test_static_addresses_are_tried_in_order() -> None:
    refused = [free_port(), free_port()]
    with elsewhere(wire_server, echo) as port:
        target = f"static:///127.0.0.1:{refused[0]},127.0.0.1:{port},127.0.0.1:{refused[1]}"
        with grpc.connect(target) as channel:
            assert channel.unary(ONE, b"x") == b"x"
            assert f"Channel {target} READY" in repr(channel)
    with pytest.raises(ConnectError, match="none of the 2 addresses") as raised:
        grpc.connect(f"static:///127.0.0.1:{refused[0]},127.0.0.1:{refused[1]}")
    assert [address for address, _ in raised.value.attempts] == [f"127.0.0.1:{one}" for one in refused]


def test_a_call_without_a_connection_fails_fast_with_the_reason() -> None:
    port = free_port()
    with grpc.Channel(f"127.0.0.1:{port}") as channel:
        for _ in range(2):
            with pytest.raises(RpcError, match="refused") as raised:
                channel.unary(ONE, b"")
            assert (raised.value.code, raised.value.from_peer) == (StatusCode.UNAVAILABLE, False)
            assert isinstance(raised.value.__cause__, ConnectError)
            assert raised.value.attempts == 0
        with pytest.raises(RpcError, match="UNAVAILABLE"):
            with channel.server_stream(DOWN, b""):
                pass
        with pytest.raises(RpcError, match="UNAVAILABLE"):
            channel.collect(DOWN, b"")
        assert channel.state == "TRANSIENT_FAILURE"
        assert channel.stats.active == 0


def test_while_the_backoff_lasts_calls_do_not_connect_but_connect_does() -> None:
    port = free_port()
    with grpc.Channel(f"127.0.0.1:{port}") as channel:
        with pytest.raises(RpcError, match="UNAVAILABLE"):
            channel.unary(ONE, b"")
        with elsewhere(raw_server, port=port) as raw:
            with pytest.raises(RpcError, match="UNAVAILABLE"):
                channel.unary(ONE, b"")
            assert raw.all == []
            channel.connect()
            assert channel.state == "READY"
            call = start(channel.unary, ONE, b"")
            peer = raw.peers.get()
            peer.answer((peer.request()).stream, b"y")
            assert call.result() == b"y"


@pytest.mark.usefixtures("quick")
def test_a_patient_call_waits_for_a_connection_and_a_hasty_one_does_not() -> None:
    port = free_port()
    with grpc.Channel(f"127.0.0.1:{port}") as channel:
        patient = start(channel.unary, ONE, b"y", wait_for_ready=True, timeout=30)
        with pytest.raises(RpcError, match="UNAVAILABLE"):
            channel.unary(ONE, b"")
        assert not patient.done()
        with elsewhere(wire_server, echo, at=HostPort("127.0.0.1", port)):
            assert patient.result() == b"y"


def test_a_patient_call_ends_with_its_deadline_and_then_nobody_connects() -> None:
    options = grpc.ChannelOptions(wait_for_ready=True)
    with grpc.Channel(f"127.0.0.1:{free_port()}", options=options) as channel:
        with pytest.raises(TimeoutError):
            channel.unary(ONE, b"", timeout=0.05)
        with pytest.raises(RpcError, match="UNAVAILABLE"):
            channel.unary(ONE, b"", wait_for_ready=False)


@pytest.mark.usefixtures("quick")
def test_a_server_that_restarts_is_found_again() -> None:
    with elsewhere(wire_server, echo) as port:
        channel = grpc.connect(f"127.0.0.1:{port}")
        assert channel.unary(ONE, b"1") == b"1"
    until(lambda: channel.state != "READY")
    with pytest.raises(RpcError, match="UNAVAILABLE"):
        channel.unary(ONE, b"2")
    with elsewhere(wire_server, echo, at=HostPort("127.0.0.1", port)):
        assert channel.unary(ONE, b"3", wait_for_ready=True, timeout=30) == b"3"
        channel.close()


def test_many_first_calls_share_one_connection() -> None:
    with elsewhere(wire_server, echo) as port, grpc.Channel(f"127.0.0.1:{port}") as channel:
        calls = [start(channel.unary, ONE, bytes((n,))) for n in range(50)]
        assert gather(*calls) == [bytes((n,)) for n in range(50)]
        assert channel.stats.connects == 1


def test_an_idle_connection_is_closed_and_made_again() -> None:
    with elsewhere(wire_server, echo) as port:
        options = grpc.ChannelOptions(idle_timeout=0.02)
        with grpc.connect(f"127.0.0.1:{port}", options=options) as channel:
            assert channel.unary(ONE, b"1") == b"1"
            until(lambda: channel.state != "READY")
            assert (channel.state, channel.stats.connections) == ("IDLE", 0)
            assert channel.unary(ONE, b"2") == b"2"
            assert channel.stats.connects == 2


def test_a_connection_with_a_call_is_not_idle() -> None:
    release = Event()

    @there
    async def handler(stream: ServerStream) -> None:
        await release.wait()
        stream.finish(StatusCode.OK, payload=b"y")

    with wire_channel(handler, options=grpc.ChannelOptions(idle_timeout=0.01)) as channel:
        call = start(channel.unary, ONE, b"")
        # It may have been idle for too long before.
        until(lambda: channel.stats.active and channel.state == "READY")
        before = channel.stats.connects
        sleep(0.05)
        assert (channel.state, channel.stats.connects) == ("READY", before)
        release.set()
        assert call.result() == b"y"


def test_a_closed_channel_refuses_calls() -> None:
    with elsewhere(wire_server, echo) as port:
        channel = grpc.connect(f"127.0.0.1:{port}", schema=PROTO)
        channel.close()
        channel.close()
        for call in (
            partial(channel.unary, ONE, b""),
            partial(channel.collect, DOWN, b""),
            channel.connect,
        ):
            with pytest.raises(ClosedError, match="closed"):
                call()
        assert channel.stats.active == 0
        assert channel.schema.services()


def test_closing_while_connecting_ends_the_calls_that_wait() -> None:
    with serving(silent) as address:
        channel = grpc.Channel(address, schema="reflection")
        waiting = [
            start(channel.unary, ONE, b""),
            start(channel.unary, "Calls/One", {}, wait_for_ready=True),
            start(channel.connect),
        ]
        until(lambda: channel.stats.active == 2)
        channel.close()
        results = gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [RpcError, RpcError, ClosedError]
    assert all("closed" in str(result) for result in results)
    assert channel.stats.active == 0


def test_the_authority_is_the_target_or_what_the_options_say() -> None:
    seen: list[str] = []

    @there
    async def handler(stream: ServerStream) -> None:
        seen.append(stream.authority)
        stream.finish(StatusCode.OK, payload=b"")

    with elsewhere(wire_server, handler) as port:
        for target, options in (
            (f"127.0.0.1:{port}", None),
            (f"grpc://localhost:{port}", None),
            (f"127.0.0.1:{port}", grpc.ChannelOptions(authority="api.example")),
        ):
            with grpc.connect(target, options=options) as channel:
                channel.unary(ONE, b"")
    assert seen == [f"127.0.0.1:{port}", f"localhost:{port}", "api.example"]


def test_options_are_checked_and_name_the_field() -> None:
    for name, value in (
        ("idle_timeout", 0),
        ("max_connections", 0),
        ("max_connections", True),
        ("max_connections", 1.5),
        ("authority", ""),
        ("user_agent", "new\nline"),
    ):
        with pytest.raises(UsageError, match=name):
            grpc.ChannelOptions(**{name: value})  # type: ignore[arg-type]


def test_a_channel_that_must_load_its_schema_loads_it_with_its_first_call(tmp_path: Path) -> None:
    file = tmp_path / "calls.proto"
    file.write_text(PROTO)
    with grpcio_server() as port, grpc.Channel(f"127.0.0.1:{port}", schema=file) as channel:
        with pytest.raises(UsageError, match=re.escape("connect() the channel first")):
            _ = channel.schema
        calls = [start(channel.unary, "Calls/One", {"n": n}) for n in range(5)]
        assert [reply["n"] for reply in gather(*calls)] == [0, 1, 2, 3, 4]
        assert channel.schema.services() == ["wirelane.tests.client.Calls"]


def test_a_schema_that_does_not_load_fails_the_calls_that_need_it() -> None:
    with (
        elsewhere(wire_server, echo) as port,
        grpc.Channel(f"127.0.0.1:{port}", schema=Path("none.proto")) as channel,
    ):
        with pytest.raises(SchemaError):
            channel.unary("Calls/One", {})
        assert channel.unary(ONE, b"x") == b"x"
        assert channel.stats.active == 0
