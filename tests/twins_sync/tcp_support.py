"""Connections to plain peers, and servers.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from support.net_support import descriptors
from support.tcp_support import one_guest
from support.twins_sync_support import elsewhere, until
from wirelane.sync import BusyError, Limits, tcp

if TYPE_CHECKING:
    from collections.abc import Callable


@contextmanager
def pair(
    *, server_tls: ssl.SSLContext | None = None, limits: Limits | None = None, **options: Any
) -> Iterator[tuple[tcp.Connection, Any]]:
    """Connect to a plain server; gives our end and the other, a `support.tcp_support.Peer` elsewhere."""
    with elsewhere(one_guest, server_tls) as (address, guest):
        with tcp.connect(address, limits=limits, **options) as connection:
            yield connection, guest.arrived()


@contextmanager
def served(handler: Callable[[tcp.Connection], None], **options: Any) -> Iterator[tuple[tcp.Listening, str]]:
    """Run a `tcp.Server`; gives what listens, and its address."""
    listen_at = options.pop("listen_at", "127.0.0.1:0")
    with tcp.Server(handler, **options).listen(listen_at) as listening:
        yield listening, str(listening.address)


def sockets() -> int:
    """How many sockets this process has open, with those of what the first call of the library starts."""
    tcp.Pool("localhost:1").close()
    return descriptors()


def came(connection: tcp.Connection, size: int) -> None:
    """Wait until so many bytes are buffered."""
    until(lambda: connection.buffered == size)


def one_by_one(connection: tcp.Connection, peer: Any, *pieces: bytes) -> None:
    """Have the peer send pieces, each when the one before has arrived; the last one alone may end a read."""
    for piece in pieces[:-1]:
        size = connection.buffered + len(piece)
        peer.say(piece)
        came(connection, size)
    peer.say(pieces[-1])


def reads(connection: tcp.Connection) -> None:
    """Wait until a read waits for something to come."""

    def busy() -> bool:
        with suppress(BusyError):
            connection.unread(b"")
            return False
        return True

    until(busy)
