"""Proxies from the environment: HTTPS_PROXY and ALL_PROXY say which, NO_PROXY says for whom none.

What goes through is a tunnel, whatever is spoken in it: so HTTPS_PROXY holds for every connection, as with grpc-go, and
ALL_PROXY where it is not set, as with curl. The lower-case name of a variable comes first. HTTP_PROXY is not looked
at: it is for requests that a proxy reads.

NO_PROXY follows Go (golang.org/x/net/http/httpproxy), whose rules are the most exact: entries between commas or
blanks; `*` is everybody; `example.com` is this name and all below it, `.example.com` and `*.example.com` only those
below; an IP address; a network as `10.0.0.0/8` or `fd00::/8`; each but a network with `:port` for this port alone.
Names are not resolved for it. Unlike there, localhost is not left out unless it is named.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from wirelane.core.target import HostPort
from wirelane.errors import UsageError
from wirelane.net.proxy.config import ProxyConfig

__all__ = ["Environment", "Exceptions"]

_PROXY_VARIABLES = ("HTTPS_PROXY", "ALL_PROXY")


@dataclass(frozen=True, slots=True)
class Exceptions:
    """Whom NO_PROXY names."""

    everybody: bool = False
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    addresses: tuple[tuple[IPv4Address | IPv6Address, int | None], ...] = ()
    names: tuple[tuple[str, bool, int | None], ...] = ()
    """(suffix with its dot, whether the name itself counts too, port)"""

    @classmethod
    def parse(cls, text: str) -> Exceptions:
        """Return what the value of NO_PROXY means. What is nothing of the known kinds names nobody."""
        networks: list[IPv4Network | IPv6Network] = []
        addresses: list[tuple[IPv4Address | IPv6Address, int | None]] = []
        names: list[tuple[str, bool, int | None]] = []
        for entry in text.replace(",", " ").lower().split():
            if entry == "*":
                return cls(everybody=True)
            try:
                if "/" in entry:
                    networks.append(ip_network(entry, strict=False))
                    continue
            except ValueError:
                pass
            parts = _split_port(entry)
            if parts is None:
                continue
            host, port = parts
            try:
                addresses.append((ip_address(host), port))
            except ValueError:
                below = host.startswith((".", "*."))
                names.append(("." + host.removeprefix("*").strip("."), not below, port))
        return cls(False, tuple(networks), tuple(addresses), tuple(names))

    def hold_for(self, target: HostPort) -> bool:
        """Whether `target` is to be reached without a proxy."""
        if self.everybody:
            return True
        host = target.host.partition("%")[0].rstrip(".").lower()
        try:
            address = ip_address(host)
        except ValueError:
            return any(
                port in {None, target.port} and (host.endswith(suffix) or (itself and host == suffix[1:]))
                for suffix, itself, port in self.names
            )
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(
            address in network for network in self.networks if network.version == address.version
        ) or any(address == named and port in {None, target.port} for named, port in self.addresses)


@dataclass(frozen=True, slots=True)
class Environment:
    """What the environment says about proxies."""

    proxy: ProxyConfig | None
    exceptions: Exceptions

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None) -> Environment:
        """Return what the variables say now.

        Raises:
            UsageError: A variable holds no proxy; names the variable, and shows no secret.
        """
        environ = os.environ if environ is None else environ
        exceptions = Exceptions.parse(_value(environ, "NO_PROXY"))
        for name in _PROXY_VARIABLES:
            if text := _value(environ, name):
                # Written without a scheme by many; curl and Go take it for http.
                return cls(_proxy(name, text if "://" in text else f"http://{text}"), exceptions)
        return cls(None, exceptions)

    def proxy_for(self, target: HostPort) -> ProxyConfig | None:
        """Return the proxy to go through; None: none."""
        return None if self.proxy is None or self.exceptions.hold_for(target) else self.proxy


def _value(environ: Mapping[str, str], name: str) -> str:
    return (environ.get(name.lower()) or environ.get(name) or "").strip()


def _proxy(name: str, text: str) -> ProxyConfig:
    try:
        return ProxyConfig(text)
    except UsageError as exc:
        raise UsageError(f"the environment variable {name}: {exc}") from None


def _split_port(entry: str) -> tuple[str, int | None] | None:
    """Return host and port of an entry; None if it is of no known kind: a slip must not open a direct way.

    An IPv6 address may stand in brackets, and must if a port follows.
    """
    host, rest = entry, ""
    if entry.startswith("["):
        host, bracket, rest = entry[1:].partition("]")
        if not bracket or ":" not in host:
            return None
    elif entry.count(":") == 1:
        host, colon, rest = entry.partition(":")
        rest = colon + rest
    port = rest.removeprefix(":")
    well_formed = rest[:1] in {"", ":"} and (
        not port or (port.isascii() and port.isdigit() and len(port) <= 5)
    )
    if not well_formed or "*" in host.removeprefix("*."):
        return None
    return host, int(port) if port else None
