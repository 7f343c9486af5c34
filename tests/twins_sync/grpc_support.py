"""Channels to servers of gRPC.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from support.client_support import BOTH, DOWN, ONE, PROTO, UP, Handler, wire_server
from support.sync_support import BlockingNotes, grpcio_threads
from support.twins_sync_support import elsewhere
from wirelane.sync import Limits, grpc
from wirelane.testing.interop.server import SERVICE as INTEROP


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


def call_of(channel: grpc.Channel, form: str, timeout: float) -> None:
    """Make a call of this form, which waits for a message of the server."""
    if form == "unary":
        channel.unary(ONE, b"", timeout=timeout)
    elif form == "server_stream":
        with channel.server_stream(DOWN, b"", timeout=timeout) as stream:
            stream.receive()
    elif form == "client_stream":
        with channel.client_stream(UP, timeout=timeout) as stream:
            stream.send(b"")
            stream.finish()
    elif form == "client_stream_blocked":
        with channel.client_stream(UP, timeout=timeout) as stream:
            while True:
                stream.send(bytes(100_000))
    elif form == "client_stream_iterable":
        channel.client_stream(UP, [b"", b""], timeout=timeout)
    elif form == "initial_metadata":
        with channel.bidi_stream(BOTH, timeout=timeout) as stream:
            stream.initial_metadata()
    elif form == "bidi_iterable":
        with channel.bidi_stream(BOTH, [b""], timeout=timeout) as stream:
            for _ in stream:
                pass
    elif form == "collect":
        channel.collect(DOWN, b"", timeout=timeout)
    else:
        channel.exchange(BOTH, [grpc.Send(b""), grpc.Receive()], timeout=timeout)


FORMS = [
    "unary",
    "server_stream",
    "client_stream",
    "client_stream_blocked",
    "client_stream_iterable",
    "initial_metadata",
    "bidi_iterable",
    "collect",
    "exchange",
]


def large_unary(channel: grpc.Channel) -> None:
    """A call of the interoperability tests: some 600 kB."""
    request = {"response_size": 314_159, "payload": {"body": bytes(271_828)}}
    reply = channel.unary(f"{INTEROP}/UnaryCall", request)
    assert reply["payload"]["body"] == bytes(314_159)


def ping_pong(channel: grpc.Channel) -> None:
    """Another: a request and an answer at a time, on one stream."""
    with channel.bidi_stream(f"{INTEROP}/FullDuplexCall") as stream:
        for asked, answered in ((27_182, 31_415), (8, 9), (1_828, 2_653), (45_904, 58_979)):
            request = {"response_parameters": [{"size": answered}], "payload": {"body": bytes(asked)}}
            stream.send(request)
            reply = stream.receive()
            assert reply is not None
            assert reply["payload"]["body"] == bytes(answered)
        stream.done_sending()
        assert stream.receive() is None
