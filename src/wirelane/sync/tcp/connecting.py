"""Opening connections.

Made of `wirelane.tcp.connecting` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

import ssl

from wirelane.core.limits import Limits
from wirelane.net.options import SocketOptions
from wirelane.net.proxy import ProxyLike
from wirelane.net.tls import TlsConfig
from wirelane.net.trace import TraceLike
from wirelane.sync._facade import open_now
from wirelane.sync.tcp.connection import Connection
from wirelane.tcp.connecting import connect as async_connect

__all__ = ["connect"]


def connect(
    address: str,
    *,
    tls: bool | TlsConfig | ssl.SSLContext | None = None,
    proxy: ProxyLike = None,
    connect_timeout: float | None = 10.0,
    limits: Limits | None = None,
    server_name: str | None = None,
    options: SocketOptions | None = None,
    trace: TraceLike = None,
) -> Connection:
    """Open a connection: the result for a `Connection`, or enter it with `with`.

    Args:
        address: `host:port`, `[ipv6]:port`, `tcp://host:port`, `tls://host:port` or `unix:/path`.
        tls: True, settings or a context; None follows the address.
        proxy: The URL of a proxy ("socks5://user:password@host:1080"; socks4, socks4a, socks5h, http, https), a
            `ProxyConfig`, a list of two to go through in turn, or "env" for HTTPS_PROXY, ALL_PROXY and NO_PROXY. None is
            a direct connection, whatever the environment says.
        connect_timeout: Seconds for names, TCP, proxies and TLS together; None waits as long as the system does.
        limits: Bounds for the buffers and for closing.
        server_name: The name that the certificate must have, if it is not the host's.
        options: Of the socket: a local address, keep-alive, and such.
        trace: Log what is said: True keeps it in memory (`connection.trace`), a path writes it to that file, and a
            `wirelane.Trace` does what it says.

    Raises:
        UsageError: At once, for an address or settings that make no sense.
        ResolveError, ConnectError, ProxyError, TlsError: Nothing is left open then, nor when interrupted.
    """
    made: Connection = open_now(
        async_connect,
        address,
        tls=tls,
        proxy=proxy,
        connect_timeout=connect_timeout,
        limits=limits,
        server_name=server_name,
        options=options,
        trace=trace,
    )
    return made
