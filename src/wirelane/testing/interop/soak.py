"""The two soak cases: `large_unary` again and again, on one channel (`rpc_soak`) or each on one of its own.

A case gets a function that makes a channel, and settings that carry the names and defaults of grpc-go's flags. An
iteration fails when its call does, when the answer is not the one asked for, or when it took too long; the case fails
when more iterations did than `max_failures`, or when the time was over before all had been started.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from wirelane.errors import UsageError, WirelaneError
from wirelane.grpc import Channel
from wirelane.testing.interop.cases import large_unary

__all__ = ["SOAKS", "Dial", "Soak", "SoakSettings", "channel_soak", "rpc_soak"]

Dial = Callable[[], Channel]
"""Makes a channel to the server, not yet connected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoakSettings:
    """How long and how hard to soak.

    Attributes:
        iterations: Calls in all; a multiple of `num_threads`.
        max_failures: Iterations that may fail.
        max_latency: Seconds that one iteration may take: the call, and for `channel_soak` the connection.
        overall_timeout: Seconds after which no iteration starts.
        min_time_between_rpcs: Seconds from one start of a worker to the next.
        request_size: Octets of a request's payload.
        response_size: Octets of an answer's payload.
        num_threads: Workers, which are tasks here.

    Raises:
        UsageError: The iterations cannot be shared evenly, or a number is out of range.
    """

    iterations: int = 10
    max_failures: int = 0
    max_latency: float = 1.0
    overall_timeout: float = 10.0
    min_time_between_rpcs: float = 0.0
    request_size: int = 271_828
    response_size: int = 314_159
    num_threads: int = 1

    def __post_init__(self) -> None:
        for name in ("iterations", "num_threads", "max_latency", "overall_timeout"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} is a number above 0, not {getattr(self, name)!r}")
        for name in ("max_failures", "min_time_between_rpcs", "request_size", "response_size"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name} is not below 0, as {getattr(self, name)!r} is")
        if self.iterations % self.num_threads:
            raise UsageError(f"{self.iterations} iterations cannot be shared by {self.num_threads} threads")


Soak = Callable[[Dial, SoakSettings], Awaitable[None]]


class _Soaking:
    """One run: what its workers share."""

    def __init__(self, settings: SoakSettings) -> None:
        self.settings = settings
        self.done = 0
        self.failures: list[str] = []
        self._end = time.monotonic() + settings.overall_timeout

    async def run(self, iteration: Callable[[], Awaitable[None]]) -> None:
        """Run the iterations, and judge.

        Raises:
            AssertionError: Too many failed, or not all were started in time.
        """
        async with asyncio.TaskGroup() as group:
            for _ in range(self.settings.num_threads):
                group.create_task(self._work(iteration))
        count, settings = len(self.failures), self.settings
        if self.done < settings.iterations:
            raise AssertionError(
                f"{self.done} of {settings.iterations} iterations in {settings.overall_timeout:g} s"
            )
        if count > settings.max_failures:
            raise AssertionError(
                f"{count} of {settings.iterations} iterations failed, the first: {self.failures[0]}"
            )

    async def _work(self, iteration: Callable[[], Awaitable[None]]) -> None:
        settings = self.settings
        for number in range(settings.iterations // settings.num_threads):
            started = time.monotonic()
            if started >= self._end:
                return
            try:
                await iteration()
            except (WirelaneError, AssertionError) as error:
                self.failures.append(f"iteration {number}: {error}")
            else:
                took = time.monotonic() - started
                if took > settings.max_latency:
                    self.failures.append(f"iteration {number}: it took {took:.3f} s")
            self.done += 1
            await asyncio.sleep(started + settings.min_time_between_rpcs - time.monotonic())


async def rpc_soak(dial: Dial, settings: SoakSettings) -> None:
    """Large calls one after another on one channel."""
    async with dial() as channel:
        await channel.connect()
        await _Soaking(settings).run(
            lambda: large_unary(channel, settings.request_size, settings.response_size)
        )


async def channel_soak(dial: Dial, settings: SoakSettings) -> None:
    """Large calls one after another, each on a channel of its own."""

    async def iteration() -> None:
        async with dial() as channel:
            await large_unary(channel, settings.request_size, settings.response_size)

    await _Soaking(settings).run(iteration)


SOAKS: Final[dict[str, Soak]] = {case.__name__: case for case in (rpc_soak, channel_soak)}
"""Both by their official names."""
