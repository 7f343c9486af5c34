"""One attack on a fresh server, with a bystander on another connection; what came of it."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import grpc as grpcio

ROOT = Path(__file__).resolve().parent.parent.parent
MIB = 1024 * 1024
# For one call of the bystander. No server that works needs it.
_PATIENCE = 30.0


@dataclass(frozen=True)
class Report:
    """What an attack did.

    Attributes:
        got: What the attacker got, in words.
        stall: The longest turn of the server's loop, in seconds.
        work: The same in seconds of its thread's CPU: what a busy machine took from it does not count.
        growth: How far its memory rose, in bytes.
        begun: Handlers that began, without the bystander's.
        most_begun: The most of them in one turn of the loop.
        most_calls: The most calls at once.
        logged: Lines in its log.
        traced: Those with a traceback.
        resets: Calls that clients reset before their time, as the server counts them.
        refusals: What it refused, by kind.
        bystander: Calls that another client made meanwhile; all were answered.
        slowest: The longest of them, in seconds.
    """

    got: str
    stall: float
    work: float
    growth: int
    begun: int
    most_begun: int
    most_calls: int
    logged: int
    traced: int
    resets: int
    refusals: dict[str, int]
    bystander: int
    slowest: float


class Bystander:
    """Calls, one after the other, of a client that has nothing to do with it."""

    def __init__(self, channel: grpcio.aio.Channel) -> None:
        self._call = channel.unary_unary("/attack.Victim/Echo")
        self.calls = 0
        self.slowest = 0.0

    async def once(self) -> None:
        start = time.perf_counter()
        request = b"bystander %d" % self.calls
        assert await self._call(request, timeout=_PATIENCE) == request
        self.slowest = max(self.slowest, time.perf_counter() - start)
        self.calls += 1

    async def during(self, work: asyncio.Future[str]) -> None:
        while not work.done():
            await self.once()
        await self.once()


@asynccontextmanager
async def victim(
    limits: Mapping[str, object], options: Mapping[str, object], loop: str
) -> AsyncIterator[tuple[int, asyncio.subprocess.Process]]:
    """A server process: its port, and the process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "benchmarks.attacks.victim", loop, json.dumps(dict(limits)), json.dumps(dict(options))),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        assert process.stdout is not None
        yield int(await process.stdout.readline()), process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(_PATIENCE):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _ask(process: asyncio.subprocess.Process, order: bytes) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(order + b"\n")
    answer: dict[str, Any] = json.loads(await process.stdout.readline())
    return answer


async def assault(
    attack: Callable[[int], str],
    limits: Mapping[str, object] = MappingProxyType({}),
    options: Mapping[str, object] = MappingProxyType({}),
    *,
    loop: str = "asyncio",
) -> Report:
    """Run an attack, a function of the port that returns what it got, against a fresh server."""
    async with (
        victim(limits, options, loop) as (port, process),
        grpcio.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        bystander = Bystander(channel)
        for _ in range(50):
            await bystander.once()
        bystander.calls, bystander.slowest = 0, 0.0
        await _ask(process, b"watch")
        work = asyncio.ensure_future(asyncio.to_thread(attack, port))
        await bystander.during(work)
        got = await work
        seen = await _ask(process, b"report")
        seen["begun"] -= bystander.calls
        return Report(got=got, bystander=bystander.calls, slowest=bystander.slowest, **seen)
