"""The HTTP/2 engine, without I/O: frames, HPACK, streams, flow control (RFC 9113, RFC 7541).

`connection.Connection` reads bytes and calls the hooks of `stream.Stream` objects; `wirelane.transport` binds it to
asyncio. Nothing here imports asyncio, sockets or threads.
"""

from __future__ import annotations

from wirelane.http2.connection import Connection
from wirelane.http2.frames import ErrorCode
from wirelane.http2.headers import HeaderBlock, HeaderList
from wirelane.http2.output import Owner
from wirelane.http2.stream import Stream

__all__ = ["Connection", "ErrorCode", "HeaderBlock", "HeaderList", "Owner", "Stream"]
