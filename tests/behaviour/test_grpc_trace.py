"""`trace=` of gRPC channels and servers: octets, and the frames they are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from wirelane import Trace, grpc

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


async def test_every_connection_of_a_channel_is_logged_also_the_second() -> None:
    async with echo_server().listen("127.0.0.1:0") as listening:
        target = str(listening.address)
        async with grpc.connect(target, schema=SCHEMA, trace=True) as channel:
            await channel.unary("Echo/One", {})
            channel._connector.connections[0].abort()
            assert await channel.unary("Echo/One", {"text": "again"}) == {"text": "again"}
            assert channel.trace is not None
            entries = channel.trace.entries()
    assert {each.connection for each in entries} == {1, 2}
    assert [each.text for each in entries if each.connection == 1][-1] == "closed"
