"""Connecting: name -> addresses -> the first that answers -> TLS -> protocol, under one deadline.

Whatever happens, cancellation at any await included, no socket is left.
"""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from wirelane.core.target import Address, HostPort
from wirelane.errors import TlsError, UsageError, WirelaneError
from wirelane.net.connect import Dialing, connect
from wirelane.net.starttls import check_alpn
from wirelane.net.tls import TlsConfig, client_context, offered_alpn
from wirelane.net.tlserrors import is_wrong_name, wrong_name
from wirelane.net.tlslayer import TlsTransport

__all__ = ["dial"]

_PROBE_TIMEOUT = 2.0
"""Seconds spent on finding out for which names a refused certificate is."""

P = TypeVar("P", bound=asyncio.Protocol)


async def dial(
    factory: Callable[[], P],
    address: Address,
    *,
    tls: TlsConfig | ssl.SSLContext | None = None,
    server_name: str | None = None,
    alpn: Sequence[str] = (),
    alpn_required: bool = True,
    connect_timeout: float | None = 10.0,
    user_timeout: float | None = None,
) -> tuple[asyncio.Transport, P]:
    """Connect, and return the transport and the protocol that `factory` made for it.

    Args:
        factory: Called once, when the connection is there and its TLS handshake is done.
        address: A host and port, or the path of a Unix socket.
        tls: None for plaintext. A user's context gets `alpn` set on it (see `wirelane.net.tls`).
        server_name: The name to ask for and to check where `tls` has none; None: the host ("localhost" for a Unix
            socket, as gRPC has it).
        alpn: The protocols to offer, first choice first.
        alpn_required: Fail if the server takes none of them; otherwise ask the transport for its "alpn".
        connect_timeout: Seconds for everything: resolving, connecting, handshake. None: no limit.
        user_timeout: Seconds that what was sent on TCP may stay unacknowledged; None: what the system allows.

    Raises:
        ResolveError: The name has no address.
        ConnectError: No address answered, or not in time: then the message says what took so long. `attempts`
            holds every address that was tried.
        TlsError: The handshake failed, the certificate was refused, or the peer does not speak TLS.
        UsageError: The settings cannot work.

    Cancel-safe: a cancelled dial closes what it opened.
    """
    if connect_timeout is not None and not (connect_timeout > 0 and math.isfinite(connect_timeout)):
        raise UsageError(
            f"connect_timeout must be a positive number of seconds or None, not {connect_timeout!r}"
        )
    dialing = Dialing(address, user_timeout)
    limit = asyncio.timeout(connect_timeout)
    try:
        async with limit:
            sock = await connect(dialing)
            if tls is None:
                return await _plain(factory, sock)
            dialing.step = "TLS handshake"
            name = _server_name(address, tls, server_name)
            try:
                return await _secure(
                    factory, sock, dialing, tls=tls, name=name, alpn=alpn, alpn_required=alpn_required
                )
            except TlsError as exc:
                if not is_wrong_name(exc.__cause__) or not isinstance(tls, TlsConfig):
                    raise
                raise await _with_names(exc, dialing, tls, name, limit.when()) from exc.__cause__
    except TimeoutError as exc:
        if connect_timeout is None or not limit.expired():
            raise  # the factory's own
        raise dialing.timed_out(connect_timeout) from exc


async def _open(protocol: asyncio.Protocol, sock: socket.socket) -> asyncio.Transport:
    """Put a transport on a connected socket, which it owns from then on."""
    loop = asyncio.get_running_loop()
    if sock.family == socket.AF_UNIX:
        making = loop.create_unix_connection(lambda: protocol, sock=sock)
    else:
        making = loop.create_connection(lambda: protocol, sock=sock)
    # In a task of its own: cancelled in the middle, uvloop closes the transport without telling the protocol, which
    # may have been told that it is connected, and have something to write.
    opening = loop.create_task(making)
    try:
        transport, _ = await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_abort)
        await asyncio.wait((opening,))  # a turn of the loop or two: the socket is connected
        raise
    return transport


def _abort(opening: asyncio.Task[tuple[asyncio.Transport, asyncio.Protocol]]) -> None:
    """Close what nobody waits for any more."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result()[0].abort()


async def _plain(factory: Callable[[], P], sock: socket.socket) -> tuple[asyncio.Transport, P]:
    try:
        protocol = factory()
    except BaseException:
        sock.close()
        raise
    return await _open(protocol, sock), protocol


async def _secure(
    factory: Callable[[], P],
    sock: socket.socket,
    dialing: Dialing,
    *,
    tls: TlsConfig | ssl.SSLContext,
    name: str,
    alpn: Sequence[str],
    alpn_required: bool,
) -> tuple[asyncio.Transport, P]:
    ready: asyncio.Future[P] = asyncio.get_running_loop().create_future()
    offered = offered_alpn(tls, alpn) if alpn_required else ()

    def on_ready(layer: TlsTransport) -> None:
        check_alpn(layer, offered, peer=str(dialing.address))
        protocol = factory()
        layer.attach(protocol)
        if not ready.done():
            ready.set_result(protocol)

    def on_failure(exc: Exception) -> None:
        if not ready.done():
            ready.set_exception(exc)

    try:
        layer = TlsTransport(
            client_context(tls, alpn),
            on_ready=on_ready,
            on_failure=on_failure,
            server_name=name,
            peer=str(dialing.address),
        )
    except BaseException:
        sock.close()
        raise
    try:
        await _open(layer.below, sock)
        return layer, await ready
    except BaseException:
        dialing.heard = layer.heard
        if not layer.is_closing():  # a failed handshake is: it has yet to tell the peer why
            layer.abort()
        # A failure that nobody waits for any more is no news.
        if ready.done() and not ready.cancelled():
            ready.exception()
        raise


async def _with_names(
    exc: TlsError, dialing: Dialing, tls: TlsConfig, name: str, deadline: float | None
) -> TlsError:
    """Return `exc` with the names that the certificate is for.

    OpenSSL drops a certificate that it refuses, and TLS 1.3 hides it. So the server is asked once more, with the
    name left unchecked and all else as before; no client certificate is shown, and nothing is sent.
    """
    endpoint = dialing.connected
    if endpoint is None:
        return exc
    budget = _PROBE_TIMEOUT
    if deadline is not None:
        budget = min(budget, (deadline - asyncio.get_running_loop().time()) / 2)
    if budget <= 0:
        return exc
    context = replace(tls, cert=None, key=None, key_password=None).client_context()
    context.check_hostname = False
    try:
        transport, _ = await dial(
            asyncio.Protocol, endpoint.target, tls=context, server_name=name, connect_timeout=budget
        )
    except WirelaneError:
        return exc
    names = [value for _, value in transport.get_extra_info("peercert").get("subjectAltName", ())]
    transport.abort()
    return wrong_name(who=f"the server at {dialing.address}", name=name, presented=names)


def _server_name(address: Address, tls: TlsConfig | ssl.SSLContext, server_name: str | None) -> str:
    own = tls.server_name if isinstance(tls, TlsConfig) else None
    return own or server_name or (address.host if isinstance(address, HostPort) else "localhost")
