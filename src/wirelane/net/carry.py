"""What carries a connection, and the protocols put on it: plain, or with TLS in between.

Contract: whatever fails, cancellation at any await included, the carrier is closed.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from wirelane.net.connect import Dialing
from wirelane.net.options import SocketOptions
from wirelane.net.starttls import check_alpn
from wirelane.net.tls import TlsConfig, client_context, offered_alpn
from wirelane.net.tlslayer import TlsTransport

__all__ = ["Carrier", "SocketCarrier", "plain", "secure"]

P = TypeVar("P", bound=asyncio.Protocol)


class Carrier(Protocol):
    """Something connected that a protocol can be put on, once."""

    async def put(self, protocol: asyncio.Protocol) -> asyncio.Transport:
        """Give it to `protocol`, and return its transport, which owns what is below from then on."""
        ...

    def abort(self) -> None:
        """Close it, unless it was given away."""
        ...


class SocketCarrier:
    """A connected socket."""

    def __init__(self, sock: socket.socket, options: SocketOptions) -> None:
        self._sock = sock
        self._options = options

    async def put(self, protocol: asyncio.Protocol) -> asyncio.Transport:
        # In a task of its own: cancelled in the middle, uvloop closes the transport without telling the protocol, which
        # may have been told that it is connected, and have something to write.
        opening = asyncio.get_running_loop().create_task(self._open(protocol))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_abort)
            await asyncio.wait((opening,))  # a turn of the loop or two: the socket is connected
            raise

    async def _open(self, protocol: asyncio.Protocol) -> asyncio.Transport:
        loop = asyncio.get_running_loop()
        sock = self._sock
        unix = sock.family == socket.AF_UNIX
        create = loop.create_unix_connection if unix else loop.create_connection
        transport, _ = await create(lambda: protocol, sock=sock)
        if transport.is_closing():
            _leave_to(transport, sock)
        elif not self._options.nodelay and not unix:
            try:  # event loops turn Nagle's algorithm off for every connection of theirs
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
            except OSError:
                transport.abort()
                raise
        return transport

    def abort(self) -> None:
        self._sock.close()


def _leave_to(transport: asyncio.BaseTransport, sock: socket.socket) -> None:
    """Have a socket object no longer close the descriptor that a transport closes, or has closed.

    uvloop takes the socket from its object once the connection is made. If it is lost before, which a protocol that
    writes as it is made finds out, the object goes on to hold a number that may be another connection's by now, and
    closes that one when it is collected.
    """
    if not isinstance(transport, asyncio.Transport):  # asyncio's own close it by the object
        sock.detach()


def _abort(opening: asyncio.Task[asyncio.Transport]) -> None:
    """Close what nobody waits for any more."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().abort()


async def plain(factory: Callable[[], P], carrier: Carrier) -> tuple[asyncio.Transport, P]:
    """Put a protocol of `factory` on a carrier."""
    try:
        protocol = factory()
    except BaseException:
        carrier.abort()
        raise
    return await carrier.put(protocol), protocol


async def secure(
    factory: Callable[[], P],
    carrier: Carrier,
    dialing: Dialing,
    *,
    tls: TlsConfig | ssl.SSLContext,
    name: str,
    peer: str,
    alpn: Sequence[str],
    alpn_required: bool,
) -> tuple[asyncio.Transport, P]:
    """Put TLS on a carrier, and on that, when the handshake is done, a protocol of `factory`.

    Raises:
        TlsError: The handshake failed, or no protocol of `alpn` was agreed on and one must be.
        ConnectionLost: The connection broke.
        UsageError: The settings cannot work.
    """
    ready: asyncio.Future[P] = asyncio.get_running_loop().create_future()
    offered = offered_alpn(tls, alpn) if alpn_required else ()

    def on_ready(layer: TlsTransport) -> None:
        check_alpn(layer, offered, peer=peer)
        protocol = factory()
        layer.attach(protocol)
        if not ready.done():
            ready.set_result(protocol)

    def on_failure(exc: Exception) -> None:
        if not ready.done():
            ready.set_exception(exc)

    try:
        layer = TlsTransport(
            client_context(tls, alpn), on_ready=on_ready, on_failure=on_failure, server_name=name, peer=peer
        )
    except BaseException:
        carrier.abort()
        raise
    try:
        await carrier.put(layer.below)
        return layer, await ready
    except BaseException:
        dialing.heard = layer.heard
        if not layer.is_closing():  # a failed handshake is: it has yet to tell the peer why
            layer.abort()
        # A failure that nobody waits for any more is no news.
        if ready.done() and not ready.cancelled():
            ready.exception()
        raise
