"""The stops of the tour that make calls: each does something over a real socket, and checks what came back.

A step is a coroutine function that takes the `Tour` and returns the lines to print below its title; its title is the
first line of its docstring. What is not as it should be raises: `StepFailed`, or whatever the library raises.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from wirelane import grpc
from wirelane.cli.demo.server import DemoServer, proto_directory
from wirelane.codec import Schema
from wirelane.errors import CodecError, DeadlineExceeded, PeerError, RpcError, TlsError
from wirelane.net.tls import TlsConfig
from wirelane.status import StatusCode

if TYPE_CHECKING:
    from wirelane.core.target import Address

__all__ = [
    "GRPC_STEPS",
    "SECURITY_STEPS",
    "Step",
    "StepFailed",
    "Tour",
    "expect",
    "expected_error",
    "title_of",
]

EVERYTHING: Final = "wirelane.demo.Everything"
E = TypeVar("E", bound=Exception)


class StepFailed(Exception):
    """A step gave something else than it should."""


@dataclass(slots=True)
class Tour:
    """What the steps share.

    Attributes:
        server: The demo server, listening.
        stack: Closes what a step opened for the steps after it.
        schema: Of the .proto files, once they are loaded.
        channel: To the plaintext port, once it is connected.
    """

    server: DemoServer
    stack: AsyncExitStack
    schema: Schema | None = None
    _channel: grpc.Channel | None = field(default=None)

    @property
    def channel(self) -> grpc.Channel:
        """The channel of the steps before. Raises StepFailed if there is none."""
        if self._channel is None:
            raise StepFailed("there is no connection, because of an earlier step")
        return self._channel

    @channel.setter
    def channel(self, channel: grpc.Channel) -> None:
        self._channel = channel

    @property
    def tls_address(self) -> str:
        """The TLS port, by the name that its certificate has."""
        return f"localhost:{_port(self.server.addresses.tls)}"


Step = Callable[[Tour], Awaitable[list[str]]]


def title_of(step: Step) -> str:
    """Return the title of a step."""
    return (step.__doc__ or "").strip().partition("\n")[0].rstrip(".")


def expect(what: str, seen: object, wanted: object) -> None:
    """Raise StepFailed unless something is what it should be."""
    if seen != wanted:
        raise StepFailed(f"{what} should be {wanted!r}, and is {seen!r}")


def expected_error(kind: type[E]) -> NoReturn:
    """Raise StepFailed where an error should have come."""
    raise StepFailed(f"{kind.__name__} should have been raised")


def _port(address: Address | None) -> int:
    port = getattr(address, "port", None)
    assert isinstance(port, int)
    return port


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


# -------------------------------------------------------------------------------------------------- gRPC


async def _load_protos(tour: Tour) -> list[str]:
    """Load .proto files at run time."""
    directory = proto_directory()
    schema = await asyncio.to_thread(Schema.load, directory, cache=False)
    expect(
        "the imports of everything.proto",
        "types.proto" in schema.file_proto("everything.proto").dependency,
        True,
    )
    expect("the services", schema.services(), ["Greeter", "Summator", EVERYTHING])
    tour.schema = schema
    methods = sum(len(schema.methods(service)) for service in schema.services())
    return [
        f"protos/{directory.name}: everything.proto imports types.proto; {len(schema.files())} files in all",
        f"{', '.join(schema.services())}: {methods} methods",
    ]


async def _connect(tour: Tour) -> list[str]:
    """Connect, with that schema."""
    address = str(tour.server.addresses.grpc)
    connecting = grpc.connect(address, schema=tour.schema if tour.schema is not None else "reflection")
    tour.channel = await tour.stack.enter_async_context(connecting)
    expect("the state of the channel", tour.channel.state, grpc.ChannelState.READY)
    return [repr(tour.channel)]


async def _unary(tour: Tour) -> list[str]:
    """Unary call."""
    request = {"value1": 5, "value2": 3}
    reply = await tour.channel.unary("Summator/sum", request)
    expect("5 + 3", reply, {"value": 8.0})
    return [f"Summator/sum {_json(request)} -> {_json(reply)}"]


async def _nested(tour: Tour) -> list[str]:
    """Dicts in, dicts out, whatever is in them."""
    message = {
        "f_int64": 2**62,
        "f_bytes": b"\x00\xff",
        "f_enum": "GREEN",
        "f_items": [{"name": "lamp", "price": 12.5, "tags": ["new"]}],
        "int32_map": {-1: "minus one"},
        "choice_text": "one of three",
        "timestamp": datetime(2026, 1, 31, 12, tzinfo=UTC),
        "struct": {"free": [1, "form", None]},
    }
    reply: dict[str, Any] = await tour.channel.unary(f"{EVERYTHING}/Echo", message)
    expected = {**message, "f_items": [{"name": "lamp", "price": 12.5, "tags": ["new"]}]}
    expect("what comes back", {name: reply[name] for name in message}, expected)
    return [
        (
            f"Everything/Echo: int64 {reply['f_int64']}, bytes {reply['f_bytes']!r}, enum {reply['f_enum']}, "
            f"map {reply['int32_map']}, time {reply['timestamp'].isoformat()}"
        )
    ]


async def _server_stream(tour: Tour) -> list[str]:
    """Server stream."""
    request = {"count": 5, "interval": 0.01}
    numbers = []
    async with tour.channel.server_stream(f"{EVERYTHING}/ServerStream", request) as stream:
        async for message in stream:
            numbers.append(message["number"])  # noqa: PERF401  (as a user would write it)
    expect("the numbers", numbers, [1, 2, 3, 4, 5])
    return [f"Everything/ServerStream {_json(request)} -> {' '.join(map(str, numbers))}"]


async def _client_stream(tour: Tour) -> list[str]:
    """Client stream."""
    async with tour.channel.client_stream(f"{EVERYTHING}/ClientStream") as stream:
        for word in ("one", "two", "three"):
            await stream.send({"f_string": word})
        reply = await stream.finish()
    expect("the count", reply["count"], 3)
    expect("the last message", reply["last"]["f_string"], "three")
    return ["Everything/ClientStream one, two, three -> 3 messages, the last was 'three'"]


async def _bidi_stream(tour: Tour) -> list[str]:
    """Bidirectional stream, a conversation."""
    heard = []
    async with tour.channel.bidi_stream(f"{EVERYTHING}/BidiEcho") as stream:
        for word in ("ping", "pong", "bye"):
            await stream.send({"f_string": word})
            # The answer is here before the next message is sent.
            reply = await stream.receive(timeout=10.0)
            assert reply is not None
            heard.append(f"{reply['number']}:{reply['message']['f_string']}")
        await stream.done_sending()
        expect("the end of the stream", await stream.receive(timeout=10.0), None)
    expect("the answers", heard, ["1:ping", "2:pong", "3:bye"])
    return [f"Everything/BidiEcho ping, pong, bye -> {' '.join(heard)}, then the end"]


async def _metadata(tour: Tour) -> list[str]:
    """Metadata, both ways."""
    sent: dict[str, str | bytes | list[str | bytes]] = {
        "x-tour": ["first", "second"],
        "x-tour-bin": b"\x00\x01",
    }
    call = tour.channel.unary(f"{EVERYTHING}/HeadersUnary", {}, metadata=sent)
    reply = await call
    headers, trailers = await call.initial_metadata(), call.trailing_metadata
    expect("the header as the server saw it", reply["metadata"]["x-tour"]["values"], ["first", "second"])
    expect("the header that came back", headers.get_all("x-tour"), ["first", "second"])
    expect("the binary header that came back", headers["x-tour-bin"], b"\x00\x01")
    assert trailers is not None
    expect("the trailer", trailers["metadata-count"], "3")
    return [
        f"sent x-tour: first, second; x-tour-bin: {sent['x-tour-bin']!r}",
        (
            f"back as headers: {headers.get_all('x-tour')}, {headers['x-tour-bin']!r}; "
            f"as trailer: metadata-count {trailers['metadata-count']!r}"
        ),
    ]


async def _deadline(tour: Tour) -> list[str]:
    """A deadline that passes."""
    began = time.perf_counter()
    try:
        await tour.channel.unary(f"{EVERYTHING}/Sleep", {"seconds": 30.0}, timeout=0.05)
    except DeadlineExceeded as error:
        milliseconds = (time.perf_counter() - began) * 1000
        return [f"Everything/Sleep 30 s with timeout=0.05 -> {error.code.name} after {milliseconds:.0f} ms"]
    expected_error(DeadlineExceeded)


async def _error_details(tour: Tour) -> list[str]:
    """An error with details."""
    detail = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "NO_SUCH_USER",
        "domain": "demo.wirelane",
        "metadata": {"user": "42"},
    }
    request = {"code": int(StatusCode.NOT_FOUND), "reason": "no such user", "details": [detail]}
    try:
        await tour.channel.unary(f"{EVERYTHING}/SpecificError", request)
    except RpcError as error:
        expect("the code", error.code, StatusCode.NOT_FOUND)
        expect("the message", error.message, "no such user")
        expect("the details", [dict(each) for each in error.details], [detail])
        return [f"RpcError {error}", f"details: {_json(error.details[0])}"]
    expected_error(RpcError)


async def _mistake(tour: Tour) -> list[str]:
    """A mistake, found before it is sent."""
    try:
        await tour.channel.unary("Summator/sum", {"valeu1": 5})
    except CodecError as error:
        expect("the path of the field", error.path, "valeu1")
        return [f"CodecError {error}"]
    expected_error(CodecError)


async def _reflection(tour: Tour) -> list[str]:
    """Reflection: no .proto files at all, and health."""
    async with grpc.connect(str(tour.server.addresses.grpc), schema="reflection") as channel:
        services = channel.schema.services()
        expect("the services", {"Greeter", "Summator", EVERYTHING} <= set(services), True)
        reply = await channel.unary("Greeter/SayHello", {"name": "reflection"})
        expect("the greeting", reply, {"message": "Hello, reflection!"})
        health = await channel.unary("grpc.health.v1.Health/Check", {"service": "Greeter"})
        expect("the health of Greeter", health["status"], "SERVING")
    return [
        f"services: {', '.join(services)}",
        f"Greeter/SayHello -> {reply['message']} Health: {health['status']}",
    ]


GRPC_STEPS: Final[tuple[Step, ...]] = (
    _load_protos,
    _connect,
    _unary,
    _nested,
    _server_stream,
    _client_stream,
    _bidi_stream,
    _metadata,
    _deadline,
    _error_details,
    _mistake,
    _reflection,
)


# --------------------------------------------------------------------------------------------------- TLS


async def _tls(tour: Tour) -> list[str]:
    """TLS, verified by a certificate authority."""
    assert tour.server.ca_file is not None
    settings = TlsConfig(ca=tour.server.ca_file)
    async with grpc.connect(tour.tls_address, schema=tour.schema, tls=settings) as channel:
        reply = await channel.unary("Greeter/SayHello", {"name": "TLS"})
        expect("the greeting", reply, {"message": "Hello, TLS!"})
        return [f"{channel}: {reply['message']}"]


async def _wrong_authority(tour: Tour) -> list[str]:
    """The same with another authority is refused."""
    import trustme

    stranger = await asyncio.to_thread(trustme.CA, organization_name="somebody else")
    settings = TlsConfig(ca=stranger.cert_pem.bytes())
    try:
        async with grpc.connect(tour.tls_address, schema=tour.schema, tls=settings):
            pass
    except TlsError as error:
        expect("what failed", error.step, "verify certificate")
        return [f"TlsError {error}"]
    expected_error(TlsError)


async def _no_tls(tour: Tour) -> list[str]:
    """Plaintext to a TLS port is recognised."""
    try:
        async with grpc.connect(tour.tls_address, schema=tour.schema):
            pass
    except (TlsError, PeerError) as error:
        # Servers differ: one sends a TLS alert, another, like ours, just closes.
        expect("what the error suggests", "TLS" in str(error), True)
        return [f"{type(error).__name__} {error}"]
    expected_error(TlsError)


SECURITY_STEPS: Final[tuple[Step, ...]] = (_tls, _wrong_authority, _no_tls)
