"""The client under test of the Connect conformance suite, on wirelane's public API.

    PYTHONPATH=tests python -m conformance.client DIRECTORY_OF_THE_GO_MODULE

The runner writes ClientCompatRequests to stdin; for each a call is made, some at a time, and what came of it is written to
stdout. It ends when stdin does.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Final

from conformance.messages import (
    PACKAGE,
    SERVICE,
    Message,
    delimited,
    header_list,
    load_schema,
    metadata_of,
    size_of,
)
from wirelane import Limits, Metadata, RpcError, Schema, TlsConfig, grpc

AT_ONCE: Final = 4
"""Calls in flight. Some of the cases measure time, so the machine must keep up."""

_LARGEST_REQUEST: Final = 64 * 1024 * 1024  # of the runner, which is trusted; no case comes near it


class Outcome:
    """What comes of one call, as the runner wants to know it."""

    def __init__(self) -> None:
        self.payloads: list[Message] = []
        self.error: RpcError | None = None
        self.head: Metadata | None = None
        self.trailers: Metadata | None = None
        self.unsent = 0

    def add(self, reply: Message) -> None:
        self.payloads.append(reply.get("payload", {}))

    def failed(self, error: RpcError) -> None:
        self.error, self.head, self.trailers = error, error.initial_metadata, error.metadata

    def message(self) -> Message:
        result: Message = {
            "response_headers": header_list(self.head),
            "payloads": self.payloads,
            "response_trailers": header_list(self.trailers),
            "num_unsent_requests": self.unsent,
        }
        if self.error is not None:
            code = self.error.code.name.replace("CANCELLED", "CANCELED")
            details = list(self.error.details)
            result["error"] = {"code": f"CODE_{code}", "message": self.error.message, "details": details}
        return result


class Case:
    """One request of the runner."""

    def __init__(self, request: Message, channel: grpc.Channel) -> None:
        self.channel = channel
        self.method = f"{request.get('service', SERVICE)}/{request['method']}"
        self.messages = [_plain(message) for message in request["request_messages"]]
        self.delay = request["request_delay_ms"] / 1000
        self.full_duplex = request["stream_type"] == "STREAM_TYPE_FULL_DUPLEX_BIDI_STREAM"
        cancel = request.get("cancel")
        # Without a timing, at once after the end of the requests.
        self.cancel_after_close = None
        if cancel is not None and not cancel.keys() & {"before_close_send", "after_num_responses"}:
            self.cancel_after_close = cancel.get("after_close_send_ms", 0) / 1000
        self.cancel_before_close = cancel is not None and "before_close_send" in cancel
        self.cancel_after_replies = (cancel or {}).get("after_num_responses")
        timeout = request.get("timeout_ms")
        self.options: dict[str, Any] = {
            "metadata": metadata_of(request["request_headers"]),
            "timeout": None if timeout is None else timeout / 1000,
            "compression": "gzip" if request["compression"] == "COMPRESSION_GZIP" else "identity",
        }

    async def unary(self, outcome: Outcome) -> None:
        call = self.channel.unary(self.method, self._only_message(), **self.options)
        self._cancel_later(call)
        outcome.add(await call)
        outcome.head, outcome.trailers = await call.initial_metadata(), call.trailing_metadata

    async def server_stream(self, outcome: Outcome) -> None:
        call = self.channel.server_stream(self.method, self._only_message(), **self.options)
        async with call as stream:
            self._cancel_later(stream)
            await self._receive_all(stream, outcome)

    async def client_stream(self, outcome: Outcome) -> None:
        async with self.channel.client_stream(self.method, **self.options) as stream:
            await self._send_all(stream, outcome)
            if self.cancel_before_close:
                stream.cancel()
            self._cancel_later(stream)
            outcome.add(await stream.finish())
            outcome.head, outcome.trailers = await stream.initial_metadata(), stream.trailing_metadata

    async def bidi_stream(self, outcome: Outcome) -> None:
        async with self.channel.bidi_stream(self.method, **self.options) as stream:
            await self._send_all(stream, outcome)
            if self.cancel_before_close:
                stream.cancel()
            await stream.done_sending()
            self._cancel_later(stream)
            await self._receive_all(stream, outcome)

    async def _send_all(self, stream: Any, outcome: Outcome) -> None:
        """Send the requests; in full duplex, receive a reply to each."""
        for number, message in enumerate(self.messages):
            outcome.unsent = len(self.messages) - number
            await asyncio.sleep(self.delay)
            if not await stream.send(message):
                return
            outcome.unsent -= 1
            if self.full_duplex and not await self._receive(stream, outcome):
                return

    async def _receive_all(self, stream: Any, outcome: Outcome) -> None:
        while await self._receive(stream, outcome):
            pass
        outcome.head, outcome.trailers = await stream.initial_metadata(), stream.trailing_metadata

    async def _receive(self, stream: Any, outcome: Outcome) -> bool:
        reply = await stream.receive()
        if reply is None:
            return False
        outcome.add(reply)
        if len(outcome.payloads) == self.cancel_after_replies:
            stream.cancel()
        return True

    def _only_message(self) -> Message:
        if len(self.messages) != 1:
            raise ValueError(f"{self.method} takes one message, not {len(self.messages)}")
        return self.messages[0]

    def _cancel_later(self, call: Any) -> None:
        if self.cancel_after_close is not None:
            asyncio.get_running_loop().call_later(self.cancel_after_close, call.cancel)


CALLS: dict[str, Callable[[Case, Outcome], Awaitable[None]]] = {
    "STREAM_TYPE_UNARY": Case.unary,
    "STREAM_TYPE_SERVER_STREAM": Case.server_stream,
    "STREAM_TYPE_CLIENT_STREAM": Case.client_stream,
    "STREAM_TYPE_HALF_DUPLEX_BIDI_STREAM": Case.bidi_stream,
    "STREAM_TYPE_FULL_DUPLEX_BIDI_STREAM": Case.bidi_stream,
}


def _plain(message: Message) -> Message:
    """The content of an Any."""
    return {name: value for name, value in message.items() if name != "@type"}


class Client:
    """Makes the calls, those to one server on one channel."""

    def __init__(self, schema: Schema, stack: AsyncExitStack) -> None:
        self._schema = schema
        self._stack = stack
        self._channels: dict[tuple[object, ...], grpc.Channel] = {}
        self._places = asyncio.Semaphore(AT_ONCE)

    async def answer(self, data: bytes) -> None:
        """Do what one request asks for, and write what came of it."""
        async with self._places:
            request = self._schema.decode(f"{PACKAGE}.ClientCompatRequest", data)
            answer: Message = {"test_name": request["test_name"]}
            try:
                answer["response"] = (await self._call(request)).message()
            except Exception as error:
                # Whatever keeps the call from being made is told to the runner, which counts it as a failure.
                answer["error"] = {"message": f"{type(error).__name__}: {error}"}
        sys.stdout.buffer.write(delimited(self._schema.encode(f"{PACKAGE}.ClientCompatResponse", answer)))
        sys.stdout.buffer.flush()

    async def _call(self, request: Message) -> Outcome:
        case = Case(request, await self._channel(request))
        outcome = Outcome()
        try:
            await CALLS[request["stream_type"]](case, outcome)
        except RpcError as error:
            outcome.failed(error)
        return outcome

    async def _channel(self, request: Message) -> grpc.Channel:
        credentials = request.get("client_tls_creds", {})
        most = request["message_receive_limit"]
        key = request["host"], request["port"], request["server_tls_cert"], credentials.get("cert"), most
        if key not in self._channels:
            tls: TlsConfig | bool = False
            if request["server_tls_cert"]:
                tls = TlsConfig(
                    ca=request["server_tls_cert"], cert=credentials.get("cert"), key=credentials.get("key")
                )
            channel = grpc.Channel(
                f"{request['host']}:{request['port']}",
                schema=self._schema,
                tls=tls,
                limits=Limits(max_receive_message=most) if most else None,
            )
            self._channels[key] = channel
            await self._stack.enter_async_context(channel)
        # The time that a case gives is for the call.
        await self._channels[key].connect()
        return self._channels[key]


async def run(schema: Schema) -> None:
    """Answer every request on stdin."""
    reader = asyncio.StreamReader(limit=_LARGEST_REQUEST)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer
    )
    try:
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            client = Client(schema, stack)
            while prefix := await reader.read(1):
                prefix += await reader.readexactly(3)
                group.create_task(client.answer(await reader.readexactly(size_of(prefix))))
    finally:
        transport.close()


if __name__ == "__main__":
    asyncio.run(run(load_schema(sys.argv[1])))
