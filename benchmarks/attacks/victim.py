"""The server under attack: `python -m benchmarks.attacks.victim LOOP LIMITS OPTIONS`, a process that watches itself.

It prints its port. On its standard input, "watch" starts the watch and "report" ends it; each is answered by one line of
JSON. While it watches, a task runs in every turn of the loop, so that nothing that keeps the loop goes unseen.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

from google.protobuf.struct_pb2 import Value

from wirelane import Limits, grpc

SERVICE = "attack.Victim"
ECHO = grpc.Method(f"{SERVICE}/Echo", grpc.Cardinality.UNARY, bytes, bytes)
HANG = grpc.Method(f"{SERVICE}/Hang", grpc.Cardinality.UNARY, bytes, bytes)
FAIL = grpc.Method(f"{SERVICE}/Fail", grpc.Cardinality.UNARY, bytes, bytes)
DEAF = grpc.Method(f"{SERVICE}/Deaf", grpc.Cardinality.CLIENT_STREAM, bytes, bytes)
POUR = grpc.Method(f"{SERVICE}/Pour", grpc.Cardinality.SERVER_STREAM, bytes, bytes)
NEST = grpc.Method(f"{SERVICE}/Nest", grpc.Cardinality.UNARY, Value, Value)
PIECE = bytes(64 * 1024)


class Watch:
    """What the server goes through.

    Attributes:
        begun: Handlers that began, since the start.
        logged: Lines in the log of wirelane, from INFO up.
        traced: Those with a traceback.
    """

    def __init__(self, server: grpc.Server) -> None:
        self.server = server
        self.begun = 0
        self.logged = 0
        self.traced = 0
        self._task: asyncio.Task[None] | None = None
        self._clear()

    def _clear(self) -> None:
        self._gap = self._work = 0.0
        self._most_begun = self._most_calls = 0
        self._begun, self._logged, self._traced = self.begun, self.logged, self.traced
        self._rss = _memory("VmRSS")
        # From here on VmHWM is the peak of the watch alone (proc(5), clear_refs).
        Path("/proc/self/clear_refs").write_text("5")

    def start(self) -> dict[str, object]:
        self._clear()
        self._task = asyncio.create_task(self._watch())
        return {"rss": self._rss}

    async def _watch(self) -> None:
        last, worked, begun = time.perf_counter(), time.thread_time(), self.begun
        while True:
            await asyncio.sleep(0)
            now, work = time.perf_counter(), time.thread_time()
            self._gap = max(self._gap, now - last)
            self._work = max(self._work, work - worked)
            self._most_begun = max(self._most_begun, self.begun - begun)
            self._most_calls = max(self._most_calls, self.server.calls)
            last, worked, begun = now, work, self.begun

    async def report(self) -> dict[str, object]:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait({self._task})
        return {
            "stall": self._gap,
            "work": self._work,
            "growth": _memory("VmHWM") - self._rss,
            "begun": self.begun - self._begun,
            "most_begun": self._most_begun,
            "most_calls": self._most_calls,
            "logged": self.logged - self._logged,
            "traced": self.traced - self._traced,
            "resets": self.server.stats.resets,
            "refusals": dict(self.server.stats.refusals),
        }


class Counting(logging.Handler):
    """Counts records and makes their text, as a handler that writes to a file would."""

    def __init__(self, watch: Watch) -> None:
        super().__init__(logging.INFO)
        self.watch = watch

    def emit(self, record: logging.LogRecord) -> None:
        self.format(record)
        self.watch.logged += 1
        self.watch.traced += record.exc_info is not None


def _memory(name: str) -> int:
    """A figure of /proc/self/status, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


def make_server(limits: Limits, options: grpc.ServerOptions) -> tuple[grpc.Server, Watch]:
    server = grpc.Server(limits=limits, options=options)
    watch = Watch(server)

    @server.method(ECHO)
    async def echo(request: bytes) -> bytes:
        watch.begun += 1
        return request

    @server.method(HANG)
    async def hang(request: bytes) -> bytes:
        watch.begun += 1
        await asyncio.Event().wait()
        return request

    @server.method(FAIL)
    async def fail(request: bytes) -> bytes:
        watch.begun += 1
        raise ValueError("a secret of the server")

    @server.method(DEAF)
    async def deaf(requests: AsyncIterator[bytes]) -> bytes:
        watch.begun += 1
        await asyncio.Event().wait()
        return b""

    @server.method(POUR)
    async def pour(request: bytes) -> AsyncIterator[bytes]:
        watch.begun += 1
        while True:
            yield PIECE

    @server.method(NEST)
    async def nest(request: Value) -> Value:
        watch.begun += 1
        return request

    return server, watch


async def serve(limits: Limits, options: grpc.ServerOptions) -> None:
    server, watch = make_server(limits, options)
    log = logging.getLogger("wirelane")
    log.setLevel(logging.INFO)
    log.propagate = False
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(orders), sys.stdin
    )
    async with server.listen("127.0.0.1:0", grace=0.0) as listening:
        log.addHandler(Counting(watch))
        print(listening.port, flush=True)
        while order := (await orders.readline()).strip():
            answer = watch.start() if order == b"watch" else await watch.report()
            print(json.dumps(answer), flush=True)


def main() -> None:
    loop, limits = sys.argv[1], Limits(**json.loads(sys.argv[2]))
    options = grpc.ServerOptions(**json.loads(sys.argv[3]))
    if loop == "uvloop":
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(limits, options))
    else:
        asyncio.run(serve(limits, options))


if __name__ == "__main__":
    main()
