"""What a test interrupts: every kind of call, in every form it can be made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from wirelane import grpc


def note(size: int) -> dict[str, Any]:
    return {"n": 1, "data": bytes(size)}


class Acts:
    """Every kind of call, in every form it can be made, with messages of one size."""

    def __init__(self, size: int) -> None:
        self.size = size

    async def unary(self, channel: grpc.Channel) -> Any:
        return await channel.unary("Demo/One", note(self.size))

    async def unary_in_stages(self, channel: grpc.Channel) -> Any:
        call = channel.unary("Demo/One", note(self.size))
        await call.initial_metadata()
        return await call

    async def server_stream(self, channel: grpc.Channel) -> Any:
        async with channel.server_stream("Demo/Down", note(self.size)) as stream:
            await stream.initial_metadata()
            return [message async for message in stream]

    async def client_stream(self, channel: grpc.Channel) -> Any:
        async with channel.client_stream("Demo/Up") as stream:
            for _ in range(2):
                await stream.send(note(self.size))
            return await stream.finish()

    async def messages(self) -> AsyncIterator[Any]:
        for _ in range(2):
            yield note(self.size)
            await asyncio.sleep(0)

    async def client_stream_of_an_iterable(self, channel: grpc.Channel) -> Any:
        return await channel.client_stream("Demo/Up", self.messages())

    async def bidi(self, channel: grpc.Channel) -> Any:
        async with channel.bidi_stream("Demo/Both") as stream:
            for _ in range(2):
                await stream.send(note(self.size))
                await stream.receive()
            await stream.done_sending()
            return await stream.receive()

    async def bidi_of_an_iterable(self, channel: grpc.Channel) -> Any:
        async with channel.bidi_stream("Demo/Both", self.messages()) as stream:
            return [message async for message in stream]

    async def bidi_left_early(self, channel: grpc.Channel) -> Any:
        async with channel.bidi_stream("Demo/Both", self.messages()) as stream:
            return await stream.receive()

    async def two_at_once(self, channel: grpc.Channel) -> Any:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.client_stream(channel))
            group.create_task(self.server_stream(channel))

    async def collect(self, channel: grpc.Channel) -> Any:
        return await channel.collect("Demo/Both", [note(self.size), note(self.size)])

    async def exchange(self, channel: grpc.Channel) -> Any:
        return await channel.exchange(
            "Demo/Both",
            [grpc.Send(note(self.size)), grpc.Receive(), grpc.Send(note(self.size)), grpc.Receive()],
        )


KINDS = [
    "unary",
    "unary_in_stages",
    "server_stream",
    "client_stream",
    "client_stream_of_an_iterable",
    "bidi",
    "bidi_of_an_iterable",
    "bidi_left_early",
    "two_at_once",
    "collect",
    "exchange",
]


class Waiting:
    """Requests that never end: two, and then a wait for something that does not come.

    Attributes:
        open: Iterables that were begun and not closed.
        left_open: The most of them when a call was left.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.open = self.left_open = 0

    async def call(self, kind: str, channel: grpc.Channel) -> Any:
        try:
            return await getattr(self, kind)(channel)
        finally:
            self.left_open = max(self.left_open, self.open)

    async def messages(self) -> AsyncIterator[Any]:
        self.open += 1
        try:
            for _ in range(2):
                yield note(self.size)
            await asyncio.Event().wait()
        finally:
            self.open -= 1

    async def unary(self, channel: grpc.Channel) -> Any:
        return await channel.unary("Demo/One", {"text": "wait"})

    async def client_stream(self, channel: grpc.Channel) -> Any:
        return await channel.client_stream("Demo/Up", self.messages())

    async def bidi(self, channel: grpc.Channel) -> Any:
        async with channel.bidi_stream("Demo/Both", self.messages()) as stream:
            return [message async for message in stream]

    async def collect(self, channel: grpc.Channel) -> Any:
        return await channel.collect("Demo/Both", self.messages())
