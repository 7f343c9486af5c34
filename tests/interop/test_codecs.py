"""Messages of every library on the wire, to and from grpcio in another process, in calls of all four kinds."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from support.better_support import compile_better
from support.buf_support import buf_classes
from support.go_support import PEERS
from wirelane import grpc
from wirelane.codec import Schema
from wirelane.core.method import Cardinality

PEER = str(PEERS / "codecs_grpcio.py")
COUNT = 3  # messages of a stream
WIRE = Path(__file__).resolve().parents[1] / "protos" / "wire.proto"

LAMP = {"name": "lamp", "price": 12.5, "tags": ["a", "b"]}
ORDER = {
    "id": "order-1",
    "number": -(2**62),
    "level": "LEVEL_HIGH",
    "items": [LAMP, {"name": "käse", "price": 0.0, "tags": []}],
    "labels": {"colour": "red", "": "empty"},
    "by_number": {-5: LAMP},
    "blob": b"\x00\xff",
    "note": "",
    "cash": -7,
    "at": datetime(2023, 11, 14, 22, 13, 20, 123_456, tzinfo=UTC),
    # Whole seconds: what betterproto2 makes of a part of one below zero is another value.
    "took": timedelta(seconds=-90),
    "deltas": [-1, 0, 2**31 - 1],
    "weight": 0.1,
    "large": 2**64 - 1,
    "paid": True,
}


@dataclass
class Item:
    name: str = ""
    price: float = 0.0
    tags: list[str] = field(default_factory=list)


@dataclass
class Plain:
    id: str
    number: int
    items: list[Item]
    counts: dict[str, int]
    blob: bytes
    note: str | None
    weight: float
    paid: bool


@dataclass
class Case:
    """A library: the service whose messages it makes here, and the one message that both ends know.

    `kind` is None for messages of a schema: dicts.
    """

    value: Any
    kind: type | None
    service: str = "Orders"
    same: Callable[[Any, Any], bool] = lambda one, other: one == other


@pytest.fixture(scope="module")
def schema() -> Schema:
    return Schema.load(WIRE)


@pytest.fixture(scope="module")
def better(tmp_path_factory: pytest.TempPathFactory) -> Any:
    directory = tmp_path_factory.mktemp("codecs")
    return compile_better(directory, "wire_better", files=("wire.proto",), package="wire.v1")


@pytest.fixture
def case(request: pytest.FixtureRequest, schema: Schema, better: Any) -> Case:
    name = request.param
    if name == "dict":
        return Case(ORDER, None)
    if name == "raw":
        codec = schema.dict_codec("wire.v1.Order")
        # The order of a map's entries is nobody's business.
        return Case(
            schema.encode("wire.v1.Order", ORDER), bytes, same=lambda a, b: codec.decode(a) == codec.decode(b)
        )
    if name == "google.protobuf":
        kind = schema.message_class("wire.v1.Order")
        return Case(schema.dict_codec("wire.v1.Order").to_message(ORDER), kind)
    if name == "protobuf-py":
        kind = buf_classes(schema, "wire.proto")["Order"]
        return Case(kind.from_binary(schema.encode("wire.v1.Order", ORDER)), kind)
    if name == "betterproto2":
        lamp = better.Item(**LAMP)
        fields = {
            **ORDER,
            "level": better.Level.HIGH,
            "items": [lamp, better.Item(name="käse")],
            "by_number": {-5: lamp},
        }
        return Case(better.Order(**fields), better.Order)
    items = [Item("lamp", 12.5, ["a", "b"]), Item("käse")]
    plain = Plain("plain-1", -(2**62), items, {"a": 1, "": -(2**63)}, b"\x00\xff", "", 0.1, True)
    return Case(plain, Plain, "Plains")


CODECS = ["dict", "raw", "google.protobuf", "betterproto2", "protobuf-py", "dataclasses"]
every_codec = pytest.mark.parametrize("case", CODECS, indirect=True)


def method(case: Case, name: str) -> Any:
    """The method as a channel and a server take it: by its name, or with types."""
    if case.kind is None:
        return f"wire.v1.{case.service}/{name}"
    cardinality = Cardinality.of(name in ("Up", "Both"), name in ("Down", "Both"))
    return grpc.Method(f"wire.v1.{case.service}/{name}", cardinality, case.kind, case.kind)


@pytest.fixture(scope="module")
def grpcio_port() -> Any:
    """Run grpcio's server for all tests of this file."""
    with subprocess.Popen(
        [sys.executable, PEER, "server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.communicate(b"")


@every_codec
async def test_our_client_speaks_with_a_grpcio_server(case: Case, schema: Schema, grpcio_port: int) -> None:
    value, several = case.value, [case.value] * COUNT
    async with grpc.connect(f"127.0.0.1:{grpcio_port}", schema=schema) as channel:
        replies = {
            "One": [await channel.unary(method(case, "One"), value)],
            "Down": await channel.collect(method(case, "Down"), value),
            "Up": [await channel.client_stream(method(case, "Up"), several)],
            "Both": await channel.collect(method(case, "Both"), several),
        }
    for name, found in replies.items():
        assert len(found) == (COUNT if name in ("Down", "Both") else 1), name
        for reply in found:
            assert type(reply) is type(value), name
            assert case.same(reply, value), name


@every_codec
async def test_our_server_speaks_with_a_grpcio_client(case: Case, schema: Schema) -> None:
    server, value, seen = grpc.Server(schema=schema), case.value, []

    def note(request: Any) -> None:
        assert type(request) is type(value)
        assert case.same(request, value)
        seen.append(request)

    @server.method(method(case, "One"))
    async def one(request: Any) -> Any:
        note(request)
        return value

    @server.method(method(case, "Down"))
    async def down(request: Any) -> AsyncIterator[Any]:
        note(request)
        for _ in range(COUNT):
            yield request

    @server.method(method(case, "Up"))
    async def up(requests: AsyncIterator[Any]) -> Any:
        async for request in requests:
            note(request)
        return value

    @server.method(method(case, "Both"))
    async def both(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for request in requests:
            note(request)
            yield request

    async with server.listen("127.0.0.1:0") as at:
        client = await asyncio.create_subprocess_exec(
            sys.executable,
            PEER,
            "client",
            f"127.0.0.1:{at.port}",
            case.service,
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await client.communicate()
    assert client.returncode == 0, said.decode()
    assert len(seen) == 2 + 2 * COUNT
