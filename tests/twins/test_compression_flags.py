"""Both ends tell whether the message that they received last travelled compressed: written once, run with asyncio and without."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from support.client_support import SERVICE, note_schema
from wirelane import grpc

TEXT = "x" * 100


async def test_a_handler_sees_of_each_request_whether_it_came_compressed() -> None:
    seen: list[bool] = []
    server = grpc.Server(schema=note_schema())

    @server.method(f"{SERVICE}/One")
    async def one(request: dict[str, Any], context: grpc.Context) -> dict[str, Any]:
        seen.append(context.request_compressed)
        return request

    @server.method(f"{SERVICE}/Up")
    async def up(requests: AsyncIterator[dict[str, Any]], context: grpc.Context) -> dict[str, Any]:
        seen.append(context.request_compressed)
        seen.extend([context.request_compressed async for _ in requests])
        return {}

    async with (
        server.listen("127.0.0.1:0") as at,
        grpc.connect(f"127.0.0.1:{at.port}", schema=note_schema()) as channel,
    ):
        await channel.unary(f"{SERVICE}/One", {"text": TEXT})
        await channel.unary(f"{SERVICE}/One", {"text": TEXT}, compression="gzip")
        assert seen == [False, True]
        seen.clear()
        async with channel.client_stream(f"{SERVICE}/Up", compression="deflate") as stream:
            await stream.send({"text": TEXT})
            await stream.send({"text": TEXT}, compress=False)
            await stream.send({"text": TEXT})
            await stream.finish()
        assert seen == [False, True, False, True]


async def test_a_stream_tells_of_each_reply_whether_it_came_compressed() -> None:
    server = grpc.Server(schema=note_schema())

    @server.method(f"{SERVICE}/One")
    async def one(request: dict[str, Any], context: grpc.Context) -> dict[str, Any]:
        context.set_compression(request["text"])
        return {"text": TEXT}

    @server.method(f"{SERVICE}/Down")
    async def down(request: dict[str, Any], context: grpc.Context) -> AsyncIterator[dict[str, Any]]:
        context.set_compression("gzip")
        for number in range(3):
            if number == 1:
                context.disable_next_message_compression()
            yield {"text": TEXT}

    async with (
        server.listen("127.0.0.1:0") as at,
        grpc.connect(f"127.0.0.1:{at.port}", schema=note_schema()) as channel,
    ):
        for encoding in ("identity", "gzip", "deflate"):
            reply = await channel.unary(f"{SERVICE}/One", {"text": encoding})
            assert reply == {"n": 0, "text": TEXT, "data": b""}
        async with channel.server_stream(f"{SERVICE}/Down", {}) as stream:
            assert not stream.received_compressed
            seen = [stream.received_compressed async for _ in stream]
        assert seen == [True, False, True]
        assert stream.received_compressed
