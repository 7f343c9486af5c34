"""The soak cases, both ways with grpcio over three transports, and what makes them fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from support.grpcio_peer import GRPCIO_CASES, grpcio_interop_client, grpcio_interop_server
from support.interop_support import (
    TRANSPORTS,
    client_flags,
    interop_channel,
    run_program,
    wirelane_interop_server,
)
from wirelane.errors import RpcError, UsageError
from wirelane.grpc import Channel, Server
from wirelane.status import StatusCode
from wirelane.testing.interop.server import SERVICE, interop_schema
from wirelane.testing.interop.soak import SOAKS, SoakSettings, channel_soak, rpc_soak

if TYPE_CHECKING:
    from conftest import Certificates

over_each_transport = pytest.mark.parametrize("transport", TRANSPORTS)
# The official latency is for machines that do nothing else.
PATIENT = SoakSettings(max_latency=50.0, overall_timeout=50.0)


class Dialled:
    """Makes channels, and keeps them."""

    def __init__(self, ca: Certificates, transport: str, port: int) -> None:
        self.channels: list[Channel] = []
        self._where = (ca, transport, port)

    def __call__(self) -> Channel:
        self.channels.append(interop_channel(*self._where))
        return self.channels[-1]

    def check(self, channels: int, calls: int) -> None:
        assert len(self.channels) == channels
        assert sum(channel.stats.succeeded for channel in self.channels) == calls
        assert all(channel.stats.connects == 1 for channel in self.channels)


@over_each_transport
@pytest.mark.parametrize("name", SOAKS)
async def test_a_wirelane_client_soaks_a_grpcio_server(ca: Certificates, transport: str, name: str) -> None:
    async with grpcio_interop_server(ca, transport) as (_, port):
        dial = Dialled(ca, transport, port)
        await SOAKS[name](dial, PATIENT)
    dial.check(channels=1 if name == "rpc_soak" else 10, calls=10)


@over_each_transport
async def test_a_grpcio_client_soaks_a_wirelane_server_on_one_channel_and_on_many(
    ca: Certificates, transport: str
) -> None:
    async with wirelane_interop_server(ca, transport) as port:
        async with grpcio_interop_client(ca, transport, port) as stub:
            for _ in range(10):
                await GRPCIO_CASES["large_unary"](stub)
        for _ in range(10):
            async with grpcio_interop_client(ca, transport, port) as stub:
                await GRPCIO_CASES["large_unary"](stub)


async def test_workers_share_the_iterations_and_the_sizes_are_those_asked_for(ca: Certificates) -> None:
    async with wirelane_interop_server(ca, "h2c") as port:
        dial = Dialled(ca, "h2c", port)
        settings = SoakSettings(
            iterations=12,
            num_threads=4,
            request_size=10,
            response_size=20,
            max_latency=50.0,
            overall_timeout=50.0,
        )
        await channel_soak(dial, settings)
    dial.check(channels=12, calls=12)


# ------------------------------------------------------------------------------------------------------ failures


@asynccontextmanager
async def failing_server(failures: int) -> AsyncIterator[int]:
    """A server whose first calls fail, and the later ones are as they should be."""
    server = Server(schema=interop_schema())
    left = failures

    @server.method(f"{SERVICE}/UnaryCall")
    async def unary_call(request: dict[str, Any], context: object) -> dict[str, Any]:
        nonlocal left
        left -= 1
        if left >= 0:
            raise RpcError(StatusCode.DATA_LOSS, "not this time")
        return {"payload": {"body": bytes(request["response_size"])}}

    async with server.listen("127.0.0.1:0") as listening:
        yield listening.port


@pytest.mark.parametrize("soak", [rpc_soak, channel_soak])
async def test_more_failures_than_are_allowed_fail_the_case(ca: Certificates, soak: Any) -> None:
    async with failing_server(2) as port:
        with pytest.raises(AssertionError, match="2 of 10 iterations failed, the first: .*not this time"):
            await soak(Dialled(ca, "h2c", port), PATIENT)


async def test_as_many_failures_as_are_allowed_do_not(ca: Certificates) -> None:
    async with failing_server(2) as port:
        settings = SoakSettings(max_failures=2, max_latency=50.0, overall_timeout=50.0)
        dial = Dialled(ca, "h2c", port)
        await rpc_soak(dial, settings)
    dial.check(channels=1, calls=8)


async def test_an_iteration_that_takes_too_long_has_failed(ca: Certificates) -> None:
    async with wirelane_interop_server(ca, "h2c") as port:
        with pytest.raises(AssertionError, match="10 of 10 iterations failed, the first: .*it took"):
            await rpc_soak(Dialled(ca, "h2c", port), SoakSettings(max_latency=1e-9))


async def test_a_soak_that_is_not_done_in_time_fails(ca: Certificates) -> None:
    async with wirelane_interop_server(ca, "h2c") as port:
        settings = SoakSettings(overall_timeout=0.05, min_time_between_rpcs=0.1, max_latency=50.0)
        with pytest.raises(AssertionError, match="of 10 iterations in 0.05 s"):
            await rpc_soak(Dialled(ca, "h2c", port), settings)


async def test_a_cancelled_soak_leaves_nothing(ca: Certificates) -> None:
    async with wirelane_interop_server(ca, "h2c") as port:
        dial = Dialled(ca, "h2c", port)
        soaking = asyncio.ensure_future(rpc_soak(dial, SoakSettings(min_time_between_rpcs=60.0)))
        while not dial.channels or not dial.channels[0].stats.succeeded:
            await asyncio.sleep(0)
        soaking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await soaking
        assert dial.channels[0].stats.connections == 0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"iterations": 10, "num_threads": 3}, "10 iterations cannot be shared by 3 threads"),
        ({"iterations": 0}, "iterations is a number above 0"),
        ({"max_failures": -1}, "max_failures is not below 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(flags: dict[str, int], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        SoakSettings(**flags)


async def test_the_program_takes_the_flags_of_grpc_go(ca: Certificates) -> None:
    async with failing_server(1) as port:
        flags = [*client_flags(ca, "h2c", port, "rpc_soak"), "--soak_iterations=4", "--soak_num_threads=2"]
        patient = ["-soak_per_iteration_max_acceptable_latency_ms=50000", "-soak_overall_timeout_seconds=50"]
        done = await run_program("client", *flags, *patient)
        assert done.status == 1
        assert "rpc_soak: FAILED: AssertionError: 1 of 4 iterations failed" in done.err
        done = await run_program("client", *flags, "--soak_num_threads=3")
        assert (done.status, done.err) == (2, "4 iterations cannot be shared by 3 threads\n")
