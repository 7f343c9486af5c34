"""The official interoperability cases, wirelane on either end and grpcio (C-core) on the other, over three transports.

What is checked how:

- The 14 core cases run between the two ends directly, and each end asserts what the official descriptions say.
- The 4 cases of compression run through a relay that takes the frames apart (`support.interop_relay`; it is an end of
  TLS itself, to see them) and must have seen exactly the compressed flags that the case is about. Of these, grpcio's
  server has to ask the relay before it answers the probe with INVALID_ARGUMENT, since it cannot see the flag; whether
  a reply is compressed is told to grpcio's client by nobody, so there the relay's record is the check. Our ends see the
  flags themselves (`Context.request_compressed`, `received_compressed`), and check them besides the relay.
- grpcio's client compresses a whole call or nothing of it; the uncompressed message of `client_compressed_streaming` is
  one of random octets, which C-core sends as it is because gzip would make it longer.
- Our ends run in this process, so that failures can be read, and once more for each direction and transport as the
  program (`python -m wirelane.testing.interop`), with all cases, its exit status and what it prints.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from support.grpcio_peer import GRPCIO_CASES, grpcio_interop_client, grpcio_interop_server
from support.interop_relay import Relay, recording_relay
from support.interop_support import (
    COMPRESSION,
    CORE,
    FLAGS,
    NAMES,
    TRANSPORTS,
    client_flags,
    interop_channel,
    passed,
    run_program,
    server_flags,
    server_program,
    wirelane_interop_server,
)
from wirelane.testing.interop.cases import CASES
from wirelane.testing.interop.soak import SOAKS

if TYPE_CHECKING:
    from conftest import Certificates

over_each_transport = pytest.mark.parametrize("transport", TRANSPORTS)
each_case = pytest.mark.parametrize("case", NAMES)


def test_both_ends_know_the_same_eighteen_cases() -> None:
    assert len(NAMES) == 18
    assert set(GRPCIO_CASES) == set(NAMES)
    assert set(CASES) == {*NAMES, "concurrent_large_unary"}


@asynccontextmanager
async def relayed_grpcio_server(ca: Certificates, transport: str) -> AsyncIterator[tuple[int, Relay]]:
    """A grpcio server; gives its own port, and a relay to it that it believes about compression."""
    async with grpcio_interop_server(ca, transport) as (service, port):
        async with recording_relay(ca, transport, port) as relay:
            service.witness = relay
            yield port, relay


@over_each_transport
@each_case
async def test_a_wirelane_client_passes_with_a_grpcio_server(
    ca: Certificates, transport: str, case: str
) -> None:
    async with relayed_grpcio_server(ca, transport) as (port, relay):
        through_relay = case in COMPRESSION
        async with interop_channel(ca, transport, relay.port if through_relay else port) as channel:
            await CASES[case](channel)
            assert channel.stats.active == 0
        if through_relay:
            assert relay.flags() == FLAGS[case]
            assert {name for call in relay.calls for name in call.request.encodings} <= {"gzip"}


@over_each_transport
@each_case
async def test_a_grpcio_client_passes_with_a_wirelane_server(
    ca: Certificates, transport: str, case: str
) -> None:
    async with wirelane_interop_server(ca, transport) as port:
        if case not in COMPRESSION:
            async with grpcio_interop_client(ca, transport, port) as stub:
                await GRPCIO_CASES[case](stub)
            return
        async with recording_relay(ca, transport, port) as relay:
            async with grpcio_interop_client(ca, transport, relay.port) as stub:
                await GRPCIO_CASES[case](stub)
            assert relay.flags() == FLAGS[case]


@over_each_transport
@each_case
async def test_a_wirelane_client_passes_with_a_wirelane_server(
    ca: Certificates, transport: str, case: str
) -> None:
    async with (
        wirelane_interop_server(ca, transport) as port,
        interop_channel(ca, transport, port) as channel,
    ):
        await CASES[case](channel)
        assert channel.stats.active == 0


@over_each_transport
async def test_the_client_program_passes_with_a_grpcio_server(ca: Certificates, transport: str) -> None:
    async with relayed_grpcio_server(ca, transport) as (port, relay):
        core = await run_program("client", *client_flags(ca, transport, port, CORE))
        assert (core.status, core.out, core.err) == (0, "", passed(CORE))
        compression = await run_program("client", *client_flags(ca, transport, relay.port, COMPRESSION))
        assert (compression.status, compression.out, compression.err) == (0, "", passed(COMPRESSION))
        assert relay.flags() == [flags for name in COMPRESSION for flags in FLAGS[name]]


@over_each_transport
async def test_a_grpcio_client_passes_with_the_server_program(ca: Certificates, transport: str) -> None:
    async with server_program(*server_flags(ca, transport)) as port:
        async with grpcio_interop_client(ca, transport, port) as stub:
            for name in NAMES:
                await GRPCIO_CASES[name](stub)


@over_each_transport
async def test_the_client_program_passes_with_the_server_program_a_thousand_calls_at_once_included(
    ca: Certificates, transport: str
) -> None:
    async with server_program(*server_flags(ca, transport)) as port:
        done = await run_program("client", *client_flags(ca, transport, port, "all"))
    assert (done.status, done.out, done.err) == (0, "", passed([*CASES, *SOAKS]))
