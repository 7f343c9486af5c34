"""Two schemas in one process that give the same names to different things, in the same file: written once, run with asyncio and without."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from support.twins_support import gather, start
from wirelane import RpcError, Schema, grpc

VERSIONS = {
    "old": """
        syntax = "proto3"; package shop; import "google/protobuf/any.proto";
        message Item { string name = 1; Kind kind = 2; google.protobuf.Any more = 3; }
        enum Kind { NONE = 0; LAMP = 1; }
        service Shop { rpc Find(Item) returns (Item); }
    """,
    "new": """
        syntax = "proto3"; package shop; import "google/protobuf/any.proto";
        message Item { int64 number = 1; repeated Kind kinds = 2; google.protobuf.Any more = 3; }
        enum Kind { NONE = 0; SHADE = 1; }
        service Shop { rpc Find(Item) returns (Item); rpc Count(stream Item) returns (Item); }
    """,
}
VALUES: dict[str, dict[str, Any]] = {
    "old": {"name": "x", "kind": "LAMP", "more": {"@type": "shop.Item", "name": "inside", "kind": "NONE"}},
    "new": {"number": 7, "kinds": ["SHADE"], "more": {"@type": "shop.Item", "number": 8, "kinds": []}},
}


def schemas() -> dict[str, Schema]:
    return {name: Schema.load({"shop.proto": text}) for name, text in VERSIONS.items()}


@asynccontextmanager
async def running(schema: Schema) -> AsyncIterator[int]:
    server = grpc.Server(schema=schema)

    @server.method("Shop/Find")
    async def find(request: Any, context: Any) -> Any:
        if context.metadata.get("fail"):
            context.abort(
                "ABORTED",
                "no",
                details=[{"@type": "shop.Item", **{k: v for k, v in request.items() if k != "more"}}],
            )
        return request

    async with server.listen("127.0.0.1:0") as at:
        yield at.port


async def test_channels_and_servers_of_both_work_side_by_side() -> None:
    both = schemas()
    async with AsyncExitStack() as stack:
        for source in ("given", "reflection"):
            channels = {
                name: await stack.enter_async_context(
                    grpc.connect(
                        f"127.0.0.1:{await stack.enter_async_context(running(schema))}",
                        schema=schema if source == "given" else "reflection",
                    )
                )
                for name, schema in both.items()
            }
            for name, reply in zip(
                channels,
                await gather(*(start(channels[name].unary, "Shop/Find", VALUES[name]) for name in channels)),
                strict=True,
            ):
                plain = {key: value for key, value in VALUES[name].items() if key != "more"}
                assert reply.items() >= plain.items()
            for name, channel in channels.items():
                with pytest.raises(RpcError) as raised:
                    await channel.unary("Shop/Find", VALUES[name], metadata={"fail": "yes"})
                (detail,) = raised.value.details
                assert {key: value for key, value in detail.items() if key != "@type"} == {
                    key: value for key, value in VALUES[name].items() if key != "more"
                }
                kind = both[name].message_class("shop.Item")
                assert isinstance(raised.value.detail(kind), kind)
