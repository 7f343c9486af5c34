"""`trace=` of TCP connections and servers, the conversation as the program has it: written once, run with asyncio and without."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.proxy_support import relay_proxy
from support.twins_support import elsewhere, start, until
from twins.tcp_support import pair, served
from wirelane import ConnectError, ConnectionLost, TlsConfig, TlsError, Trace, UsageError, tcp

if TYPE_CHECKING:
    from conftest import Certificates


def told(trace: Trace | None) -> list[str]:
    assert trace is not None
    return [each.text or f"{each.direction} {each.data!r}" for each in trace.entries()]


async def echo(connection: tcp.Connection) -> None:
    async for chunk in connection:
        await connection.send(chunk)


async def test_what_is_sent_and_read_is_in_the_trace() -> None:
    async with served(echo) as (_, address):
        async with tcp.connect(address, trace=True) as connection:
            await connection.send_line("hello")
            assert await connection.read_line() == "hello"
        assert told(connection.trace)[0] == "connecting"
        assert told(connection.trace)[1].startswith(f"connected to {address} from 127.0.0.1:")
        assert told(connection.trace)[2:] == [r"sent b'hello\n'", r"received b'hello\n'", "closing", "closed"]


async def test_a_server_logs_its_clients() -> None:
    server = tcp.Server(echo, trace=True)
    async with server.listen("127.0.0.1:0") as listening:
        async with tcp.connect(str(listening.address)) as connection:
            await connection.send_line("hello")
            await connection.read_line()
        await until(lambda: not listening.connections)
    assert told(server.trace) == [
        "accepted",
        r"received b'hello\n'",
        r"sent b'hello\n'",
        "the peer ended its stream",
        "closing",
        "closed",
    ]


async def test_the_handler_of_a_server_and_the_server_have_the_trace() -> None:
    seen: list[Trace | None] = []

    async def handler(connection: tcp.Connection) -> None:
        seen.append(connection.trace)
        await connection.send(b"x")

    server = tcp.Server(handler, trace=True)
    async with server.listen("127.0.0.1:0") as listening, tcp.connect(str(listening.address)) as connection:
        await connection.read_until_eof()
    assert seen == [server.trace]
    assert isinstance(server.trace, Trace)
    assert tcp.Server(handler).trace is None


async def test_a_request_is_logged_too(tmp_path: Path) -> None:
    async with served(echo) as (_, address):
        assert await tcp.request(address, "time?\n", trace=tmp_path / "log") == b"time?\n"
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line.split(" ", 4)[4] for line in lines][2:] == [
        r"sent 6 bytes: time?\n",
        r"received 6 bytes: time?\n",
        "closing",
        "closed",
    ]
    assert len(lines) == 6


async def test_one_trace_may_serve_connections_one_after_the_other() -> None:
    trace = Trace()
    async with served(echo) as (_, address):
        for _ in range(3):
            async with tcp.connect(address, trace=trace) as connection:
                assert connection.trace is trace
    assert {each.connection for each in trace.entries()} == {1, 2, 3}


async def test_start_tls_goes_on_in_plain_text(ca: Certificates) -> None:
    async def handler(connection: tcp.Connection) -> None:
        await connection.read_line()
        await connection.send_line("go ahead")
        await connection.start_tls(TlsConfig(cert=ca.server_cert, key=ca.server_key))
        await connection.send_line(f"over TLS: {await connection.read_line()}")

    server_trace, trace = Trace(), Trace()
    async with served(handler, trace=server_trace) as (_, address):
        async with tcp.connect(address, trace=trace) as connection:
            await connection.send_line("STARTTLS")
            await connection.read_line()
            await connection.start_tls(TlsConfig(ca=ca.ca), server_name="localhost")
            assert connection.tls
            await connection.send_line("password")
            assert await connection.read_line() == "over TLS: password"
            assert connection.trace is trace
    expected = [r"'STARTTLS\n'", r"'go ahead\n'", "TLS: TLSv1.3", r"'password\n'", r"'over TLS: password\n'"]
    for said in (told(trace), told(server_trace)):
        assert len(said) > len(expected)
        found = [line for line in said if line.startswith(("sent", "received", "TLS"))]
        assert [want in line for want, line in zip(expected, found, strict=True)] == [True] * 5


async def test_a_start_tls_that_fails_is_logged_as_the_loss(ca: Certificates, other_ca: Certificates) -> None:
    async def handler(connection: tcp.Connection) -> None:
        await connection.read_line()
        await connection.start_tls(TlsConfig(cert=ca.server_cert, key=ca.server_key))

    async with served(handler) as (_, address):
        async with tcp.connect(address, trace=True) as connection:
            await connection.send_line("STARTTLS")
            with pytest.raises(TlsError):
                await connection.start_tls(TlsConfig(ca=other_ca.ca), server_name="localhost")
            await until(lambda: told(connection.trace)[-1].startswith("lost: "))


async def test_a_reset_says_so() -> None:
    async with pair(trace=True) as (connection, peer):
        peer.reset()
        with pytest.raises(ConnectionLost):
            await connection.read()
        assert told(connection.trace)[-1] == "lost: connection reset by peer"


async def test_what_is_said_to_a_proxy_is_not_in_the_trace() -> None:
    async with (
        served(echo) as (_, address),
        elsewhere(relay_proxy, "socks5", users={"user": "sesame"}) as proxy,
    ):
        way = f"socks5://user:sesame@127.0.0.1:{proxy.port}"
        async with tcp.connect(address, proxy=way, trace=True) as connection:
            await connection.send_line("hello")
            await connection.read_line()
        assert connection.trace is not None
        text = connection.trace.text()
    assert told(connection.trace)[0] == f"connecting through socks5://127.0.0.1:{proxy.port}"
    assert told(connection.trace)[2:4] == [r"sent b'hello\n'", r"received b'hello\n'"]
    assert {each.peer for each in connection.trace.entries()} == {address}
    assert "sesame" not in text + connection.trace.text(format="hex") + connection.trace.text(format="json")


async def test_a_connection_that_is_not_made_is_in_the_file(tmp_path: Path) -> None:
    async with served(echo) as (_, address):
        pass
    with pytest.raises(ConnectError):
        await tcp.connect(address, trace=str(tmp_path / "log"))
    assert "not connected: cannot connect to" in (tmp_path / "log").read_text()


async def test_a_file_that_fails_does_not_disturb_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    async with served(echo) as (_, address):
        async with tcp.connect(address, trace="/dev/full") as connection:
            for text in ("one", "two"):
                await connection.send_line(text)
                assert await connection.read_line() == text
            assert connection.trace is not None
            assert connection.trace.file_error is not None
            assert len(connection.trace.entries()) == 6
    assert len([record for record in caplog.records if record.name == "wirelane.trace"]) == 1


async def test_large_messages_are_whole_and_their_sizes_add_up() -> None:
    data = bytes(range(256)) * 8192
    trace = Trace(max_data=16)
    async with served(echo) as (_, address), tcp.connect(address, trace=trace) as connection:
        received = 0
        for _ in range(3):
            await connection.send(data[:65536])
            assert await connection.read_exactly(65536) == data[:65536]
            received += 65536
    for direction in ("sent", "received"):
        entries = [each for each in trace.entries() if each.direction == direction]
        assert sum(each.size for each in entries) == received
        assert all(len(each.data) <= 16 for each in entries)


async def test_files_and_parts_are_logged_although_the_system_could_send_them_past_us(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"f" * 300_000)
    trace = Trace(max_data=4)
    async with served(echo) as (_, address), tcp.connect(address, trace=trace) as connection:
        reading = start(connection.read_exactly, 300_006)
        await connection.send_many([b"one", b"two"])
        await connection.send_file(tmp_path / "file")
        assert await reading.result() == b"onetwo" + b"f" * 300_000
    sent = [each for each in trace.entries() if each.direction == "sent"]
    assert sum(each.size for each in sent) == 300_006
    assert sent[0].data == b"onet"


def test_what_is_no_trace_is_refused_before_anything_is_done() -> None:
    with pytest.raises(UsageError, match="trace must be"):
        tcp.connect("127.0.0.1:1", trace=7)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="trace must be"):
        tcp.Server(echo, trace=7)  # type: ignore[arg-type]
