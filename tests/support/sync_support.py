"""What the tests of `wirelane.sync` share: a grpcio server in threads of its own, which knows nothing of our loop."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc as grpcio

from support.client_support import NOTE, SERVICE, note_schema


class BlockingNotes:
    """The Calls service of `client_support`, by blocking handlers that speak dicts.

    Attributes:
        ended: A call is over for the server; one that hangs is so only when it is cancelled.
        began: A handler has begun.
    """

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.began = threading.Event()
        self.metadata: dict[str, Any] = {}

    def _note(self, context: Any) -> None:
        self.metadata = dict(context.invocation_metadata())
        context.add_callback(self.ended.set)
        self.began.set()

    def one(self, request: dict[str, Any], context: Any) -> dict[str, Any]:
        self._note(context)
        if request["text"] == "fail":
            context.set_trailing_metadata((("why", "because"),))
            context.abort(grpcio.StatusCode.FAILED_PRECONDITION, "it failed, käse")
        if request["text"] == "hang":
            self.ended.wait(30)
        return request

    def down(self, request: dict[str, Any], context: Any) -> Iterator[dict[str, Any]]:
        self._note(context)
        for n in range(request["n"]):
            yield {"n": n}
        if request["text"] == "fail":
            context.abort(grpcio.StatusCode.DATA_LOSS, "after all")
        if request["text"] == "hang":
            self.ended.wait(30)

    def up(self, requests: Iterator[dict[str, Any]], context: Any) -> dict[str, Any]:
        self._note(context)
        texts: list[str] = []
        for request in requests:
            texts.append(request["text"])
            if request["text"] == "stop":
                break
        return {"n": len(texts), "text": ",".join(texts)}

    def both_ways(self, requests: Iterator[dict[str, Any]], context: Any) -> Iterator[dict[str, Any]]:
        self._note(context)
        for request in requests:
            if request["text"] == "fail":
                context.abort(grpcio.StatusCode.ABORTED, "no more")
            yield request


@contextmanager
def blocking_server() -> Iterator[tuple[str, BlockingNotes]]:
    """A grpcio server on a free port: its address and its service."""
    codec, notes = note_schema().codec(NOTE), BlockingNotes()
    coders = {"request_deserializer": codec.decode, "response_serializer": codec.encode}
    handlers = {
        "One": grpcio.unary_unary_rpc_method_handler(notes.one, **coders),
        "Down": grpcio.unary_stream_rpc_method_handler(notes.down, **coders),
        "Up": grpcio.stream_unary_rpc_method_handler(notes.up, **coders),
        "BothWays": grpcio.stream_stream_rpc_method_handler(notes.both_ways, **coders),
    }
    server = grpcio.server(futures.ThreadPoolExecutor(24))
    server.add_generic_rpc_handlers((grpcio.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}", notes
    finally:
        notes.ended.set()
        server.stop(None).wait()
