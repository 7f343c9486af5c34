"""The types of stubs and bases with betterproto2's messages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import assert_type

from betterproto2_calls.tests.calls import Answer, Ask, CallsBase, CallsStub, sync

from wirelane import grpc
from wirelane.sync import grpc as sync_grpc


async def stub(channel: grpc.Channel) -> None:
    calls = CallsStub(channel)
    assert_type(calls.one(Ask(n=1)), grpc.UnaryCall[Answer])
    assert_type(await calls.one(Ask(n=1), timeout=1.0, metadata={"a": "b"}, compression="gzip"), Answer)
    assert_type((await calls.one(Ask(n=1), wait_for_ready=True)).n, int)

    async with calls.down(Ask()) as down:
        assert_type(down, grpc.ServerStreamCall[Answer])
        assert_type(await down.receive(), Answer | None)
        async for message in down:
            assert_type(message, Answer)

    assert_type(calls.up(), grpc.ClientStreamCall[Ask, Answer])
    async with calls.up() as up:
        await up.send(Ask())
        assert_type(await up.finish(), Answer)
    assert_type(await calls.up([Ask()]), Answer)
    assert_type(await calls.up(asks()), Answer)

    async with calls.both() as both:
        assert_type(both, grpc.BidiStreamCall[Ask, Answer])
        await both.send(Ask())
        assert_type(await both.receive(), Answer | None)
    calls.both(asks())

    calls.one(Answer())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    calls.one()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    calls.one(Ask(), 1.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    calls.down([Ask()])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    calls.both([Answer()])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    calls.one(Ask(n="1"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await calls.nothing()


async def asks() -> AsyncIterator[Ask]:
    yield Ask()


class Service(CallsBase):
    async def one(self, request: Ask, context: grpc.Context) -> Answer:
        assert_type(request.n, int)
        return Answer(n=request.n)

    async def down(self, request: Ask, context: grpc.Context) -> AsyncIterator[Answer]:
        yield Answer()

    async def up(self, requests: AsyncIterator[Ask], context: grpc.Context) -> Answer:
        async for request in requests:
            assert_type(request, Ask)
        return Answer()

    async def both(self, requests: AsyncIterator[Ask], context: grpc.Context) -> AsyncIterator[Answer]:
        async for request in requests:
            yield Answer(n=request.n)


class Wrong(CallsBase):
    async def one(self, request: Answer, context: grpc.Context) -> Answer:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return request


grpc.Server([Service()])


def sync_stub(channel: sync_grpc.Channel) -> None:
    calls = sync.CallsStub(channel)
    assert_type(calls.one(Ask(), timeout=1.0), Answer)
    with calls.down(Ask()) as down:
        assert_type(down.receive(), Answer | None)
        for message in down:
            assert_type(message, Answer)
    assert_type(calls.up([Ask()]), Answer)
    with calls.up() as up:
        assert_type(up.finish(), Answer)
    with calls.both(iter([Ask()])) as both:
        assert_type(both.receive(), Answer | None)
    sync.CallsStub(grpc.Channel("a:1"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class SyncService(sync.CallsBase):
    def one(self, request: Ask, context: sync_grpc.Context) -> Answer:
        return Answer(n=request.n)

    def down(self, request: Ask, context: sync_grpc.Context) -> Iterator[Answer]:
        yield Answer()

    def up(self, requests: Iterator[Ask], context: sync_grpc.Context) -> Answer:
        return Answer(n=sum(request.n for request in requests))


sync_grpc.Server([SyncService()])
