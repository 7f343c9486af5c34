"""grpc.health.v1 as grpcio's health checking client sees it: written once, run with asyncio and without."""

from __future__ import annotations

import grpc as grpcio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.server_support import DEMO_SERVICE
from support.twins_support import Event, start, until
from twins.server_support import demo_server, grpcio_client, listening
from wirelane import UsageError, grpc

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def demo_with_one(**options):
    server = demo_server(**options)

    @server.method("Demo/One")
    async def one(request):
        return {}

    return server


def asking(service=""):
    return health_pb2.HealthCheckRequest(service=service)


async def test_check_knows_the_server_and_each_service_with_a_handler():
    async with listening(demo_with_one()) as at, grpcio_client(at) as client:
        stub = client.stub(health_pb2_grpc.HealthStub)
        for service in ("", DEMO_SERVICE):
            assert (await stub.call("Check", asking(service)).reply()).status == SERVING


async def test_check_of_an_unknown_service_is_not_found():
    async with listening(demo_with_one()) as at, grpcio_client(at) as client:
        error = await client.stub(health_pb2_grpc.HealthStub).call("Check", asking("no.such.Service")).error()
    assert error.code() is grpcio.StatusCode.NOT_FOUND


async def test_watch_sends_the_status_now_and_each_change():
    server = demo_with_one()
    async with listening(server) as at, grpcio_client(at) as client:
        call = client.stub(health_pb2_grpc.HealthStub).call("Watch", asking("db"))
        assert (await call.read()).status == SERVICE_UNKNOWN
        server.health.set("db", "SERVING")
        assert (await call.read()).status == SERVING
        server.health.set("db", "SERVING")  # no change, no message
        server.health.set("db", False)
        assert (await call.read()).status == NOT_SERVING
        server.health.clear("db")
        assert (await call.read()).status == SERVICE_UNKNOWN
        call.cancel()
        await until(lambda: server.calls == 0)


async def test_several_watchers_see_the_same_change():
    server = demo_with_one()
    async with listening(server) as at, grpcio_client(at) as client:
        stub = client.stub(health_pb2_grpc.HealthStub)
        calls = [stub.call("Watch", asking()) for _ in range(3)]
        assert [(await call.read()).status for call in calls] == [SERVING] * 3
        server.health.set("", "NOT_SERVING")
        assert [(await call.read()).status for call in calls] == [NOT_SERVING] * 3
        for call in calls:
            call.cancel()
        await until(lambda: server.calls == 0)


async def test_list_answers_every_service():
    server = demo_with_one()
    server.health.set("db", "NOT_SERVING")
    async with listening(server) as at, grpcio_client(at) as client:
        reply = (
            await client.stub(health_pb2_grpc.HealthStub).call("List", health_pb2.HealthListRequest()).reply()
        )
    assert {name: status.status for name, status in reply.statuses.items()} == {
        "": SERVING,
        DEMO_SERVICE: SERVING,
        "db": NOT_SERVING,
    }


async def test_drain_turns_everything_to_not_serving_and_does_not_wait_for_watchers():
    release = Event()
    server = demo_server()

    @server.method("Demo/One")
    async def one(request):
        await release.wait()
        return {}

    async with listening(server) as at, grpcio_client(at) as client:
        watch = client.stub(health_pb2_grpc.HealthStub).call("Watch", asking())
        assert (await watch.read()).status == SERVING
        call = client.unary_unary("One", {})
        await until(lambda: server.calls == 2)
        drain = start(server.drain, 3600)
        assert (await watch.read()).status == NOT_SERVING
        assert server.state.name == "DRAINING"
        release.set()
        await call.reply()
        await drain.result()  # although nobody ended the watch
        assert (await watch.error()).code() is grpcio.StatusCode.UNAVAILABLE


async def test_server_that_listens_again_is_serving_again():
    server = demo_with_one()
    async with listening(server):
        pass
    async with listening(server) as at, grpcio_client(at) as client:
        assert (
            await client.stub(health_pb2_grpc.HealthStub).call("Check", asking()).reply()
        ).status == SERVING


async def test_server_without_health_answers_unimplemented():
    server = grpc.Server(health=False)
    with pytest.raises(UsageError, match="health"):
        _ = server.health
    async with listening(server) as at, grpcio_client(at) as client:
        error = await client.stub(health_pb2_grpc.HealthStub).call("Check", asking()).error()
    assert error.code() is grpcio.StatusCode.UNIMPLEMENTED
