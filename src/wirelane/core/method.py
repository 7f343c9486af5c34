"""Names of methods, and the four kinds of calls."""

from __future__ import annotations

from enum import Enum
from functools import lru_cache

from wirelane.errors import UsageError

__all__ = ["Cardinality", "method_path", "split_method"]


class Cardinality(Enum):
    """How many messages each side sends. The value is (client streams, server streams)."""

    UNARY = (False, False)
    SERVER_STREAM = (False, True)
    CLIENT_STREAM = (True, False)
    BIDI_STREAM = (True, True)

    def __init__(self, client_streaming: bool, server_streaming: bool) -> None:
        self.client_streaming = client_streaming
        self.server_streaming = server_streaming

    @classmethod
    def of(cls, client_streaming: bool, server_streaming: bool) -> Cardinality:
        """Return the kind in which the client, the server, both or neither stream."""
        return _KINDS[bool(client_streaming), bool(server_streaming)]

    def __repr__(self) -> str:
        return f"Cardinality.{self.name}"


_KINDS = {(kind.client_streaming, kind.server_streaming): kind for kind in Cardinality}


def split_method(text: str) -> tuple[str, str]:
    """Return (service, method) of "pkg.Svc/Method", "/pkg.Svc/Method" or "pkg.Svc.Method".

    Raises:
        UsageError: It is none of these.
    """
    if not isinstance(text, str):
        raise UsageError(f"a method is named by a str like 'pkg.Service/Method', not {type(text).__name__}")
    return _split(text)


@lru_cache(maxsize=512)  # on the path of every call; bounded, as a server splits what peers send
def _split(text: str) -> tuple[str, str]:
    name = text.removeprefix("/")
    service, separator, method = name.rpartition("/" if "/" in name else ".")
    if not separator or not service or not method or "/" in service or not _printable(name):
        raise UsageError(f"{text!r} names no method; write 'pkg.Service/Method' or 'pkg.Service.Method'")
    return service, method


def _printable(name: str) -> bool:
    return name.isascii() and name.isprintable() and " " not in name


def method_path(service: str, method: str) -> str:
    """Return the path of a method on the wire: "/pkg.Svc/Method"."""
    return f"/{service}/{method}"
