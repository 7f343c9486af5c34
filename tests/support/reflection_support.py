"""Reflection servers whose answers the test decides."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc as grpcio

from support.client_support import grpcio_server
from wirelane import protos
from wirelane.codec import Schema

Question = dict[str, Any]
Answer = Callable[[Question], dict[str, Any] | None]


class Habits:
    """A reflection server for grpcio whose answers the test decides."""

    def __init__(self, answer: Answer, *, version: str = "v1", per_stream: int = 10**6) -> None:
        self.version = version
        self.questions: list[Question] = []
        self.metadata: dict[str, Any] = {}
        self.streams = 0
        self._answer = answer
        self._per_stream = per_stream
        schema = Schema.from_set(protos.descriptor_set("reflection"))
        self._request = schema.codec(f"grpc.reflection.{version}.ServerReflectionRequest")
        self._response = schema.codec(f"grpc.reflection.{version}.ServerReflectionResponse")

    async def info(self, requests: AsyncIterator[Question], context: Any) -> AsyncIterator[dict[str, Any]]:
        self.streams += 1
        self.metadata = dict(context.invocation_metadata())
        count = 0
        async for request in requests:
            question = {key: value for key, value in request.items() if key != "host" and value}
            self.questions.append(question)
            answer = self._answer(question)
            if answer is None:
                return
            yield answer
            count += 1
            if count == self._per_stream:
                return

    def handlers(self) -> tuple[Any, ...]:
        method = grpcio.stream_stream_rpc_method_handler(
            self.info, self._request.decode, self._response.encode
        )
        service = f"grpc.reflection.{self.version}.ServerReflection"
        return (grpcio.method_handlers_generic_handler(service, {"ServerReflectionInfo": method}),)


def files_of(text: str | dict[str, str]) -> dict[str, bytes]:
    schema = Schema.load(text)
    return {name: schema.file_bytes(name) for name in schema.files()}


def answering(files: dict[str, bytes], services: dict[str, str]) -> Answer:
    """Answer as a server that sends single files; `services` says where each is."""

    def answer(question: Question) -> dict[str, Any]:
        if "list_services" in question:
            return {"list_services_response": {"service": [{"name": name} for name in services]}}
        name = question.get("file_by_filename") or services.get(
            question.get("file_containing_symbol", ""), ""
        )
        if name in files:
            return {"file_descriptor_response": {"file_descriptor_proto": [files[name]]}}
        return {"error_response": {"error_code": 5, "error_message": f"no {name}"}}

    return answer


@asynccontextmanager
async def reflecting(habits: Habits) -> AsyncIterator[int]:
    async with grpcio_server(handlers=habits.handlers()) as port:
        yield port


CHAIN = {
    "a.proto": 'syntax = "proto3"; package p; import "b.proto"; import "google/protobuf/timestamp.proto";'
    "service A { rpc One(B) returns (B); } service A2 { rpc Two(B) returns (google.protobuf.Timestamp); }",
    "b.proto": 'syntax = "proto3"; package p; import "c.proto"; message B { C c = 1; }',
    "c.proto": 'syntax = "proto3"; package p; message C { string text = 1; }',
}
WHERE = {"p.A": "a.proto", "p.A2": "a.proto"}

TWO = {
    "one.proto": 'syntax = "proto3"; package p; import "base.proto"; service One { rpc Do(Base) returns (Base); }',
    "two.proto": 'syntax = "proto3"; package p; import "base.proto"; import "more.proto";'
    "service Two { rpc Do(Base) returns (More); } service Three { rpc Do(More) returns (More); }",
    "base.proto": 'syntax = "proto3"; package p; message Base { string text = 1; }',
    "more.proto": 'syntax = "proto3"; package p; message More { string text = 1; }',
}
TWO_WHERE = {"p.One": "one.proto", "p.Two": "two.proto", "p.Three": "two.proto"}
