"""What reading is in an event loop: cancellation, and a loop that was held up. The rest is in tests/twins."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from support.tcp_support import pair, turns
from wirelane import tcp
from wirelane.errors import (
    ReadTimeout,
)


async def test_a_loop_that_was_held_up_takes_no_silence_for_the_peers() -> None:
    async with pair() as (connection, peer):
        reading = asyncio.create_task(connection.read_line(idle_timeout=0.1))
        limited = asyncio.create_task(turns(2))
        await limited
        peer.writer.write(
            b"in time\n"
        )  # it is in the kernel; now nobody looks for longer than the peer may be silent
        time.sleep(0.2)
        assert await reading == "in time"


# -- cancellation

METHODS: dict[str, Callable[[tcp.Connection], Awaitable[bytes | str | tcp.Record]]] = {
    "read": lambda connection: connection.read(),
    "read size": lambda connection: connection.read(7),
    "read marker": lambda connection: connection.read(marker=b"\n"),
    "read both": lambda connection: connection.read(max_bytes=9, marker=b"\n"),
    "read with timeout": lambda connection: connection.read(marker=b"\n", timeout=60),
    "read_line": lambda connection: connection.read_line(keep_marker=True),
    "read_exactly": lambda connection: connection.read_exactly(9),
    "read_until_eof": lambda connection: connection.read_until_eof(),
    "read_regex": lambda connection: connection.read_regex(rb"d.f\n"),
    "read_until": lambda connection: connection.read_until((b"i ", b"f\n"), keep_marker=True),
    "read_frame": lambda connection: connection.read_frame(1, max_bytes=200),
    "read_until_idle": lambda connection: connection.read_until_idle(60),
    "records": lambda connection: anext(connection.records(b" ", keep_marker=True)),
    "silent": lambda connection: connection.read_exactly(9, timeout=60, idle_timeout=60),
    "lines": lambda connection: anext(connection.lines(keep_marker=True)),
    "chunks": lambda connection: anext(aiter(connection)),
    "look": lambda connection: connection.read(20, timeout=0),
}


@pytest.mark.parametrize("method", METHODS)
async def test_cancelled_after_any_step_a_read_loses_nothing(method: str) -> None:
    data = b"abc def\nghi jkl\n"
    for step in range(14):
        async with pair() as (connection, peer):
            reading = asyncio.ensure_future(METHODS[method](connection))
            talking = asyncio.create_task(peer.say(data[:3], data[3:7], data[7:9], data[9:]))
            await turns(step)
            reading.cancel()
            try:
                got = await reading
            except (asyncio.CancelledError, ReadTimeout):
                got = b""
            await talking
            peer.writer.write_eof()
            got = got.data if isinstance(got, tcp.Record) else got
            got = got.encode() if isinstance(got, str) else got
            assert got + await connection.read_until_eof() == data
            current = asyncio.current_task()
            assert current is not None
            assert current.cancelling() == 0


async def test_cancelled_in_the_moment_the_answer_comes_a_read_loses_nothing() -> None:
    async with pair() as (connection, peer):
        reading = asyncio.create_task(connection.read_line())
        await turns(2)
        peer.writer.write(b"line\n")
        while not connection.buffered:  # it is here, and the task that waits for it has not run yet
            await turns(1)
            if reading.done():
                break
        reading.cancel()
        await asyncio.wait({reading})
        if reading.cancelled():
            assert await connection.read_line() == "line"
        else:
            assert reading.result() == "line"


async def test_a_cancelled_read_loses_nothing() -> None:
    async with pair() as (connection, peer):
        reading = asyncio.create_task(connection.read_line())
        await peer.say(b"half")
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await peer.say(b" and half\n")
        assert await connection.read_line(timeout=20) == "half and half"
