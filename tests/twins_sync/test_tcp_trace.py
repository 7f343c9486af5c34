"""`trace=` of TCP connections and servers, the conversation as the program has it.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.proxy_support import relay_proxy
from support.twins_sync_support import elsewhere, start, until
from twins_sync.tcp_support import pair, served
from wirelane.sync import ConnectError, ConnectionLost, TlsConfig, TlsError, Trace, UsageError, tcp

if TYPE_CHECKING:
    from conftest import Certificates


def told(trace: Trace | None) -> list[str]:
    assert trace is not None
    return [each.text or f"{each.direction} {each.data!r}" for each in trace.entries()]


def echo(connection: tcp.Connection) -> None:
    for chunk in connection:
        connection.send(chunk)


def test_what_is_sent_and_read_is_in_the_trace() -> None:
    with served(echo) as (_, address):
        with tcp.connect(address, trace=True) as connection:
            connection.send_line("hello")
            assert connection.read_line() == "hello"
        assert told(connection.trace)[0] == "connecting"
        assert told(connection.trace)[1].startswith(f"connected to {address} from 127.0.0.1:")
        assert told(connection.trace)[2:] == [r"sent b'hello\n'", r"received b'hello\n'", "closing", "closed"]


def test_a_server_logs_its_clients() -> None:
    server = tcp.Server(echo, trace=True)
    with server.listen("127.0.0.1:0") as listening:
        with tcp.connect(str(listening.address)) as connection:
            connection.send_line("hello")
            connection.read_line()
        until(lambda: not listening.connections)
    assert told(server.trace) == [
        "accepted",
        r"received b'hello\n'",
        r"sent b'hello\n'",
        "the peer ended its stream",
        "closing",
        "closed",
    ]


def test_the_handler_of_a_server_and_the_server_have_the_trace() -> None:
    seen: list[Trace | None] = []

    def handler(connection: tcp.Connection) -> None:
        seen.append(connection.trace)
        connection.send(b"x")

    server = tcp.Server(handler, trace=True)
    with server.listen("127.0.0.1:0") as listening, tcp.connect(str(listening.address)) as connection:
        connection.read_until_eof()
    assert seen == [server.trace]
    assert isinstance(server.trace, Trace)
    assert tcp.Server(handler).trace is None


def test_a_request_is_logged_too(tmp_path: Path) -> None:
    with served(echo) as (_, address):
        assert tcp.request(address, "time?\n", trace=tmp_path / "log") == b"time?\n"
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line.split(" ", 4)[4] for line in lines][2:] == [
        r"sent 6 bytes: time?\n",
        r"received 6 bytes: time?\n",
        "closing",
        "closed",
    ]
    assert len(lines) == 6


def test_one_trace_may_serve_connections_one_after_the_other() -> None:
    trace = Trace()
    with served(echo) as (_, address):
        for _ in range(3):
            with tcp.connect(address, trace=trace) as connection:
                assert connection.trace is trace
    assert {each.connection for each in trace.entries()} == {1, 2, 3}


def test_start_tls_goes_on_in_plain_text(ca: Certificates) -> None:
    def handler(connection: tcp.Connection) -> None:
        connection.read_line()
        connection.send_line("go ahead")
        connection.start_tls(TlsConfig(cert=ca.server_cert, key=ca.server_key))
        connection.send_line(f"over TLS: {connection.read_line()}")

    server_trace, trace = Trace(), Trace()
    with served(handler, trace=server_trace) as (_, address):
        with tcp.connect(address, trace=trace) as connection:
            connection.send_line("STARTTLS")
            connection.read_line()
            connection.start_tls(TlsConfig(ca=ca.ca), server_name="localhost")
            assert connection.tls
            connection.send_line("password")
            assert connection.read_line() == "over TLS: password"
            assert connection.trace is trace
    expected = [r"'STARTTLS\n'", r"'go ahead\n'", "TLS: TLSv1.3", r"'password\n'", r"'over TLS: password\n'"]
    for said in (told(trace), told(server_trace)):
        assert len(said) > len(expected)
        found = [line for line in said if line.startswith(("sent", "received", "TLS"))]
        assert [want in line for want, line in zip(expected, found, strict=True)] == [True] * 5


def test_a_start_tls_that_fails_is_logged_as_the_loss(ca: Certificates, other_ca: Certificates) -> None:
    def handler(connection: tcp.Connection) -> None:
        connection.read_line()
        connection.start_tls(TlsConfig(cert=ca.server_cert, key=ca.server_key))

    with served(handler) as (_, address):
        with tcp.connect(address, trace=True) as connection:
            connection.send_line("STARTTLS")
            with pytest.raises(TlsError):
                connection.start_tls(TlsConfig(ca=other_ca.ca), server_name="localhost")
            until(lambda: told(connection.trace)[-1].startswith("lost: "))


def test_a_reset_says_so() -> None:
    with pair(trace=True) as (connection, peer):
        peer.reset()
        with pytest.raises(ConnectionLost):
            connection.read()
        assert told(connection.trace)[-1] == "lost: connection reset by peer"


def test_what_is_said_to_a_proxy_is_not_in_the_trace() -> None:
    with (
        served(echo) as (_, address),
        elsewhere(relay_proxy, "socks5", users={"user": "sesame"}) as proxy,
    ):
        way = f"socks5://user:sesame@127.0.0.1:{proxy.port}"
        with tcp.connect(address, proxy=way, trace=True) as connection:
            connection.send_line("hello")
            connection.read_line()
        assert connection.trace is not None
        text = connection.trace.text()
    assert told(connection.trace)[0] == f"connecting through socks5://127.0.0.1:{proxy.port}"
    assert told(connection.trace)[2:4] == [r"sent b'hello\n'", r"received b'hello\n'"]
    assert {each.peer for each in connection.trace.entries()} == {address}
    assert "sesame" not in text + connection.trace.text(format="hex") + connection.trace.text(format="json")


def test_a_connection_that_is_not_made_is_in_the_file(tmp_path: Path) -> None:
    with served(echo) as (_, address):
        pass
    with pytest.raises(ConnectError):
        tcp.connect(address, trace=str(tmp_path / "log"))
    assert "not connected: cannot connect to" in (tmp_path / "log").read_text()


def test_a_file_that_fails_does_not_disturb_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    with served(echo) as (_, address):
        with tcp.connect(address, trace="/dev/full") as connection:
            for text in ("one", "two"):
                connection.send_line(text)
                assert connection.read_line() == text
            assert connection.trace is not None
            assert connection.trace.file_error is not None
            assert len(connection.trace.entries()) == 6
    assert len([record for record in caplog.records if record.name == "wirelane.trace"]) == 1


def test_large_messages_are_whole_and_their_sizes_add_up() -> None:
    data = bytes(range(256)) * 8192
    trace = Trace(max_data=16)
    with served(echo) as (_, address), tcp.connect(address, trace=trace) as connection:
        received = 0
        for _ in range(3):
            connection.send(data[:65536])
            assert connection.read_exactly(65536) == data[:65536]
            received += 65536
    for direction in ("sent", "received"):
        entries = [each for each in trace.entries() if each.direction == direction]
        assert sum(each.size for each in entries) == received
        assert all(len(each.data) <= 16 for each in entries)


def test_files_and_parts_are_logged_although_the_system_could_send_them_past_us(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"f" * 300_000)
    trace = Trace(max_data=4)
    with served(echo) as (_, address), tcp.connect(address, trace=trace) as connection:
        reading = start(connection.read_exactly, 300_006)
        connection.send_many([b"one", b"two"])
        connection.send_file(tmp_path / "file")
        assert reading.result() == b"onetwo" + b"f" * 300_000
    sent = [each for each in trace.entries() if each.direction == "sent"]
    assert sum(each.size for each in sent) == 300_006
    assert sent[0].data == b"onet"


def test_what_is_no_trace_is_refused_before_anything_is_done() -> None:
    with pytest.raises(UsageError, match="trace must be"):
        tcp.connect("127.0.0.1:1", trace=7)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="trace must be"):
        tcp.Server(echo, trace=7)  # type: ignore[arg-type]
