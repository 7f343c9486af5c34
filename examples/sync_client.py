"""gRPC and TCP without `await`: a server whose handlers block, a channel that threads share, a stream, lines.

python examples/sync_client.py
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from wirelane.sync import grpc, tcp

PROTO = """
syntax = "proto3";
message Pair { int32 a = 1; int32 b = 2; }
message Number { int32 value = 1; }
service Sums {
  rpc Add(Pair) returns (Number);
  rpc Count(Number) returns (stream Number);
}
"""

server = grpc.Server(schema=PROTO)


@server.method("Sums/Add")
def add(pair: dict[str, int]) -> dict[str, int]:
    # In a thread of the server's: it may block.
    return {"value": pair["a"] + pair["b"]}


@server.method("Sums/Count")
def count(number: dict[str, int]) -> Iterator[dict[str, int]]:
    for value in range(number["value"]):
        yield {"value": value}


def shout(connection: tcp.Connection) -> None:
    for line in connection.lines():
        connection.send_line(line.upper())


def main() -> None:
    """Call both servers."""
    with (
        server.listen("127.0.0.1:0") as listening,
        grpc.connect(f"127.0.0.1:{listening.port}", schema=PROTO) as channel,
    ):
        print("1 + 2 =", channel.unary("Sums/Add", {"a": 1, "b": 2}, timeout=5)["value"])

        # Any number of threads may share a channel.
        sums = channel.service("Sums")
        with ThreadPoolExecutor(8) as threads:
            replies = threads.map(sums.add, [{"a": n, "b": n} for n in range(8)])
            print("doubled:", [reply["value"] for reply in replies])

        # A call as an object: under way at once, and all that the server says of it.
        call = channel.unary_call("Sums/Add", {"a": 20, "b": 22}, timeout=5)
        print("the answer:", call.reply()["value"], "from", call.peer, "with", call.trailing_metadata)

        with channel.server_stream("Sums/Count", {"value": 4}) as stream:
            print("counted:", [message["value"] for message in stream])

    with (
        tcp.Server(shout).listen("127.0.0.1:0") as lines,
        tcp.connect(f"127.0.0.1:{lines.port}") as connection,
    ):
        connection.send_line("hello")
        print("heard:", connection.read_line(timeout=5))


if __name__ == "__main__":
    main()
