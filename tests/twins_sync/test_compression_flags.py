"""Both ends tell whether the message that they received last travelled compressed.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from support.client_support import SERVICE, note_schema
from wirelane.sync import grpc

TEXT = "x" * 100


def test_a_handler_sees_of_each_request_whether_it_came_compressed() -> None:
    seen: list[bool] = []
    server = grpc.Server(schema=note_schema())

    @server.method(f"{SERVICE}/One")
    def one(request: dict[str, Any], context: grpc.Context) -> dict[str, Any]:
        seen.append(context.request_compressed)
        return request

    @server.method(f"{SERVICE}/Up")
    def up(requests: Iterator[dict[str, Any]], context: grpc.Context) -> dict[str, Any]:
        seen.append(context.request_compressed)
        seen.extend([context.request_compressed for _ in requests])
        return {}

    with (
        server.listen("127.0.0.1:0") as at,
        grpc.connect(f"127.0.0.1:{at.port}", schema=note_schema()) as channel,
    ):
        channel.unary(f"{SERVICE}/One", {"text": TEXT})
        channel.unary(f"{SERVICE}/One", {"text": TEXT}, compression="gzip")
        assert seen == [False, True]
        seen.clear()
        with channel.client_stream(f"{SERVICE}/Up", compression="deflate") as stream:
            stream.send({"text": TEXT})
            stream.send({"text": TEXT}, compress=False)
            stream.send({"text": TEXT})
            stream.finish()
        assert seen == [False, True, False, True]


def test_a_stream_tells_of_each_reply_whether_it_came_compressed() -> None:
    server = grpc.Server(schema=note_schema())

    @server.method(f"{SERVICE}/One")
    def one(request: dict[str, Any], context: grpc.Context) -> dict[str, Any]:
        context.set_compression(request["text"])
        return {"text": TEXT}

    @server.method(f"{SERVICE}/Down")
    def down(request: dict[str, Any], context: grpc.Context) -> Iterator[dict[str, Any]]:
        context.set_compression("gzip")
        for number in range(3):
            if number == 1:
                context.disable_next_message_compression()
            yield {"text": TEXT}

    with (
        server.listen("127.0.0.1:0") as at,
        grpc.connect(f"127.0.0.1:{at.port}", schema=note_schema()) as channel,
    ):
        for encoding in ("identity", "gzip", "deflate"):
            reply = channel.unary(f"{SERVICE}/One", {"text": encoding})
            assert reply == {"n": 0, "text": TEXT, "data": b""}
        with channel.server_stream(f"{SERVICE}/Down", {}) as stream:
            assert not stream.received_compressed
            seen = [stream.received_compressed for _ in stream]
        assert seen == [True, False, True]
        assert stream.received_compressed
