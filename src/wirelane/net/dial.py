"""Connecting: name -> addresses -> the first that answers -> proxies -> TLS -> protocol, under one deadline.

Whatever happens, cancellation at any await included, no socket is left.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from wirelane.core.target import Address, HostPort
from wirelane.errors import TlsError, UsageError, WirelaneError
from wirelane.net.carry import Carrier, SocketCarrier, plain, secure
from wirelane.net.connect import Dialing, connect
from wirelane.net.options import SocketOptions
from wirelane.net.proxy import ProxyConfig, open_through
from wirelane.net.tls import TlsConfig
from wirelane.net.tlserrors import is_wrong_name, wrong_name

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
    options: SocketOptions | None = None,
    proxies: Sequence[ProxyConfig] = (),
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
        connect_timeout: Seconds for everything: resolving, connecting, proxies, handshake. None: no limit.
        options: Of the socket.
        proxies: To go through, the first to connect to first. Empty: the connection is direct.

    Raises:
        ResolveError: The name has no address.
        ConnectError: No address answered, or not in time: then the message says what took so long. `attempts`
            holds every address that was tried.
        ProxyError: A proxy could not be reached, refused or is none; or it took too long.
        TlsError: The handshake failed, the certificate was refused, or the peer does not speak TLS.
        UsageError: The settings cannot work.

    Cancel-safe: a cancelled dial closes what it opened.
    """
    if connect_timeout is not None and not (connect_timeout > 0 and math.isfinite(connect_timeout)):
        raise UsageError(
            f"connect_timeout must be a positive number of seconds or None, not {connect_timeout!r}"
        )
    dialing = Dialing(address, options or SocketOptions())
    limit = asyncio.timeout(connect_timeout)
    try:
        async with limit:
            carrier = await _reach(address, dialing, proxies)
            if tls is None:
                return await plain(factory, carrier)
            dialing.step = "TLS handshake"
            name = _server_name(address, tls, server_name)
            try:
                return await secure(
                    factory,
                    carrier,
                    dialing,
                    tls=tls,
                    name=name,
                    peer=str(address),
                    alpn=alpn,
                    alpn_required=alpn_required,
                )
            except TlsError as exc:
                if not is_wrong_name(exc.__cause__) or not isinstance(tls, TlsConfig):
                    raise
                raise await _with_names(exc, dialing, tls, name, limit.when(), proxies) from exc.__cause__
    except TimeoutError as exc:
        if connect_timeout is None or not limit.expired():
            raise  # the factory's own
        raise dialing.timed_out(connect_timeout) from exc


async def _reach(address: Address, dialing: Dialing, proxies: Sequence[ProxyConfig]) -> Carrier:
    if proxies:
        return await open_through(proxies, address, dialing)
    return SocketCarrier(await connect(dialing), dialing.options)


async def _with_names(
    exc: TlsError,
    dialing: Dialing,
    tls: TlsConfig,
    name: str,
    deadline: float | None,
    proxies: Sequence[ProxyConfig],
) -> TlsError:
    """Return `exc` with the names that the certificate is for.

    OpenSSL drops a certificate that it refuses, and TLS 1.3 hides it. So the server is asked once more, with the
    name left unchecked and all else as before; no client certificate is shown, and nothing is sent.
    """
    # Behind a proxy the address as it is; else the one of its addresses that gave the certificate.
    address = dialing.address if dialing.connected is None else dialing.connected.target
    budget = _PROBE_TIMEOUT
    if deadline is not None:
        budget = min(budget, (deadline - asyncio.get_running_loop().time()) / 2)
    if budget <= 0:
        return exc
    context = replace(tls, cert=None, key=None, key_password=None).client_context()
    context.check_hostname = False
    try:
        transport, _ = await dial(
            asyncio.Protocol,
            address,
            tls=context,
            server_name=name,
            connect_timeout=budget,
            options=dialing.options,
            proxies=proxies,
        )
    except WirelaneError:
        return exc
    names = [value for _, value in transport.get_extra_info("peercert").get("subjectAltName", ())]
    transport.abort()
    return wrong_name(who=f"the server at {dialing.address}", name=name, presented=names)


def _server_name(address: Address, tls: TlsConfig | ssl.SSLContext, server_name: str | None) -> str:
    own = tls.server_name if isinstance(tls, TlsConfig) else None
    return own or server_name or (address.host if isinstance(address, HostPort) else "localhost")
