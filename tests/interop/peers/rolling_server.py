"""The server of test_rolling_restart: `rolling_server.py NAME PORT [CERT KEY]`.

Answers every call with its name, in two methods: One, and Down with three messages. Prints its port when it listens; ends
by SIGTERM, as `serve` does.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

import wirelane
from wirelane import TlsConfig, grpc
from wirelane.grpc import Cardinality, Method
from wirelane.net.signals import stop_signals

NAME = sys.argv[1].encode()


async def one(request: bytes) -> bytes:
    return NAME


async def down(request: bytes) -> AsyncIterator[bytes]:
    for _ in range(3):
        yield NAME
        await asyncio.sleep(0)


async def main() -> None:
    tls = TlsConfig(cert=sys.argv[3], key=sys.argv[4]) if len(sys.argv) > 3 else None
    server = grpc.Server(
        [
            {
                Method("test.Rolling/One", Cardinality.UNARY, bytes, bytes): one,
                Method("test.Rolling/Down", Cardinality.SERVER_STREAM, bytes, bytes): down,
            }
        ],
        tls=tls,
        health=False,
        reflection=False,
    )
    with stop_signals() as signals:
        async with server.listen(f"127.0.0.1:{sys.argv[2]}", reuse_port=True) as listening:
            print(listening.port, flush=True)
            await signals.stopped.wait()


wirelane.run(main())
