"""Server reflection of others, as our client and command read it: grpcio, grpc.aio, grpclib and grpc-go."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from concurrent import futures
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import grpc as grpcio
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from support.cli_support import wirelane
from support.go_support import PEERS as PEER_PROGRAMS
from support.go_support import go_program
from wirelane import UsageError, grpc

HEALTH = "grpc.health.v1.Health"
# What grpc-go's health service says of the server as a whole; grpcio's says it of nothing until it is told.
SERVING = {"status": "SERVING"}


@asynccontextmanager
async def grpcio_sync() -> AsyncIterator[int]:
    server = grpcio.server(futures.ThreadPoolExecutor(4))
    health_pb2_grpc.add_HealthServicer_to_server(_serving(health.HealthServicer()), server)
    reflection.enable_server_reflection((health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        await asyncio.to_thread(server.stop(None).wait)


@asynccontextmanager
async def grpcio_aio() -> AsyncIterator[int]:
    server = grpcio.aio.server()
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    reflection.enable_server_reflection((health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


def _serving(servicer: Any) -> Any:
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    return servicer


def grpc_go(versions: str = "both") -> AbstractAsyncContextManager[int]:
    return program(go_program("reflecting"), versions)


def grpclib(versions: str = "both") -> AbstractAsyncContextManager[int]:
    return program(sys.executable, str(PEER_PROGRAMS / "reflecting_grpclib.py"), versions)


@asynccontextmanager
async def program(*command: str) -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield int(await process.stdout.readline())
    finally:
        await process.communicate(b"")


PEERS: dict[str, Callable[[], AbstractAsyncContextManager[int]]] = {
    "grpcio": grpcio_sync,
    "grpc.aio": grpcio_aio,
    "grpc-go": grpc_go,
    "grpc-go, v1": lambda: grpc_go("v1"),
    "grpc-go, v1alpha": lambda: grpc_go("v1alpha"),
    "grpclib": grpclib,
    "grpclib, v1": lambda: grpclib("v1"),
    "grpclib, v1alpha": lambda: grpclib("v1alpha"),
}


@pytest.mark.parametrize("peer", PEERS)
async def test_all_services_are_described_and_can_be_called(peer: str) -> None:
    async with PEERS[peer]() as port:
        async with grpc.connect(f"127.0.0.1:{port}", schema="reflection") as channel:
            assert HEALTH in channel.schema.services()
            assert (
                channel.schema.find_method("Health/Watch").output_type == "grpc.health.v1.HealthCheckResponse"
            )
            assert await channel.unary("Health/Check", {}) == SERVING


@pytest.mark.parametrize("peer", PEERS)
async def test_one_service_is_described_alone(peer: str) -> None:
    async with PEERS[peer]() as port:
        target = f"127.0.0.1:{port}"
        assert await grpc.call(target, f"{HEALTH}/Check", schema="reflection") == SERVING
        assert await grpc.call(target, "Health/Check", schema="reflection") == SERVING
        assert (await grpc.reflect(target, f"{HEALTH}/Check")).services() == [HEALTH]
        assert (await grpc.reflect(target, "grpc.health.v1.HealthCheckRequest")).services() == [HEALTH]
        with pytest.raises(UsageError, match=r'did you mean "grpc\.health\.v1\.Health"'):
            await grpc.reflect(target, "grpc.health.v1.Helth/Check")


async def test_the_command_asks_grpc_go() -> None:
    async with grpc_go() as port:
        target = f"127.0.0.1:{port}"
        listed = await asyncio.to_thread(wirelane, "list", target)
        assert {HEALTH, "grpc.testing.TestService"} <= set(listed.out.splitlines())
        done = await asyncio.to_thread(wirelane, "call", target, f"{HEALTH}/Check", "--compact")
        assert (done.code, done.out) == (0, '{"status":"SERVING"}\n')
        text = await asyncio.to_thread(
            wirelane, "describe", target, "grpc.testing.TestService/FullDuplexCall"
        )
        assert "rpc FullDuplexCall(stream StreamingOutputCallRequest)" in text.out
        assert "message StreamingOutputCallResponse {" in text.out
