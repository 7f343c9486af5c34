"""What streams promise to tasks that are cancelled, and of generators that await. All else of streams is in tests/twins."""

from __future__ import annotations

import asyncio

import pytest

from support.client_support import notes_channel, turns
from wirelane import ReadTimeout


async def test_a_cancelled_receive_loses_nothing_and_the_call_goes_on() -> None:
    async with notes_channel() as channel:
        async with channel.bidi_stream("Calls/BothWays") as stream:
            waiting = asyncio.create_task(stream.receive())
            await turns(3)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await stream.send({"n": 5})
            assert (await stream.receive())["n"] == 5


async def test_an_enclosing_timeout_of_the_users_own_still_is_theirs() -> None:
    async with notes_channel() as channel:
        async with channel.bidi_stream("Calls/BothWays") as stream:
            with pytest.raises(TimeoutError) as raised:
                async with asyncio.timeout(0.02):
                    await stream.receive(timeout=10)
            assert not isinstance(raised.value, ReadTimeout)


async def test_a_cancelled_client_stream_closes_its_generator() -> None:
    closed = asyncio.Event()
    started = asyncio.Event()

    async def endless():
        try:
            started.set()
            await asyncio.Event().wait()
            yield {}
        finally:
            closed.set()

    async with notes_channel() as channel:
        task = asyncio.create_task(channel.client_stream("Calls/Up", endless()))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert closed.is_set()


async def test_a_receive_that_times_out_does_not_touch_the_task() -> None:
    async with notes_channel() as channel:
        async with channel.bidi_stream("Calls/BothWays") as stream:
            for timeout in (0, 0.01):
                with pytest.raises(ReadTimeout):
                    await stream.receive(timeout=timeout)
                task = asyncio.current_task()
                assert task is not None
                assert task.cancelling() == 0
