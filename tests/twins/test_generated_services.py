"""Generated stubs and bases, with each other, and with Google's implementation at either end: written once, run with asyncio and without."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import grpc as grpcio
import pytest

from support.codegen_support import LIBRARIES, PROTOS, CallsKit, calls_kit
from support.twins_support import Event, elsewhere, there
from twins.server_support import listening, over
from wirelane import DeadlineExceeded, RpcError, StatusCode, grpc

SERVICE = "tests.calls.Calls"


class Kit(CallsKit):
    def service(self) -> Any:
        """A service that does what its .proto file says."""
        kit = self

        class Calls(kit.base):  # type: ignore[misc]
            async def one(self, request: Any, context: grpc.Context) -> Any:
                fail = kit.read(request, "fail")
                if fail:
                    context.abort(fail, "as asked")
                context.trailing_metadata["x-trailing"] = "t"
                return kit.answer(kit.read(request) + 1, str(context.metadata.get("x-mark") or ""))

            async def down(self, request: Any, context: grpc.Context) -> AsyncIterator[Any]:
                for n in range(kit.read(request)):
                    yield kit.answer(n)
                if kit.read(request, "fail"):
                    context.abort(kit.read(request, "fail"), "at the end")

            async def up(self, requests: AsyncIterator[Any], context: grpc.Context) -> Any:
                total = 0
                async for request in requests:
                    if kit.read(request, "fail"):
                        context.abort(kit.read(request, "fail"), "early")
                    total += kit.read(request)
                return kit.answer(total)

            async def both(self, requests: AsyncIterator[Any], context: grpc.Context) -> AsyncIterator[Any]:
                async for request in requests:
                    yield kit.answer(kit.read(request) * 10)

        return Calls()

    @asynccontextmanager
    async def connected(self, *services: Any) -> AsyncIterator[Any]:
        """A stub on a channel to a server with these services, or with the one above."""
        kit = self
        async with listening(grpc.Server(services or [self.service()])) as served:
            async with grpc.connect(f"127.0.0.1:{served.port}") as channel:
                yield kit.stub(channel)


@pytest.fixture(scope="module", params=LIBRARIES)
def kit(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    with calls_kit(tmp_path_factory.mktemp("generated"), request.param, Kit) as made:
        yield made


# ------------------------------------------------------------------------------------------------ ours both ends


async def test_a_unary_call_gives_the_reply(kit: Kit) -> None:
    async with kit.connected() as stub:
        reply = await stub.one(kit.ask(4), metadata={"x-mark": "here"}, timeout=30.0)
        assert (kit.read(reply), kit.read(reply, "metadata")) == (5, "here")


async def test_replies_stream(kit: Kit) -> None:
    async with kit.connected() as stub, stub.down(kit.ask(3)) as stream:
        assert [kit.read(message) async for message in stream] == [0, 1, 2]


async def test_requests_stream_from_an_iterable_and_one_by_one(kit: Kit) -> None:
    async def asks() -> AsyncIterator[Any]:
        for n in (1, 2):
            yield kit.ask(n)

    async with kit.connected() as stub:
        assert kit.read(await stub.up(asks())) == 3
        assert kit.read(await stub.up([kit.ask(3), kit.ask(4)])) == 7
        async with stub.up() as stream:
            await stream.send(kit.ask(5))
            assert kit.read(await stream.finish()) == 5


async def test_both_sides_stream_at_once(kit: Kit) -> None:
    async with kit.connected() as stub, stub.both(timeout=30.0) as stream:
        for n in (1, 2):
            await stream.send(kit.ask(n))
            assert kit.read(await stream.receive()) == n * 10
        await stream.done_sending()
        assert await stream.receive() is None


async def test_a_message_without_fields_need_not_be_given(kit: Kit) -> None:
    class Service(kit.base):
        async def nothing(self, request: Any, context: grpc.Context) -> Any:
            return request

    async with kit.connected(Service()) as stub:
        reply = await stub.nothing()
        assert not (reply.ListFields() if hasattr(reply, "ListFields") else reply)


@pytest.mark.parametrize("method", ["one", "up"])
async def test_a_status_is_raised_where_the_reply_is_awaited(kit: Kit, method: str) -> None:
    ask = kit.ask(1, fail=5)
    async with kit.connected() as stub:
        with pytest.raises(RpcError) as caught:
            await (stub.one(ask) if method == "one" else stub.up([ask]))
        assert caught.value.code is StatusCode.NOT_FOUND


async def test_a_status_after_messages_comes_after_them(kit: Kit) -> None:
    seen = []
    async with kit.connected() as stub, stub.down(kit.ask(2, fail=9)) as stream:
        with pytest.raises(RpcError, match="at the end"):
            async for message in stream:
                seen.append(kit.read(message))  # noqa: PERF401
    assert seen == [0, 1]


async def test_what_is_not_overridden_is_unimplemented(kit: Kit) -> None:
    async with kit.connected(kit.base()) as stub:
        for call in (lambda: stub.one(kit.ask()), lambda: stub.up([kit.ask()])):
            with pytest.raises(RpcError, match="is not implemented here") as caught:
                await call()
            assert caught.value.code is StatusCode.UNIMPLEMENTED
        for stream_call in (stub.down(kit.ask()), stub.both([kit.ask()])):
            async with stream_call as stream:
                with pytest.raises(RpcError, match="is not implemented here"):
                    await stream.receive()


async def test_a_deadline_ends_a_call(kit: Kit) -> None:
    class Service(kit.base):
        async def one(self, request: Any, context: grpc.Context) -> Any:
            await over(context)

        async def both(self, requests: AsyncIterator[Any], context: grpc.Context) -> AsyncIterator[Any]:
            async for _ in requests:
                yield kit.answer(1)

    async with kit.connected(Service()) as stub:
        with pytest.raises(DeadlineExceeded):
            await stub.one(kit.ask(), timeout=0.05)
        async with stub.both(timeout=0.05) as stream:
            with pytest.raises(DeadlineExceeded):
                await stream.receive()


async def test_an_error_of_the_server_is_seen_while_requests_are_still_to_come(kit: Kit) -> None:
    """Stubs of others send everything first, and see the error when it is too late."""
    sent = []

    async def endless() -> AsyncIterator[Any]:
        while len(sent) < 1_000_000:
            sent.append(1)
            yield kit.ask(1, fail=7 if len(sent) == 3 else 0)

    async with kit.connected() as stub:
        with pytest.raises(RpcError) as caught:
            await stub.up(endless())
        assert caught.value.code is StatusCode.PERMISSION_DENIED
        assert len(sent) < 1_000_000


@pytest.mark.parametrize("method", ["up", "both"])
async def test_what_the_requests_raise_is_raised(kit: Kit, method: str) -> None:
    """Stubs of others lose it in a task that nobody awaits."""

    async def broken() -> AsyncIterator[Any]:
        yield kit.ask(1)
        raise ZeroDivisionError("mine")

    async with kit.connected() as stub:
        with pytest.raises(ZeroDivisionError, match="mine"):
            if method == "up":
                await stub.up(broken())
            else:
                async with stub.both(broken()) as stream:
                    async for _ in stream:
                        pass


async def test_leaving_a_stream_early_ends_the_call_on_the_server(kit: Kit) -> None:
    """Stubs of others leave it open until a generator is collected."""
    ended = Event()

    class Service(kit.base):
        async def down(self, request: Any, context: grpc.Context) -> AsyncIterator[Any]:
            try:
                yield kit.answer(1)
                await over(context)
            finally:
                ended.set()

    async with kit.connected(Service()) as stub:
        async with stub.down(kit.ask()) as stream:
            assert kit.read(await stream.receive()) == 1
        await ended.wait()


async def test_the_schema_is_served_with_comments(kit: Kit) -> None:
    async with listening(grpc.Server([kit.service()])) as served:
        async with grpc.connect(f"127.0.0.1:{served.port}", schema="reflection") as channel:
            assert SERVICE in channel.schema.services()
            described = channel.schema.proto_text(f"{SERVICE}/One")
            assert "// Answers with n + 1." in described
            assert await channel.unary(f"{SERVICE}/One", {"n": 1}) == {"n": 2, "metadata": ""}


# --------------------------------------------------------------------------------------------- Google's at one end


@pytest.fixture(scope="module")
def pb2(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Google's classes, of a pool of their own."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    from wirelane.schema import load

    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(load(PROTOS["calls"]).data).file:
        pool.Add(file)  # type: ignore[no-untyped-call]
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tests.calls.{name}"))
        for name in ("Ask", "Answer")
    }


async def test_grpcio_calls_a_generated_service_in_all_four_kinds(kit: Kit, pb2: Any) -> None:
    ask = pb2["Ask"]

    def talk(port: int) -> None:
        codec = {
            "request_serializer": ask.SerializeToString,
            "response_deserializer": pb2["Answer"].FromString,
        }
        with grpcio.insecure_channel(f"127.0.0.1:{port}") as channel:
            asks = [ask(n=1), ask(n=2)]
            one = channel.unary_unary(f"/{SERVICE}/One", **codec)(ask(n=1), metadata=(("x-mark", "m"),))
            assert (one.n, one.metadata) == (2, "m")
            down = channel.unary_stream(f"/{SERVICE}/Down", **codec)(ask(n=3))
            assert [message.n for message in down] == [0, 1, 2]
            assert channel.stream_unary(f"/{SERVICE}/Up", **codec)(iter(asks)).n == 3
            both = channel.stream_stream(f"/{SERVICE}/Both", **codec)(iter(asks))
            assert [message.n for message in both] == [10, 20]
            with pytest.raises(grpcio.RpcError) as caught:
                channel.unary_unary(f"/{SERVICE}/One", **codec)(ask(fail=5))
            assert caught.value.code() is grpcio.StatusCode.NOT_FOUND

    async with listening(grpc.Server([kit.service()])) as served:
        await asyncio.to_thread(talk, served.port)


@there
@asynccontextmanager
async def grpcio_server(pb2: Any) -> AsyncIterator[int]:
    ask, answer = pb2["Ask"], pb2["Answer"]
    codec = {"request_deserializer": ask.FromString, "response_serializer": answer.SerializeToString}

    async def one(request: Any, context: Any) -> Any:
        if request.fail:
            await context.abort(grpcio.StatusCode.NOT_FOUND, "as asked")
        marks = [value for name, value in context.invocation_metadata() if name == "x-mark"]
        return answer(n=request.n + 1, metadata="".join(marks))

    async def down(request: Any, context: Any) -> AsyncIterator[Any]:
        for n in range(request.n):
            yield answer(n=n)

    async def up(requests: AsyncIterator[Any], context: Any) -> Any:
        return answer(n=sum([request.n async for request in requests]))

    async def both(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for request in requests:
            yield answer(n=request.n * 10)

    handlers = {
        "One": grpcio.unary_unary_rpc_method_handler(one, **codec),
        "Down": grpcio.unary_stream_rpc_method_handler(down, **codec),
        "Up": grpcio.stream_unary_rpc_method_handler(up, **codec),
        "Both": grpcio.stream_stream_rpc_method_handler(both, **codec),
    }
    server = grpcio.aio.server()
    server.add_generic_rpc_handlers((grpcio.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


async def test_a_generated_stub_calls_grpcio_in_all_four_kinds(kit: Kit, pb2: Any) -> None:
    async with elsewhere(grpcio_server, pb2) as port, grpc.connect(f"127.0.0.1:{port}") as channel:
        stub = kit.stub(channel)
        one = await stub.one(kit.ask(1), metadata={"x-mark": "m"}, timeout=30.0)
        assert (kit.read(one), kit.read(one, "metadata")) == (2, "m")
        async with stub.down(kit.ask(3)) as stream:
            assert [kit.read(message) async for message in stream] == [0, 1, 2]
        assert kit.read(await stub.up([kit.ask(1), kit.ask(2)])) == 3
        async with stub.both([kit.ask(1), kit.ask(2)]) as stream:
            assert [kit.read(message) async for message in stream] == [10, 20]
        with pytest.raises(RpcError, match="as asked"):
            await stub.one(kit.ask(fail=5))
