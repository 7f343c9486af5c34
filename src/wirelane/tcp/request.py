"""One question, one answer, on a connection of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from wirelane.core.deadline import Deadline
from wirelane.core.delimiters import encode_text
from wirelane.tcp.connecting import connect
from wirelane.tcp.connection import Connection
from wirelane.tcp.sending import Data, to_bytes

if TYPE_CHECKING:
    import ssl

    from wirelane.core.limits import Limits
    from wirelane.net.options import SocketOptions
    from wirelane.net.proxy import ProxyLike
    from wirelane.net.tls import TlsConfig
    from wirelane.net.trace import TraceLike

__all__ = ["request"]


async def request(
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
    r"""Connect, send `data`, read one reply, close.

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
        cut at once if something went wrong or the task is cancelled.
    """
    deadline = Deadline.after(timeout)
    payload = encode_text(data, encoding) if isinstance(data, str) else to_bytes(data)
    connecting = connect(
        address,
        tls=tls,
        proxy=proxy,
        connect_timeout=None if deadline is None else timeout,
        limits=limits,
        server_name=server_name,
        options=options,
        trace=trace,
    )
    async with connecting as connection:
        try:
            await connection.send(payload, timeout=_left(deadline))
            return await _reply(connection, marker, max_bytes, keep_marker, _left(deadline))
        except BaseException:
            connection.abort()  # an orderly close might take longer than what is left of the deadline
            raise


async def _reply(
    connection: Connection,
    marker: bytes | Iterable[bytes] | None,
    max_bytes: int | None,
    keep_marker: bool,
    timeout: float | None,
) -> bytes:
    if marker is None:
        return await connection.read_until_eof(max_bytes, timeout)
    return await connection.read(max_bytes, marker, timeout, keep_marker)


def _left(deadline: Deadline | None) -> float | None:
    return None if deadline is None else deadline.remaining()
