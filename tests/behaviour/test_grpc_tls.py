"""Clients of grpcio at our server, over TLS, unix sockets and IPv6. Our clients are in tests/twins.

The service is that of the interoperability tests, and a call is its `large_unary`: some 600 kB through each connection.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import grpc as grpcio
import pytest

from support.grpcio_peer import GRPCIO_CASES, InteropStub, grpcio_interop_client
from support.interop_support import needs_ipv6, only_for, server_tls, wirelane_interop_server
from wirelane import TlsConfig, grpc
from wirelane.testing.interop.server import InteropService, interop_schema

if TYPE_CHECKING:
    from conftest import Certificates


@asynccontextmanager
async def our_server(tls: TlsConfig | None) -> AsyncIterator[int]:
    async with grpc.Server([InteropService()], schema=interop_schema(), tls=tls).listen("127.0.0.1:0") as one:
        yield one.port


async def grpcio_calls(stub: InteropStub) -> None:
    await GRPCIO_CASES["large_unary"](stub)


async def grpcio_fails(stub: InteropStub) -> str:
    with pytest.raises(grpcio.aio.AioRpcError) as caught:
        await grpcio_calls(stub)
    assert caught.value.code() is grpcio.StatusCode.UNAVAILABLE
    return caught.value.details() or ""


async def test_a_client_that_does_not_trust_us_fails_and_the_next_one_is_served(
    ca: Certificates, other_ca: Certificates
) -> None:
    async with our_server(server_tls(ca, "tls")) as port:
        async with grpcio_interop_client(other_ca, "tls", port) as stub:
            assert "CERTIFICATE_VERIFY_FAILED" in await grpcio_fails(stub)
        async with grpcio_interop_client(ca, "tls", port) as stub:
            await grpcio_calls(stub)


async def test_a_client_may_check_another_name(ca: Certificates, tmp_path: Path) -> None:
    async with our_server(server_tls(only_for(ca, tmp_path, "shop.test"), "tls")) as port:
        async with grpcio_interop_client(ca, "tls", port) as stub:
            await grpcio_fails(stub)
        async with grpcio_interop_client(ca, "tls", port, name="shop.test") as stub:
            await grpcio_calls(stub)


async def test_clients_without_the_required_certificate_fail_and_those_with_it_are_served(
    ca: Certificates, other_ca: Certificates
) -> None:
    stranger = replace(ca, client_cert=other_ca.client_cert, client_key=other_ca.client_key)
    async with our_server(server_tls(ca, "mtls")) as port:
        for certificates, transport in ((ca, "tls"), (stranger, "mtls")):
            async with grpcio_interop_client(certificates, transport, port) as stub:
                await grpcio_fails(stub)
        async with grpcio_interop_client(ca, "mtls", port) as stub:
            await grpcio_calls(stub)


@pytest.mark.parametrize(
    ("server", "client", "said"),
    [
        ("tls", "h2c", "speaks plaintext (it sent HTTP/2 without TLS), not TLS"),
        ("h2c", "tls", "TLS, on a port without it"),
    ],
)
async def test_a_client_that_takes_us_for_something_else_fails_at_once_and_is_logged(
    ca: Certificates, server: str, client: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="wirelane")
    async with our_server(server_tls(ca, server)) as port:
        for _ in range(2):
            async with grpcio_interop_client(ca, client, port) as stub:
                await grpcio_fails(stub)
        async with grpcio_interop_client(ca, server, port) as stub:
            await grpcio_calls(stub)
    # Once per connection, and only so many of a kind in a while: tests/adversity counts them.
    assert {record.levelname for record in caplog.records if said in record.getMessage()} == {"INFO"}


TRANSPORTS = pytest.mark.parametrize("transport", ["h2c", "tls", "mtls"])


@TRANSPORTS
async def test_a_grpcio_client_calls_us_at_a_unix_socket(
    ca: Certificates, tmp_path: Path, transport: str
) -> None:
    target = f"unix:{tmp_path / 's'}"
    async with (
        wirelane_interop_server(ca, transport, target),
        # C-core would check the certificate for the path.
        grpcio_interop_client(ca, transport, target, name="localhost") as stub,
    ):
        await grpcio_calls(stub)


@needs_ipv6
@TRANSPORTS
async def test_a_grpcio_client_calls_us_at_an_ipv6_address(ca: Certificates, transport: str) -> None:
    async with wirelane_interop_server(ca, transport, "[::1]:0") as port:
        async with grpcio_interop_client(ca, transport, f"ipv6:[::1]:{port}", name="localhost") as stub:
            await grpcio_calls(stub)
