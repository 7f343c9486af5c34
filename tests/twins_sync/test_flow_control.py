"""Readers that do not read cost one window each and hold up nobody else; those that do get messages of any size.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from support.client_support import DOWN, UP, note_schema
from support.sync_support import BlockingNotes
from support.twins_sync_support import gather, start, there, until
from twins_sync.grpc_support import grpcio_server, wire_channel
from wirelane.http2.flow import Flow
from wirelane.sync import Limits, StatusCode, grpc
from wirelane.transport.base import ServerStream


@pytest.mark.parametrize("window", [1, 100, 70_000])
def test_many_messages_that_are_larger_than_their_windows_all_arrive_at_once(window: int) -> None:
    @there
    async def handler(stream: ServerStream) -> None:
        size = 0
        while (part := await stream.receive()) is not None:
            size += len(part[1])
        await stream.send(bytes(size))
        stream.finish(StatusCode.OK)

    limits = Limits(initial_window=window, connection_window=65_535, max_window=0)
    with wire_channel(handler, server_limits=limits, limits=limits) as channel:

        def call(size: int) -> int:
            with channel.client_stream(UP) as stream:
                for _ in range(2):
                    stream.send(bytes(size))
                reply: bytes = stream.finish()
                return len(reply)

        sizes = [n * 5_000 for n in range(60)]
        assert gather(*(start(call, size) for size in sizes)) == [2 * size for size in sizes]


def test_small_messages_that_nobody_reads_for_long_come_in_order_all_the_same() -> None:
    begun = 0

    @there
    async def handler(stream: ServerStream) -> None:
        nonlocal begun
        for number in range(9000):
            await stream.send(b"%d" % number)
        begun += 1
        stream.finish(StatusCode.OK)

    limits = Limits(initial_window=200_000)
    with wire_channel(handler, limits=limits) as channel, ExitStack() as stack:
        # Nine are more than stay objects at once.
        streams = [stack.enter_context(channel.server_stream(DOWN, b"")) for _ in range(9)]
        until(lambda: begun == 9)
        for stream in streams:
            assert [int(message) for message in stream] == list(range(9000))


def test_grpcio_holds_no_ping_that_measures_against_us(monkeypatch: pytest.MonkeyPatch) -> None:
    acknowledged = 0
    measured = Flow.measured

    def counted(flow: Flow) -> None:
        nonlocal acknowledged
        acknowledged += 1
        measured(flow)

    monkeypatch.setattr(Flow, "measured", counted)

    class Loud(BlockingNotes):
        def one(self, request: dict[str, object], context: object) -> dict[str, object]:
            return {"data": bytes(100_000)}

    with grpcio_server(Loud()) as port:
        # It forgives two pings in five minutes in which it sent nothing. A limit that is never reached: it is always measured.
        limits = Limits(max_window=2**30)
        with grpc.connect(f"127.0.0.1:{port}", schema=note_schema(), limits=limits) as channel:
            for _ in range(3):
                total = 0
                with channel.server_stream("Calls/Down", {"n": 3000, "text": "x" * 1000}) as stream:
                    for note in stream:
                        total += len(note["text"])
                assert total == 3_000_000
                for _ in range(20):
                    assert len((channel.unary("Calls/One", {}))["data"]) == 100_000
            assert channel.stats.connects == 1
    assert acknowledged > 10
