"""Socket options of connections that are open: what the system says about them."""

from __future__ import annotations

import socket

import pytest

from wirelane import ConnectError, SocketOptions, grpc, tcp
from wirelane.core.target import HostPort


async def hold(connection: tcp.Connection) -> None:
    await connection.read_until_eof()


def of(connection: tcp.Connection, level: int, option: int) -> int:
    return connection._protocol.info("socket").getsockopt(level, option)  # type: ignore[attr-defined]


@pytest.fixture
async def server():
    async with tcp.Server(hold).listen("127.0.0.1:0") as listening:
        yield f"127.0.0.1:{listening.port}"


async def test_a_connection_leaves_from_the_address_it_was_given(server: str) -> None:
    async with tcp.connect(server, options=SocketOptions(local_address="127.0.0.9")) as connection:
        assert connection.local.host == "127.0.0.9"  # type: ignore[union-attr]


async def test_a_connection_leaves_from_the_port_it_was_given(server: str) -> None:
    with socket.create_server(("127.0.0.9", 0)) as free:
        port = free.getsockname()[1]
    options = SocketOptions(local_address=f"127.0.0.9:{port}")
    async with tcp.connect(server, options=options) as connection:
        assert connection.local == HostPort("127.0.0.9", port)


async def test_an_address_of_another_machine_is_an_error_that_says_so(server: str) -> None:
    with pytest.raises(ConnectError, match="assign requested address"):
        await tcp.connect(server, options=SocketOptions(local_address="192.0.2.1"))


async def test_an_address_of_the_other_family_is_an_error(server: str) -> None:
    with pytest.raises(ConnectError, match="address family not supported"):
        await tcp.connect(server, options=SocketOptions(local_address="::1"))


@pytest.mark.parametrize("nodelay", [True, False])
async def test_nagles_algorithm_is_off_unless_asked_for(server: str, nodelay: bool) -> None:
    async with tcp.connect(server, options=SocketOptions(nodelay=nodelay)) as connection:
        assert bool(of(connection, socket.IPPROTO_TCP, socket.TCP_NODELAY)) is nodelay


async def test_keep_alive_is_on_and_as_quick_as_asked_for(server: str) -> None:
    async with tcp.connect(server) as connection:
        assert of(connection, socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    async with tcp.connect(server, options=SocketOptions(keepalive=20, user_timeout=7)) as connection:
        assert of(connection, socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 20
        assert of(connection, socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 2
        assert of(connection, socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7000
    async with tcp.connect(server, options=SocketOptions(keepalive=False)) as connection:
        assert of(connection, socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0


async def test_a_channel_takes_socket_options_too() -> None:
    options = grpc.ChannelOptions(socket=SocketOptions(local_address="127.0.0.9"), keepalive_time=60)
    peers: list[str] = []
    server = grpc.Server(schema='syntax = "proto3"; message M {} service S { rpc R(M) returns (M); }')

    @server.method("S/R")
    async def r(_: object, context: grpc.Context) -> dict[str, object]:
        peers.append(str(context.peer))
        return {}

    async with server.listen("127.0.0.1:0") as listening:
        async with grpc.connect(
            f"127.0.0.1:{listening.port}", schema="reflection", options=options
        ) as channel:
            await channel.unary("S/R", {})
    assert peers[0].startswith("127.0.0.9:")
