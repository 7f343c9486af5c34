"""What is awaited when a call is: a call as an object, as a task, and awaited again. All else of calls is in tests/twins."""

from __future__ import annotations

import asyncio

import pytest

from support.client_support import SERVICE, Notes, notes_channel
from wirelane import RpcError, StatusCode, UsageError


async def test_a_call_tells_its_metadata_and_status() -> None:
    async with notes_channel() as channel:
        call = channel.unary("Calls/One", {"n": 1})
        assert (call.status, call.trailing_metadata) == (None, None)
        assert (await call.initial_metadata()).get_all("first") == ["1", "2"]
        assert (await call)["n"] == 1
        assert (await call.initial_metadata()).get_all("first") == ["1", "2"]
        assert call.trailing_metadata is not None
        assert call.trailing_metadata["last"] == "z"
        assert (call.status, call.message, call.details, call.attempts) == (StatusCode.OK, "", (), 1)
        assert call.method == f"{SERVICE}/One"
        assert "OK" in repr(call)
        assert (await call)["n"] == 1, "awaited again, it gives the same"


async def test_a_failed_call_raises_its_error_again() -> None:
    async with notes_channel() as channel:
        call = channel.unary("Calls/One", {"text": "fail"})
        for _ in range(2):
            with pytest.raises(RpcError, match="it failed"):
                await call


async def test_details_of_an_error_are_decoded() -> None:
    import grpc as grpcio
    from google.rpc import error_details_pb2, status_pb2
    from grpc_status import rpc_status

    class Detailed(Notes):
        async def one(self, request, context):
            status = status_pb2.Status(code=5, message="no such user")
            status.details.add().Pack(error_details_pb2.ErrorInfo(reason="GONE", domain="users"))
            await context.abort_with_status(rpc_status.to_status(status))

    assert grpcio.__version__
    async with notes_channel(Detailed()) as channel:
        call = channel.unary("Calls/One")
        with pytest.raises(RpcError) as raised:
            await call
        (detail,) = raised.value.details
        assert detail["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
        assert (detail["reason"], detail["domain"]) == ("GONE", "users")
        assert call.details == raised.value.details


async def test_a_call_can_be_a_task() -> None:
    async with notes_channel() as channel:
        async with asyncio.TaskGroup() as group:
            one = group.create_task(channel.unary("Calls/One", {"n": 1}))
            up = group.create_task(channel.client_stream("Calls/Up", [{}]))
        assert (one.result()["n"], up.result()["n"]) == (1, 1)
        assert (await asyncio.wait_for(channel.unary("Calls/One", {"n": 2}), 10))["n"] == 2


async def test_a_client_stream_used_the_wrong_way_round_says_how() -> None:
    async with notes_channel() as channel:
        with pytest.raises(UsageError, match="give it the messages"):
            await channel.client_stream("Calls/Up")  # type: ignore[misc]
        with pytest.raises(UsageError, match="await channel.client_stream"):
            async with channel.client_stream("Calls/Up", [{}]):
                pass
        with pytest.raises(UsageError, match="iterable"):
            channel.client_stream("Calls/Up", {"n": 1})
