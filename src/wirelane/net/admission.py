"""Who may hold a connection: so many in all, and so many of one peer.

The listeners of one server share one `Admission`, so that its numbers are those of the server. It is asked as soon as a
connection was accepted, before anything is made for it, and told when the socket is closed: handshakes count.

A peer is an IPv4 address or an IPv6 network of 64 bits, because whoever has one address in such a network has them
all: the lower half is the interface's to choose (RFC 4291, section 2.5.1), and changes by itself (RFC 8981). Link-local
addresses count one by one, being all of one network. Unix sockets have no peer that could be told apart.
"""

from __future__ import annotations

import socket
from ipaddress import IPv6Address
from typing import Final, Literal

from wirelane.errors import UsageError

__all__ = ["Admission", "Refusal", "peer_of"]

Refusal = Literal["max_connections", "max_connections_per_peer"]
"""The limit for which a connection is refused."""

_NETWORK: Final = 8  # octets


class Admission:
    """A count of connections, with its limits.

    Args:
        max_connections: In all; None: no limit.
        max_connections_per_peer: Of one peer; None: no limit.

    Attributes:
        max_connections, max_connections_per_peer: As given.
        open: How many there are.

    Raises:
        UsageError: A limit is below 1.
    """

    __slots__ = ("_peers", "max_connections", "max_connections_per_peer", "open")

    def __init__(
        self, max_connections: int | None = None, max_connections_per_peer: int | None = None
    ) -> None:
        for name, value in (
            ("max_connections", max_connections),
            ("max_connections_per_peer", max_connections_per_peer),
        ):
            if value is not None and value < 1:
                raise UsageError(f"{name} must be at least 1 or None, not {value!r}")
        self.max_connections = max_connections
        self.max_connections_per_peer = max_connections_per_peer
        self.open = 0
        # Only peers that have a connection, so never more than there are connections.
        self._peers: dict[object, int] = {}

    def peer(self, family: int, name: object) -> object:
        """Return what `enter` and `leave` know a peer by, from what `accept` says; None if nobody counts."""
        return None if self.max_connections_per_peer is None else peer_of(family, name)

    def enter(self, peer: object) -> Refusal | None:
        """Count a connection in; or return the limit that it would exceed."""
        if self.max_connections is not None and self.open >= self.max_connections:
            return "max_connections"
        if peer is not None and self.max_connections_per_peer is not None:
            count = self._peers.get(peer, 0)
            if count >= self.max_connections_per_peer:
                return "max_connections_per_peer"
            self._peers[peer] = count + 1
        self.open += 1
        return None

    def leave(self, peer: object) -> None:
        """Count a connection out that was counted in."""
        self.open -= 1
        if peer is not None:
            left = self._peers[peer] - 1
            if left:
                self._peers[peer] = left
            else:
                del self._peers[peer]

    def __repr__(self) -> str:
        most = "" if self.max_connections is None else f" of {self.max_connections}"
        return f"<Admission {self.open}{most} connections>"


def peer_of(family: int, name: object) -> object:
    """Return who is at an address, as the key of a count; None for a Unix socket.

    Args:
        family: Of the socket that was accepted.
        name: Its address, as `accept` returns it.
    """
    if not isinstance(name, tuple) or not name:
        return None
    host: str = name[0]
    if family != socket.AF_INET6:
        return host
    address = IPv6Address(host)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)  # a socket for both families shows IPv4 clients like this
    return host if address.is_link_local else address.packed[:_NETWORK]
