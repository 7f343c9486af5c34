"""What a search begins with: what well-meaning and ill-meaning peers say, for each target.

These are the cases that a reader of the RFCs thinks of; what a search adds to them is in the corpus (kept.py), and so is
what the two ends of grpcio said to each other, which `recorded` records.
"""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import Iterator

import grpc as grpcio
import hpack
from google.protobuf import any_pb2, duration_pb2, struct_pb2, timestamp_pb2
from google.rpc import error_details_pb2, status_pb2

from fuzz.engine import ABANDON, ANSWER, DRAIN, FRAMES, GREETED, IDLE, RUNS, STUCK, shorten
from fuzz.parsers import NAMES
from support.wire_support import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    OK,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    REQUEST,
    RESPONSE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    message,
)

__all__ = ["recorded", "seeds"]

_PRIORITY_FLAG = 0x20
_LIST = struct_pb2.ListValue(
    values=[struct_pb2.Value(null_value=struct_pb2.NULL_VALUE), struct_pb2.Value(number_value=1.5)]
)
_WHOLE = END_HEADERS | END_STREAM


def seeds() -> dict[str, list[bytes]]:
    """Return the inputs for each target, recordings left out."""
    return {
        "server": list(_engine(_client_frames())),
        "client": list(_engine(_server_frames())),
        "hpack": list(_blocks()),
        "metadata": list(_lists()),
        "timeout": list(_times()),
        "details": list(_statuses()),
        "messages": list(_messages()),
        "delimiters": list(_streams()),
        "proxies": list(_answers()),
    }


def _block(fields: list[tuple[str, str]], *, huffman: bool = False) -> bytes:
    return bytes(hpack.Encoder().encode(fields, huffman=huffman))


def _client_frames() -> Iterator[list[bytes]]:
    """Frames in the order of h2spec's sections, 3.5 to 8.1."""
    head = _block(REQUEST)
    opened = frame(HEADERS, END_HEADERS, 1, head)
    asked = frame(HEADERS, _WHOLE, 1, head)
    yield [asked]
    yield [opened, frame(DATA, END_STREAM, 1, message(b"abc"))]
    row = [frame(DATA, 0, 1, message(bytes(size))) for size in (3, 0, 200, 1)]
    yield [opened, *row, frame(DATA, 0, 1, message(b"abc", 1)), *row, frame(DATA, 0, 1, b"\0\0"), *row]
    yield [opened, *row * 25]
    yield [
        opened,
        frame(DATA, 0, 1, b"abc"),
        frame(SETTINGS, 0, 0),
        frame(HEADERS, _WHOLE, 3, head),
        frame(GOAWAY, 0, 0, bytes(8)),
    ]
    yield [frame(DATA, 0, 0, b"abc")]
    yield [opened, frame(DATA, PADDED, 1, b"\x05abc")]
    yield [opened, frame(DATA, PADDED | END_STREAM, 1, b"\x02abc\0\0")]
    yield [asked, frame(DATA, 0, 1, b"late")]
    yield [asked, frame(HEADERS, _WHOLE, 1, head)]
    yield [frame(HEADERS, _WHOLE | PADDED, 1, b"\x03" + head + bytes(3))]
    yield [frame(HEADERS, _WHOLE | _PRIORITY_FLAG, 1, b"\x80\0\0\3\x10" + head)]
    yield [frame(HEADERS, _WHOLE | _PRIORITY_FLAG, 1, b"\0\0\0\1\x10" + head)]
    yield [
        frame(HEADERS, END_STREAM, 1, head[:9]),
        frame(CONTINUATION, 0, 1, head[9:12]),
        frame(CONTINUATION, 4, 1, head[12:]),
    ]
    yield [frame(HEADERS, END_STREAM, 1, head[:9]), frame(PING, 0, 0, bytes(8))]
    yield [frame(HEADERS, 0, 1, head[:1]), *[frame(CONTINUATION, 0, 1, b"\x82")] * 5]
    yield [frame(CONTINUATION, 4, 1, head)]
    yield [frame(HEADERS, _WHOLE, 2, head)]
    yield [frame(HEADERS, _WHOLE, 5, head), frame(HEADERS, _WHOLE, 3, head)]
    yield [frame(HEADERS, END_HEADERS, number, head) for number in (1, 3, 5, 7, 9, 11)]
    yield [frame(PRIORITY, 0, 3, b"\0\0\0\1\x10"), frame(PRIORITY, 0, 3, b"\0\0\0\3\x10")]
    yield [frame(PRIORITY, 0, 3, bytes(4))]
    yield [opened, frame(RST_STREAM, 0, 1, b"\0\0\0\x08"), frame(DATA, 0, 1, b"late")]
    yield [frame(RST_STREAM, 0, 1, bytes(4))]
    yield [frame(RST_STREAM, 0, 0, bytes(3))]
    yield [frame(SETTINGS, 1, 0, b"x"), frame(SETTINGS, 0, 1)]
    for setting in (
        b"\0\1\0\0\0\0",
        b"\0\2\0\0\0\2",
        b"\0\3\0\0\0\1",
        b"\0\4\x80\0\0\0",
        b"\0\5\0\0\0\1",
        b"\0\6\0\0\0\x10",
        b"\0\x99abcd",
    ):
        yield [opened, frame(SETTINGS, 0, 0, setting), frame(DATA, END_STREAM, 1, message(b"x"))]
    yield [frame(SETTINGS, 0, 0, b"\0\3\0\0\0")]
    yield [frame(SETTINGS, 0, 0, b"\0\4\0\0\0\1" * 9)]
    yield [frame(SETTINGS, 0, 0, b"\0\4\0\0\0\1"), asked, frame(SETTINGS, 0, 0, b"\0\4\0\0\xff\xff")]
    yield [frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2" + head)]
    yield [frame(PING, 0, 0, b"12345678")] * 25
    # The allowances run out, in the middle of what came.
    yield [frame(SETTINGS, 0, 0)] * 150
    yield [
        frame(kind, flag, number, body)
        for number in range(1, 41, 2)
        for kind, flag, body in ((HEADERS, 4, head), (RST_STREAM, 0, bytes(4)))
    ]
    # A window, whole, and an octet more.
    heard = frame(SETTINGS, 1, 0)
    yield [heard, opened, *[frame(DATA, 0, 1, bytes(128))] * 32]
    yield [
        heard,
        opened,
        *[frame(DATA, 0, 1, bytes(128))] * 32,
        frame(DATA, 0, 1, b"x"),
        frame(DATA, END_STREAM, 1),
    ]
    yield [
        frame(PING, 1, 0, b"wl-probe"),
        frame(PING, 1, 0, b"wl-drain"),
        frame(PING, 0, 1, bytes(8)),
        frame(PING, 0, 0, b"x"),
    ]
    yield [frame(GOAWAY, 0, 0, bytes(8) + b"bye"), opened]
    yield [frame(GOAWAY, 0, 1, bytes(8)), frame(GOAWAY, 0, 0, bytes(7))]
    yield [frame(WINDOW_UPDATE, 0, 0, bytes(4))]
    yield [opened, frame(WINDOW_UPDATE, 0, 1, bytes(4))]
    yield [
        opened,
        frame(WINDOW_UPDATE, 0, 1, b"\x7f\xff\xff\xff"),
        frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"),
    ]
    yield [frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\1"), frame(WINDOW_UPDATE, 0, 0, b"\0\0\1")]
    yield [frame(0x16, 0, 0, b"unknown"), frame(0x16, 255, 1, b"unknown"), asked]
    yield [
        opened,
        frame(DATA, 0, 1, bytes(254)),
        frame(DATA, 0, 1),
        frame(HEADERS, _WHOLE, 1, _block([("x", "trailer")])),
    ]
    yield [opened, frame(HEADERS, END_HEADERS, 1, _block([("x", "trailer")]))]
    for fields in (
        [*REQUEST, ("content-length", "5")], [*REQUEST, ("content-length", "0" * 4500)], [*REQUEST, ("X", "upper")], [*REQUEST, ("connection", "close")], [(":foo", "1"), *REQUEST],
        [*REQUEST, (":path", "/late")], [*REQUEST, *REQUEST], REQUEST[1:], [*REQUEST, ("te", "gzip")], [(":status", "200"), *REQUEST],
        [(":method", "CONNECT"), (":authority", "x")], [*REQUEST, *[("x", "y")] * 20], [*REQUEST, ("grpc-timeout", "1S")],
    ):  # fmt: skip
        yield [frame(HEADERS, END_HEADERS, 1, _block(fields)), frame(DATA, END_STREAM, 1, b"abc")]


def _server_frames() -> Iterator[list[bytes]]:
    """What may come back to streams 1, 3, 5 and 7."""
    head, end = _block(RESPONSE), _block(OK)
    only = _block([*RESPONSE, *OK])
    answer = [
        frame(HEADERS, END_HEADERS, 1, head),
        frame(DATA, 0, 1, message(b"abc")),
        frame(HEADERS, _WHOLE, 1, end),
    ]
    yield answer
    yield [frame(HEADERS, _WHOLE, 3, only)]
    yield [frame(HEADERS, END_HEADERS, 1, _block([(":status", "100")])), *answer]
    yield [frame(HEADERS, _WHOLE, 1, _block([(":status", "103")]))]
    yield [frame(HEADERS, _WHOLE, 1, _block([(":status", "503"), ("content-type", "text/html")]))]
    yield [
        frame(HEADERS, END_HEADERS, 1, _block([*RESPONSE, ("content-length", "8")])),
        frame(DATA, END_STREAM, 1, message(b"abc")),
    ]
    yield [frame(DATA, 0, 1, b"before the head")]
    yield [*answer, frame(DATA, 0, 1, b"late"), frame(RST_STREAM, 0, 1, bytes(4))]
    yield [frame(RST_STREAM, 0, 5, b"\0\0\0\7"), frame(WINDOW_UPDATE, 0, 5, b"\0\0\xff\xff")]
    yield [frame(WINDOW_UPDATE, 0, number, b"\0\1\0\0") for number in (0, 3, 5, 7)]
    yield [frame(SETTINGS, 0, 0, b"\0\4\0\1\0\0\0\5\0\0\x40\1"), frame(WINDOW_UPDATE, 0, 0, b"\0\1\0\0")]
    yield [frame(SETTINGS, 0, 0, b"\0\4\0\0\0\0"), frame(SETTINGS, 0, 0, b"\0\4\x7f\xff\xff\xff")]
    yield [frame(SETTINGS, 0, 0, b"\0\1\0\0\0\0\0\2\0\0\0\1")]
    yield [frame(GOAWAY, 0, 0, b"\0\0\0\1\0\0\0\0max_age"), *answer]
    yield [
        frame(GOAWAY, 0, 0, b"\x7f\xff\xff\xff\0\0\0\0"),
        frame(GOAWAY, 0, 0, b"\0\0\0\3\0\0\0\x0btoo_many_pings"),
    ]
    yield [frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2" + head)]
    yield [frame(HEADERS, END_HEADERS, 2, head), frame(HEADERS, END_HEADERS, 9, head)]
    for fields in (
        [("grpc-status", "5"), ("grpc-message", "no%20%zz"), ("a-bin", "AAE")],
        [("grpc-status", "x")],
        [(":status", "200")],
    ):
        yield [frame(HEADERS, END_HEADERS, 7, head), frame(HEADERS, _WHOLE, 7, _block(fields, huffman=True))]


def _engine(conversations: Iterator[list[bytes]]) -> Iterator[bytes]:
    for index, frames in enumerate(conversations):
        octets = b"".join(frames)
        options = (0, ANSWER, STUCK | ANSWER, DRAIN)[index % 4] | GREETED
        yield bytes((options, index * 5 % 256)) + octets
        yield bytes((options | FRAMES, index * 5 % 256)) + shorten(octets)
        yield bytes((options | FRAMES | IDLE | ABANDON, index * 7 % 256)) + shorten(octets)
        yield bytes((options | RUNS, index * 3 % 256)) + octets
    yield b"\0\x05" + PREFACE + frame(SETTINGS, 0, 0)
    yield b"\0\x05GET / HTTP/1.1\r\n\r\n"


def _blocks() -> Iterator[bytes]:
    """Blocks by the hpack library: with and without its Huffman code, table sizes that change, fields that repeat."""
    for huffman in (False, True):
        encoder, blocks = hpack.Encoder(), []
        for index, fields in enumerate(
            (REQUEST, REQUEST, RESPONSE, OK, [("a", "1")], [("a", "2"), ("cookie", "c")], REQUEST)
        ):
            if index in (3, 5):
                encoder.header_table_size = 256 * index
            block = bytes(encoder.encode(fields, huffman=huffman))
            blocks.append(bytes((index % 3, len(block))) + block)
        yield b"".join(blocks)
        yield blocks[0]
    for block in (
        b"\x7f" + b"\xff" * 9,
        b"\x3f\xe1\x1f\x82",
        b"\x3f\xe2\x1f",
        b"\x82\x20",
        b"\x80",
        b"\xbe",
        b"\x40\x84\xff\xff\xff\xff\0",
        b"\x40\x01a\x7f\x80\x08",
        # Two entries of 34 octets in a table of 67, and the second asked for; in one of 68.
        b"\x3f\x24" + b"\x40\x01a\x01b\x40\x01c\x01d\xbf",
        b"\x3f\x25" + b"\x40\x01a\x01b\x40\x01c\x01d\xbf",
        b"\x88\x00\x01a\x01\n",
        b"\x88\x00\x01a\x02\0\r",
        b"\x88\x00\x01A\x01a",
        b"\x88\x00\x02a:\x01a",
        b"\x88\x00\x07upgrade\x01a",
        b"\x88\x0f\x0d\x02+1",
        b"\x88\x0f\x0d\x011\x0f\x0d\x012",
    ):
        for lead in range(3):
            yield bytes((lead, len(block))) + block
    # Tables of other sizes for what we say.
    for size in (0, 1, 80):
        yield b"".join(
            bytes((size * 3 + index % 3, len(block))) + block for index, block in enumerate(blocks)
        )


def _lists() -> Iterator[bytes]:
    def one(name: bytes, value: bytes) -> bytes:
        lead = bytes((NAMES.index(name),)) if name in NAMES else bytes((128 + len(name),)) + name
        return lead + bytes((len(value),)) + value

    request = b"".join(one(name.encode(), value.encode()) for name, value in REQUEST)
    response = b"".join(one(name.encode(), value.encode()) for name, value in RESPONSE)
    for extra in (
        (b"grpc-timeout", b"5S"), (b"x-bin", b"AAEC,/w==,"), (b"x", b"\xe9"), (b"trace.id_1-bin", b""), (b"x-bin", b"!"),
        (b"x-bin", b" YQ ,YWI=\t"), (b"x-bin", b"YQ="), (b"x-bin", b"YQ==="), (b"x-bin", b"Y"), (b"x-bin", b"="), (b"x-bin", b"Y Q"),
        (b"x-bin", b"-_"), (b"x-bin", b"," * 18), (b"x-bin", b"," * 30), (b"grpc-tags-bin", b"!"), (b"grpc-trace-bin", b"YQ"), (b"x", b" a "),
        (b"grpc-encoding", b"gzip"), (b"grpc-accept-encoding", b"identity, gzip ,"), (b"grpc-previous-rpc-attempts", b"2"),
        (b"grpc-status", b"7"), (b"grpc-message", b"%E2%98%BA"), (b"grpc-status-details-bin", b"CAU"), (b"content-length", b"7"),
    ):  # fmt: skip
        yield request + one(*extra)
        yield response + one(*extra)
        yield one(b"grpc-status", b"13") + one(*extra)
    yield one(b":method", b"CONNECT") + one(b":authority", b"x")


def _times() -> Iterator[bytes]:
    yield from (b"1n", b"2u", b"100m", b"5S", b"7M", b"99999999H", b"00000001S", b"000000001S", b"0n")
    yield from (
        b"",
        b"S",
        b"-1S",
        b"+1S",
        b"1.5S",
        b" 1S",
        b"1 S",
        b"1S ",
        b"1s",
        b"1_0S",
        "\u0661S".encode(),
    )
    yield from (b"%E2%98%BA caf%C3%A9 %zz%", b"\xff%00 ", b"%2541", b" a ", b"%20%ED%A0%80", b"a\nb")
    for seconds in (
        0.0,
        -1.0,
        1e-9,
        1.5e-9,
        0.1,
        99.9995,
        0.1 + 0.2,
        1e8,
        3e9,
        4e11,
        1e300,
        math.inf,
        math.nan,
    ):
        yield struct.pack("<d", seconds)


def _statuses() -> Iterator[bytes]:
    info = error_details_pb2.ErrorInfo(reason="R", domain="d", metadata={"k": "v"})
    nested = any_pb2.Any()
    nested.Pack(info)
    for detail in (
        info, error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=5, nanos=-1)), nested,
        error_details_pb2.DebugInfo(stack_entries=["a", "b"]), timestamp_pb2.Timestamp(seconds=253402300800),
        error_details_pb2.BadRequest(field_violations=[{"field": "f", "description": "d"}]),
        struct_pb2.Struct(fields={"a": struct_pb2.Value(list_value=_LIST)}),
    ):  # fmt: skip
        status = status_pb2.Status(code=5, message="no")
        status.details.add().Pack(detail)
        yield status.SerializeToString()
    yield status_pb2.Status(details=[any_pb2.Any(type_url="x/unknown.Type", value=b"v")]).SerializeToString()


def _messages() -> Iterator[bytes]:
    for limit, stride, hold in ((4, 0, 0), (4, 4, 2), (255, 250, 0), (0, 6, 3)):
        lead = bytes((limit, stride, hold))
        yield lead + message(b"abc") + message(b"", 1) + message(bytes(60)) + b"\0\0"
        yield lead + message(b"x") + b"\0\xff\xff\xff\xff"
        yield lead + message(b"x") + b"\2\0\0\0\0"
        yield lead + message(b"") * 1100


def _streams() -> Iterator[bytes]:
    for stride in (0, 2, 200):
        for kind in range(40):
            asked = bytes((kind, 9)) * 2 + bytes((7, 0, 6, 200))
            yield bytes((stride, len(asked) // 2)) + asked + b"aab\r\nb--x\n12 \0a\0\n\0b\n\xffaab"


def _answers() -> Iterator[bytes]:
    heads = (
        b"HTTP/1.1 200 OK\r\n\r\nhello",
        b"HTTP/1.0 407 No\r\nProxy-Authenticate: Basic realm=x\r\nProxy-Authenticate: NTLM\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\nLink: <x>\n\nHTTP/1.1 204\r\n\r\n\r\n",
        b"HTTP/1.1 502 Bad Gateway\r\n" + b"A: b\r\n" * 99 + b"\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n\r\nhello",
        b"SSH-2.0 200 hi\r\n",
    )
    ipv4, ipv6, name = b"\1" + bytes(6), b"\4" + bytes(18), b"\3\4name\0\0"
    replies = [(0, b"\0" + bytes([code]) + bytes(6) + b"hello") for code in (0x5A, 0x5B, 0x5C, 0x5D, 0x5E)]
    replies += [(1, b"\5\0\5\0\0" + bound + b"hello") for bound in (ipv4, ipv6, name, b"\2abc")]
    replies += [(1, b"\5\0\5" + bytes([code]) + b"\0" + ipv4) for code in range(11)]
    replies += [(1, b"\5\xff"), (1, b"\4\0"), (1, b"\5\2"), (2, b"\5\2\1\1"), (2, b"\5\2\1\0\5\0\0" + name)]
    for stride in (0, 5, 255):
        for head in heads:
            yield bytes((3, stride)) + head
        for kind, reply in replies:
            yield bytes((kind, stride)) + reply


# -------------------------------------------------------------------------------------------------- recordings


class _Recorder:
    """Stands between two ends and keeps what each says."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.said: dict[str, bytearray] = {"client": bytearray(), "server": bytearray()}

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_server = await asyncio.open_connection("127.0.0.1", self._port)
        ways = [(reader, to_server[1], "client"), (to_server[0], writer, "server")]
        async with asyncio.TaskGroup() as group:
            for source, target, who in ways:
                group.create_task(self._pass(source, target, who))

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, who: str) -> None:
        try:
            while data := await source.read(65_536):
                self.said[who] += data
                target.write(data)
        finally:
            target.close()


async def recorded() -> dict[str, bytes]:
    """Return inputs for `server` and `client`: what grpcio's two ends said to each other in three calls."""
    server = grpcio.aio.server()

    async def echo(requests: object, context: grpcio.aio.ServicerContext) -> object:
        context.set_trailing_metadata((("seen-bin", b"\0\1"),))
        async for request in requests:  # type: ignore[attr-defined]
            if request == b"fail":
                await context.abort(grpcio.StatusCode.NOT_FOUND, "no such café")
            yield request

    handlers = {"Call": grpcio.stream_stream_rpc_method_handler(echo)}
    server.add_registered_method_handlers("test.Echo", handlers)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    recorder = _Recorder(port)
    relay = await asyncio.start_server(recorder, "127.0.0.1", 0)
    async with (
        relay,
        grpcio.aio.insecure_channel(f"127.0.0.1:{relay.sockets[0].getsockname()[1]}") as channel,
    ):
        call = channel.stream_stream("/test.Echo/Call")
        for requests in ([b"one"], [b"two", b"x" * 300], [b"fail"]):
            try:
                async for _ in call(iter(requests), metadata=[("k", "v"), ("b-bin", b"\xff")], timeout=10):
                    pass
            except grpcio.aio.AioRpcError as error:
                assert error.code() is grpcio.StatusCode.NOT_FOUND
    await server.stop(None)
    return {"server": b"\4\x20" + recorder.said["client"], "client": b"\4\x20" + recorder.said["server"]}
