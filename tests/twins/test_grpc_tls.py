"""gRPC over TLS, unix sockets and IPv6 by the public API, each against grpcio and against ourselves: written once, run with asyncio and without.

The service is that of the interoperability tests, and a call is its `large_unary`: some 600 kB through each connection.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.grpcio_peer import grpcio_interop_server
from support.interop_support import client_tls, needs_ipv6, only_for, wirelane_interop_server
from support.net_support import openssl_server
from support.twins_support import elsewhere, there
from twins.grpc_support import large_unary
from wirelane import Limits, StatusCode, TlsConfig, grpc
from wirelane.errors import PeerError, RpcError, TlsError
from wirelane.testing.interop.server import interop_schema

if TYPE_CHECKING:
    from conftest import Certificates

# A misunderstanding must be recognised, not waited out: with this, waiting runs into the timeout of the test.
PATIENT = Limits(connect_timeout=50.0, handshake_timeout=50.0)

against_both = pytest.mark.parametrize("stack", ["grpcio", "wirelane"])


@there
@asynccontextmanager
async def serving(
    stack: str, ca: Certificates, transport: str, address: str = "127.0.0.1:0"
) -> AsyncIterator[int]:
    """Run a server of that stack; gives its port."""
    if stack == "wirelane":
        async with wirelane_interop_server(ca, transport, address) as port:
            yield port
    else:
        async with grpcio_interop_server(ca, transport, address) as (_, port):
            yield port


def connecting(target: int | str, **options: Any) -> Any:
    """What `grpc.connect` gives, to a port of 127.0.0.1 or to a target."""
    target = f"127.0.0.1:{target}" if isinstance(target, int) else target
    return grpc.connect(target, schema=interop_schema(), limits=PATIENT, **options)


async def call(channel: grpc.Channel) -> None:
    await large_unary(channel)


async def calls(target: int | str, **options: Any) -> None:
    async with connecting(target, **options) as channel:
        await call(channel)


async def refused(kind: type[TlsError | PeerError], target: int | str, **options: Any) -> Any:
    """Connect, which must fail so; the error reads as one line."""
    with pytest.raises(kind) as caught:
        await connecting(target, **options)
    assert "\n" not in str(caught.value)
    return caught.value


# ------------------------------------------------------------------------------------------- whom a client trusts


@against_both
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_server_of_a_trusted_ca_is_called_by_address_and_by_name(
    ca: Certificates, stack: str, host: str
) -> None:
    async with elsewhere(serving, stack, ca, "tls") as port:
        await calls(f"{host}:{port}", tls=TlsConfig(ca=ca.ca))


@against_both
async def test_a_context_of_the_user_and_the_scheme_grpcs_do_as_well(ca: Certificates, stack: str) -> None:
    async with elsewhere(serving, stack, ca, "tls") as port:
        await calls(f"grpcs://localhost:{port}", tls=ca.client_context())


@against_both
async def test_a_server_of_an_unknown_ca_is_refused_with_one_clear_error(
    ca: Certificates, other_ca: Certificates, stack: str
) -> None:
    async with elsewhere(serving, stack, other_ca, "tls") as port:
        error = await refused(TlsError, port, tls=TlsConfig(ca=ca.ca))
    assert (error.host, error.step) == ("127.0.0.1", "verify certificate")
    assert str(error).startswith(
        f"the certificate of the server at 127.0.0.1:{port} is signed by a CA that is not trusted here"
    )
    assert "TlsConfig(ca=...)" in error.hint


@against_both
async def test_a_certificate_is_verified_unless_told_otherwise(ca: Certificates, stack: str) -> None:
    async with elsewhere(serving, stack, ca, "tls") as port:
        assert (await refused(TlsError, port, tls=True)).step == "verify certificate"
        assert (await refused(TlsError, f"grpcs://127.0.0.1:{port}")).step == "verify certificate"


@against_both
async def test_a_call_on_an_unconnected_channel_fails_as_unavailable_and_says_the_same(
    ca: Certificates, other_ca: Certificates, stack: str
) -> None:
    async with (
        elsewhere(serving, stack, other_ca, "tls") as port,
        grpc.Channel(f"127.0.0.1:{port}", schema=interop_schema(), tls=TlsConfig(ca=ca.ca)) as channel,
    ):
        with pytest.raises(RpcError) as caught:
            await call(channel)
    error = caught.value
    assert (error.code, error.from_peer) == (StatusCode.UNAVAILABLE, False)
    assert isinstance(error.__cause__, TlsError)
    assert error.message == str(error.__cause__)


@against_both
async def test_without_verification_any_certificate_does(other_ca: Certificates, stack: str) -> None:
    async with elsewhere(serving, stack, other_ca, "tls") as port:
        await calls(port, tls=TlsConfig(verify=False))


@against_both
async def test_the_name_to_check_can_be_another_than_the_hosts(
    ca: Certificates, tmp_path: Path, stack: str
) -> None:
    async with elsewhere(serving, stack, only_for(ca, tmp_path, "shop.test"), "tls") as port:
        error = await refused(TlsError, port, tls=TlsConfig(ca=ca.ca))
        assert str(error).startswith(
            f"the certificate of the server at 127.0.0.1:{port} is not for '127.0.0.1' but for shop.test"
        )
        await calls(port, tls=TlsConfig(ca=ca.ca, server_name="shop.test"))
        await calls(port, tls=TlsConfig(ca=ca.ca), options=grpc.ChannelOptions(server_name="shop.test"))
        error = await refused(TlsError, port, tls=TlsConfig(ca=ca.ca, server_name="bank.test"))
        assert error.host == "bank.test"


# ------------------------------------------------------------------------------------------- whom a server trusts


@against_both
async def test_a_client_certificate_that_is_required_and_shown_lets_in(ca: Certificates, stack: str) -> None:
    async with elsewhere(serving, stack, ca, "mtls") as port:
        await calls(port, tls=TlsConfig(ca=ca.ca, cert=ca.client_cert, key=ca.client_key))


@against_both
async def test_a_client_certificate_that_is_required_and_missing_is_one_clear_error(
    ca: Certificates, stack: str
) -> None:
    async with elsewhere(serving, stack, ca, "mtls") as port:
        error = await refused(TlsError, port, tls=TlsConfig(ca=ca.ca))
    assert f"127.0.0.1:{port}" in str(error)
    assert "client certificate" in str(error)
    assert "TlsConfig(cert=..., key=...)" in str(error)


@against_both
async def test_a_client_certificate_of_an_unknown_ca_is_one_clear_error(
    ca: Certificates, other_ca: Certificates, stack: str
) -> None:
    async with elsewhere(serving, stack, ca, "mtls") as port:
        error = await refused(
            TlsError, port, tls=TlsConfig(ca=ca.ca, cert=other_ca.client_cert, key=other_ca.client_key)
        )
    assert f"127.0.0.1:{port}" in str(error)
    assert "certificate" in str(error)


# -------------------------------------------------------------------------------------------- misunderstandings


@against_both
async def test_tls_to_a_server_without_it_is_recognised_at_once(ca: Certificates, stack: str) -> None:
    async with elsewhere(serving, stack, ca, "h2c") as port:
        error = await refused(TlsError, port, tls=TlsConfig(ca=ca.ca))
    assert str(error).startswith(f"the server at 127.0.0.1:{port} speaks plaintext (it answered with HTTP/2")
    assert error.hint == "connect without TLS"


async def test_plaintext_to_our_server_with_tls_is_recognised_at_once(ca: Certificates) -> None:
    async with elsewhere(serving, "wirelane", ca, "tls") as port:
        error = await refused(TlsError, port)
    assert str(error).startswith(f"127.0.0.1:{port} speaks TLS, but the connection was made without it")
    assert "tls=True" in error.hint


async def test_plaintext_to_a_server_with_tls_that_closes_without_a_word_is_asked_about_at_once(
    ca: Certificates,
) -> None:
    # So do BoringSSL, which is in grpcio, and OpenSSL: no alert tells that it is TLS that they speak.
    async with elsewhere(serving, "grpcio", ca, "tls") as port:
        error = await refused(PeerError, port)
    assert str(error).startswith(f"127.0.0.1:{port} closed the connection at once")
    assert "does it expect TLS?" in str(error)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "did not agree to h2 (ALPN); it does not take part in the negotiation"),
        (("-alpn", "http/1.1"), "agreed to none of the protocols offered (ALPN)"),
    ],
    ids=["no ALPN", "http/1.1 only"],
)
async def test_a_tls_server_that_does_not_agree_to_http_2_is_refused(
    ca: Certificates, tmp_path: Path, arguments: tuple[str, ...], text: str
) -> None:
    blob = ca.server_key.read_bytes() + ca.server_cert.read_bytes()
    async with elsewhere(openssl_server, tmp_path, blob, *arguments) as (address, _):
        error = await refused(TlsError, str(address), tls=TlsConfig(ca=ca.ca))
    assert f"the server at {address} {text}" in str(error)


# ----------------------------------------------------------------------------------------- unix sockets and IPv6


TRANSPORTS = pytest.mark.parametrize("transport", ["h2c", "tls", "mtls"])


@against_both
@TRANSPORTS
async def test_a_server_at_a_unix_socket_is_called(
    ca: Certificates, tmp_path: Path, stack: str, transport: str
) -> None:
    target = f"unix:{tmp_path / 's'}"
    async with elsewhere(serving, stack, ca, transport, target):
        await calls(target, tls=client_tls(ca, transport))


@needs_ipv6
@against_both
@TRANSPORTS
async def test_a_server_at_an_ipv6_address_is_called(ca: Certificates, stack: str, transport: str) -> None:
    async with elsewhere(serving, stack, ca, transport, "[::1]:0") as port:
        async with connecting(f"[::1]:{port}", tls=client_tls(ca, transport)) as channel:
            await call(channel)
            assert f"[::1]:{port}" in repr(channel)
