from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from wirelane.grpc.awaiting import AwaitableCall, Resumed


class Call(AwaitableCall[int]):
    def __init__(self, work: Coroutine[Any, Any, int]) -> None:
        self.work = work

    def _coroutine(self) -> Coroutine[Any, Any, int]:
        return self.work


async def answer(future: asyncio.Future[int]) -> int:
    return 1 + await future


async def test_an_awaitable_call_is_awaited_and_made_a_task() -> None:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[int] = loop.create_future()
    done.set_result(1)
    assert await Call(answer(done)) == 2
    assert await asyncio.create_task(Call(answer(done))) == 2
    assert list(await asyncio.gather(Call(answer(done)), Call(answer(done)))) == [2, 2]


async def test_a_task_of_an_awaitable_call_is_cancelled_as_any() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(Call(answer(future)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert future.cancelled()


async def test_what_is_thrown_in_arrives_in_either_form() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    for arguments in ((KeyError("k"),), (KeyError, KeyError("k")), (KeyError, "k"), (KeyError,)):
        with pytest.raises(KeyError):
            Call(answer(future)).throw(*arguments)
    Call(answer(future)).close()


async def test_a_coroutine_started_by_hand_is_finished_by_another_task() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    started = answer(future)
    resumed = Resumed(started, started.send(None))

    async def finish() -> Any:
        return await resumed

    task = asyncio.create_task(finish())
    await asyncio.sleep(0)
    future.set_result(41)
    assert await task == 42
    resumed.close()


async def test_what_goes_wrong_reaches_the_resumed_coroutine() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    started = answer(future)
    resumed = Resumed(started, started.send(None))

    async def finish() -> Any:
        return await resumed

    task = asyncio.create_task(finish())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert future.cancelled()


async def test_a_coroutine_that_nobody_finishes_is_cancelled() -> None:
    seen: list[BaseException] = []

    async def waits(future: asyncio.Future[int]) -> int:
        try:
            return await future
        except asyncio.CancelledError as error:
            seen.append(error)
            raise

    started = waits(asyncio.get_running_loop().create_future())
    Resumed(started, started.send(None)).close()
    assert len(seen) == 1
