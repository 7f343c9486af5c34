"""Octets that are no message end the call INTERNAL, with what is wrong, whatever kind of message it should be.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import betterproto2
import pytest
from google.protobuf import descriptor_pb2, wrappers_pb2
from grpc_health.v1 import health_pb2

from wirelane.errors import RpcError
from wirelane.status import StatusCode
from wirelane.sync import Schema, grpc

UNARY, BIDI = grpc.Cardinality.UNARY, grpc.Cardinality.BIDI_STREAM
CUT = b"\x0a\x05ab"


@dataclass(eq=False, repr=False)
class Better(betterproto2.Message):
    text: str = betterproto2.field(1, betterproto2.TYPE_STRING)


TYPES: dict[str, tuple[type, bytes]] = {
    "google.protobuf": (wrappers_pb2.StringValue, CUT),
    "google.protobuf, text that is not UTF-8": (wrappers_pb2.StringValue, b"\x0a\x01\xff"),
    "google.protobuf, a required field missing": (descriptor_pb2.UninterpretedOption.NamePart, b""),
    "google.protobuf, one missing inside": (descriptor_pb2.FileOptions, b"\xba\x3e\x02\x12\x00"),
    "betterproto2": (Better, CUT),
}


def code_of(channel: grpc.Channel, method: Any, message: Any) -> tuple[StatusCode, str]:
    """How a call with one message ends."""
    try:
        if isinstance(method, grpc.Method) and method.cardinality is BIDI:
            with channel.bidi_stream(method) as stream:
                stream.send(message)
                stream.done_sending()
                return StatusCode.OK, repr(list(stream))
        return StatusCode.OK, repr(channel.unary(method, message))
    except RpcError as error:
        return error.code, error.message


def raw(cardinality: grpc.Cardinality) -> grpc.Method[bytes, bytes]:
    return grpc.Method("/test.S/Call", cardinality, bytes, bytes)


def echo(request: Any) -> Any:
    return request


def echo_all(requests: Iterator[Any]) -> Iterator[Any]:
    yield from requests


@pytest.mark.parametrize("cardinality", [UNARY, BIDI])
@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("side", ["server", "client"])
def test_a_typed_message_that_cannot_be_read_is_internal(
    side: str, kind: str, cardinality: grpc.Cardinality
) -> None:
    message_type, octets = TYPES[kind]
    plain = raw(cardinality)
    typed = grpc.Method(plain.path, cardinality, bytes, message_type)
    taken = grpc.Method(plain.path, cardinality, message_type, bytes)
    server = grpc.Server(reflection=False, health=False)
    server.method(taken if side == "server" else plain)(echo if cardinality is UNARY else echo_all)
    with (
        server.listen("127.0.0.1:0") as listening,
        grpc.connect(f"127.0.0.1:{listening.port}") as channel,
    ):
        code, text = code_of(channel, plain if side == "server" else typed, octets)
    assert code is StatusCode.INTERNAL, text
    assert ("cannot decode the request" if side == "server" else "cannot be read") in text


@pytest.mark.parametrize("side", ["server", "client"])
@pytest.mark.parametrize("source", [health_pb2, Schema.load(health_pb2).to_set()], ids=["module", "dicts"])
def test_a_message_of_a_schema_that_cannot_be_read_is_internal(side: str, source: Any) -> None:
    name = "grpc.health.v1.Health/Check"
    plain = grpc.Method(name, UNARY, bytes, bytes)
    server = grpc.Server(schema=source, reflection=False, health=False)
    server.method(name if side == "server" else plain)(echo if side == "server" else bad_reply)
    with (
        server.listen("127.0.0.1:0") as listening,
        grpc.connect(f"127.0.0.1:{listening.port}", schema=source) as channel,
    ):
        if side == "server":
            code, text = code_of(channel, plain, CUT)
        else:
            code, text = code_of(channel, name, {"service": "x"})
    assert code is StatusCode.INTERNAL, text


def bad_reply(request: Any) -> bytes:
    return CUT
