"""Every attack of benchmarks/attacks, on a server in a process of its own, while grpc.aio calls it on another connection.

What is asserted holds on any machine: what the attacker gets, memory, and how much work one turn of the loop does.
`python -m benchmarks.attacks` prints the times.
"""

from __future__ import annotations

import pytest
from benchmarks.attacks.assault import MIB, assault
from benchmarks.attacks.probes import PROBES
from benchmarks.attacks.rows import ATTACKS, CALM, Attack

from wirelane import Limits

MOST_GROWTH = 32 * MIB


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
async def test_an_attack_costs_a_bounded_amount_and_nobody_else_anything(attack: Attack) -> None:
    """The attacker gets its due; memory, handlers per turn and lines of the log stay small; others are answered."""
    report = await assault(attack.run, attack.limits, attack.options)
    assert attack.right(report.got), report.got
    assert report.growth < MOST_GROWTH
    # The bystander's calls were all answered, or `assault` would have raised.
    assert report.bystander >= 1
    if attack.most_begun is not None:
        assert report.begun <= attack.most_begun
    limits = Limits()
    assert report.most_begun <= limits.max_streams_per_turn * attack.connections + 1
    assert report.most_calls <= limits.max_concurrent_streams * attack.connections + 1
    assert report.logged <= max(2 * attack.connections, 3 * limits.log_burst)
    if attack.gets.startswith(CALM):
        assert report.refusals["connections"] == attack.connections


async def test_strange_requests_get_their_status_and_nobody_else_anything() -> None:
    """A single request or frame, right or wrong, has one right answer; none leaves a traceback."""
    got: dict[str, str] = {}

    def every_probe(port: int) -> str:
        got.update({probe.name: probe.run(port) for probe in PROBES})
        return "done"

    report = await assault(every_probe)
    assert {probe.name: got[probe.name] for probe in PROBES if not probe.right(got[probe.name])} == {}
    assert report.growth < MIB
    assert report.traced == 0
