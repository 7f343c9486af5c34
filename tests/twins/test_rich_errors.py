"""Error details, every type of google.rpc and messages of every library, against grpcio-status in both directions: written once, run with asyncio and without."""

from __future__ import annotations

import pickle
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import grpc as grpcio
import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2 as kinds
from google.rpc import status_pb2
from grpc_status import rpc_status

from support.server_support import ASK, DEMO, Generated, generate_demo
from support.sync_support import BlockingNotes
from twins.grpc_support import notes_channel
from twins.server_support import demo_server, grpcio_client, listening
from wirelane import RpcError, StatusCode, UsageError, grpc
from wirelane.codec import encode_status_details

TEN: list[tuple[Any, dict[str, Any]]] = [
    (
        kinds.ErrorInfo(reason="GONE", domain="users", metadata={"id": "5"}),
        {"reason": "GONE", "domain": "users", "metadata": {"id": "5"}},
    ),
    (kinds.RetryInfo(retry_delay={"seconds": 1, "nanos": 5000}), {"retry_delay": timedelta(1 / 86400, 0, 5)}),
    (kinds.DebugInfo(stack_entries=["a", "b"], detail="x"), {"stack_entries": ["a", "b"], "detail": "x"}),
    (
        kinds.QuotaFailure(violations=[{"subject": "you", "description": "too much", "quota_value": 7}]),
        {"violations": [{"subject": "you", "description": "too much", "quota_value": 7}]},
    ),
    (
        kinds.PreconditionFailure(violations=[{"type": "TOS", "subject": "s", "description": "d"}]),
        {"violations": [{"type": "TOS", "subject": "s", "description": "d"}]},
    ),
    (
        kinds.BadRequest(field_violations=[{"field": "name", "description": "is empty", "reason": "EMPTY"}]),
        {"field_violations": [{"field": "name", "description": "is empty", "reason": "EMPTY"}]},
    ),
    (kinds.RequestInfo(request_id="1", serving_data="z"), {"request_id": "1", "serving_data": "z"}),
    (
        kinds.ResourceInfo(resource_type="user", resource_name="u", owner="o", description="d"),
        {"resource_type": "user", "resource_name": "u", "owner": "o", "description": "d"},
    ),
    (
        kinds.Help(links=[{"description": "how", "url": "https://example.com"}]),
        {"links": [{"description": "how", "url": "https://example.com"}]},
    ),
    (kinds.LocalizedMessage(locale="de", message="nein"), {"locale": "de", "message": "nein"}),
]
NAMES = [message.DESCRIPTOR.full_name for message, _ in TEN]


def test_these_are_all_types_that_google_has_for_details() -> None:
    assert {f"google.rpc.{name}" for name in kinds.DESCRIPTOR.message_types_by_name} == set(NAMES)


async def failure_of(*details: object, code: object = StatusCode.NOT_FOUND, message: str = "no") -> Any:
    """Fail a call of our server with details; return what grpcio's client raises."""
    server = demo_server()

    @server.method("Demo/One")
    async def one(request, context):
        context.abort(code, message, details=details)

    async with listening(server) as at, grpcio_client(at) as client:
        return await client.unary_unary("One", {}).error()


@asynccontextmanager
async def failing(status: status_pb2.Status, code: grpcio.StatusCode) -> AsyncIterator[grpc.Channel]:
    """Connect to a grpcio server that fails every call, with whatever status in the details."""

    class Failing(BlockingNotes):
        def one(self, request, context):
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
            context.abort(code, status.message)

    async with notes_channel(Failing()) as channel:
        yield channel


async def error_from(
    status: status_pb2.Status, code: grpcio.StatusCode = grpcio.StatusCode.NOT_FOUND
) -> RpcError:
    async with failing(status, code) as channel:
        with pytest.raises(RpcError) as caught:
            await channel.unary("Calls/One")
    return caught.value


def status_of(*details: Any, code: int = 5, message: str = "no") -> status_pb2.Status:
    status = status_pb2.Status(code=code, message=message)
    for detail in details:
        status.details.add().Pack(detail)
    return status


@pytest.mark.parametrize("form", ["message", "dict"])
async def test_grpcio_reads_every_type_that_our_server_sends(form: str) -> None:
    given = [
        message if form == "message" else {"@type": message.DESCRIPTOR.full_name, **fields}
        for message, fields in TEN
    ]
    status = rpc_status.from_call(await failure_of(*given))
    assert status == status_of(*(message for message, _ in TEN))


async def test_our_client_reads_every_type_that_grpcio_sends() -> None:
    error = await error_from(status_of(*(message for message, _ in TEN)))
    for detail, (message, fields) in zip(error.details, TEN, strict=True):
        assert detail["@type"] == f"type.googleapis.com/{message.DESCRIPTOR.full_name}"
        assert detail.keys() >= fields.keys()
        assert encode_status_details(5, "no", [dict(detail)]) == status_of(message).SerializeToString()
        assert error.detail(type(message)) == message
        assert error.detail(message.DESCRIPTOR.full_name) is detail


async def test_a_detail_that_is_not_there_is_none() -> None:
    error = await error_from(status_of(kinds.Help()))
    assert error.detail(kinds.ErrorInfo) is None
    assert error.detail("google.rpc.ErrorInfo") is None
    with pytest.raises(UsageError, match="no message type"):
        error.detail(int)


async def test_details_stay_what_they_are_when_an_error_is_pickled() -> None:
    error = pickle.loads(pickle.dumps(await error_from(status_of(kinds.ErrorInfo(reason="A")))))
    assert error.detail(kinds.ErrorInfo) == kinds.ErrorInfo(reason="A")
    assert error.detail("google.rpc.ErrorInfo")["reason"] == "A"


def test_an_error_that_was_made_here_gives_the_messages_it_was_given() -> None:
    info = kinds.ErrorInfo(reason="A")
    error = RpcError("NOT_FOUND", "no", details=[{"@type": "google.rpc.Help"}, info])
    assert error.detail(kinds.ErrorInfo) is info
    assert error.detail("google.rpc.Help") == {"@type": "google.rpc.Help"}
    assert error.detail(kinds.RetryInfo) is None


@pytest.mark.parametrize("details", ["no such user", b"x", {"@type": "google.rpc.Help"}])
def test_details_that_are_not_several_are_a_mistake_that_is_told_at_once(details: Any) -> None:
    with pytest.raises(UsageError, match="message="):
        RpcError("NOT_FOUND", details=details)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Generated:
    return generate_demo(tmp_path_factory.mktemp("details"))


async def test_messages_of_betterproto2_are_details_in_both_directions(generated: Generated) -> None:
    ask = generated.betterproto2.Ask(n=5, text="x")
    expected = generated.pb2.Ask(n=5, text="x")
    status = rpc_status.from_call(await failure_of(ask))
    assert status == status_of(expected)
    error = await error_from(status)
    # The schema of that channel does not know the type.
    assert error.details == ({"@type": f"type.googleapis.com/{ASK}", "value": bytes(ask)},)
    assert error.detail(generated.betterproto2.Ask) == ask
    assert error.detail(generated.betterproto2.Answer) is None
    assert error.detail(generated.pb2.Ask) == expected
    assert pickle.loads(pickle.dumps(error)).detail(generated.pb2.Ask) == expected


async def test_messages_of_any_pool_are_details(generated: Generated) -> None:
    from wirelane.codec import Schema

    kind = Schema.load(DEMO).message_class(ASK)
    assert kind is not generated.pb2.Ask
    packed = AnyMessage(type_url=f"example.com/{ASK}", value=b"\x08\x05")
    status = rpc_status.from_call(await failure_of(kind(n=5), packed))
    assert [each.type_url for each in status.details] == [
        f"type.googleapis.com/{ASK}",
        f"example.com/{ASK}",
    ]
    error = await error_from(status)
    assert error.detail(kind) == kind(n=5)


async def test_details_are_passed_on_by_a_server_that_does_not_know_their_type(generated: Generated) -> None:
    error = await error_from(status_of(generated.pb2.Ask(n=5)))
    server = grpc.Server(schema='syntax = "proto3"; message M {} service Front { rpc One(M) returns (M); }')

    @server.method("Front/One")
    async def one(request):
        raise error

    async with server.listen("127.0.0.1:0") as at:
        with pytest.raises(RpcError) as caught:
            await grpc.call(f"127.0.0.1:{at.port}", "Front/One", schema="reflection")
    assert caught.value.detail(generated.pb2.Ask) == generated.pb2.Ask(n=5)


async def test_a_detail_that_wirelane_cannot_name_is_left_out_and_the_status_stays(caplog) -> None:
    error = await failure_of(object())
    assert (error.code(), error.details()) == (grpcio.StatusCode.NOT_FOUND, "no")
    assert rpc_status.from_call(error) is None
    assert "a detail is a dict" in caplog.text


async def test_details_of_another_status_than_that_of_the_call_are_not_shown() -> None:
    status = status_of(kinds.ErrorInfo(reason="A"), code=7)
    error = await error_from(status, grpcio.StatusCode.UNAVAILABLE)
    assert (error.code, error.details) == (StatusCode.UNAVAILABLE, ())
    assert error.metadata is not None


async def test_details_whose_status_names_no_code_or_another_message_are_shown() -> None:
    assert (await error_from(status_of(kinds.Help(), code=0))).detail(kinds.Help) == kinds.Help()

    class Talking(BlockingNotes):
        def one(self, request, context):
            blob = status_of(kinds.Help(), message="in other words").SerializeToString()
            context.set_trailing_metadata((("grpc-status-details-bin", blob),))
            context.abort(grpcio.StatusCode.NOT_FOUND, "no")

    async with notes_channel(Talking()) as channel:
        with pytest.raises(RpcError) as caught:
            await channel.unary("Calls/One")
    assert (caught.value.message, caught.value.detail(kinds.Help)) == ("no", kinds.Help())


async def test_details_that_the_client_would_not_take_do_not_cost_the_status(caplog) -> None:
    # grpcio takes 16 KiB of trailers, and fails the call with RESOURCE_EXHAUSTED for more.
    large = kinds.DebugInfo(detail="x" * 20_000)
    error = await failure_of(large)
    assert (error.code(), error.details()) == (grpcio.StatusCode.NOT_FOUND, "no")
    assert rpc_status.from_call(error) is None
    assert "16384" in caplog.text
    small = kinds.DebugInfo(detail="x" * 5_000)
    assert rpc_status.from_call(await failure_of(small)) == status_of(small)


async def test_details_are_files_too() -> None:
    file = descriptor_pb2.FileDescriptorProto(name="x.proto")
    error = await error_from(rpc_status.from_call(await failure_of(file)))
    assert error.detail(descriptor_pb2.FileDescriptorProto) == file
