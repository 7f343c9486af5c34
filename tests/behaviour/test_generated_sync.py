"""Generated bases without await, called by asynchronous stubs; all else is in tests/twins."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from support.codegen_support import LIBRARIES, CallsKit, calls_kit
from wirelane import grpc as async_grpc
from wirelane.sync import grpc


@pytest.fixture(scope="module", params=LIBRARIES)
def kit(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CallsKit]:
    with calls_kit(tmp_path_factory.mktemp("generated"), request.param, CallsKit) as made:
        yield made


def service(kit: CallsKit) -> Any:
    class Calls(kit.sync_base):  # type: ignore[misc, name-defined]
        def one(self, request: Any, context: grpc.Context) -> Any:
            if kit.read(request, "fail"):
                context.abort(kit.read(request, "fail"), "as asked")
            return kit.answer(kit.read(request) + 1, str(context.metadata.get("x-mark") or ""))

        def down(self, request: Any, context: grpc.Context) -> Iterator[Any]:
            for n in range(kit.read(request)):
                yield kit.answer(n)

        def up(self, requests: Iterator[Any], context: grpc.Context) -> Any:
            return kit.answer(sum(kit.read(request) for request in requests))

        def both(self, requests: Iterator[Any], context: grpc.Context) -> Iterator[Any]:
            for request in requests:
                yield kit.answer(kit.read(request) * 10)

    return Calls()


def test_an_asynchronous_stub_calls_a_service_that_blocks(kit: CallsKit) -> None:
    async def talk(port: int) -> tuple[int, list[int]]:
        async with async_grpc.connect(f"127.0.0.1:{port}") as channel:
            stub = kit.stub(channel)
            one = kit.read(await stub.one(kit.ask(1)))
            async with stub.both([kit.ask(1)]) as stream:
                return one, [kit.read(message) async for message in stream]

    with grpc.Server([service(kit)]).listen("127.0.0.1:0") as listening:
        assert asyncio.run(talk(listening.port)) == (2, [10])
