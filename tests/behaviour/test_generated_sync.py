"""Generated stubs and bases without await: with each other, and with the asynchronous ones."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from support.codegen_support import LIBRARIES, CallsKit, calls_kit
from wirelane import DeadlineExceeded, RpcError, StatusCode
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


@contextlib.contextmanager
def connected(kit: CallsKit, *services: Any) -> Iterator[Any]:
    server = grpc.Server(services or [service(kit)])
    with server.listen("127.0.0.1:0") as listening:
        with grpc.connect(f"127.0.0.1:{listening.port}") as channel:
            yield kit.sync_stub(channel)


def test_all_four_kinds_of_calls_are_made_without_await(kit: CallsKit) -> None:
    with connected(kit) as stub:
        one = stub.one(kit.ask(4), metadata={"x-mark": "here"}, timeout=30.0)
        assert (kit.read(one), kit.read(one, "metadata")) == (5, "here")
        with stub.down(kit.ask(3)) as stream:
            assert [kit.read(message) for message in stream] == [0, 1, 2]
        assert kit.read(stub.up([kit.ask(1), kit.ask(2)])) == 3
        with stub.up() as stream:
            stream.send(kit.ask(5))
            assert kit.read(stream.finish()) == 5
        with stub.both(kit.ask(n) for n in (1, 2)) as stream:
            assert [kit.read(message) for message in stream] == [10, 20]


def test_a_status_and_a_deadline_are_raised(kit: CallsKit) -> None:
    with connected(kit) as stub:
        with pytest.raises(RpcError, match="as asked") as caught:
            stub.one(kit.ask(fail=5))
        assert caught.value.code is StatusCode.NOT_FOUND
        with stub.both(timeout=0.05) as stream, pytest.raises(DeadlineExceeded):
            stream.receive()


def test_what_is_not_overridden_is_unimplemented(kit: CallsKit) -> None:
    with connected(kit, kit.sync_base()) as stub:
        with pytest.raises(RpcError, match="is not implemented here") as caught:
            stub.one(kit.ask())
        assert caught.value.code is StatusCode.UNIMPLEMENTED
        with stub.down(kit.ask()) as stream, pytest.raises(RpcError, match="is not implemented here"):
            stream.receive()


def test_an_asynchronous_stub_calls_a_service_that_blocks(kit: CallsKit) -> None:
    async def talk(port: int) -> tuple[int, list[int]]:
        async with async_grpc.connect(f"127.0.0.1:{port}") as channel:
            stub = kit.stub(channel)
            one = kit.read(await stub.one(kit.ask(1)))
            async with stub.both([kit.ask(1)]) as stream:
                return one, [kit.read(message) async for message in stream]

    with grpc.Server([service(kit)]).listen("127.0.0.1:0") as listening:
        assert asyncio.run(talk(listening.port)) == (2, [10])
