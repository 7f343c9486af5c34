"""How a server drains: nobody who came before it is lost, and handlers can know.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from support.net_support import descriptors
from support.twins_sync_support import Event, start, until
from twins_sync.tcp_support import served, sockets
from wirelane.sync import ConnectError, ConnectionLost, ReadTimeout, TlsConfig, tcp

if TYPE_CHECKING:
    from conftest import Certificates

LONG = 600.0


def polite(connection: tcp.Connection) -> None:
    """Answer line by line, until there is no more."""
    while connection.more():
        connection.send_line(f"{connection.read_line()}!")


def test_a_handler_between_messages_learns_of_the_drain_and_ends() -> None:
    with served(polite) as (listening, address), tcp.connect(address) as connection:
        connection.send_line("one")
        assert connection.read_line() == "one!"
        assert not listening.clients[0].draining
        listening.drain(LONG)
        assert connection.read() == b""
        assert listening.connections == 0


def test_a_message_that_has_begun_is_answered_during_the_drain() -> None:
    with served(polite) as (listening, address), tcp.connect(address) as connection:
        connection.send(b"first\nsec")
        assert connection.read_line() == "first!"
        draining = start(listening.drain, LONG)
        until(lambda: listening.clients[0].draining)
        assert listening.state is tcp.ServerState.DRAINING
        connection.send(b"ond\n")
        assert connection.read_line() == "second!"
        draining.result()
        assert connection.read() == b""


def test_a_message_that_nobody_has_read_yet_is_answered_during_the_drain() -> None:
    """It lies in the socket when the handler comes to ask for more."""
    begun, go_on = Event(), Event()
    asked: list[bool] = []

    def slow(connection: tcp.Connection) -> None:
        connection.read_line()
        begun.set()
        go_on.wait()
        asked.append(connection.draining)
        polite(connection)

    with served(slow) as (listening, address), tcp.connect(address) as connection:
        connection.send_line("one")
        begun.wait()
        draining = start(listening.drain, LONG)
        until(lambda: listening.state is tcp.ServerState.DRAINING)
        connection.send_line("two")
        go_on.set()
        assert connection.read_line() == "two!"
        draining.result()
    assert asked == [True]


def test_more_raises_when_the_connection_is_lost() -> None:
    def cut(connection: tcp.Connection) -> None:
        connection.read_line()
        connection.abort()

    with served(cut) as (_, address), tcp.connect(address) as connection:
        connection.send_line("now")
        with pytest.raises(ConnectionLost):
            connection.more()


def test_a_client_that_has_connected_is_served_by_a_server_that_drains() -> None:
    """Whether its server has come to accept it is none of its business."""
    before = sockets()
    listening = tcp.Server(polite).listen("127.0.0.1:0")
    address = ("127.0.0.1", listening.port)
    clients = [socket.create_connection(address) for _ in range(5)]
    for client in clients:
        client.sendall(b"me\n")
    listening.drain(LONG)
    with pytest.raises(ConnectError):
        tcp.connect(str(listening.address))
    for client in clients:
        with client:
            assert client.recv(100) == b"me!\n"
            assert client.recv(100) == b""
    assert listening.stats.accepted == 5
    until(lambda: descriptors() <= before)


def test_a_handshake_that_is_not_over_is_finished_by_a_server_that_drains(ca: Certificates) -> None:
    tls = TlsConfig(cert=ca.server_cert, key=ca.server_key)
    listening = tcp.Server(polite, tls=tls).listen("127.0.0.1:0")
    with socket.create_connection(("127.0.0.1", listening.port)) as slow:
        until(lambda: listening.stats.handshakes == 1)
        draining = start(listening.drain, LONG)
        until(lambda: listening.state is tcp.ServerState.DRAINING)
        context = ca.client_context()
        with context.wrap_socket(slow, server_hostname="localhost") as secured:
            secured.sendall(b"hello\n")
            assert secured.recv(100) == b"hello!\n"
            assert secured.recv(100) == b""
        draining.result()
    assert listening.state is tcp.ServerState.CLOSED


def test_a_silent_handshake_does_not_outlive_the_grace(ca: Certificates) -> None:
    before = sockets()
    tls = TlsConfig(cert=ca.server_cert, key=ca.server_key)
    listening = tcp.Server(polite, tls=tls).listen("127.0.0.1:0")
    with socket.create_connection(("127.0.0.1", listening.port)) as silent:
        until(lambda: listening.stats.handshakes == 1)
        listening.drain(0.01)
        assert silent.recv(1) == b""
    until(lambda: descriptors() <= before)


def test_a_drain_that_is_cut_short_by_another_ends_both() -> None:
    over = Event()

    def endless(connection: tcp.Connection) -> None:
        over.wait()

    with served(endless) as (listening, address), tcp.connect(address) as connection:
        until(lambda: listening.connections == 1)
        first = start(listening.drain, LONG)
        until(lambda: listening.state is tcp.ServerState.DRAINING)
        listening.drain(0.01)
        first.result()
        assert listening.state is tcp.ServerState.CLOSED
        assert connection.read() == b""
    over.set()


def test_more_leaves_everything_where_it_is() -> None:
    with served(polite) as (_, address), tcp.connect(address) as connection:
        with pytest.raises(ReadTimeout):
            connection.more(timeout=0)
        waiting = start(connection.more)
        connection.send_line("x")
        assert waiting.result()
        assert connection.more()
        assert connection.more(timeout=0)
        assert connection.buffered == 3
        assert not connection.draining
        connection.send_eof()
        assert connection.read_line() == "x!"
        assert not connection.more()
        assert connection.read() == b""
