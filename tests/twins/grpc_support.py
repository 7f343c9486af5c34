"""Channels to servers of gRPC: written once, run with asyncio and without."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from support.client_support import PROTO, Handler, wire_server
from support.sync_support import BlockingNotes, grpcio_threads
from support.twins_support import elsewhere
from wirelane import Limits, grpc


@asynccontextmanager
async def grpcio_server(notes: BlockingNotes | None = None, **options: Any) -> AsyncIterator[int]:
    """Run grpcio's threaded server of the Calls service, and give its port."""
    with grpcio_threads(notes, **options) as port:
        yield port


@asynccontextmanager
async def notes_channel(notes: BlockingNotes | None = None, **options: Any) -> AsyncIterator[grpc.Channel]:
    """A channel to a grpcio server of the Calls service; in the end, no call may be active."""
    with grpcio_threads(notes) as port:
        async with grpc.connect(f"127.0.0.1:{port}", schema=PROTO, **options) as channel:
            yield channel
            assert channel.stats.active == 0, channel


@asynccontextmanager
async def wire_channel(
    handler: Handler, *, server_limits: Limits | None = None, **options: Any
) -> AsyncIterator[grpc.Channel]:
    """A channel to a `wire_server`, whose handler is marked `there`; in the end, no call may be active."""
    async with elsewhere(wire_server, handler, limits=server_limits) as port:
        async with grpc.connect(f"127.0.0.1:{port}", **options) as channel:
            yield channel
            assert channel.stats.active == 0, channel
