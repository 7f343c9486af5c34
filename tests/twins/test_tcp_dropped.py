"""TCP connections that nobody closes: written once, run with asyncio and without."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading

import pytest

from support.twins_support import serving
from wirelane import tcp


async def test_a_connection_that_is_dropped_is_closed_and_told_of() -> None:
    """What was sent before arrives; the peer sees an end in order."""
    received: list[bytes] = []
    over = threading.Event()

    def keep(client: socket.socket) -> None:
        while data := client.recv(65536):
            received.append(data)
        over.set()

    with serving(keep) as address:
        held = [await tcp.connect(address)]
        await held[0].send(b"last words")
        with pytest.warns(ResourceWarning, match=r"unclosed <(sync )?Connection 127"):
            held.clear()
        await asyncio.to_thread(over.wait, 20)
    assert b"".join(received) == b"last words"


async def test_a_connection_lives_as_long_as_what_reads_from_it() -> None:
    """Whoever holds its lines holds it."""
    go, over = threading.Event(), threading.Event()

    def speak(client: socket.socket) -> None:
        client.sendall(b"one\n")
        go.wait(20)
        client.sendall(b"two\n")
        client.recv(1)
        over.set()

    with serving(speak) as address:
        held = [(await tcp.connect(address)).lines()]
        async for line in held[0]:
            gc.collect()
            go.set()
            if line == "two":
                break
        assert line == "two"
        with pytest.warns(ResourceWarning, match="unclosed"):
            held.clear()
        await asyncio.to_thread(over.wait, 20)
    assert over.is_set()
