"""The interoperability test server: `grpc.testing.TestService` as the official descriptions want it.

Of the features described there it has all that need no cloud: EmptyCall, UnaryCall, StreamingInputCall,
StreamingOutputCall, FullDuplexCall, HalfDuplexCall, CompressedRequest, CompressedResponse, Echo Status, Echo Metadata
and intervals between answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from wirelane import protos
from wirelane.codec import Schema
from wirelane.errors import RpcError
from wirelane.grpc import Server
from wirelane.status import StatusCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from wirelane.grpc import Context
    from wirelane.net.tls import TlsConfig

__all__ = ["ECHO_INITIAL", "ECHO_TRAILING", "SERVICE", "InteropService", "interop_schema", "make_server"]

SERVICE: Final = "grpc.testing.TestService"
ECHO_INITIAL: Final = "x-grpc-test-echo-initial"
ECHO_TRAILING: Final = "x-grpc-test-echo-trailing-bin"

# What one answer may hold. No case asks for more than 314159 octets; a stranger could ask for 2 GiB.
_LARGEST_BODY: Final = 64 * 1024 * 1024
_MOST_ANSWERS: Final = 10_000

Message = dict[str, Any]


def interop_schema() -> Schema:
    """Return the schema of `grpc.testing`."""
    return Schema.from_set(protos.descriptor_set("interop"), origin="grpc.testing")


def make_server(tls: TlsConfig | None = None) -> Server:
    """Return the server, not yet listening."""
    return Server([InteropService()], schema=interop_schema(), tls=tls)


class InteropService:
    """`grpc.testing.TestService`; it has no UnimplementedCall, which is what that method is for."""

    def __methods__(self) -> dict[str, Callable[..., object]]:
        return {
            f"{SERVICE}/EmptyCall": self.empty_call,
            f"{SERVICE}/UnaryCall": self.unary_call,
            f"{SERVICE}/CacheableUnaryCall": self.unary_call,
            f"{SERVICE}/StreamingOutputCall": self.streaming_output_call,
            f"{SERVICE}/StreamingInputCall": self.streaming_input_call,
            f"{SERVICE}/FullDuplexCall": self.full_duplex_call,
            f"{SERVICE}/HalfDuplexCall": self.half_duplex_call,
        }

    async def empty_call(self, request: Message, context: Context) -> Message:
        """Nothing in, nothing out."""
        await _echo_metadata(context)
        return {}

    async def unary_call(self, request: Message, context: Context) -> Message:
        """Answer with a payload of the size asked for, compressed or not, or with the status asked for."""
        _check_compressed(request, context)
        if _asked(request.get("response_compressed")):
            context.set_compression("gzip")
        await _echo_metadata(context)
        _echo_status(request)
        return {"payload": _payload(request["response_size"])}

    async def streaming_output_call(self, request: Message, context: Context) -> AsyncIterator[Message]:
        """Answer with one message per response parameter."""
        if any(_asked(parameters.get("compressed")) for parameters in request["response_parameters"]):
            context.set_compression("gzip")
        await _echo_metadata(context)
        async for message in _answers(request, context):
            yield message
        _echo_status(request)

    async def streaming_input_call(self, requests: AsyncIterator[Message], context: Context) -> Message:
        """Answer with the sum of the payloads' sizes."""
        await _echo_metadata(context)
        size = 0
        async for request in requests:
            _check_compressed(request, context)
            payload = request.get("payload")
            size += len(payload["body"]) if payload else 0
        return {"aggregated_payload_size": size}

    async def full_duplex_call(
        self, requests: AsyncIterator[Message], context: Context
    ) -> AsyncIterator[Message]:
        """Answer each request as `streaming_output_call` does, at once."""
        # Announced before anybody asks: the head goes out with the first answer, a later one may want it.
        context.set_compression("gzip")
        await _echo_metadata(context)
        async for request in requests:
            async for message in _answers(request, context):
                yield message
            _echo_status(request)

    async def half_duplex_call(
        self, requests: AsyncIterator[Message], context: Context
    ) -> AsyncIterator[Message]:
        """Answer as `full_duplex_call` does, when all the requests have come."""
        context.set_compression("gzip")
        await _echo_metadata(context)
        parameters: list[Message] = []
        async for request in requests:
            # Only what is to be answered is kept, not the payloads.
            parameters += request["response_parameters"]
            if len(parameters) > _MOST_ANSWERS:
                raise RpcError(
                    StatusCode.RESOURCE_EXHAUSTED, f"more than {_MOST_ANSWERS} answers were asked for"
                )
        async for message in _answers({"response_parameters": parameters}, context):
            yield message


async def _answers(request: Message, context: Context) -> AsyncIterator[Message]:
    for parameters in request["response_parameters"]:
        if parameters["interval_us"] > 0:
            await asyncio.sleep(parameters["interval_us"] / 1e6)
        if not _asked(parameters.get("compressed")):
            context.disable_next_message_compression()
        yield {"payload": _payload(parameters["size"])}


async def _echo_metadata(context: Context) -> None:
    """Feature "Echo Metadata": one key comes back in the head, another in the trailers."""
    if ECHO_TRAILING in context.metadata:
        context.trailing_metadata[ECHO_TRAILING] = context.metadata[ECHO_TRAILING]
    if ECHO_INITIAL in context.metadata:
        await context.send_initial_metadata({ECHO_INITIAL: context.metadata[ECHO_INITIAL]})


def _echo_status(request: Message) -> None:
    """Feature "Echo Status"."""
    status = request.get("response_status")
    if status and status["code"]:
        raise RpcError(StatusCode.of(status["code"]), status["message"])


def _check_compressed(request: Message, context: Context) -> None:
    """Feature "CompressedRequest": the message must have come as the client says that it sent it."""
    expected = request.get("expect_compressed")
    if expected is not None and _asked(expected) != context.request_compressed:
        came = "compressed" if context.request_compressed else "uncompressed"
        raise RpcError(StatusCode.INVALID_ARGUMENT, f"the message came {came}, which is not what it says")


def _asked(value: Message | None) -> bool:
    return bool(value and value["value"])


def _payload(size: int) -> Message:
    if not 0 <= size <= _LARGEST_BODY:
        raise RpcError(
            StatusCode.INVALID_ARGUMENT,
            f"a body of {size} octets was asked for; 0 to {_LARGEST_BODY} can be had",
        )
    return {"type": "COMPRESSABLE", "body": bytes(size)}
