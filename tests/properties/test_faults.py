"""What comes out of a fault proxy is the beginning of what went in, in each direction, whatever the faults."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.faults_support import Bare, bare_pair
from wirelane.testing import faults

DIRECTIONS = st.sampled_from(["upstream", "downstream", "both"])
INSTANTS = st.floats(0, 0.002)
PLACES = st.none() | st.integers(0, 400)

HARMLESS = st.one_of(
    st.builds(faults.Latency, INSTANTS, INSTANTS, direction=DIRECTIONS),
    st.builds(faults.Bandwidth, st.integers(200_000, 10**7), direction=DIRECTIONS),
    st.integers(2, 90).flatmap(
        lambda size: st.builds(
            faults.Slicer,
            st.just(size),
            st.integers(0, size - 1),
            st.sampled_from([0.0, 0.0001]),
            direction=DIRECTIONS,
        )
    ),
    st.builds(faults.SlowClose, INSTANTS, direction=DIRECTIONS),
)
STRIKES = {"after_bytes": PLACES, "after_seconds": st.none() | INSTANTS, "direction": DIRECTIONS}
ENDING = st.one_of(
    st.builds(faults.LimitData, st.integers(0, 400), direction=DIRECTIONS),
    st.builds(faults.Cut, **STRIKES),
    st.builds(faults.Reset, **STRIKES),
    st.builds(faults.Stall, **STRIKES),
    st.builds(faults.HalfOpen, gone=st.sampled_from(["server", "client"]), **STRIKES),
)
PIECES = st.lists(st.binary(min_size=1, max_size=150), max_size=8)

SETTINGS = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


async def say(end: Bare, pieces: Sequence[bytes]) -> None:
    """Send the pieces, and the end; a connection that ends before it is none of this function's concern."""
    try:
        for piece in pieces:
            await end.send(piece)
            await asyncio.sleep(0)
        end.end()
    except OSError:
        pass


async def hear(end: Bare, into: bytearray) -> bool:
    """Gather what comes; whether it ended in order."""
    try:
        while piece := await end.receive():
            into += piece
    except ConnectionError:
        return False
    return True


@SETTINGS
@given(up=PIECES, down=PIECES, what=st.lists(HARMLESS, max_size=4), seed=st.integers(0, 9))
async def test_what_only_delays_loses_nothing(
    up: list[bytes], down: list[bytes], what: list[faults.Fault], seed: int
) -> None:
    async with bare_pair(*what, seed=seed, buffer=300) as (proxy, client, server):
        at_client, at_server = bytearray(), bytearray()
        _, _, *in_order = await asyncio.gather(
            say(client, up), say(server, down), hear(client, at_client), hear(server, at_server)
        )
        assert in_order == [True, True]
        assert at_client == b"".join(down)
        assert at_server == b"".join(up)
        await proxy.closed()


@SETTINGS
@given(
    up=PIECES, down=PIECES, what=st.lists(HARMLESS | ENDING, max_size=4), late=st.lists(ENDING, max_size=2)
)
async def test_what_arrives_is_the_beginning_of_what_was_sent(
    up: list[bytes], down: list[bytes], what: list[faults.Fault], late: list[faults.Fault]
) -> None:
    """Also when faults come while it goes on, when what stalls goes on again, and when all is cut in the end."""
    async with bare_pair(*what, buffer=300) as (proxy, client, server):
        at_client, at_server = bytearray(), bytearray()
        going = [
            asyncio.create_task(each)
            for each in (hear(client, at_client), hear(server, at_server), say(client, up), say(server, down))
        ]
        for fault in late:
            await asyncio.sleep(0)
            proxy.add(fault)
        for unblock in (proxy.resume, proxy.clear, proxy.cut):
            _, left = await asyncio.wait(going, timeout=0.02)
            if not left:
                break
            unblock()
        await asyncio.gather(*going)
        assert b"".join(down).startswith(at_client)
        assert b"".join(up).startswith(at_server)
        assert proxy.stats.downstream_bytes >= len(at_client)
        assert proxy.stats.upstream_bytes >= len(at_server)
