"""Channels that nobody closes.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

import gc
import socket
import threading

import pytest

from support.client_support import note_schema
from support.twins_sync_support import ONE, serving
from wirelane.errors import DeadlineExceeded
from wirelane.sync import grpc


def _forget(held: list[grpc.Channel]) -> None:
    held.clear()
    gc.collect()


def test_a_channel_that_is_dropped_while_it_connects_is_cut_and_told_of() -> None:
    """The attempt that nobody waits for leaves no connection."""
    over = threading.Event()

    def silent(client: socket.socket) -> None:
        while client.recv(65536):
            pass
        over.set()

    with serving(silent) as address:
        held = [grpc.Channel(address, schema=note_schema())]
        with pytest.raises(DeadlineExceeded):
            held[0].unary(ONE, {"n": 1}, timeout=0.1)
        with pytest.warns(ResourceWarning, match="unclosed channel to 127"):
            _forget(held)
        assert over.wait(20)
