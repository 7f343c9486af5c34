"""CONNECT (RFC 9110 section 9.3.6) in HTTP/1.1: what is sent to an HTTP proxy, and how its answer is read. No I/O.

The answer is read line by line and not an octet further: what follows its head belongs to the tunnel. All heads
together, 1xx ones included (RFC 9110 section 15.2), may have 8 KiB and 100 lines. Only a 2xx opens the tunnel; a length
or transfer coding it may name means nothing then (section 9.3.6). The body of a refusal is not read.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Final

from wirelane._version import __version__
from wirelane.core.target import HostPort
from wirelane.errors import LimitExceeded, PeerError
from wirelane.net.proxy.config import ProxyConfig

__all__ = ["MAX_HEAD", "MAX_LINES", "Answer", "AnswerReader", "connect_request"]

MAX_HEAD: Final = 8192  # what Apache's LimitRequestLine and nginx' header buffers have for one line
MAX_LINES: Final = 100  # Apache's LimitRequestFields

_HIDDEN: Final = "(words that are not shown, as they may hold a secret)"
_SWITCHING: Final = (
    101  # the last of HTTP on its connection (RFC 9110 section 15.2.2), and nobody asked for it
)
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: ([^\r\n\0]*))?")
_FIELD: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n\0]*)")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a proxy answered, in the end.

    Attributes:
        status: Three digits.
        reason: The text beside it.
        schemes: The authentication it asks for, in lower case.
    """

    status: int
    reason: str
    schemes: tuple[str, ...] = ()


def connect_request(proxy: ProxyConfig, target: HostPort) -> bytes:
    """Return the request for a tunnel to `target`, whose host has been checked when it was parsed."""
    lines = [
        f"CONNECT {target} HTTP/1.1",
        f"Host: {target}",
        f"User-Agent: wirelane/{__version__}",
    ]
    named = {name.lower() for name, _ in proxy.header_pairs}
    if proxy.username is not None and "proxy-authorization" not in named:
        lines.append(f"Proxy-Authorization: Basic {_basic(proxy)}")
    lines += [f"{name}: {value}" for name, value in proxy.header_pairs]
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def _basic(proxy: ProxyConfig) -> str:
    return base64.b64encode(f"{proxy.username}:{proxy.password or ''}".encode()).decode("ascii")


class AnswerReader:
    """Reads the answer from the octets of a stream, however they are cut.

    Args:
        proxy: Whose user, password and headers are not to be part of an error, though the answer gives them back.
    """

    __slots__ = ("_lines", "_rest", "_schemes", "_secrets", "_size", "_status")

    def __init__(self, proxy: ProxyConfig | None = None) -> None:
        self._secrets: tuple[bytes, ...] = ()
        if proxy is not None:
            # Of "Basic dTpw", the last word is the secret one.
            told = [value.split(" ")[-1] for _, value in proxy.header_pairs]
            if proxy.username is not None:
                told += [proxy.username, proxy.password or "", _basic(proxy)]
            self._secrets = tuple(secret.encode() for secret in told if secret)
        self._rest = bytearray()
        self._lines = 0
        self._size = 0
        self._status: tuple[int, str] | None = None
        self._schemes: list[str] = []

    def feed(self, data: bytes) -> Answer | None:
        """Return the answer once it is whole, else None. Then `rest` has what follows it.

        Raises:
            PeerError: This is no answer of an HTTP proxy.
            LimitExceeded: It is too long.
        """
        start = len(self._rest)
        self._rest += data
        while (end := self._rest.find(b"\n", start)) >= 0:
            # A single LF ends a line, too, and CRLF is one ending (RFC 9112 section 2.2).
            line = bytes(self._rest[: end + 1]).rstrip(b"\n").removesuffix(b"\r")
            del self._rest[: end + 1]
            start = 0
            self._count(end + 1)
            answer = self._line(line)
            if answer is not None:
                return answer
        if self._size + len(self._rest) > MAX_HEAD:
            self._count(len(self._rest))
        if self._status is None and not b"HTTP/1.".startswith(bytes(self._rest[:7])):
            # Of half a line it cannot be told what it gives back.
            raise _no_http(_HIDDEN if self._secrets else _shown(bytes(self._rest)))
        return None

    @property
    def rest(self) -> bytes:
        """What has come behind the answer."""
        return bytes(self._rest)

    def _count(self, size: int) -> None:
        self._size += size
        self._lines += 1
        if self._size > MAX_HEAD:
            raise LimitExceeded(f"its answer is longer than {MAX_HEAD} bytes", limit="head", maximum=MAX_HEAD)
        if self._lines > MAX_LINES:
            raise LimitExceeded(
                f"its answer has more than {MAX_LINES} lines", limit="lines", maximum=MAX_LINES
            )

    def _line(self, line: bytes) -> Answer | None:
        if self._status is None:
            match = _STATUS.fullmatch(line)
            if match is None:
                raise _no_http(self._shown(line))
            reason = (match[2] or b"").decode("latin-1").strip()
            self._status = int(match[1]), _HIDDEN if self._is_secret(line) else reason
        elif line:
            match = _FIELD.fullmatch(line)
            if match is None:
                raise PeerError(f"it answered with {self._shown(line)} among the header fields")
            if match[1].lower() == b"proxy-authenticate" and not self._is_secret(line):
                self._schemes.append(match[2].decode("latin-1").split(" ")[0].lower())
        else:
            (status, reason), self._status = self._status, None
            if status >= 200 or status == _SWITCHING:
                return Answer(status, reason, tuple(self._schemes))
            self._schemes.clear()
        return None

    def _is_secret(self, line: bytes) -> bool:
        return any(secret in line for secret in self._secrets)

    def _shown(self, line: bytes) -> str:
        return _HIDDEN if self._is_secret(line) else _shown(line)


def _no_http(shown: str) -> PeerError:
    return PeerError(f"it answered with {shown}, which is no HTTP/1.1; is it an HTTP proxy?")


def _shown(line: bytes) -> str:
    return repr(line[:80].decode("latin-1")) if line else "an empty line"
