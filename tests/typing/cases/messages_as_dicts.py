"""The types of stubs and bases without classes for messages."""

from __future__ import annotations

from typing import Any, assert_type

from none_calls.tests.calls import CallsBase, CallsStub

from wirelane import grpc


async def stub(channel: grpc.Channel) -> None:
    calls = CallsStub(channel)
    assert_type(await calls.one({"n": 1}, timeout=1.0), dict[str, Any])
    async with calls.both([{"n": 1}]) as both:
        assert_type(await both.receive(), dict[str, Any] | None)
    calls.one(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class Service(CallsBase):
    async def one(self, request: dict[str, Any], context: grpc.Context) -> dict[str, Any]:
        return {"n": request["n"] + 1}
