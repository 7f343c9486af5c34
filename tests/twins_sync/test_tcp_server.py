"""A server of TCP: handlers, their errors, limits, and the ways to stop.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

import logging
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from support.twins_sync_support import Event, start, until
from twins_sync.tcp_support import reads, served
from wirelane.sync import BusyError, ConnectError, ConnectionLost, EndOfStream, Limits, UsageError, tcp

QUICK = Limits(close_timeout=0.2)


def echo(connection: tcp.Connection) -> None:
    for line in connection.lines():
        connection.send_line(line)


def test_many_clients_are_served_at_once() -> None:
    with served(echo) as (listening, address):
        assert listening.port == int(address.rpartition(":")[2])
        connections = [tcp.connect(address) for _ in range(20)]
        for number, connection in enumerate(connections):
            connection.send_line(f"line {number}")
        assert [connection.read_line() for connection in connections] == [f"line {n}" for n in range(20)]
        assert listening.connections == 20
        assert "20 connections" in repr(listening)
        for connection in connections:
            connection.close()
        until(lambda: listening.connections == 0)


def test_a_handler_that_returns_closes_its_connection_after_what_it_sent() -> None:
    def greet(connection: tcp.Connection) -> None:
        connection.send(b"x" * 500_000)

    with served(greet) as (_, address), tcp.connect(address) as connection:
        assert connection.read_until_eof() == b"x" * 500_000


def test_an_error_in_a_handler_is_logged_once_and_ends_that_connection_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fragile(connection: tcp.Connection) -> None:
        for line in connection.lines():
            if line == "break":
                raise ValueError("broken on purpose")
            connection.send_line(line)

    with served(fragile) as (_, address), tcp.connect(address) as bystander:
        with caplog.at_level(logging.INFO, "wirelane.tcp.server"):
            with tcp.connect(address) as connection:
                connection.send_line("break")
                assert connection.read() == b""
        bystander.send_line("still there")
        assert bystander.read_line() == "still there"
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "broken on purpose"


@pytest.mark.parametrize("how", ["end", "reset"])
def test_a_client_that_leaves_is_no_error(how: str, caplog: pytest.LogCaptureFixture) -> None:
    def patient(connection: tcp.Connection) -> None:
        connection.read_exactly(100)

    with caplog.at_level(logging.INFO, "wirelane.tcp.server"):
        with served(patient) as (listening, address):
            connection = tcp.connect(address)
            connection.send(b"only this")
            until(lambda: listening.connections == 1)
            if how == "reset":
                connection.abort()
            connection.close()
            until(lambda: listening.connections == 0)
    left = [record for record in caplog.records if "left" in record.message]
    assert [record.levelname for record in left] == ["INFO"]


def test_a_handler_and_others_share_its_connection_one_reader_at_a_time() -> None:
    held: list[tcp.Connection] = []

    def hold(connection: tcp.Connection) -> None:
        held.append(connection)
        connection.read()

    with served(hold) as (_, address), tcp.connect(address) as connection:
        until(lambda: held)
        (theirs,) = held
        reads(theirs)
        assert theirs.peer == connection.local
        with pytest.raises(BusyError):
            theirs.read()
        theirs.send(b"from somebody else")
        assert connection.read() == b"from somebody else"


@pytest.mark.parametrize("addresses", [1, 2])
def test_more_connections_than_allowed_are_refused(addresses: int, caplog: pytest.LogCaptureFixture) -> None:
    server = tcp.Server(echo, limits=Limits(max_connections=2))
    with caplog.at_level(logging.INFO, "wirelane"):
        with server.listen(*["127.0.0.1:0"] * addresses) as listening:
            where = [str(address) for address in listening.addresses]
            with tcp.connect(where[0]) as first, tcp.connect(where[-1]) as second:
                until(lambda: listening.connections == 2)
                for _ in range(3):
                    with tcp.connect(where[0]) as third:
                        with pytest.raises((EndOfStream, ConnectionLost)):
                            third.read_line()
                for connection in (first, second):
                    connection.send_line("mine")
                    assert connection.read_line() == "mine"
            until(lambda: listening.connections == 0)
            reply = b""
            while not reply:  # the event loop may close the sockets a turn after their handlers have ended
                with suppress(EndOfStream, ConnectionLost):
                    reply = tcp.request(where[0], "now\n")
    assert len([record for record in caplog.records if "max_connections" in record.message]) == 1


def test_draining_lets_handlers_finish_and_accepts_no_more() -> None:
    go_on = Event()

    def slow(connection: tcp.Connection) -> None:
        question = connection.read_line()
        go_on.wait()
        connection.send_line(f"answer to {question}")

    server = tcp.Server(slow)
    listening = server.listen("127.0.0.1:0")
    address = str(listening.address)
    with tcp.connect(address) as connection:
        connection.send_line("q")
        until(lambda: server.connections == 1)
        draining = start(server.drain, grace=30)
        until(lambda: server.state.name == "DRAINING")
        with pytest.raises(ConnectError):
            tcp.connect(address)
        go_on.set()
        assert connection.read_line() == "answer to q"
        draining.result()
    assert (server.state.name, server.connections) == ("CLOSED", 0)


def test_leaving_the_block_by_an_error_ends_the_handlers_at_once() -> None:
    over = Event()

    def endless(connection: tcp.Connection) -> None:
        over.wait()

    server = tcp.Server(endless)

    def fail() -> None:
        with server.listen("127.0.0.1:0", grace=600) as listening, tcp.connect(str(listening.address)):
            until(lambda: listening.connections == 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert server.connections == 0
    over.set()


def test_abort_cuts_every_connection() -> None:
    server = tcp.Server(echo)
    with server.listen("127.0.0.1:0") as listening:
        connection = tcp.connect(str(listening.address))
        connection.send_line("a")
        assert connection.read_line() == "a"
        server.abort()
        with pytest.raises(ConnectionLost):
            connection.read()
        connection.close()
        until(lambda: server.connections == 0)


def test_a_handler_may_drain_its_own_server() -> None:
    def stop(connection: tcp.Connection) -> None:
        server.drain(grace=0)
        connection.send_line("stopped")

    server = tcp.Server(stop)
    with server.listen("127.0.0.1:0") as listening, tcp.connect(str(listening.address)) as connection:
        assert connection.read_line() == "stopped"


def test_ipv6_and_unix_sockets_are_listened_at(tmp_path: Path) -> None:
    with tcp.Server(echo).listen("[::1]:0", f"unix:{tmp_path / 's'}") as listening:
        v6, unix = listening.addresses
        assert str(v6) == f"[::1]:{listening.port}"
        assert str(unix) == f"unix:{tmp_path / 's'}"
        for address in (v6, unix):
            with tcp.connect(str(address)) as connection:
                connection.send_line("hello")
                assert connection.read_line() == "hello"
        assert tcp.request(f"tcp://[::1]:{listening.port}", "a\n") == b"a\n"


def test_an_address_in_use_is_an_error_and_nothing_stays_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = tcp.Server(echo)
        with pytest.raises(ConnectError):
            server.listen("127.0.0.1:0", f"127.0.0.1:{taken.getsockname()[1]}")
        assert server.state.name == "CLOSED"
        with server.listen("127.0.0.1:0") as listening:
            assert listening.port > 0


def test_a_server_listens_once_at_a_time() -> None:
    server = tcp.Server(echo)
    assert repr(server).endswith("Server IDLE>")
    server.drain()
    server.abort()
    with server.listen("127.0.0.1:0") as listening:
        assert "Server 127.0.0.1:" in repr(server)
        with pytest.raises(UsageError, match="listens already"):
            server.listen("127.0.0.1:0")
        with pytest.raises(UsageError, match="started before"):
            listening.start()


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(UsageError, match="handler"):
        tcp.Server(None)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="TlsConfig"):
        tcp.Server(echo, tls=True)
    with pytest.raises(UsageError):
        tcp.Server(echo).listen()
    with pytest.raises(UsageError):
        tcp.Server(echo).listen("no port")
