"""grpc.health.v1 as grpcio's health checking client sees it.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

import grpc as grpcio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.server_support import DEMO_SERVICE
from support.twins_sync_support import Event, start, until
from twins_sync.server_support import demo_server, grpcio_client, listening
from wirelane.sync import UsageError, grpc

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def demo_with_one(**options):
    server = demo_server(**options)

    @server.method("Demo/One")
    def one(request):
        return {}

    return server


def asking(service=""):
    return health_pb2.HealthCheckRequest(service=service)


def test_check_knows_the_server_and_each_service_with_a_handler():
    with listening(demo_with_one()) as at, grpcio_client(at) as client:
        stub = client.stub(health_pb2_grpc.HealthStub)
        for service in ("", DEMO_SERVICE):
            assert (stub.call("Check", asking(service)).reply()).status == SERVING


def test_check_of_an_unknown_service_is_not_found():
    with listening(demo_with_one()) as at, grpcio_client(at) as client:
        error = client.stub(health_pb2_grpc.HealthStub).call("Check", asking("no.such.Service")).error()
    assert error.code() is grpcio.StatusCode.NOT_FOUND


def test_watch_sends_the_status_now_and_each_change():
    server = demo_with_one()
    with listening(server) as at, grpcio_client(at) as client:
        call = client.stub(health_pb2_grpc.HealthStub).call("Watch", asking("db"))
        assert (call.read()).status == SERVICE_UNKNOWN
        server.health.set("db", "SERVING")
        assert (call.read()).status == SERVING
        server.health.set("db", "SERVING")  # no change, no message
        server.health.set("db", False)
        assert (call.read()).status == NOT_SERVING
        server.health.clear("db")
        assert (call.read()).status == SERVICE_UNKNOWN
        call.cancel()
        until(lambda: server.calls == 0)


def test_several_watchers_see_the_same_change():
    server = demo_with_one()
    with listening(server) as at, grpcio_client(at) as client:
        stub = client.stub(health_pb2_grpc.HealthStub)
        calls = [stub.call("Watch", asking()) for _ in range(3)]
        assert [(call.read()).status for call in calls] == [SERVING] * 3
        server.health.set("", "NOT_SERVING")
        assert [(call.read()).status for call in calls] == [NOT_SERVING] * 3
        for call in calls:
            call.cancel()
        until(lambda: server.calls == 0)


def test_list_answers_every_service():
    server = demo_with_one()
    server.health.set("db", "NOT_SERVING")
    with listening(server) as at, grpcio_client(at) as client:
        reply = client.stub(health_pb2_grpc.HealthStub).call("List", health_pb2.HealthListRequest()).reply()
    assert {name: status.status for name, status in reply.statuses.items()} == {
        "": SERVING,
        DEMO_SERVICE: SERVING,
        "db": NOT_SERVING,
    }


def test_drain_turns_everything_to_not_serving_and_does_not_wait_for_watchers():
    release = Event()
    server = demo_server()

    @server.method("Demo/One")
    def one(request):
        release.wait()
        return {}

    with listening(server) as at, grpcio_client(at) as client:
        watch = client.stub(health_pb2_grpc.HealthStub).call("Watch", asking())
        assert (watch.read()).status == SERVING
        call = client.unary_unary("One", {})
        until(lambda: server.calls == 2)
        drain = start(server.drain, 3600)
        assert (watch.read()).status == NOT_SERVING
        assert server.state.name == "DRAINING"
        release.set()
        call.reply()
        drain.result()  # although nobody ended the watch
        assert (watch.error()).code() is grpcio.StatusCode.UNAVAILABLE


def test_server_that_listens_again_is_serving_again():
    server = demo_with_one()
    with listening(server):
        pass
    with listening(server) as at, grpcio_client(at) as client:
        assert (client.stub(health_pb2_grpc.HealthStub).call("Check", asking()).reply()).status == SERVING


def test_server_without_health_answers_unimplemented():
    server = grpc.Server(health=False)
    with pytest.raises(UsageError, match="health"):
        _ = server.health
    with listening(server) as at, grpcio_client(at) as client:
        error = client.stub(health_pb2_grpc.HealthStub).call("Check", asking()).error()
    assert error.code() is grpcio.StatusCode.UNIMPLEMENTED
