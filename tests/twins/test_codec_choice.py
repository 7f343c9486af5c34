"""`codec=` of channels and servers: dicts, JSON values, bytes, or as a DictFormat says; protobuf on the wire: written once, run with asyncio and without."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from wirelane import CodecError, RpcError, Schema, StatusCode, UsageError, grpc
from wirelane.codec import DictFormat

SCHEMA = Schema.load("""
syntax = "proto3";
package shop;

import "google/protobuf/timestamp.proto";

enum Colour { NONE = 0; CRIMSON = 1; }
message Order {
  int64 order_number = 1;
  Colour colour = 2;
  bytes seal = 3;
  google.protobuf.Timestamp at = 4;
  repeated string tags = 5;
}

service Shop {
  rpc Place(Order) returns (Order);
  rpc Watch(Order) returns (stream Order);
}
""")
ORDER = {"order_number": 2**40, "colour": "CRIMSON", "seal": b"\xff", "at": datetime(2026, 1, 2, tzinfo=UTC)}
AS_JSON = {"orderNumber": "1099511627776", "colour": "CRIMSON", "seal": "/w==", "at": "2026-01-02T00:00:00Z"}
OCTETS = SCHEMA.encode("shop.Order", ORDER)


@asynccontextmanager
async def shop(
    answer: Callable[[Any], Any], *, codec: Any = None, client: Any = None
) -> AsyncIterator[grpc.Channel]:
    """A channel to a server that answers as told; each with its codec."""
    server = grpc.Server(schema=SCHEMA, codec=codec)

    @server.method("Shop/Place")
    async def place(request: Any) -> Any:
        return answer(request)

    @server.method("Shop/Watch")
    async def watch(request: Any) -> AsyncIterator[Any]:
        yield answer(request)

    async with (
        server.listen("127.0.0.1:0") as listening,
        grpc.connect(str(listening.address), schema=SCHEMA, codec=client) as channel,
    ):
        yield channel


def noted(seen: list[Any]) -> Callable[[Any], Any]:
    """An answer that is the request, which is kept."""

    def answer(request: Any) -> Any:
        seen.append(request)
        return request

    return answer


@pytest.mark.parametrize("codec", [None, "dict", DictFormat()])
async def test_messages_are_dicts_unless_told(codec: Any) -> None:
    seen: list[Any] = []
    async with shop(noted(seen), codec=codec, client=codec) as channel:
        reply = await channel.unary("Shop/Place", ORDER)
    assert seen == [reply] == [{**ORDER, "tags": []}]


async def test_json_goes_in_and_comes_out_on_both_sides() -> None:
    seen: list[Any] = []
    async with shop(noted(seen), codec="json", client="json") as channel:
        reply = await channel.unary("Shop/Place", json.loads(json.dumps(AS_JSON)))
        async with channel.server_stream("Shop/Watch", {"order_number": "7"}) as stream:
            replies = [each async for each in stream]
    assert json.loads(json.dumps(reply)) == AS_JSON == seen[0]
    assert replies == [{"orderNumber": "7"}]


async def test_raw_is_the_octets_of_protobuf() -> None:
    async with shop(lambda request: request + request, codec="raw", client="raw") as channel:
        assert await channel.unary("Shop/Place", OCTETS) == OCTETS * 2
        assert await channel.unary("Shop/Place", None) == b""


async def test_client_and_server_choose_on_their_own() -> None:
    async with shop(lambda request: request, codec="json", client="raw") as channel:
        assert SCHEMA.decode("shop.Order", await channel.unary("Shop/Place", OCTETS)) == {**ORDER, "tags": []}


async def test_a_format_says_what_comes_out() -> None:
    form = DictFormat(json_names=True, emit_defaults=False, enums="number")
    async with shop(lambda request: request, client=form) as channel:
        reply = await channel.unary("Shop/Place", ORDER)
    assert reply == {
        "orderNumber": 2**40,
        "colour": 1,
        "seal": b"\xff",
        "at": datetime(2026, 1, 2, tzinfo=UTC),
    }


async def test_what_is_no_json_is_refused_before_it_is_sent_and_by_the_server() -> None:
    async with shop(lambda request: {"seal": b"bytes"}, codec="json", client="json") as channel:
        with pytest.raises(CodecError) as caught:
            await channel.unary("Shop/Place", ORDER)
        assert caught.value.path in {"seal", "at"}
        with pytest.raises(RpcError) as failed:
            await channel.unary("Shop/Place", AS_JSON)
    assert failed.value.code is StatusCode.INTERNAL


async def test_a_call_without_a_channel_takes_a_codec_too() -> None:
    async with shop(lambda request: request) as channel:
        reply = await grpc.call(channel.target, "Shop/Place", AS_JSON, schema=SCHEMA, codec="json")
    assert reply == AS_JSON


@pytest.mark.parametrize("codec", ["text", "proto", 5, ["dict"], True])
async def test_a_codec_that_is_none_is_refused_at_once(codec: Any) -> None:
    for make in (
        lambda: grpc.Channel("localhost:1", codec=codec),
        lambda: grpc.connect("localhost:1", codec=codec),
        lambda: grpc.Server(codec=codec),
    ):
        with pytest.raises(
            UsageError, match=r"codec= is \"dict\", \"json\", \"raw\" or a wirelane.codec.DictFormat"
        ):
            make()
