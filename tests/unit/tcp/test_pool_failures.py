"""A pool whose server fails, as its event loop has it: what the loop has not seen, what was cancelled. The rest is in tests/twins."""

from __future__ import annotations

import asyncio
import select
import socket
from typing import TYPE_CHECKING

import pytest

from support.pool_support import ask, backend, pooled
from wirelane import tcp
from wirelane.core.backoff import Backoff
from wirelane.errors import (
    ConnectError,
)
from wirelane.tcp import places

if TYPE_CHECKING:
    pass


def quick(monkeypatch: pytest.MonkeyPatch, seconds: float = 0.005) -> None:
    """Let attempts to connect follow each other at this pace."""
    monkeypatch.setattr(Backoff, "INITIAL", seconds)
    monkeypatch.setattr(Backoff, "MAXIMUM", 2 * seconds)
    monkeypatch.setattr(places, "POOL_BACKOFF", 2 * seconds)


# -- idle connections


@pytest.mark.parametrize("how", ["end", "bytes"])
async def test_what_the_loop_has_not_seen_yet_is_seen_before_a_connection_is_given_out(how: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with tcp.Pool(f"127.0.0.1:{listener.getsockname()[1]}") as pool:
            async with pool.connection() as connection:
                first = connection.local
            peer, _ = listener.accept()
            assert pool._places is not None
            (member,) = pool._places.idle
            mine = member.protocol.info("socket")
            if how == "end":
                peer.close()
            else:
                peer.sendall(b"surprise")
            poll = select.poll()
            poll.register(mine.fileno(), select.POLLIN)  # type: ignore[attr-defined]
            assert poll.poll(30_000), "it is in the kernel, and no turn of the loop has passed"
            async with pool.connection() as connection:
                assert connection.local != first
            assert pool.stats.discarded == 1
            peer.close()


# -- the check


async def test_a_check_that_is_cut_short_leaves_its_caller_as_it_was() -> None:
    async def stall(connection: tcp.Connection) -> None:
        await connection.send_line("mute")
        await connection.read_line()

    async with pooled(check=stall, check_after=0, check_timeout=0.05) as (pool, _):
        await ask(pool)
        assert (await ask(pool))[0] == "hello"
        assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]


# -- new connections


async def test_a_prepare_that_waits_for_what_was_cancelled_is_a_failure_like_others() -> None:
    """Not one without backoff, again and again for as long as somebody waits."""
    attempts = 0

    async def await_cancelled(connection: tcp.Connection) -> None:
        nonlocal attempts
        attempts += 1
        token = asyncio.get_running_loop().create_future()
        token.cancel()
        await token

    async with backend() as (_, address), tcp.Pool(address, prepare=await_cancelled) as pool:
        with pytest.raises(ConnectError, match="what it waited for was cancelled"):
            await ask_at_once(pool)
        assert attempts == 1


async def ask_at_once(pool: tcp.Pool) -> None:
    async with pool.connection() as connection:
        await connection.send_line("x")


# -- nobody there


async def test_attempts_that_were_under_way_together_count_as_one_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quick(monkeypatch, 1000.0)
    together = asyncio.Barrier(4)

    async def fail(connection: tcp.Connection) -> None:
        await together.wait()
        raise ZeroDivisionError

    async with backend() as (_, address), tcp.Pool(address, prepare=fail, size=4) as pool:
        errors = await asyncio.gather(*(ask_at_once(pool) for _ in range(4)), return_exceptions=True)
        assert [type(error) for error in errors] == [ZeroDivisionError] * 4
        assert pool._places is not None
        assert pool._places._backoff._next == 1600.0, "it has grown once"
