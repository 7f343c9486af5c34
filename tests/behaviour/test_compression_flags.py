"""A call as an object tells whether its reply travelled compressed; streams and servers, too, in tests/twins."""

from __future__ import annotations

from typing import Any

from support.client_support import SERVICE, note_schema
from wirelane import grpc

TEXT = "x" * 100


async def test_a_call_tells_of_each_reply_whether_it_came_compressed() -> None:
    server = grpc.Server(schema=note_schema())

    @server.method(f"{SERVICE}/One")
    async def one(request: dict[str, Any], context: grpc.Context) -> dict[str, Any]:
        context.set_compression(request["text"])
        return {"text": TEXT}

    async with (
        server.listen("127.0.0.1:0") as at,
        grpc.connect(f"127.0.0.1:{at.port}", schema=note_schema()) as channel,
    ):
        for encoding, compressed in (("identity", False), ("gzip", True), ("deflate", True)):
            call = channel.unary(f"{SERVICE}/One", {"text": encoding})
            assert not call.received_compressed
            assert await call == {"n": 0, "text": TEXT, "data": b""}
            assert call.received_compressed is compressed
