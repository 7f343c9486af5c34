"""What a program that runs a TCP server asks of it, who is there, what they said, answers, ends, and what the log tells.

Made of `tests/twins` by tools/make_sync.py; do not edit.


The server here is held by its user, who takes clients and their data when it suits: `Desk` is all that takes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support.twins_sync_support import Event, until
from wirelane.sync import (
    ClosedError,
    ConnectError,
    ConnectionLost,
    Limits,
    ReadTimeout,
    UsageError,
    tcp,
)

SOON = 30.0


class Desk:
    """Clients of a server, in the order in which they came; each stays until the desk is done with it."""

    def __init__(self) -> None:
        self.waiting: list[tcp.Connection] = []
        self._done: dict[tcp.Connection, Event] = {}

    def handle(self, connection: tcp.Connection) -> None:
        done = self._done[connection] = Event()
        self.waiting.append(connection)
        done.wait()

    def next(self) -> tcp.Connection:
        until(lambda: self.waiting)
        return self.waiting.pop(0)

    def dismiss(self, connection: tcp.Connection) -> None:
        self._done[connection].set()

    def close(self) -> None:
        for done in self._done.values():
            done.set()


@contextmanager
def desk() -> Iterator[tuple[Desk, tcp.Server, str]]:
    """A server at work, and its address."""
    there = Desk()
    server = tcp.Server(there.handle, limits=Limits(close_timeout=5.0))
    listening = server.listen("127.0.0.1:0")
    try:
        yield there, server, str(listening.address)
    finally:
        server.drain(grace=0)
        there.close()


def gone(server: tcp.Server) -> None:
    """Wait until nobody is connected."""
    until(lambda: not server.connections)


def test_a_server_starts_on_a_free_port_and_says_which() -> None:
    with desk() as (_, server, address):
        assert isinstance(server, tcp.Server)
        assert not isinstance(server, tcp.Connection)
        assert server.state is tcp.ServerState.SERVING
        assert repr(server).endswith(f"Server {address} SERVING 0 connections>")


def test_a_port_that_is_taken_is_told_when_the_server_starts() -> None:
    with desk() as (there, _, address):
        with pytest.raises(ConnectError, match="address already in use"):
            tcp.Server(there.handle).listen(address)


def test_a_server_that_was_stopped_has_no_clients_and_takes_none() -> None:
    with desk() as (there, server, address), tcp.connect(address) as client:
        client.send(b"hello")
        there.next()
        server.drain(grace=0)
        assert (server.state, server.connections, server.clients) == (tcp.ServerState.CLOSED, 0, ())
        assert client.read(timeout=SOON) == b""
        with pytest.raises(ConnectError):
            tcp.connect(address)


def test_the_next_client_comes_with_what_it_said() -> None:
    with desk() as (there, _, address):
        assert not there.waiting
        with tcp.connect(address) as client:
            client.send(b"Hello server!")
            connection = there.next()
            assert connection.peer == client.local
            assert connection.read(timeout=SOON) == b"Hello server!"


def test_a_client_that_leaves_without_a_word_was_there_all_the_same() -> None:
    with desk() as (there, _, address):
        with tcp.connect(address):
            pass
        connection = there.next()
        assert connection.read(timeout=SOON) == b""


def test_six_messages_in_a_row_arrive_one_by_one_and_in_order() -> None:
    with desk() as (there, _, address), tcp.connect(address) as client:
        connection = there.next()
        with pytest.raises(ReadTimeout) as caught:
            connection.read(timeout=0)
        assert caught.value.partial == b""
        for number in range(6):
            client.send_line(f"message {number}")
        for number in range(6):
            assert connection.read_line(timeout=SOON) == f"message {number}"
        with pytest.raises(ReadTimeout):
            connection.read_line(timeout=0)


def test_what_a_client_said_before_it_left_is_still_read_and_then_the_end() -> None:
    with desk() as (there, server, address):
        with tcp.connect(address) as client:
            client.send(b"last words")
        connection = there.next()
        assert server.clients == (connection,), "it stays until it was heard"
        assert connection.read_exactly(10, timeout=SOON) == b"last words"
        assert connection.read(timeout=SOON) == b""
        there.dismiss(connection)
        gone(server)
        assert not server.clients


def test_the_size_of_a_read_is_a_limit_that_loses_nothing() -> None:
    with desk() as (there, _, address), tcp.connect(address) as client:
        client.send(b"0123456789")
        connection = there.next()
        assert connection.read(max_bytes=4, timeout=SOON) == b"0123"
        assert connection.read(max_bytes=6, timeout=SOON) == b"456789"


def test_the_server_sends_and_the_client_reads() -> None:
    with desk() as (there, _, address), tcp.connect(address) as client:
        connection = there.next()
        connection.send(b"Hello client!")
        assert client.read(timeout=SOON) == b"Hello client!"
        connection.send_line("and in text: ü")
        assert client.read_line(timeout=SOON) == "and in text: ü"


def test_each_client_is_answered_on_its_own_connection() -> None:
    with desk() as (there, server, address):
        with tcp.connect(address) as one, tcp.connect(address) as two:
            one.send(b"one")
            two.send(b"two")
            connections = [there.next(), there.next()]
            assert set(server.clients) == set(connections)
            assert server.connections == 2
            assert {connection.peer for connection in connections} == {one.local, two.local}
            for connection in connections:
                said = connection.read_exactly(3, timeout=SOON)
                connection.send(said.upper())
            assert (one.read(timeout=SOON), two.read(timeout=SOON)) == (b"ONE", b"TWO")


def test_a_connection_that_the_server_closes_ends_for_the_client_and_leaves_the_list() -> None:
    with desk() as (there, server, address), tcp.connect(address) as client:
        client.send(b"first")
        connection = there.next()
        assert connection.read(timeout=SOON) == b"first"
        connection.close()
        there.dismiss(connection)
        gone(server)
        assert server.clients == ()
        assert client.read(timeout=SOON) == b""
        with pytest.raises(ConnectionLost):
            # The first may leave before the answer to it, a reset, is here.
            while True:
                client.send(b"second")
        with pytest.raises(ClosedError):
            connection.send(b"third")


def test_a_server_that_has_said_all_still_hears_the_client() -> None:
    with desk() as (there, server, address), tcp.connect(address) as client:
        connection = there.next()
        connection.send(b"all I had to say")
        connection.send_eof()
        with pytest.raises(UsageError, match="after send_eof"):
            connection.send(b"more")
        assert client.read_until_eof(timeout=SOON) == b"all I had to say"
        client.send(b"and I")
        assert connection.read_exactly(5, timeout=SOON) == b"and I"
        assert server.connections == 1


def test_a_server_that_reads_no_more_still_speaks_and_holds_no_more_than_its_limit() -> None:
    there = Desk()
    with tcp.Server(there.handle, limits=Limits(read_buffer=1000)).listen("127.0.0.1:0") as listening:
        with tcp.connect(str(listening.address)) as client:
            connection = there.next()
            with pytest.raises(TimeoutError):
                client.send(bytes(64 << 20), timeout=0.2)
            assert connection.buffered <= 1000 + (256 << 10)
            connection.send(b"enough")
            assert client.read(timeout=SOON) == b"enough"
            client.abort()
        there.dismiss(connection)


def test_the_log_tells_where_it_listens_and_who_left_and_no_data(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def strict(connection: tcp.Connection) -> None:
        connection.read_exactly(100)

    with caplog.at_level(logging.DEBUG, "wirelane"):
        with tcp.Server(strict).listen("127.0.0.1:0") as listening:
            with tcp.connect(str(listening.address)) as client:
                client.send(b"a secret")
                peer = client.local
            until(lambda: listening.stats.accepted and not listening.connections)
    lines = [
        record.getMessage() for record in caplog.records if record.name.startswith("wirelane.tcp.server")
    ]
    assert f"listening on {listening.address}" in lines
    assert any(line.startswith(f"a client left: {peer}: ") for line in lines)
    assert "a secret" not in caplog.text
