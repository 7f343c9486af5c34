"""Servers whose handlers block, wirelane.sync's beside grpcio's: streams of small messages, with the same client for both.

    python -m benchmarks.sync_servers [--repeat N] [--json FILE]

Servers and client are processes of their own. The client is wirelane (uvloop) with messages that are octets already, so that it costs
little beside the server. Servers take turns, N times; the best of each counts. What is printed are messages per second, and the ratio.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks import work
from benchmarks.processes import ROOT, serving

MESSAGES: Final = 20_000
THREADS: Final = 32

# row -> how many times as many as grpcio's it should be
ROWS: Final = {"messages received": 5.0, "messages sent": 5.0, "messages received and sent": 5.0}

# The handlers: the same for both servers, but for the context, which grpcio always gives.


def down(request: Any, context: object = None) -> Iterator[Any]:
    """Sends as many as it is asked for."""
    for number in range(request.count):
        yield work.Reply(number=number)


def up(requests: Iterable[Any], context: object = None) -> Any:
    """Receives all that come."""
    return work.Reply(number=sum(1 for _ in requests))


def both(requests: Iterable[Any], context: object = None) -> Iterator[Any]:
    """Answers each."""
    for request in requests:
        yield work.answer(request)


def serve_wirelane() -> None:
    """Ours."""
    from benchmarks.rpc_wirelane import method
    from wirelane.sync import grpc

    server = grpc.Server(reflection=False, health=False, threads=THREADS)
    for path, handler in ((work.SERVER_STREAM, down), (work.CLIENT_STREAM, up), (work.BIDI_STREAM, both)):
        server.method(method(path))(handler)
    with server.listen("127.0.0.1:0") as listening:
        work.announce(listening.port)
        threading.Event().wait()


def serve_grpcio() -> None:
    """Google's."""
    import grpc

    coders: Any = {
        "request_deserializer": work.Request.FromString,
        "response_serializer": work.Reply.SerializeToString,
    }
    service, _, name = work.SERVER_STREAM.rpartition("/")
    handlers = {
        name: grpc.unary_stream_rpc_method_handler(down, **coders),
        work.CLIENT_STREAM.rpartition("/")[2]: grpc.stream_unary_rpc_method_handler(up, **coders),
        work.BIDI_STREAM.rpartition("/")[2]: grpc.stream_stream_rpc_method_handler(both, **coders),
    }
    server = grpc.server(ThreadPoolExecutor(THREADS))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.strip("/"), handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    work.announce(port)
    server.wait_for_termination()


SERVERS: Final = {"wirelane.sync": serve_wirelane, "grpcio": serve_grpcio}


async def measure(port: int) -> dict[str, float]:
    """The rows of one server."""
    from wirelane import grpc

    def raw(path: str, kind: grpc.Cardinality) -> grpc.Method[bytes, bytes]:
        return grpc.Method(path, kind, bytes, bytes)

    asked = work.Request(name="x", count=MESSAGES).SerializeToString()
    message = work.Request(count=7).SerializeToString()
    downward = raw(work.SERVER_STREAM, grpc.Cardinality.SERVER_STREAM)
    upward = raw(work.CLIENT_STREAM, grpc.Cardinality.CLIENT_STREAM)
    conversation = raw(work.BIDI_STREAM, grpc.Cardinality.BIDI_STREAM)

    async def timed(function: Callable[[], Awaitable[int]]) -> float:
        began = time.perf_counter()
        assert await function() == MESSAGES
        return MESSAGES / (time.perf_counter() - began)

    async with grpc.connect(f"127.0.0.1:{port}") as channel:

        async def received() -> int:
            reply = await channel.client_stream(upward, (message for _ in range(MESSAGES)))
            return int(work.Reply.FromString(reply).number)

        async def sent() -> int:
            async with channel.server_stream(downward, asked) as stream:
                return len([0 async for _ in stream])

        async def exchanged() -> int:
            async with channel.bidi_stream(conversation, (message for _ in range(MESSAGES))) as stream:
                return len([0 async for _ in stream])

        return {
            row: await timed(function)
            for row, function in zip(ROWS, (received, sent, exchanged), strict=True)
        }


def run(port: int) -> dict[str, float]:
    """Let a client measure a server, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.sync_servers", "client", str(port)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=300)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def show(best: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """Print the table, and return its rows."""
    table = Table(title="handlers that block", title_justify="left", header_style="bold")
    for heading in ("", "wirelane.sync /s", "grpcio /s", "ratio", "wanted"):
        table.add_column(heading, justify="right" if heading else "left")
    rows = []
    for row, wanted in ROWS.items():
        ours, theirs = (best[name][row] for name in SERVERS)
        rows.append({"row": row, "ours": ours, "theirs": theirs, "ratio": ours / theirs, "wanted": wanted})
        table.add_row(row, f"{ours:,.0f}", f"{theirs:,.0f}", f"{ours / theirs:.2f}", f"{wanted:g}")
    Console().print(table)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks.sync_servers", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--repeat", type=int, default=3, help="turns of each server")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    arguments = parser.parse_args()
    best: dict[str, dict[str, float]] = {name: {} for name in SERVERS}
    for _ in range(arguments.repeat):
        for name in SERVERS:
            command = (sys.executable, "-m", "benchmarks.sync_servers", "serve", name)
            with serving(command, {}) as (_, port):
                for row, value in run(port).items():
                    best[name][row] = max(value, best[name].get(row, 0.0))
    rows = show(best)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(rows, indent=1), "utf-8")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", name]:
            SERVERS[name]()
        case ["client", port]:
            import wirelane

            print(json.dumps(wirelane.run(measure(int(port)))))
        case _:
            main()
