"""A listener with the connections that it accepted, and what their clients were refused."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from wirelane.core.sampling import Sampler

if TYPE_CHECKING:
    from wirelane.core.limits import Limits
    from wirelane.core.target import Address
    from wirelane.net.listen import Listening
    from wirelane.transport.server import H2ServerConnection

__all__ = ["Serving"]


class Serving:
    """A listener and the connections that it accepted.

    Attributes:
        connections: Those that are not closed.
        log_sampler: Says which refusals are logged.
    """

    def __init__(self, limits: Limits) -> None:
        self.connections: set[H2ServerConnection] = set()
        self.log_sampler = Sampler(limits.log_burst)
        self._listening: Listening | None = None
        self._draining = False
        # Of connections that are closed.
        self._refusals: Counter[str] = Counter()
        self._resets = 0

    @property
    def listening(self) -> Listening:
        assert self._listening is not None, "made by serve()"
        return self._listening

    @property
    def port(self) -> int:
        return self.listening.port

    @property
    def address(self) -> Address:
        return self.listening.address

    @property
    def refusals(self) -> Counter[str]:
        """What clients were refused so far, by kind; `Conduct.refusals` and docs/security.md name the kinds."""
        total = self._refusals.copy()
        for connection in self.connections:
            total += connection.engine.conduct.refusals
        if self._listening is not None:
            refused = self._listening.refusals
            total += Counter(
                rejected=refused["max_connections"],
                rejected_peers=refused["max_connections_per_peer"],
                handshakes=self._listening.failed_handshakes,
            )
        return total

    @property
    def resets(self) -> int:
        """Calls that clients reset before their deadline so far."""
        return self._resets + sum(connection.engine.conduct.resets for connection in self.connections)

    def opened(self, connection: H2ServerConnection) -> None:
        """Take a connection into the books; one that was on its way when the drain began takes part in it."""
        self.connections.add(connection)
        if self._draining:
            connection.drain()

    def closed(self, connection: H2ServerConnection) -> None:
        """Keep the counts of a connection that is gone."""
        self.connections.discard(connection)
        self._refusals += connection.engine.conduct.refusals
        self._resets += connection.engine.conduct.resets

    def close(self) -> None:
        """Stop accepting, and cut the handshakes that are not over; connections go on."""
        self.listening.close()

    def drain(self, *, final: bool = False) -> None:
        """Stop accepting, and drain every connection, those included whose handshake is not over.

        Args:
            final: As in `ServerConnection.drain`; handshakes that are not over are cut now.
        """
        self._draining = True
        self.listening.close(finish=not final)
        for connection in tuple(self.connections):
            connection.drain(final=final)

    async def wait_closed(self) -> None:
        """Wait until the listener is closed and every connection is. Cancel-safe."""
        await self.listening.wait_closed()
        while self.connections:
            await next(iter(self.connections)).wait_closed()
