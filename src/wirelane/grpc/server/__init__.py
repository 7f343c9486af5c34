"""The gRPC server: services, their calls, and the life of the sockets that bring them.

`server` is the object people hold, `router` finds the handler of a path, `handler` runs one call, `context` is what a
handler sees of its call, `adapters` runs services written for grpclib and betterproto2, `lifecycle` listens and drains,
`stats` is what it counts.
"""

from __future__ import annotations

from wirelane.grpc.server.context import Context
from wirelane.grpc.server.lifecycle import Listening, ServerState
from wirelane.grpc.server.server import Server
from wirelane.grpc.server.stats import ServerStats

__all__ = ["Context", "Listening", "Server", "ServerState", "ServerStats"]
