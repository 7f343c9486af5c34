"""What the tests of the server share: a schema, a server on it, and clients that are not ours."""

from __future__ import annotations

import asyncio
import importlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc as grpcio

from wirelane.codec import Schema
from wirelane.core.deadline import Deadline
from wirelane.core.limits import Limits
from wirelane.core.target import HostPort
from wirelane.grpc.server import Listening, Server
from wirelane.transport.base import ClientConnection, ClientStream, RequestHead
from wirelane.transport.client import connect

DEMO = """
syntax = "proto3";
package wirelane.tests.server;

message Ask { int32 n = 1; string text = 2; bytes data = 3; }
message Answer { int32 n = 1; string text = 2; bytes data = 3; }

service Demo {
  rpc One(Ask) returns (Answer);
  rpc Down(Ask) returns (stream Answer);
  rpc Up(stream Ask) returns (Answer);
  rpc Both(stream Ask) returns (stream Answer);
  // Nobody handles it.
  rpc Empty(Ask) returns (Answer);
}
"""

DEMO_SERVICE = "wirelane.tests.server.Demo"
ASK = "wirelane.tests.server.Ask"
ANSWER = "wirelane.tests.server.Answer"


def demo_schema() -> Schema:
    """Return the schema of the Demo service."""
    return Schema.load(DEMO)


def demo_server(**options: Any) -> Server:
    """Return a server on the Demo schema without handlers."""
    return Server(schema=demo_schema(), **options)


@asynccontextmanager
async def listening(server: Server, *addresses: str, grace: float = 5.0) -> AsyncIterator[Listening]:
    """Run a server on a free port, and check at the end that nothing of it is left."""
    async with server.listen(*(addresses or ("127.0.0.1:0",)), grace=grace) as at:
        yield at
    assert (server.calls, server.connections) == (0, 0), repr(server)


class GrpcioClient:
    """A grpc.aio channel that speaks dicts."""

    def __init__(self, channel: grpcio.aio.Channel, schema: Schema) -> None:
        self.channel = channel
        self._encode = schema.codec(ASK).encode
        self._decode = schema.codec(ANSWER).decode

    def __getattr__(self, kind: str) -> Callable[[str], Any]:
        """Return `unary_unary` and the other three; each takes the name of a method of Demo."""
        make = getattr(self.channel, kind)

        def method(name: str) -> Any:
            path = name if name.startswith("/") else f"/{DEMO_SERVICE}/{name}"
            return make(path, request_serializer=self._serialize, response_deserializer=self._decode)

        return method

    def _serialize(self, message: dict[str, Any] | bytes) -> bytes:
        return message if isinstance(message, bytes) else self._encode(message)


@asynccontextmanager
async def grpcio_client(
    at: Listening | str,
    *,
    credentials: grpcio.ChannelCredentials | None = None,
    options: tuple[tuple[str, Any], ...] = (),
) -> AsyncIterator[GrpcioClient]:
    """Connect grpcio's asyncio client."""
    target = at if isinstance(at, str) else f"127.0.0.1:{at.port}"
    options = (("grpc.use_local_subchannel_pool", 1), *options)
    channel = (
        grpcio.aio.insecure_channel(target, options=options)
        if credentials is None
        else grpcio.aio.secure_channel(target, credentials, options=options)
    )
    async with channel:
        yield GrpcioClient(channel, demo_schema())


@asynccontextmanager
async def raw_client(at: Listening, limits: Limits | None = None) -> AsyncIterator[ClientConnection]:
    """Connect wirelane's own transport, below the client: for calls that no proper client would make."""
    connection = await connect(HostPort("127.0.0.1", at.port), limits=limits or Limits())
    try:
        yield connection
    finally:
        await connection.close()


async def raw_call(
    connection: ClientConnection, method: str, *, deadline: float | None = None, **head: Any
) -> ClientStream:
    """Open a call of Demo without a message."""
    request = RequestHead(
        path=f"/{DEMO_SERVICE}/{method}", authority="localhost", deadline=Deadline.after(deadline), **head
    )
    return await connection.open(request)


async def ended(stream: ClientStream) -> tuple[str, str]:
    """Receive to the end; return the name of the status and its message."""
    while await stream.receive() is not None:
        pass
    assert stream.ending is not None
    return stream.ending.code.name, stream.ending.message


async def until(condition: Callable[[], object], *, seconds: float = 10.0) -> None:
    """Let the loop turn until something is so. Fails after `seconds`, which only a broken test waits for."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.001)


class Trail:
    """What happened in a handler, for the test to wait for: named events."""

    def __init__(self) -> None:
        self._events: dict[str, asyncio.Event] = {}

    def _event(self, name: str) -> asyncio.Event:
        return self._events.setdefault(name, asyncio.Event())

    def mark(self, name: str) -> None:
        """Say that something happened."""
        self._event(name).set()

    def __contains__(self, name: str) -> bool:
        return self._event(name).is_set()

    async def reached(self, name: str, *, seconds: float = 10.0) -> None:
        """Wait until it has happened. Fails after `seconds`."""
        async with asyncio.timeout(seconds):
            await self._event(name).wait()


@dataclass(frozen=True)
class Generated:
    """The Demo service as other tools generate it."""

    pb2: ModuleType
    grpclib: ModuleType
    betterproto2: ModuleType


def generate_demo(directory: Path) -> Generated:
    """Compile the Demo service for google.protobuf, grpclib and betterproto2, and import what came out, once."""
    if "wirelane_server_demo_pb2" not in sys.modules:
        _compile_demo(directory)
    sys.path.insert(0, str(directory))
    try:
        return Generated(
            importlib.import_module("wirelane_server_demo_pb2"),
            importlib.import_module("wirelane_server_demo_grpc"),
            importlib.import_module("wirelane_server_better.wirelane.tests.server"),
        )
    finally:
        sys.path.remove(str(directory))


def _compile_demo(directory: Path) -> None:
    (directory / "wirelane_server_demo.proto").write_text(DEMO)
    scripts = Path(sys.executable).parent
    for arguments in (
        ["--python_out=.", "--grpclib_python_out=.", f"--plugin={scripts / 'protoc-gen-grpclib_python'}"],
        [
            "--python_betterproto2_out=wirelane_server_better",
            "--python_betterproto2_opt=server_generation=async",
            f"--plugin={scripts / 'protoc-gen-python_betterproto2'}",
        ],
    ):
        (directory / "wirelane_server_better").mkdir(exist_ok=True)
        subprocess.run(
            [sys.executable, "-m", "grpc_tools.protoc", "-I.", *arguments, "wirelane_server_demo.proto"],
            cwd=directory,
            check=True,
            capture_output=True,
            # betterproto2's plugin runs ruff.
            env={**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"},
        )


def generated_from(files: dict[str, str], directory: Path) -> dict[str, ModuleType]:
    """Compile .proto files with grpcio's tools; return the modules by name."""
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "-I.", "--python_out=.", "--grpc_python_out=.", *files],
        cwd=directory,
        check=True,
        capture_output=True,
    )
    sys.path.insert(0, str(directory))
    try:
        stems = [name.removesuffix(".proto").replace("/", ".") for name in files]
        return {
            f"{stem}{suffix}": importlib.import_module(f"{stem}{suffix}")
            for stem in stems
            for suffix in ("_pb2", "_pb2_grpc")
        }
    finally:
        sys.path.remove(str(directory))
