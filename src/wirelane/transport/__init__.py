"""gRPC over HTTP/2 on asyncio: the seam (`base`), connections over sockets (`client`, `server`) and in memory.

`base` is what the layers above may rely on; the other modules are how it is done.
"""

from __future__ import annotations

from wirelane.transport.base import (
    CallEnded,
    CallHandler,
    ClientConnection,
    ClientStream,
    Ending,
    Part,
    Peer,
    RequestHead,
    ResponseHead,
    ServerConnection,
    ServerStream,
    Unavailable,
)

__all__ = [
    "CallEnded",
    "CallHandler",
    "ClientConnection",
    "ClientStream",
    "Ending",
    "Part",
    "Peer",
    "RequestHead",
    "ResponseHead",
    "ServerConnection",
    "ServerStream",
    "Unavailable",
]
