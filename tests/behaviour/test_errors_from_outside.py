"""Every error of the tree as a user meets it: provoked over real sockets and files, never constructed here.

Each row of the table provokes one error and says what its text must name (host, limit, path, place in a file) and what
its fields hold; for all of them the test checks that the text is one line for a person, and that a pickled error is
the same error. `WirelaneError` itself is never raised; it is what all of them are caught by.
"""

from __future__ import annotations

import asyncio
import inspect
import pickle
import re
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.client_support import (
    ONE,
    SERVICE,
    free_port,
    grpcio_server,
    note_schema,
    notes_channel,
    raw_server,
)
from support.proxy_support import relay_proxy
from support.tcp_support import pair, streams_server, until
from support.wire_support import HEADERS
from wirelane import Limits, Metadata, Schema, TlsConfig, errors, grpc, tcp
from wirelane.errors import (
    BusyError,
    ClosedError,
    CodecError,
    ConnectError,
    ConnectionLost,
    DeadlineExceeded,
    EndOfStream,
    LimitExceeded,
    PeerError,
    PoolTimeout,
    ProxyError,
    ReadTimeout,
    ResolveError,
    RpcError,
    SchemaError,
    SendTimeout,
    TlsError,
    UsageError,
    WirelaneError,
)
from wirelane.status import StatusCode

if TYPE_CHECKING:
    from conftest import Certificates


@dataclass(frozen=True)
class Place:
    """What a row may use."""

    ca: Certificates
    other_ca: Certificates
    files: Path


@dataclass
class Provoked:
    """What came of it.

    Attributes:
        error: As it was caught.
        says: What its text must name.
        fields: What its attributes must hold; a callable judges its attribute.
    """

    error: BaseException
    says: tuple[str, ...]
    fields: dict[str, Any] = field(default_factory=dict)


Provoke = Callable[[Place], Awaitable[Provoked]]
TABLE: dict[str, tuple[type[WirelaneError], Provoke]] = {}


def row(kind: type[WirelaneError]) -> Callable[[Provoke], Provoke]:
    def add(provoke: Provoke) -> Provoke:
        TABLE[f"{kind.__name__}-{provoke.__name__}"] = (kind, provoke)  # type: ignore[attr-defined]
        return provoke

    return add


async def caught(awaitable: Awaitable[Any]) -> BaseException:
    with pytest.raises(WirelaneError) as info:
        await awaitable
    return info.value


def reset(transport: asyncio.BaseTransport) -> None:
    """Send RST instead of FIN."""
    transport.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    transport.abort()  # type: ignore[attr-defined]


# ------------------------------------------------------------------------------------------------ RpcError


@row(RpcError)
async def status_of_a_server(place: Place) -> Provoked:
    async with grpcio_server() as port, grpc.connect(f"127.0.0.1:{port}", schema=note_schema()) as channel:
        error = await caught(channel.unary(f"{SERVICE}/One", {"text": "fail"}))
    return Provoked(
        error,
        ("FAILED_PRECONDITION: it failed, käse",),
        {
            "code": StatusCode.FAILED_PRECONDITION,
            "message": "it failed, käse",
            "from_peer": True,
            "attempts": 1,
            "peer": f"127.0.0.1:{port}",
            "details": (),
            "metadata": lambda metadata: metadata["why"] == "because" and metadata["raw-bin"] == b"\x00\xff",
        },
    )


@row(RpcError)
async def status_with_details(place: Place) -> Provoked:
    server = grpc.Server(schema=note_schema())
    reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "GONE", "domain": "shop"}

    @server.method(f"{SERVICE}/One")
    async def one(request: dict[str, Any], context: grpc.Context) -> None:
        context.abort(StatusCode.NOT_FOUND, "no such note", details=[reason])

    async with (
        server.listen("127.0.0.1:0") as listening,
        grpc.connect(f"127.0.0.1:{listening.port}", schema=note_schema()) as channel,
    ):
        error = await caught(channel.unary(f"{SERVICE}/One", {}))
    return Provoked(
        error,
        ("NOT_FOUND: no such note",),
        {
            "from_peer": True,
            "details": lambda details: len(details) == 1 and reason.items() <= dict(details[0]).items(),
        },
    )


@row(RpcError)
async def call_without_a_server(place: Place) -> Provoked:
    port = free_port()
    async with grpc.Channel(f"127.0.0.1:{port}", schema=note_schema()) as channel:
        error = await caught(channel.unary(f"{SERVICE}/One", {}))
    assert isinstance(error.__cause__, ConnectError)
    return Provoked(
        error,
        ("UNAVAILABLE", f"127.0.0.1:{port}", "refused"),
        {"code": StatusCode.UNAVAILABLE, "from_peer": False, "attempts": 0, "metadata": Metadata()},
    )


@row(RpcError)
async def connection_lost_in_a_call(place: Place) -> Provoked:
    async with raw_server() as raw, grpc.connect(f"127.0.0.1:{raw.port}") as channel:
        call = asyncio.ensure_future(channel.unary(ONE, b""))
        peer = await raw.peers.get()
        await peer.next(HEADERS)
        assert peer.transport is not None
        reset(peer.transport)
        error = await caught(call)
    return Provoked(
        error,
        ("UNAVAILABLE: connection lost: connection reset by peer",),
        {"code": StatusCode.UNAVAILABLE, "from_peer": False, "peer": f"127.0.0.1:{raw.port}"},
    )


@row(RpcError)
async def message_above_the_limit(place: Place) -> Provoked:
    async with notes_channel(limits=Limits(max_receive_message=1000)) as channel:
        error = await caught(channel.unary(f"{SERVICE}/One", {"data": bytes(2000)}))
    return Provoked(
        error,
        ("RESOURCE_EXHAUSTED", "1000", "max_receive_message"),
        {"code": StatusCode.RESOURCE_EXHAUSTED, "from_peer": False},
    )


@row(DeadlineExceeded)
async def call_that_takes_too_long(place: Place) -> Provoked:
    # A server that answers nothing: one that keeps deadlines may well be the first to say that this one has passed.
    async with raw_server() as raw, grpc.connect(f"127.0.0.1:{raw.port}") as channel:
        error = await caught(channel.unary(ONE, b"", timeout=0.05))
    assert isinstance(error, TimeoutError)
    return Provoked(
        error, ("DEADLINE_EXCEEDED", "deadline"), {"code": StatusCode.DEADLINE_EXCEEDED, "from_peer": False}
    )


# ----------------------------------------------------------------------------------- on the way to a connection


@row(ConnectError)
async def nobody_listens(place: Place) -> Provoked:
    port = free_port()
    error = await caught(tcp.connect(f"127.0.0.1:{port}"))
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
async def nobody_listens_at_any_address(place: Place) -> Provoked:
    ports = (free_port(), free_port())
    target = "static:///" + ",".join(f"127.0.0.1:{port}" for port in ports)
    error = await caught(grpc.connect(target))
    return Provoked(
        error,
        tuple(f"127.0.0.1:{port}" for port in ports),
        {"address": target, "attempts": lambda attempts: len(attempts) == 2},
    )


@row(ConnectError)
async def unix_socket_that_is_not_there(place: Place) -> Provoked:
    path = place.files / "nobody.sock"
    error = await caught(tcp.connect(f"unix:{path}"))
    return Provoked(error, (str(path), "no such file"), {"address": f"unix:{path}"})


@row(ConnectError)
async def address_in_use(place: Place) -> Provoked:
    async def handler(connection: tcp.Connection) -> None: ...

    async with tcp.Server(handler).listen("127.0.0.1:0") as listening:
        error = await caught(tcp.Server(handler).listen(f"127.0.0.1:{listening.port}").start())
    return Provoked(error, (f"cannot listen at 127.0.0.1:{listening.port}", "in use"))


@row(ResolveError)
async def name_without_an_address(place: Place) -> Provoked:
    error = await caught(tcp.connect("nosuch.invalid:7"))
    return Provoked(
        error,
        ("cannot resolve 'nosuch.invalid'",),
        {"host": "nosuch.invalid", "step": "resolve", "hint": bool},
    )


@row(TlsError)
async def certificate_of_an_unknown_ca(place: Place) -> Provoked:
    async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None: ...

    async with streams_server(nothing, place.other_ca.server_context()) as address:
        error = await caught(tcp.connect(address, tls=TlsConfig(ca=place.ca.ca)))
    return Provoked(
        error,
        (address, "CA that is not trusted here", "ca="),
        {"host": "127.0.0.1", "step": "verify certificate", "hint": bool},
    )


@row(TlsError)
async def server_without_tls(place: Place) -> Provoked:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.test ESMTP\r\n")
        await reader.read()

    async with streams_server(reply) as address:
        error = await caught(tcp.connect(address, tls=TlsConfig(ca=place.ca.ca)))
    return Provoked(error, (address, "'220 mail.test ESMTP'", "TLS"), {"step": "handshake"})


@row(TlsError)
async def server_with_tls(place: Place) -> Provoked:
    async def alert(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"\x15\x03\x03\x00\x02\x02\x0a")  # as rustls and Java do; OpenSSL closes without a word

    async with streams_server(alert) as address:
        error = await caught(grpc.connect(address))
    return Provoked(error, (address, "speaks TLS", "tls=True"), {"host": address, "step": "connect"})


@row(ConnectError)
async def reset_before_a_word(place: Place) -> Provoked:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        reset(writer.transport)

    async with streams_server(answer) as address:
        error = await caught(grpc.connect(address))
    return Provoked(
        error,
        (address, "connection reset by peer", "TLS?"),
        {"address": address, "attempts": lambda attempts: isinstance(attempts[0][1], ConnectionResetError)},
    )


@row(PeerError)
async def server_that_speaks_http_1(place: Place) -> Provoked:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")

    async with streams_server(answer) as address:
        error = await caught(grpc.connect(address))
    return Provoked(error, (address, "HTTP/1", "'HTTP/1.1 400 Bad Request'"))


# ------------------------------------------------------------------------------------------------- connections


@row(ConnectionLost)
async def reset_by_the_peer(place: Place) -> Provoked:
    async with pair() as (connection, peer):
        await peer.say(b"half a li")
        await until(lambda: connection.buffered == 9)
        reset(peer.writer.transport)
        error = await caught(connection.read_line())
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
        await until(lambda: connection.buffered == 9)
        peer.cut()
        error = await caught(connection.read_line())
    return Provoked(error, ("connection lost", "close_notify"), {"partial": b"half a li"})


@row(ReadTimeout)
async def line_that_does_not_end_in_time(place: Place) -> Provoked:
    async with pair() as (connection, peer):
        await peer.say(b"half a li")
        await until(lambda: connection.buffered == 9)
        error = await caught(connection.read_line(timeout=0.01))
        assert await connection.read() == b"half a li"
    assert isinstance(error, TimeoutError)
    return Provoked(error, ("0.01 s", "9 bytes"), {"partial": b"half a li"})


@row(ReadTimeout)
async def message_that_does_not_come_in_time(place: Place) -> Provoked:
    async with notes_channel() as channel, channel.bidi_stream(f"{SERVICE}/BothWays") as stream:
        error = await caught(stream.receive(timeout=0.01))
    return Provoked(error, ("0.01 s",), {"partial": b""})


@row(SendTimeout)
async def peer_that_does_not_read(place: Place) -> Provoked:
    size = 16_000_000
    async with pair(limits=Limits(max_send_buffer=10_000, close_timeout=0.1)) as (connection, peer):
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        error = await caught(connection.send(bytes(size), timeout=0.05))
    assert isinstance(error, TimeoutError)
    return Provoked(
        error, ("0.05 s", "does not read", f"of {size} bytes"), {"unsent": lambda n: 0 < n <= size}
    )


@row(EndOfStream)
async def stream_that_ends_too_early(place: Place) -> Provoked:
    async with pair() as (connection, peer):
        await peer.say(b"half")
        peer.writer.write_eof()
        error = await caught(connection.read_exactly(9))
    assert isinstance(error, EOFError)
    return Provoked(error, ("ended its stream", "4 bytes"), {"partial": b"half"})


@row(LimitExceeded)
async def line_that_is_too_long(place: Place) -> Provoked:
    async with pair() as (connection, peer):
        await peer.say(b"x" * 100)
        await until(lambda: connection.buffered == 100)
        error = await caught(connection.read_line(max_bytes=64))
    return Provoked(
        error,
        ("64", "max_bytes"),
        {"limit": "max_bytes", "maximum": 64, "partial": lambda partial: len(partial) >= 64},
    )


@row(LimitExceeded)
async def bytes_without_a_marker(place: Place) -> Provoked:
    async with pair(limits=Limits(read_buffer=1024)) as (connection, peer):
        await peer.say(b"x" * 2000)
        error = await caught(connection.read(marker=b"\n"))
    return Provoked(error, ("1024", "read_buffer"), {"limit": "read_buffer", "maximum": 1024})


@row(BusyError)
async def two_tasks_that_read(place: Place) -> Provoked:
    async with pair() as (connection, peer):
        first = asyncio.create_task(connection.read_line())
        await asyncio.sleep(0)
        error = await caught(connection.read_line())
        await peer.say(b"for the first\n")
        assert await first == "for the first"
    return Provoked(error, ("is being read already", "one reads at a time"))


@row(ClosedError)
async def read_after_close(place: Place) -> Provoked:
    async with pair() as (connection, _):
        await connection.close()
        error = await caught(connection.read())
    return Provoked(error, ("closed on this side",))


@row(ClosedError)
async def call_on_a_closed_channel(place: Place) -> Provoked:
    channel = grpc.Channel("127.0.0.1:1", schema=note_schema())
    await channel.close()
    error = await caught(channel.unary(f"{SERVICE}/One", {}))
    return Provoked(error, ("the channel is closed",))


# ------------------------------------------------------------------------------------------------ misuse


@row(UsageError)
async def wrong_cardinality(place: Place) -> Provoked:
    async with notes_channel() as channel:
        error = await caught(channel.unary(f"{SERVICE}/Down", {}))
    return Provoked(error, (f"{SERVICE}/Down", "server_stream"))


@row(UsageError)
async def send_after_the_end(place: Place) -> Provoked:
    async with notes_channel() as channel, channel.bidi_stream(f"{SERVICE}/BothWays") as stream:
        await stream.done_sending()
        error = await caught(stream.send({}))
    return Provoked(error, ("done_sending",))


@row(UsageError)
async def method_that_is_not_there(place: Place) -> Provoked:
    async with notes_channel() as channel:
        error = await caught(channel.unary(f"{SERVICE}/Onn", {}))
    return Provoked(error, (SERVICE, '"Onn"', 'did you mean "One"?'))


@row(UsageError)
async def certificate_file_that_is_not_there(place: Place) -> Provoked:
    path = place.files / "no-such-ca.pem"
    async with grpcio_server() as port:
        error = await caught(grpc.connect(f"127.0.0.1:{port}", tls=TlsConfig(ca=path)))
    return Provoked(error, ("TlsConfig ca: no such file", str(path)))


# ------------------------------------------------------------------------------------------ schemas and messages


@row(SchemaError)
async def proto_file_that_does_not_compile(place: Place) -> Provoked:
    path = place.files / "shop.proto"
    path.write_text('syntax = "proto3";\nmessage Item {\n  Prise price = 1;\n  Colour colour = 2;\n}\n')
    async with grpcio_server() as port:
        error = await caught(grpc.connect(f"127.0.0.1:{port}", schema=path))
    return Provoked(
        error,
        ("shop.proto:3:3: ", '"Prise"', "1 more problem"),
        {
            "file": "shop.proto",
            "line": 3,
            "column": 3,
            "problems": lambda problems: (
                [one[:3] for one in problems] == [("shop.proto", 4, 3)] and "Colour" in problems[0][3]
            ),
        },
    )


@row(SchemaError)
async def import_that_is_missing(place: Place) -> Provoked:
    path = place.files / "needs.proto"
    path.write_text('syntax = "proto3";\nimport "not/there.proto";\n')
    error = await caught(asyncio.to_thread(Schema.load, path))
    return Provoked(error, ("needs.proto", "not/there.proto"), {"file": "needs.proto"})


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
async def request_with_a_field_that_is_not_there(place: Place) -> Provoked:
    async with notes_channel() as channel:
        error = await caught(channel.unary(f"{SERVICE}/One", {"txet": "a"}))
    return Provoked(error, ("txet", "text"), {"path": "txet"})


@row(CodecError)
async def line_that_is_not_text(place: Place) -> Provoked:
    async with pair() as (connection, peer):
        await peer.say(b"\xff\n")
        error = await caught(connection.read_line())
    return Provoked(error, ("utf-8",))


@row(PoolTimeout)
async def pool_whose_connections_are_all_in_use(place: Place) -> Provoked:
    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with streams_server(hold) as address, tcp.Pool(address, size=1) as pool:
        async with pool.connection():
            with pytest.raises(PoolTimeout) as info:
                async with pool.connection(timeout=0.01):
                    pass
    return Provoked(info.value, (address, "1 of 1"), {"size": 1, "in_use": 1, "waiting": 0})


@row(ProxyError)
async def proxy_that_wants_a_password(place: Place) -> Provoked:
    async with relay_proxy("socks5", users={"ann": "x"}) as proxy:
        error = await caught(tcp.connect("db.test:5432", proxy=proxy.url()))
    host = f"127.0.0.1:{proxy.port}"
    fields = {"host": host, "kind": "socks5", "step": "authentication", "code": 255}
    return Provoked(error, (host, "db.test:5432", "user:password@"), fields)


@row(ProxyError)
async def proxy_that_is_none(place: Place) -> Provoked:
    async with raw_server(b"SSH-2.0-OpenSSH_9.9\r\n") as server:
        address = f"127.0.0.1:{server.port}"
        error = await caught(grpc.connect("api.test:443", proxy=f"http://{address}"))
    return Provoked(
        error, (address, "SSH-2.0", "is it an HTTP proxy?"), {"kind": "http", "step": "CONNECT", "code": None}
    )


# ---------------------------------------------------------------------------------------------------- the tests


CLASSES = {value for value in map(errors.__dict__.get, errors.__all__) if inspect.isclass(value)}


def test_the_table_provokes_every_error_but_the_base() -> None:
    assert {kind for kind, _ in TABLE.values()} == CLASSES - {WirelaneError}
    assert all(issubclass(kind, WirelaneError) for kind in CLASSES)


@pytest.fixture
def place(ca: Certificates, other_ca: Certificates, tmp_path: Path) -> Place:
    return Place(ca, other_ca, tmp_path)


@pytest.mark.parametrize("name", TABLE)
async def test_an_error_from_outside_is_typed_clear_and_complete(place: Place, name: str) -> None:
    kind, provoke = TABLE[name]
    provoked = await provoke(place)
    error = provoked.error
    assert type(error) is kind
    check_text(error, provoked.says)
    for attribute, expected in provoked.fields.items():
        value = getattr(error, attribute)
        assert expected(value) if callable(expected) else value == expected, (attribute, value)
    check_pickle(error)


def check_text(error: BaseException, says: tuple[str, ...]) -> None:
    """One line, of a length that a person reads, with the things that matter in it and none that do not."""
    text = str(error)
    assert [part for part in says if part.lower() not in text.lower()] == [], text
    assert text == text.strip()
    assert text
    assert "\n" not in text
    assert len(text) < 400
    assert not re.search(r"0x[0-9a-f]{6}|Traceback|_ssl\.c|\bNone\b|Errno|<class", text), text


def check_pickle(error: BaseException) -> None:
    twin = pickle.loads(pickle.dumps(error))
    assert type(twin) is type(error)
    assert (str(twin), repr(twin), twin.args) == (str(error), repr(error), error.args)
    # Exceptions inside (ConnectError.attempts) are equal to nothing but themselves.
    assert repr(vars(twin)) == repr(vars(error))
