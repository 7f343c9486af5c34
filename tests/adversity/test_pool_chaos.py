"""Many callers of one pool, through a proxy that delays, slices, cuts and resets, some impatient, some cancelled.

Whatever happens, nobody gets the answer to another's question, and nothing is left.
"""

from __future__ import annotations

import asyncio
import random

import pytest

from support.net_support import descriptors, descriptors_back
from support.pool_support import SOON, backend, quiet
from support.tcp_support import turns, until
from wirelane import WirelaneError, tcp
from wirelane.core.backoff import Backoff
from wirelane.testing import faults

CALLERS = 12
CALLS = 25


class Caller:
    """Asks a pool again and again; `wrong` are answers to what it did not ask.

    Attributes:
        answered, failed, cancelled: How its questions ended.
    """

    def __init__(self, pool: tcp.Pool, name: str, rng: random.Random) -> None:
        self.answered = self.failed = self.cancelled = 0
        self.wrong: list[tuple[str, str]] = []
        self._pool = pool
        self._name = name
        self._rng = rng

    async def run(self) -> None:
        for number in range(CALLS):
            question = f"{self._name} {number} {'x' * self._rng.choice((0, 10, 3000))}"
            ask = self._rng.choice((self._request, self._block, self._give_up))
            try:
                answer = await ask(question, self._rng.choice((0.002, 0.02, SOON)))
            except WirelaneError:
                self.failed += 1
                continue
            if answer is None:
                self.cancelled += 1
            elif answer == question:
                self.answered += 1
            else:
                self.wrong.append((question, answer))

    async def _request(self, question: str, timeout: float) -> str:
        idempotent = self._rng.random() < 0.5
        reply = await self._pool.request(
            f"{question}\n", timeout=timeout, keep_marker=False, idempotent=idempotent
        )
        return reply.decode()

    async def _block(self, question: str, timeout: float) -> str:
        async with self._pool.connection(timeout=timeout) as connection:
            await connection.send_line(question)
            return await connection.read_line(timeout=timeout)

    async def _give_up(self, question: str, timeout: float) -> str | None:
        """Be cancelled somewhere."""
        asking = asyncio.create_task(self._block(question, timeout))
        await turns(self._rng.randrange(40))
        asking.cancel()
        await asyncio.wait((asking,))
        return None if asking.cancelled() else asking.result()


@pytest.mark.parametrize("seed", range(4))
async def test_nobody_gets_the_answer_to_anothers_question(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Backoff, "INITIAL", 0.001)
    monkeypatch.setattr(Backoff, "MAXIMUM", 0.002)
    before = descriptors()
    troubles: list[faults.Fault] = [
        faults.Slicer(average=500, variation=400, direction="both", toxicity=0.5),
        faults.Latency(0.001, jitter=0.001, toxicity=0.3),
        faults.Reset(after_bytes=9000, direction="both", toxicity=0.3),
        faults.Cut(after_bytes=5000, direction="both", toxicity=0.3),
    ]
    async with backend() as (there, address):
        async with faults.FaultProxy(address, seed=seed, faults=troubles) as proxy:
            async with tcp.Pool(str(proxy.address), size=4) as pool:
                callers = [
                    Caller(pool, f"caller {number}", random.Random(seed * 1000 + number))
                    for number in range(CALLERS)
                ]
                async with asyncio.timeout(2 * SOON):
                    await asyncio.gather(*(caller.run() for caller in callers))
                assert [wrong for caller in callers for wrong in caller.wrong] == []
                assert sum(caller.answered for caller in callers) > 0
                assert sum(caller.failed for caller in callers) > 0
                assert sum(caller.cancelled for caller in callers) > 0
                await quiet(pool)
                proxy.clear()
                assert await pool.request("after it all\n", timeout=SOON) == b"after it all\n"
                stats = pool.stats
                assert stats.opened == stats.discarded + stats.idle
        await until(lambda: not there.here)
    await descriptors_back(before)
