"""What OpenSSL and the peer's first bytes mean, said for the person who has to fix it.

Nothing here does I/O: bytes and exceptions in, text and `TlsError` out.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Sequence

from wirelane.errors import TlsError

__all__ = ["RECORD_HEADER", "explain", "is_wrong_name", "plaintext", "wrong_name"]

RECORD_HEADER = 5
"""Bytes of a TLS record's header (RFC 8446 section 5.1): enough to tell TLS from the usual plaintext protocols."""

_HTTP2_PREFACE = b"PRI * HTTP/2.0"
_HTTP_METHODS = (
    b"GET ",
    b"POST ",
    b"PUT ",
    b"HEAD ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"CONNECT ",
    b"TRACE ",
)

_TRUST_HINT = "give the CA that signed it: TlsConfig(ca=...), or the option --cacert"
_CLIENT_CERT_HINT = "give a client certificate that the server accepts: TlsConfig(cert=..., key=...)"

# X509_V_ERR_* (verify_code of SSLCertVerificationError) -> (what is wrong with the certificate, what to try).
_CERTIFICATE: dict[int, tuple[str, str]] = {
    9: ("is not valid yet", "check the clock of this machine"),
    10: ("has expired", "it must be renewed on that side; check the clock of this machine"),
    18: ("is self-signed and not trusted here", "if it is yours, trust it: TlsConfig(ca=<that certificate>)"),
    19: ("is signed by a CA that is not trusted here", _TRUST_HINT),
    20: (
        "is signed by a CA that is not trusted here, or comes without its intermediate certificates",
        _TRUST_HINT,
    ),
    21: (
        "is signed by a CA that is not trusted here, or comes without its intermediate certificates",
        _TRUST_HINT,
    ),
    23: ("was revoked", "it must be replaced on that side"),
    24: ("is signed by something that is no CA", _TRUST_HINT),
    26: ("is not meant for this purpose", "it must allow the use of this side (extended key usage)"),
    66: ("has a key that is too weak", "it must be replaced on that side"),
}
_WRONG_NAME_CODES = frozenset({62, 64})

# Part of OpenSSL's reason -> (what happened, what to try); "{peer}" and "{self_}" are filled in. First match wins.
_REASONS: tuple[tuple[str, str, str | None], ...] = (
    ("ALERT_CERTIFICATE_REQUIRED", "{peer} requires a client certificate", _CLIENT_CERT_HINT),
    (
        "DID_NOT_RETURN_A_CERTIFICATE",
        "{peer} showed no certificate, and one is required",
        "the client must give a certificate, or this server no ca=",
    ),
    ("NO_APPLICATION_PROTOCOL", "{peer} agreed to none of the protocols offered (ALPN)", None),
    (
        "ALERT_PROTOCOL_VERSION",
        "{peer} refused the TLS versions offered",
        "compare min_version on both sides",
    ),
    (
        "UNSUPPORTED_PROTOCOL",
        "{peer} speaks no TLS version that is accepted here",
        "compare min_version on both sides; versions before 1.2 are never accepted",
    ),
    (
        "WRONG_SSL_VERSION",
        "{peer} speaks no TLS version that is accepted here",
        "compare min_version on both sides; versions before 1.2 are never accepted",
    ),
    (
        "UNRECOGNIZED_NAME",
        "{peer} does not serve this name",
        "give the right name: TlsConfig(server_name=...)",
    ),
    ("UNKNOWN_CA", "{peer} does not trust the CA of the certificate of {self_}", None),
    ("CERTIFICATE_EXPIRED", "{peer} refused the certificate of {self_}: it has expired", None),
    ("CERTIFICATE_REVOKED", "{peer} refused the certificate of {self_}: it was revoked", None),
    ("BAD_CERTIFICATE", "{peer} refused the certificate of {self_}", None),
    ("UNSUPPORTED_CERTIFICATE", "{peer} refused the certificate of {self_}: its kind is not supported", None),
    ("CERTIFICATE_UNKNOWN", "{peer} refused the certificate of {self_}", None),
    ("ALERT_ACCESS_DENIED", "{peer} denied access to the certificate of {self_}", None),
    ("ALERT_DECRYPT_ERROR", "{peer} could not verify the key of {self_}", None),
    (
        "NO_SHARED_CIPHER",
        "no cipher is shared with {peer}",
        "compare the ciphers and certificates of both sides",
    ),
    (
        "ALERT_HANDSHAKE_FAILURE",
        "{peer} broke off the handshake: no cipher is shared, or it requires a client certificate",
        _CLIENT_CERT_HINT,
    ),
    ("NO_RENEGOTIATION", "{peer} asked for a renegotiation, which is not allowed", None),
)


def explain(
    exc: ssl.SSLError, *, peer: str, name: str | None, server_side: bool, established: bool = False
) -> TlsError:
    """Return what an error of OpenSSL means.

    Args:
        exc: The error.
        peer: The other side as text ("localhost:443").
        name: The name its certificate was checked for.
        server_side: We are the server.
        established: The handshake was over on this side. In TLS 1.3 a server tells only then that it refuses
            the client (RFC 8446 section 4.4.2.4).
    """
    who = f"the {'client' if server_side else 'server'} at {peer}"
    host = name or peer
    if isinstance(exc, ssl.SSLCertVerificationError):
        return _explain_certificate(exc, who=who, host=host, name=name)
    step = "after the handshake" if established else "handshake"
    reason = _reason(exc)
    for part, text, hint in _REASONS:
        if part in reason:
            if hint is None and "certificate of {self_}" in text:
                hint = _REFUSED_HINTS[server_side]
            said = text.format(peer=who, self_="this server" if server_side else "this client")
            return TlsError(said, host=host, step=step, hint=hint)
    what = "broke off TLS" if "ALERT" in reason else "sent what is no proper TLS"
    shown = reason.replace("_", " ").lower() or str(exc)
    return TlsError(f"{who} {what} ({shown})", host=host, step=step)


def _reason(exc: ssl.SSLError) -> str:
    """Return OpenSSL's reason in capitals; Python has no such name for the newer ones, only their text."""
    if exc.reason:
        return exc.reason
    text = re.fullmatch(r"\[SSL[^]]*\] (.*) \(_ssl\.c:\d+\)", str(exc.args[1]) if len(exc.args) > 1 else "")
    return text[1].upper().replace(" ", "_") if text else ""


_REFUSED_HINTS = {
    False: _CLIENT_CERT_HINT,
    True: "the client must trust the CA of this server's certificate",
}


def _explain_certificate(
    exc: ssl.SSLCertVerificationError, *, who: str, host: str, name: str | None
) -> TlsError:
    if exc.verify_code in _WRONG_NAME_CODES:
        return wrong_name(who=who, name=name or host)
    what, hint = _CERTIFICATE.get(
        exc.verify_code, (f"is not accepted ({exc.verify_message})", "look at the certificate of that side")
    )
    return TlsError(f"the certificate of {who} {what}", host=host, step="verify certificate", hint=hint)


def is_wrong_name(exc: BaseException | None) -> bool:
    """Return whether the certificate was in order but for another name."""
    return isinstance(exc, ssl.SSLCertVerificationError) and exc.verify_code in _WRONG_NAME_CODES


def wrong_name(*, who: str, name: str, presented: Sequence[str] = ()) -> TlsError:
    """Return the error for a certificate of another name; `presented` are the names it has, where known."""
    text = f"the certificate of {who} is not for {name!r}"
    if presented:
        names = ", ".join(presented[:5]) + (f" and {len(presented) - 5} more" if len(presented) > 5 else "")
        text += f" but for {names}"
    kind = (
        "it needs this IP address as a subject alternative name; or say"
        if re.fullmatch(r"[0-9.]+|.*:.*", name)
        else "say"
    )
    hint = f"{kind} which name to check: TlsConfig(server_name={presented[0] if presented else '...'!r})"
    return TlsError(text, host=name, step="verify certificate", hint=hint)


def plaintext(first: bytes, *, from_server: bool) -> str | None:
    """Return what a peer speaks that should speak TLS, from its first bytes; None if it may be TLS.

    Args:
        first: At least RECORD_HEADER bytes, unless the peer sent fewer and ended.
        from_server: They came from a server: HTTP responses and SETTINGS; otherwise requests and the preface.
    """
    # Handshake or alert of any version 3.x; an SSLv2 hello cannot be told from noise, and is none of ours.
    if first[:1] in {b"\x16", b"\x15"} and first[1:2] in {b"\x03", b""}:
        return None
    if from_server:
        if first.startswith(b"HTTP/"):
            return _first_line(first)
        # A frame header: length (3), type SETTINGS = 4, flags, stream 0 (RFC 9113 section 4.1, 6.5).
        if len(first) >= RECORD_HEADER and first[:1] == b"\0" and first[3:5] == b"\x04\0":
            return "HTTP/2 without TLS"
    else:
        if first.startswith(_HTTP2_PREFACE[: len(first)]) and first:
            return "HTTP/2 without TLS"
        if first.startswith(_HTTP_METHODS):
            return "HTTP/1 without TLS"
    return _first_line(first)


def _first_line(data: bytes) -> str:
    """Show text as text, anything else as bytes, at most 40 of them."""
    line = data.split(b"\n", 1)[0].rstrip(b"\r")
    if line and all(0x20 <= byte < 0x7F for byte in line):
        return repr(line[:40].decode("ascii")) + ("..." if len(line) > 40 else "")
    return repr(data[:16])[1:] + ("..." if len(data) > 16 else "")
