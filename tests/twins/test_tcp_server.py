"""A server of TCP: handlers, their errors, limits, and the ways to stop: written once, run with asyncio and without."""

from __future__ import annotations

import logging
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from support.twins_support import Event, start, until
from twins.tcp_support import reads, served
from wirelane import BusyError, ConnectError, ConnectionLost, EndOfStream, Limits, UsageError, tcp

QUICK = Limits(close_timeout=0.2)


async def echo(connection: tcp.Connection) -> None:
    async for line in connection.lines():
        await connection.send_line(line)


async def test_many_clients_are_served_at_once() -> None:
    async with served(echo) as (listening, address):
        assert listening.port == int(address.rpartition(":")[2])
        connections = [await tcp.connect(address) for _ in range(20)]
        for number, connection in enumerate(connections):
            await connection.send_line(f"line {number}")
        assert [await connection.read_line() for connection in connections] == [
            f"line {n}" for n in range(20)
        ]
        assert listening.connections == 20
        assert "20 connections" in repr(listening)
        for connection in connections:
            await connection.close()
        await until(lambda: listening.connections == 0)


async def test_a_handler_that_returns_closes_its_connection_after_what_it_sent() -> None:
    async def greet(connection: tcp.Connection) -> None:
        await connection.send(b"x" * 500_000)

    async with served(greet) as (_, address), tcp.connect(address) as connection:
        assert await connection.read_until_eof() == b"x" * 500_000


async def test_an_error_in_a_handler_is_logged_once_and_ends_that_connection_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fragile(connection: tcp.Connection) -> None:
        async for line in connection.lines():
            if line == "break":
                raise ValueError("broken on purpose")
            await connection.send_line(line)

    async with served(fragile) as (_, address), tcp.connect(address) as bystander:
        with caplog.at_level(logging.INFO, "wirelane.tcp.server"):
            async with tcp.connect(address) as connection:
                await connection.send_line("break")
                assert await connection.read() == b""
        await bystander.send_line("still there")
        assert await bystander.read_line() == "still there"
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "broken on purpose"


@pytest.mark.parametrize("how", ["end", "reset"])
async def test_a_client_that_leaves_is_no_error(how: str, caplog: pytest.LogCaptureFixture) -> None:
    async def patient(connection: tcp.Connection) -> None:
        await connection.read_exactly(100)

    with caplog.at_level(logging.INFO, "wirelane.tcp.server"):
        async with served(patient) as (listening, address):
            connection = await tcp.connect(address)
            await connection.send(b"only this")
            await until(lambda: listening.connections == 1)
            if how == "reset":
                connection.abort()
            await connection.close()
            await until(lambda: listening.connections == 0)
    left = [record for record in caplog.records if "left" in record.message]
    assert [record.levelname for record in left] == ["INFO"]


async def test_a_handler_and_others_share_its_connection_one_reader_at_a_time() -> None:
    held: list[tcp.Connection] = []

    async def hold(connection: tcp.Connection) -> None:
        held.append(connection)
        await connection.read()

    async with served(hold) as (_, address), tcp.connect(address) as connection:
        await until(lambda: held)
        (theirs,) = held
        await reads(theirs)
        assert theirs.peer == connection.local
        with pytest.raises(BusyError):
            await theirs.read()
        await theirs.send(b"from somebody else")
        assert await connection.read() == b"from somebody else"


@pytest.mark.parametrize("addresses", [1, 2])
async def test_more_connections_than_allowed_are_refused(
    addresses: int, caplog: pytest.LogCaptureFixture
) -> None:
    server = tcp.Server(echo, limits=Limits(max_connections=2))
    with caplog.at_level(logging.INFO, "wirelane"):
        async with server.listen(*["127.0.0.1:0"] * addresses) as listening:
            where = [str(address) for address in listening.addresses]
            async with tcp.connect(where[0]) as first, tcp.connect(where[-1]) as second:
                await until(lambda: listening.connections == 2)
                for _ in range(3):
                    async with tcp.connect(where[0]) as third:
                        with pytest.raises((EndOfStream, ConnectionLost)):
                            await third.read_line()
                for connection in (first, second):
                    await connection.send_line("mine")
                    assert await connection.read_line() == "mine"
            await until(lambda: listening.connections == 0)
            reply = b""
            while not reply:  # the event loop may close the sockets a turn after their handlers have ended
                with suppress(EndOfStream, ConnectionLost):
                    reply = await tcp.request(where[0], "now\n")
    assert len([record for record in caplog.records if "max_connections" in record.message]) == 1


async def test_draining_lets_handlers_finish_and_accepts_no_more() -> None:
    go_on = Event()

    async def slow(connection: tcp.Connection) -> None:
        question = await connection.read_line()
        await go_on.wait()
        await connection.send_line(f"answer to {question}")

    server = tcp.Server(slow)
    listening = await server.listen("127.0.0.1:0")
    address = str(listening.address)
    async with tcp.connect(address) as connection:
        await connection.send_line("q")
        await until(lambda: server.connections == 1)
        draining = start(server.drain, grace=30)
        await until(lambda: server.state.name == "DRAINING")
        with pytest.raises(ConnectError):
            await tcp.connect(address)
        go_on.set()
        assert await connection.read_line() == "answer to q"
        await draining.result()
    assert (server.state.name, server.connections) == ("CLOSED", 0)


async def test_leaving_the_block_by_an_error_ends_the_handlers_at_once() -> None:
    over = Event()

    async def endless(connection: tcp.Connection) -> None:
        await over.wait()

    server = tcp.Server(endless)

    async def fail() -> None:
        async with server.listen("127.0.0.1:0", grace=600) as listening, tcp.connect(str(listening.address)):
            await until(lambda: listening.connections == 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert server.connections == 0
    over.set()


async def test_abort_cuts_every_connection() -> None:
    server = tcp.Server(echo)
    async with server.listen("127.0.0.1:0") as listening:
        connection = await tcp.connect(str(listening.address))
        await connection.send_line("a")
        assert await connection.read_line() == "a"
        server.abort()
        with pytest.raises(ConnectionLost):
            await connection.read()
        await connection.close()
        await until(lambda: server.connections == 0)


async def test_a_handler_may_drain_its_own_server() -> None:
    async def stop(connection: tcp.Connection) -> None:
        await server.drain(grace=0)
        await connection.send_line("stopped")

    server = tcp.Server(stop)
    async with server.listen("127.0.0.1:0") as listening, tcp.connect(str(listening.address)) as connection:
        assert await connection.read_line() == "stopped"


async def test_ipv6_and_unix_sockets_are_listened_at(tmp_path: Path) -> None:
    async with tcp.Server(echo).listen("[::1]:0", f"unix:{tmp_path / 's'}") as listening:
        v6, unix = listening.addresses
        assert str(v6) == f"[::1]:{listening.port}"
        assert str(unix) == f"unix:{tmp_path / 's'}"
        for address in (v6, unix):
            async with tcp.connect(str(address)) as connection:
                await connection.send_line("hello")
                assert await connection.read_line() == "hello"
        assert await tcp.request(f"tcp://[::1]:{listening.port}", "a\n") == b"a\n"


async def test_an_address_in_use_is_an_error_and_nothing_stays_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = tcp.Server(echo)
        with pytest.raises(ConnectError):
            await server.listen("127.0.0.1:0", f"127.0.0.1:{taken.getsockname()[1]}")
        assert server.state.name == "CLOSED"
        async with server.listen("127.0.0.1:0") as listening:
            assert listening.port > 0


async def test_a_server_listens_once_at_a_time() -> None:
    server = tcp.Server(echo)
    assert repr(server).endswith("Server IDLE>")
    await server.drain()
    server.abort()
    async with server.listen("127.0.0.1:0") as listening:
        assert "Server 127.0.0.1:" in repr(server)
        with pytest.raises(UsageError, match="listens already"):
            server.listen("127.0.0.1:0")
        with pytest.raises(UsageError, match="started before"):
            await listening.start()


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(UsageError, match="handler"):
        tcp.Server(None)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="TlsConfig"):
        tcp.Server(echo, tls=True)
    with pytest.raises(UsageError):
        tcp.Server(echo).listen()
    with pytest.raises(UsageError):
        tcp.Server(echo).listen("no port")
