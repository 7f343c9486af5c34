"""Messages that wait for their reader, more of them than are kept as objects: the reader sees no difference."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from support.wire_support import (
    DATA,
    OK,
    PING,
    RESPONSE,
    RawPeer,
    client_and_raw_server,
    frame,
    message,
    unary,
)
from wirelane.core.limits import Limits
from wirelane.status import StatusCode
from wirelane.transport.base import Ending, Part
from wirelane.transport.client import H2ClientStream

MANY = 9000


def some_messages(source: random.Random) -> list[Part]:
    """Most are tiny, a few are not."""
    sizes = source.choices([0, 1, 2, 13, 300], [30, 30, 30, 9, 1], k=MANY)
    return [(source.random() < 0.5, bytes([source.randrange(256)]) * size) for size in sizes]


def frames(source: random.Random, parts: list[Part], cut: str) -> Iterator[bytes]:
    """Payloads of DATA: one for each message, or cut without regard to them."""
    if cut == "each":
        yield from (message(payload, flag) for flag, payload in parts)
        return
    octets = b"".join(message(payload, flag) for flag, payload in parts)
    position = 0
    while position < len(octets):
        size = source.choice([1, 7, 500, 16_384])
        yield octets[position : position + size]
        position += size


async def heard(raw: RawPeer) -> None:
    """Wait until what was sent has been read."""
    raw.write(frame(PING, 0, 0, b"heard it"))
    await raw.next(PING)


async def opened(client: object, raw: RawPeer, crowd: int) -> H2ClientStream:
    """A call whose head has come, among `crowd` others."""
    for _ in range(crowd):
        await unary(client)  # type: ignore[arg-type]
        await raw.request()
    stream = await unary(client)  # type: ignore[arg-type]
    head = await raw.request()
    raw.write(raw.headers(head.stream, RESPONSE))
    assert isinstance(stream, H2ClientStream)
    return stream


@pytest.mark.parametrize("crowd", [0, 20], ids=["alone", "in a crowd"])
@pytest.mark.parametrize("cut", ["each", "anyhow"])
@pytest.mark.parametrize("seed", range(3))
async def test_messages_are_given_out_in_order_whenever_they_are_taken(
    crowd: int, cut: str, seed: int
) -> None:
    source = random.Random(seed)
    parts = some_messages(source)
    async with client_and_raw_server("memory", limits=Limits(initial_window=2**20)) as (client, raw):
        stream = await opened(client, raw, crowd)
        taken: list[Part] = []
        for number, payload in enumerate(frames(source, parts, cut)):
            raw.write(frame(DATA, 0, stream.id, payload))
            if number % 2500 == 2499:
                await heard(raw)
                for _ in range(source.choice([0, 1, 1000, MANY])):
                    if (part := stream.receive_nowait()) is None:
                        break
                    taken.append(part)
        raw.write(raw.headers(stream.id, OK, end=True))
        while (rest := await stream.receive()) is not None:
            taken.append(rest)
        assert taken == parts
        assert stream.ending is not None
        assert stream.ending.code is StatusCode.OK


@pytest.mark.parametrize("crowd", [0, 20], ids=["alone", "in a crowd"])
async def test_messages_before_a_fault_are_given_out_however_many_wait(crowd: int) -> None:
    limits = Limits(initial_window=2**20, max_receive_message=1000)
    async with client_and_raw_server("memory", limits=limits) as (client, raw):
        stream = await opened(client, raw, crowd)
        raw.write(frame(DATA, 0, stream.id, message(b"ab") * 2000) * 3)
        raw.write(frame(DATA, 0, stream.id, message(b"last") + b"\0\xff\xff\xff\xff"))
        await heard(raw)
        taken = []
        while (part := await stream.receive()) is not None:
            taken.append(part)
        assert taken == [(False, b"ab")] * 6000 + [(False, b"last")]
        assert stream.ending is not None
        assert stream.ending.code is StatusCode.RESOURCE_EXHAUSTED


async def test_the_window_is_given_back_for_every_message_that_was_taken() -> None:
    async with client_and_raw_server("memory", limits=Limits(initial_window=2**20)) as (client, raw):
        stream = await opened(client, raw, 20)
        raw.write(frame(DATA, 0, stream.id, message(b"ab") * 2000) * 30)
        await heard(raw)
        assert stream.recv_window == 2**20 - 30 * 2000 * 7
        while stream.receive_nowait() is not None:
            pass
        assert stream.recv_window + stream._unreturned == stream.window


async def test_a_cancelled_call_keeps_nothing() -> None:
    async with client_and_raw_server("memory", limits=Limits(initial_window=2**20)) as (client, raw):
        stream = await opened(client, raw, 20)
        raw.write(frame(DATA, 0, stream.id, message(b"ab") * 2000) * 3)
        await heard(raw)
        stream.cancel(Ending(StatusCode.CANCELLED, "enough"))
        assert await stream.receive() is None
