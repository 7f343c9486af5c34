"""gRPC through proxies: real servers of grpcio behind them, and the same errors as a TCP connection has: written once, run with asyncio and without."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from support.client_support import ONE, SERVICE, note_schema
from support.grpcio_peer import grpcio_interop_server
from support.interop_support import client_tls
from support.proxy_support import relay_proxy
from support.twins_support import elsewhere
from twins.grpc_support import grpcio_server, large_unary, ping_pong
from wirelane import ProxyError, StatusCode, grpc
from wirelane.errors import RpcError
from wirelane.testing.interop.server import interop_schema

if TYPE_CHECKING:
    from conftest import Certificates


@pytest.mark.parametrize("kind", ["socks4", "socks5", "http"])
async def test_calls_go_through_a_proxy_to_a_server_of_grpcio(ca: Certificates, kind: str) -> None:
    """Every part of the kind of call that moves the most: streams and 600 kB messages."""
    async with (
        elsewhere(grpcio_interop_server, ca, "h2c") as (_, port),
        elsewhere(relay_proxy, kind, users={"ann": "x"}) as proxy,
    ):
        address = f"127.0.0.1:{port}"
        userinfo = "ann" if kind == "socks4" else "ann:x"
        async with grpc.connect(address, schema=interop_schema(), proxy=proxy.url(userinfo)) as channel:
            await large_unary(channel)
            await ping_pong(channel)
        assert proxy.targets == [address]


async def test_a_call_says_which_server_answered_not_which_proxy() -> None:
    async with grpcio_server() as port, elsewhere(relay_proxy, "http") as proxy:
        address = f"127.0.0.1:{port}"
        async with grpc.connect(address, schema=note_schema(), proxy=proxy.url()) as channel:
            with pytest.raises(RpcError) as caught:
                await channel.unary(ONE, b"no such service there")
    assert caught.value.code is StatusCode.UNIMPLEMENTED
    assert caught.value.peer == address


async def test_a_channel_without_its_proxy_fails_and_never_goes_around_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nowhere = closed.getsockname()[1]
    async with grpcio_server() as port:
        address = f"127.0.0.1:{port}"
        with pytest.raises(ProxyError, match="connection refused"):
            await grpc.connect(address, schema=note_schema(), proxy=f"socks5://127.0.0.1:{nowhere}")
        async with grpc.Channel(
            address, schema=note_schema(), proxy=f"socks5://127.0.0.1:{nowhere}"
        ) as channel:
            with pytest.raises(RpcError) as caught:
                await channel.unary(f"{SERVICE}/One", {"text": "a"})
    assert caught.value.code is StatusCode.UNAVAILABLE
    assert isinstance(caught.value.__cause__, ProxyError)


async def test_a_call_without_a_channel_goes_through_it_too() -> None:
    async with grpcio_server() as port, elsewhere(relay_proxy, "http") as proxy:
        address = f"127.0.0.1:{port}"
        await grpc.call(address, f"{SERVICE}/One", {"text": "a"}, schema=note_schema(), proxy=proxy.url())
        assert proxy.connected == 1


async def test_secured_calls_are_verified_by_the_name_of_the_server(ca: Certificates) -> None:
    async with (
        elsewhere(grpcio_interop_server, ca, "tls") as (_, port),
        elsewhere(relay_proxy, "socks5") as proxy,
    ):
        async with grpc.connect(
            f"grpcs://localhost:{port}", schema=interop_schema(), tls=client_tls(ca, "tls"), proxy=proxy.url()
        ) as channel:
            await large_unary(channel)
        assert proxy.targets == [f"localhost:{port}"]
