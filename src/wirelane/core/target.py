"""Addresses as people write them: where to connect to, and where to listen.

Parsing looks nothing up: a name stays a name. It decides four things: the addresses, in order; whether the
form asks for TLS (True), for plain text (False) or leaves it open (None); and the authority that the request
names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address
from typing import Final, Literal, NoReturn, TypeAlias

from wirelane.errors import UsageError

__all__ = ["Address", "HostPort", "Target", "UnixPath", "first_port", "parse_listen", "parse_target"]

_MOST_PORT: Final = 65_535
_MOST_NAME: Final = 253  # RFC 1035, section 2.3.4, as text
_MOST_LABEL: Final = 63
_HOST = re.compile(r"[0-9A-Za-z_](?:[0-9A-Za-z_.-]*[0-9A-Za-z_.])?")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)

# Scheme -> (TLS, default port).
_URL_SCHEMES: Final[dict[str, dict[str, tuple[bool, int | None]]]] = {
    "grpc": {"grpc": (False, None), "grpcs": (True, None), "http": (False, 80), "https": (True, 443)},
    "tcp": {"tcp": (False, None), "tls": (True, None)},
    "listen": {"tcp": (False, None), "grpc": (False, None), "http": (False, None)},
}
# gRPC Name Resolution (doc/naming.md): dns, unix, unix-abstract, ipv4, ipv6; static is ours.
_NAME_SCHEMES: Final = {
    "grpc": frozenset({"dns", "unix", "unix-abstract", "static", "ipv4", "ipv6"}),
    "tcp": frozenset({"unix", "unix-abstract"}),
    "listen": frozenset({"unix", "unix-abstract"}),
}
_FORMS: Final = {
    "grpc": "host:port, [ipv6]:port, dns:///host:port, unix:/path, static:///a:1,b:2, "
    "grpc://host:port, grpcs://host:port, http://host, https://host",
    "tcp": "host:port, [ipv6]:port, tcp://host:port, tls://host:port, unix:/path",
    "listen": "host:port, [ipv6]:port, :port for every interface, unix:/path; port 0 picks a free one",
}


@dataclass(frozen=True, slots=True)
class HostPort:
    """A TCP address. `host` is a name, or an IP address without brackets; "" listens at every interface."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixPath:
    """A Unix domain socket. A path that starts with NUL is in Linux' abstract namespace."""

    path: str

    def __str__(self) -> str:
        return f"unix-abstract:{self.path[1:]}" if self.path.startswith("\0") else f"unix:{self.path}"


Address: TypeAlias = HostPort | UnixPath


@dataclass(frozen=True, slots=True)
class Target:
    """What a text names.

    Attributes:
        text: The text itself.
        addresses: At least one, in order of preference.
        tls: True: asked for; False: plain text asked for; None: not said.
        authority: What `:authority` says, and the name a certificate is checked for without its port.
    """

    text: str
    addresses: tuple[Address, ...]
    tls: bool | None
    authority: str

    def __str__(self) -> str:
        return self.text


def parse_target(
    text: str, *, default_port: int | None = None, kind: Literal["grpc", "tcp"] = "grpc"
) -> Target:
    """Return what a text names to connect to.

    Args:
        text: One of the forms of `kind`; the error lists them.
        default_port: For a host without a port. http and https bring their own.
        kind: "grpc" or "tcp".

    Raises:
        UsageError: It is none of the forms; says what was wrong, and shows them.
    """
    return _Parser(text, kind, default_port).target()


def parse_listen(text: str) -> Address:
    """Return the address to listen at. ":port" and "*:port" mean every interface, port 0 any free one.

    Raises:
        UsageError: It is none of the forms; says what was wrong, and shows them.
    """
    return _Parser(text, "listen", None).target().addresses[0]


def first_port(addresses: Iterable[Address]) -> int:
    """Return the port of the first address that has one.

    Raises:
        UsageError: None has: they are all Unix sockets.
    """
    for address in addresses:
        if isinstance(address, HostPort):
            return address.port
    raise UsageError("a unix socket has no port")


class _Parser:
    """One text on its way to a Target: what it may be, and what to say when it is not."""

    def __init__(self, text: str, kind: str, default_port: int | None) -> None:
        if not isinstance(text, str):
            raise UsageError(f"an address is a str, not {type(text).__name__}; write one of: {_FORMS[kind]}")
        self.text = text
        self.kind = kind
        self.default_port = default_port

    def fail(self, problem: str) -> NoReturn:
        before, at, shown = self.text.rpartition("@")
        if at:  # what stands before it may be a password
            scheme, slashes, _ = before.partition("://")
            shown = f"{scheme}://***@{shown}" if slashes else f"***@{shown}"
        raise UsageError(f"{shown[:200]!r} is no address: {problem}; write one of: {_FORMS[self.kind]}")

    def target(self) -> Target:
        text = self.text
        if not text.strip():
            self.fail("it is empty")
        if any(character.isspace() or not character.isprintable() for character in text):
            self.fail("it contains a blank or a control character")
        match = _SCHEME.fullmatch(text)
        scheme, rest = (match[1].lower(), match[2]) if match else ("", "")
        if "@" in text and not scheme.startswith("unix"):
            self.fail("a user or password has no place in it")
        # A host may be called like a scheme: dns:53 is one. unix:53 is a path.
        if scheme in _NAME_SCHEMES[self.kind] and (scheme.startswith("unix") or not rest.isdigit()):
            return self.named(scheme, rest)
        if rest.startswith("//"):
            return self.url(scheme, rest[2:])
        return self.plain(text)

    def plain(self, text: str) -> Target:
        address = self.host_port(text, self.default_port)
        return Target(text, (address,), None, _authority(address))

    def url(self, scheme: str, rest: str) -> Target:
        schemes = _URL_SCHEMES[self.kind]
        if scheme not in schemes:
            if self.kind == "listen" and scheme in {"grpcs", "https", "tls"}:
                self.fail("a server gets TLS by tls=, not by the address")
            self.fail(f"the scheme {scheme}:// is not known here")
        tls, port = schemes[scheme]
        host, _, path = rest.partition("/")
        if path or "?" in host or "#" in host:
            self.fail("it has more than a host and a port")
        address = self.host_port(host, self.default_port if port is None else port)
        authority = _authority(address)
        if address.port == port:  # the port of the scheme is left out (RFC 9110, section 4.2.3)
            authority = authority.rpartition(":")[0]
        return Target(self.text, (address,), tls, authority)

    def named(self, scheme: str, rest: str) -> Target:
        if scheme == "unix":
            return self.unix(rest)
        if scheme == "unix-abstract":
            if not rest:
                self.fail("it has no name")
            return Target(self.text, (UnixPath("\0" + rest),), None, "localhost")
        if rest.startswith("//"):
            server, slash, rest = rest[2:].partition("/")
            if server or not slash:
                self.fail(f"write {scheme}:/// with three slashes; a name server of its own is not supported")
        names = rest.split(",") if scheme != "dns" else [rest]
        addresses = tuple(self.host_port(name, self.default_port) for name in names)
        return Target(self.text, addresses, None, _authority(addresses[0]))

    def unix(self, rest: str) -> Target:
        if rest.startswith("//"):
            rest = rest[2:]
            if not rest.startswith("/"):
                self.fail("write unix:relative/path, unix:/absolute/path or unix:///absolute/path")
        if not rest or rest == "/":
            self.fail("it has no path")
        return Target(self.text, (UnixPath(rest),), None, "localhost")

    def host_port(self, text: str, default_port: int | None) -> HostPort:
        if text.startswith("["):
            host, bracket, tail = text[1:].partition("]")
            if not bracket or (tail and not tail.startswith(":")):
                self.fail("an IPv6 address is written as in [::1]:50051")
            self.check_v6(host)
            port = tail[1:] if tail else None
        else:
            if text.count(":") > 1:
                self.fail("an IPv6 address needs brackets, as in [::1]:50051")
            host, colon, digits = text.partition(":")
            port = digits if colon else None
            host = self.check_name(host)
        if port is not None:
            return HostPort(host, self.port(port))
        if default_port is None:
            self.fail("it has no port")
        return HostPort(host, default_port)

    def check_v6(self, host: str) -> None:
        try:
            IPv6Address(host)
        except AddressValueError:
            self.fail(f"[{host}] is no IPv6 address")

    def check_name(self, host: str) -> str:
        if self.kind == "listen" and host in {"", "*"}:
            return ""
        if not host:
            self.fail("it has no host")
        if not host.isascii():
            try:
                host = host.encode("idna").decode("ascii")
            except UnicodeError:
                self.fail(f"the host {host!r} is no internationalised name")
        if len(host.rstrip(".")) > _MOST_NAME:
            self.fail(f"the host is longer than {_MOST_NAME} characters")
        if any(len(label) > _MOST_LABEL for label in host.split(".")):
            self.fail(f"a part of the host is longer than {_MOST_LABEL} characters")
        if not _HOST.fullmatch(host) or ".." in host:
            self.fail(f"the host {host!r} has characters that no host has")
        return host

    def port(self, digits: str) -> int:
        least = 0 if self.kind == "listen" else 1
        # isdigit() alone also takes digits of other scripts; the length keeps int() cheap.
        plain = digits.isascii() and digits.isdigit() and len(digits) <= len(str(_MOST_PORT))
        if not plain or not least <= int(digits) <= _MOST_PORT:
            self.fail(f"the port {digits[:20]!r} is no number from {least} to {_MOST_PORT}")
        return int(digits)


def _authority(address: HostPort) -> str:
    # A zone ("fe80::1%eth0") means nothing to the peer (RFC 9844).
    return str(HostPort(address.host.partition("%")[0], address.port))
