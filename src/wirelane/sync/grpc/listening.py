"""A server that listens.

Made of `wirelane.grpc.server.lifecycle` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from wirelane.core.target import Address
from wirelane.grpc.server.lifecycle import Listening as AsyncListening
from wirelane.grpc.server.lifecycle import ServerState
from wirelane.grpc.server.stats import ServerStats
from wirelane.sync._blocks import Entering, leave
from wirelane.sync._facade import facade_of, wrap
from wirelane.sync._portal import call, run
from wirelane.sync._serving import ListeningFacade

__all__ = ["Listening"]


@facade_of(AsyncListening)
class Listening(ListeningFacade):
    """A server that listens: `with server.listen(address) as listening`, or `drain` it later.

    Leaving the block drains; leaving it with an exception ends the calls in flight at once.
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
        """How many connections are open."""
        return self._inner.connections

    @property
    def stats(self) -> ServerStats:
        """Counts since it listens."""
        return self._inner.stats

    def start(self) -> Listening:
        """Open the listening sockets, all or none.

        Raises:
            OSError: An address cannot be listened at.
            TlsError: The certificates cannot be loaded.
            SchemaError: The schema of the server does not compile.
            ClosedError: It was drained or aborted meanwhile.
            UsageError: Started before.
        """
        made: Listening = wrap(run(self._inner.start))
        return made

    def drain(self, grace: float | None = None) -> None:
        """Stop in order: no new connections, GOAWAY, calls in flight may finish for `grace` seconds, then they end.

        Several threads may drain at once; the shortest grace counts. Interrupted, everything is aborted.

        Raises:
            UsageError: A handler calls it, and would be waited for; let another thread call it there.
        """
        self._drain(grace)

    def abort(self) -> None:
        """Stop now: no new connections, every connection is cut, every handler is cancelled."""
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
