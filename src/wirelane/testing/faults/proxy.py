"""`FaultProxy`: clients in, connections to the server out, and the faults between them."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from wirelane.core.target import Address, HostPort, UnixPath, first_port, parse_listen, parse_target
from wirelane.errors import ClosedError, UsageError, WirelaneError
from wirelane.net.connect import Dialing, connect
from wirelane.net.options import SocketOptions
from wirelane.testing.faults.blocking import BlockingProxy
from wirelane.testing.faults.kinds import (
    DIRECTIONS,
    Direction,
    Down,
    Fault,
    Refuse,
    Stall,
    check_direction,
)
from wirelane.testing.faults.listener import Listener
from wirelane.testing.faults.plan import strikes
from wirelane.testing.faults.relay import End, Relay

if TYPE_CHECKING:
    from typing import Self

__all__ = ["FaultProxy", "ProxyConnection", "ProxyStats"]

logger = logging.getLogger("wirelane.testing.faults")

_BUFFER = 1024 * 1024  # as Limits.max_send_buffer


@dataclass(frozen=True, slots=True)
class ProxyConnection:
    """A connection through the proxy that is open, as it is now.

    Attributes:
        number: Counted from 1, in the order in which clients came.
        upstream_bytes: What has arrived at the server.
        downstream_bytes: What has arrived at the client.
    """

    number: int
    upstream_bytes: int
    downstream_bytes: int


@dataclass(frozen=True, slots=True)
class ProxyStats:
    """What has gone through a proxy so far.

    Attributes:
        accepted: Clients that came.
        connected: Those that were connected to the server.
        turned_away: Those that were closed at once, by `Down`.
        failed: Those that were reset because the server could not be reached.
        closed: Connections that have ended.
        upstream_bytes: What has arrived at servers.
        downstream_bytes: What has arrived at clients.
    """

    accepted: int = 0
    connected: int = 0
    turned_away: int = 0
    failed: int = 0
    closed: int = 0
    upstream_bytes: int = 0
    downstream_bytes: int = 0


class FaultProxy:
    """A relay in front of a server that does to connections what networks do. Bytes are never changed or reordered.

        async with faults.FaultProxy("127.0.0.1:5432", seed=7, faults=[faults.Latency(0.05)]) as proxy:
            ...  # connect to proxy.address
            proxy.reset()

    It passes on any protocol, TLS included, without looking into it. In tests without asyncio, `with` in place of
    `async with` runs it in a thread of its own and gives a `BlockingProxy`. Methods without `await` act at once, and
    on open connections, too.

    The same seed gives the same connections the same slices, delays and strikes, in the order in which clients come.

    Cancellation: what waits can be cancelled, and changes nothing. Leaving the block ends every connection in order
    and leaves no task, timer or socket.

    Args:
        upstream: The server: "host:port", "unix:/path", or an address such as `listening.address`.
        faults: What happens from the beginning; `add` and `remove` change it later.
        seed: Of all that is drawn at random.
        listen: Where to listen: port 0 takes a free one, "unix:/path" a Unix socket.
        buffer: Bytes that may wait in the proxy, for each direction of a connection; then the sender has to.
        connect_timeout: Seconds for a connection to the server.

    Raises:
        UsageError: An argument makes no sense.
    """

    def __init__(
        self,
        upstream: str | Address,
        *,
        faults: Iterable[Fault] = (),
        seed: int | str = 0,
        listen: str = "127.0.0.1:0",
        buffer: int = _BUFFER,
        connect_timeout: float = 10.0,
    ) -> None:
        if isinstance(buffer, bool) or not isinstance(buffer, int) or buffer < 1:
            raise UsageError(f"buffer is a whole number of bytes above 0, not {buffer!r}")
        if not connect_timeout > 0:
            raise UsageError(f"connect_timeout is a number of seconds above 0, not {connect_timeout!r}")
        self._upstream = _upstream(upstream)
        self._seed = seed
        self._buffer = buffer
        self._connect_timeout = connect_timeout
        self._listener = Listener(parse_listen(listen), self._accept)
        self._faults: dict[int, Fault] = {}
        self._fault_number = 0
        self._relays: dict[int, Relay] = {}
        self._joining: set[asyncio.Task[None]] = set()
        self._waiters: set[asyncio.Future[None]] = set()
        self._count = {"accepted": 0, "connected": 0, "turned_away": 0, "failed": 0, "closed": 0}
        self._passed: dict[Direction, int] = dict.fromkeys(DIRECTIONS, 0)
        self._state: Literal["new", "open", "closed"] = "new"
        self._blocking: BlockingProxy | None = None
        for fault in faults:
            self.add(fault)

    # -- what it is

    @property
    def address(self) -> str:
        """Where clients connect to: "127.0.0.1:41234" or "unix:/path"."""
        if self._state == "new":
            raise UsageError("the proxy listens from when it is entered: async with FaultProxy(...) as proxy")
        return str(self._listener.address)

    @property
    def port(self) -> int:
        """The port of `address`. Raises UsageError for a Unix socket."""
        return first_port([parse_listen(self.address)])

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What happens now, in the order in which it was added."""
        return tuple(self._faults.values())

    @property
    def connections(self) -> tuple[ProxyConnection, ...]:
        """The connections that are open."""
        return tuple(
            ProxyConnection(number, relay.passed("upstream"), relay.passed("downstream"))
            for number, relay in self._relays.items()
        )

    @property
    def stats(self) -> ProxyStats:
        """What has gone through so far."""
        return ProxyStats(
            **self._count,
            upstream_bytes=self._passed["upstream"],
            downstream_bytes=self._passed["downstream"],
        )

    # -- faults

    def add(self, fault: Fault) -> Fault:
        """Let a fault act from now on, on open connections as well. Bytes and seconds count from now for these.

        Returns:
            The fault, for `remove`.
        """
        if not isinstance(fault, Fault):
            raise UsageError(f"a fault is one of those in wirelane.testing.faults, not {fault!r}")
        if type(fault) is Fault:
            raise UsageError("Fault is what all faults have in common; add one of the others")
        self._fault_number += 1
        self._faults[self._fault_number] = fault
        for relay in tuple(self._relays.values()):
            relay.arm(self._fault_number, fault)
            relay.run()
        self._refuse_or_not()
        return fault

    def remove(self, fault: Fault) -> None:
        """Let a fault act no more: what it held back goes on. What it has ended stays ended.

        Raises:
            UsageError: It is not there.
        """
        for number, each in self._faults.items():
            if each == fault:
                self._remove([number])
                return
        raise UsageError(f"{fault!r} is not among the faults: {list(self.faults)}")

    def clear(self) -> None:
        """Remove all faults."""
        self._remove(list(self._faults))

    def _remove(self, numbers: list[int]) -> None:
        for number in numbers:
            del self._faults[number]
        for relay in tuple(self._relays.values()):
            for number in numbers:
                relay.disarm(number)
            relay.run()
        self._refuse_or_not()

    def _remove_all(self, *kinds: type[Fault]) -> None:
        self._remove([number for number, fault in self._faults.items() if isinstance(fault, kinds)])

    def stall(self, direction: Direction | Literal["both"] = "both") -> None:
        """Let nothing pass: adds `Stall`."""
        self.add(Stall(direction=direction))

    def resume(self) -> None:
        """Let pass what stalls: removes every `Stall`."""
        self._remove_all(Stall)

    def down(self) -> None:
        """Be as a server that has gone: new connections are refused (adds `Refuse`), open ones are cut."""
        self.add(Refuse())
        for task in self._joining:
            task.cancel()
        self.cut()

    def up(self) -> None:
        """Take connections again: removes every `Refuse` and `Down`."""
        self._remove_all(Refuse, Down)

    def cut(self, number: int | None = None) -> int:
        """End connections in order, now: both ends see FIN. What waits in the proxy is dropped.

        Args:
            number: Only this connection.

        Returns:
            How many were open.
        """
        return self._end(number, reset=False)

    def reset(self, number: int | None = None) -> int:
        """Reset connections now: both ends see RST. As `cut` otherwise."""
        return self._end(number, reset=True)

    def _end(self, number: int | None, *, reset: bool) -> int:
        relays = [relay for relay in self._relays.values() if number in (None, relay.number)]
        for relay in relays:
            relay.close(reset=reset)
        return len(relays)

    def _refuse_or_not(self) -> None:
        if self._state == "open":
            self._listener.refuse(self._refuses())

    def _refuses(self) -> bool:
        return any(isinstance(fault, Refuse) and fault.toxicity for fault in self._faults.values())

    # -- waiting

    async def connected(self, count: int = 1) -> None:
        """Wait until so many connections to the server were made, in all.

        Raises:
            ClosedError: The proxy was closed first.
        """
        await self._until(lambda: self._count["connected"] >= count)

    async def closed(self, count: int = 1) -> None:
        """Wait until so many connections have ended, in all. Raises as `connected`."""
        await self._until(lambda: self._count["closed"] >= count)

    async def passed(self, count: int, direction: Direction = "downstream") -> None:
        """Wait until so many bytes have gone on to their receiver, on all connections in all. Raises as `connected`."""
        check_direction(direction)
        await self._until(lambda: self._passed[direction] >= count)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            if self._state == "closed":
                raise ClosedError("the fault proxy was closed")
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _counted(self, name: str) -> None:
        self._count[name] += 1
        self._wake()

    # -- connections

    def _accept(self, client: socket.socket) -> None:
        self._counted("accepted")
        number = self._count["accepted"]
        down = self._down_for(number)
        if down is not None:
            End(client).close(reset=down.reset)
            self._counted("turned_away")
            return
        task = asyncio.get_running_loop().create_task(self._join(number, client))
        self._joining.add(task)

        def joined(task: asyncio.Task[None]) -> None:
            self._joining.discard(task)
            if task.cancelled():  # perhaps before it ran
                End(client).close(reset=True)

        task.add_done_callback(joined)

    def _down_for(self, number: int) -> Down | None:
        for fault_number, fault in self._faults.items():
            if isinstance(fault, Down) and strikes(fault, f"{self._seed}/{number}/{fault_number}"):
                return fault
        return None

    async def _join(self, number: int, client: socket.socket) -> None:
        """Connect a client to the server."""
        try:
            SocketOptions().apply(client)
            async with asyncio.timeout(self._connect_timeout):
                server = await connect(Dialing(self._upstream))
        except (WirelaneError, OSError) as error:
            End(client).close(reset=True)
            logger.warning(
                "connection %d is reset, the server cannot be reached: %s",
                number,
                str(error) or "no answer in time",
            )
            self._counted("failed")
        else:
            self._start(number, client, server)

    def _start(self, number: int, client: socket.socket, server: socket.socket) -> None:
        relay = Relay(
            number,
            client,
            server,
            seed=self._seed,
            buffer=self._buffer,
            on_passed=self._on_passed,
            on_closed=self._on_closed,
        )
        self._relays[number] = relay
        for fault_number, fault in self._faults.items():
            relay.arm(fault_number, fault)
        self._counted("connected")
        relay.run()

    def _on_passed(self, direction: Direction, count: int) -> None:
        self._passed[direction] += count
        self._wake()

    def _on_closed(self, relay: Relay) -> None:
        del self._relays[relay.number]
        self._counted("closed")

    # -- with

    async def __aenter__(self) -> Self:
        if self._state != "new":
            raise UsageError(f"{self!r} was entered before; a fault proxy is good for one time")
        self._state = "open"
        try:
            await self._listener.open(refusing=self._refuses())
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop listening and end every connection in order. Idempotent; cancelled, it has done so all the same."""
        self._state = "closed"
        self._listener.close()
        self.cut()
        self._wake()
        joining = set(self._joining)
        for task in joining:
            task.cancel()
        if joining:
            await asyncio.wait(joining)

    def __enter__(self) -> BlockingProxy:
        if self._state != "new" or self._blocking is not None:
            raise UsageError(f"{self!r} was entered before; a fault proxy is good for one time")
        self._blocking = BlockingProxy(self)
        self._blocking.start()
        return self._blocking

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._blocking is not None:
            self._blocking.close()

    def __repr__(self) -> str:
        where = self._listener.address if self._state == "open" else self._state
        faults, connections = len(self._faults), len(self._relays)
        return (
            f"<FaultProxy {where} -> {self._upstream} seed={self._seed!r} {faults} fault{_s(faults)}, "
            f"{connections} connection{_s(connections)}>"
        )


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def _upstream(upstream: str | Address) -> Address:
    if isinstance(upstream, HostPort | UnixPath):
        return upstream
    target = parse_target(upstream, kind="tcp")
    if target.tls:
        raise UsageError(
            f"{upstream}: the proxy passes TLS on as it is; leave tls:// to the client that connects to it"
        )
    return target.addresses[0]
