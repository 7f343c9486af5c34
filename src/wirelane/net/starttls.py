"""From plaintext to TLS on a connection that runs already: STARTTLS, and TLS through a proxy's tunnel."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence

from wirelane.errors import ClosedError, TlsError
from wirelane.net.tap import tap_of
from wirelane.net.tls import TlsConfig, client_context, offered_alpn, server_context
from wirelane.net.tlslayer import TlsTransport, address_text

__all__ = ["check_alpn", "start_tls"]


def check_alpn(transport: TlsTransport, offered: Sequence[str], *, peer: str) -> None:
    """Raise TlsError if protocols were offered and the server took none of them."""
    chosen = transport.get_extra_info("alpn")
    if not offered or chosen in offered:
        return
    wanted = " or ".join(offered)
    text = f"the server at {peer} did not agree to {wanted} (ALPN)"
    text += f"; it chose {chosen!r}" if chosen else "; it does not take part in the negotiation"
    hint = "h2 is what gRPC needs: is this the gRPC port?" if "h2" in offered else None
    raise TlsError(text, host=peer, step="ALPN", hint=hint)


async def start_tls(
    transport: asyncio.Transport,
    protocol: asyncio.Protocol,
    tls: TlsConfig | ssl.SSLContext,
    *,
    server_side: bool = False,
    server_name: str | None = None,
    peer: str | None = None,
    alpn: Sequence[str] = (),
    alpn_required: bool = True,
    timeout: float | None = 10.0,
    received: bytes = b"",
) -> asyncio.Transport:
    """Go on in TLS on a connection that runs already, and return the transport to use from now on.

    `protocol` gets no second `connection_made`; its first decrypted data come in a later turn of the loop, when
    the caller has its transport (await this in place, not through a task). What it received before was plaintext,
    and anybody may have put it there: a caller must have consumed exactly the answer that agreed to TLS, and give
    what is left as `received`, or refuse to start.

    Args:
        protocol: Who has read from `transport` so far, and will read from what is returned.
        tls: Settings; a user's own context gets `alpn` set on it.
        server_side: This end is the server.
        alpn: The protocols to offer or to agree to, first choice first.
        transport: Any; TLS inside TLS works. After a failure or a cancellation it is closed, and the protocol gets
            `connection_lost`.
        server_name: The name to ask for and check where `tls` has none; None: the address of the peer.
        peer: The other end, for messages; None: its address, which behind a proxy is the proxy's.
        alpn_required: Fail if the server takes none of `alpn`.
        timeout: Seconds for the handshake; None: no limit.
        received: What came already after the agreement: the beginning of the peer's handshake, if it is honest.

    Raises:
        TlsError: The handshake failed, or was not over in time.
        ClosedError: The transport is closed.
        UsageError: The settings cannot work.
    """
    tap = tap_of(transport)
    if tap is not None:  # it stays above TLS
        transport, protocol = tap.wire, tap
    if transport.is_closing():
        raise ClosedError("cannot start TLS: the connection is closed")
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    peer = peer or address_text(transport.get_extra_info("peername"))
    name = (tls.server_name if isinstance(tls, TlsConfig) else None) or server_name or _host(transport)
    offered = offered_alpn(tls, alpn)

    def on_ready(layer: TlsTransport) -> None:
        if alpn_required and not server_side:
            check_alpn(layer, offered, peer=peer)
        if not ready.done():
            ready.set_result(None)

    def on_failure(exc: Exception) -> None:
        if not ready.done():
            ready.set_exception(exc)

    layer = TlsTransport(
        server_context(tls, alpn) if server_side else client_context(tls, alpn),
        on_ready=on_ready,
        on_failure=on_failure,
        server_side=server_side,
        server_name=name,
        peer=peer,
        handshake_timeout=timeout,
        adopted=protocol,
    )
    transport.set_protocol(layer.below)
    layer.below.connection_made(transport)
    transport.resume_reading()
    if received:
        layer.below.data_received(received)
    try:
        await ready
    except BaseException:
        if not layer.is_closing():  # a failed handshake is: it has yet to tell the peer why
            layer.abort()
        raise
    loop.call_soon(layer.release)
    return layer if tap is None else tap.over(layer)


def _host(transport: asyncio.Transport) -> str:
    name = transport.get_extra_info("peername")
    return str(name[0]) if isinstance(name, tuple) else "localhost"
