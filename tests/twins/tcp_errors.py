"""The errors that connections, pools and schemas meet outside, provoked over real sockets and files: written once, run with asyncio and without."""

from __future__ import annotations

from functools import partial

import pytest

from support.client_support import free_port
from support.errors_support import Place, Provoked
from support.proxy_support import relay_proxy
from support.tcp_support import greet, hold, streams_server
from support.twins_support import elsewhere, serving, silent, start
from twins.error_table import Table, add, caught
from twins.tcp_support import came, pair, reads
from wirelane import (
    BusyError,
    ClosedError,
    CodecError,
    ConnectError,
    ConnectionLost,
    EndOfStream,
    LimitExceeded,
    Limits,
    PoolTimeout,
    ProxyError,
    ReadTimeout,
    ResolveError,
    Schema,
    SchemaError,
    SendTimeout,
    TlsConfig,
    TlsError,
    tcp,
)

TABLE: Table = {}
row = partial(add, TABLE)


@row(ConnectError)
async def nobody_listens(place: Place) -> Provoked:
    port = free_port()
    error = await caught(tcp.connect, f"127.0.0.1:{port}")
    assert isinstance(error, OSError)
    return Provoked(
        error,
        (f"127.0.0.1:{port}", "refused"),
        {
            "address": f"127.0.0.1:{port}",
            "attempts": lambda attempts: (
                [where for where, _ in attempts] == [f"127.0.0.1:{port}"]
                and isinstance(attempts[0][1], ConnectionRefusedError)
            ),
            "errno": lambda number: number is not None,
        },
    )


@row(ConnectError)
async def unix_socket_that_is_not_there(place: Place) -> Provoked:
    path = place.files / "nobody.sock"
    error = await caught(tcp.connect, f"unix:{path}")
    return Provoked(error, (str(path), "no such file"), {"address": f"unix:{path}"})


@row(ConnectError)
async def address_in_use(place: Place) -> Provoked:
    async def handler(connection: tcp.Connection) -> None: ...

    async with tcp.Server(handler).listen("127.0.0.1:0") as listening:

        async def listen_there_too() -> None:
            await tcp.Server(handler).listen(f"127.0.0.1:{listening.port}")

        error = await caught(listen_there_too)
    return Provoked(error, (f"cannot listen at 127.0.0.1:{listening.port}", "in use"))


@row(ResolveError)
async def name_without_an_address(place: Place) -> Provoked:
    error = await caught(tcp.connect, "nosuch.invalid:7")
    return Provoked(
        error,
        ("cannot resolve 'nosuch.invalid'",),
        {"host": "nosuch.invalid", "step": "resolve", "hint": bool},
    )


@row(TlsError)
async def certificate_of_an_unknown_ca(place: Place) -> Provoked:
    async with elsewhere(streams_server, hold, place.other_ca.server_context()) as address:
        error = await caught(tcp.connect, address, tls=TlsConfig(ca=place.ca.ca))
    return Provoked(
        error,
        (address, "CA that is not trusted here", "ca="),
        {"host": "127.0.0.1", "step": "verify certificate", "hint": bool},
    )


@row(TlsError)
async def server_without_tls(place: Place) -> Provoked:
    async with elsewhere(streams_server, greet) as address:
        error = await caught(tcp.connect, address, tls=TlsConfig(ca=place.ca.ca))
    return Provoked(error, (address, "'220 mail.test ESMTP'", "TLS"), {"step": "handshake"})


@row(ConnectionLost)
async def reset_by_the_peer(place: Place) -> Provoked:
    async with pair() as (connection, peer):
        await peer.say(b"half a li")
        await came(connection, 9)
        peer.reset()
        error = await caught(connection.read_line)
    assert isinstance(error, ConnectionError)
    assert isinstance(error.__cause__, ConnectionResetError)
    return Provoked(error, ("connection lost", "reset"), {"partial": b"half a li"})


@row(ConnectionLost)
async def tls_cut_off_without_close_notify(place: Place) -> Provoked:
    async with pair(server_tls=place.ca.server_context(), tls=TlsConfig(ca=place.ca.ca)) as (
        connection,
        peer,
    ):
        await peer.say(b"half a li")
        await came(connection, 9)
        peer.cut()
        error = await caught(connection.read_line)
    return Provoked(error, ("connection lost", "close_notify"), {"partial": b"half a li"})


@row(ReadTimeout)
async def line_that_does_not_end_in_time(place: Place) -> Provoked:
    async with pair() as (connection, peer):
        await peer.say(b"half a li")
        await came(connection, 9)
        error = await caught(connection.read_line, timeout=0.01)
        assert await connection.read() == b"half a li"
    assert isinstance(error, TimeoutError)
    return Provoked(error, ("0.01 s", "9 bytes"), {"partial": b"half a li"})


@row(SendTimeout)
async def peer_that_does_not_read(place: Place) -> Provoked:
    size = 16_000_000
    async with pair(limits=Limits(max_send_buffer=10_000, close_timeout=0.1)) as (connection, peer):
        peer.pause()
        error = await caught(connection.send, bytes(size), timeout=0.05)
    assert isinstance(error, TimeoutError)
    return Provoked(
        error, ("0.05 s", "does not read", f"of {size} bytes"), {"unsent": lambda n: 0 < n <= size}
    )


@row(EndOfStream)
async def stream_that_ends_too_early(place: Place) -> Provoked:
    async with pair() as (connection, peer):
        await peer.say(b"half")
        peer.writer.write_eof()
        error = await caught(connection.read_exactly, 9)
    assert isinstance(error, EOFError)
    return Provoked(error, ("ended its stream", "4 bytes"), {"partial": b"half"})


@row(LimitExceeded)
async def line_that_is_too_long(place: Place) -> Provoked:
    async with pair() as (connection, peer):
        await peer.say(b"x" * 100)
        await came(connection, 100)
        error = await caught(connection.read_line, max_bytes=64)
    return Provoked(
        error,
        ("64", "max_bytes"),
        {"limit": "max_bytes", "maximum": 64, "partial": lambda partial: len(partial) >= 64},
    )


@row(LimitExceeded)
async def bytes_without_a_marker(place: Place) -> Provoked:
    async with pair(limits=Limits(read_buffer=1024)) as (connection, peer):
        await peer.say(b"x" * 2000)
        error = await caught(connection.read, marker=b"\n")
    return Provoked(error, ("1024", "read_buffer"), {"limit": "read_buffer", "maximum": 1024})


@row(BusyError)
async def two_that_read(place: Place) -> Provoked:
    async with pair() as (connection, peer):
        first = start(connection.read_line)
        await reads(connection)
        error = await caught(connection.read_line)
        await peer.say(b"for the first\n")
        assert await first.result() == "for the first"
    return Provoked(error, ("is being read already", "one reads at a time"))


@row(ClosedError)
async def read_after_close(place: Place) -> Provoked:
    async with pair() as (connection, _):
        await connection.close()
        error = await caught(connection.read)
    return Provoked(error, ("closed on this side",))


@row(SchemaError)
async def import_that_is_missing(place: Place) -> Provoked:
    path = place.files / "needs.proto"
    path.write_text('syntax = "proto3";\nimport "not/there.proto";\n')
    with pytest.raises(SchemaError) as info:
        Schema.load(path)
    return Provoked(info.value, ("needs.proto", "not/there.proto"), {"file": "needs.proto"})


ORDER = """
syntax = "proto3";
message Item { double price = 1; string name = 2; }
message Order { repeated Item items = 1; map<string, Item> by_name = 2; }
"""


@row(CodecError)
async def field_of_a_wrong_type(place: Place) -> Provoked:
    schema = Schema.load(ORDER)
    with pytest.raises(CodecError) as info:
        schema.encode("Order", {"items": [{"price": 1.5}, {"price": "dear"}]})
    return Provoked(info.value, ("items[1].price", "'dear'"), {"path": "items[1].price"})


@row(CodecError)
async def line_that_is_not_text(place: Place) -> Provoked:
    async with pair() as (connection, peer):
        await peer.say(b"\xff\n")
        error = await caught(connection.read_line)
    return Provoked(error, ("utf-8",))


@row(PoolTimeout)
async def pool_whose_connections_are_all_in_use(place: Place) -> Provoked:
    with serving(silent) as address:
        async with tcp.Pool(address, size=1) as pool, pool.connection():
            with pytest.raises(PoolTimeout) as info:
                async with pool.connection(timeout=0.01):
                    pass
    return Provoked(info.value, (address, "1 of 1"), {"size": 1, "in_use": 1, "waiting": 0})


@row(ProxyError)
async def proxy_that_wants_a_password(place: Place) -> Provoked:
    async with elsewhere(relay_proxy, "socks5", users={"ann": "x"}) as proxy:
        error = await caught(tcp.connect, "db.test:5432", proxy=proxy.url())
    host = f"127.0.0.1:{proxy.port}"
    fields = {"host": host, "kind": "socks5", "step": "authentication", "code": 255}
    return Provoked(error, (host, "db.test:5432", "user:password@"), fields)
