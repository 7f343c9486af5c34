"""Which proxies a connection goes through, and the way through them.

here --TCP--> first proxy [--TLS--] --CONNECT--> second proxy --CONNECT--> server
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wirelane.core.target import Address, HostPort, UnixPath
from wirelane.errors import (
    ConnectError,
    ConnectionLost,
    LimitExceeded,
    PeerError,
    ProxyError,
    ResolveError,
    TlsError,
    UsageError,
)
from wirelane.net.carry import Carrier, SocketCarrier, plain, secure
from wirelane.net.connect import Dialing, connect
from wirelane.net.proxy.config import ProxyConfig
from wirelane.net.proxy.environment import Environment
from wirelane.net.proxy.http_connect import Answer, AnswerReader, connect_request
from wirelane.net.proxy.socks import Refusal, socks_handshake
from wirelane.net.proxy.tunnel import Tunnel
from wirelane.net.resolve import resolve
from wirelane.net.tls import TlsConfig

if TYPE_CHECKING:
    from wirelane.net.options import SocketOptions

__all__ = ["ProxyLike", "Route", "open_through", "resolve_proxy"]

MAX_CHAIN = 2

ProxyLike = str | ProxyConfig | Sequence[str | ProxyConfig] | None
"""What `proxy=` takes: a URL, a config, up to two of them (the first is connected to), "env", or None."""


@dataclass(frozen=True, slots=True)
class Route:
    """What was said as `proxy=`: always these proxies, or what the environment says about each target."""

    chain: tuple[ProxyConfig, ...] = ()
    environment: Environment | None = None

    def to(self, address: Address) -> tuple[ProxyConfig, ...]:
        """Return the proxies on the way to `address`, the first to connect to first; empty: none.

        Raises:
            UsageError: No proxy leads to a Unix socket, or to an address with a zone.
        """
        if isinstance(address, UnixPath):
            if self.chain:
                raise UsageError(f"{address} is on this machine: no proxy leads to it; leave proxy= out")
            return ()
        chain = self.chain
        if self.environment is not None:
            proxy = self.environment.proxy_for(address)
            chain = () if proxy is None else (proxy,)
        if (
            chain and "%" in address.host
        ):  # RFC 4007 section 6: zones of different machines have nothing in common
            raise UsageError(
                f"{address} has a zone, which names an interface of this machine: no proxy leads to it; leave proxy= out, "
                "or name it in NO_PROXY"
            )
        return chain

    def __bool__(self) -> bool:
        return bool(self.chain) or self.environment is not None

    def __str__(self) -> str:
        return ", ".join(map(str, self.chain)) or ("env" if self.environment is not None else "direct")


def resolve_proxy(proxy: ProxyLike) -> Route:
    """Turn what a user passes as `proxy=` into a route. "env" reads the environment now.

    Raises:
        UsageError: It is none, or there are more than two.
    """
    if proxy is None:
        return Route()
    if isinstance(proxy, str) and proxy == "env":
        return Route(environment=Environment.read())
    if isinstance(proxy, str | ProxyConfig):
        return Route((_config(proxy),))
    if not isinstance(proxy, Sequence):
        raise UsageError(
            f'proxy must be a URL, a ProxyConfig, a list of up to two, "env" or None, not {type(proxy).__name__}'
        )
    if not 1 <= len(proxy) <= MAX_CHAIN:
        raise UsageError(
            f"proxy is a chain of {len(proxy)}: one or two proxies can be given, None is for none"
        )
    if "env" in proxy:
        raise UsageError('proxy="env" stands alone: it cannot be part of a chain')
    return Route(tuple(map(_config, proxy)))


def _config(proxy: str | ProxyConfig) -> ProxyConfig:
    return proxy if isinstance(proxy, ProxyConfig) else ProxyConfig(proxy)


async def open_through(proxies: Sequence[ProxyConfig], address: Address, dialing: Dialing) -> Carrier:
    """Return the way to `address` through all of `proxies`. Cancel-safe: no socket is left.

    Raises:
        ProxyError: One could not be reached, refused, or is none.
        ResolveError: A name that is to be resolved here has no address.
    """
    if not isinstance(address, HostPort):
        raise UsageError(f"{address} cannot be reached through a proxy")
    targets = [*(proxy.address for proxy in proxies[1:]), address]
    hop = _Hop(proxies[0], dialing)
    carrier: Carrier = await hop.reach(dialing.options)
    for proxy, target in zip(proxies, targets, strict=True):
        hop = _Hop(proxy, dialing)
        tunnel = await hop.enter(carrier)
        try:
            await hop.ask(tunnel, target)
        except BaseException:
            tunnel.abort()
            raise
        carrier = tunnel
    dialing.late = None
    return carrier


class _Hop:
    """One proxy, and how far we have come with it."""

    def __init__(self, proxy: ProxyConfig, dialing: Dialing) -> None:
        self._proxy = proxy
        self._dialing = dialing
        self._step = "connect"
        self._reaching: Dialing | None = None

    def _at(self, step: str) -> None:
        self._step = step
        self._dialing.late = self.late

    def late(self, seconds: float) -> ProxyError:
        """Return the error for a step that took too long."""
        if self._reaching is not None:
            return self._error(str(self._reaching.timed_out(seconds)))
        if self._step == "resolve":  # which this machine does, and has not asked the proxy yet
            return self._error(
                f"resolving the name of the server took longer than {seconds:g} s",
                hint="check the DNS servers of this machine, or leave the name to a proxy that resolves it",
            )
        return self._error(f"no answer within {seconds:g} s", hint="check that it is up, and of this kind")

    async def reach(self, options: SocketOptions) -> Carrier:
        """Connect to the proxy itself."""
        self._at("connect")
        self._reaching = Dialing(self._proxy.address, options)
        try:
            return SocketCarrier(await connect(self._reaching), options)
        except (ConnectError, ResolveError) as exc:
            raise self._error(str(exc)) from exc

    async def enter(self, carrier: Carrier) -> Tunnel:
        """Put a stream on the way to the proxy, in TLS if it is an https one."""
        proxy = self._proxy
        if proxy.kind != "https":
            return (await plain(Tunnel, carrier))[1]
        self._at("TLS handshake")
        try:
            _, tunnel = await secure(
                Tunnel,
                carrier,
                self._dialing,
                tls=proxy.tls or TlsConfig(),
                name=_tls_name(proxy),
                peer=str(proxy.address),
                alpn=("http/1.1",),
                alpn_required=False,
            )
        except (TlsError, ConnectionLost) as exc:
            raise self._error(exc.message, hint=_tls_hint(exc, proxy)) from exc
        return tunnel

    async def ask(self, tunnel: Tunnel, target: HostPort) -> None:
        """Ask the proxy for a tunnel to `target`."""
        proxy = self._proxy
        if not proxy.resolves:
            self._at("resolve")
            target = await self._resolved(target)
        self._at("CONNECT")
        try:
            if proxy.kind.startswith("socks"):
                await socks_handshake(tunnel, proxy, target, self._at)
            else:
                self._check(await _ask_http(tunnel, proxy, target), target)
        except Refusal as exc:
            self._at(exc.step)
            raise self._error(f"{exc} (for {target})", code=exc.code, hint=self._hint(exc.step)) from exc
        except (PeerError, LimitExceeded, ConnectionLost) as exc:
            raise self._error(f"{exc} (asked for {target})") from exc

    async def _resolved(self, target: HostPort) -> HostPort:
        endpoints = await resolve(target.host, target.port)
        for endpoint in endpoints:
            host = str(endpoint.address[0])
            if not self._proxy.kind.startswith("socks4") or ":" not in host:
                return HostPort(host, target.port)
        text = f"SOCKS 4 knows no IPv6, and {target.host} has no other address"
        raise self._error(text, hint="use socks5 or http")

    def _check(self, answer: Answer, target: HostPort) -> None:
        status = answer.status
        if 200 <= status < 300:
            return
        hint = None
        if status in {401, 407}:  # tinyproxy answers 401 to a wrong password
            self._step = "authentication"
            hint = self._hint(self._step)
            if answer.schemes and "basic" not in answer.schemes:
                hint = f"it asks for {', '.join(answer.schemes)[:80]}; Basic is what is known here"
        said = f"{status} {answer.reason[:80]}".rstrip()
        raise self._error(f"it answered {said!r} (for {target})", code=status, hint=hint)

    def _hint(self, step: str) -> str | None:
        if step != "authentication":
            return None
        if self._proxy.username is None:
            return f"it wants a user and a password: {self._proxy.kind}://user:password@{self._proxy.address}"
        return "check the user and the password"

    def _error(self, text: str, *, code: int | None = None, hint: str | None = None) -> ProxyError:
        proxy = self._proxy
        return ProxyError(
            f"the proxy {proxy}, {self._step}: {text}",
            host=str(proxy.address),
            step=self._step,
            kind=proxy.kind,
            code=code,
            hint=hint,
        )


def _tls_hint(exc: TlsError | ConnectionLost, proxy: ProxyConfig) -> str | None:
    """Return what to try when TLS with the proxy itself fails: the settings for the server's TLS do not hold for it."""
    hint = exc.hint if isinstance(exc, TlsError) else None
    if hint is None:
        return None
    if "without TLS" in hint:
        return f"a proxy without TLS is written http://{proxy.address}"
    return f"ProxyConfig(..., tls=...) is for this proxy: {hint.removesuffix(', or the option --cacert')}"


def _tls_name(proxy: ProxyConfig) -> str:
    own = proxy.tls.server_name if isinstance(proxy.tls, TlsConfig) else None
    return own or proxy.host


async def _ask_http(tunnel: Tunnel, proxy: ProxyConfig, target: HostPort) -> Answer:
    await tunnel.write(connect_request(proxy, target))
    reader = AnswerReader(proxy)
    while True:
        answer = reader.feed(await tunnel.read())
        if answer is not None:
            tunnel.unread(reader.rest)
            return answer
