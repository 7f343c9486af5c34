"""The errors that calls and channels meet outside, provoked over real sockets and files.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

import socket
import struct
from functools import partial
from typing import Any

from support.client_support import ONE, SERVICE, free_port, note_schema, raw_server
from support.errors_support import Place, Provoked
from support.twins_sync_support import elsewhere, serving, silent, start
from support.wire_support import HEADERS
from twins_sync.error_table import Table, add, caught
from twins_sync.grpc_support import grpcio_server, notes_channel
from wirelane.errors import (
    ClosedError,
    CodecError,
    ConnectError,
    DeadlineExceeded,
    PeerError,
    ProxyError,
    ReadTimeout,
    RpcError,
    SchemaError,
    TlsError,
    UsageError,
)
from wirelane.sync import Limits, Metadata, StatusCode, TlsConfig, grpc

TABLE: Table = {}
row = partial(add, TABLE)

RST_ON_CLOSE = struct.pack("ii", 1, 0)  # RST instead of FIN


@row(RpcError)
def status_of_a_server(place: Place) -> Provoked:
    with grpcio_server() as port, grpc.connect(f"127.0.0.1:{port}", schema=note_schema()) as channel:
        error = caught(channel.unary, f"{SERVICE}/One", {"text": "fail"})
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
def status_with_details(place: Place) -> Provoked:
    server = grpc.Server(schema=note_schema())
    reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "GONE", "domain": "shop"}

    @server.method(f"{SERVICE}/One")
    def one(request: dict[str, Any], context: grpc.Context) -> None:
        context.abort(StatusCode.NOT_FOUND, "no such note", details=[reason])

    with (
        server.listen("127.0.0.1:0") as listening,
        grpc.connect(f"127.0.0.1:{listening.port}", schema=note_schema()) as channel,
    ):
        error = caught(channel.unary, f"{SERVICE}/One", {})
    return Provoked(
        error,
        ("NOT_FOUND: no such note",),
        {
            "from_peer": True,
            "details": lambda details: len(details) == 1 and reason.items() <= dict(details[0]).items(),
        },
    )


@row(RpcError)
def call_without_a_server(place: Place) -> Provoked:
    port = free_port()
    with grpc.Channel(f"127.0.0.1:{port}", schema=note_schema()) as channel:
        error = caught(channel.unary, f"{SERVICE}/One", {})
    assert isinstance(error.__cause__, ConnectError)
    return Provoked(
        error,
        ("UNAVAILABLE", f"127.0.0.1:{port}", "refused"),
        {"code": StatusCode.UNAVAILABLE, "from_peer": False, "attempts": 0, "metadata": Metadata()},
    )


@row(RpcError)
def connection_lost_in_a_call(place: Place) -> Provoked:
    with elsewhere(raw_server) as raw, grpc.connect(f"127.0.0.1:{raw.port}") as channel:
        call = start(channel.unary, ONE, b"")
        peer = raw.peers.get()
        peer.next(HEADERS)
        peer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST_ON_CLOSE)
        peer.transport.abort()
        error = caught(call.result)
    return Provoked(
        error,
        ("UNAVAILABLE: connection lost: connection reset by peer",),
        {"code": StatusCode.UNAVAILABLE, "from_peer": False, "peer": f"127.0.0.1:{raw.port}"},
    )


@row(RpcError)
def message_above_the_limit(place: Place) -> Provoked:
    with notes_channel(limits=Limits(max_receive_message=1000)) as channel:
        error = caught(channel.unary, f"{SERVICE}/One", {"data": bytes(2000)})
    return Provoked(
        error,
        ("RESOURCE_EXHAUSTED", "1000", "max_receive_message"),
        {"code": StatusCode.RESOURCE_EXHAUSTED, "from_peer": False},
    )


@row(DeadlineExceeded)
def call_that_takes_too_long(place: Place) -> Provoked:
    # A server that answers nothing: one that keeps deadlines may well be the first to say that this one has passed.
    with elsewhere(raw_server) as raw, grpc.connect(f"127.0.0.1:{raw.port}") as channel:
        error = caught(channel.unary, ONE, b"", timeout=0.05)
    assert isinstance(error, TimeoutError)
    return Provoked(
        error, ("DEADLINE_EXCEEDED", "deadline"), {"code": StatusCode.DEADLINE_EXCEEDED, "from_peer": False}
    )


@row(ConnectError)
def nobody_listens_at_any_address(place: Place) -> Provoked:
    ports = (free_port(), free_port())
    target = "static:///" + ",".join(f"127.0.0.1:{port}" for port in ports)
    error = caught(grpc.connect, target)
    return Provoked(
        error,
        tuple(f"127.0.0.1:{port}" for port in ports),
        {"address": target, "attempts": lambda attempts: len(attempts) == 2},
    )


@row(TlsError)
def server_with_tls(place: Place) -> Provoked:
    def alert(client: socket.socket) -> None:
        client.recv(1)
        client.sendall(
            b"\x15\x03\x03\x00\x02\x02\x0a"
        )  # as rustls and Java do; OpenSSL closes without a word
        silent(client)

    with serving(alert) as address:
        error = caught(grpc.connect, address)
    return Provoked(error, (address, "speaks TLS", "tls=True"), {"host": address, "step": "connect"})


@row(ConnectError)
def reset_before_a_word(place: Place) -> Provoked:
    def answer(client: socket.socket) -> None:
        client.recv(1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST_ON_CLOSE)

    with serving(answer) as address:
        error = caught(grpc.connect, address)
    return Provoked(
        error,
        (address, "connection reset by peer", "TLS?"),
        {"address": address, "attempts": lambda attempts: isinstance(attempts[0][1], ConnectionResetError)},
    )


@row(PeerError)
def server_that_speaks_http_1(place: Place) -> Provoked:
    def answer(client: socket.socket) -> None:
        client.recv(1)
        client.sendall(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")
        silent(client)

    with serving(answer) as address:
        error = caught(grpc.connect, address)
    return Provoked(error, (address, "HTTP/1", "'HTTP/1.1 400 Bad Request'"))


@row(ReadTimeout)
def message_that_does_not_come_in_time(place: Place) -> Provoked:
    with notes_channel() as channel, channel.bidi_stream(f"{SERVICE}/BothWays") as stream:
        error = caught(stream.receive, timeout=0.01)
    return Provoked(error, ("0.01 s",), {"partial": b""})


@row(ClosedError)
def call_on_a_closed_channel(place: Place) -> Provoked:
    channel = grpc.Channel("127.0.0.1:1", schema=note_schema())
    channel.close()
    error = caught(channel.unary, f"{SERVICE}/One", {})
    return Provoked(error, ("the channel is closed",))


@row(UsageError)
def wrong_cardinality(place: Place) -> Provoked:
    with notes_channel() as channel:
        error = caught(channel.unary, f"{SERVICE}/Down", {})
    return Provoked(error, (f"{SERVICE}/Down", "server_stream"))


@row(UsageError)
def send_after_the_end(place: Place) -> Provoked:
    with notes_channel() as channel, channel.bidi_stream(f"{SERVICE}/BothWays") as stream:
        stream.done_sending()
        error = caught(stream.send, {})
    return Provoked(error, ("done_sending",))


@row(UsageError)
def method_that_is_not_there(place: Place) -> Provoked:
    with notes_channel() as channel:
        error = caught(channel.unary, f"{SERVICE}/Onn", {})
    return Provoked(error, (SERVICE, '"Onn"', 'did you mean "One"?'))


@row(UsageError)
def certificate_file_that_is_not_there(place: Place) -> Provoked:
    path = place.files / "no-such-ca.pem"
    with grpcio_server() as port:
        error = caught(grpc.connect, f"127.0.0.1:{port}", tls=TlsConfig(ca=path))
    return Provoked(error, ("TlsConfig ca: no such file", str(path)))


@row(SchemaError)
def proto_file_that_does_not_compile(place: Place) -> Provoked:
    path = place.files / "shop.proto"
    path.write_text('syntax = "proto3";\nmessage Item {\n  Prise price = 1;\n  Colour colour = 2;\n}\n')
    with grpcio_server() as port:
        error = caught(grpc.connect, f"127.0.0.1:{port}", schema=path)
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


@row(CodecError)
def request_with_a_field_that_is_not_there(place: Place) -> Provoked:
    with notes_channel() as channel:
        error = caught(channel.unary, f"{SERVICE}/One", {"txet": "a"})
    return Provoked(error, ("txet", "text"), {"path": "txet"})


@row(ProxyError)
def proxy_that_is_none(place: Place) -> Provoked:
    with elsewhere(raw_server, b"SSH-2.0-OpenSSH_9.9\r\n") as server:
        address = f"127.0.0.1:{server.port}"
        error = caught(grpc.connect, "api.test:443", proxy=f"http://{address}")
    return Provoked(
        error, (address, "SSH-2.0", "is it an HTTP proxy?"), {"kind": "http", "step": "CONNECT", "code": None}
    )
