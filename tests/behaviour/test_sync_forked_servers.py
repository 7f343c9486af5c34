"""What a server without `await` takes along into a child process; grpcio asks both."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import grpc as grpcio
import pytest

HEALTH = """
    import os, threading
    from support.client_support import SERVICE, note_schema
    from wirelane.sync import grpc

    def one(request):
        return request

    server = grpc.Server(schema=note_schema())
    server.method(f"{SERVICE}/One")(one)
    health = server.health  # held since before the fork
    health.set(SERVICE, "NOT_SERVING")
    health.set("mine", "SERVING")
    health.set("gone", "SERVING")
    health.clear("gone")
    with server.listen("127.0.0.1:0") as parents, grpc.connect(f"127.0.0.1:{parents.port}") as channel:
        watch = grpc.Method("grpc.health.v1.Health/Watch", grpc.Cardinality.SERVER_STREAM, bytes, bytes)
        with channel.server_stream(watch, b"\\x0a\\x04mine") as watched:
            assert watched.receive() == b"\\x08\\x01"
            child = os.fork()
            if child == 0:
                health.set("child", "SERVING")
                health.set("mine", False)
                server.health.set("late", "SERVING")
                assert health.get("late") is server.health.get("late")
                with server.listen("127.0.0.1:0") as childs:
                    print("child", childs.port, flush=True)
                    threading.Event().wait(60)
                os._exit(1)
            print("parent", parents.port, child, flush=True)
            threading.Event().wait(60)
"""


@pytest.fixture
def ports() -> Iterator[dict[str, int]]:
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HEALTH)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline().split() for _ in range(2)]
            yield {line[0]: int(line[1]) for line in lines}
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def status(port: int, service: str) -> str:
    """What grpcio is told of a service."""
    with grpcio.insecure_channel(f"127.0.0.1:{port}") as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check", lambda each: each, lambda each: each)
        try:
            reply: bytes = check(b"\x0a" + bytes([len(service)]) + service.encode(), timeout=20)
        except grpcio.RpcError as error:
            assert error.code() is grpcio.StatusCode.NOT_FOUND  # type: ignore[attr-defined]
            return "NOT_FOUND"
    return {b"\x08\x01": "SERVING", b"\x08\x02": "NOT_SERVING"}[reply]


def test_health_that_was_set_before_a_fork_is_that_of_the_child_too(ports: dict[str, int]) -> None:
    """What was set and forgotten is taken over, and what either sets afterwards is its own; objects held since before work."""
    services = ("wirelane.tests.client.Calls", "mine", "gone", "child", "late")
    assert [status(ports["parent"], each) for each in services] == [
        "NOT_SERVING",
        "SERVING",
        "NOT_FOUND",
        "NOT_FOUND",
        "NOT_FOUND",
    ]
    assert [status(ports["child"], each) for each in services] == [
        "NOT_SERVING",
        "NOT_SERVING",
        "NOT_FOUND",
        "SERVING",
        "SERVING",
    ]
