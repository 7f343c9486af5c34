"""connectrpc over pyqwest (reqwest, in Rust): its client, speaking gRPC. It has no server that speaks plain HTTP/2."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from connectrpc.client import ConnectClient
from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType
from connectrpc.protocol import ProtocolType
from pyqwest import Client, HTTPTransport, HTTPVersion

from benchmarks import work


class Codec:
    """The messages of the other stacks, in the place of connectrpc's own."""

    def name(self) -> str:
        return "proto"

    def encode(self, message: Any) -> bytes:
        return bytes(message.SerializeToString())

    def decode(self, data: bytes | bytearray, message_class: Any) -> Any:
        return message_class.FromString(bytes(data))


def method(path: str, kind: StreamType) -> MethodInfo[Any, Any]:
    return MethodInfo(
        name=path.rpartition("/")[2],
        service_name=work.SERVICE,
        input=work.Request,
        output=work.Reply,
        idempotency_level=IdempotencyLevel.UNKNOWN,
        stream_type=kind,
    )


async def requests(count: int) -> AsyncIterator[Any]:
    for number in range(count):
        yield work.Request(count=number)


class Calls(work.Calls):
    def __init__(self, connect: ConnectClient) -> None:
        self._connect = connect

    def unary(self, path: str) -> Callable[..., Awaitable[Any]]:
        info = method(path, StreamType.UNARY)

        def call(request: Any, *, metadata: Any = (), timeout: float | None = None) -> Awaitable[Any]:
            return self._connect.execute_unary(
                request=request,
                method=info,
                headers=dict(metadata),
                timeout_ms=None if timeout is None else int(timeout * 1000),
            )

        return call

    async def read_stream(self, count: int) -> int:
        received = 0
        info = method(work.SERVER_STREAM, StreamType.SERVER_STREAM)
        request = work.Request(name="x", count=count)
        async for _ in self._connect.execute_server_stream(request=request, method=info):
            received += 1
        return received

    async def write_stream(self, count: int) -> int:
        info = method(work.CLIENT_STREAM, StreamType.CLIENT_STREAM)
        reply = await self._connect.execute_client_stream(request=requests(count), method=info)
        return int(reply.number)

    async def echo_stream(self, count: int) -> int:
        received = 0
        info = method(work.BIDI_STREAM, StreamType.BIDI_STREAM)
        async for _ in self._connect.execute_bidi_stream(request=requests(count), method=info):
            received += 1
        return received


async def serve() -> None:
    raise SystemExit("connectrpc has no server for HTTP/2 of its own")


async def client(port: int, case: work.Case) -> None:
    async with HTTPTransport(http_version=HTTPVersion.HTTP2) as transport:
        connect = ConnectClient(
            f"http://127.0.0.1:{port}",
            protocol=ProtocolType.GRPC,
            codec=Codec(),
            send_compression=None,
            accept_compression=(),
            http_client=Client(transport),
        )
        async with connect:
            await work.measure(case, Calls(connect))


if __name__ == "__main__":
    work.entry(serve, client)
