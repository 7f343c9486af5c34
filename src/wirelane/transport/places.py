"""Places for calls: the queue in front of connections whose server takes no more calls at once.

A connection has as many places as the peer's MAX_CONCURRENT_STREAMS (RFC 9113 section 5.1.2). Connections to one server
may share a queue: the call that waits longest gets the first place that is free on any of them. A place is reserved from
when it is given to when the call opens its stream; what changes meanwhile (a lower limit, a lost connection) takes it
back, and the call is again where it stood in the queue.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING

from wirelane.transport.base import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from wirelane.transport.base import ClientConnection

__all__ = ["CallQueue"]


class _Ticket:
    """A waiting call. It has a place while `connection` is set, and is told by its future to look."""

    __slots__ = ("connection", "future")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.connection: ClientConnection | None = None
        self.future: asyncio.Future[None] = loop.create_future()


class CallQueue:
    """The calls that wait for a place, first come first served, and the connections that have places.

    Args:
        on_wait: Called when a call has to wait, and when calls wait and a connection went away.
        on_place: Called with the connection that has a place when the one that was asked has none.

    Attributes:
        connections: Those that take calls, oldest first.
        waiting: Calls that have no place, in order; read by connections on the path of every call.
    """

    def __init__(
        self,
        *,
        on_wait: Callable[[], None] | None = None,
        on_place: Callable[[ClientConnection], None] | None = None,
    ) -> None:
        self.connections: list[ClientConnection] = []
        self.waiting: OrderedDict[_Ticket, None] = OrderedDict()
        self._given: OrderedDict[_Ticket, None] = OrderedDict()
        self._on_wait = on_wait
        self._on_place = on_place

    def add(self, connection: ClientConnection) -> None:
        """Give the places of this connection too."""
        connection.queue = self
        self.connections.append(connection)
        self.grant()

    def remove(self, connection: ClientConnection) -> None:
        """This connection takes no more calls. If none is left, those who wait get Unavailable. Idempotent."""
        if connection not in self.connections:
            return
        self.connections.remove(connection)
        self._take_back(connection)
        if self.connections:
            self.grant()
            if self.waiting and self._on_wait is not None:
                self._on_wait()
            return
        waiting = list(self.waiting)
        self.waiting.clear()
        for ticket in waiting:
            _tell(ticket)

    def limit_changed(self, connection: ClientConnection) -> None:
        """Give the places of a connection anew: its peer said how many there are."""
        if self._given:
            self._take_back(connection)
        if self.waiting:
            self.grant()

    async def place(self) -> ClientConnection:
        """Wait for a place and return its connection, on which the caller opens its stream before anything else.

        Afterwards the caller calls `grant` if others wait. Cancelled, it gives the place to the next.

        Raises:
            Unavailable: There is no connection, or no more.
        """
        if not self.waiting:
            for connection in self.connections:
                if connection.room:
                    if self._on_place is not None:
                        self._on_place(connection)
                    return connection
        if not self.connections:
            raise Unavailable("the connection takes no more calls")
        ticket = _Ticket(asyncio.get_running_loop())
        self.waiting[ticket] = None
        if self._on_wait is not None:
            self._on_wait()
        try:
            return await self._wait(ticket)
        except asyncio.CancelledError:
            self.waiting.pop(ticket, None)
            if ticket in self._given:
                self._redeem(ticket)
                self.grant()
            raise

    async def _wait(self, ticket: _Ticket) -> ClientConnection:
        while True:
            await ticket.future
            if ticket.connection is not None:
                return self._redeem(ticket)
            if ticket not in self.waiting:
                raise Unavailable("the connection takes no more calls")
            # The place was taken back before this task ran.
            ticket.future = ticket.future.get_loop().create_future()

    def grant(self) -> None:
        """Give free places to those who wait longest."""
        for connection in self.connections:
            while self.waiting and connection.room:
                ticket, _ = self.waiting.popitem(last=False)
                ticket.connection = connection
                connection.reserved += 1
                self._given[ticket] = None
                _tell(ticket)

    def _redeem(self, ticket: _Ticket) -> ClientConnection:
        """The call opens its stream now, or leaves."""
        del self._given[ticket]
        connection = ticket.connection
        assert connection is not None
        connection.reserved -= 1
        return connection

    def _take_back(self, connection: ClientConnection) -> None:
        """Put calls that were given a place on this connection in front of the queue again, in their order."""
        for ticket in reversed([ticket for ticket in self._given if ticket.connection is connection]):
            self._redeem(ticket)
            ticket.connection = None
            self.waiting[ticket] = None
            self.waiting.move_to_end(ticket, last=False)


def _tell(ticket: _Ticket) -> None:
    if not ticket.future.done():
        ticket.future.set_result(None)
