"""Servers without `await`: threads, signals and the end of the process; what they share with asynchronous ones is in tests/twins."""

from __future__ import annotations

import contextvars
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc as grpcio
import pytest

from support.client_support import NOTE, SERVICE, note_schema
from wirelane.errors import EndOfStream, UsageError
from wirelane.sync import grpc, tcp

CODEC = note_schema().codec(NOTE)


def test_no_more_handlers_run_at_once_than_there_are_threads() -> None:
    """The others wait, and are answered afterwards."""
    running, most, lock = 0, 0, threading.Lock()
    names: set[str] = set()
    server = grpc.Server(schema=note_schema(), threads=3)

    @server.method(f"{SERVICE}/One")
    def one(request: dict[str, Any]) -> dict[str, Any]:
        nonlocal running, most
        with lock:
            names.add(threading.current_thread().name)
            running += 1
            most = max(most, running)
        threading.Event().wait(0.01)
        with lock:
            running -= 1
        return request

    with (
        server.listen("127.0.0.1:0") as listening,
        grpcio.insecure_channel(f"127.0.0.1:{listening.port}") as channel,
        ThreadPoolExecutor(12) as pool,
    ):
        ask = channel.unary_unary(
            f"/{SERVICE}/One", request_serializer=CODEC.encode, response_deserializer=CODEC.decode
        )
        assert [each["n"] for each in pool.map(ask, [{"n": n} for n in range(36)])] == list(range(36))
    assert most == 3
    assert names == {"wirelane.sync: handler"}


def test_handlers_that_are_coroutines_run_in_the_loop() -> None:
    """A server may have both kinds."""
    server = grpc.Server(schema=note_schema())

    @server.method(f"{SERVICE}/One")
    async def one(request: dict[str, Any]) -> dict[str, Any]:
        return {"text": threading.current_thread().name}

    with server.listen("127.0.0.1:0") as listening, grpc.connect(f"127.0.0.1:{listening.port}") as channel:
        method = grpc.Method(f"{SERVICE}/One", grpc.Cardinality.UNARY, bytes, bytes)
        assert CODEC.decode(channel.unary(method, b""))["text"] == "wirelane.sync: event loop"


def test_a_handler_that_does_not_fit_is_refused() -> None:
    """By its signature, when it is registered."""
    server = grpc.Server(schema=note_schema())
    with pytest.raises(UsageError, match="must take"):
        server.method(f"{SERVICE}/One")(lambda: None)
    with pytest.raises(UsageError, match="threads"):
        grpc.Server(threads=0)
    with pytest.raises(UsageError, match="handler"):
        tcp.Server("no function")  # type: ignore[arg-type]


def test_health_is_told_from_any_thread() -> None:
    """`server.health.set` reaches the clients."""
    server = grpc.Server(schema=note_schema())
    with server.listen("127.0.0.1:0") as listening:
        server.health.set(SERVICE, "NOT_SERVING")
        with grpc.connect(f"127.0.0.1:{listening.port}", schema="reflection") as channel:
            reply = channel.unary("grpc.health.v1.Health/Check", {"service": SERVICE})
    assert reply["status"] == "NOT_SERVING"


def test_a_tcp_handler_blocks_in_a_thread() -> None:
    """It gets a connection of this kind; the connection is closed when it returns."""
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="")

    def handler(connection: tcp.Connection) -> None:
        for line in connection.lines():
            connection.send_line(f"{line} to you{name.get()}")

    server = tcp.Server(handler)
    with (
        server.listen("127.0.0.1:0") as listening,
        socket.create_connection(("127.0.0.1", listening.port), timeout=20) as client,
        client.makefile("rwb", buffering=0) as file,
    ):
        file.write(b"good day\n")
        assert file.readline() == b"good day to you\n"
        assert isinstance(server.clients[0], tcp.Connection)
        assert server.stats.connections == 1
        client.shutdown(socket.SHUT_WR)
        assert file.read() == b""


def test_a_tcp_server_serves_many_at_once() -> None:
    """As many as it has threads."""

    def handler(connection: tcp.Connection) -> None:
        while True:
            try:
                connection.send(connection.read_line().encode() + b"\n")
            except EndOfStream:
                return

    with tcp.Server(handler, threads=8).listen("127.0.0.1:0") as listening, ThreadPoolExecutor(24) as pool:

        def ask(n: int) -> bytes:
            return tcp.request(f"127.0.0.1:{listening.port}", f"{n}\n", timeout=30)

        assert list(pool.map(ask, range(100))) == [b"%d\n" % n for n in range(100)]


SERVE = """
    import signal, sys, threading
    from support.client_support import SERVICE, note_schema
    from wirelane.sync import grpc, tcp
    server = grpc.Server(schema=note_schema())

    @server.method(f"{SERVICE}/One")
    def one(request):
        print("began", flush=True)
        threading.Event().wait(float(request["text"]))
        return request

    print("ready", flush=True)
    server.serve(sys.argv[1])
    print("over", server.state.value, signal.getsignal(signal.SIGINT) is signal.default_int_handler, flush=True)
"""


@pytest.fixture
def process(tmp_path: Any) -> Iterator[tuple[subprocess.Popen[str], str]]:
    address = f"unix:{tmp_path}/socket"
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SERVE), address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process, address
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_drains_at_a_signal(process: tuple[subprocess.Popen[str], str], number: signal.Signals) -> None:
    """The call in flight is answered, `serve` returns, and the signals are given back."""
    server, address = process
    assert server.stdout is not None
    with grpc.Channel(address, schema=note_schema()) as channel, ThreadPoolExecutor(1) as pool:
        reply = pool.submit(channel.unary, f"{SERVICE}/One", {"text": "0.3"}, wait_for_ready=True)
        assert server.stdout.readline() == "began\n"
        server.send_signal(number)
        assert reply.result(20)["text"] == "0.3"
    out, err = server.communicate(timeout=30)
    assert (out, err, server.returncode) == ("over CLOSED True\n", "", 0)


def test_a_second_signal_stops_at_once(process: tuple[subprocess.Popen[str], str]) -> None:
    """Nothing is waited for, not even a thread that goes on."""
    server, address = process
    assert server.stdout is not None
    with grpc.Channel(address, schema=note_schema()) as channel, ThreadPoolExecutor(1) as pool:
        reply = pool.submit(channel.unary, f"{SERVICE}/One", {"text": "600"}, wait_for_ready=True)
        assert server.stdout.readline() == "began\n"
        server.send_signal(signal.SIGTERM)
        while channel.state is grpc.ChannelState.READY:
            threading.Event().wait(0.01)
        server.send_signal(signal.SIGTERM)
        assert reply.exception(20) is not None
    out, _ = server.communicate(timeout=30)
    assert out == "over CLOSED True\n"


def test_the_context_of_a_handler_is_one_for_threads() -> None:
    """Also where nobody has asked for `grpc.Context`, whose module is loaded when it is."""
    script = f"""
        from support.client_support import PROTO
        from wirelane.sync import grpc
        server = grpc.Server(schema=PROTO)

        @server.method("{SERVICE}/One")
        def one(request, context):
            return {{"text": type(context).__module__}}

        with server.listen("127.0.0.1:0") as at, grpc.connect(f"127.0.0.1:{{at.port}}", schema=PROTO) as channel:
            print(channel.unary("{SERVICE}/One")["text"])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (done.stdout, done.stderr) == ("wirelane.sync.grpc.context\n", "")


LEFT_OPEN = """
    import socket, threading
    from support.client_support import SERVICE, note_schema
    from wirelane.sync import grpc, tcp
    notes = grpc.Server(schema=note_schema())
    begun = threading.Semaphore(0)

    @notes.method(f"{SERVICE}/Up")
    def up(requests):
        begun.release()
        return {"n": sum(1 for request in requests)}

    @notes.method(f"{SERVICE}/Down")
    def down(request):
        begun.release()
        threading.Event().wait()
        yield request

    @notes.method(f"{SERVICE}/One")
    def one(request, context):
        begun.release()
        while True:
            context.time_remaining()

    def look(connection):
        begun.release()
        while True:
            connection.peek()

    lines = tcp.Server(look)
    lines_at, notes_at = lines.listen("127.0.0.1:0"), notes.listen("127.0.0.1:0")
    clients = [socket.create_connection(("127.0.0.1", lines_at.port)) for _ in range(5)]
    channel = grpc.connect(f"127.0.0.1:{notes_at.port}", schema=note_schema())
    streams = [channel.client_stream(f"{SERVICE}/Up").__enter__() for _ in range(10)]
    streams.append(channel.server_stream(f"{SERVICE}/Down").__enter__())
    raw = grpc.Method(f"{SERVICE}/One", grpc.Cardinality.CLIENT_STREAM, bytes, bytes)
    for _ in range(5):
        streams.append(channel.client_stream(raw).__enter__())
        streams[-1].send(b"")
        streams[-1].done_sending()
    for _ in range(21):
        begun.acquire()
"""


def test_the_end_of_the_interpreter_tells_handlers_and_nobody_else() -> None:
    """A script that leaves servers open ends, and logs nothing of handlers that read, call, or wait for ever."""
    for _ in range(4):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(LEFT_OPEN)],
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
