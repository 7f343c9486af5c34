"""A grpcio server in threads of its own, which knows nothing of anybody's loop, and the service that it has."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc as grpcio

from support.client_support import NOTE, SERVICE, note_schema

A_YEAR = 366 * 86400.0


class BlockingNotes:
    """The Calls service of `client_support`, by blocking handlers that speak dicts; methods may be replaced.

    Attributes:
        ended: A call is over for the server; one that hangs is so only when it is cancelled.
        began: A handler has begun.
        metadata: Of the last call.
        timeouts: Of each call, as the server was told it; None where it was told nothing.
    """

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.began = threading.Event()
        self.metadata: dict[str, Any] = {}
        self.timeouts: list[float | None] = []

    def _note(self, context: Any) -> None:
        self.metadata = dict(context.invocation_metadata())
        remaining = context.time_remaining()
        self.timeouts.append(remaining if remaining < A_YEAR else None)  # no deadline is one far away
        if not context.add_callback(self.ended.set):
            self.ended.set()
        self.began.set()

    def one(self, request: dict[str, Any], context: Any) -> dict[str, Any]:
        self._note(context)
        if request["text"] == "fail":
            context.set_trailing_metadata((("why", "because"), ("raw-bin", b"\x00\xff")))
            context.abort(grpcio.StatusCode.FAILED_PRECONDITION, "it failed, käse")
        if request["text"] == "hang":
            self.ended.wait(30)
        context.send_initial_metadata((("first", "1"), ("first", "2")))
        context.set_trailing_metadata((("last", "z"),))
        return request

    def down(self, request: dict[str, Any], context: Any) -> Iterator[dict[str, Any]]:
        self._note(context)
        for n in range(request["n"]):
            yield {"n": n, "text": request["text"]}
        if request["text"] == "fail":
            context.abort(grpcio.StatusCode.DATA_LOSS, "it broke")
        if request["text"] == "hang":
            self.ended.wait(30)

    def up(self, requests: Iterator[dict[str, Any]], context: Any) -> dict[str, Any]:
        self._note(context)
        texts: list[str] = []
        for request in requests:
            texts.append(request["text"])
            if request["text"] == "stop":
                break
            if request["text"] == "fail":
                context.abort(grpcio.StatusCode.INVALID_ARGUMENT, "not this one")
        return {"n": len(texts), "text": ",".join(texts)}

    def both_ways(self, requests: Iterator[dict[str, Any]], context: Any) -> Iterator[dict[str, Any]]:
        self._note(context)
        for request in requests:
            if request["text"] == "stop":
                return
            if request["text"] == "fail":
                context.abort(grpcio.StatusCode.ABORTED, "enough")
            yield request


@contextmanager
def grpcio_threads(
    notes: BlockingNotes | None = None,
    *,
    handlers: tuple[Any, ...] = (),
    settings: tuple[tuple[str, Any], ...] = (),
    **options: Any,
) -> Iterator[int]:
    """Run grpcio's threaded server with the Calls service on a free port, and give the port."""
    codec, notes = note_schema().codec(NOTE), notes or BlockingNotes()
    coders = {"request_deserializer": codec.decode, "response_serializer": codec.encode}
    table = {
        "One": grpcio.unary_unary_rpc_method_handler(notes.one, **coders),
        "Down": grpcio.unary_stream_rpc_method_handler(notes.down, **coders),
        "Up": grpcio.stream_unary_rpc_method_handler(notes.up, **coders),
        "BothWays": grpcio.stream_stream_rpc_method_handler(notes.both_ways, **coders),
    }
    server = grpcio.server(
        futures.ThreadPoolExecutor(24), options=(("grpc.so_reuseport", 0), *settings), **options
    )
    server.add_generic_rpc_handlers((grpcio.method_handlers_generic_handler(SERVICE, table), *handlers))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        notes.ended.set()
        server.stop(None).wait()


@contextmanager
def blocking_server() -> Iterator[tuple[str, BlockingNotes]]:
    """A grpcio server on a free port: its address and its service."""
    notes = BlockingNotes()
    with grpcio_threads(notes) as port:
        yield f"127.0.0.1:{port}", notes
