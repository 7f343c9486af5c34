"""Cancelling a call from the side of its caller: written once, run with asyncio and without."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support.client_support import BOTH, DOWN, PROTO
from support.sync_support import BlockingNotes
from support.twins_support import start, there, until
from twins.grpc_support import grpcio_server, notes_channel, wire_channel
from wirelane import RpcError, StatusCode, grpc
from wirelane.transport.base import ServerStream


@there
async def silence(stream: ServerStream) -> None:
    """Never answer."""
    await asyncio.Event().wait()


async def test_cancel_before_a_stream_is_opened_sends_nothing() -> None:
    notes = BlockingNotes()
    async with notes_channel(notes) as channel:
        stream = channel.server_stream("Calls/Down")
        stream.cancel()
        with pytest.raises(RpcError, match="CANCELLED"):
            async with stream:
                pass
        assert notes.timeouts == []


@there
async def two_at_once(stream: ServerStream) -> None:
    await stream.send(b"first")
    await stream.send(b"second")
    stream.finish(StatusCode.OK)


@pytest.mark.parametrize("kind", ["server stream", "bidi stream"])
async def test_cancel_drops_the_messages_that_came_and_were_not_received(kind: str) -> None:
    async with wire_channel(two_at_once) as channel:
        opened: Any = channel.bidi_stream(BOTH) if kind == "bidi stream" else channel.server_stream(DOWN, b"")
        async with opened as stream:
            assert await stream.receive() == b"first"
            await until(lambda: stream.status is not None)
            stream.cancel()
            with pytest.raises(RpcError, match="CANCELLED"):
                await stream.receive()
            assert stream.status is StatusCode.CANCELLED
        assert (channel.stats.failed, channel.stats.active) == (1, 0)


async def test_cancel_after_the_last_message_of_a_stream_changes_nothing() -> None:
    async with wire_channel(two_at_once) as channel:
        async with channel.server_stream(DOWN, b"") as stream:
            assert [message async for message in stream] == [b"first", b"second"]
            stream.cancel()
            assert await stream.receive() is None
            assert stream.status is StatusCode.OK
        assert channel.stats.succeeded == 1


async def test_cancel_ends_every_wait_of_a_stream() -> None:
    filling: list[object] = []
    async with wire_channel(silence) as channel:
        async with channel.bidi_stream(BOTH) as stream:

            async def fill() -> None:
                while True:
                    filling.append(stream)
                    await stream.send(bytes(500_000))

            waits = [start(wait) for wait in (stream.receive, stream.initial_metadata, fill)]
            await until(lambda: filling)
            stream.cancel()
            for wait in waits:
                with pytest.raises(RpcError, match="CANCELLED"):
                    await wait.result()


async def test_closing_the_channel_ends_its_calls() -> None:
    notes = BlockingNotes()
    async with grpcio_server(notes) as port:
        channel = await grpc.connect(f"127.0.0.1:{port}", schema=PROTO)
        call = start(channel.unary, "Calls/One", {"text": "hang"})
        await until(lambda: notes.timeouts)
        await channel.close()
        with pytest.raises(RpcError) as raised:
            await call.result()
        assert raised.value.code is StatusCode.CANCELLED
        assert (channel.stats.active, channel.stats.connections) == (0, 0)
