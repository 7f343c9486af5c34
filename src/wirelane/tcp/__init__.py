"""Raw TCP and Unix sockets, with or without TLS: a client, a server, and reads that say when they end.

    async with tcp.connect("localhost:7") as connection:
        await connection.send_line("hello")
        line = await connection.read_line(timeout=5.0)

`Connection` tells what its reads promise. `request` is one exchange on a connection of its own; `Server` calls a
function with a `Connection` for each client; `Pool` keeps connections to use them again.
"""

from __future__ import annotations

from wirelane.core.delimiters import Record
from wirelane.net.options import SocketOptions
from wirelane.net.proxy import ProxyConfig
from wirelane.tcp.connecting import Connecting, connect
from wirelane.tcp.connection import Connection
from wirelane.tcp.iterating import Chunks, Frames, Lines, Records
from wirelane.tcp.listening import Handler, Listening, ServerState, ServerStats
from wirelane.tcp.pool import Pool, Pooled, PoolStats
from wirelane.tcp.request import request
from wirelane.tcp.server import Server

__all__ = [
    "Chunks",
    "Connecting",
    "Connection",
    "Frames",
    "Handler",
    "Lines",
    "Listening",
    "Pool",
    "PoolStats",
    "Pooled",
    "ProxyConfig",
    "Record",
    "Records",
    "Server",
    "ServerState",
    "ServerStats",
    "SocketOptions",
    "connect",
    "request",
]
