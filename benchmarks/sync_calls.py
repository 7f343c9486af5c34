"""wirelane.sync beside grpcio's blocking API, and beside wirelane with asyncio: one server for all, each client in a process of its own.

    python -m benchmarks.sync_calls [--repeat N] [--json FILE]

The server of the calls is wirelane's (uvloop) in another process, that of the lines a bare one. Clients take turns, N times; the best of
each counts. What is printed are things per second, and the ratio to the peer of the row.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks import work
from benchmarks.processes import ROOT, serving

SERVER: Final = (sys.executable, "-m", "benchmarks.rpc_wirelane", "uvloop", "serve")
LINES: Final = (sys.executable, "-m", "benchmarks.sync_calls", "serve-lines")
LINE: Final = b"x" * 63 + b"\n"

CALLS: Final = 2_000
MESSAGES: Final = 20_000
MOST_LINES: Final = 400_000

# row -> (what it is compared with, how many times that it should be)
ROWS: Final = {
    "unary, 1 thread": ("grpcio", 1.5),
    "unary, 16 threads": ("grpcio", 1.5),
    "messages received": ("grpcio", 5.0),
    "messages sent": ("grpcio", 5.0),
    "messages sent and received": ("grpcio", 5.0),
    "lines received": ("asyncio", 0.5),
}


def timed(count: int, function: Callable[[], object]) -> float:
    """Things per second."""
    began = time.perf_counter()
    function()
    return count / (time.perf_counter() - began)


def in_threads(threads: int, function: Callable[[], object]) -> None:
    """Call a function in as many threads at once."""
    running = [threading.Thread(target=function) for _ in range(threads)]
    for each in running:
        each.start()
    for each in running:
        each.join()


def consumed(messages: Iterable[object]) -> int:
    """How many there are."""
    return sum(1 for _ in messages)


def requests() -> Iterator[Any]:
    """The messages that a client sends."""
    return (work.Request(count=number) for number in range(MESSAGES))


def measure(unary: Callable[[], object], read: Any, write: Any, echo: Any) -> dict[str, float]:
    """The rows of one client of calls."""

    def several(calls: int) -> None:
        for _ in range(calls):
            unary()

    several(CALLS // 10)
    return {
        "unary, 1 thread": timed(CALLS, lambda: several(CALLS)),
        "unary, 16 threads": timed(CALLS * 2, lambda: in_threads(16, lambda: several(CALLS // 8))),
        "messages received": timed(MESSAGES, read),
        "messages sent": timed(MESSAGES, write),
        "messages sent and received": timed(MESSAGES, echo),
    }


def wirelane_sync(port: int, lines: int) -> dict[str, float]:
    """Ours."""
    from benchmarks.rpc_wirelane import method
    from wirelane.sync import grpc, tcp

    with grpc.connect(f"127.0.0.1:{port}") as channel:
        unary, down, up, both = map(
            method, (work.UNARY, work.SERVER_STREAM, work.CLIENT_STREAM, work.BIDI_STREAM)
        )

        def read() -> None:
            with channel.server_stream(down, work.Request(name="x", count=MESSAGES)) as stream:
                assert consumed(stream) == MESSAGES

        def write() -> None:
            assert channel.client_stream(up, requests()).number == MESSAGES

        def echo() -> None:
            with channel.bidi_stream(both, requests()) as stream:
                assert consumed(stream) == MESSAGES

        found = measure(lambda: channel.unary(unary, work.Request(name="x")), read, write, echo)
    with tcp.connect(f"127.0.0.1:{lines}") as connection:
        found["lines received"] = timed(MOST_LINES, lambda: consumed(connection.lines()))
    return found


def grpcio(port: int, lines: int) -> dict[str, float]:
    """Google's."""
    import grpc

    coders = (work.Request.SerializeToString, work.Reply.FromString)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        unary = channel.unary_unary(work.UNARY, *coders)
        down = channel.unary_stream(work.SERVER_STREAM, *coders)
        up = channel.stream_unary(work.CLIENT_STREAM, *coders)
        both = channel.stream_stream(work.BIDI_STREAM, *coders)

        def read() -> None:
            assert consumed(down(work.Request(name="x", count=MESSAGES))) == MESSAGES

        def write() -> None:
            assert up(requests()).number == MESSAGES

        def echo() -> None:
            assert consumed(both(requests())) == MESSAGES

        return measure(lambda: unary(work.Request(name="x")), read, write, echo)


def wirelane_async(port: int, lines: int) -> dict[str, float]:
    """Ours, with asyncio: what the way into the loop costs."""
    import wirelane
    from wirelane import tcp

    async def main() -> float:
        async with tcp.connect(f"127.0.0.1:{lines}") as connection:
            began = time.perf_counter()
            count = 0
            async for _ in connection.lines():
                count += 1
            assert count == MOST_LINES
            return MOST_LINES / (time.perf_counter() - began)

    return {"lines received": wirelane.run(main())}


CLIENTS: Final = {"wirelane.sync": wirelane_sync, "grpcio": grpcio, "asyncio": wirelane_async}


async def serve_lines() -> None:
    """Sends the lines to whoever connects, and closes."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(MOST_LINES // 1000):
            writer.write(LINE * 1000)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    work.announce(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def run(name: str, port: int, lines: int) -> dict[str, float]:
    """Let one client measure itself, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.sync_calls", "client", name, str(port), str(lines)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=300)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def show(best: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """Print the table, and return its rows."""
    table = Table(title="without await", title_justify="left", header_style="bold")
    for heading in ("", "wirelane.sync /s", "peer", "peer /s", "ratio", "wanted"):
        table.add_column(heading, justify="left" if heading in {"", "peer"} else "right")
    rows = []
    for row, (peer, wanted) in ROWS.items():
        ours, theirs = best["wirelane.sync"][row], best[peer][row]
        rows.append(
            {
                "row": row,
                "ours": ours,
                "peer": peer,
                "theirs": theirs,
                "ratio": ours / theirs,
                "wanted": wanted,
            }
        )
        table.add_row(row, f"{ours:,.0f}", peer, f"{theirs:,.0f}", f"{ours / theirs:.2f}", f"{wanted:g}")
    Console().print(table)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks.sync_calls", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--repeat", type=int, default=3, help="turns of each client")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    arguments = parser.parse_args()
    best: dict[str, dict[str, float]] = {name: {} for name in CLIENTS}
    with serving(SERVER, {}) as (_, port), serving(LINES, {}) as (_, lines):
        for _ in range(arguments.repeat):
            for name in CLIENTS:
                for row, value in run(name, port, lines).items():
                    best[name][row] = max(value, best[name].get(row, 0.0))
    rows = show(best)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(rows, indent=1), "utf-8")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve-lines"]:
            asyncio.run(serve_lines())
        case ["client", name, port, lines]:
            print(json.dumps(CLIENTS[name](int(port), int(lines))))
        case _:
            main()
