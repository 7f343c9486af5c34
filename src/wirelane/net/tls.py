"""TLS settings: certificates in any form -> `ssl.SSLContext`.

`TlsConfig` holds what the user said and touches no file; the files are read when a context is made, and read
again when they have changed since (certificates are rotated without a restart). A `ssl.SSLContext` given by the
user is used as it is, with one exception: the ALPN protocols the caller needs (`h2` for gRPC) are set on it,
because a context cannot be asked whether it has any, and without them the connection cannot work.
"""

from __future__ import annotations

import os
import ssl
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn

from wirelane.errors import UsageError

__all__ = ["TOLD_OF_TLS", "TlsConfig", "client_context", "offered_alpn", "resolve_tls", "server_context"]

PathOrPem = str | bytes | os.PathLike[str]
MinVersion = Literal["1.2", "1.3"]

_VERSIONS: dict[str, ssl.TLSVersion] = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_PEM_MARK = "-----BEGIN "
_MEMORY = "/dev/shm"  # noqa: S108 - preferred to a disk, so that a key that came as bytes never reaches one

TOLD_OF_TLS: Mapping[str, Callable[[ssl.SSLObject], Any]] = {
    "ssl_object": lambda tls: tls,
    "sslcontext": lambda tls: tls.context,
    "peercert": lambda tls: tls.getpeercert(),
    "cipher": lambda tls: tls.cipher(),
    "alpn": lambda tls: tls.selected_alpn_protocol(),
    "tls_version": lambda tls: tls.version(),
}
"""What `get_extra_info` tells of TLS: the names of asyncio, and two more."""


@dataclass(frozen=True, slots=True, repr=False)
class TlsConfig:
    """How to speak TLS, for a client or a server.

    Attributes:
        ca: The certificates to trust instead of the system's: a path to a PEM file or to a directory of them
            (hashed, as `openssl rehash` leaves it, or plain `.pem`/`.crt` files), or PEM text or bytes.
            On a server: clients must then show a certificate signed by one of these (mutual TLS).
        cert: This end's certificate, with its chain: a path, or PEM text or bytes.
        key: The private key of `cert`; None when the same PEM holds both.
        server_name: The name to ask for (SNI) and to verify, instead of the host that is connected to.
        verify: False accepts any certificate: whoever sits in between can read and change everything.
        alpn: The protocols to offer instead of the caller's; empty: offer none.
        min_version: "1.2" or "1.3". Older versions are not offered (RFC 8996).
        key_password: What the private key is encrypted with.

    Raises:
        UsageError: A value makes no sense; the message names the field. Files that are missing or broken raise it
            too, but when a context is made of them.
    """

    ca: PathOrPem | None = None
    cert: PathOrPem | None = None
    key: PathOrPem | None = None
    server_name: str | None = None
    verify: bool = True
    alpn: tuple[str, ...] | None = None
    min_version: MinVersion = "1.2"
    key_password: str | bytes | None = None
    _contexts: dict[object, ssl.SSLContext] = field(default_factory=dict, init=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("ca", "cert", "key"):
            _check_source(name, getattr(self, name))
        if self.min_version not in _VERSIONS:
            raise UsageError(f"TlsConfig min_version must be '1.2' or '1.3', not {self.min_version!r}")
        if self.verify is not True and self.verify is not False:
            raise UsageError(
                f"TlsConfig verify must be True or False, not {self.verify!r}; for a CA give ca="
            )
        if self.server_name is not None and not self.server_name:
            raise UsageError("TlsConfig server_name must not be empty")
        if self.alpn is not None:
            object.__setattr__(self, "alpn", _check_alpn(self.alpn))
        if self.key is not None and self.cert is None:
            raise UsageError("TlsConfig has a key but no cert: give both")
        pem = _pem_of(self.cert)
        if pem is not None and self.key is None and b"PRIVATE KEY-----" not in pem:
            raise UsageError(
                "TlsConfig has a cert but no key, and the PEM of cert holds no private key: give key="
            )

    def client_context(self, alpn: Sequence[str] = ()) -> ssl.SSLContext:
        """Return a context for connecting; the same object until a file behind it changes.

        Args:
            alpn: The protocols to offer, first choice first, unless `self.alpn` says otherwise.

        Raises:
            UsageError: A file is missing, unreadable or no PEM; names the field and the path.
        """
        return self._context(server_side=False, alpn=alpn)

    def server_context(self, alpn: Sequence[str] = ()) -> ssl.SSLContext:
        """Return a context for accepting; the same object until a file behind it changes.

        With `ca`, clients must show a certificate. Raises UsageError as `client_context`, and without a cert.
        """
        if self.cert is None:
            raise UsageError("a TLS server needs a certificate: TlsConfig(cert=..., key=...)")
        if self.ca is not None and not self.verify:
            raise UsageError(
                "TlsConfig verify=False and ca exclude each other on a server: ca verifies its clients"
            )
        return self._context(server_side=True, alpn=alpn)

    def _context(self, *, server_side: bool, alpn: Sequence[str]) -> ssl.SSLContext:
        protocols = self.alpn if self.alpn is not None else tuple(alpn)
        stamp = tuple(_stamp(name, getattr(self, name)) for name in ("ca", "cert", "key"))
        key = (server_side, protocols, stamp)
        context = self._contexts.get(key)
        if context is None:
            context = self._build(server_side, protocols)
            for stale in [
                known for known in self._contexts if isinstance(known, tuple) and known[2] != stamp
            ]:
                del self._contexts[stale]
            self._contexts[key] = context
        return context

    def _build(self, server_side: bool, alpn: tuple[str, ...]) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = _VERSIONS[self.min_version]
        # A renegotiation (TLS 1.2) only serves attackers; HTTP/2 forbids it (RFC 9113 section 9.2.1).
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        # A stream cut without close_notify must not look like its end.
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        keylog = os.environ.get("SSLKEYLOGFILE")
        if keylog and not sys.flags.ignore_environment:
            context.keylog_filename = keylog
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if server_side:
            context.verify_mode = ssl.CERT_REQUIRED if self.ca is not None else ssl.CERT_NONE
        elif not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self.ca is None:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        if self.ca is not None:
            _load_ca(context, self.ca)
        if self.cert is not None:
            _load_cert(context, self.cert, self.key, self.key_password)
        return context

    def __repr__(self) -> str:
        shown = [] if self.verify else ["verify=False (NOT VERIFIED: any certificate is accepted)"]
        shown += [
            f"{name}={_describe(value)}"
            for name in ("ca", "cert", "key")
            if (value := getattr(self, name)) is not None
        ]
        shown += [
            f"{name}={value!r}"
            for name in ("server_name", "alpn")
            if (value := getattr(self, name)) is not None
        ]
        if self.min_version != "1.2":
            shown.append(f"min_version={self.min_version!r}")
        if self.key_password is not None:
            shown.append("key_password=<hidden>")
        return f"TlsConfig({', '.join(shown)})"

    def __reduce__(self) -> tuple[type[TlsConfig], tuple[object, ...]]:
        # Contexts cannot be pickled; they are made again where they are needed.
        names = ("ca", "cert", "key", "server_name", "verify", "alpn", "min_version", "key_password")
        return TlsConfig, tuple(getattr(self, name) for name in names)


def resolve_tls(
    tls: bool | TlsConfig | ssl.SSLContext | None, *, default: bool | None = None
) -> TlsConfig | ssl.SSLContext | None:
    """Turn what a user passes as `tls=` into settings, or None for plaintext.

    Args:
        tls: True is the system's certificates and nothing special; False is plaintext.
        default: What None means: the scheme of the address asked for TLS (True) or did not.

    Raises:
        UsageError: It is something else.
    """
    if tls is None:
        tls = bool(default)
    if tls is True:
        return TlsConfig()
    if tls is False:
        return None
    if isinstance(tls, TlsConfig | ssl.SSLContext):
        return tls
    raise UsageError(f"tls must be True, False, a TlsConfig or an ssl.SSLContext, not {type(tls).__name__}")


def client_context(tls: TlsConfig | ssl.SSLContext, alpn: Sequence[str]) -> ssl.SSLContext:
    """Return the context to connect with. A user's own context gets `alpn` set on it; nothing else changes."""
    return tls.client_context(alpn) if isinstance(tls, TlsConfig) else _with_alpn(tls, alpn)


def server_context(tls: TlsConfig | ssl.SSLContext, alpn: Sequence[str]) -> ssl.SSLContext:
    """Return the context to accept with. A user's own context gets `alpn` set on it; nothing else changes."""
    return tls.server_context(alpn) if isinstance(tls, TlsConfig) else _with_alpn(tls, alpn)


def offered_alpn(tls: TlsConfig | ssl.SSLContext, alpn: Sequence[str]) -> tuple[str, ...]:
    """Return the protocols that are really offered: the config's own, else the caller's."""
    return tls.alpn if isinstance(tls, TlsConfig) and tls.alpn is not None else tuple(alpn)


def _with_alpn(context: ssl.SSLContext, alpn: Sequence[str]) -> ssl.SSLContext:
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def _check_alpn(alpn: object) -> tuple[str, ...]:
    if isinstance(alpn, tuple | list) and all(
        isinstance(name, str) and 0 < len(name.encode()) < 256 for name in alpn
    ):
        return tuple(alpn)
    raise UsageError(f"TlsConfig alpn must be a tuple of names of 1 to 255 bytes, not {alpn!r}")


def _check_source(name: str, value: object) -> None:
    if value is None or isinstance(value, os.PathLike):
        return
    if not isinstance(value, str | bytes):
        raise UsageError(f"TlsConfig {name} must be a path or PEM text or bytes, not {type(value).__name__}")
    if not value:
        raise UsageError(f"TlsConfig {name} must not be empty")
    if isinstance(value, bytes) and _PEM_MARK.encode() not in value:
        raise UsageError(
            f"TlsConfig {name} as bytes must be PEM (no '-----BEGIN' in it); a path is given as str or Path"
        )


def _pem_of(value: PathOrPem | None) -> bytes | None:
    """Return the PEM bytes if `value` is PEM itself, None if it is a path."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str) and _PEM_MARK in value:
        return value.encode()
    return None


def _path_of(value: PathOrPem) -> Path:
    return Path(os.fspath(value) if not isinstance(value, bytes) else os.fsdecode(value)).expanduser()


def _describe(value: PathOrPem) -> str:
    return "<PEM>" if _pem_of(value) is not None else repr(str(_path_of(value)))


def _stamp(name: str, value: PathOrPem | None) -> object:
    """Return what tells one state of a file from the next; raise UsageError if it is missing."""
    if value is None or _pem_of(value) is not None:
        return None
    path = _path_of(value)
    try:
        state = path.stat()
    except FileNotFoundError:
        raise UsageError(f"TlsConfig {name}: no such file: {str(path)!r}") from None
    except OSError as exc:
        raise UsageError(f"TlsConfig {name}: cannot read {str(path)!r}: {exc.strerror}") from exc
    if stat.S_ISDIR(state.st_mode) and name != "ca":
        raise UsageError(f"TlsConfig {name}: {str(path)!r} is a directory")
    return (state.st_ino, state.st_size, state.st_mtime_ns)


def _load_ca(context: ssl.SSLContext, ca: PathOrPem) -> None:
    pem = _pem_of(ca)
    path = None if pem is not None else _path_of(ca)
    try:
        if path is None:
            assert pem is not None
            context.load_verify_locations(cadata=pem.decode("ascii", "replace"))
        elif path.is_dir():
            _load_ca_directory(context, path)
        else:
            context.load_verify_locations(cafile=path)
    except ssl.SSLError as exc:
        raise UsageError(
            f"TlsConfig ca: no usable certificate in {_describe(ca)} ({exc.reason or exc})"
        ) from exc
    except OSError as exc:
        raise UsageError(f"TlsConfig ca: cannot read {_describe(ca)}: {exc.strerror}") from exc


def _load_ca_directory(context: ssl.SSLContext, path: Path) -> None:
    """Load a directory: by its hashed names when asked for (OpenSSL does that), and its plain files now."""
    files = sorted(
        file for file in path.iterdir() if file.suffix in {".pem", ".crt", ".cer"} and file.is_file()
    )
    hashed = any(file.suffix == ".0" for file in path.iterdir())
    if not files and not hashed:
        raise UsageError(
            f"TlsConfig ca: no certificates (*.pem, *.crt, *.cer or hashed names) in directory {str(path)!r}"
        )
    for file in files:
        context.load_verify_locations(cafile=file)
    if hashed:
        context.load_verify_locations(capath=path)


def _load_cert(
    context: ssl.SSLContext, cert: PathOrPem, key: PathOrPem | None, password: str | bytes | None
) -> None:
    # Without a callable OpenSSL would ask for the password on the terminal.
    secret = password if password is not None else _no_password
    where = _describe(cert) if key is None else f"{_describe(cert)} and key {_describe(key)}"
    try:
        with _as_file(cert) as cert_file:
            if key is None:
                context.load_cert_chain(cert_file, password=secret)
            else:
                with _as_file(key) as key_file:
                    context.load_cert_chain(cert_file, key_file, password=secret)
    except ssl.SSLError as exc:
        raise UsageError(f"TlsConfig cert: cannot use {where}: {_load_problem(exc, key, password)}") from exc
    except OSError as exc:
        raise UsageError(f"TlsConfig cert: cannot read {where}: {exc.strerror}") from exc


def _load_problem(exc: ssl.SSLError, key: PathOrPem | None, password: str | bytes | None) -> str:
    if exc.reason == "KEY_VALUES_MISMATCH":
        return "the key does not belong to the certificate"
    if password is not None:
        return f"not a PEM certificate with its private key, or key_password is wrong ({exc.reason or exc})"
    if key is None and exc.reason in {None, "PEM lib", "NO_START_LINE"}:
        return "it does not hold both a certificate and its private key in PEM; give key= as well"
    return f"not a PEM certificate with its private key ({exc.reason or exc})"


def _no_password() -> NoReturn:
    raise UsageError("TlsConfig key is encrypted: give key_password=")


@contextmanager
def _as_file(value: PathOrPem) -> Iterator[str]:
    """Give `value` a name in the file system: `ssl` loads a key from nowhere else."""
    pem = _pem_of(value)
    if pem is None:
        yield str(_path_of(value))
        return
    # Created 0600, and gone after use.
    with tempfile.NamedTemporaryFile(dir=_MEMORY if os.access(_MEMORY, os.W_OK | os.X_OK) else None) as file:
        file.write(pem)
        file.flush()
        yield file.name
