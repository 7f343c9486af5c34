"""TCP connections that nobody closes: written once, run with asyncio and without."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading

import pytest

from support.net_support import descriptors
from support.tcp_support import one_guest
from support.twins_support import elsewhere, serving, sleep, until
from twins.tcp_support import pair, served, sockets
from wirelane import Limits, SendTimeout, tcp


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


async def test_half_a_message_is_not_taken_for_whole_when_its_connection_is_dropped() -> None:
    """It is cut, as `close` would; and nothing is left open."""
    before = await sockets()
    async with elsewhere(one_guest) as (address, guest):
        held = [await tcp.connect(address, limits=Limits(max_send_buffer=10_000))]
        peer = await guest.arrived()
        peer.pause()
        with pytest.raises(SendTimeout):
            await held[0].send(bytes(32 << 20), timeout=0)
        with pytest.warns(ResourceWarning, match="unclosed"):
            held.clear()
        peer.resume()
        with pytest.raises(ConnectionError):
            await peer.reader.read(-1)
    await until(lambda: descriptors() <= before)


async def test_a_peer_that_takes_nothing_keeps_no_dropped_connection_open() -> None:
    """For longer than `limits.close_timeout`."""
    limits = Limits(max_send_buffer=64 << 20, close_timeout=0.2)
    before = await sockets()
    async with elsewhere(one_guest) as (address, guest):
        held = [await tcp.connect(address, limits=limits)]
        peer = await guest.arrived()
        peer.pause()
        await held[0].send(bytes(32 << 20))
        with pytest.warns(ResourceWarning, match="unclosed"):
            held.clear()
        await sleep(0.3)
        peer.resume()
        with pytest.raises(ConnectionError):
            await peer.reader.read(-1)
    await until(lambda: descriptors() <= before)


async def test_a_connection_that_was_closed_or_lost_is_dropped_in_silence() -> None:
    """Warnings are errors in these tests."""
    async with elsewhere(one_guest) as (address, guest):
        held = [await tcp.connect(address)]
        (await guest.arrived()).reset()
        await until(lambda: "LOST" in repr(held[0]))
        held.clear()
    async with pair() as ends:
        held.append(ends[0])
    del ends
    held.clear()
    gc.collect()


async def test_a_connection_of_a_server_belongs_to_the_server() -> None:
    """Whoever drops what `clients` gave him closes nothing."""

    async def answer(connection: tcp.Connection) -> None:
        async for line in connection.lines():
            await connection.send_line(line)

    async with served(answer) as (listening, address), tcp.connect(address) as connection:
        await until(lambda: listening.connections == 1)
        assert len(listening.clients) == 1
        gc.collect()
        await connection.send_line("still here")
        assert await connection.read_line(timeout=30) == "still here"
