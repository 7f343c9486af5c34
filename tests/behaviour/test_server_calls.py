"""Handlers that end in ways which only tasks have; all else of calls to a server is in tests/twins."""

from __future__ import annotations

import asyncio

import grpc as grpcio
import pytest

from support.server_support import demo_server, grpcio_client, listening
from wirelane.status import StatusCode


async def code_of(call):
    """Return the name of the status of a call that must fail, and the text."""
    with pytest.raises(grpcio.aio.AioRpcError) as caught:
        await call
    return caught.value.code().name, caught.value.details()


def answering(one):
    """Return a server with this handler for One."""
    server = demo_server()
    server.method("Demo/One")(one)
    return server


async def test_abort_may_be_awaited():
    async def one(request, context):
        await context.abort(StatusCode.FAILED_PRECONDITION, "awaited")

    async with listening(answering(one)) as at, grpcio_client(at) as client:
        assert await code_of(client.unary_unary("One")({})) == ("FAILED_PRECONDITION", "awaited")


async def test_timeout_of_a_block_in_a_handler_is_an_ordinary_exception(caplog):
    async def one(request):
        async with asyncio.timeout(0):
            await asyncio.Event().wait()

    async with listening(answering(one)) as at, grpcio_client(at) as client:
        assert (await code_of(client.unary_unary("One")({})))[0] == "UNKNOWN"
    assert len(caplog.records) == 1


async def test_handler_that_raises_cancelled_error_itself_is_unknown_and_logged(caplog):
    async def one(request):
        raise asyncio.CancelledError

    async with listening(answering(one)) as at, grpcio_client(at) as client:
        assert (await code_of(client.unary_unary("One")({})))[0] == "UNKNOWN"
    assert len(caplog.records) == 1
