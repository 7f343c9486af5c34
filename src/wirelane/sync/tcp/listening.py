"""A server that listens.

Made of `wirelane.tcp.listening` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from wirelane.core.target import Address
from wirelane.sync._blocks import Entering, leave
from wirelane.sync._facade import facade_of, wrap
from wirelane.sync._portal import call, run
from wirelane.sync._serving import ListeningFacade
from wirelane.sync.tcp.connection import Connection
from wirelane.tcp.listening import Listening as AsyncListening
from wirelane.tcp.listening import ServerState, ServerStats

__all__ = ["Listening"]


@facade_of(AsyncListening)
class Listening(ListeningFacade):
    """A server that listens: `with server.listen(address) as listening`, or `drain` it later.

    Leaving the block drains; leaving it with an exception ends the handlers at once.
    """

    __slots__ = ()

    @property
    def state(self) -> ServerState:
        """Whether it serves, drains, or is closed."""
        return self._inner.state

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The addresses, with the ports that the system chose."""
        return self._inner.addresses

    @property
    def address(self) -> Address:
        """The first address."""
        return self._inner.address

    @property
    def port(self) -> int:
        """The port of the first address that has one. Raises UsageError if none has (Unix sockets only)."""
        return self._inner.port

    @property
    def connections(self) -> int:
        """How many connections are open: their handler runs."""
        return self._inner.connections

    @property
    def clients(self) -> tuple[Connection, ...]:
        """The connections that are open, the oldest first; a snapshot. Whoever closes one ends it for its handler."""
        return wrap(self._inner.clients)

    @property
    def stats(self) -> ServerStats:
        """Counts since it listens."""
        return self._inner.stats

    def start(self) -> Self:
        """Open the listening sockets, all or none.

        Raises:
            ConnectError: An address cannot be listened at.
            ResolveError: A name has no address.
            UsageError: Started before, or TLS settings without a certificate.
        """
        return run(self._inner.start)

    def drain(self, grace: float | None = None) -> None:
        """Accept no more, let handlers finish for `grace` seconds, then cancel them and close.

        Clients that have connected and were not accepted yet, or whose handshake is not over, are served like those
        that have a handler. Handlers learn of it by `connection.draining` and `connection.more()`; one that waits for a
        silent client otherwise uses the grace up. Called by a handler, it does not wait for that one. Interrupted, everything is aborted.
        """
        run(self._inner.drain, grace)

    def abort(self) -> None:
        """Stop now: accept no more, cut every connection, cancel every handler."""
        call(self._inner.abort)

    def __enter__(self) -> Self:
        entering = Entering(self._inner)
        try:
            entering.enter()
            return self
        except BaseException:
            entering.undo()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        leave(self._inner, kind, error, traceback)
