"""`ProxyConfig`: one proxy, from a URL and what does not fit into one."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Literal, NoReturn, cast
from urllib.parse import unquote_to_bytes

from wirelane.core.target import HostPort, parse_target
from wirelane.errors import UsageError
from wirelane.net.tls import TlsConfig

__all__ = ["ProxyConfig", "ProxyKind"]

ProxyKind = Literal["socks4", "socks4a", "socks5", "socks5h", "http", "https"]

_DEFAULT_PORTS: Final[dict[str, int]] = {
    "socks4": 1080,
    "socks4a": 1080,
    "socks5": 1080,
    "socks5h": 1080,
    "http": 80,
    "https": 443,
}
_FORMS: Final = "socks5://host:port, socks5h://, socks4://, socks4a://, http:// or https://, with user:password@ before the host if needed"
_TOKEN: Final = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")  # RFC 9110 section 5.6.2
_PLACE: Final = re.compile(r"(?:\[[^]]*]|[^:/?#]*)(?::[0-9]*)?/?")
_OURS: Final = frozenset({"host", "content-length", "transfer-encoding"})
_MOST_OCTETS: Final = 255  # of a user and of a password: their length is one octet (RFC 1929 section 2)


@dataclass(frozen=True, slots=True, repr=False)
class ProxyConfig:
    """One proxy. Where a `proxy=` is asked for, its URL as text does as well.

    Attributes:
        url: `kind://host:port`. A user and a password in it (percent-encoded) become `username` and `password`, and it
            has none any more. Without a port: 1080 for SOCKS, 80 for http, 443 for https.
        username: For SOCKS 5 together with a password (RFC 1929); for SOCKS 4 the user id; for HTTP Basic (RFC 7617).
        password: See there.
        tls: How to speak TLS with an https proxy; None: the system's certificates.
        remote_dns: Whether the proxy resolves the names of servers. None: what the kind says, which is yes but for
            socks4, which takes IPv4 addresses alone. False resolves here, and asks for the first address.
        headers: Further header fields of CONNECT, for http and https: a mapping or pairs.
        kind: "socks4", "socks4a", "socks5", "socks5h" (which is the same as socks5 here), "http" or "https".
        host: Of the proxy.
        port: Of the proxy.

    Raises:
        UsageError: A value cannot be; the message names the field, and shows no secret.
    """

    url: str
    username: str | None = field(default=None, kw_only=True)
    password: str | None = field(default=None, kw_only=True)
    tls: TlsConfig | ssl.SSLContext | None = field(default=None, kw_only=True)
    remote_dns: bool | None = field(default=None, kw_only=True)
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = field(default=(), kw_only=True)
    kind: ProxyKind = field(init=False)
    host: str = field(init=False)
    port: int = field(init=False)

    def __post_init__(self) -> None:
        kind, user, password, address = _parse(self.url)
        values: dict[str, object] = {"kind": kind, "host": address.host, "port": address.port}
        values["url"] = f"{kind}://{address}"
        for name, inside in (("username", user), ("password", password)):
            given = getattr(self, name)
            if given is not None and inside is not None:
                raise UsageError(f"ProxyConfig has a {name} in its url and as {name}=: give one")
            values[name] = inside if given is None else given
        values["headers"] = _check_headers(self.headers)
        for name, value in values.items():
            object.__setattr__(self, name, value)
        self._check()

    @property
    def address(self) -> HostPort:
        """Where the proxy is."""
        return HostPort(self.host, self.port)

    @property
    def resolves(self) -> bool:
        """Whether names of servers are left to the proxy."""
        return self.kind != "socks4" if self.remote_dns is None else self.remote_dns

    @property
    def header_pairs(self) -> tuple[tuple[str, str], ...]:
        """`headers` as pairs."""
        return cast("tuple[tuple[str, str], ...]", self.headers)

    def _check(self) -> None:
        http = self.kind in {"http", "https"}
        for name in ("username", "password"):
            _check_secret(name, getattr(self, name), http=http)
        if self.password is not None and self.username is None:
            raise UsageError("ProxyConfig has a password but no username")
        if (
            self.kind.startswith("socks5")
            and self.username is not None
            and not (self.username and self.password)
        ):
            raise UsageError("ProxyConfig needs a username and a password for SOCKS 5, none of them empty")
        if self.kind.startswith("socks4") and self.password is not None:
            raise UsageError(
                "ProxyConfig password: SOCKS 4 knows a user id alone; use socks5, or leave it out"
            )
        if http and self.username is not None and ":" in self.username:
            raise UsageError("ProxyConfig username must not contain a colon (RFC 7617 section 2)")
        if self.tls is not None and self.kind != "https":
            raise UsageError(f"ProxyConfig tls is for an https:// proxy, not for {self.kind}://")
        if self.tls is not None and not isinstance(self.tls, TlsConfig | ssl.SSLContext):
            raise UsageError(f"ProxyConfig tls must be a TlsConfig or an ssl.SSLContext, not {self.tls!r}")
        if self.headers and not http:
            raise UsageError(f"ProxyConfig headers are for an http or https proxy, not for {self.kind}")
        if self.remote_dns is not None and not isinstance(self.remote_dns, bool):
            raise UsageError(f"ProxyConfig remote_dns must be True, False or None, not {self.remote_dns!r}")
        if self.kind == "socks4" and self.remote_dns:
            raise UsageError("ProxyConfig remote_dns: SOCKS 4 takes addresses alone; socks4a takes names")

    def __str__(self) -> str:
        return self.url

    def __repr__(self) -> str:
        shown = [repr(self.url)]
        shown += [f"{name}=<hidden>" for name in ("username", "password") if getattr(self, name) is not None]
        shown += [
            f"{name}={value!r}"
            for name in ("tls", "remote_dns")
            if (value := getattr(self, name)) is not None
        ]
        if self.headers:
            shown.append(f"headers=<{len(self.header_pairs)} hidden>")
        return f"ProxyConfig({', '.join(shown)})"


def _parse(url: object) -> tuple[ProxyKind, str | None, str | None, HostPort]:
    """Return the parts of a URL: kind, user, password, address."""
    if not isinstance(url, str):
        raise UsageError(
            f"a proxy is a URL as text or a ProxyConfig, not {type(url).__name__}; write {_FORMS}"
        )
    scheme, slashes, rest = url.strip().partition("://")
    kind = scheme.lower()
    if not slashes:
        _fail(url, "it has no scheme")
    if kind not in _DEFAULT_PORTS:
        _fail(url, f"the scheme {kind[:20]!r} is not one of a proxy")
    userinfo, at, place = rest.rpartition("@")
    place = place.removesuffix("/")
    user = password = None
    if at:
        user, colon, secret = userinfo.partition(":")
        user, password = _decode(url, user), _decode(url, secret) if colon else None
    try:
        address = parse_target(place, default_port=_DEFAULT_PORTS[kind], kind="tcp").addresses[0]
    except UsageError:
        address = None
    if not isinstance(address, HostPort) or "://" in place:
        _fail(url, "what follows the scheme is no host and port")
    return cast(ProxyKind, kind), user, password, address


def _decode(url: str, text: str) -> str:
    decoded = None
    with suppress(UnicodeError):  # which has the text in it, and would be the context of ours
        decoded = unquote_to_bytes(text).decode()
    if decoded is None:
        _fail(url, "its user or password is no percent-encoded UTF-8")
    return decoded


def _fail(url: str, problem: str) -> NoReturn:
    # What stands before the last @ may be a password; so may be what follows a host and a port ("host:port:user:password").
    scheme, slashes, rest = url.partition("://") if "://" in url else ("", "", url)
    _, at, place = rest.rpartition("@")
    match = _PLACE.match(place)
    shown = match[0] if match else ""
    hidden = "***" if shown != place else ""
    text = f"{scheme}{slashes}{'***@' if at else ''}{shown}{hidden}"
    raise UsageError(f"{text[:200]!r} is no proxy: {problem}; write {_FORMS}") from None


def _check_secret(name: str, value: object, *, http: bool) -> None:
    if value is None:
        return
    if not isinstance(value, str):
        raise UsageError(f"ProxyConfig {name} must be text, not {type(value).__name__}")
    if any(character < " " or character == "\x7f" for character in value):
        raise UsageError(f"ProxyConfig {name} must have no control characters")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise UsageError(
            f"ProxyConfig {name} must be Unicode text: it has half a character (a lone surrogate)"
        )
    if not http and not value.isascii():
        raise UsageError(f"ProxyConfig {name} must be ASCII for a SOCKS proxy")
    if not http and len(value) > _MOST_OCTETS:
        raise UsageError(
            f"ProxyConfig {name} must be no longer than {_MOST_OCTETS} characters (RFC 1929 section 2)"
        )


def _check_headers(headers: object) -> tuple[tuple[str, str], ...]:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    if not isinstance(pairs, Iterable) or isinstance(pairs, str):
        raise UsageError("ProxyConfig headers must be a mapping or pairs of texts")
    checked: list[tuple[str, str]] = []
    for pair in pairs:
        if not (
            isinstance(pair, tuple | list) and len(pair) == 2 and all(isinstance(each, str) for each in pair)
        ):
            raise UsageError("ProxyConfig headers must be a mapping or pairs of texts")
        name, value = pair
        if not name or not set(name.lower()) <= _TOKEN or name.lower() in _OURS:
            raise UsageError(f"ProxyConfig headers: {name!r} cannot be the name of one")
        if not value.isascii() or not value.isprintable():
            raise UsageError(f"ProxyConfig headers: the value of {name!r} must be printable ASCII")
        checked.append((name, value))
    return tuple(checked)
