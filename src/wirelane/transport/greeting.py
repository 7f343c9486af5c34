"""Who is there? The first octets of a peer that is not what was expected, put into words."""

from __future__ import annotations

from wirelane.errors import PeerError, TlsError, WirelaneError

__all__ = ["HTTP1_ANSWER", "recognise", "recognise_client"]

_SETTINGS = 0x4

# What a server tells a client that speaks HTTP/1.x to it.
HTTP1_ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 50\r\nconnection: close\r\n\r\n"
    b"This port speaks gRPC over HTTP/2, not HTTP/1.1.\r\n"
)


def recognise(first: bytes, target: str, *, tls: bool) -> WirelaneError | None:
    """Judge what a server said first; None as long as it may become a SETTINGS frame (RFC 9113 section 3.4)."""
    if first[:2] == b"\x15\x03" and not tls:
        return TlsError(
            f"{target} speaks TLS, but the connection was made without it",
            host=target,
            step="connect",
            hint="connect with TLS (grpcs://, tls=True, --tls)",
        )
    if first[:5] == b"HTTP/"[: len(first)]:
        if len(first) < 5:
            return None
        line = first.split(b"\r\n", 1)[0][:80].decode("latin-1")
        return PeerError(f"{target} speaks HTTP/1.x, not HTTP/2; it answered {line!r}. Is it a gRPC server?")
    if len(first) >= 9 and (first[3] != _SETTINGS or first[5:9] != b"\0\0\0\0"):
        return PeerError(f"{target} does not speak HTTP/2; its first octets are {first[:24]!r}")
    return None


def recognise_client(first: bytes) -> str | None:
    """Name what a client speaks if its first octets are not the HTTP/2 preface; None if they are, or may be."""
    if first[:2] == b"\x16\x03":
        return "TLS, on a port without it"
    if b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".startswith(first[:24]):
        return None
    words = first.split(b"\r\n", 1)[0].split(b" ")
    if len(words) == 3 and words[2].startswith(b"HTTP/1."):
        return "HTTP/1.x"
    return "something other than HTTP/2"
