"""What is measured: the cases, the messages that every stack shares, and how a client reports.

All stacks use the same message classes (Google's upb), so that what differs is the stack. A client runs a case for a
fixed number of operations after a warm-up, and prints one line of JSON: operations, wall seconds, its own CPU seconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wirelane import Schema

SCHEMA = Schema.load(Path(__file__).with_name("bench.proto"))
Request: Any = SCHEMA.message_class("bench.Request")
Reply: Any = SCHEMA.message_class("bench.Reply")
UNARY = "/bench.Echo/Unary"
SERVER_STREAM = "/bench.Echo/ServerStream"
MIB = 1024 * 1024
RECEIVE_LIMIT = 4 * MIB
SMALL = Request(name="wirelane", count=1)
LARGE = Request(name="large", payload=bytes(MIB))


@dataclass(frozen=True)
class Case:
    """One measurement.

    Attributes:
        operations: How many calls, messages or lines.
        in_flight: Calls at once.
        unit: What an operation is.
    """

    name: str
    title: str
    operations: int
    in_flight: int
    unit: str


CASES = {
    case.name: case
    for case in (
        Case("unary_1", "unary, 1 in flight", 6_000, 1, "call"),
        Case("unary_64", "unary, 64 in flight", 20_000, 64, "call"),
        Case("server_stream", "server stream, small messages", 100_000, 1, "message"),
        Case("unary_1mib", "unary, 1 MiB each way, 4 in flight", 400, 4, "call"),
    )
}

OneCall = Callable[[Any], Awaitable[Any]]
ReadStream = Callable[[Any], Awaitable[int]]


def answer(request: Any) -> Any:
    """What every server answers to a unary call."""
    return Reply(message=request.name, number=request.count, payload=request.payload)


async def measure(case: Case, unary: OneCall, read_stream: ReadStream, scale: float) -> None:
    """Run a case through a stack's two functions and print the report."""
    operations = max(case.in_flight, int(case.operations * scale))

    async def run(count: int) -> None:
        if case.name == "server_stream":
            received = await read_stream(Request(name="x", count=count))
            assert received == count, f"{received} of {count} messages"
            return
        request = LARGE if case.name == "unary_1mib" else SMALL

        async def worker(calls: int) -> None:
            for _ in range(calls):
                reply = await unary(request)
                assert len(reply.payload) == len(request.payload)

        await asyncio.gather(*(worker(count // case.in_flight) for _ in range(case.in_flight)))

    await run(max(case.in_flight, operations // 10))
    cpu, wall = time.process_time(), time.perf_counter()
    await run(operations)
    report(operations, time.perf_counter() - wall, time.process_time() - cpu)


def report(operations: int, seconds: float, cpu: float) -> None:
    """Print what the parent reads."""
    print(json.dumps({"operations": operations, "seconds": seconds, "cpu": cpu}), flush=True)


def announce(port: int) -> None:
    """Print where a server listens, for the parent to read."""
    print(port, flush=True)


def run(main: Coroutine[Any, Any, None], loop: str) -> None:
    """Run on the loop asked for."""
    if loop == "uvloop":
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main)
    else:
        asyncio.run(main)


def entry(
    serve: Callable[[], Coroutine[Any, Any, None]], client: Callable[..., Coroutine[Any, Any, None]]
) -> None:
    """`MODULE LOOP serve` or `MODULE LOOP client PORT CASE SCALE`."""
    loop, what, *rest = sys.argv[1:]
    if what == "serve":
        run(serve(), loop)
    else:
        port, case, scale = rest
        run(client(int(port), CASES[case], float(scale)), loop)
