"""Cancelled while it connects, shakes hands, asks for a schema, queues for a stream, is sent again, drains or closes:
nothing is left of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from conftest import Certificates
from support.cancel_acts import Acts
from support.cancel_support import MOMENTS, MOST_STEPS, Moment, cancelled_at, interrupted_at, world_of
from support.client_support import DOWN, ONE, UP, free_port, turns
from support.server_support import Trail, demo_schema, demo_server, until
from support.wire_support import DATA, GOAWAY, HEADERS, LINKS, RST_STREAM, Link, RawPeer, frame
from wirelane import Limits, RpcError, StatusCode, TlsConfig, grpc, tcp
from wirelane.core.target import HostPort
from wirelane.grpc.server import Listening, Server, ServerState
from wirelane.transport.client import connect

# More turns of the loop than any of these takes between waits of the network.
TURNS = 60


async def sweep(
    work: Callable[[], Awaitable[Any]], check: Callable[[], Awaitable[None]], moment: Moment
) -> int:
    """Cancel the work at each step; how many there were."""
    for step in range(MOST_STEPS):
        reached = await cancelled_at(step, moment, work)
        try:
            await check()
        except AssertionError as error:
            error.add_note(f"after a cancellation at step {step}")
            raise
        if not reached:
            return step
        if moment == "in a turn" and step >= TURNS:
            return step
    raise AssertionError("it never came to an end")


@asynccontextmanager
async def serving(ca: Certificates | None, **options: Any) -> AsyncIterator[tuple[Server, Listening]]:
    """A server whose one method answers, or waits for ever."""
    tls = None if ca is None else TlsConfig(cert=ca.server_cert, key=ca.server_key)
    server = demo_server(tls=tls, **options)

    @server.method("Demo/One")
    async def one(request: Any) -> Any:
        if request["text"] == "wait":
            await asyncio.Event().wait()
        return {"n": 1}

    async with server.listen("127.0.0.1:0", grace=5) as at:
        yield server, at


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("secure", [False, True], ids=["cleartext", "tls"])
@pytest.mark.parametrize("kind", ["channel", "reflection", "first call", "transport", "tcp"])
async def test_connecting_cancelled_at_any_await_leaves_no_socket(
    kind: str, secure: bool, moment: Moment, ca: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(ca if secure else None) as (server, at):
        tls = TlsConfig(ca=ca.ca) if secure else None
        address = f"127.0.0.1:{at.port}"

        async def channel() -> None:
            async with grpc.connect(address, tls=tls, schema=demo_schema()):
                pass

        async def reflection() -> None:
            async with grpc.connect(address, tls=tls, schema="reflection") as channel:
                await channel.unary("Demo/One", {})

        async def first_call() -> None:
            async with grpc.Channel(address, tls=tls, schema=demo_schema()) as channel:
                try:
                    await channel.unary("Demo/One", {})
                finally:
                    assert channel.stats.active == 0

        async def transport() -> None:
            connection = await connect(HostPort("127.0.0.1", at.port), tls=tls)
            await connection.close()

        async def raw() -> None:
            config = None if tls is None else TlsConfig(ca=ca.ca, alpn=("h2",))
            async with tcp.connect(address, tls=config):
                pass

        work = {
            "channel": channel,
            "reflection": reflection,
            "first call": first_call,
            "transport": transport,
            "tcp": raw,
        }[kind]
        before = asyncio.all_tasks()

        async def check() -> None:
            await until(lambda: not server.connections and not asyncio.all_tasks() - before)

        assert await sweep(work, check, moment) >= 1
        await work()
        await check()
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


async def test_a_patient_call_cancelled_in_any_turn_leaves_no_attempt_to_connect() -> None:
    """Nobody listens, and between attempts there are seconds."""
    before = asyncio.all_tasks()
    for step in range(TURNS):
        async with grpc.Channel(f"127.0.0.1:{free_port()}") as channel:
            call = channel.unary(ONE, b"x", wait_for_ready=True)
            assert await cancelled_at(step, "in a turn", lambda call=call: call)
            assert channel.stats.active == 0
            # It does not try on for somebody who has left.
            await until(lambda channel=channel: not channel._connector._waiters)
        await until(lambda: not asyncio.all_tasks() - before)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("kind", ["unary", "server_stream", "bidi"])
@pytest.mark.parametrize("link", LINKS)
async def test_queueing_for_a_stream_cancelled_at_any_await_keeps_the_order_and_the_place(
    link: Link, kind: str, moment: Moment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # The handler of Up is not among these: it runs on, and while as many do as there may be calls, others are refused.
    limits = Limits(max_concurrent_streams=1)
    async with world_of(link, monkeypatch, limits=limits, message=10) as world:
        act = getattr(Acts(10), kind)
        for step in range(MOST_STEPS):
            # Two others are there: one has the place, one waits behind the call that is cancelled.
            order: list[str] = []
            holding = asyncio.create_task(marked(order, "holding", act(world.channel)))
            await turns(1)
            middle = asyncio.create_task(cancelled_at(step, moment, lambda: act(world.channel)))
            await turns(3)
            behind = asyncio.create_task(marked(order, "behind", act(world.channel)))
            await asyncio.gather(holding, behind)
            reached = await middle
            assert order == ["holding", "behind"]
            await world.check()
            if not reached:
                break
        assert step >= 1
    assert not caplog.records


@pytest.mark.parametrize("link", LINKS)
async def test_a_queueing_call_that_ends_itself_in_any_turn_leaves_its_place_to_the_next(
    link: Link, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with world_of(link, monkeypatch, limits=Limits(max_concurrent_streams=1), message=10) as world:
        for step in range(MOST_STEPS):
            holding = asyncio.create_task(marked([], "holding", world.channel.unary("Demo/One", {})))
            await turns(1)
            call = world.channel.unary("Demo/One", {})
            middle = asyncio.create_task(
                interrupted_at(step, "in a turn", lambda call=call: call, call.cancel)
            )
            await turns(3)
            behind = asyncio.create_task(marked([], "behind", world.channel.unary("Demo/One", {})))
            await asyncio.gather(holding, behind)
            task, stepped = await middle
            if (error := task.exception()) is not None:
                assert isinstance(error, RpcError), error
                assert error.code is StatusCode.CANCELLED, error
            await world.check()
            if not stepped.reached:
                break
        assert step >= 1
    assert not caplog.records


async def marked(order: list[str], name: str, call: Awaitable[Any]) -> None:
    await call
    order.append(name)


class Sending(RawPeer):
    """A server that refuses the first call, or sends it away, and answers what comes after that."""

    def __init__(self, how: str, state: list[int]) -> None:
        super().__init__(server=True)
        self.how = how
        self.state = state

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        while not self.frames.empty():
            heard = self.frames.get_nowait()
            if heard is not None and heard.kind in (HEADERS, DATA) and heard.ends_stream:
                self.state[0] += 1
                if self.state[0] > 1:
                    self.answer(heard.stream)
                elif self.how == "refuses":
                    self.write(frame(RST_STREAM, 0, heard.stream, (7).to_bytes(4, "big")))
                else:
                    self.write(frame(GOAWAY, 0, 0, bytes(8)))
                    self.close()


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("form", ["unary", "client_stream", "collect"])
@pytest.mark.parametrize("how", ["refuses", "sends away"])
async def test_a_call_that_is_sent_again_cancelled_at_any_await_leaves_nothing(
    how: str, form: str, moment: Moment, caplog: pytest.LogCaptureFixture
) -> None:
    state = [0]
    peers: list[Sending] = []

    def accept() -> RawPeer:
        peers.append(Sending(how, state))
        return peers[-1]

    loop = asyncio.get_running_loop()
    most = 0
    async with await loop.create_server(accept, "127.0.0.1", 0) as listener:
        address = f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        before = asyncio.all_tasks()
        for step in range(MOST_STEPS):
            state[0] = 0
            async with grpc.Channel(address) as channel:

                async def call(channel: grpc.Channel = channel) -> None:
                    if form == "unary":
                        assert await channel.unary(ONE, b"x") == b"reply"
                    elif form == "client_stream":
                        assert await channel.client_stream(UP, [b"x"]) == b"reply"
                    else:
                        assert await channel.collect(DOWN, b"x") == [b"reply"]

                reached = await cancelled_at(step, moment, call)
                most = max(most, state[0])
                assert channel.stats.active == 0
                await until(lambda channel=channel: not any(one.active for one in connections(channel)))
                state[0] += 1
                await call()
                assert all(not one.engine.streams and not one.reserved for one in connections(channel))
            await until(lambda: not asyncio.all_tasks() - before)
            if not reached:
                break
        assert most == 2, "it was sent again"
        for peer in peers:
            peer.close()
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


def connections(channel: grpc.Channel) -> list[Any]:
    return channel._connector.connections


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_channel_whose_close_is_cancelled_at_any_await_is_closed(
    moment: Moment, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(None) as (server, at):
        for step in range(MOST_STEPS):
            channel = await grpc.connect(f"127.0.0.1:{at.port}", schema=demo_schema())
            call = asyncio.ensure_future(channel.unary("Demo/One", {"text": "wait"}))
            await until(lambda: server.calls)
            reached = await cancelled_at(step, moment, channel.close)
            with pytest.raises(RpcError, match="CANCELLED"):
                await call
            assert (channel.stats.active, channel.stats.connections) == (0, 0)
            await until(lambda: not server.calls and not server.connections)
            await channel.close()
            if not reached:
                break
        assert step >= 1
    assert not caplog.records


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("ending", ["drain", "block"])
async def test_a_server_whose_drain_is_cancelled_at_any_await_is_gone(
    ending: str, moment: Moment, caplog: pytest.LogCaptureFixture
) -> None:
    for step in range(MOST_STEPS):
        trail = Trail()
        async with serving(None) as (server, at):
            async with grpc.connect(f"127.0.0.1:{at.port}", schema=demo_schema()) as channel:
                call = asyncio.ensure_future(channel.unary("Demo/One", {"text": "wait" if step % 2 else ""}))
                if step % 2:
                    await until(lambda: server.calls)
                else:
                    await call
                tasks = asyncio.all_tasks()

                async def drain(server: Server = server, at: Listening = at, trail: Trail = trail) -> None:
                    trail.mark("began")
                    await (server.drain(0.02) if ending == "drain" else at.__aexit__(ValueError, None, None))

                reached = await cancelled_at(step // 2, moment, drain)
                if reached:
                    assert server.state is ServerState.CLOSED or "began" not in trail
                    if "began" not in trail:
                        server.abort()
                    await until(lambda: not server.connections and not server.calls)
                left = asyncio.all_tasks() - tasks
                assert not left, left
                if step % 2:
                    with pytest.raises(RpcError):
                        await call
        if not reached:
            break
    assert step >= 2
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_server_whose_start_is_cancelled_at_any_await_listens_nowhere(moment: Moment) -> None:
    async with serving(None) as (_, taken):
        port = taken.port
    for step in range(MOST_STEPS):
        server = demo_server()

        async def start(server: Server = server) -> None:
            async with server.listen(f"127.0.0.1:{port}"):
                pass

        reached = await cancelled_at(step, moment, start)
        # The next one listens at the same port.
        if not reached:
            break
    assert step >= 1
