"""`connect`: from an address to a `Connection`. Nothing happens before the result is awaited or entered."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Generator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING

from wirelane.core.limits import Limits
from wirelane.core.target import HostPort, parse_target
from wirelane.errors import UsageError
from wirelane.net import dial
from wirelane.net.options import SocketOptions
from wirelane.net.proxy import ProxyLike, resolve_proxy
from wirelane.net.tap import connecting
from wirelane.net.tls import TlsConfig, resolve_tls
from wirelane.net.trace import Trace, TraceLike
from wirelane.tcp.connection import Connection
from wirelane.tcp.protocol import TcpProtocol

__all__ = ["Connecting", "connect"]


class Connecting(Awaitable[Connection], AbstractAsyncContextManager[Connection]):
    """What `connect` returns: await it, or enter it. Good for one connection."""

    __slots__ = (
        "_address",
        "_connect_timeout",
        "_connection",
        "_limits",
        "_options",
        "_proxies",
        "_server_name",
        "_tls",
        "_trace",
        "_used",
    )

    def __init__(
        self,
        address: str,
        tls: bool | TlsConfig | ssl.SSLContext | None,
        proxy: ProxyLike,
        connect_timeout: float | None,
        limits: Limits | None,
        server_name: str | None,
        options: SocketOptions | None,
        trace: TraceLike,
    ) -> None:
        target = parse_target(address, kind="tcp")
        self._address = target.addresses[0]
        self._tls = resolve_tls(tls, default=target.tls)
        if target.tls and self._tls is None:
            raise UsageError(f"{address} asks for TLS, and tls=False says no")
        if options is not None and not isinstance(options, SocketOptions):
            raise UsageError(f"options must be a SocketOptions(...), not {options!r}")
        self._proxies = resolve_proxy(proxy).to(self._address)
        self._options = options
        self._connect_timeout = connect_timeout
        self._limits = Limits.of(limits)
        self._server_name = server_name
        self._trace = Trace.of(trace)
        self._connection: Connection | None = None
        self._used = False

    def __await__(self) -> Generator[object, None, Connection]:
        return self._open().__await__()

    async def __aenter__(self) -> Connection:
        self._connection = await self._open()
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._connection is not None:
            await self._connection.close()

    async def _open(self) -> Connection:
        if self._used:
            raise UsageError("this connect() was used already; call it again for another connection")
        self._used = True
        protocol = TcpProtocol(self._limits)
        with connecting(self._trace, self._address, via=self._proxies) as tapped:
            await dial(
                lambda: tapped(protocol),
                self._address,
                tls=self._tls,
                server_name=self._server_name,
                connect_timeout=self._connect_timeout,
                options=self._options,
                proxies=self._proxies,
            )
        name = self._address.host if isinstance(self._address, HostPort) else None
        return Connection(
            protocol,
            name=self._server_name or name,
            peer=self._address if self._proxies else None,
            via=", ".join(map(str, self._proxies)),
        )

    if not TYPE_CHECKING:  # to a type checker, the attribute is not there

        def __getattr__(self, name: str) -> object:
            hint = (
                f"; write `async with tcp.connect(...) as connection:` and use connection.{name}"
                if hasattr(Connection, name)
                else ""
            )
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{hint}")

    def __repr__(self) -> str:
        return f"<Connecting {self._address}{' used' if self._used else ''}>"


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
) -> Connecting:
    """Open a connection: await the result for a `Connection`, or enter it with `async with`.

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
        ResolveError, ConnectError, ProxyError, TlsError: When awaited or entered. Nothing is left open then, nor when cancelled.
    """
    return Connecting(address, tls, proxy, connect_timeout, limits, server_name, options, trace)
