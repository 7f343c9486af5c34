"""The command against Google's server: reflection, TLS, error details."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status

from support.cli_support import wirelane

HEALTH = "grpc.health.v1.Health"
PROTO = Path(__file__).resolve().parents[2] / "protos" / "grpc" / "health" / "v1" / "health.proto"


class Failing(health_pb2_grpc.HealthServicer):
    """Answers Check with a rich error for one name, and Watch with two messages."""

    def Check(self, request, context):  # noqa: N802
        if request.service == "broken":
            detail = any_pb2.Any()
            detail.Pack(error_details_pb2.ErrorInfo(reason="BROKEN", domain="tests"))
            context.abort_with_status(
                rpc_status.to_status(status_pb2.Status(code=9, message="not now", details=[detail]))
            )
        context.set_trailing_metadata((("x-trailer", "1"), ("x-raw-bin", b"\x00\x01")))
        return health_pb2.HealthCheckResponse(status=1)

    def Watch(self, request, context):  # noqa: N802
        yield health_pb2.HealthCheckResponse(status=1)
        yield health_pb2.HealthCheckResponse(status=2)


def _server(*, reflect: bool, credentials: grpc.ServerCredentials | None = None) -> Iterator[str]:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    health_pb2_grpc.add_HealthServicer_to_server(Failing(), server)
    if reflect:
        reflection.enable_server_reflection((health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("localhost:0", credentials)
    server.start()
    yield f"{'127.0.0.1' if credentials is None else 'localhost'}:{port}"
    server.stop(None).wait()


@pytest.fixture(scope="module")
def reflecting():
    yield from _server(reflect=True)


@pytest.fixture(scope="module")
def silent():
    yield from _server(reflect=False)


@pytest.fixture(scope="module")
def secure(ca):
    pair = (ca.server_key.read_bytes(), ca.server_cert.read_bytes())
    yield from _server(reflect=True, credentials=grpc.ssl_server_credentials([pair]))


def test_list_and_describe_by_reflection(reflecting: str) -> None:
    assert HEALTH in wirelane("list", reflecting).out.splitlines()
    assert f"{HEALTH}/Check" in wirelane("list", reflecting, HEALTH).out.splitlines()
    assert (
        "rpc Watch(HealthCheckRequest) returns (stream HealthCheckResponse);"
        in wirelane("describe", reflecting, HEALTH).out
    )


def test_calls_by_reflection(reflecting: str) -> None:
    done = wirelane(
        "call", reflecting, f"{HEALTH}/Check", "-d", '{"service": "x"}', "--envelope", "--compact"
    )
    assert done.code == 0, done.err
    envelope = json.loads(done.out)
    assert envelope["messages"] == [{"status": "SERVING"}]
    assert envelope["trailers"] == {"x-trailer": ["1"], "x-raw-bin": ["AAE="]}
    stream = wirelane("call", reflecting, f"{HEALTH}/Watch", "--compact")
    assert stream.out == '{"status":"SERVING"}\n{"status":"NOT_SERVING"}\n'


def test_error_details(reflecting: str) -> None:
    done = wirelane("call", reflecting, f"{HEALTH}/Check", "-d", '{"service": "broken"}')
    assert (done.code, done.out) == (73, "")
    first, _, rest = done.err.partition("\n")
    assert first == "ERROR FAILED_PRECONDITION (9): not now"
    assert json.loads(rest) == {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "BROKEN",
        "domain": "tests",
    }


def test_a_server_without_reflection_is_called_with_proto_files(silent: str) -> None:
    wirelane("list", silent).failed(1, "--proto")
    wirelane("call", silent, f"{HEALTH}/Check").failed(1, "--proto")
    done = wirelane("call", silent, f"{HEALTH}/Check", "--proto", str(PROTO), "--compact")
    assert (done.code, done.out) == (0, '{"status":"SERVING"}\n')


def test_a_method_that_only_the_files_know_is_the_servers_to_refuse(silent: str) -> None:
    done = wirelane("call", silent, f"{HEALTH}/List", "--proto", str(PROTO))
    assert done.code == 64 + 12
    assert done.err.startswith("ERROR UNIMPLEMENTED (12): ")


def test_a_status_of_reflection_is_told_as_such() -> None:
    class Guard(grpc.ServerInterceptor):
        def intercept_service(self, continuation, details):
            if ("authorization", "Bearer x") in details.invocation_metadata:
                return continuation(details)

            def deny(requests, context):
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")

            return grpc.stream_stream_rpc_method_handler(deny)

    server = grpc.server(futures.ThreadPoolExecutor(2), interceptors=[Guard()])
    reflection.enable_server_reflection((reflection.SERVICE_NAME,), server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        done = wirelane("list", address)
        assert (done.code, done.out) == (64 + 16, "")
        assert done.err == "ERROR UNAUTHENTICATED (16): server reflection failed: who are you?\n"
        assert wirelane("list", address, "-H", "authorization: Bearer x").code == 0
        assert wirelane("list", address, "--reflect-header", "authorization: Bearer x").code == 0
        assert wirelane("list", address, "--rpc-header", "authorization: Bearer x").code == 64 + 16
    finally:
        server.stop(None).wait()


def test_tls(secure: str, ca) -> None:
    assert wirelane("call", secure, f"{HEALTH}/Check", "--cacert", str(ca.ca)).code == 0
    wirelane("call", secure, f"{HEALTH}/Check", "--tls").failed(1, "--cacert")


def test_plaintext_to_tls(secure: str) -> None:
    wirelane("call", secure, f"{HEALTH}/Check").failed(1, "--tls")


def test_tls_to_plaintext(reflecting: str) -> None:
    wirelane("call", reflecting, f"{HEALTH}/Check", "--tls").failed(1, "--plaintext")
