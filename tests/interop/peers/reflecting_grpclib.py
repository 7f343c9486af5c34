"""A grpclib server with health and reflection, for test_reflection_peers: in a process of its own, because its modules
and grpcio's declare the same messages.

    python reflecting_grpclib.py v1|v1alpha|both

It prints its port, and ends with its input.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, cast

from grpclib.health.service import Health
from grpclib.reflection.service import ServerReflection
from grpclib.server import Server


def _is_wanted(service: Any, version: str) -> bool:
    path = next(iter(service.__mapping__())).lstrip("/")
    return (
        version == "both"
        or not path.startswith("grpc.reflection.")
        or path.startswith(f"grpc.reflection.{version}.")
    )


async def main(version: str) -> None:
    services = [each for each in ServerReflection.extend([Health()]) if _is_wanted(each, version)]
    server = Server(services)
    await server.start("127.0.0.1", 0)
    (listener,) = cast("asyncio.Server", server._server).sockets
    print(listener.getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()
    await server.wait_closed()


asyncio.run(main(sys.argv[1]))
