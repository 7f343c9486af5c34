"""Servers that break the rules, and calls as objects. What else becomes of calls to such servers is in tests/twins."""

from __future__ import annotations

import asyncio

import pytest

from support.client_support import ONE, raw_server, wire_channel
from support.wire_support import RST_STREAM, frame
from wirelane import RpcError, StatusCode, grpc
from wirelane.transport.base import ServerStream


@pytest.mark.parametrize(("count", "words"), [(0, "no message"), (2, "two messages"), (3, "two messages")])
@pytest.mark.parametrize("form", ["unary", "request"])
async def test_a_reply_that_is_not_one_message_is_unimplemented(form: str, count: int, words: str) -> None:
    async def handler(stream: ServerStream) -> None:
        for _ in range(count):
            await stream.send(b"reply")
            await asyncio.sleep(0)
        stream.finish(StatusCode.OK)

    async with wire_channel(handler) as channel:
        call = channel.unary(ONE, b"")
        with pytest.raises(RpcError, match=words) as raised:
            if form == "unary":
                await call
            else:
                call.close()
                async with channel.request("/a/B", grpc.Cardinality.UNARY, bytes, bytes) as stream:
                    await stream.send_message(b"")
                    await stream.recv_message()
        assert (raised.value.code, raised.value.from_peer) == (StatusCode.UNIMPLEMENTED, False)
        if form == "unary":
            assert call.status is StatusCode.UNIMPLEMENTED


async def test_initial_metadata_of_a_failed_call_raises_its_error() -> None:
    async def handler(stream: ServerStream) -> None:
        stream.finish(StatusCode.NOT_FOUND, "nothing")

    async with wire_channel(handler) as channel:
        call = channel.unary(ONE, b"")
        for _ in range(2):
            with pytest.raises(RpcError, match="NOT_FOUND"):
                await call.initial_metadata()
        with pytest.raises(RpcError, match="NOT_FOUND"):
            await call


REFUSED = (7).to_bytes(4, "big")


@pytest.mark.parametrize("code", [StatusCode.CANCELLED, StatusCode.DEADLINE_EXCEEDED])
async def test_a_call_that_is_interrupted_in_the_turn_of_its_refusal_is_not_sent_again(
    code: StatusCode,
) -> None:
    """Sent again it would have nobody to end it: its deadline has passed, or its cancel() was heard."""
    async with raw_server() as raw, grpc.Channel(f"127.0.0.1:{raw.port}") as channel:
        call = channel.unary(ONE, b"x", timeout=30)
        waiting = asyncio.create_task(call)
        peer = await raw.peers.get()
        stream = (await peer.request()).stream
        interrupt = call.cancel if code is StatusCode.CANCELLED else call._expire
        assert call._stream is not None
        call._stream.add_done_callback(lambda _: interrupt())
        peer.write(frame(RST_STREAM, 0, stream, REFUSED))
        with pytest.raises(RpcError) as raised:
            await waiting
        assert (raised.value.code, call.status, call.attempts) == (code, code, 1)
        assert channel.stats.active == 0
