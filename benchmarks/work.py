"""What is measured: the cases, the messages that every stack shares, how a client runs a case and reports.

All Python stacks use the same message classes (Google's upb), so that what differs is the stack. A client warms up,
finds out how many operations take the time of the case, prints `ready` and waits for a line, so that whoever started it
can look at the processes; then it runs, and prints one line of JSON: operations, wall seconds, its own CPU seconds.
A case of calls held open also prints `held` and waits, when all of them are open.
"""

from __future__ import annotations

import asyncio
import functools
import json
import operator
import sys
import time
from collections.abc import Callable, Coroutine, Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import profiling
from wirelane import Schema

try:
    import resource
except ImportError:  # a system without
    resource = None  # type: ignore[assignment]

SCHEMA = Schema.load(Path(__file__).with_name("bench.proto"))
Request: Any = SCHEMA.message_class("bench.Request")
Reply: Any = SCHEMA.message_class("bench.Reply")
SERVICE = "bench.Echo"
UNARY, HOLD, HELD, RELEASE = (f"/{SERVICE}/{name}" for name in ("Unary", "Hold", "Held", "Release"))
SERVER_STREAM, CLIENT_STREAM, BIDI_STREAM = (
    f"/{SERVICE}/{name}" for name in ("ServerStream", "ClientStream", "BidiStream")
)
MIB = 1024 * 1024
RECEIVE_LIMIT = 4 * MIB
# More than any case opens on one connection.
MOST_STREAMS = 20_000
# Seconds of a warm-up that say how fast a stack is.
TELLING = 0.1
# What services send along: identity, tracing, routing. As long as such things are.
PAIRS = (
    ("authorization", "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJiZW5jaG1hcmsifQ.c2lnbmF0dXJl"),
    ("x-tenant", "benchmarks"),
    ("x-client-version", "7.4.1"),
    ("x-region", "eu-central-1"),
    ("x-priority", "interactive"),
    ("x-experiment", "blue"),
    ("x-locale", "en-GB"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("baggage", "user=alice,plan=team"),
    ("x-origin", "checkout"),
)
NEW_PAIR = "x-request-id"


@dataclass(frozen=True)
class Case:
    """One measurement.

    Attributes:
        kind: unary, server_stream, client_stream, bidi_stream or hold; tcp_lines, tcp_blocks, tcp_echo or tcp_idle.
        unit: What an operation is.
        in_flight: Calls at once; of code without await, threads that call.
        warm: Operations of the warm-up, or more until they take `TELLING`.
        operations: How many to measure; 0: as many as take `seconds`.
        payload: Bytes in a request, and in its reply; in a block.
        metadata: Pairs to send with each call.
        new_pair: One more pair, whose value is another in each call.
        timeout: Seconds that each call has; 0: no deadline.
        mixed: Worth measuring with another stack at the other end.
        blocking: About code without await.
    """

    name: str
    title: str
    kind: str = "unary"
    unit: str = "call"
    in_flight: int = 64
    warm: int = 2_000
    operations: int = 0
    seconds: float = 2.0
    payload: int = 0
    metadata: tuple[tuple[str, str], ...] = ()
    new_pair: bool = False
    timeout: float = 0.0
    mixed: bool = False
    blocking: bool = False

    @property
    def tcp(self) -> bool:
        """Whether it is about TCP alone."""
        return self.kind.startswith("tcp_")

    def scaled(self, scale: float) -> Case:
        """The same case for more or less time; what has a fixed number of operations stays as it is."""
        return replace(self, seconds=self.seconds * scale)


def _without_await() -> Iterator[Case]:
    """Of shorter runs: there are many pairs, and the ratios asked for are large."""

    def calls(name: str, title: str, kind: str, unit: str, warm: int, threads: int = 1) -> Case:
        return Case(
            f"sync_{name}",
            f"without await: {title}",
            kind,
            unit,
            in_flight=threads,
            warm=warm,
            seconds=1.0,
            mixed=True,
            blocking=True,
        )

    yield calls("unary_1", "unary, 1 thread", "unary", "call", 200)
    yield calls("unary_16", "unary, 16 threads", "unary", "call", 400, threads=16)
    yield calls("server_stream", "server stream, small messages", "server_stream", "message", 2_000)
    yield calls("client_stream", "client stream, small messages", "client_stream", "message", 2_000)
    yield calls(
        "bidi_stream", "bidi stream, small messages, each answered with one", "bidi_stream", "message", 2_000
    )
    yield replace(calls("tcp_lines", "TCP, 64-byte lines", "tcp_lines", "line", 60_000), mixed=False)


CASES = {
    case.name: case
    for case in (
        Case("unary_1", "unary, 1 in flight", in_flight=1, warm=500),
        Case("unary_64", "unary, 64 in flight", mixed=True),
        Case("unary_metadata", "unary, 64 in flight, 10 pairs of metadata", metadata=PAIRS),
        Case(
            "unary_metadata_new",
            "unary, 64 in flight, 10 pairs of metadata, one of them new in each call",
            metadata=PAIRS[:-1],
            new_pair=True,
        ),
        Case("unary_deadline", "unary, 64 in flight, a deadline", timeout=30.0),
        Case(
            "unary_both",
            "unary, 64 in flight, 10 pairs of metadata and a deadline",
            metadata=PAIRS,
            timeout=30.0,
        ),
        Case(
            "server_stream",
            "server stream, small messages",
            "server_stream",
            "message",
            in_flight=1,
            warm=10_000,
            mixed=True,
        ),
        Case(
            "client_stream",
            "client stream, small messages",
            "client_stream",
            "message",
            in_flight=1,
            warm=10_000,
            mixed=True,
        ),
        Case(
            "bidi_stream",
            "bidi stream, small messages, each answered with one, both ways at once",
            "bidi_stream",
            "message",
            in_flight=1,
            warm=5_000,
            mixed=True,
        ),
        Case("unary_1mib", "unary, 1 MiB each way, 4 in flight", in_flight=4, warm=40, payload=MIB),
        Case("unary_10000", "unary, 10,000 in flight", in_flight=10_000, warm=10_000),
        Case(
            "held_10000",
            "10,000 calls held open, then ended",
            "hold",
            in_flight=10_000,
            warm=500,
            operations=10_000,
        ),
        Case("tcp_lines", "TCP, 64-byte lines", "tcp_lines", "line", in_flight=1, warm=60_000),
        Case("tcp_blocks", "TCP, blocks of 1 MiB", "tcp_blocks", "block", in_flight=1, warm=50, payload=MIB),
        Case(
            "tcp_large_blocks",
            "TCP, blocks of 16 MiB",
            "tcp_blocks",
            "block",
            in_flight=1,
            warm=5,
            payload=16 * MIB,
        ),
        Case(
            "tcp_echo", "TCP, round trips of 64 bytes", "tcp_echo", "trip", in_flight=1, warm=500, payload=64
        ),
        Case(
            "tcp_idle",
            "TCP, 10,000 idle connections",
            "tcp_idle",
            "connection",
            in_flight=1,
            operations=10_000,
        ),
        *_without_await(),
    )
}


class Calls:
    """What a stack's client offers to the cases; each stack fills it in as its users would call it.

    What its methods return, and the functions that `unary` gives, is to be awaited where the stack has await, and is there
    where it blocks.
    """

    request: Any = Request
    payload_of: Callable[[Any], bytes] = staticmethod(operator.attrgetter("payload"))

    def unary(self, path: str) -> Callable[..., Any]:
        """A function of a request, and of `metadata` (pairs) and `timeout` (seconds) if they are given."""
        raise NotImplementedError

    def read_stream(self, count: int) -> Any:
        """Ask for `count` replies; how many came."""
        raise NotImplementedError

    def write_stream(self, count: int) -> Any:
        """Send `count` requests; how many the server says it received."""
        raise NotImplementedError

    def echo_stream(self, count: int) -> Any:
        """Send `count` requests while reading the replies; how many came."""
        raise NotImplementedError


class Holder:
    """What a server's Hold, Held and Release do."""

    def __init__(self) -> None:
        self._held = 0
        self._wanted = 0
        self._reached = asyncio.Event()
        self._release = asyncio.Event()

    async def hold(self) -> None:
        """Stay until `release`."""
        self._held += 1
        if self._held == self._wanted:
            self._reached.set()
        await self._release.wait()

    async def held(self, count: int) -> int:
        """Wait until `count` are held."""
        self._wanted = count
        if self._held < count:
            await self._reached.wait()
        return self._held

    def release(self) -> int:
        """Let them go; how many they were."""
        count, self._held = self._held, 0
        self._release.set()
        self._release, self._reached = asyncio.Event(), asyncio.Event()
        return count


def answer(request: Any) -> Any:
    """What every server answers to a unary call."""
    return Reply(message=request.name, number=request.count, payload=request.payload)


def unary_of(case: Case, calls: Calls) -> Callable[..., Any]:
    """What makes one call of a case, with all that is the same in each."""
    request = calls.request(name="wirelane", count=1)
    if case.payload:
        request = calls.request(name="large", payload=bytes(case.payload))
    options: dict[str, Any] = {}
    if case.metadata:
        options["metadata"] = case.metadata
    if case.timeout:
        options["timeout"] = case.timeout
    return functools.partial(calls.unary(UNARY), request, **options)


def with_new_pair(case: Case, worker: int, call: int) -> tuple[tuple[str, str], ...]:
    """The metadata of a call, with the pair whose value no other call has."""
    return (*case.metadata, (NEW_PAIR, f"{worker}-{call}"))


def check_reply(case: Case, calls: Calls, reply: Any) -> None:
    """The last reply of a worker, None if it made no call."""
    assert reply is None or len(calls.payload_of(reply)) == case.payload


def stream_of(case: Case, calls: Calls) -> Callable[[int], Any]:
    """What moves so many messages the way of a case."""
    streams = {
        "server_stream": calls.read_stream,
        "client_stream": calls.write_stream,
        "bidi_stream": calls.echo_stream,
    }
    return streams[case.kind]


def check_count(case: Case, done: int, count: int) -> None:
    """A case that lost something on the way was fast for nothing."""
    assert done == count, f"{done} of {count} {case.unit}s"


async def _unary(case: Case, calls: Calls, count: int, in_flight: int) -> None:
    unary = unary_of(case, calls)

    async def worker(number: int) -> None:
        reply = None
        for call in range(count // in_flight):
            if case.new_pair:
                reply = await unary(metadata=with_new_pair(case, number, call))
            else:
                reply = await unary()
        check_reply(case, calls, reply)

    await asyncio.gather(*(worker(number) for number in range(in_flight)))


async def _hold(calls: Calls, count: int) -> None:
    hold, held, release = (calls.unary(path) for path in (HOLD, HELD, RELEASE))
    request = calls.request(name="wirelane", count=1)
    pending = asyncio.gather(*(hold(request) for _ in range(count)))
    await held(calls.request(count=count))
    mark("held")
    await release(calls.request())
    await pending


async def measure(case: Case, calls: Calls) -> None:
    """Run a case through a stack's client."""
    await calls.unary(UNARY)(calls.request(name="first"))  # the connection is there
    if case.kind == "hold":
        await _unary(case, calls, case.warm, 1)
    for count in rounds(case):
        if case.kind == "unary":
            await _unary(case, calls, count, case.in_flight)
        elif case.kind == "hold":
            await _hold(calls, count)
        else:
            check_count(case, await stream_of(case, calls)(count), count)


def rounds(case: Case) -> Iterator[int]:
    """How many operations a client is to do now, until there is nothing left to do; with and without await.

    The last round is the one that is measured: the parent is told before it, and reads the report after it.
    """
    count = case.operations
    if not count:
        count = yield from _warm_up(case)
    mark("ready")
    with profiling.asked("client"):
        cpu, wall = time.process_time(), time.perf_counter()
        yield count
        seconds, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(json.dumps({"operations": count, "seconds": seconds, "cpu": cpu}), flush=True)


def _warm_up(case: Case) -> Generator[int, None, int]:
    """Rounds until one took long enough to tell; how many operations take the time of the case.

    A whole number for each call in flight.
    """
    count = case.warm
    while True:
        start = time.perf_counter()
        yield count
        seconds = time.perf_counter() - start
        if seconds >= TELLING:
            break
        count *= 4
    return max(1, -(-int(count / seconds * case.seconds) // case.in_flight)) * case.in_flight


def mark(what: str) -> None:
    """Let the parent measure: it answers with a line when it has."""
    print(what, flush=True)
    sys.stdin.readline()


def allow_many_files() -> None:
    """Let this process hold as many connections open as the system allows it."""
    if resource is not None:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


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


def case_of(text: str) -> Case:
    """A case by its name, or as JSON with the fields that a run has changed."""
    if not text.startswith("{"):
        return CASES[text]
    fields = json.loads(text)
    return Case(**{**fields, "metadata": tuple(tuple(pair) for pair in fields["metadata"])})


def entry(
    serve: Callable[[], Coroutine[Any, Any, None]],
    client: Callable[[int, Case], Coroutine[Any, Any, None]],
) -> None:
    """`MODULE LOOP serve` or `MODULE LOOP client PORT CASE`."""
    loop, *arguments = sys.argv[1:]
    follow(arguments, lambda: run(serve(), loop), lambda port, case: run(client(port, case), loop))


def follow(arguments: list[str], serve: Callable[[], None], client: Callable[[int, Case], None]) -> None:
    """Do what the parent says: `serve`, or `client PORT CASE`."""
    what, *rest = arguments
    if what == "serve":
        with profiling.asked("server"):
            serve()
    else:
        port, case = rest
        client(int(port), case_of(case))
