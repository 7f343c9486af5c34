"""What a pool is in an event loop: tasks that are cancelled, loops that end, lives. The rest is in tests/twins."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from support.net_support import descriptors, descriptors_back
from support.pool_support import SOON, Backend, ask, backend, pooled, warm
from support.tcp_support import turns, until
from wirelane import tcp
from wirelane.errors import (
    ClosedError,
    ConnectError,
    ConnectionLost,
    UsageError,
)

if TYPE_CHECKING:
    pass


# -- reuse


# -- waiting


# -- what goes back, and what does not


async def test_a_connection_whose_read_was_cancelled_is_not_used_again() -> None:
    async with pooled(size=1) as (pool, there):
        async with pool.connection() as connection:
            await connection.send_line("mute")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(connection.read_line(), 0.001)
        assert (pool.stats.in_use, pool.stats.idle, pool.stats.discarded) == (0, 0, 1)
        assert (await ask(pool))[0] == "hello"
        assert there.came == 2
        await until(lambda: len(there.here) == 1)
    assert set(there.ends[:-1]) <= {"end", "ConnectionLost"}
    assert there.ends[-1] == "end"


@pytest.mark.parametrize("waits", [False, True], ids=["given up", "under way"])
async def test_a_connection_on_which_a_message_is_not_out_is_cut(waits: bool) -> None:
    async with backend() as (there, address):
        async with tcp.Pool(address, size=1) as pool:
            async with pool.connection() as connection:
                await connection.send_line("deaf")
                sending = asyncio.create_task(connection.send(bytes(64 << 20)))
                await until(lambda: there.seen == ["deaf"])
                await turns(20)
                if not waits:
                    sending.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await sending
            assert (pool.stats.in_use, pool.stats.idle, pool.stats.discarded) == (0, 0, 1)
            if waits:
                with pytest.raises((ClosedError, ConnectionLost)):
                    await sending
            assert (await ask(pool))[0] == "hello"


async def test_a_block_that_is_cancelled_has_its_connection_cut() -> None:
    async with pooled(size=1) as (pool, there):
        task = asyncio.create_task(ask(pool, "mute"))
        await until(lambda: there.seen == ["mute"])
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (pool.stats.in_use, pool.stats.idle, pool.stats.discarded) == (0, 0, 1)
        await until(lambda: there.ends == ["ConnectionLost"])


# -- ages


async def test_lives_differ_by_a_tenth_so_that_they_do_not_end_together() -> None:
    async with pooled(max_lifetime=1000.0, size=20) as (pool, _):
        await warm(pool, 20)
        places = pool._places
        assert places is not None
        now = asyncio.get_running_loop().time()
        lives = [member.expires - now for member in places.idle]
        assert len(set(lives)) > 1
        assert all(850 < life < 1101 for life in lives)


# -- ends


async def test_a_close_that_is_cancelled_cuts_everything() -> None:
    before = descriptors()
    async with backend() as (there, address):
        pool = tcp.Pool(address)
        await warm(pool, 2)

        async def hold() -> None:
            async with pool.connection() as connection:
                await connection.read_line()

        holding = asyncio.create_task(hold())
        await until(lambda: pool.stats.in_use == 1)
        closing = asyncio.create_task(pool.close(SOON))
        await until(lambda: pool.closed)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        with pytest.raises(ClosedError):
            await holding
        await until(lambda: not there.here)
    await descriptors_back(before)


def test_a_pool_belongs_to_one_event_loop_at_a_time() -> None:
    async def second(pool: tcp.Pool) -> None:
        await pool.request(b"x\n")

    async def first(pool: tcp.Pool) -> None:
        assert await pool.request(b"x\n") == b"x\n"
        with pytest.raises(UsageError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, second(pool))
        with pytest.raises(UsageError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, pool.close())

    async def both() -> None:
        there = Backend()
        async with tcp.Server(there.handle).listen("127.0.0.1:0", grace=0) as listening:
            pool = tcp.Pool(str(listening.address))
            await first(pool)
        await until(lambda: pool.stats.idle == 0)  # the server has closed them
        pools.append(pool)

    async def later(pool: tcp.Pool) -> None:
        with pytest.raises(ConnectError):
            async with pool.connection():
                pass

    pools: list[tcp.Pool] = []
    asyncio.run(both())
    asyncio.run(later(pools[0]))
    asyncio.run(pools[0].close())


# -- settings


# -- one request
