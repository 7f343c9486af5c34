"""wirelane.sync: the public API as users write it, typed messages, handlers that block."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

from benchmarks import blocking, work
from benchmarks.rpc_wirelane import method
from wirelane.sync import grpc


def serve() -> None:
    server = grpc.Server(reflection=False, health=False, threads=blocking.THREADS)
    server.method(method(work.UNARY))(blocking.unary)
    server.method(method(work.SERVER_STREAM))(blocking.server_stream)
    server.method(method(work.CLIENT_STREAM))(blocking.client_stream)
    server.method(method(work.BIDI_STREAM))(blocking.bidi_stream)
    with server.listen("127.0.0.1:0") as listening:
        work.announce(listening.port)
        threading.Event().wait()


class Calls(work.Calls):
    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel

    def unary(self, path: str) -> Callable[..., Any]:
        return functools.partial(self._channel.unary, method(path))

    def read_stream(self, count: int) -> int:
        request = work.Request(name="x", count=count)
        with self._channel.server_stream(method(work.SERVER_STREAM), request) as stream:
            return blocking.counted(stream)

    def write_stream(self, count: int) -> int:
        reply = self._channel.client_stream(method(work.CLIENT_STREAM), blocking.requests(count))
        return int(reply.number)

    def echo_stream(self, count: int) -> int:
        with self._channel.bidi_stream(method(work.BIDI_STREAM), blocking.requests(count)) as stream:
            return blocking.counted(stream)


def client(port: int, case: work.Case) -> None:
    with grpc.connect(f"127.0.0.1:{port}") as channel:
        blocking.measure(case, Calls(channel))


if __name__ == "__main__":
    blocking.entry(serve, client)
