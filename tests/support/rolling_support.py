"""For the test of rolling restarts: servers that follow one another at one port, and the clients that are not ours."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from support.go_support import PEERS, go_program

if TYPE_CHECKING:
    from conftest import Certificates


class Servers:
    """Servers of ours that replace one another: the new one listens before the old one drains.

    Attributes:
        port: Where they all listen.
        name: That of the newest.
    """

    def __init__(self, flags: Sequence[str]) -> None:
        self.port = 0
        self.name = ""
        self._flags = flags
        self._all: list[asyncio.subprocess.Process] = []

    async def replace(self) -> None:
        """Start a new one, and stop the old one by SIGTERM, which must end it with status 0."""
        old = self._all[-1:]
        name = f"server-{len(self._all)}"
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(PEERS / "rolling_server.py"),
            name,
            str(self.port),
            *self._flags,
            stdout=asyncio.subprocess.PIPE,
        )
        self._all.append(process)
        assert process.stdout is not None
        self.port = int(await process.stdout.readline())
        self.name = name
        for process in old:
            await _stopped(process)

    async def stop(self) -> None:
        """Stop the last one."""
        await _stopped(self._all[-1])

    async def kill(self) -> None:
        """Stop what a failure has left."""
        for process in self._all:
            if process.returncode is None:
                process.kill()
            await process.communicate()


async def _stopped(process: asyncio.subprocess.Process) -> None:
    process.send_signal(signal.SIGTERM)
    out, _ = await process.communicate()
    assert (process.returncode, out) == (0, b"")


@asynccontextmanager
async def servers(ca: Certificates, transport: str) -> AsyncIterator[Servers]:
    """Run the first server; the last is stopped in the end."""
    flags = [] if transport == "h2c" else [str(ca.server_cert), str(ca.server_key)]
    running = Servers(flags)
    try:
        await running.replace()
        yield running
        await running.stop()
    finally:
        await running.kill()


class Foreign:
    """A client in a process of its own, which calls until it is asked for its report."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def reached(self, name: str) -> None:
        """Wait until a call was answered by this server. Fails when a call has failed."""
        assert self._process.stdout is not None
        while (line := (await self._process.stdout.readline()).decode()) != f"server {name}\n":
            assert line.startswith("server "), line or "the client ended"

    async def calls(self) -> int:
        """Let it finish its calls; how many there were. Fails when one has failed."""
        out, _ = await self._process.communicate(b"")  # ends its input
        assert self._process.returncode == 0
        (last,) = out.decode().splitlines()
        what, _, number = last.partition(" ")
        assert what == "calls", last
        return int(number)


@asynccontextmanager
async def foreign_client(
    kind: str, port: int, workers: int, ca: Certificates, transport: str
) -> AsyncIterator[Foreign]:
    """Run the client of grpcio or grpc-go."""
    command = (
        [go_program("rolling")] if kind == "grpc-go" else [sys.executable, str(PEERS / "rolling_grpcio.py")]
    )
    process = await asyncio.create_subprocess_exec(
        *command,
        f"localhost:{port}" if kind == "grpcio" and transport == "tls" else f"127.0.0.1:{port}",
        str(workers),
        *([str(ca.ca)] if transport == "tls" else []),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Foreign(process)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()
