"""One exchange on a connection of its own.

Made of `wirelane.tcp.request` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable

from wirelane.core.limits import Limits
from wirelane.net.options import SocketOptions
from wirelane.net.proxy import ProxyLike
from wirelane.net.tls import TlsConfig
from wirelane.net.trace import TraceLike
from wirelane.sync._portal import run
from wirelane.tcp.request import request as async_request
from wirelane.tcp.sending import Data

__all__ = ["request"]


def request(
    address: str,
    data: Data | str,
    *,
    marker: bytes | Iterable[bytes] | None = b"\n",
    timeout: float | None = 5.0,
    tls: bool | TlsConfig | ssl.SSLContext | None = None,
    proxy: ProxyLike = None,
    encoding: str = "utf-8",
    max_bytes: int | None = None,
    keep_marker: bool = True,
    limits: Limits | None = None,
    server_name: str | None = None,
    options: SocketOptions | None = None,
    trace: TraceLike = None,
) -> bytes:
    """Connect, send `data`, read one reply, close.

    Args:
        address: As for `connect`.
        data: Sent as it is; no newline is added. Text is encoded.
        marker: Where the reply ends: bytes or several, as for `Connection.read`. None: where the peer closes.
        timeout: Seconds for everything together; None waits for ever.
        tls: As for `connect`.
        proxy: As for `connect`.
        encoding: Of `data`, if it is text.
        max_bytes: The reply ends after so many bytes at the latest (with a marker), or may not be longer (without).
        keep_marker: Leave the marker at the end of the reply.
        limits: As for `connect`.
        server_name: As for `connect`.
        options: As for `connect`.
        trace: As for `connect`.

    Returns:
        The reply, as bytes.

    Raises:
        ReadTimeout, EndOfStream, ConnectionLost, LimitExceeded: No whole reply came; what came is in `.partial`.
        SendTimeout, CodecError, UsageError, and what `connect` raises. The connection is closed in any case, and
        cut at once if something went wrong or Ctrl-C interrupts it.
    """
    return run(
        async_request,
        address,
        data,
        marker=marker,
        timeout=timeout,
        tls=tls,
        proxy=proxy,
        encoding=encoding,
        max_bytes=max_bytes,
        keep_marker=keep_marker,
        limits=limits,
        server_name=server_name,
        options=options,
        trace=trace,
    )
