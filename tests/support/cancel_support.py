"""Cancelling at every await: a coroutine runs until it has waited so many times, and is cancelled there.

What a sweep looks at afterwards is what may never be lost: streams, tasks, connections, and the octets of the windows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Literal

import pytest

from support.client_support import turns
from support.server_support import demo_schema, demo_server, until
from support.wire_support import Link
from wirelane import grpc
from wirelane.core.limits import Limits
from wirelane.grpc.server import Listening, Server
from wirelane.transport import memory
from wirelane.transport.client import H2ClientConnection
from wirelane.transport.server import H2ServerConnection, serve

Moment = Literal["in a turn", "as it wakes"]
MOMENTS: list[Moment] = ["in a turn", "as it wakes"]
# More than anything here ever waits; a sweep that gets so far has found something that never ends.
MOST_STEPS = 500
# Seconds that nothing takes which ends at all.
FOREVER = 30.0
# Seconds of a deadline that passes only when a test says so.
FAR_OFF = 50_000.0


class Stepped(Awaitable[Any]):
    """A coroutine, and what is done in the middle of it.

    Args:
        work: The coroutine.
        step: When to interrupt it, counted from 0.
        interrupt: What does so.
        moment: Whether steps are turns of the loop since it began; or its waits, interrupted when what it waits for
            is there and it has not been told yet, which is when something that was given out can get lost.

    Attributes:
        reached: It came so far.
    """

    def __init__(
        self, work: Awaitable[Any], step: int, interrupt: Callable[[], object], moment: Moment
    ) -> None:
        self._work = work
        self._step = step
        self._interrupt = interrupt
        self._moment = moment
        self._over = False
        self.reached = False

    def __await__(self) -> Generator[Any, Any, Any]:
        if self._moment == "in a turn":
            asyncio.get_running_loop().call_soon(self._count_turn, self._step)
        try:
            return (yield from self._run())
        finally:
            self._over = True

    def _count_turn(self, left: int) -> None:
        if self._over:
            return
        if left:
            asyncio.get_running_loop().call_soon(self._count_turn, left - 1)
        else:
            self._reach()

    def _reach(self, _: object = None) -> None:
        if not self._over:
            self.reached = True
            self._interrupt()

    def _run(self) -> Generator[Any, Any, Any]:
        inner = self._work.__await__()
        error: BaseException | None = None
        count = 0
        while True:
            try:
                waits_for = next(inner) if error is None else inner.throw(error)  # type: ignore[attr-defined]
            except StopIteration as stop:
                return stop.value
            if self._moment == "as it wakes" and count == self._step:
                if waits_for is None:
                    asyncio.get_running_loop().call_soon(self._reach)
                else:
                    # Before the task's own callback, which is added when this is handed out.
                    waits_for.add_done_callback(self._reach)
            count += 1
            error = None
            try:
                yield waits_for
            except BaseException as thrown:
                error = thrown


async def cancelled_at(step: int, moment: Moment, work: Callable[[], Awaitable[Any]]) -> bool:
    """Run `work` in a task and cancel that at a step; whether it came so far.

    Cancelled, it ends by CancelledError, untouched; it may also have been done at that very moment.
    """
    task, stepped = await interrupted_at(step, moment, work, None)
    if not task.cancelled():
        task.result()
        assert not stepped.reached or not task.cancelling(), "a cancellation was swallowed"
    return stepped.reached


async def interrupted_at(
    step: int, moment: Moment, work: Callable[[], Awaitable[Any]], interrupt: Callable[[], object] | None
) -> tuple[asyncio.Task[Any], Stepped]:
    """Run `work` in a task and interrupt it at a step, for None by cancelling the task; the task, which is done."""
    stepped: list[Stepped] = []

    async def run() -> None:
        stepped.append(Stepped(work(), step, interrupt or task.cancel, moment))
        await stepped[0]

    task = asyncio.create_task(run())
    await asyncio.wait((task,), timeout=FOREVER)
    if not task.done():
        task.cancel()
        await asyncio.wait((task,))
        raise AssertionError(f"it hangs; to be interrupted at step {step}")
    return task, stepped[0]


class Deadlines:
    """The timers of deadlines that are `FAR_OFF`, which pass when a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._timers: list[tuple[asyncio.TimerHandle, Callable[..., object]]] = []
        loop = asyncio.get_running_loop()
        call_later = loop.call_later

        def remember(delay: float, callback: Callable[..., object], *args: Any, **rest: Any) -> Any:
            timer = call_later(delay, callback, *args, **rest)
            if FAR_OFF / 2 < delay <= FAR_OFF:
                self._timers.append((timer, callback))
            return timer

        monkeypatch.setattr(loop, "call_later", remember)

    @property
    def running(self) -> int:
        """How many have neither passed nor been cancelled."""
        self._timers = [(timer, callback) for timer, callback in self._timers if not timer.cancelled()]
        return len(self._timers)

    def expire(self, side: Literal["client", "server"]) -> None:
        """Let those of one side pass."""
        assert self.running
        owner = {"client": "wirelane.grpc.opening", "server": "wirelane.grpc.server.handler"}[side]
        for timer, callback in self._timers:
            if callback.__module__ == owner:
                timer.cancel()
                callback()


@contextmanager
def stepped_handlers(step: int, interrupt: Callable[[], object] | None, moment: Moment) -> Any:
    """Interrupt the next handler of a server at a step: by `interrupt`, or by cancelling its task.

    Gives a list that will hold the `Stepped` of the handler.
    """
    loop = asyncio.get_running_loop()
    found: list[Stepped] = []
    made: list[asyncio.Task[Any]] = []

    def cancel() -> None:
        made[0].cancel()

    def factory(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
        if getattr(work, "__qualname__", "") != "Call._run" or found:
            return asyncio.Task(work, loop=loop, **options)
        stepped = Stepped(work, step, interrupt or cancel, moment)
        found.append(stepped)

        async def run() -> None:
            await stepped

        made.append(asyncio.Task(run(), loop=loop, **options))
        return made[0]

    loop.set_task_factory(factory)
    try:
        yield found
    finally:
        loop.set_task_factory(None)


class World:
    """A server and a channel to it, in one loop, and what must be so between calls.

    Attributes:
        started, ended: Handlers that began, and those that are over.
        deadlines: Those of its calls.
    """

    def __init__(self, server: Server, at: Listening, channel: grpc.Channel, deadlines: Deadlines) -> None:
        self.server = server
        self.at = at
        self.channel = channel
        self.deadlines = deadlines
        self.complaints: list[dict[str, Any]] = []
        self.started = self.ended = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self.client: H2ClientConnection
        self.accepted: H2ServerConnection

    async def warm_up(self) -> None:
        """Make the connection, and remember what is there without a call."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.complaints.append(context))
        await self.connect()
        self._tasks = asyncio.all_tasks()

    async def connect(self) -> None:
        """Make a call, and take note of the connection that it was made on, the only one there is."""
        await self.probe()
        await until(lambda: len(self.at._all_connections()) == 1)
        (connection,) = self.channel._connector.connections
        assert isinstance(connection, H2ClientConnection)
        self.client = connection
        (accepted,) = self.at._all_connections()
        assert isinstance(accepted, H2ServerConnection)
        self.accepted = accepted
        await until(lambda: not self.server.calls)

    async def probe(self) -> None:
        """A call that has to work."""
        assert await self.channel.unary("Demo/One", {"text": "probe"}, timeout=FOREVER) is not None

    def at_rest(self) -> bool:
        """Nothing is left of any call, and both ends agree on every octet of the connection's windows."""
        client, server = self.client.engine, self.accepted.engine
        return (
            self.over()
            and all(self._has_stock(end) for end in (self.client, self.accepted))
            and client.send_window == server.recv_window
            and server.send_window == client.recv_window
        )

    def over(self) -> bool:
        """Nothing is left of any call at either end."""
        return (
            not self.server.calls
            and not self.at.lingering
            and self.started == self.ended
            and not self.deadlines.running
            and not self.accepted.unread
            and not self.client.reserved
            and not self.client.queue.waiting
            and not self.client.queue._given
            and not self.client.engine.streams
            and not self.client.engine.blocked
            and not self.accepted.engine.streams
            and not self.accepted.engine.blocked
        )

    @staticmethod
    def _has_stock(end: H2ClientConnection | H2ServerConnection) -> bool:
        """What the windows of streams grew by and what they were lent is there again, and nobody waits for it."""
        flow = end.engine.flow
        return not flow.loans and not flow._queue and flow.stock == end.limits.max_window

    async def check(self) -> None:
        """What was interrupted has left nothing, and the connection goes on.

        Raises:
            AssertionError: It has.
        """
        await self._until(self.at_rest)
        assert self.channel.stats.active == 0, self.channel
        await self.probe()
        await self._until(self.at_rest)
        await self._until(lambda: not asyncio.all_tasks() - self._tasks)
        assert self.channel._connector.connections == [self.client], "the connection was not kept"
        assert self.at._all_connections() == [self.accepted]
        assert 2 * self.client.engine.recv_window >= self.client.limits.connection_window
        assert 2 * self.accepted.engine.recv_window >= self.accepted.limits.connection_window
        assert not self.complaints, self.complaints

    async def check_lost(self) -> None:
        """The connection was lost and has left nothing, and the channel makes another one.

        Raises:
            AssertionError: It has.
        """
        await self._until(self.over)
        await self._until(lambda: self.accepted not in self.at._all_connections())
        assert self.channel.stats.active == 0, self.channel
        await self.connect()
        await self.check()

    async def _until(self, condition: Callable[[], bool]) -> None:
        try:
            await until(condition)
        except TimeoutError:
            raise AssertionError(self._describe()) from None

    def _describe(self) -> str:
        client, server = self.client.engine, self.accepted.engine
        return (
            f"client streams {client.streams}, server streams {server.streams}, calls {self.server.calls}, "
            f"handlers {self.started} started {self.ended} ended, "
            f"windows {client.send_window} {server.recv_window} {server.send_window} {client.recv_window}, "
            f"lent {client.flow.loans} {server.flow.loans}, stocks {client.flow.stock} {server.flow.stock}, "
            f"deadlines {self.deadlines.running}, lingering {self.at.lingering}, queue {self.client.queue.waiting}, "
            f"tasks {asyncio.all_tasks() - self._tasks}"
        )


def _handlers(server: Server, world: Callable[[], World], big: bytes) -> None:
    """All four kinds; each waits between messages and, where windows are small, inside of them."""

    @contextmanager
    def counted() -> Any:
        world().started += 1
        try:
            yield
        finally:
            world().ended += 1

    @server.method("Demo/One")
    async def one(request: Any) -> Any:
        with counted():
            await asyncio.sleep(0)
            if request["text"] == "wait":
                await asyncio.Event().wait()
            return {"n": 1} if request["text"] == "probe" else {"data": big}

    @server.method("Demo/Down")
    async def down(request: Any, context: Any) -> AsyncIterator[Any]:
        with counted():
            await context.send_initial_metadata()
            for number in range(3):
                yield {"n": number, "data": big}
                await asyncio.sleep(0)

    @server.method("Demo/Up")
    async def up(requests: AsyncIterator[Any]) -> Any:
        with counted():
            count = 0
            try:
                async for _ in requests:
                    count += 1
                    await turns(3)
            finally:
                # Cancelled, it runs on for a while.
                await turns(3)
            return {"n": count, "data": big}

    @server.method("Demo/Both")
    async def both(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        with counted():
            async for request in requests:
                await turns(3)
                yield request


@asynccontextmanager
async def world_of(
    link: Link, monkeypatch: pytest.MonkeyPatch, *, limits: Limits, message: int, deadlines: bool = False
) -> AsyncIterator[World]:
    """A world whose handlers answer with messages of a size, over sockets or in memory; its calls may have deadlines."""
    server = demo_server(limits=limits)
    worlds: list[World] = []
    _handlers(server, lambda: worlds[0], bytes(message))
    if link == "memory":
        _in_memory(monkeypatch, limits)
    async with server.listen("127.0.0.1:0") as at:
        channel = grpc.Channel(
            f"127.0.0.1:{at.port}",
            schema=demo_schema(),
            limits=limits,
            timeout=FAR_OFF if deadlines else None,
        )
        async with channel:
            worlds.append(World(server, at, channel, Deadlines(monkeypatch)))
            await worlds[0].warm_up()
            yield worlds[0]
            await worlds[0].check()
        await until(lambda: not server.connections)
    assert not worlds[0].complaints


def _in_memory(monkeypatch: pytest.MonkeyPatch, limits: Limits) -> None:
    """Join channels of this test with its server by a pipe in memory instead of a socket."""
    found: list[Any] = []

    async def serve_and_tell(address: Any, on_call: Any, **options: Any) -> Any:
        serving = await serve(address, on_call, **options)
        found[:] = [on_call, serving]
        return serving

    async def connect(*_: Any, **__: Any) -> H2ClientConnection:
        on_call, serving = found
        client = H2ClientConnection(limits, target="memory")
        memory.pipe(
            client,
            H2ServerConnection(limits, on_call, serving=serving),
        )
        await client.wait_ready()
        return client

    monkeypatch.setattr("wirelane.grpc.server.lifecycle.serve", serve_and_tell)
    monkeypatch.setattr("wirelane.transport.client.connect", connect)
