"""A wirelane channel on a wirelane server, what only both ends together show: written once, run with asyncio and without."""

from __future__ import annotations

import pytest

from support.server_support import DEMO_SERVICE, demo_schema
from support.twins_support import Event, gather, start, until
from twins.server_support import demo_server, listening
from wirelane import RpcError, StatusCode, grpc


def connect(at, **options):
    return grpc.connect(f"127.0.0.1:{at.port}", **{"schema": demo_schema(), **options})


def counting_server():
    """Return a server with one handler of each kind."""
    server = demo_server()

    @server.method("Demo/One")
    async def one(request):
        return {"n": request["n"] + 1}

    @server.method("Demo/Down")
    async def down(request):
        for n in range(request["n"]):
            yield {"n": n + 1}

    @server.method("Demo/Up")
    async def up(requests):
        return {"n": sum([request["n"] async for request in requests])}

    @server.method("Demo/Both")
    async def both(requests):
        async for request in requests:
            yield {"n": request["n"] * 2}

    return server


@pytest.mark.parametrize("schema", ["given", "reflection"])
async def test_the_four_kinds(schema):
    source = demo_schema() if schema == "given" else "reflection"
    async with listening(counting_server()) as at, connect(at, schema=source) as channel:
        assert (await channel.unary(f"{DEMO_SERVICE}/One", {"n": 1}))["n"] == 2
        assert [reply["n"] for reply in await channel.collect("Demo/Down", {"n": 3})] == [1, 2, 3]
        assert (await channel.client_stream("Demo/Up", [{"n": 1}, {"n": 2}]))["n"] == 3
        async with channel.bidi_stream("Demo/Both") as stream:
            for n in (1, 2):
                await stream.send({"n": n})
                assert (await stream.receive())["n"] == n * 2
            await stream.done_sending()
            assert await stream.receive() is None


async def test_details_and_trailing_metadata_of_an_error_arrive():
    detail = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "GONE", "domain": "users"}
    server = demo_server()

    @server.method("Demo/One")
    async def one(request, context):
        context.trailing_metadata["x-trailer"] = "yes"
        context.abort(StatusCode.NOT_FOUND, "no such user", details=[detail])

    async with listening(server) as at, connect(at) as channel:
        with pytest.raises(RpcError) as caught:
            await channel.unary("Demo/One", {"n": 1})
    error = caught.value
    assert (error.code, error.message, error.from_peer) == (StatusCode.NOT_FOUND, "no such user", True)
    assert error.details[0]["reason"] == "GONE"
    assert error.metadata is not None
    assert error.metadata["x-trailer"] == "yes"


async def test_a_call_made_inside_a_handler_inherits_the_deadline_of_the_handlers_call():
    seen = []
    back = demo_server()

    @back.method("Demo/One")
    async def last(request, context):
        seen.append(context.time_remaining())
        return {"n": 1}

    async with listening(back) as back_at, connect(back_at) as inner:
        front = demo_server()

        @front.method("Demo/One")
        async def first(request):
            return await inner.unary("Demo/One", request)

        async with listening(front) as at, connect(at) as channel:
            await channel.unary("Demo/One", {"n": 1}, timeout=50)
            await channel.unary("Demo/One", {"n": 1})
    assert 0 < seen[0] <= 50
    assert seen[1] is None


async def test_calls_on_a_channel_survive_a_restart_of_the_server():
    server = counting_server()
    async with listening(server) as at:
        channel = await connect(at)
        assert (await channel.unary("Demo/One", {"n": 1}))["n"] == 2
    async with channel, listening(server, f"127.0.0.1:{at.port}"):
        assert (await channel.unary("Demo/One", {"n": 2}, timeout=20, wait_for_ready=True))["n"] == 3


async def test_no_call_is_lost_while_servers_take_turns_behind_one_address():
    server = counting_server()
    done = 0
    async with listening(server) as at:
        channel = await connect(at)
        stop = Event()

        async def keep_calling():
            nonlocal done
            while not stop.is_set():
                await channel.unary("Demo/One", {"n": 1}, timeout=20, wait_for_ready=True)
                done += 1

        callers = [start(keep_calling) for _ in range(8)]
        await until(lambda: done > 50)
    for _ in range(3):
        before = done
        async with listening(server, f"127.0.0.1:{at.port}"):
            await until(lambda before=before: done > before + 50)
            if _ == 2:
                stop.set()
                await gather(*callers)
    await channel.close()


async def test_handler_that_never_reads_may_answer_at_once():
    server = demo_server()

    @server.method("Demo/Up")
    async def up(requests):
        return {"n": 7}

    @server.method("Demo/Both")
    async def both(requests):
        yield {"n": 7}

    # Not against grpc.aio: its client fails with INTERNAL when the answer overtakes what it still sends.
    async with listening(server) as at, connect(at) as channel:
        for _ in range(20):
            reply = await channel.client_stream("Demo/Up", [{"n": 1}] * 10)
            assert reply["n"] == 7
            replies = await channel.collect("Demo/Both", [{"n": 1}] * 10)
            assert [reply["n"] for reply in replies] == [7]
