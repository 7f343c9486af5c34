"""What a server allows its clients, and what it counts.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING

import pytest

from support.twins_sync_support import Event, until
from twins_sync.tcp_support import served
from wirelane.sync import ConnectionLost, EndOfStream, Limits, TlsConfig, TlsError, tcp

if TYPE_CHECKING:
    from conftest import Certificates


def echo(connection: tcp.Connection) -> None:
    for line in connection.lines():
        connection.send_line(line)


def test_a_peer_above_its_number_is_refused_whatever_address_it_comes_to(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = tcp.Server(echo, limits=Limits(max_connections_per_peer=1))
    with caplog.at_level(logging.INFO, "wirelane"):
        with server.listen("127.0.0.1:0", "127.0.0.1:0") as listening:
            one, two = (address.port for address in listening.addresses)  # type: ignore[union-attr]
            with tcp.connect(f"127.0.0.1:{one}") as connection:
                until(lambda: listening.connections == 1)
                for port in (one, two):
                    with pytest.raises((EndOfStream, ConnectionLost)):
                        tcp.request(f"127.0.0.1:{port}", "me too\n")
                with socket.create_connection(("127.0.0.1", two), source_address=("127.0.0.2", 0)) as other:
                    other.sendall(b"somebody else\n")
                    assert other.recv(100) == b"somebody else\n"
                connection.send_line("still here")
                assert connection.read_line() == "still here"
            assert server.stats.refusals == {"max_connections_per_peer": 2}
            assert server.stats.rejected == 2
            until(lambda: listening.connections == 0)
    assert "max_connections_per_peer=1" in caplog.text


def test_handshakes_of_a_peer_count_before_they_are_over(ca: Certificates) -> None:
    tls = TlsConfig(cert=ca.server_cert, key=ca.server_key)
    with served(echo, tls=tls, limits=Limits(max_connections_per_peer=1)) as (listening, address):
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port))):
            until(lambda: listening.stats.handshakes == 1)
            with pytest.raises((TlsError, ConnectionLost)):
                tcp.connect(address, tls=TlsConfig(ca=ca.ca))
            assert listening.stats.refusals == {"max_connections_per_peer": 1}
            assert (listening.connections, listening.stats.accepted) == (0, 1)
        until(lambda: listening.stats.handshakes == 0)
        until(lambda: listening.stats.refusals.get("handshakes") == 1)
        with tcp.connect(address, tls=TlsConfig(ca=ca.ca)) as connection:
            connection.send_line("now")
            assert connection.read_line() == "now"


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_an_idle_connection_is_closed_in_order_and_told_once(
    secure: bool, ca: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    ends: list[BaseException] = []

    def wait(connection: tcp.Connection) -> None:
        try:
            connection.read_line()
        except ConnectionLost as error:
            ends.append(error)
            raise

    tls = TlsConfig(cert=ca.server_cert, key=ca.server_key) if secure else None
    trust = TlsConfig(ca=ca.ca) if secure else None
    limits = Limits(idle_timeout=0.05)
    with caplog.at_level(logging.INFO, "wirelane.tcp.server"):
        with served(wait, tls=tls, limits=limits) as (listening, address):
            with tcp.connect(address, tls=trust) as connection:
                assert connection.read() == b""
            until(lambda: listening.connections == 0)
            assert listening.stats.idle == 1
    (error,) = ends
    assert str(error).endswith(": connection lost: nothing was received or sent for 0.05 s (idle_timeout)")
    assert isinstance(error.__cause__, TimeoutError)
    assert [record.levelname for record in caplog.records if "idle" in record.message] == ["INFO"]
    assert "left" not in caplog.text


def test_the_counts_tell_where_connections_stand() -> None:
    go_on = Event()

    def handler(connection: tcp.Connection) -> None:
        if connection.read_line() == "fail":
            raise ValueError("on purpose")
        go_on.wait()

    server = tcp.Server(handler, limits=Limits(max_connections=2))
    assert server.stats == tcp.ServerStats()
    assert server.clients == ()
    with server.listen("127.0.0.1:0") as listening:
        address = str(listening.address)
        with pytest.raises((EndOfStream, ConnectionLost)):
            tcp.request(address, "fail\n")
        until(lambda: server.connections == 0)
        with tcp.connect(address) as one, tcp.connect(address) as two:
            for connection in (one, two):
                connection.send_line("wait")
            until(lambda: server.connections == 2)
            with pytest.raises((EndOfStream, ConnectionLost)):
                tcp.request(address, "third\n")
            assert server.stats == tcp.ServerStats(
                connections=2, active=2, accepted=3, refusals={"max_connections": 1}, failed=1
            )
            assert [client.peer for client in server.clients] == [one.local, two.local]
            go_on.set()
            until(lambda: server.stats.connections == 0)
    assert (server.stats.accepted, server.stats.rejected) == (3, 1)


def test_handlers_that_fail_again_and_again_do_not_fill_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(connection: tcp.Connection) -> None:
        raise ValueError("again")

    with served(fail, limits=Limits(log_burst=2)) as (listening, address):
        for _ in range(5):
            with tcp.connect(address) as connection:
                assert connection.read() == b""
        assert listening.stats.failed == 5
        told = [record for record in caplog.records if record.exc_info]
        assert len(told) + listening.stats.unlogged == 5
        assert len(told) < 5


def test_a_connection_that_others_close_ends_its_handler_without_an_alarm(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, "wirelane.tcp.server"):
        with served(echo) as (listening, address), tcp.connect(address) as connection:
            until(lambda: listening.connections == 1)
            listening.clients[0].close()
            assert connection.read() == b""
            until(lambda: listening.connections == 0)
            assert listening.stats.failed == 0
    assert [record.levelname for record in caplog.records if "was closed" in record.message] == ["INFO"]
