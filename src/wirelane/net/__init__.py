"""Sockets, TLS and names: connections in, connections out, nothing about what is said on them.

`dial` connects, `listen` accepts, `start_tls` goes on in TLS; each gives an `asyncio.Transport` to a protocol.
Errors are ConnectError, ResolveError and TlsError, each with its step and what to try.
"""

from __future__ import annotations

from wirelane.net.dial import dial
from wirelane.net.listen import Listening, listen
from wirelane.net.starttls import start_tls
from wirelane.net.tls import TlsConfig, resolve_tls

__all__ = ["Listening", "TlsConfig", "dial", "listen", "resolve_tls", "start_tls"]
