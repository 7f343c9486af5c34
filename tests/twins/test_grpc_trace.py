"""`trace=` of gRPC channels and servers: octets, and the frames they are: written once, run with asyncio and without."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from wirelane import RpcError, TlsConfig, Trace, UsageError, grpc

SCHEMA = """
syntax = "proto3";
package traced;
message Text { string text = 1; }
service Echo { rpc One(Text) returns (Text); rpc Many(stream Text) returns (stream Text); }
"""


def echo_server(**options: Any) -> grpc.Server:
    server = grpc.Server(schema=SCHEMA, **options)

    @server.method("Echo/One")
    async def one(request: Any) -> Any:
        return request

    @server.method("Echo/Many")
    async def many(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for request in requests:
            yield request

    return server


def frames(trace: Trace | None, direction: str) -> list[str]:
    assert trace is not None
    return [line for each in trace.entries() if each.direction == direction for line in each.frames]


async def test_a_call_is_logged_on_both_ends_as_octets_and_frames() -> None:
    server = echo_server(trace=True)
    async with server.listen("127.0.0.1:0") as listening:
        async with grpc.connect(str(listening.address), schema=SCHEMA, trace=True) as channel:
            assert await channel.unary("Echo/One", {"text": "a needle"}) == {"text": "a needle"}
    sent = frames(channel.trace, "sent")
    assert sent[0] == "preface"
    assert sent[1].startswith("SETTINGS stream 0, ")
    call = [line.split(",")[0] for line in sent if "stream 1" in line]
    assert call == ["HEADERS stream 1 END_HEADERS", "DATA stream 1 END_STREAM"]
    answer = [line.split(",")[0] for line in frames(channel.trace, "received") if "stream 1" in line]
    assert answer == [
        "HEADERS stream 1 END_HEADERS",
        "DATA stream 1",
        "HEADERS stream 1 END_STREAM END_HEADERS",
    ]
    assert frames(server.trace, "received") == sent
    assert channel.trace is not None
    assert any(b"a needle" in each.data for each in channel.trace.entries() if each.direction == "sent")
    assert "61 20 6e 65 65 64 6c 65" in channel.trace.text(format="hex").replace("  ", " ")
    assert "needle" not in repr(channel.trace)


async def test_messages_of_many_parts_arrive_whole_and_their_size_adds_up() -> None:
    text = "x" * 1_000_000
    server = echo_server(trace=Trace(max_data=10))
    async with server.listen("127.0.0.1:0") as listening:
        async with grpc.connect(str(listening.address), schema=SCHEMA, trace=Trace(max_data=10)) as channel:
            async with channel.bidi_stream("Echo/Many") as stream:
                for _ in range(3):
                    await stream.send({"text": text})
                    assert await stream.receive() == {"text": text}
                await stream.done_sending()
                assert await stream.receive() is None
            there, here = server.trace, channel.trace
    assert here is not None
    assert there is not None

    def total(trace: Trace, direction: str) -> int:
        return sum(each.size for each in trace.entries() if each.direction == direction)

    assert total(here, "sent") == total(there, "received") > 3_000_000
    assert total(there, "sent") >= total(here, "received") > 3_000_000
    ends = [line for line in frames(here, "sent") if line.startswith("DATA")]
    assert sum(int(line.rpartition(",")[2].split()[0]) for line in ends if "more" not in line) > 3_000_000


async def test_over_tls_the_log_is_readable(ca, tmp_path: Path) -> None:
    server = echo_server(tls=TlsConfig(cert=ca.server_cert, key=ca.server_key))
    async with server.listen("localhost:0") as listening:
        reply = await grpc.call(
            f"localhost:{listening.port}",
            "Echo/One",
            {"text": "x"},
            schema=SCHEMA,
            tls=TlsConfig(ca=ca.ca),
            trace=tmp_path / "log",
        )
    assert reply == {"text": "x"}
    text = (tmp_path / "log").read_text()
    assert "ALPN h2" in text
    assert "HEADERS stream 1 END_HEADERS" in text
    assert text.rstrip().endswith("closed")


async def test_a_server_that_is_not_there_is_in_the_log() -> None:
    async with echo_server().listen("127.0.0.1:0") as listening:
        target = str(listening.address)
    channel = grpc.Channel(target, schema=SCHEMA, trace=True)
    with pytest.raises(RpcError):
        await channel.unary("Echo/One", {})
    await channel.close()
    assert channel.trace is not None
    begun, ended = channel.trace.entries()
    assert begun.text == "connecting"
    assert "not connected: cannot connect to" in ended.text


def test_without_a_trace_there_is_none_and_what_is_none_is_refused() -> None:
    assert grpc.Channel("localhost:1").trace is None
    assert grpc.Server().trace is None
    for make in (lambda: grpc.Channel("localhost:1", trace=7), lambda: grpc.Server(trace=7)):  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="trace must be"):
            make()


async def test_asking_for_a_schema_can_be_traced() -> None:
    trace = Trace()
    async with echo_server().listen("127.0.0.1:0") as listening:
        await grpc.reflect(str(listening.address), trace=trace)
    assert any("HEADERS stream 1" in line for line in frames(trace, "sent"))
