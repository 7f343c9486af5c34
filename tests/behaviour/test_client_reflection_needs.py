"""Reflection asked by tasks that are cancelled, and by the command. All else of it is in tests/twins."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from support.cli_support import wirelane
from support.client_support import PROTO, SERVICE
from support.reflection_support import (
    TWO,
    TWO_WHERE,
    Habits,
    answering,
    files_of,
    reflecting,
)
from wirelane import grpc
from wirelane.codec import Schema

NOTES = {SERVICE: next(iter(files_of(PROTO)))}


async def test_who_gives_up_asking_leaves_the_others_what_they_need() -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Habits):
        async def info(self, requests: Any, context: Any) -> AsyncIterator[dict[str, Any]]:
            asked.set()
            await go_on.wait()
            async for reply in super().info(requests, context):
                yield reply

    async with (
        reflecting(Slow(answering(files_of(PROTO), NOTES))) as port,
        grpc.Channel(f"127.0.0.1:{port}", schema="reflection") as channel,
    ):
        first = asyncio.ensure_future(channel.unary(f"{SERVICE}/One", {"n": 1}))
        await asked.wait()
        second = asyncio.ensure_future(channel.unary(f"{SERVICE}/One", {"n": 2}))
        first.cancel()
        go_on.set()
        assert (await second)["n"] == 2
        with pytest.raises(asyncio.CancelledError):
            await first


FAILING = {
    "front.proto": 'syntax = "proto3"; package f; message M {} service Front { rpc Fail(M) returns (M); }',
    "trouble.proto": 'syntax = "proto3"; package f; import "google/protobuf/timestamp.proto"; message Trouble {'
    " string what = 1; google.protobuf.Timestamp since = 2; } service Other { rpc R(Trouble) returns (Trouble); }",
}
TROUBLE = {
    "@type": "type.googleapis.com/f.Trouble",
    "what": "broken",
    "since": "2020-01-01T00:00:00Z",
}


@pytest.mark.parametrize("envelope", [False, True])
async def test_the_command_asks_for_the_types_of_error_details_that_no_service_needs(envelope: bool) -> None:
    server = grpc.Server(schema=FAILING)

    @server.method("Front/Fail")
    async def fail(request: Any, context: Any) -> None:
        kind = Schema.load(FAILING).message_class("f.Trouble")
        unknown = {"@type": "f.Unknown", "value": b"\x00"}
        context.abort("ABORTED", "no", details=[kind(what="broken", since={"seconds": 1577836800}), unknown])

    async with server.listen("127.0.0.1:0") as at:
        arguments = ["call", f"127.0.0.1:{at.port}", "f.Front/Fail", *(["--envelope"] if envelope else [])]
        done = await asyncio.to_thread(wirelane, *arguments)
    assert done.code == 64 + 10
    shown = done.err.partition("\n")[2]
    known, _, rest = shown.partition("\n}\n")
    assert json.loads(known + "}") == TROUBLE
    assert json.loads(rest) == {"@type": "type.googleapis.com/f.Unknown", "value": "AA=="}
    if envelope:
        assert json.loads(done.out)["status"]["details"][0] == TROUBLE


@pytest.mark.parametrize("words", [("call", "p.One/Do"), ("describe", "p.One"), ("list", "p.One")])
async def test_the_command_asks_for_what_it_shows(words: tuple[str, str]) -> None:
    habits = Habits(answering(files_of(TWO), TWO_WHERE))
    async with reflecting(habits) as port:
        done = await asyncio.to_thread(wirelane, words[0], f"127.0.0.1:{port}", words[1])
    assert habits.questions == [{"file_containing_symbol": "p.One"}, {"file_by_filename": "base.proto"}]
    assert done.code == (64 + 12 if words[0] == "call" else 0)


async def test_loading_a_schema_is_to_ask_a_server_for_it() -> None:
    """The name that the function had at first."""
    server = grpc.Server(schema=PROTO)
    async with server.listen("127.0.0.1:0") as at:
        schema = await grpc.reflect(f"127.0.0.1:{at.port}")
        assert (await grpc.load_schema(f"127.0.0.1:{at.port}", timeout=10)).files() == schema.files()
