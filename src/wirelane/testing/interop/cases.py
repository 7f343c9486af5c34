"""The interoperability test cases, by the official descriptions (grpc/grpc, doc/interop-test-descriptions.md).

Each is a function of a channel with the schema of `interop_schema`; it raises AssertionError when the server fails it,
and RpcError when a call fails that should not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from wirelane.errors import DeadlineExceeded, RpcError
from wirelane.grpc import Channel
from wirelane.status import StatusCode
from wirelane.testing.interop.server import ECHO_INITIAL, ECHO_TRAILING, SERVICE

if TYPE_CHECKING:
    from wirelane.core.metadata import Metadata

__all__ = [
    "CASES",
    "CONCURRENT",
    "cancel_after_begin",
    "cancel_after_first_response",
    "client_compressed_streaming",
    "client_compressed_unary",
    "client_streaming",
    "concurrent_large_unary",
    "custom_metadata",
    "empty_stream",
    "empty_unary",
    "large_unary",
    "ping_pong",
    "server_compressed_streaming",
    "server_compressed_unary",
    "server_streaming",
    "special_status_message",
    "status_code_and_message",
    "timeout_on_sleeping_server",
    "unimplemented_method",
    "unimplemented_service",
]

Message = dict[str, Any]
Case = Callable[[Channel], Awaitable[None]]

CONCURRENT: Final = 1000
"""How many calls `concurrent_large_unary` makes at once."""

_EMPTY = f"{SERVICE}/EmptyCall"
_UNARY = f"{SERVICE}/UnaryCall"
_INPUT = f"{SERVICE}/StreamingInputCall"
_OUTPUT = f"{SERVICE}/StreamingOutputCall"
_DUPLEX = f"{SERVICE}/FullDuplexCall"

_REQUEST_SIZES = (27_182, 8, 1_828, 45_904)
_RESPONSE_SIZES = (31_415, 9, 2_653, 58_979)
_LARGE_REQUEST, _LARGE_RESPONSE = 271_828, 314_159
_INITIAL: Final = "test_initial_metadata_value"
_TRAILING: Final = b"\xab\xab\xab"


def _check(condition: bool, text: str) -> None:
    if not condition:
        raise AssertionError(text)


def _payload(size: int) -> Message:
    return {"type": "COMPRESSABLE", "body": bytes(size)}


def _large(**fields: Any) -> Message:
    return {"response_size": _LARGE_RESPONSE, "payload": _payload(_LARGE_REQUEST), **fields}


def _body(reply: Message) -> bytes:
    payload: Message = reply.get("payload") or {"body": b""}
    body: bytes = payload["body"]
    return body


def _check_body(reply: Message | None, size: int) -> None:
    if reply is None:
        raise AssertionError("the stream ended early")
    body = _body(reply)
    _check(len(body) == size, f"expected a body of {size} octets, not {len(body)}")
    _check(not body.strip(b"\0"), "expected a body of zeros")


def _check_echo(initial: Metadata, trailing: Metadata | None, kind: str) -> None:
    head, tail = initial.get_all(ECHO_INITIAL), [] if trailing is None else trailing.get_all(ECHO_TRAILING)
    _check(head == [_INITIAL], f"expected {ECHO_INITIAL} in the initial metadata ({kind}), not {head}")
    _check(tail == [_TRAILING], f"expected {ECHO_TRAILING} in the trailing metadata ({kind}), not {tail}")


async def _fails(awaitable: Awaitable[object], code: StatusCode) -> RpcError:
    try:
        await awaitable
    except RpcError as error:
        _check(error.code is code, f"expected {code.name}, not {error}")
        return error
    raise AssertionError(f"expected {code.name}, not success")


async def empty_unary(channel: Channel) -> None:
    """An empty request, an empty answer."""
    reply = await channel.unary(_EMPTY, {})
    _check(reply == {}, f"expected an empty message, not {reply}")


async def large_unary(
    channel: Channel, request_size: int = _LARGE_REQUEST, response_size: int = _LARGE_RESPONSE
) -> None:
    """A large request, a large answer; the soak cases choose how large."""
    request = {"response_size": response_size, "payload": _payload(request_size)}
    _check_body(await channel.unary(_UNARY, request), response_size)


async def client_streaming(channel: Channel) -> None:
    """Four requests, one answer that sums them up."""
    async with channel.client_stream(_INPUT) as stream:
        for size in _REQUEST_SIZES:
            await stream.send({"payload": _payload(size)})
        reply = await stream.finish()
    _check(reply["aggregated_payload_size"] == 74_922, f"expected 74922, not {reply}")


async def server_streaming(channel: Channel) -> None:
    """One request, exactly four answers in order."""
    request = {"response_parameters": [{"size": size} for size in _RESPONSE_SIZES]}
    replies = await channel.collect(_OUTPUT, request)
    sizes = tuple(len(_body(reply)) for reply in replies)
    _check(sizes == _RESPONSE_SIZES, f"expected {_RESPONSE_SIZES}, not {sizes}")


async def ping_pong(channel: Channel) -> None:
    """A request and an answer at a time, on one stream."""
    async with channel.bidi_stream(_DUPLEX) as stream:
        for request_size, response_size in zip(_REQUEST_SIZES, _RESPONSE_SIZES, strict=True):
            await stream.send(
                {"response_parameters": [{"size": response_size}], "payload": _payload(request_size)}
            )
            reply = await stream.receive()
            _check_body(reply, response_size)
        await stream.done_sending()
        _check(await stream.receive() is None, "a message too many")


async def empty_stream(channel: Channel) -> None:
    """A stream of nothing."""
    async with channel.bidi_stream(_DUPLEX) as stream:
        await stream.done_sending()
        _check(await stream.receive() is None, "a message where none was due")


async def custom_metadata(channel: Channel) -> None:
    """Metadata comes back, one key in the head and one in the trailers: on a unary call and on a stream."""
    metadata: list[tuple[str, str | bytes]] = [(ECHO_INITIAL, _INITIAL), (ECHO_TRAILING, _TRAILING)]
    call = channel.unary(_UNARY, _large(), metadata=metadata)
    _check_body(await call, _LARGE_RESPONSE)
    _check_echo(await call.initial_metadata(), call.trailing_metadata, "unary")
    async with channel.bidi_stream(_DUPLEX, metadata=metadata) as stream:
        await stream.send(
            {"response_parameters": [{"size": _LARGE_RESPONSE}], "payload": _payload(_LARGE_REQUEST)}
        )
        await stream.done_sending()
        replies = [reply async for reply in stream]
        _check(len(replies) == 1, f"expected one message, not {len(replies)}")
        _check_body(replies[0], _LARGE_RESPONSE)
        _check_echo(await stream.initial_metadata(), stream.trailing_metadata, "duplex")


async def _expect_status(channel: Channel, code: int, message: str) -> None:
    status = {"code": code, "message": message}
    error = await _fails(channel.unary(_UNARY, {"response_status": status}), StatusCode.of(code))
    _check(error.message == message, f"expected the message {message!r}, not {error.message!r}")


async def status_code_and_message(channel: Channel) -> None:
    """A status that the client asks for, on a unary call and on a stream."""
    message = "test status message"
    await _expect_status(channel, 2, message)
    async with channel.bidi_stream(_DUPLEX) as stream:
        await stream.send({"response_status": {"code": 2, "message": message}})
        await stream.done_sending()
        error = await _fails(stream.receive(), StatusCode.UNKNOWN)
        _check(error.message == message, f"expected the message {message!r}, not {error.message!r}")


async def special_status_message(channel: Channel) -> None:
    """White space and characters beyond ASCII survive in a status message."""
    await _expect_status(
        channel, 2, "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n"
    )


async def unimplemented_method(channel: Channel) -> None:
    """A method that the service does not have."""
    await _fails(channel.unary(f"{SERVICE}/UnimplementedCall", {}), StatusCode.UNIMPLEMENTED)


async def unimplemented_service(channel: Channel) -> None:
    """A service that the server does not have."""
    method = "grpc.testing.UnimplementedService/UnimplementedCall"
    await _fails(channel.unary(method, {}), StatusCode.UNIMPLEMENTED)


async def cancel_after_begin(channel: Channel) -> None:
    """A call cancelled before any message was sent on it."""
    async with channel.client_stream(_INPUT) as stream:
        stream.cancel()
        await _fails(stream.finish(), StatusCode.CANCELLED)


async def cancel_after_first_response(channel: Channel) -> None:
    """A call cancelled after its first answer."""
    async with channel.bidi_stream(_DUPLEX) as stream:
        await stream.send({"response_parameters": [{"size": 31_415}], "payload": _payload(27_182)})
        reply = await stream.receive()
        _check(reply is not None, "the stream ended early")
        stream.cancel()
        await _fails(stream.receive(), StatusCode.CANCELLED)


async def timeout_on_sleeping_server(channel: Channel) -> None:
    """A deadline of one millisecond on a stream that the server leaves waiting."""
    try:
        async with channel.bidi_stream(_DUPLEX, timeout=0.001) as stream:
            await stream.send({"payload": _payload(27_182)})
            await stream.receive()
    except DeadlineExceeded:
        return
    raise AssertionError("expected DEADLINE_EXCEEDED, not success")


async def client_compressed_unary(channel: Channel) -> None:
    """The server tells compressed requests from others."""
    probe = channel.unary(_UNARY, _large(expect_compressed={"value": True}))
    await _fails(probe, StatusCode.INVALID_ARGUMENT)
    for compression in ("gzip", None):
        request = _large(expect_compressed={"value": compression is not None})
        _check_body(await channel.unary(_UNARY, request, compression=compression), _LARGE_RESPONSE)


async def client_compressed_streaming(channel: Channel) -> None:
    """Compressed and other messages on one stream."""
    async with channel.client_stream(_INPUT) as stream:
        await stream.send({"payload": _payload(27_182), "expect_compressed": {"value": True}})
        await _fails(stream.finish(), StatusCode.INVALID_ARGUMENT)
    async with channel.client_stream(_INPUT, compression="gzip") as stream:
        await stream.send({"payload": _payload(27_182), "expect_compressed": {"value": True}})
        await stream.send(
            {"payload": _payload(45_904), "expect_compressed": {"value": False}}, compress=False
        )
        reply = await stream.finish()
    _check(reply["aggregated_payload_size"] == 73_086, f"expected 73086, not {reply}")


async def server_compressed_unary(channel: Channel) -> None:
    """The server compresses when it is asked to, and only then."""
    for compressed in (True, False):
        call = channel.unary(_UNARY, _large(response_compressed={"value": compressed}))
        _check_body(await call, _LARGE_RESPONSE)
        _check(call.received_compressed is compressed, f"compressed: expected {compressed}")


async def server_compressed_streaming(channel: Channel) -> None:
    """Each message of a stream is compressed as it was asked for."""
    wanted = ((31_415, True), (92_653, False))
    parameters = [{"size": size, "compressed": {"value": compressed}} for size, compressed in wanted]
    async with channel.server_stream(_OUTPUT, {"response_parameters": parameters}) as stream:
        for size, compressed in wanted:
            reply = await stream.receive()
            _check_body(reply, size)
            _check(stream.received_compressed is compressed, f"compressed: expected {compressed}")
        _check(await stream.receive() is None, "a message too many")


async def concurrent_large_unary(channel: Channel) -> None:
    """A thousand large calls at once on one channel."""
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(CONCURRENT):
                group.create_task(large_unary(channel))
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None


CASES: Final[dict[str, Case]] = {
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
        concurrent_large_unary,
    )
}
"""Every case by its official name."""
