"""Channels to servers of gRPC.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from support.client_support import PROTO, Handler, wire_server
from support.sync_support import BlockingNotes, grpcio_threads
from support.twins_sync_support import elsewhere
from wirelane.sync import Limits, grpc


@contextmanager
def grpcio_server(notes: BlockingNotes | None = None, **options: Any) -> Iterator[int]:
    """Run grpcio's threaded server of the Calls service, and give its port."""
    with grpcio_threads(notes, **options) as port:
        yield port


@contextmanager
def notes_channel(notes: BlockingNotes | None = None, **options: Any) -> Iterator[grpc.Channel]:
    """A channel to a grpcio server of the Calls service; in the end, no call may be active."""
    with grpcio_threads(notes) as port:
        with grpc.connect(f"127.0.0.1:{port}", schema=PROTO, **options) as channel:
            yield channel
            assert channel.stats.active == 0, channel


@contextmanager
def wire_channel(
    handler: Handler, *, server_limits: Limits | None = None, **options: Any
) -> Iterator[grpc.Channel]:
    """A channel to a `wire_server`, whose handler is marked `there`; in the end, no call may be active."""
    with elsewhere(wire_server, handler, limits=server_limits) as port:
        with grpc.connect(f"127.0.0.1:{port}", **options) as channel:
            yield channel
            assert channel.stats.active == 0, channel
