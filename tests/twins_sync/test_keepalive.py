"""Keepalive and the age of connections by the public API, against grpcio and against processes that are stopped.

Made of `tests/twins` by tools/make_sync.py; do not edit.


A stopped process (SIGSTOP) is a machine that has vanished: its kernel still acknowledges what arrives, and nobody reads it.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from support.client_support import ONE, PROTO
from support.server_support import DEMO_SERVICE, demo_schema
from support.sync_support import BlockingNotes
from support.twins_sync_support import Event, gather, sleep, start, until
from twins_sync.grpc_support import grpcio_server
from twins_sync.server_support import demo_server, listening
from wirelane.core import keepalive as settings
from wirelane.errors import RpcError
from wirelane.status import StatusCode
from wirelane.sync import TlsConfig, grpc

if TYPE_CHECKING:
    from conftest import Certificates

GRPCIO_ECHO = """
import sys, time, pathlib
from concurrent import futures
import grpc

def answer(request, context):
    if request == b"hang":
        time.sleep(3600)
    return request

handler = grpc.unary_unary_rpc_method_handler(answer)
server = grpc.server(futures.ThreadPoolExecutor(4))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", {"Call": handler}),))
if len(sys.argv) > 1:
    cert, key = (pathlib.Path(name).read_bytes() for name in sys.argv[1:])
    print(server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, cert)])), flush=True)
else:
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
server.wait_for_termination()
"""


@pytest.fixture(autouse=True)
def _short_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let settings be as short as a test needs them."""
    monkeypatch.setattr(settings, "LEAST_CLIENT_TIME", 0.0)
    monkeypatch.setattr(settings, "LEAST_SERVER_TIME", 0.0)


@contextmanager
def python(source: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program that may be stopped; it is killed in the end."""
    with subprocess.Popen([sys.executable, "-c", source, *arguments], stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("transport", ["h2c", "tls"])
def test_calls_to_a_server_that_stopped_end_as_unavailable(ca: Certificates, transport: str) -> None:
    """Nothing tells a client of it but its own pings."""
    secure = transport == "tls"
    with python(GRPCIO_ECHO, *([str(ca.server_cert), str(ca.server_key)] if secure else [])) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        options = grpc.ChannelOptions(keepalive_time=0.02, keepalive_timeout=0.2)
        tls = TlsConfig(ca=ca.ca) if secure else None
        with grpc.connect(f"127.0.0.1:{port}", tls=tls, options=options) as channel:
            assert channel.unary(ONE, b"there") == b"there"
            process.send_signal(signal.SIGSTOP)
            with pytest.raises(RpcError, match="keepalive timeout") as caught:
                channel.unary(ONE, b"hello?")
            assert caught.value.code is StatusCode.UNAVAILABLE
            assert caught.value.peer == f"127.0.0.1:{port}"
            assert (channel.state, channel.stats.connections) == ("IDLE", 0)


def test_a_grpcio_server_that_is_pinged_too_often_slows_the_channel_down(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It sends GOAWAY too_many_pings; the call that was open is lost with it, and the next connection pings less."""
    notes = BlockingNotes()
    with grpcio_server(notes) as port:
        options = grpc.ChannelOptions(keepalive_time=0.02)
        with grpc.connect(f"127.0.0.1:{port}", schema=PROTO, options=options) as channel:
            with pytest.raises(RpcError, match="(?i)too.many.pings") as caught:
                channel.unary("Calls/One", {"text": "hang"})
            assert caught.value.code is StatusCode.UNAVAILABLE
            assert (channel.unary("Calls/One", {"n": 1}))["n"] == 1
        until(notes.ended.is_set)
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "keepalive_time is 0.04 s from now on" in warning.getMessage()


def test_a_grpcio_server_that_permits_the_pings_is_pinged_as_long_as_the_call_takes() -> None:
    """Neither end ends the call before its deadline, nor the connection."""
    permitted = (("grpc.http2.min_ping_interval_without_data_ms", 1), ("grpc.http2.max_ping_strikes", 0))
    with grpcio_server(settings=permitted) as port:
        options = grpc.ChannelOptions(keepalive_time=0.01, keepalive_timeout=30.0)
        with grpc.connect(f"127.0.0.1:{port}", schema=PROTO, options=options) as channel:
            with pytest.raises(RpcError, match="DEADLINE_EXCEEDED"):
                channel.unary("Calls/One", {"text": "hang"}, timeout=0.5)
            assert (channel.unary("Calls/One", {"n": 1}))["n"] == 1
            assert channel.stats.connects == 1


def test_a_call_may_take_longer_than_an_idle_connection_may_live() -> None:
    """What is idle is counted from the end of the last call; then the channel connects anew."""
    server = demo_server(options=grpc.ServerOptions(max_connection_idle=0.02))
    others = Event()

    @server.method("Demo/One")
    def one(request: dict[str, int]) -> dict[str, int]:
        if request["n"]:
            others.wait()
        return {"n": request["n"]}

    with listening(server) as at:
        target = f"127.0.0.1:{at.port}"
        with grpc.connect(target, schema=demo_schema()) as channel:
            call = start(channel.unary, "Demo/One", {"n": 7})
            for _ in range(3):
                with grpc.connect(target, schema=demo_schema()) as other:
                    assert (other.unary("Demo/One", {}))["n"] == 0
                    until(lambda other=other: other.state == "IDLE")
            assert channel.state == "READY"
            others.set()
            assert (call.result())["n"] == 7
            until(lambda: channel.state == "IDLE")
            assert (channel.unary("Demo/One", {}))["n"] == 0
            assert channel.stats.connects == 2


def test_connections_that_grow_old_fail_no_call() -> None:
    """Eight callers, connections of 50 ms, and calls that are under way whenever one ends."""
    peers: set[str] = set()
    server = demo_server(options=grpc.ServerOptions(max_connection_age=0.05))

    @server.method("Demo/One")
    def one(request: dict[str, int], context: grpc.Context) -> dict[str, int]:
        peers.add(str(context.peer))
        sleep(0.001 * request["n"])  # the work of a call
        return {"n": request["n"]}

    with listening(server) as at:
        with grpc.connect(f"127.0.0.1:{at.port}", schema=demo_schema()) as channel:
            method = channel.service(DEMO_SERVICE).One

            def caller(number: int) -> int:
                calls = 0
                while len(peers) < 6:
                    reply = method({"n": number})
                    assert reply["n"] == number
                    calls += 1
                return calls

            done = gather(*(start(caller, number) for number in range(8)))
            assert channel.stats.failed == 0
        assert min(done) > 0
        assert server.calls == 0
