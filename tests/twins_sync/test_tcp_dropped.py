"""TCP connections that nobody closes.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

import gc
import socket
import threading

import pytest

from support.twins_sync_support import serving
from wirelane.sync import tcp


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
