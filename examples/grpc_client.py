"""Call a gRPC server by the names in a .proto file: no generated code.

python examples/grpc_client.py                     starts a server inside this program, and calls it
python examples/grpc_client.py localhost:50051     calls yours; `wirelane serve` is one
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import wirelane
from wirelane import RpcError, StatusCode, grpc

PROTO = Path(__file__).parent.parent / "protos" / "demo" / "summator.proto"


async def client(address: str) -> None:
    # The .proto file is compiled here and now. schema="reflection" would ask the server instead.
    async with grpc.connect(address, schema=PROTO) as channel:
        # Messages are dicts. A wrong field, or a number that does not fit, is found before it is sent.
        reply = await channel.unary("Summator/sum", {"value1": 5, "value2": 3}, timeout=2.0)
        print("5 + 3 =", reply["value"])

        # The same call as a method of an object.
        summator = channel.service("Summator")
        reply = await summator.sum({"value1": 0.5, "value2": 0.25})
        print("0.5 + 0.25 =", reply["value"])

        # Whatever a server answers but OK is an RpcError, with its status, message, details and metadata.
        try:
            await channel.unary(grpc.Method("Summator/divide", grpc.Cardinality.UNARY, bytes, bytes), b"")
        except RpcError as error:
            assert error.code is StatusCode.UNIMPLEMENTED
            print("there is no division:", error)


@asynccontextmanager
async def server_of_our_own() -> AsyncIterator[str]:
    server = grpc.Server(schema=PROTO)

    @server.method("Summator/sum")
    async def add(request: dict[str, float]) -> dict[str, float]:
        return {"value": request["value1"] + request["value2"]}

    async with server.listen("127.0.0.1:0") as listening:
        yield str(listening.address)


async def main() -> None:
    if len(sys.argv) > 1:
        await client(sys.argv[1])
    else:
        async with server_of_our_own() as address:
            await client(address)


if __name__ == "__main__":
    wirelane.run(main())
