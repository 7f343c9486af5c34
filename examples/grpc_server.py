"""Serve gRPC: plain functions that take dicts and return dicts.

python examples/grpc_server.py                      serves, calls itself once, and ends
python examples/grpc_server.py 127.0.0.1:50051      serves until Ctrl-C; then try in another terminal:

    wirelane list 127.0.0.1:50051
    wirelane call 127.0.0.1:50051 Greeter/SayHello -d '{"name": "you"}'
"""

from __future__ import annotations

import sys
from pathlib import Path

import wirelane
from wirelane import StatusCode, grpc

PROTOS = Path(__file__).parent.parent / "protos" / "demo"

# A directory is a schema, too. Reflection and health checks are served along with it.
server = grpc.Server(schema=PROTOS)


@server.method("Summator/sum")
async def add(request: dict[str, float]) -> dict[str, float]:
    return {"value": request["value1"] + request["value2"]}


@server.method("Greeter/SayHello")
async def say_hello(request: dict[str, str], context: grpc.Context) -> dict[str, str]:
    if not request["name"]:
        # Ends the call with this status. An exception of any other kind would tell the client nothing but UNKNOWN.
        context.abort(StatusCode.INVALID_ARGUMENT, "who are you?")
    context.trailing_metadata["x-greeted"] = "yes"
    return {"message": f"Hello, {request['name']}!"}


async def try_it() -> None:
    async with server.listen("127.0.0.1:0") as listening:
        reply = await grpc.call(
            str(listening.address), "Greeter/SayHello", {"name": "newcomer"}, schema="reflection"
        )
        print(reply["message"])


if __name__ == "__main__":
    # serve() ends at Ctrl-C or SIGTERM: calls in flight may finish.
    wirelane.run(server.serve(sys.argv[1]) if len(sys.argv) > 1 else try_it())
