"""The stops of the tour on raw TCP, and the burst at its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from wirelane import tcp
from wirelane.cli.demo.steps import EVERYTHING, Step, Tour, expect, expected_error
from wirelane.errors import ReadTimeout

__all__ = ["BURSTS", "TCP_STEPS", "Burst"]

_SECONDS: Final = 0.5
"""How long each burst lasts."""
_IN_FLIGHT: Final = 64
_BATCH: Final = 1000


def _address(tour: Tour) -> str:
    return str(tour.server.addresses.tcp)


async def _line(tour: Tour) -> list[str]:
    """A line, and the line that comes back."""
    reply = await tcp.request(_address(tour), "Echo this!\n")
    expect("the reply", reply, b"Echo this!\n")
    return [f"tcp.request(..., 'Echo this!\\n') -> {reply!r}"]


async def _by_size(tour: Tour) -> list[str]:
    """Read by size."""
    async with tcp.connect(_address(tour)) as connection:
        await connection.send(b"0123456789")
        first = await connection.read(max_bytes=4, timeout=10.0)
        rest = await connection.read_exactly(6, timeout=10.0)
    expect("the first four bytes", first, b"0123")
    expect("the other six", rest, b"456789")
    return [f"sent 10 bytes: read(max_bytes=4) -> {first!r}, read_exactly(6) -> {rest!r}"]


async def _by_marker(tour: Tour) -> list[str]:
    """Read by marker."""
    async with tcp.connect(_address(tour)) as connection:
        await connection.send(b"one;two|three;")
        parts = [await connection.read(marker=(b";", b"|"), timeout=10.0) for _ in range(3)]
    expect("the parts", parts, [b"one;", b"two|", b"three;"])
    return [f"sent b'one;two|three;': read(marker=(b';', b'|')) -> {', '.join(map(repr, parts))}"]


async def _by_time(tour: Tour) -> list[str]:
    """Read by time: what had come is not lost."""
    async with tcp.connect(_address(tour)) as connection:
        await connection.send(b"no newline")
        # Until all of it is here, so that what a timeout shows does not depend on the machine.
        arrived = await connection.read_exactly(10, timeout=10.0)
        connection.unread(arrived)
        try:
            await connection.read(marker=b"\n", timeout=0.05)
        except ReadTimeout as error:
            partial = error.partial
        else:
            expected_error(ReadTimeout)
        expect("what the exception carries", partial, b"no newline")
        again = await connection.read(timeout=0)
        expect("the next read", again, b"no newline")
    return [
        f"read(marker=b'\\n', timeout=0.05) -> ReadTimeout, partial={partial!r}; the next read -> {again!r}"
    ]


TCP_STEPS: Final[tuple[Step, ...]] = (_line, _by_size, _by_marker, _by_time)


# ------------------------------------------------------------------------------------------------- burst

Burst = Callable[[Tour], Awaitable[tuple[int, float]]]
"""Does as much as it can for half a second; returns how much that was, and in how many seconds."""


async def _calls(tour: Tour, in_flight: int) -> tuple[int, float]:
    channel = tour.channel
    began = time.perf_counter()
    ends = began + _SECONDS
    done = 0

    async def caller() -> None:
        nonlocal done
        while time.perf_counter() < ends:
            number = float(done % 1000)
            reply = await channel.unary("Summator/sum", {"value1": number, "value2": 1})
            if reply["value"] != number + 1:
                expect(f"{number:g} + 1", reply["value"], number + 1)
            done += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(caller())
    return done, time.perf_counter() - began


async def _one_at_a_time(tour: Tour) -> tuple[int, float]:
    """Call one after another, and return how many, and in how many seconds."""
    return await _calls(tour, 1)


async def _many_at_once(tour: Tour) -> tuple[int, float]:
    """Call with many in flight."""
    return await _calls(tour, _IN_FLIGHT)


async def _stream_messages(tour: Tour) -> tuple[int, float]:
    """Receive messages of server streams."""
    began = time.perf_counter()
    done = 0
    while time.perf_counter() - began < _SECONDS:
        number = 0
        async with tour.channel.server_stream(f"{EVERYTHING}/ServerStream", {"count": _BATCH}) as stream:
            async for message in stream:
                number += 1
                if message["number"] != number:
                    expect("the number of the message", message["number"], number)
        expect("the messages of a stream", number, _BATCH)
        done += number
    return done, time.perf_counter() - began


async def _tcp_lines(tour: Tour) -> tuple[int, float]:
    """Send TCP lines, and read them back."""
    began = time.perf_counter()
    done = 0
    batch = b"".join(b"line %d\n" % number for number in range(_BATCH))
    async with tcp.connect(_address(tour)) as connection:
        while time.perf_counter() - began < _SECONDS:
            # Fits the buffers on the way: sending it all before reading cannot block both sides.
            await connection.send(batch)
            for number in range(_BATCH):
                text = await connection.read_line()
                if text != f"line {number}":
                    expect("the line", text, f"line {number}")
            done += _BATCH
    return done, time.perf_counter() - began


BURSTS: Final[tuple[tuple[str, Burst], ...]] = (
    ("unary calls, one after another", _one_at_a_time),
    (f"unary calls, {_IN_FLIGHT} in flight", _many_at_once),
    ("messages of server streams", _stream_messages),
    ("TCP lines, there and back", _tcp_lines),
)
"""What each does, in the plural, and the coroutine function that does it."""
