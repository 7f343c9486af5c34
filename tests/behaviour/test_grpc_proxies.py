"""gRPC through proxies: real servers of grpcio behind them, and the same errors as a TCP connection has."""

from __future__ import annotations

import pytest

from support.client_support import SERVICE, grpcio_server, note_schema
from support.proxy_support import relay_proxy
from wirelane import UsageError, grpc


async def test_every_connection_of_a_channel_goes_through_the_proxy() -> None:
    """One that is made again after a loss, too."""
    async with grpcio_server() as port, relay_proxy("socks5") as proxy:
        address = f"127.0.0.1:{port}"
        async with grpc.connect(address, schema=note_schema(), proxy=proxy.url()) as channel:
            await channel.unary(f"{SERVICE}/One", {"text": "a"})
            for connection in channel._connector.connections:
                connection.abort()
            await channel.unary(f"{SERVICE}/One", {"text": "a"}, wait_for_ready=True)
        assert proxy.connected == 2


def test_a_channel_to_a_unix_socket_takes_no_proxy() -> None:
    with pytest.raises(UsageError, match="no proxy leads to it"):
        grpc.Channel("unix:/tmp/x", proxy="http://127.0.0.1:1")
