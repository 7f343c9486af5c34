"""What somebody who types the public API by habit meets: promises kept, and mistakes answered in one clear sentence: written once, run with asyncio and without."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from wirelane import CodecError, Limits, ReadTimeout, RpcError, StatusCode, UsageError, grpc, tcp

SCHEMA = """
syntax = "proto3";
package promises;

enum Colour { NONE = 0; CRIMSON = 1; }
message Number { int32 n = 1; Colour colour = 2; }

service Demo {
  rpc One(Number) returns (Number);
  rpc Up(stream Number) returns (Number);
  rpc Both(stream Number) returns (stream Number);
}
"""


def demo_server(**options: Any) -> grpc.Server:
    server = grpc.Server(schema=SCHEMA, **options)

    @server.method("Demo/One")
    async def one(request: Any) -> Any:
        return request

    @server.method("Demo/Up")
    async def up(requests: AsyncIterator[Any]) -> Any:
        return {"n": sum([request["n"] async for request in requests])}

    @server.method("Demo/Both")
    async def both(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for request in requests:
            yield request

    return server


async def _nothing(connection: tcp.Connection) -> None:
    """Serve nobody."""


@pytest.fixture
async def address() -> AsyncIterator[str]:
    async with demo_server().listen("127.0.0.1:0") as listening:
        yield str(listening.address)


@pytest.fixture
async def echo() -> AsyncIterator[tcp.Connection]:
    async def handler(connection: tcp.Connection) -> None:
        async for chunk in connection:
            await connection.send(chunk)

    async with (
        tcp.Server(handler).listen("127.0.0.1:0") as listening,
        tcp.connect(str(listening.address)) as connection,
    ):
        yield connection


# ------------------------------------------------------------------------------------------------ gRPC client


async def test_finish_gives_the_same_reply_when_it_is_awaited_again(address: str) -> None:
    async with grpc.connect(address, schema=SCHEMA) as channel, channel.client_stream("Demo/Up") as stream:
        await stream.send({"n": 4})
        assert [await stream.finish(), await stream.finish()] == [{"n": 4, "colour": "NONE"}] * 2


@pytest.mark.parametrize("timeout", [-1, "1", float("nan")])
async def test_receive_refuses_what_is_no_timeout(address: str, timeout: Any) -> None:
    async with grpc.connect(address, schema=SCHEMA) as channel, channel.bidi_stream("Demo/Both") as stream:
        with pytest.raises(UsageError, match="timeout is a number of seconds"):
            await stream.receive(timeout=timeout)
        await stream.send({"n": 1})
        reply = await stream.receive()
        assert reply is not None
        assert reply["n"] == 1


async def test_a_call_waits_for_the_server_though_the_schema_is_not_loaded_yet() -> None:
    """The first call of a lazy channel loads the schema first, which must not fail fast either."""
    async with demo_server().listen("127.0.0.1:0") as listening:
        address = str(listening.address)
    async with grpc.Channel(address, schema=SCHEMA) as channel:
        for call in (channel.unary, channel.collect):
            with pytest.raises(RpcError) as raised:
                await call("Demo/One", {}, wait_for_ready=True, timeout=0.05)
            assert raised.value.code is StatusCode.DEADLINE_EXCEEDED


async def test_a_server_without_reflection_is_told_with_what_to_do_instead() -> None:
    async with demo_server(reflection=False).listen("127.0.0.1:0") as listening:
        with pytest.raises(RpcError, match="has no server reflection.*schema=") as raised:
            await grpc.connect(str(listening.address), schema="reflection")
    assert raised.value.code is StatusCode.UNIMPLEMENTED
    assert raised.value.from_peer


async def test_a_wrong_enum_value_is_told_with_the_values_there_are(address: str) -> None:
    async with grpc.connect(address, schema=SCHEMA) as channel:
        with pytest.raises(CodecError, match='no value "BLUE"; it has NONE, CRIMSON'):
            await channel.unary("Demo/One", {"colour": "BLUE"})


# ------------------------------------------------------------------------------------------- settings of all


@pytest.mark.parametrize(
    "make",
    [
        lambda limits: grpc.Channel("localhost:1", limits=limits),
        lambda limits: grpc.connect("localhost:1", limits=limits),
        lambda limits: grpc.Server(limits=limits),
        lambda limits: tcp.connect("localhost:1", limits=limits),
        lambda limits: tcp.Server(_nothing, limits=limits),
    ],
)
@pytest.mark.parametrize("limits", [{"connect_timeout": 1}, 5, Limits])
def test_limits_of_another_type_are_refused_at_once(make: Any, limits: Any) -> None:
    with pytest.raises(UsageError, match=r"limits must be a Limits\(\.\.\.\), not"):
        make(limits)


def test_options_of_another_type_are_refused_at_once() -> None:
    options: Any = {"user_agent": "x"}
    with pytest.raises(UsageError, match="options must be a ChannelOptions"):
        grpc.Channel("localhost:1", options=options)


@pytest.mark.parametrize("kind", [grpc.Server, tcp.Server])
async def test_listening_at_a_bare_port_number_says_how_an_address_is_written(kind: Any) -> None:
    server = kind([] if kind is grpc.Server else _nothing)
    with pytest.raises(UsageError, match="an address is a str, not int; write one of: host:port"):
        server.listen(50051)


# ------------------------------------------------------------------------------------------------ gRPC server


def test_the_method_decorator_without_its_method_is_refused_and_not_swallowed() -> None:
    server = grpc.Server(schema=SCHEMA)
    decorate: Any = server.method
    with pytest.raises(UsageError, match="a method is given by its name"):

        @decorate
        async def one(request: Any) -> Any:
            return request


def test_services_that_are_not_several_are_refused() -> None:
    services: Any = 5
    with pytest.raises(UsageError, match="services are several"):
        grpc.Server(services)


# -------------------------------------------------------------------------------------------------------- TCP


@pytest.mark.parametrize("size", ["5", 1.5, True])
async def test_sizes_are_whole_numbers(echo: tcp.Connection, size: Any) -> None:
    """A read of 1.5 bytes would never end."""
    for read in (
        partial(echo.read, size),
        partial(echo.read, size, b"\n"),
        partial(echo.read_exactly, size),
        partial(echo.read_until_eof, size),
        partial(echo.read_line, max_bytes=size),
        partial(echo.read_regex, b"x", window=size),
    ):
        with pytest.raises(UsageError, match="must be a whole number, not"):
            await read()


async def test_a_marker_of_the_wrong_type_is_told(echo: tcp.Connection) -> None:
    wrong: Any = 5
    with pytest.raises(UsageError, match="marker must be bytes, or several"):
        await echo.read(marker=wrong)
    with pytest.raises(UsageError, match="marker must be text"):
        await echo.read_line(marker=wrong)


async def test_bytes_given_as_text_are_told(echo: tcp.Connection) -> None:
    octets: Any = b"x"
    with pytest.raises(UsageError, match="send_line takes text, not bytes; send takes bytes"):
        await echo.send_line(octets)
    with pytest.raises(UsageError, match="newline must be text"):
        await echo.send_line("x", newline=octets)


async def test_text_given_as_bytes_is_told(echo: tcp.Connection) -> None:
    text: Any = "x"
    with pytest.raises(UsageError, match="must be bytes, not str"):
        echo.unread(text)


async def test_a_timeout_is_told_in_round_figures(echo: tcp.Connection) -> None:
    with pytest.raises(ReadTimeout, match=r"within 0\.0123457 s;"):
        await echo.read(timeout=0.0123456789)
