"""All four kinds of calls across faults of the network: the results are right, or the status is, and the channel goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from support.server_support import Trail, demo_schema, demo_server, listening, until
from wirelane import TlsConfig, grpc
from wirelane.core import keepalive as settings
from wirelane.errors import DeadlineExceeded, RpcError
from wirelane.status import StatusCode
from wirelane.testing import faults

if TYPE_CHECKING:
    from conftest import Certificates

DATA = bytes(range(256)) * 4
LONG = 50.0

by_wire = pytest.mark.parametrize("tls", [False, True], ids=["h2c", "TLS"])


class World:
    """A server behind a proxy, and a channel to it. Handlers wait before their last answer where `gate` is closed."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.trail = Trail()
        self.running = 0
        self.proxy: faults.FaultProxy
        self.channel: grpc.Channel

    def serve(self, **options: Any) -> grpc.Server:
        server = demo_server(**options)

        @asynccontextmanager
        async def counted() -> AsyncIterator[None]:
            self.running += 1
            try:
                yield
            finally:
                self.running -= 1

        @server.method("Demo/One")
        async def one(request: Any) -> Any:
            async with counted():
                self.trail.mark("asked")
                await self.gate.wait()
                return request

        @server.method("Demo/Down")
        async def down(request: Any) -> AsyncIterator[Any]:
            async with counted():
                for number in range(request["n"]):
                    if number == 2:
                        self.trail.mark("asked")
                        await self.gate.wait()
                    yield {"n": number, "data": request["data"]}

        @server.method("Demo/Up")
        async def up(requests: AsyncIterator[Any]) -> Any:
            async with counted():
                seen = [request["data"] async for request in requests]
                self.trail.mark("asked")
                await self.gate.wait()
                return {"n": len(seen), "data": b"".join(seen)}

        @server.method("Demo/Both")
        async def both(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
            async with counted():
                async for request in requests:
                    if request["n"] == 2:
                        self.trail.mark("asked")
                        await self.gate.wait()
                    yield request

        return server


@asynccontextmanager
async def world_of(
    *what: faults.Fault, ca: Certificates | None = None, **options: Any
) -> AsyncIterator[World]:
    world = World()
    server_tls = TlsConfig(cert=ca.server_cert, key=ca.server_key) if ca is not None else None
    async with listening(world.serve(tls=server_tls)) as at:
        async with faults.FaultProxy(f"127.0.0.1:{at.port}", seed=3, faults=what) as world.proxy:
            tls = TlsConfig(ca=ca.ca) if ca is not None else None
            world.channel = grpc.Channel(world.proxy.address, schema=demo_schema(), tls=tls, **options)
            async with world.channel:
                yield world
                world.gate.set()
                await until(lambda: world.running == 0)


async def unary(channel: grpc.Channel, got: list[Any], timeout: float) -> None:
    got.append(await channel.unary("Demo/One", {"n": 1, "data": DATA}, timeout=timeout))


async def server_stream(channel: grpc.Channel, got: list[Any], timeout: float) -> None:
    async with channel.server_stream("Demo/Down", {"n": 4, "data": DATA}, timeout=timeout) as stream:
        async for message in stream:
            got += [message["data"]]


async def client_stream(channel: grpc.Channel, got: list[Any], timeout: float) -> None:
    requests = [{"n": number, "data": DATA} for number in range(3)]
    got.append(await channel.client_stream("Demo/Up", requests, timeout=timeout))


async def bidi_stream(channel: grpc.Channel, got: list[Any], timeout: float) -> None:
    async with channel.bidi_stream("Demo/Both", timeout=timeout) as stream:
        for number in range(4):
            await stream.send({"n": number, "data": DATA})
            message = await stream.receive()
            assert message is not None
            got.append(message["data"])
        await stream.done_sending()
        assert await stream.receive() is None


Call = Callable[[grpc.Channel, list[Any], float], Awaitable[None]]

RESULTS: dict[Call, tuple[list[Any], int]] = {
    unary: ([{"n": 1, "text": "", "data": DATA}], 0),
    server_stream: ([DATA] * 4, 2),
    client_stream: ([{"n": 3, "text": "", "data": DATA * 3}], 0),
    bidi_stream: ([DATA] * 4, 2),
}
"""What each call gets in all, and how much of it before the gate."""

by_call = pytest.mark.parametrize("call", RESULTS, ids=lambda call: call.__name__)


async def works(world: World, call: Call, *, connections: int) -> None:
    """The call gets all that it should, and the proxy has seen so many connections by then."""
    got: list[Any] = []
    await call(world.channel, got, LONG)
    assert got == RESULTS[call][0]
    assert world.proxy.stats.connected == connections


async def under_way(world: World, call: Call, timeout: float = LONG) -> tuple[asyncio.Task[None], list[Any]]:
    """Start a call and come to the gate, with all that it gets before."""
    world.gate.clear()
    got: list[Any] = []

    async def run() -> None:
        await call(world.channel, got, timeout)

    task = asyncio.create_task(run())
    await world.trail.reached("asked")
    await until(lambda: len(got) == RESULTS[call][1])
    return task, got


async def status_of(task: asyncio.Task[None]) -> StatusCode:
    with pytest.raises(RpcError) as raised:
        await task
    return raised.value.code


HARMLESS = {
    "single bytes": (faults.Slicer(1),),
    "latency": (faults.Latency(0.005, jitter=0.005, direction="both"),),
    "bandwidth": (faults.Bandwidth(500_000, direction="both"),),
    "all at once": (
        faults.Slicer(400, 300, delay=0.0002, direction="both"),
        faults.Latency(0.001, jitter=0.001, direction="both"),
        faults.Bandwidth(2_000_000, direction="both"),
        faults.SlowClose(0.005, direction="both"),
    ),
}


@by_wire
@by_call
@pytest.mark.parametrize("what", HARMLESS.values(), ids=HARMLESS)
async def test_what_only_delays_changes_no_result(
    call: Call, what: tuple[faults.Fault, ...], tls: bool, ca: Certificates
) -> None:
    async with world_of(*what, ca=ca if tls else None) as world:
        await works(world, call, connections=1)
        await works(world, call, connections=1)


@by_wire
@by_call
@pytest.mark.parametrize("strike", ["cut", "reset"])
async def test_a_connection_that_ends_is_unavailable_and_the_next_call_makes_another(
    call: Call, strike: str, tls: bool, ca: Certificates
) -> None:
    """What came before is kept; the handler is told at its end, too."""
    async with world_of(ca=ca if tls else None) as world:
        task, got = await under_way(world, call)
        getattr(world.proxy, strike)()
        assert await status_of(task) is StatusCode.UNAVAILABLE
        assert len(got) == RESULTS[call][1]
        await until(lambda: world.running == 0)
        world.gate.set()
        await works(world, call, connections=2)


@pytest.mark.parametrize("strike", ["cut", "reset"])
@pytest.mark.parametrize("size", [0, 1, 8, 9, 40, 900])
async def test_a_connection_that_ends_in_the_middle_of_an_answer_is_unavailable(
    strike: str, size: int
) -> None:
    """In the head of a frame, in the headers, in the message: never half a message, never OK."""
    async with world_of() as world:
        await works(world, unary, connections=1)
        got: list[Any] = []
        world.trail = Trail()
        world.proxy.add(faults.Stall(after_bytes=size))
        before = world.proxy.stats.downstream_bytes
        task = asyncio.create_task(_run(unary, world, got))
        await world.proxy.passed(before + size)
        await world.trail.reached("asked")
        getattr(world.proxy, strike)()
        world.proxy.clear()
        assert await status_of(task) is StatusCode.UNAVAILABLE
        assert got == []
        await works(world, unary, connections=2)


async def _run(call: Call, world: World, got: list[Any]) -> None:
    await call(world.channel, got, LONG)


@by_call
async def test_a_server_that_ends_its_stream_in_the_middle_is_unavailable(call: Call) -> None:
    """FIN towards the client alone (a half-closed connection is of no use to HTTP/2)."""
    async with world_of() as world:
        task, got = await under_way(world, call)
        world.proxy.add(faults.LimitData(5))
        world.gate.set()
        assert await status_of(task) is StatusCode.UNAVAILABLE
        assert len(got) == RESULTS[call][1]
        world.proxy.clear()
        await works(world, call, connections=2)


@by_wire
@by_call
async def test_a_stall_ends_at_the_deadline_and_the_connection_goes_on_behind_it(
    call: Call, tls: bool, ca: Certificates
) -> None:
    async with world_of(ca=ca if tls else None) as world:
        await works(world, call, connections=1)
        for direction in ("downstream", "upstream", "both"):
            world.proxy.stall(direction)  # type: ignore[arg-type]
            with pytest.raises(DeadlineExceeded):
                await call(world.channel, [], 0.03)
            world.proxy.resume()
            await works(world, call, connections=1)


async def test_half_open_is_found_by_keepalive_and_the_next_call_makes_another_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The pings are acknowledged below, and answered by nobody."""
    monkeypatch.setattr(settings, "LEAST_CLIENT_TIME", 0.0)
    options = grpc.ChannelOptions(keepalive_time=0.02, keepalive_timeout=0.1)
    async with world_of(options=options) as world:
        task, _ = await under_way(world, server_stream)
        world.proxy.add(faults.HalfOpen())
        with pytest.raises(RpcError, match="keepalive timeout") as raised:
            await task
        assert raised.value.code is StatusCode.UNAVAILABLE
        world.proxy.clear()
        world.gate.set()
        await works(world, unary, connections=2)


@pytest.mark.parametrize("fault", [faults.Refuse(), faults.Down(), faults.Down(reset=True)], ids=repr)
async def test_a_server_that_is_down_is_unavailable_at_once_and_waited_for_if_asked(
    fault: faults.Fault,
) -> None:
    async with world_of() as world:
        await works(world, unary, connections=1)
        world.proxy.down()
        world.proxy.up()
        world.proxy.add(fault)
        with pytest.raises(RpcError) as raised:
            await world.channel.unary("Demo/One", {"n": 1}, timeout=LONG)
        assert raised.value.code is StatusCode.UNAVAILABLE
        waiting = asyncio.create_task(_ready(world))
        await asyncio.sleep(0)
        assert not waiting.done()
        world.proxy.up()
        assert await waiting == {"n": 2, "text": "", "data": b""}


async def _ready(world: World) -> Any:
    return await world.channel.unary("Demo/One", {"n": 2}, wait_for_ready=True, timeout=LONG)
