"""The types of TCP without await, as its users see them."""

from __future__ import annotations

import re
from typing import assert_type

from wirelane import Limits, SocketOptions, TlsConfig
from wirelane.sync import tcp


def client() -> None:
    with tcp.connect(
        "localhost:1", tls=True, connect_timeout=1.0, options=SocketOptions(nodelay=True)
    ) as connection:
        assert_type(connection, tcp.Connection)
        assert_type(connection.send(b"a"), None)
        assert_type(connection.send_line("a"), None)
        assert_type(connection.send_many([b"a", b"b"]), None)
        assert_type(connection.read(10), bytes)
        assert_type(connection.read_exactly(10, timeout=1.0), bytes)
        assert_type(connection.read_line(), str)
        assert_type(connection.read_frame(length_prefix=4), bytes)
        assert_type(connection.read_until_eof(), bytes)
        assert_type(connection.read_regex(re.compile(rb"a+")), bytes)
        assert_type(connection.peek(), bytes)
        assert_type(connection.more(timeout=1.0), bool)
        for line in connection.lines():
            assert_type(line, str)
        for record in connection.records(b";"):
            assert_type(record, bytes)
        for frame in connection.read_frames(length_prefix=4):
            assert_type(frame, bytes)
        for chunk in connection.chunks():
            assert_type(chunk, bytes)
        assert_type(connection.start_tls(TlsConfig()), None)
        assert_type(connection.alpn, str | None)
        assert_type(connection.close(linger=1.0), None)
        connection.send("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        connection.read_line(5.0)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert_type(tcp.request("localhost:1", b"a", timeout=1.0), bytes)


def handler(connection: tcp.Connection) -> None:
    connection.send_line(connection.read_line())


def greet(connection: tcp.Connection) -> None:
    connection.send_line("hello")


def is_alive(connection: tcp.Connection) -> bool:
    return connection.buffered == 0


def servers() -> None:
    server = tcp.Server(handler, limits=Limits(), threads=4)
    with server.listen("127.0.0.1:0") as listening:
        assert_type(listening.port, int)
        assert_type(server.clients[0], tcp.Connection)
    assert_type(server.serve("127.0.0.1:0"), None)
    tcp.Server(lambda: None)  # type: ignore[arg-type, misc]  # pyright: ignore[reportArgumentType]


def pools() -> None:
    with tcp.Pool("localhost:1", prepare=greet, check=is_alive) as pool:
        assert_type(pool, tcp.Pool)
        with pool.connection(timeout=1.0) as connection:
            assert_type(connection, tcp.Connection)
        assert_type(pool.request("a\n"), bytes)
    tcp.Pool("localhost:1", check=greet)
    tcp.Pool("localhost:1", prepare=is_alive)


async def not_here(connection: tcp.Connection) -> None:
    await connection.read_line()  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    async for _ in connection.lines():  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass
