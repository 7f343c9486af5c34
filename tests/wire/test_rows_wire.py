"""Messages that come as a row of DATA frames: broken ones among them end the call, and those before are given out."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest

from support.wire_support import (
    DATA,
    PING,
    REQUEST,
    RESPONSE,
    SETTINGS,
    client_and_raw_server,
    frame,
    message,
    server_and_raw_client,
    unary,
)
from wirelane.core.limits import Limits
from wirelane.status import StatusCode
from wirelane.transport.base import ServerStream
from wirelane.transport.client import H2ClientStream


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ([message(bytes(101))], StatusCode.RESOURCE_EXHAUSTED),
        ([message(b"x", 2)], StatusCode.INTERNAL),
        ([message(bytes(101))[:50], bytes(56)], StatusCode.RESOURCE_EXHAUSTED),
        ([b"\0\0", b"\0\xff\0"], StatusCode.RESOURCE_EXHAUSTED),
    ],
    ids=["too large", "with a wrong flag", "too large, cut", "too large, its prefix cut"],
)
@pytest.mark.parametrize("after", [0, 3])
async def test_messages_before_a_broken_one_are_given_out(
    wrong: list[bytes], code: StatusCode, after: int
) -> None:
    limits = Limits(max_receive_message=100)
    async with client_and_raw_server("memory", limits=limits) as (client, raw):
        stream = await unary(client)
        head = await raw.request()
        row = [message(b"a"), message(b""), message(b"c" * 100, 1), *wrong, *[message(b"late")] * after]
        raw.write(
            raw.headers(head.stream, RESPONSE) + b"".join(frame(DATA, 0, head.stream, one) for one in row)
        )
        taken = [await stream.receive() for _ in range(3)]
        assert taken == [(False, b"a"), (False, b""), (True, b"c" * 100)]
        assert await stream.receive() is None
        assert stream.ending is not None
        assert stream.ending.code is code


async def test_messages_may_be_cut_anywhere_in_a_row() -> None:
    async with client_and_raw_server("memory") as (client, raw):
        stream = await unary(client)
        head = await raw.request()
        parts = [(False, b"x" * size) for size in (0, 1, 5, 200, 3)]
        octets = b"".join(message(payload) for _, payload in parts)
        for size in (1, 2, 3, 4, 5, 6, 7, 11, 100):
            pieces = [octets[start : start + size] for start in range(0, len(octets), size)]
            whole = [message(payload) for _, payload in parts]
            sent = [*whole, *pieces, *whole]
            raw.write(raw.headers(head.stream, RESPONSE) if size == 1 else b"")
            raw.write(b"".join(frame(DATA, 0, head.stream, one) for one in sent))
            assert [await stream.receive() for _ in range(3 * len(parts))] == parts * 3
            assert isinstance(stream, H2ClientStream)
            assert stream._reader is None  # what comes whole takes the short way again


async def test_a_piece_of_a_message_that_looks_like_one_is_none() -> None:
    async with client_and_raw_server("memory") as (client, raw):
        stream = await unary(client)
        head = await raw.request()
        raw.write(raw.headers(head.stream, RESPONSE))
        inner = message(b"inner")
        for _ in range(2):
            outer = message(b"x" + inner * 3)
            raw.write(b"".join(frame(DATA, 0, head.stream, one) for one in (outer[:6], inner, inner, inner)))
            assert await stream.receive() == (False, b"x" + inner * 3)


async def test_who_waits_for_the_only_message_hears_of_several_in_a_row() -> None:
    async def complete(stream: ServerStream) -> bool:
        if not stream.complete:
            await stream.completion()
        return stream.complete

    def called(stream: ServerStream) -> None:
        tasks.append(asyncio.ensure_future(complete(stream)))

    tasks: list[asyncio.Task[bool]] = []
    async with server_and_raw_client("memory", called) as (_, raw):
        raw.write(raw.headers(1, REQUEST), frame(PING, 0, 0, b"heard it"))
        await raw.next(PING)
        raw.write(frame(DATA, 0, 1, message(b"a")) * 3)
        assert await asyncio.wait_for(tasks[0], 10)


@pytest.mark.parametrize("at_once", [True, False], ids=["in a row", "one by one"])
async def test_messages_that_nobody_reads_are_few_objects(at_once: bool) -> None:
    many, crowd = 150_000, 63
    async with client_and_raw_server("memory", limits=Limits(initial_window=2**20)) as (client, raw):
        for _ in range(crowd):
            await unary(client)
            await raw.request()
        stream = await unary(client)
        number = (await raw.request()).stream
        raw.write(raw.headers(number, RESPONSE))
        one, ping = frame(DATA, 0, number, message(b"x")), frame(PING, 0, 0, b"heard it")
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            for _ in range(1 if at_once else many):
                raw.write(one * (many if at_once else 1))
            raw.write(ping)
            await raw.next(PING)
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert after - before < 5_000_000  # as objects they would be twice as much, as octets they are 900 kB
        taken = [await stream.receive() for _ in range(many)]
        assert taken == [(False, b"x")] * many


async def test_a_row_that_nobody_takes_any_more_is_given_back_to_the_window() -> None:
    answered = asyncio.Event()

    async def answer(stream: ServerStream) -> None:
        assert await stream.receive() == (False, b"first")
        stream.finish(StatusCode.OK, payload=b"more than the window of the client")
        answered.set()

    def called(stream: ServerStream) -> None:
        tasks.append(asyncio.ensure_future(answer(stream)))

    tasks: list[asyncio.Task[None]] = []
    async with server_and_raw_client("memory", called, limits=Limits(initial_window=65_535)) as (server, raw):
        raw.write(frame(SETTINGS, 0, 0, b"\0\4\0\0\0\1"), raw.headers(1, REQUEST))
        raw.write(frame(DATA, 0, 1, message(b"first")))
        await answered.wait()
        stream = server().engine.streams[1]
        row = frame(DATA, 0, 1, message(b"y" * 1000)) * 30
        for _ in range(2):
            raw.write(row, frame(PING, 0, 0, b"heard it"))
            await raw.next(PING)
            assert stream.recv_window > 65_535 // 2
