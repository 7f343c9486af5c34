"""TCP connections that nobody closes.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

import gc
import socket
import threading

import pytest

from support.net_support import descriptors
from support.tcp_support import one_guest
from support.twins_sync_support import elsewhere, serving, sleep, until
from twins_sync.tcp_support import pair, served, sockets
from wirelane.sync import Limits, SendTimeout, tcp


def test_a_connection_that_is_dropped_is_closed_and_told_of() -> None:
    """What was sent before arrives; the peer sees an end in order."""
    received: list[bytes] = []
    over = threading.Event()

    def keep(client: socket.socket) -> None:
        while data := client.recv(65536):
            received.append(data)
        over.set()

    with serving(keep) as address:
        held = [tcp.connect(address)]
        held[0].send(b"last words")
        with pytest.warns(ResourceWarning, match=r"unclosed <(sync )?Connection 127"):
            held.clear()
        over.wait(20)
    assert b"".join(received) == b"last words"


def test_a_connection_lives_as_long_as_what_reads_from_it() -> None:
    """Whoever holds its lines holds it."""
    go, over = threading.Event(), threading.Event()

    def speak(client: socket.socket) -> None:
        client.sendall(b"one\n")
        go.wait(20)
        client.sendall(b"two\n")
        client.recv(1)
        over.set()

    with serving(speak) as address:
        held = [(tcp.connect(address)).lines()]
        for line in held[0]:
            gc.collect()
            go.set()
            if line == "two":
                break
        assert line == "two"
        with pytest.warns(ResourceWarning, match="unclosed"):
            held.clear()
        over.wait(20)
    assert over.is_set()


def test_half_a_message_is_not_taken_for_whole_when_its_connection_is_dropped() -> None:
    """It is cut, as `close` would; and nothing is left open."""
    before = sockets()
    with elsewhere(one_guest) as (address, guest):
        held = [tcp.connect(address, limits=Limits(max_send_buffer=10_000))]
        peer = guest.arrived()
        peer.pause()
        with pytest.raises(SendTimeout):
            held[0].send(bytes(32 << 20), timeout=0)
        with pytest.warns(ResourceWarning, match="unclosed"):
            held.clear()
        peer.resume()
        with pytest.raises(ConnectionError):
            peer.reader.read(-1)
    until(lambda: descriptors() <= before)


def test_a_peer_that_takes_nothing_keeps_no_dropped_connection_open() -> None:
    """For longer than `limits.close_timeout`."""
    limits = Limits(max_send_buffer=64 << 20, close_timeout=0.2)
    before = sockets()
    with elsewhere(one_guest) as (address, guest):
        held = [tcp.connect(address, limits=limits)]
        peer = guest.arrived()
        peer.pause()
        held[0].send(bytes(32 << 20))
        with pytest.warns(ResourceWarning, match="unclosed"):
            held.clear()
        sleep(0.3)
        peer.resume()
        with pytest.raises(ConnectionError):
            peer.reader.read(-1)
    until(lambda: descriptors() <= before)


def test_a_connection_that_was_closed_or_lost_is_dropped_in_silence() -> None:
    """Warnings are errors in these tests."""
    with elsewhere(one_guest) as (address, guest):
        held = [tcp.connect(address)]
        (guest.arrived()).reset()
        until(lambda: "LOST" in repr(held[0]))
        held.clear()
    with pair() as ends:
        held.append(ends[0])
    del ends
    held.clear()
    gc.collect()


def test_a_connection_of_a_server_belongs_to_the_server() -> None:
    """Whoever drops what `clients` gave him closes nothing."""

    def answer(connection: tcp.Connection) -> None:
        for line in connection.lines():
            connection.send_line(line)

    with served(answer) as (listening, address), tcp.connect(address) as connection:
        until(lambda: listening.connections == 1)
        assert len(listening.clients) == 1
        gc.collect()
        connection.send_line("still here")
        assert connection.read_line(timeout=30) == "still here"
