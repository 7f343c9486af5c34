"""TCP without `await`: connections, pools, and reads that say when they end.

    with tcp.connect("localhost:7") as connection:
        connection.send_line("hello")
        line = connection.read_line(timeout=5.0)

`Connection` tells what its reads promise; `request` is one exchange on a connection of its own.
"""

from __future__ import annotations

from wirelane.core.delimiters import Record
from wirelane.net.options import SocketOptions
from wirelane.net.proxy import ProxyConfig
from wirelane.sync.tcp.connecting import connect
from wirelane.sync.tcp.connection import Connection
from wirelane.sync.tcp.iterating import Chunks, Frames, Lines, Records
from wirelane.sync.tcp.listening import Listening
from wirelane.sync.tcp.pool import Pool, Pooled
from wirelane.sync.tcp.request import request
from wirelane.sync.tcp.server import Server
from wirelane.tcp.listening import ServerState, ServerStats
from wirelane.tcp.pool import PoolStats

__all__ = [
    "Chunks",
    "Connection",
    "Frames",
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
