"""Google's implementation (grpcio, C-core) as the other end of the interoperability tests.

`grpcio_interop_server` serves `grpc.testing.TestService`; `GRPCIO_CASES` are the cases as a grpcio client runs them. Messages
are google.protobuf's, made from the descriptor set in a pool of their own, so nothing of ours is in this end.

grpcio keeps the compressed flag of a message to itself, so its server asks `Relay.came` (support.interop_relay), which
stands between the two ends, how the request travelled. One thing its client cannot do by its API is to compress one
message of a stream and not the next; but C-core sends a message that gzip would make longer as it is, flag 0, and
`client_compressed_streaming` sends one of random octets where an uncompressed one is due.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

import grpc as grpcio
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from wirelane import protos

if TYPE_CHECKING:
    from conftest import Certificates

SERVICE = "grpc.testing.TestService"
INITIAL, TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"
REQUEST_SIZES, RESPONSE_SIZES = (27182, 8, 1828, 45904), (31415, 9, 2653, 58979)
REQUEST, RESPONSE = 271828, 314159
SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n"


def _messages() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    files = descriptor_pb2.FileDescriptorSet.FromString(protos.descriptor_set("interop"))
    for file in files.file:
        pool.Add(file)
    return {
        message.name: message_factory.GetMessageClass(
            pool.FindMessageTypeByName(f"{file.package}.{message.name}")
        )
        for file in files.file
        for message in file.message_type
    }


M = _messages()
"""The message classes of grpc.testing by their short names."""


# ---------------------------------------------------------------------------------------------------- transports


def server_credentials(ca: Certificates, transport: str) -> grpcio.ServerCredentials | None:
    if transport == "h2c":
        return None
    pair = (ca.server_key.read_bytes(), ca.server_cert.read_bytes())
    mutual = transport == "mtls"
    return grpcio.ssl_server_credentials(
        [pair], root_certificates=ca.ca.read_bytes() if mutual else None, require_client_auth=mutual
    )


def channel_credentials(ca: Certificates, transport: str) -> grpcio.ChannelCredentials | None:
    if transport == "h2c":
        return None
    mutual = transport == "mtls"
    return grpcio.ssl_channel_credentials(
        ca.ca.read_bytes(),
        private_key=ca.client_key.read_bytes() if mutual else None,
        certificate_chain=ca.client_cert.read_bytes() if mutual else None,
    )


# -------------------------------------------------------------------------------------------------------- server


class Witness(Protocol):
    """Who knows how the messages of a call came."""

    def came(self, path: str, claims: list[bool]) -> bool:
        """Whether the messages of the latest call of `path` were compressed as it claims of each."""
        ...


class InteropServicer:
    """TestService with grpcio's asyncio API."""

    def __init__(self) -> None:
        self.witness: Witness | None = None

    def handlers(self) -> grpcio.GenericRpcHandler:
        unary, down = grpcio.unary_unary_rpc_method_handler, grpcio.unary_stream_rpc_method_handler
        up, both = grpcio.stream_unary_rpc_method_handler, grpcio.stream_stream_rpc_method_handler
        table = {
            "EmptyCall": (unary, self.empty, "Empty", "Empty"),
            "UnaryCall": (unary, self.unary, "SimpleRequest", "SimpleResponse"),
            "StreamingOutputCall": (
                down,
                self.down,
                "StreamingOutputCallRequest",
                "StreamingOutputCallResponse",
            ),
            "StreamingInputCall": (up, self.up, "StreamingInputCallRequest", "StreamingInputCallResponse"),
            "FullDuplexCall": (
                both,
                self.both,
                "StreamingOutputCallRequest",
                "StreamingOutputCallResponse",
            ),
        }
        return grpcio.method_handlers_generic_handler(
            SERVICE,
            {
                name: make(method, M[request].FromString, M[reply].SerializeToString)
                for name, (make, method, request, reply) in table.items()
            },
        )

    async def empty(self, request: Any, context: Any) -> Any:
        await self._echo_metadata(context)
        return M["Empty"]()

    async def unary(self, request: Any, context: Any) -> Any:
        if request.HasField("expect_compressed"):
            await self._check_compressed("UnaryCall", [request.expect_compressed.value], context)
        if request.HasField("response_compressed"):
            context.set_compression(
                grpcio.Compression.Gzip
                if request.response_compressed.value
                else grpcio.Compression.NoCompression
            )
        await self._echo_metadata(context)
        await self._echo_status(request, context)
        return M["SimpleResponse"](payload=_payload(request.response_size))

    async def down(self, request: Any, context: Any) -> AsyncIterator[Any]:
        if any(parameters.compressed.value for parameters in request.response_parameters):
            context.set_compression(grpcio.Compression.Gzip)
        await self._echo_metadata(context)
        for parameters in request.response_parameters:
            if not parameters.compressed.value:
                context.disable_next_message_compression()
            yield M["StreamingOutputCallResponse"](payload=_payload(parameters.size))
        await self._echo_status(request, context)

    async def up(self, requests: AsyncIterator[Any], context: Any) -> Any:
        await self._echo_metadata(context)
        size, claims = 0, []
        async for request in requests:
            size += len(request.payload.body)
            if request.HasField("expect_compressed"):
                claims.append(request.expect_compressed.value)
        if claims:
            await self._check_compressed("StreamingInputCall", claims, context)
        return M["StreamingInputCallResponse"](aggregated_payload_size=size)

    async def both(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        await self._echo_metadata(context)
        async for request in requests:
            for parameters in request.response_parameters:
                yield M["StreamingOutputCallResponse"](payload=_payload(parameters.size))
            await self._echo_status(request, context)

    async def _check_compressed(self, method: str, claims: list[bool], context: Any) -> None:
        assert self.witness is not None, "this server needs a relay before it to tell compressed messages"
        if not self.witness.came(f"/{SERVICE}/{method}", claims):
            await context.abort(
                grpcio.StatusCode.INVALID_ARGUMENT, "the messages did not come as they say that they do"
            )

    async def _echo_metadata(self, context: Any) -> None:
        metadata = dict(context.invocation_metadata())
        if TRAILING in metadata:
            context.set_trailing_metadata(((TRAILING, metadata[TRAILING]),))
        # Sent in any case: grpc.aio forgets set_compression() in the head that a reply brings along by itself.
        await context.send_initial_metadata(((INITIAL, metadata[INITIAL]),) if INITIAL in metadata else ())

    async def _echo_status(self, request: Any, context: Any) -> None:
        if request.response_status.code:
            code = next(code for code in grpcio.StatusCode if code.value[0] == request.response_status.code)
            await context.abort(code, request.response_status.message)


@asynccontextmanager
async def grpcio_interop_server(
    ca: Certificates, transport: str, address: str = "127.0.0.1:0"
) -> AsyncIterator[tuple[InteropServicer, int]]:
    """Run the server; gives the service, and the port if it has one."""
    servicer = InteropServicer()
    server = grpcio.aio.server(options=(("grpc.so_reuseport", 0),))
    server.add_generic_rpc_handlers((servicer.handlers(),))
    credentials = server_credentials(ca, transport)
    port = (
        server.add_insecure_port(address)
        if credentials is None
        else server.add_secure_port(address, credentials)
    )
    await server.start()
    try:
        yield servicer, port
    finally:
        await server.stop(None)


# -------------------------------------------------------------------------------------------------------- client


class InteropStub:
    """The methods of TestService on a grpcio channel."""

    def __init__(self, channel: grpcio.aio.Channel) -> None:
        self.channel = channel
        self.empty = self._method("unary_unary", "EmptyCall", "Empty", "Empty")
        self.unary = self._method("unary_unary", "UnaryCall", "SimpleRequest", "SimpleResponse")
        self.down = self._method(
            "unary_stream",
            "StreamingOutputCall",
            "StreamingOutputCallRequest",
            "StreamingOutputCallResponse",
        )
        self.up = self._method(
            "stream_unary", "StreamingInputCall", "StreamingInputCallRequest", "StreamingInputCallResponse"
        )
        self.both = self._method(
            "stream_stream", "FullDuplexCall", "StreamingOutputCallRequest", "StreamingOutputCallResponse"
        )
        self.missing_method = self._method("unary_unary", "UnimplementedCall", "Empty", "Empty")
        self.missing_service = self._method(
            "unary_unary", "UnimplementedCall", "Empty", "Empty", service="grpc.testing.UnimplementedService"
        )

    def _method(self, kind: str, name: str, request: str, reply: str, service: str = SERVICE) -> Any:
        return getattr(self.channel, kind)(
            f"/{service}/{name}",
            request_serializer=M[request].SerializeToString,
            response_deserializer=M[reply].FromString,
        )


@asynccontextmanager
async def grpcio_interop_client(
    ca: Certificates, transport: str, at: int | str, *, name: str | None = None
) -> AsyncIterator[InteropStub]:
    """Connect grpcio's asyncio client to a port of 127.0.0.1 or another target; `name` is what TLS checks instead."""
    credentials = channel_credentials(ca, transport)
    target = f"127.0.0.1:{at}" if isinstance(at, int) else at
    options: list[tuple[str, Any]] = [("grpc.use_local_subchannel_pool", 1)]
    if name is not None:
        options.append(("grpc.ssl_target_name_override", name))
    channel = (
        grpcio.aio.insecure_channel(target, options=options)
        if credentials is None
        else grpcio.aio.secure_channel(target, credentials, options=options)
    )
    async with channel:
        yield InteropStub(channel)


def _payload(size: int) -> Any:
    return M["Payload"](body=bytes(size))


def _large(**fields: Any) -> Any:
    return M["SimpleRequest"](response_size=RESPONSE, payload=_payload(REQUEST), **fields)


def _duplex(request_size: int, response_size: int) -> Any:
    return M["StreamingOutputCallRequest"](
        response_parameters=[M["ResponseParameters"](size=response_size)], payload=_payload(request_size)
    )


def _yes(value: bool) -> Any:
    return M["BoolValue"](value=value)


async def _fails(call: Awaitable[Any], code: grpcio.StatusCode) -> str:
    try:
        await call
    except grpcio.aio.AioRpcError as error:
        assert error.code() is code, error
        return error.details() or ""
    raise AssertionError(f"expected {code}, not success")


async def empty_unary(stub: InteropStub) -> None:
    assert await stub.empty(M["Empty"]()) == M["Empty"]()


async def large_unary(stub: InteropStub) -> None:
    assert (await stub.unary(_large())).payload.body == bytes(RESPONSE)


async def client_streaming(stub: InteropStub) -> None:
    call = stub.up(M["StreamingInputCallRequest"](payload=_payload(size)) for size in REQUEST_SIZES)
    assert (await call).aggregated_payload_size == 74922


async def server_streaming(stub: InteropStub) -> None:
    parameters = [M["ResponseParameters"](size=size) for size in RESPONSE_SIZES]
    call = stub.down(M["StreamingOutputCallRequest"](response_parameters=parameters))
    assert tuple([len(reply.payload.body) async for reply in call]) == RESPONSE_SIZES
    assert await call.code() is grpcio.StatusCode.OK


async def ping_pong(stub: InteropStub) -> None:
    call = stub.both()
    for request_size, response_size in zip(REQUEST_SIZES, RESPONSE_SIZES, strict=True):
        await call.write(_duplex(request_size, response_size))
        assert len((await call.read()).payload.body) == response_size
    await call.done_writing()
    assert await call.read() is grpcio.aio.EOF
    assert await call.code() is grpcio.StatusCode.OK


async def empty_stream(stub: InteropStub) -> None:
    call = stub.both()
    await call.done_writing()
    assert await call.read() is grpcio.aio.EOF
    assert await call.code() is grpcio.StatusCode.OK


async def custom_metadata(stub: InteropStub) -> None:
    sent = ((INITIAL, "test_initial_metadata_value"), (TRAILING, b"\xab\xab\xab"))
    unary = stub.unary(_large(), metadata=sent)
    assert len((await unary).payload.body) == RESPONSE
    duplex = stub.both(metadata=sent)
    await duplex.write(_duplex(REQUEST, RESPONSE))
    assert len((await duplex.read()).payload.body) == RESPONSE
    await duplex.done_writing()
    assert await duplex.read() is grpcio.aio.EOF
    for call in (unary, duplex):
        assert [value for name, value in await call.initial_metadata() if name == INITIAL] == [sent[0][1]]
        assert [value for name, value in await call.trailing_metadata() if name == TRAILING] == [sent[1][1]]


async def status_code_and_message(stub: InteropStub) -> None:
    status = M["EchoStatus"](code=2, message="test status message")
    call = stub.unary(M["SimpleRequest"](response_status=status))
    assert await _fails(call, grpcio.StatusCode.UNKNOWN) == status.message
    duplex = stub.both()
    await duplex.write(M["StreamingOutputCallRequest"](response_status=status))
    await duplex.done_writing()
    assert await _fails(duplex.read(), grpcio.StatusCode.UNKNOWN) == status.message


async def special_status_message(stub: InteropStub) -> None:
    status = M["EchoStatus"](code=2, message=SPECIAL)
    call = stub.unary(M["SimpleRequest"](response_status=status))
    assert await _fails(call, grpcio.StatusCode.UNKNOWN) == SPECIAL


async def unimplemented_method(stub: InteropStub) -> None:
    await _fails(stub.missing_method(M["Empty"]()), grpcio.StatusCode.UNIMPLEMENTED)


async def unimplemented_service(stub: InteropStub) -> None:
    await _fails(stub.missing_service(M["Empty"]()), grpcio.StatusCode.UNIMPLEMENTED)


async def cancel_after_begin(stub: InteropStub) -> None:
    call = stub.up()
    assert call.cancel()
    assert await call.code() is grpcio.StatusCode.CANCELLED


async def cancel_after_first_response(stub: InteropStub) -> None:
    call = stub.both()
    await call.write(_duplex(27182, 31415))
    assert len((await call.read()).payload.body) == 31415
    assert call.cancel()
    assert await call.code() is grpcio.StatusCode.CANCELLED


async def timeout_on_sleeping_server(stub: InteropStub) -> None:
    await stub.channel.channel_ready()
    for timeout in (0.001, 0.02, 0.5):
        call = stub.both(timeout=timeout)
        try:
            await call.write(M["StreamingOutputCallRequest"](payload=_payload(27182)))
        except (grpcio.aio.AioRpcError, asyncio.InvalidStateError):
            pass  # its time was over before the message left
        # A write that the deadline overtakes is, to grpc.aio, an internal error of C-core; that says nothing of the
        # server, so the case is tried again with more time for the write.
        if 'Failed "execute_batch"' not in (await call.debug_error_string() or ""):
            break
    assert await call.code() is grpcio.StatusCode.DEADLINE_EXCEEDED, repr(call)


async def client_compressed_unary(stub: InteropStub) -> None:
    await _fails(
        stub.unary(_large(expect_compressed=_yes(True))),
        grpcio.StatusCode.INVALID_ARGUMENT,
    )
    for compression in (grpcio.Compression.Gzip, grpcio.Compression.NoCompression):
        request = _large(expect_compressed=_yes(compression is grpcio.Compression.Gzip))
        assert len((await stub.unary(request, compression=compression)).payload.body) == RESPONSE


async def client_compressed_streaming(stub: InteropStub) -> None:
    request = M["StreamingInputCallRequest"]
    compressed = request(payload=_payload(27182), expect_compressed=_yes(True))
    await _fails(stub.up(iter([compressed])), grpcio.StatusCode.INVALID_ARGUMENT)
    incompressible = request(payload=M["Payload"](body=os.urandom(45904)), expect_compressed=_yes(False))
    call = stub.up(iter([compressed, incompressible]), compression=grpcio.Compression.Gzip)
    assert (await call).aggregated_payload_size == 73086


async def server_compressed_unary(stub: InteropStub) -> None:
    for compressed in (True, False):
        reply = await stub.unary(_large(response_compressed=_yes(compressed)))
        assert reply.payload.body == bytes(RESPONSE)


async def server_compressed_streaming(stub: InteropStub) -> None:
    parameters = [
        M["ResponseParameters"](size=size, compressed=_yes(compressed))
        for size, compressed in ((31415, True), (92653, False))
    ]
    call = stub.down(M["StreamingOutputCallRequest"](response_parameters=parameters))
    assert [len(reply.payload.body) async for reply in call] == [31415, 92653]
    assert await call.code() is grpcio.StatusCode.OK


GRPCIO_CASES: dict[str, Callable[[InteropStub], Awaitable[None]]] = {
    case.__name__: case
    for case in (
        empty_unary,
        large_unary,
        client_streaming,
        server_streaming,
        ping_pong,
        empty_stream,
        custom_metadata,
        status_code_and_message,
        special_status_message,
        unimplemented_method,
        unimplemented_service,
        cancel_after_begin,
        cancel_after_first_response,
        timeout_on_sleeping_server,
        client_compressed_unary,
        client_compressed_streaming,
        server_compressed_unary,
        server_compressed_streaming,
    )
}
