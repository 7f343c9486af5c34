"""Reflection of a service that betterproto2 generated, whose methods are coroutines; all else is in tests/twins."""

from __future__ import annotations

import asyncio

import grpc as grpcio
from google.protobuf import descriptor_pool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from support.server_support import ASK, DEMO_SERVICE, generate_demo, listening
from wirelane import grpc
from wirelane.grpc.server import Server


async def in_thread(at, ask):
    """Run `ask(database)` with grpcio's reflection database, which blocks."""

    def work():
        with grpcio.insecure_channel(f"127.0.0.1:{at.port}") as channel:
            return ask(ProtoReflectionDescriptorDatabase(channel))

    return await asyncio.to_thread(work)


async def test_service_of_betterproto2_classes_is_described_and_can_be_called_with_dicts(tmp_path_factory):
    generated = generate_demo(tmp_path_factory.mktemp("reflection"))
    better = generated.betterproto2

    class Demo(better.DemoBase):
        async def one(self, message):
            return better.Answer(n=message.n + 1, text=message.text)

    def ask(database):
        pool = descriptor_pool.DescriptorPool(database)
        service = pool.FindServiceByName(DEMO_SERVICE)
        return {
            method.name: (method.input_type.full_name, method.client_streaming, method.server_streaming)
            for method in service.methods
        }

    async with listening(Server([Demo()])) as at:
        assert await in_thread(at, ask) == {
            "One": (ASK, False, False),
            "Down": (ASK, False, True),
            "Up": (ASK, True, False),
            "Both": (ASK, True, True),
            "Empty": (ASK, False, False),
        }
        reply = await grpc.call(
            f"127.0.0.1:{at.port}", "Demo/One", {"n": 4, "text": "x"}, schema="reflection"
        )
    assert reply == {"n": 5, "text": "x", "data": b""}
