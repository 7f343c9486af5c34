"""Servers whose handlers block: each call runs in a thread of the server's.

A handler is a function, and for a method that streams replies a generator, or a function that returns an iterable. A client's
messages come as an iterator. A handler that is `async def` runs in the loop as it is.

When a call is over for its client (cancelled, or too late), the handler's next read raises, `context.cancelled` is true, and a generator
is closed at its next `yield`; a thread that does none of these goes on to its end. Until then its call counts (`server.calls`), and
a drain waits for it, as for a coroutine that cleans up: for `close_timeout` after it was told, and not at all after `abort`.
"""

from __future__ import annotations

import asyncio
import inspect
import signal
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, Self

from wirelane.errors import RpcError, UsageError, rpc_error
from wirelane.grpc.methods import Method
from wirelane.grpc.server.context import Context
from wirelane.grpc.server.handler import Requests
from wirelane.grpc.server.server import Server as AsyncServer
from wirelane.grpc.services.health import SERVICE as HEALTH
from wirelane.status import StatusCode
from wirelane.sync._facade import Facade, Made, facade_of, wrap
from wirelane.sync._feeding import Feed
from wirelane.sync._portal import call, current, run
from wirelane.sync._streams import ready_parts
from wirelane.sync._threads import THREADS, Threads

if TYPE_CHECKING:
    from wirelane.core.limits import Limits
    from wirelane.grpc.server.handler import Call
    from wirelane.grpc.server.lifecycle import Listening
    from wirelane.net.trace import Trace
    from wirelane.transport.base import Part

__all__ = ["BlockingServer", "HealthFacade", "ListeningFacade", "RequestIterator", "ServerFacade"]


class BlockingServer(AsyncServer):
    """A server that takes functions that block for handlers.

    Args:
        context: The shell of the context that handlers get.
        threads: How many handlers run at once; calls beyond that wait.
    """

    def __init__(
        self,
        services: Iterable[object] = (),
        *,
        context: type[Facade],
        threads: int = THREADS,
        **settings: Any,
    ) -> None:
        self._context = context
        self._threads = Threads(threads, patient=True)
        self._adapt = self._awaitable
        super().__init__(services, **settings)

    def take_over(self, other: AsyncServer) -> None:
        """Serve what another server has handlers for, too, and answer from its health."""
        self._schema = self._schema or other._schema
        for path, route in other._router.routes.items():
            if path not in self._router.routes:
                self._add(route)
        health = self._health = other._health
        if health is not None:
            health._forget_watchers()
            for path, route in other._router.routes.items():
                if route.service == HEALTH:
                    self._router.routes[path] = route

    def _route(self, method: object, function: Callable[..., object]) -> Any:
        return super()._route(method, self._awaitable(method, function))

    def _awaitable(self, method: object, function: Any) -> Any:
        """Return the handler that the loop runs for a function that blocks."""
        if (
            not callable(function)
            or inspect.iscoroutinefunction(function)
            or inspect.isasyncgenfunction(function)
        ):
            return function
        streams = self._streams_replies(method, function)
        threads = self._threads
        if not streams:

            @wraps(function)
            async def one(*arguments: Any) -> Any:
                return await threads.call(function, *map(self._shell, arguments))

            return one

        @wraps(function)
        async def many(*arguments: Any) -> Feed:
            # The handler sees the head leave with its first reply: from then on the compression of the call is settled.
            replies = _replies(function, tuple(map(self._shell, arguments)))
            return _Replies(replies, threads)

        return many

    def listen(self, *addresses: Any, **settings: Any) -> Listening:
        """As that of the async library; a listener that is aborted leaves its threads behind."""
        listening = super().listen(*addresses, **settings)
        self._threads.patient = True
        listening._threads = self._threads
        return listening

    def _shell(self, argument: Any) -> Any:
        return self._context._over(argument) if type(argument) is Context else wrap(argument)

    def _streams_replies(self, method: object, function: Any) -> bool:
        if isinstance(method, Method):
            return method.cardinality.server_streaming
        schema = self.schema
        if isinstance(method, str) and schema is not None:
            return schema.find_method(method).cardinality.server_streaming
        return inspect.isgeneratorfunction(function)


class _Replies(Feed):
    """What a handler streams."""

    def __init__(self, replies: Iterator[Any], threads: Threads) -> None:
        super().__init__(replies, start=threads.submit, first_alone=True)
        self._threads = threads

    async def aclose(self) -> None:
        """As that of a feed; patient threads are waited for, and what a handler raises at its end is raised."""
        await super().aclose()
        if self.finished:
            await self.ended()
        elif self.begun and self._threads.patient:
            await self._threads.see_out(asyncio.ensure_future(self.ended()))


def _replies(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Iterator[Any]:
    # A generator, so that the function itself is called where its items are made: in the thread.
    replies = function(*arguments)
    if not isinstance(replies, Iterable) or isinstance(replies, Mapping | str | bytes):
        raise TypeError(
            f"a streaming handler must yield messages or return an iterable of them, not {type(replies).__name__}"
        )
    yield from replies


@facade_of(Requests)
class RequestIterator(Facade):
    """The requests of a client, as the iterator that a handler takes.

    A way into the loop brings along all that are there, up to `BATCH` and `OUTBOX` octets; each is decoded when the handler takes it.
    Raises what the loop's iterator raises: `RpcError` for a message that does not parse, or a call that is over, of which what was
    brought along is dropped.
    """

    __slots__ = ("_call", "_lost", "_ready")
    _inner: Requests

    def _adopt(self, inner: Any) -> None:
        super()._adopt(inner)
        self._call: Call = inner.call
        self._ready: deque[Part] = deque()
        self._lost = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        ready = self._ready
        if self._lost or (ready and self._call.stream.dropped):
            self._lost = True
            ready.clear()
            raise _over(self._call)
        while True:
            try:
                part = ready.popleft()
            except IndexError:  # none left; or another thread was faster
                if not current().run(_fetch, (self._inner, ready), {}):
                    raise StopIteration from None
            else:
                return self._call.decode(part)


def _over(call: Call) -> RpcError:
    deadline = call.stream.deadline
    if deadline is not None and deadline.expired():
        return rpc_error(StatusCode.DEADLINE_EXCEEDED, "deadline exceeded")
    return rpc_error(StatusCode.CANCELLED, "the call has ended")


def _fetch(requests: Requests, ready: deque[Part]) -> bool | Awaitable[bool]:
    """Bring along what is there, at least one; False if no more come. A task is made only where there is something to wait for."""
    ready.extend(ready_parts(requests.call.stream))
    return bool(ready) or _wait(requests, ready)


async def _wait(requests: Requests, ready: deque[Part]) -> bool:
    part = await requests.next_part()
    if part is None:
        return False
    ready.append(part)
    ready.extend(ready_parts(requests.call.stream))
    return True


class HealthFacade(Facade):
    """The base of `Health`, which belongs to no loop: after a fork, the child's server answers from it, too."""

    __slots__ = ()

    def _remake(self) -> Any:
        return self._inner


class ListeningFacade(Facade):
    """The base of the listeners; at the end of the interpreter their handlers are told before anything else ends."""

    __slots__ = ()

    def _adopt(self, inner: Any) -> None:
        super()._adopt(inner)
        current().adopt(self)

    def _drain(self, grace: float | None) -> None:
        _refuse_handlers(self._inner)
        run(self._inner.drain, grace)


def _refuse_handlers(inner: Any) -> None:
    threads = getattr(inner, "_threads", None)
    if isinstance(threads, Threads) and threads.inside():
        raise UsageError("a handler cannot call drain(), which waits for handlers; call it in another thread")


class ServerFacade(Made):
    """The base of the servers."""

    __slots__ = ("_stopped",)

    def _adopt(self, inner: Any) -> None:
        super()._adopt(inner)
        self._stopped = threading.Event()

    def _remake(self) -> Any:
        made = super()._remake()
        if isinstance(made, BlockingServer):
            made.take_over(self._inner)  # what was registered since it was made is not lost by the fork
        return made

    @property
    def limits(self) -> Limits:
        """Sizes, counts and times."""
        limits: Limits = self._inner.limits
        return limits

    @property
    def trace(self) -> Trace | None:
        """The log of the conversations, if `trace=` asked for one."""
        trace: Trace | None = self._inner.trace
        return trace

    def _listen(self, *addresses: Any, **settings: Any) -> Any:
        listening = self._inner.listen(*addresses, **settings)
        run(listening.start)
        # Held by what serves: the end of the interpreter tells those of which it knows, and users rarely keep what they get here.
        shell = listening._shell = wrap(listening)
        return shell

    def _serve(self, *addresses: Any, **settings: Any) -> None:
        listening = self._listen(*addresses, **settings)
        self._stopped.clear()
        with _stop_signals(self._stopped, listening._inner.abort):
            try:
                self._stopped.wait()
            finally:
                run(listening._inner.drain)

    def _drain(self, grace: float | None) -> None:
        _refuse_handlers(self._inner)
        self._stopped.set()
        run(self._inner.drain, grace)

    def _abort(self) -> None:
        self._stopped.set()
        call(self._inner.abort)


@contextmanager
def _stop_signals(stopped: threading.Event, again: Callable[[], None]) -> Iterator[None]:
    """SIGTERM and SIGINT for the block, in the main thread: the first sets the event, every further one calls `again`."""

    def received(number: int, frame: object) -> None:
        if stopped.is_set():
            current().post(again)
        stopped.set()

    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, received) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
