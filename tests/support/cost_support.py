"""What a call costs, counted and not timed: function calls made, and instructions executed, by wirelane's own code.

Client and server run in one process, over a socket, through the public API, on asyncio's own event loop. What is counted:

- calls: every call of a function of wirelane, and every function, of Python or C, that wirelane's code calls. Resuming
  a coroutine counts as a call.
- instructions: the bytecodes that wirelane's code executes.

Both are taken for some operations and for twice as many, so that what happens once (a stream that opens, tasks that start)
drops out; and each is taken several times, of which the least counts, because whatever disturbs a count adds to it.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from google.protobuf.wrappers_pb2 import BytesValue

import wirelane
from wirelane import grpc

PACKAGE = str(Path(wirelane.__file__).resolve().parent)
ROOT = Path(__file__).resolve().parents[2]
MESSAGE = BytesValue(value=b"sixteen bytes...")
METADATA = tuple((f"x-pair-{number}", f"value {number}") for number in range(10))
# From 28 hours on a timeout is sent in whole seconds: the same text in every call, however long the counting takes.
TIMEOUT = 200_000.0
ATTEMPTS = 2
RECORD = ROOT / "tests" / "performance" / "costs.json"
VERSION = "{}.{}".format(*sys.version_info[:2])


@dataclass(frozen=True)
class Cost:
    """What one operation costs.

    Attributes:
        calls: Function calls, as the module counts them.
        instructions: Bytecodes.
        functions: The share of each function of wirelane: (calls of it and by it to others' code, instructions).
    """

    calls: float
    instructions: float
    functions: dict[str, tuple[float, float]]

    def table(self, most: int | None = None) -> str:
        """Return what each function adds, the most instructions first."""
        rows = sorted(self.functions.items(), key=lambda item: (-item[1][1], item[0]))
        lines = [f"{'calls':>8} {'instructions':>13}  function"]
        lines += [f"{calls:8.2f} {instructions:13.1f}  {name}" for name, (calls, instructions) in rows[:most]]
        return "\n".join(lines)


class Counts:
    """Counts while `running`; by code object."""

    def __init__(self) -> None:
        self.calls: Counter[CodeType] = Counter()
        self.instructions: Counter[CodeType] = Counter()
        self._ours: dict[CodeType, bool] = {}

    def _is_ours(self, frame: FrameType) -> bool:
        code = frame.f_code
        ours = self._ours.get(code)
        if ours is None:
            ours = self._ours[code] = code.co_filename.startswith(PACKAGE)
        return ours

    def _on_profile(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            if self._is_ours(frame):
                self.calls[frame.f_code] += 1
            elif frame.f_back is not None and self._is_ours(frame.f_back):
                self.calls[frame.f_back.f_code] += 1
        elif event == "c_call" and self._is_ours(frame):
            self.calls[frame.f_code] += 1

    def _on_call(self, frame: FrameType, event: str, argument: object) -> Any:
        if not self._is_ours(frame):
            return None
        frame.f_trace_lines = False
        frame.f_trace_opcodes = True
        return self._on_instruction

    def _on_instruction(self, frame: FrameType, event: str, argument: object) -> Any:
        if event == "opcode":
            self.instructions[frame.f_code] += 1
        return self._on_instruction

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count what this thread does inside, undisturbed by collections of garbage."""
        before = sys.gettrace(), sys.getprofile()
        gc.collect()
        gc.disable()
        sys.settrace(self._on_call)
        sys.setprofile(self._on_profile)
        try:
            yield
        finally:
            sys.setprofile(before[1])
            sys.settrace(before[0])
            gc.enable()


Work = Callable[[grpc.Channel, int], Awaitable[None]]


def method(name: str, cardinality: grpc.Cardinality) -> grpc.Method[BytesValue, BytesValue]:
    return grpc.Method(f"/cost.Echo/{name}", cardinality, BytesValue, BytesValue)


UNARY = method("Unary", grpc.Cardinality.UNARY)
SERVER_STREAM = method("ServerStream", grpc.Cardinality.SERVER_STREAM)
CLIENT_STREAM = method("ClientStream", grpc.Cardinality.CLIENT_STREAM)


def new_server() -> grpc.Server:
    server = grpc.Server(reflection=False, health=False)

    @server.method(UNARY)
    async def unary(request: BytesValue) -> BytesValue:
        return request

    @server.method(SERVER_STREAM)
    async def server_stream(request: BytesValue) -> AsyncIterator[BytesValue]:
        for _ in range(int(request.value)):
            yield MESSAGE

    @server.method(CLIENT_STREAM)
    async def client_stream(requests: AsyncIterator[BytesValue]) -> BytesValue:
        count = 0
        async for _ in requests:
            count += 1
        return BytesValue(value=b"%d" % count)

    return server


def unary(in_flight: int, *, new_pair: bool = False, **options: Any) -> Work:
    """Calls, so many at once; with `new_pair`, each has a pair of metadata that no other had."""
    numbers = itertools.count()

    async def work(channel: grpc.Channel, count: int) -> None:
        async def worker() -> None:
            for _ in range(count // in_flight):
                if new_pair:
                    options["metadata"] = (("x-request-id", f"{next(numbers):016x}"),)
                assert await channel.unary(UNARY, MESSAGE, **options) == MESSAGE

        await asyncio.gather(*(worker() for _ in range(in_flight)))

    return work


async def read_stream(channel: grpc.Channel, count: int) -> None:
    received = 0
    async with channel.server_stream(SERVER_STREAM, BytesValue(value=b"%d" % count)) as stream:
        async for _ in stream:
            received += 1
    assert received == count


async def write_stream(channel: grpc.Channel, count: int) -> None:
    async with channel.client_stream(CLIENT_STREAM) as stream:
        for _ in range(count):
            await stream.send(MESSAGE)
        reply = await stream.finish()
    assert int(reply.value) == count


@dataclass(frozen=True)
class Case:
    """What is counted, client and server together.

    Attributes:
        new_work: Returns what does a number of operations: calls, or messages of one stream.
        operations: How many to count, and twice as many.
        headroom: Function calls by which an operation may exceed the record: what the counts vary by, and less than
            what is worth knowing.
    """

    new_work: Callable[[], Work]
    operations: int
    headroom: float


CASES = {
    "a unary call, one in flight": Case(lambda: unary(1), 16, 2),
    "a unary call, 64 in flight": Case(lambda: unary(64), 64, 2),
    "a unary call with 10 pairs of metadata and a deadline, 16 in flight": Case(
        lambda: unary(16, metadata=METADATA, timeout=TIMEOUT), 16, 2
    ),
    "a unary call with a new pair of metadata, 16 in flight": Case(lambda: unary(16, new_pair=True), 16, 2),
    "a message of a server stream": Case(lambda: read_stream, 128, 0.5),
    "a message of a client stream": Case(lambda: write_stream, 128, 0.5),
}


def _least(found: list[Counts]) -> Counts:
    return min(found, key=lambda counts: counts.calls.total())


async def _counted(case: Case) -> tuple[Counts, Counts]:
    """The counts for the case's number of operations, and for twice as many."""
    work = case.new_work()

    async def count(operations: int) -> Counts:
        counts = Counts()
        with counts.running():
            await work(channel, operations)
        return counts

    async with new_server().listen("127.0.0.1:0") as listening:
        async with grpc.connect(f"127.0.0.1:{listening.port}") as channel:
            # The tables of header blocks fill, and CPython 3.12 and 3.13 prepare code for counting as it first runs.
            await count(case.operations)
            once = [await count(case.operations) for _ in range(ATTEMPTS)]
            twice = [await count(2 * case.operations) for _ in range(ATTEMPTS)]
    return _least(once), _least(twice)


def _name(code: CodeType) -> str:
    module = Path(code.co_filename).resolve().relative_to(PACKAGE).with_suffix("").as_posix()
    return f"{module.replace('/', '.')}.{code.co_qualname}"


def recorded() -> dict[str, dict[str, dict[str, float]]]:
    """Return the record: by version of CPython and case, "calls" and "instructions"."""
    record: dict[str, dict[str, dict[str, float]]] = json.loads(RECORD.read_text(encoding="utf-8"))
    return record


def cost_of(name: str) -> Cost:
    """Count one of CASES."""
    case = CASES[name]
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        once, twice = runner.run(_counted(case))
    calls, instructions = Counter(twice.calls), Counter(twice.instructions)
    calls.subtract(once.calls)
    instructions.subtract(once.instructions)
    functions = {
        _name(code): (calls[code] / case.operations, instructions[code] / case.operations)
        for code in {*calls, *instructions}
    }
    return Cost(calls.total() / case.operations, instructions.total() / case.operations, functions)
