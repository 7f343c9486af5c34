"""The server under test of the Connect conformance suite, on wirelane's public API.

    PYTHONPATH=tests python -m conformance.server DIRECTORY_OF_THE_GO_MODULE

The runner writes one ServerCompatRequest to stdin, and reads from stdout where the server is; SIGTERM ends it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from conformance.messages import (
    PACKAGE,
    SERVICE,
    Message,
    any_of,
    delimited,
    header_list,
    load_schema,
    metadata_of,
    size_of,
)
from wirelane import Limits, RpcError, Schema, TlsConfig, grpc
from wirelane.net.signals import stop_signals


class ConformanceService:
    """Answers as each request says, and tells what came. `Unimplemented` is left out, which is what it is for."""

    def __methods__(self) -> dict[str, object]:
        return {
            f"{SERVICE}/Unary": self.unary,
            f"{SERVICE}/ServerStream": self.server_stream,
            f"{SERVICE}/ClientStream": self.client_stream,
            f"{SERVICE}/BidiStream": self.bidi_stream,
        }

    async def unary(self, request: Message, context: grpc.Context) -> Message:
        return await _one_answer(
            context, [any_of("UnaryRequest", request)], request.get("response_definition")
        )

    async def client_stream(self, requests: AsyncIterator[Message], context: grpc.Context) -> Message:
        received = [request async for request in requests]
        definition = received[0].get("response_definition") if received else None
        return await _one_answer(
            context, [any_of("ClientStreamRequest", each) for each in received], definition
        )

    async def server_stream(self, request: Message, context: grpc.Context) -> AsyncIterator[Message]:
        definition = request.get("response_definition")
        received = [any_of("ServerStreamRequest", request)]
        if definition is None:
            return
        _send_head(context, definition)
        for number, data in enumerate(definition["response_data"]):
            await _delay(definition)
            info = _request_info(context, received) if number == 0 else None
            yield _payload(data, info)
        _raise_error(definition, None if definition["response_data"] else _request_info(context, received))

    async def bidi_stream(
        self, requests: AsyncIterator[Message], context: grpc.Context
    ) -> AsyncIterator[Message]:
        definition: Message | None = None
        full_duplex = False
        received: list[Message] = []
        answered = 0
        first = True
        async for request in requests:
            received.append(any_of("BidiStreamRequest", request))
            if first:
                first = False
                definition, full_duplex = request.get("response_definition"), request["full_duplex"]
                if definition is not None:
                    _send_head(context, definition)
            if not full_duplex:
                continue
            if definition is None or answered >= len(definition["response_data"]):
                break
            # All that is known comes with the first answer; with the others, what has come since.
            info = _request_info(context, received) if answered == 0 else {"requests": received}
            await _delay(definition)
            yield _payload(definition["response_data"][answered], info)
            answered += 1
            received = []
        if definition is None:
            return
        async with aclosing(_rest(context, definition, answered, received)) as answers:
            async for answer in answers:
                yield answer
        _raise_error(definition, None if definition["response_data"] else _request_info(context, received))


async def _rest(
    context: grpc.Context, definition: Message, answered: int, received: list[Message]
) -> AsyncGenerator[Message, None]:
    for number, data in enumerate(definition["response_data"]):
        if number >= answered:
            await _delay(definition)
            yield _payload(data, _request_info(context, received) if number == 0 else None)


async def _one_answer(context: grpc.Context, received: list[Message], definition: Message | None) -> Message:
    info = _request_info(context, received)
    if definition is None:
        return _payload(b"", info)
    _send_head(context, definition)
    await _delay(definition)
    _raise_error(definition, info)
    return _payload(definition.get("response_data", b""), info)


def _send_head(context: grpc.Context, definition: Message) -> None:
    context.trailing_metadata = metadata_of(definition["response_trailers"])
    context.send_initial_metadata(metadata_of(definition["response_headers"]))


async def _delay(definition: Message) -> None:
    if definition["response_delay_ms"]:
        await asyncio.sleep(definition["response_delay_ms"] / 1000)


def _request_info(context: grpc.Context, received: list[Message]) -> Message:
    info: Message = {"request_headers": header_list(context.metadata), "requests": received}
    left = context.time_remaining()
    if left is not None:
        info["timeout_ms"] = int(left * 1000)
    return info


def _payload(data: bytes, info: Message | None) -> Message:
    payload: Message = {"data": data}
    if info is not None:
        payload["request_info"] = info
    return {"payload": payload}


def _raise_error(definition: Message, info: Message | None) -> None:
    """Raise the error that the definition has, if any; what came goes with it where no answer told it."""
    error = definition.get("error")
    if error is None:
        return
    details = list(error["details"])
    if info is not None:
        details.append(any_of("ConformancePayload.RequestInfo", info))
    code = error["code"].removeprefix("CODE_").replace("CANCELED", "CANCELLED")
    raise RpcError(code, error.get("message", ""), details=details)


async def serve(schema: Schema, asked: Message) -> None:
    """Serve as the runner asked, tell it where, until SIGTERM."""
    tls = None
    certificate = b""
    if asked["use_tls"]:
        pair = asked["server_creds"]
        certificate = pair["cert"]
        tls = TlsConfig(cert=certificate, key=pair["key"], ca=asked["client_tls_cert"] or None)
    most = asked["message_receive_limit"]
    limits = Limits(max_receive_message=most) if most else None
    server = grpc.Server([ConformanceService()], schema=schema, tls=tls, limits=limits, compression="gzip")
    with stop_signals() as signals:
        async with server.listen("127.0.0.1:0", grace=5.0) as listening:
            answer = {"host": "127.0.0.1", "port": listening.port, "pem_cert": certificate}
            sys.stdout.buffer.write(delimited(schema.encode(f"{PACKAGE}.ServerCompatResponse", answer)))
            sys.stdout.buffer.flush()
            await signals.stopped.wait()


def main() -> None:
    schema = load_schema(sys.argv[1])
    data = sys.stdin.buffer.read(size_of(sys.stdin.buffer.read(4)))
    asyncio.run(serve(schema, schema.decode(f"{PACKAGE}.ServerCompatRequest", data)))


if __name__ == "__main__":
    main()
