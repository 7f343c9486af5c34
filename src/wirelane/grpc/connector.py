"""The connection behind a channel: made when it is needed, made again when it is lost.

`pick_first` over the addresses of the target: they are tried in order, the first that answers is used. After a
failure nothing is tried for a while (gRPC connection backoff protocol) and calls fail at once, unless they are
patient (`wait_for_ready`). Nothing runs in the background while nobody calls: an idle connector is a plain object.

The one task that connects is the connector's own; calls that wait for it wait on futures, so a cancelled call
disturbs nobody.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

from wirelane.errors import BusyError, ClosedError, ConnectError, UsageError, WirelaneError
from wirelane.grpc.options import ChannelState
from wirelane.transport import client as transport

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from wirelane.core.limits import Limits
    from wirelane.core.target import Address, Target
    from wirelane.net.tls import TlsConfig
    from wirelane.transport.base import ClientConnection

__all__ = ["Backoff", "Connector"]

logger = logging.getLogger("wirelane.grpc")

Waiter = asyncio.Future["ClientConnection"]


class Backoff:
    """Seconds from the start of one failed attempt to the next (gRPC doc/connection-backoff.md)."""

    INITIAL = 1.0
    MULTIPLIER = 1.6
    JITTER = 0.2
    MAXIMUM = 120.0

    def __init__(self) -> None:
        self._next = self.INITIAL

    def reset(self) -> None:
        """Begin anew: a connection was made."""
        self._next = self.INITIAL

    def delay(self) -> float:
        """Return how long to wait this time; the next time will be longer."""
        seconds = self._next * random.uniform(1 - self.JITTER, 1 + self.JITTER)  # noqa: S311  (no secret)
        self._next = min(self._next * self.MULTIPLIER, self.MAXIMUM)
        return seconds


class Connector:
    """One connection at a time to a target.

    Args:
        target: Where to.
        tls: How to secure it; None: not at all.
        server_name: The name TLS checks, if it is not the host.
        limits: Handed to the connection; `connect_timeout` is for each address.
        idle_timeout: Seconds without a call after which the connection is closed; None: never.
        calls_started: How many calls the channel has begun, to tell an idle connection.

    Attributes:
        current: The connection that takes new calls, if there is one: read on the path of every call.
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
        calls_started: Callable[[], int],
    ) -> None:
        self.target = target
        self.tls = tls
        self.current: ClientConnection | None = None
        self.connects = 0
        self._server_name = server_name
        self._limits = limits
        self._idle_timeout = idle_timeout
        self._calls_started = calls_started
        self._state = ChannelState.IDLE
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._hasty: set[Waiter] = set()
        self._patient: set[Waiter] = set()
        self._backoff = Backoff()
        self._failure: Exception | None = None
        self._retry_at = 0.0
        # Resolved to end a wait for the next attempt early.
        self._hurry: asyncio.Future[None] | None = None
        self._draining: list[ClientConnection] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._idle_timer: asyncio.TimerHandle | None = None
        self._calls_seen = 0

    @property
    def state(self) -> ChannelState:
        """Where the connection stands."""
        return self._state

    @property
    def connections(self) -> list[ClientConnection]:
        """Every connection that is open: the current one, and those that finish their last calls."""
        self._draining = [connection for connection in self._draining if connection.active]
        return self._draining + ([self.current] if self.current is not None else [])

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

    def _forget_loop(self) -> None:
        """Start afresh: what the channel had belonged to a loop that was closed (a second asyncio.run)."""
        self.current = None
        self._state = ChannelState.IDLE
        self._task = self._hurry = self._idle_timer = None
        self._hasty.clear()
        self._patient.clear()
        self._draining.clear()
        self._closing.clear()

    async def get(self, *, wait_for_ready: bool = False, now: bool = False) -> ClientConnection:
        """Return a connection that takes calls, connecting if there is none. Cancel-safe.

        Args:
            wait_for_ready: Keep waiting when an attempt fails.
            now: Do not wait for the backoff of an earlier failure to pass.

        Raises:
            ConnectError, TlsError, ResolveError, PeerError: The last attempt failed.
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
        waiters = self._patient if wait_for_ready else self._hasty
        waiters.add(waiter)
        if self._task is None:
            self._task = loop.create_task(self._connect(), name=f"wirelane: connect to {self.target}")
        try:
            return await waiter
        finally:
            waiters.discard(waiter)

    async def _connect(self) -> None:
        """Try until somebody answers, or nobody waits any more."""
        try:
            while self._hasty or self._patient:
                await self._pause()
                if not (self._hasty or self._patient):
                    break
                self._state = ChannelState.CONNECTING
                started = asyncio.get_running_loop().time()
                try:
                    connection = await self._attempt()
                except UsageError as error:
                    # Nothing that time heals.
                    self._failed(error, 0.0, {*self._hasty, *self._patient})
                except (WirelaneError, OSError) as error:
                    self._failed(error, started + self._backoff.delay(), self._hasty)
                else:
                    self._connected(connection)
        except BaseException as error:
            self._failed(error, 0.0, {*self._hasty, *self._patient})
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
        )

    def _connected(self, connection: ClientConnection) -> None:
        self._backoff.reset()
        self._failure = None
        self._retry_at = 0.0
        self.connects += 1
        self.current = connection
        self._state = ChannelState.READY
        logger.debug("%s: connected to %s", self.target, connection.peer)
        for waiter in (*self._hasty, *self._patient):
            if not waiter.done():
                waiter.set_result(connection)
        self._hasty.clear()
        self._patient.clear()
        connection.add_close_callback(self.drop)
        if self.current is connection:
            self._watch_idle()

    def _failed(self, error: BaseException, retry_at: float, waiters: set[Waiter]) -> None:
        cause = (
            error
            if isinstance(error, Exception)
            else ClosedError("the channel was closed while it was connecting")
        )
        if self._state is not ChannelState.SHUTDOWN:
            self._failure = cause
            self._retry_at = retry_at
            self._state = ChannelState.TRANSIENT_FAILURE
        logger.debug("%s: not connected: %s", self.target, cause)
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(cause)
        waiters.clear()
        if waiters is not self._hasty:
            self._hasty.clear()
            self._patient.clear()

    def drop(self, connection: ClientConnection) -> None:
        """Use this connection for new calls no more: it is lost, or the server sent GOAWAY."""
        if self.current is not connection:
            return
        self.current = None
        self._stop_idle_timer()
        if self._state is ChannelState.READY:
            self._state = ChannelState.IDLE
        if connection.active:
            self._draining.append(connection)
        logger.debug("%s: %s takes no more calls", self.target, connection.peer)

    # Idle connections are closed

    def _watch_idle(self) -> None:
        if self._idle_timeout is not None and self._loop is not None:
            self._calls_seen = self._calls_started()
            self._idle_timer = self._loop.call_later(self._idle_timeout, self._check_idle)

    def _check_idle(self) -> None:
        self._idle_timer = None
        connection = self.current
        if connection is None or self._loop is None:
            return
        if connection.active or self._calls_started() != self._calls_seen:
            self._watch_idle()
            return
        self.drop(connection)
        task = self._loop.create_task(
            connection.close(), name=f"wirelane: close idle connection to {self.target}"
        )
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _stop_idle_timer(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

    async def close(self) -> None:
        """Close everything for good; calls in flight end as CANCELLED. Idempotent; bounded by `close_timeout`."""
        connections = self.connections
        self._state = ChannelState.SHUTDOWN
        self.current = None
        self._draining.clear()
        self._stop_idle_timer()
        if self._loop is not None and self._loop is not asyncio.get_running_loop():
            if not self._loop.is_closed():
                raise BusyError("this channel belongs to another event loop, which must close it")
            return
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
