"""A caller of a pool that is cancelled at each of its waits, and at each turn: nothing is lost, nothing is left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from support.cancel_support import MOMENTS, MOST_STEPS, Moment, cancelled_at
from support.net_support import descriptors, descriptors_back
from support.pool_support import SOON, ask, backend, pooled, quiet, warm
from support.tcp_support import turns, until
from wirelane import tcp


async def _prepare(connection: tcp.Connection) -> None:
    await connection.send_line("login")
    assert await connection.read_line() == "login"


async def _check(connection: tcp.Connection) -> None:
    await connection.send_line("ping")
    assert await connection.read_line() == "ping"


async def _exchange(pool: tcp.Pool) -> None:
    await ask(pool)


async def _request(pool: tcp.Pool) -> None:
    assert await pool.request("hello\n", idempotent=True, timeout=SOON) == b"hello\n"


async def _leave_unread(pool: tcp.Pool) -> None:
    """The end of the block has something to wait for: the connection is closed in order."""
    async with pool.connection(timeout=SOON) as connection:
        await connection.send_line("twice")
        await connection.read_line()


async def _wait_behind_another(pool: tcp.Pool) -> None:
    """Somebody has the only place, and gives it back while this one waits."""

    async def hold() -> None:
        async with pool.connection(timeout=SOON):
            held.set()
            await turns(5)

    held = asyncio.Event()
    holding = asyncio.create_task(hold())
    try:
        await held.wait()
        await ask(pool)
    finally:
        await asyncio.wait((holding,))


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize(
    "act", [_exchange, _request, _leave_unread, _wait_behind_another], ids=lambda act: act.__name__
)
async def test_a_caller_may_be_cancelled_anywhere(
    act: Callable[[tcp.Pool], Awaitable[None]], warm: bool, moment: Moment
) -> None:
    step = 0
    before = descriptors()
    async with backend() as (there, address):
        while True:
            pool = tcp.Pool(address, size=1, prepare=_prepare, check=_check, check_after=0)
            if warm:
                await ask(pool)
            reached = await cancelled_at(step, moment, lambda: act(pool))  # noqa: B023  (awaited here)
            await quiet(pool)
            assert pool.stats.idle <= 1
            async with asyncio.timeout(SOON):
                assert (await ask(pool))[0] == "hello", f"cancelled at {step}, the place was lost"
            await pool.close()
            assert (pool.stats.in_use, pool.stats.idle) == (0, 0)
            if not reached:
                break
            step += 1
            assert step < MOST_STEPS
        await until(lambda: not there.here)
    assert step >= 2
    await descriptors_back(before)


@pytest.mark.parametrize("moment", MOMENTS)
async def test_those_behind_one_who_is_cancelled_are_served_in_order(moment: Moment) -> None:
    """The one in front is cancelled as the connection is handed to it: the next one gets it."""
    for step in range(12):
        async with pooled(size=1) as (pool, there):
            async with pool.connection():
                first = asyncio.create_task(cancelled_at(step, moment, lambda: _exchange(pool)))
                await until(lambda: pool.stats.waiting == 1 or first.done())  # noqa: B023
                others = [asyncio.create_task(ask(pool)) for _ in range(3)]
                await turns(3)
            async with asyncio.timeout(SOON):
                await first
                answers: list[Any] = await asyncio.gather(*others)
            assert [answer for answer, _ in answers] == ["hello"] * 3
            assert there.most == 1


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_close_may_be_cancelled_anywhere(moment: Moment) -> None:
    before = descriptors()
    async with backend() as (there, address):
        step = 0
        while True:
            pool = tcp.Pool(address)
            await warm(pool, 2)
            reached = await cancelled_at(step, moment, pool.close)
            assert pool.closed
            await until(lambda: not there.here)
            if not reached:
                break
            step += 1
            assert step < MOST_STEPS
    await descriptors_back(before)
