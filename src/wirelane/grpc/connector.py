"""The connections behind a channel: made when they are needed, made again when they are lost.

`pick_first` over the addresses of the target: they are tried in order, the first that answers is used. After a
failure nothing is tried for a while (gRPC connection backoff protocol) and calls fail at once, unless they are
patient (`wait_for_ready`). Nothing runs in the background while nobody calls: an idle connector is a plain object.

When every connection has as many calls as its server allows (MAX_CONCURRENT_STREAMS), calls wait in one queue for a free
place on any of them, and further connections are made, one at a time and up to `max_connections` (gRFC A105). That one of
these cannot be made fails no call: there is something to wait for.

The one task that connects is the connector's own; calls that wait for it wait on futures, so a cancelled call
disturbs nobody.
"""

from __future__ import annotations

import asyncio
import logging
import warnings
from contextlib import suppress
from threading import get_ident
from typing import TYPE_CHECKING

from wirelane.core.backoff import Backoff
from wirelane.errors import BusyError, ClosedError, ConnectError, UsageError, WirelaneError
from wirelane.grpc.options import ChannelState
from wirelane.net.proxy import Route
from wirelane.transport import client as transport
from wirelane.transport.places import CallQueue

if TYPE_CHECKING:
    import ssl

    from wirelane.core.limits import Limits
    from wirelane.core.target import Address, Target
    from wirelane.net.options import SocketOptions
    from wirelane.net.tls import TlsConfig
    from wirelane.net.trace import Trace
    from wirelane.transport.base import ClientConnection
    from wirelane.transport.keepalive import Keepalive

__all__ = ["Connector"]

logger = logging.getLogger("wirelane.grpc")

Waiter = asyncio.Future["ClientConnection"]


class Connector:
    """The connections to a target.

    Args:
        target: Where to.
        tls: How to secure it; None: not at all.
        server_name: The name TLS checks, if it is not the host.
        limits: Handed to the connection; `connect_timeout` is for each address.
        idle_timeout: Seconds without a call after which a connection is closed; None: never.
        max_connections: How many connections may take calls at once.
        keepalive: The pace of pings; None: none are sent.
        options: Of the socket.
        route: The proxies on the way.
        trace: Where to log what is said.

    Attributes:
        current: A connection to open calls on, if there is one: read on the path of every call.
        connects: Connections made so far.
    """

    def __init__(
        self,
        target: Target,
        *,
        tls: TlsConfig | ssl.SSLContext | None,
        server_name: str | None,
        limits: Limits,
        idle_timeout: float | None,
        max_connections: int = 1,
        keepalive: Keepalive | None = None,
        options: SocketOptions | None = None,
        route: Route | None = None,
        trace: Trace | None = None,
    ) -> None:
        self.target = target
        self.tls = tls
        self.current: ClientConnection | None = None
        self.connects = 0
        self._server_name = server_name
        self._limits = limits
        self._idle_timeout = idle_timeout
        self._max_connections = max_connections
        self._keepalive = keepalive
        self._options = options
        self._route = route or Route()
        for address in target.addresses:
            self._route.to(address)  # raises if there is no such way
        self._trace = trace
        self._state = ChannelState.IDLE
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._task: asyncio.Task[None] | None = None
        # Calls that wait for the first connection, in order, and whether they are patient.
        self._waiters: dict[Waiter, bool] = {}
        self._queue = CallQueue(on_wait=self._widen, on_place=self._prefer)
        self._backoff = Backoff()
        self._failure: Exception | None = None
        self._retry_at = 0.0
        # Resolved to end a wait for the next attempt early.
        self._hurry: asyncio.Future[None] | None = None
        self._draining: list[ClientConnection] = []
        self._closing: set[asyncio.Task[None]] = set()
        # The timers that look whether a connection is idle.
        self._idle: dict[ClientConnection, asyncio.TimerHandle] = {}

    @property
    def state(self) -> ChannelState:
        """Where the connection stands."""
        return self._state

    @property
    def connections(self) -> list[ClientConnection]:
        """Every connection that is open: those that take calls, and those that finish their last ones."""
        # Changes nothing: any thread may ask.
        return [one for one in self._draining if one.active] + self._queue.connections

    def check_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Check that the channel is used from the one event loop that its connection lives in.

        Raises:
            UsageError: It was used in another loop before, and has a connection there.
            ClosedError: The channel is closed.
        """
        if self._state is ChannelState.SHUTDOWN:
            raise ClosedError("the channel is closed")
        if self._loop is not loop:
            if self._loop is not None and not self._loop.is_closed():
                raise UsageError("this channel belongs to another event loop: make one channel for each loop")
            self._forget_loop()
            self._loop = loop
            self._thread = get_ident()

    def running_loop(self) -> asyncio.AbstractEventLoop:
        """Return the running loop, checked as in `check_loop`.

        On the path of every call: a loop that runs in this thread is the running one, and to know that takes no system
        call, as `get_running_loop` does.
        """
        loop = self._loop
        if loop is None or self.current is None or self._thread != get_ident() or not loop.is_running():
            loop = asyncio.get_running_loop()
            self.check_loop(loop)
        return loop

    def _forget_loop(self) -> None:
        """Start afresh: what the channel had belonged to a loop that was closed (a second asyncio.run)."""
        self.current = None
        self._state = ChannelState.IDLE
        self._task = self._hurry = None
        self._queue = CallQueue(on_wait=self._widen, on_place=self._prefer)
        self._waiters.clear()
        self._idle.clear()
        self._draining.clear()
        self._closing.clear()

    async def get(self, *, wait_for_ready: bool = False, now: bool = False) -> ClientConnection:
        """Return a connection that takes calls, connecting if there is none. Cancel-safe.

        Args:
            wait_for_ready: Keep waiting when an attempt fails.
            now: Do not wait for the backoff of an earlier failure to pass.

        Raises:
            ConnectError, ProxyError, TlsError, ResolveError, PeerError: The last attempt failed.
            UsageError: The TLS settings cannot be used.
            ClosedError: The channel was closed, before or meanwhile.
        """
        loop = asyncio.get_running_loop()
        self.check_loop(loop)
        if self.current is not None:
            return self.current
        if now:
            self._retry_at = 0.0
            if self._hurry is not None and not self._hurry.done():
                self._hurry.set_result(None)
        elif self._failure is not None and not wait_for_ready and loop.time() < self._retry_at:
            # Without its traceback, which would grow by this frame each time.
            raise self._failure.with_traceback(None)
        waiter: Waiter = loop.create_future()
        self._waiters[waiter] = wait_for_ready
        self._start(loop)
        try:
            return await waiter
        finally:
            self._waiters.pop(waiter, None)

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._task is None:
            self._task = loop.create_task(self._connect(), name=f"wirelane: connect to {self.target}")

    def _widen(self) -> None:
        """Calls wait although there are connections."""
        if self._loop is not None and self._state is not ChannelState.SHUTDOWN and self._wanted():
            self._start(self._loop)

    def _prefer(self, connection: ClientConnection) -> None:
        """This connection has a free place, and the current one has none."""
        self.current = connection

    def _wanted(self) -> bool:
        """Whether somebody waits whom another connection would help."""
        if self._waiters:
            return True
        return bool(self._queue.waiting) and len(self._queue.connections) < self._max_connections

    async def _connect(self) -> None:
        """Try until somebody answers, or nobody waits any more."""
        try:
            while self._wanted():
                await self._pause()
                if not self._wanted():
                    break
                if self.current is None:
                    self._state = ChannelState.CONNECTING
                started = asyncio.get_running_loop().time()
                try:
                    connection = await self._attempt()
                except UsageError as error:
                    # Nothing that time heals.
                    self._failed(error, 0.0, patient=True)
                except (WirelaneError, OSError) as error:
                    self._failed(error, started + self._backoff.delay())
                else:
                    self._connected(connection)
        except BaseException as error:
            self._failed(error, 0.0, patient=True)
            raise
        finally:
            self._task = None

    async def _pause(self) -> None:
        """Wait until the backoff has passed, or somebody is in a hurry."""
        loop = asyncio.get_running_loop()
        delay = self._retry_at - loop.time()
        if delay <= 0:
            return
        self._hurry = loop.create_future()
        try:
            await asyncio.wait((self._hurry,), timeout=delay)
        finally:
            self._hurry = None

    async def _attempt(self) -> ClientConnection:
        failures: list[tuple[str, BaseException]] = []
        reasons: list[str] = []
        addresses = self.target.addresses
        for address in addresses:
            try:
                return await self._open(address)
            except UsageError:
                raise
            except (WirelaneError, OSError) as error:
                if len(addresses) == 1:
                    raise
                logger.debug("%s: %s did not answer: %s", self.target, address, error)
                reasons.append(str(error))
                inner = error.attempts if isinstance(error, ConnectError) else ()
                failures.extend(inner or ((str(address), error),))
        raise ConnectError(
            f"none of the {len(addresses)} addresses of {self.target} answered: {'; '.join(reasons)}",
            address=str(self.target),
            attempts=failures,
        )

    async def _open(self, address: Address) -> ClientConnection:
        return await transport.connect(
            address,
            tls=self.tls,
            server_name=self._server_name,
            limits=self._limits,
            connect_timeout=self._limits.connect_timeout,
            keepalive=self._keepalive,
            options=self._options,
            proxies=self._route.to(address),
            trace=self._trace,
        )

    def _connected(self, connection: ClientConnection) -> None:
        if self.current is None:
            self._backoff.reset()
        self._failure = None
        self._retry_at = 0.0
        self.connects += 1
        self.current = connection
        self._state = ChannelState.READY
        logger.debug("%s: connected to %s", self.target, connection.peer)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(connection)
        self._waiters.clear()
        self._queue.add(connection)
        self._watch_idle(connection)
        connection.add_close_callback(self.drop)

    def _failed(self, error: BaseException, retry_at: float, *, patient: bool = False) -> None:
        """Take note of a failed attempt, and tell those who wait for it: the patient ones only if asked to."""
        cause = (
            error
            if isinstance(error, Exception)
            else ClosedError("the channel was closed while it was connecting")
        )
        if self._state is not ChannelState.SHUTDOWN:
            self._failure = cause
            self._retry_at = retry_at
            if self.current is None:
                self._state = ChannelState.TRANSIENT_FAILURE
        logger.debug("%s: not connected: %s", self.target, cause)
        for waiter in [waiter for waiter, is_patient in self._waiters.items() if patient or not is_patient]:
            del self._waiters[waiter]
            if not waiter.done():
                waiter.set_exception(cause)

    def drop(self, connection: ClientConnection) -> None:
        """Use this connection for new calls no more: it is lost, or the server sent GOAWAY."""
        if connection not in self._queue.connections:
            return
        if (timer := self._idle.pop(connection, None)) is not None:
            timer.cancel()
        if connection.opened:
            self._backoff.reset()
        elif len(self._queue.connections) > 1:
            # A server that greets and sends away at once is not asked for another connection in a circle.
            self._retry_at = asyncio.get_running_loop().time() + self._backoff.delay()
        if self.current is connection:
            self.current = next((one for one in self._queue.connections if one is not connection), None)
        if self.current is None and self._state is ChannelState.READY:
            self._state = ChannelState.IDLE if self._task is None else ChannelState.CONNECTING
        self._draining = [one for one in self._draining if one.active]
        if connection.active:
            self._draining.append(connection)
        logger.debug("%s: %s takes no more calls", self.target, connection.peer)
        self._queue.remove(connection)

    # Idle connections are closed

    def _watch_idle(self, connection: ClientConnection) -> None:
        if self._idle_timeout is not None and self._loop is not None:
            self._idle[connection] = self._loop.call_later(
                self._idle_timeout, self._check_idle, connection, connection.opened
            )

    def _check_idle(self, connection: ClientConnection, opened: int) -> None:
        del self._idle[connection]
        if connection.active or connection.reserved or connection.opened != opened:
            self._watch_idle(connection)
            return
        self.drop(connection)
        task = asyncio.ensure_future(connection.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def let_go(self) -> None:
        """Cut what nobody can close any more, and tell so with a ResourceWarning; in any thread."""
        loop = self._loop
        if loop is None or self._state is ChannelState.SHUTDOWN:
            return
        if self._task is not None or self.connections:
            with suppress(RuntimeError):  # the loop is closed, and with it the connections
                loop.call_soon_threadsafe(self._cut)
                warnings.warn(f"unclosed channel to {self.target}", ResourceWarning, stacklevel=2)

    def _cut(self) -> None:
        self._state = ChannelState.SHUTDOWN
        if self._task is not None:
            self._task.cancel()
        for connection in self.connections:
            connection.abort()

    async def close(self) -> None:
        """Close everything for good; calls in flight end as CANCELLED. Idempotent; bounded by `close_timeout`."""
        connections = self.connections
        self._state = ChannelState.SHUTDOWN
        self.current = None
        self._draining.clear()
        if self._loop is not None and self._loop is not asyncio.get_running_loop():
            if not self._loop.is_closed():
                raise BusyError("this channel belongs to another event loop, which must close it")
            return
        for connection in connections:
            self.drop(connection)
        task = self._task
        if task is not None:
            task.cancel()
        closing = [asyncio.ensure_future(connection.close()) for connection in connections]
        pending: list[asyncio.Future[None]] = [
            *closing,
            *self._closing,
            *([task] if task is not None else []),
        ]
        try:
            if pending:
                await asyncio.wait(pending)
        except BaseException:
            # Somebody has no time for an orderly end.
            for connection in connections:
                connection.abort()
            for one in closing:
                one.cancel()
            raise
