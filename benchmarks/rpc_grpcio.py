"""grpcio's blocking API: channel and threaded server, the same methods by generic handlers, as its generated code makes them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from benchmarks import blocking, work

CODEC = (work.Request.FromString, work.Reply.SerializeToString)


def serve() -> None:
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(blocking.unary, *CODEC),
        "ServerStream": grpc.unary_stream_rpc_method_handler(blocking.server_stream, *CODEC),
        "ClientStream": grpc.stream_unary_rpc_method_handler(blocking.client_stream, *CODEC),
        "BidiStream": grpc.stream_stream_rpc_method_handler(blocking.bidi_stream, *CODEC),
    }
    server = grpc.server(ThreadPoolExecutor(blocking.THREADS))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(work.SERVICE, handlers),))
    work.announce(server.add_insecure_port("127.0.0.1:0"))
    server.start()
    server.wait_for_termination()


class Calls(work.Calls):
    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel

    def _multicallable(self, form: str, path: str) -> Any:
        return getattr(self._channel, form)(path, work.Request.SerializeToString, work.Reply.FromString)

    def unary(self, path: str) -> Callable[..., Any]:
        unary: Callable[..., Any] = self._multicallable("unary_unary", path)
        return unary

    def read_stream(self, count: int) -> int:
        call = self._multicallable("unary_stream", work.SERVER_STREAM)
        return blocking.counted(call(work.Request(name="x", count=count)))

    def write_stream(self, count: int) -> int:
        call = self._multicallable("stream_unary", work.CLIENT_STREAM)
        return int(call(blocking.requests(count)).number)

    def echo_stream(self, count: int) -> int:
        call = self._multicallable("stream_stream", work.BIDI_STREAM)
        return blocking.counted(call(blocking.requests(count)))


def client(port: int, case: work.Case) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        blocking.measure(case, Calls(channel))


if __name__ == "__main__":
    blocking.entry(serve, client)
