"""Whatever the windows and the messages, and however a reader takes them, everything arrives and nothing is lost."""

from __future__ import annotations

import asyncio

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.wire_support import client_and_server
from wirelane.core.limits import Limits
from wirelane.status import StatusCode
from wirelane.transport.base import ClientStream, RequestHead, ServerStream

WINDOWS = st.integers(1, 40) | st.integers(1, 70_000)
SIZES = st.lists(st.integers(0, 20) | st.integers(0, 150_000), max_size=12)
# After so many messages the reader lets the loop turn so often.
PAUSES = st.lists(st.integers(0, 5), min_size=1, max_size=5)


async def send(stream: ClientStream | ServerStream, sizes: list[int]) -> None:
    for size in sizes:
        await stream.send(b"m" * size)


async def take(stream: ClientStream | ServerStream, pauses: list[int]) -> list[int]:
    sizes: list[int] = []
    while (part := await stream.receive()) is not None:
        for _ in range(pauses[len(sizes) % len(pauses)]):
            await asyncio.sleep(0)
        sizes.append(len(part[1]))
    return sizes


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(window=WINDOWS, most=st.sampled_from([0, 1000, 2**24]), up=SIZES, down=SIZES, pauses=PAUSES)
def test_every_message_arrives_in_both_directions(
    window: int, most: int, up: list[int], down: list[int], pauses: list[int]
) -> None:
    limits = Limits(initial_window=window, max_window=most, connection_window=65_535)
    heard: list[int] = []
    tasks: list[asyncio.Task[None]] = []

    async def answer(stream: ServerStream) -> None:
        async with asyncio.TaskGroup() as group:
            taking = group.create_task(take(stream, pauses))
            group.create_task(send(stream, down))
        heard.extend(taking.result())
        stream.finish(StatusCode.OK)

    async def run() -> None:
        def on_call(stream: ServerStream) -> None:
            tasks.append(asyncio.ensure_future(answer(stream)))

        async with (
            asyncio.timeout(20),
            client_and_server("memory", on_call, client_limits=limits, server_limits=limits) as (
                client,
                server,
            ),
        ):
            stream = await client.open(RequestHead("/test.Echo/Both", "test"))

            async def say() -> None:
                await send(stream, up)
                await stream.end()

            async with asyncio.TaskGroup() as group:
                taking = group.create_task(take(stream, pauses))
                group.create_task(say())
            assert taking.result() == down
            await asyncio.gather(*tasks)
            assert heard == up
            for engine in (client.engine, server().engine):
                assert engine.flow.stock == most

    asyncio.run(run())
