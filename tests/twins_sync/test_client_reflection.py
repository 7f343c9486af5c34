"""Schemas asked of the server: grpcio's reflection (v1alpha), our own (v1), and servers with odd habits.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import reflection

from support.client_support import PROTO, SERVICE
from support.reflection_support import CHAIN, WHERE, Answer, Habits, Question, answering, files_of, reflecting
from support.twins_sync_support import elsewhere, gather, start, there
from twins_sync.grpc_support import grpcio_server
from wirelane.sync import LimitExceeded, Limits, PeerError, RpcError, SchemaError, StatusCode, grpc


def test_the_reflection_of_grpcio_is_understood_although_it_is_v1alpha_only() -> None:
    pool = descriptor_pool.DescriptorPool()
    for data in files_of(PROTO).values():
        pool.Add(descriptor_pb2.FileDescriptorProto.FromString(data))

    class Adapter:
        def add_generic_rpc_handlers(self, handlers):
            self.handlers = handlers

        def add_registered_method_handlers(self, *args):
            pass

    adapter = Adapter()
    reflection.enable_server_reflection([SERVICE, reflection.SERVICE_NAME], adapter, pool=pool)
    with (
        grpcio_server(handlers=tuple(adapter.handlers)) as port,
        grpc.connect(f"127.0.0.1:{port}", schema="reflection") as channel,
    ):
        assert SERVICE in channel.schema.services()
        assert (channel.unary("Calls/One", {"n": 5}))["n"] == 5


def test_our_own_servers_reflection_is_understood() -> None:
    server = grpc.Server(schema=PROTO)

    @server.method("Calls/One")
    def one(request, context):
        return request

    with server.listen("127.0.0.1:0") as at:
        schema = grpc.reflect(f"127.0.0.1:{at.port}")
        assert SERVICE in schema.services()
        assert (grpc.reflect(f"127.0.0.1:{at.port}", timeout=10)).files() == schema.files()
        reply = grpc.call(f"127.0.0.1:{at.port}", "Calls/One", {"text": "x"}, schema="reflection")
        assert reply["text"] == "x"


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
@pytest.mark.parametrize("per_stream", [10**6, 1])
def test_only_what_is_needed_is_asked_whatever_the_version_and_however_long_streams_live(
    version: str, per_stream: int
) -> None:
    habits = Habits(answering(files_of(CHAIN), WHERE), version=version, per_stream=per_stream)
    with elsewhere(reflecting, habits) as port:
        schema = grpc.reflect(f"127.0.0.1:{port}")
    assert schema.services() == ["p.A", "p.A2"]
    assert schema.template("p.B") == {"c": {"text": ""}}
    assert habits.questions == [
        {"list_services": "*"},
        {"file_containing_symbol": "p.A"},
        {"file_by_filename": "b.proto"},
        {"file_by_filename": "c.proto"},
    ], "both services are in one file, and timestamp.proto is known"
    assert habits.streams == (1 if per_stream > 1 else 4)


def test_the_schema_is_asked_for_once_for_all_calls_of_a_channel() -> None:
    habits = Habits(answering(files_of(PROTO), {SERVICE: next(iter(files_of(PROTO)))}))
    with (
        elsewhere(reflecting, habits) as port,
        grpc.Channel(f"127.0.0.1:{port}", schema="reflection") as channel,
    ):
        gather(*(start(channel.unary, "Calls/One", {}) for _ in range(5)))
        channel.connect()
        assert habits.streams == 1


def test_reflection_has_metadata_of_its_own() -> None:
    habits = Habits(answering(files_of(CHAIN), WHERE))
    options = grpc.ChannelOptions(reflection_metadata=(("x-reflect", "yes"),))
    with elsewhere(reflecting, habits) as port:
        grpc.reflect(f"127.0.0.1:{port}", metadata={"x-all": "too"}, options=options)
    assert habits.metadata.items() >= {"x-reflect": "yes", "x-all": "too"}.items()


def test_a_server_without_reflection_is_unimplemented() -> None:
    with grpcio_server() as port:
        with pytest.raises(RpcError) as raised:
            grpc.reflect(f"127.0.0.1:{port}")
        assert raised.value.code is StatusCode.UNIMPLEMENTED


def test_a_service_that_is_not_described_is_left_out_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    habits = Habits(answering(files_of(CHAIN), {**WHERE, "p.Ghost": "ghost.proto"}))
    with elsewhere(reflecting, habits) as port:
        with caplog.at_level(logging.WARNING, "wirelane.grpc"):
            schema = grpc.reflect(f"127.0.0.1:{port}")
    assert schema.services() == ["p.A", "p.A2"]
    assert "p.Ghost" in caplog.text


def test_a_file_under_another_name_than_it_is_imported_by_is_found() -> None:
    files = files_of(CHAIN)
    renamed = descriptor_pb2.FileDescriptorProto.FromString(files.pop("c.proto"))
    renamed.name = "elsewhere/c.proto"
    answer = answering(files, WHERE)

    def with_alias(question: Question) -> dict[str, Any]:
        if question.get("file_by_filename") == "c.proto":
            return {"file_descriptor_response": {"file_descriptor_proto": [renamed.SerializeToString()]}}
        return answer(question) or {}

    with elsewhere(reflecting, Habits(with_alias)) as port:
        assert (grpc.reflect(f"127.0.0.1:{port}")).template("p.B") == {"c": {"text": ""}}


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (answering({}, WHERE), SchemaError, "none of its services"),
        (answering({}, {}), SchemaError, "no services"),
        (answering({"a.proto": files_of(CHAIN)["a.proto"]}, WHERE), SchemaError, r"b\.proto"),
        (lambda _: None, PeerError, "without an answer"),
        (lambda _: {"file_descriptor_response": {}}, PeerError, "answered"),
        (lambda _: {"error_response": {"error_code": 7, "error_message": "not you"}}, RpcError, "not you"),
        (
            lambda question: (
                {"list_services_response": {"service": [{"name": "p.A"}]}}
                if "list_services" in question
                else {"file_descriptor_response": {"file_descriptor_proto": [b"\xff\xff"]}}
            ),
            PeerError,
            "does not decode",
        ),
    ],
)
def test_answers_that_make_no_schema_are_errors_that_say_why(
    answer: Answer, error: type[Exception], words: str
) -> None:
    with elsewhere(reflecting, Habits(answer)) as port:
        with pytest.raises(error, match=words):
            grpc.reflect(f"127.0.0.1:{port}")


def test_a_server_cannot_send_more_than_the_limits() -> None:
    with elsewhere(reflecting, Habits(answering(files_of(CHAIN), WHERE))) as port:
        with pytest.raises(LimitExceeded, match="max_schema_files"):
            grpc.reflect(f"127.0.0.1:{port}", limits=Limits(max_schema_files=2))


def test_a_server_that_stops_answering_is_left_in_time() -> None:
    @there
    class Mute(Habits):
        async def info(self, requests, context):
            await asyncio.Event().wait()
            yield {}

    with elsewhere(reflecting, Mute(lambda _: None)) as port:
        with pytest.raises(TimeoutError):
            grpc.reflect(f"127.0.0.1:{port}", limits=Limits(schema_timeout=0.05))
