"""Typed calls: messages, a stub and a base that `wirelane generate` wrote.

    wirelane generate protos/demo/summator.proto --out examples/summator_rpc

python examples/generated_code.py                     starts a server inside this program, and calls it
python examples/generated_code.py localhost:50051     calls yours; `wirelane serve` is one
"""

from __future__ import annotations

import sys

from summator_rpc import SummatorBase, SummatorStub, SumReply, SumRequest

import wirelane
from wirelane import RpcError, grpc


class Summator(SummatorBase):
    """Methods that are not overridden answer UNIMPLEMENTED."""

    async def sum(self, request: SumRequest, context: grpc.Context) -> SumReply:
        return SumReply(value=request.value1 + request.value2)


async def client(address: str) -> None:
    async with grpc.connect(address) as channel:
        summator = SummatorStub(channel)
        # Type checkers and editors know what goes in, what comes out, and what the .proto file says about it.
        reply = await summator.sum(SumRequest(value1=5, value2=3), timeout=2.0)
        print("5 + 3 =", reply.value)


async def main() -> None:
    async with grpc.Server([Summator()]).listen("127.0.0.1:0") as listening:
        await client(str(listening.address))
        # The package has the .proto file in it, for those who ask by reflection.
        async with grpc.connect(str(listening.address), schema="reflection") as channel:
            print(channel.schema.proto_text("Summator/sum"))


if __name__ == "__main__":
    try:
        wirelane.run(client(sys.argv[1]) if len(sys.argv) > 1 else main())
    except RpcError as error:
        sys.exit(str(error))
