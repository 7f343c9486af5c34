"""Channels that nobody closes: written once, run with asyncio and without."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading

import pytest

from support.client_support import note_schema
from support.twins_support import ONE, serving
from wirelane import grpc
from wirelane.errors import DeadlineExceeded


def _forget(held: list[grpc.Channel]) -> None:
    held.clear()
    gc.collect()


async def test_a_channel_that_is_dropped_while_it_connects_is_cut_and_told_of() -> None:
    """The attempt that nobody waits for leaves no connection."""
    over = threading.Event()

    def silent(client: socket.socket) -> None:
        while client.recv(65536):
            pass
        over.set()

    with serving(silent) as address:
        held = [grpc.Channel(address, schema=note_schema())]
        with pytest.raises(DeadlineExceeded):
            await held[0].unary(ONE, {"n": 1}, timeout=0.1)
        with pytest.warns(ResourceWarning, match="unclosed channel to 127"):
            _forget(held)
        assert await asyncio.to_thread(over.wait, 20)
