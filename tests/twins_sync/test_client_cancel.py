"""Cancelling a call from the side of its caller.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support.client_support import BOTH, DOWN, PROTO
from support.sync_support import BlockingNotes
from support.twins_sync_support import start, there, until
from twins_sync.grpc_support import grpcio_server, notes_channel, wire_channel
from wirelane.sync import RpcError, StatusCode, grpc
from wirelane.transport.base import ServerStream


@there
async def silence(stream: ServerStream) -> None:
    """Never answer."""
    await asyncio.Event().wait()


def test_cancel_before_a_stream_is_opened_sends_nothing() -> None:
    notes = BlockingNotes()
    with notes_channel(notes) as channel:
        stream = channel.server_stream("Calls/Down")
        stream.cancel()
        with pytest.raises(RpcError, match="CANCELLED"):
            with stream:
                pass
        assert notes.timeouts == []


@there
async def two_at_once(stream: ServerStream) -> None:
    await stream.send(b"first")
    await stream.send(b"second")
    stream.finish(StatusCode.OK)


@pytest.mark.parametrize("kind", ["server stream", "bidi stream"])
def test_cancel_drops_the_messages_that_came_and_were_not_received(kind: str) -> None:
    with wire_channel(two_at_once) as channel:
        opened: Any = channel.bidi_stream(BOTH) if kind == "bidi stream" else channel.server_stream(DOWN, b"")
        with opened as stream:
            assert stream.receive() == b"first"
            until(lambda: stream.status is not None)
            stream.cancel()
            with pytest.raises(RpcError, match="CANCELLED"):
                stream.receive()
            assert stream.status is StatusCode.CANCELLED
        assert (channel.stats.failed, channel.stats.active) == (1, 0)


def test_cancel_after_the_last_message_of_a_stream_changes_nothing() -> None:
    with wire_channel(two_at_once) as channel:
        with channel.server_stream(DOWN, b"") as stream:
            assert list(stream) == [b"first", b"second"]
            stream.cancel()
            assert stream.receive() is None
            assert stream.status is StatusCode.OK
        assert channel.stats.succeeded == 1


def test_cancel_ends_every_wait_of_a_stream() -> None:
    filling: list[object] = []
    with wire_channel(silence) as channel:
        with channel.bidi_stream(BOTH) as stream:

            def fill() -> None:
                while True:
                    filling.append(stream)
                    stream.send(bytes(500_000))

            waits = [start(wait) for wait in (stream.receive, stream.initial_metadata, fill)]
            until(lambda: filling)
            stream.cancel()
            for wait in waits:
                with pytest.raises(RpcError, match="CANCELLED"):
                    wait.result()


def test_closing_the_channel_ends_its_calls() -> None:
    notes = BlockingNotes()
    with grpcio_server(notes) as port:
        channel = grpc.connect(f"127.0.0.1:{port}", schema=PROTO)
        call = start(channel.unary, "Calls/One", {"text": "hang"})
        until(lambda: notes.timeouts)
        channel.close()
        with pytest.raises(RpcError) as raised:
            call.result()
        assert raised.value.code is StatusCode.CANCELLED
        assert (channel.stats.active, channel.stats.connections) == (0, 0)
