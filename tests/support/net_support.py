"""For tests of sockets and TLS: protocols that record, certificates of every kind, cancellation at every await."""

from __future__ import annotations

import asyncio
import datetime
import os
import re
import socket
import ssl
import types
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import trustme

from wirelane.core.target import HostPort, UnixPath
from wirelane.net.tls import TlsConfig

T = TypeVar("T")

LOOPBACK = HostPort("127.0.0.1", 0)
OPENSSL = "openssl"


class Recorder(asyncio.Protocol):
    """Records what a transport tells it, and lets tests wait until something is true.

    `on_data` is called with each piece; `keep_open` is what `eof_received` returns.
    """

    def __init__(
        self, on_data: Callable[[Recorder, bytes], None] | None = None, *, keep_open: bool = False
    ) -> None:
        self.transport: Any = None
        self.received = bytearray()
        self.pieces: list[bytes] = []
        self.events: list[str] = []
        self.error: Exception | None = None
        self.on_data = on_data
        self.keep_open = keep_open
        self._changed: asyncio.Future[None] | None = None

    @property
    def lost(self) -> bool:
        return "lost" in self.events

    @property
    def ended(self) -> bool:
        return "eof" in self.events

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._tell("made")

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.pieces.append(bytes(data))
        if self.on_data is not None:
            self.on_data(self, data)
        self._tell("data")

    def eof_received(self) -> bool:
        self._tell("eof")
        return self.keep_open

    def connection_lost(self, exc: Exception | None) -> None:
        self.error = exc
        self._tell("lost")

    def pause_writing(self) -> None:
        self._tell("pause")

    def resume_writing(self) -> None:
        self._tell("resume")

    def _tell(self, event: str) -> None:
        if event != "data" or "data" not in self.events:
            self.events.append(event)
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    async def until(self, condition: Callable[[Recorder], object]) -> Recorder:
        while not condition(self):
            self._changed = asyncio.get_running_loop().create_future()
            await self._changed
        return self

    async def until_lost(self) -> Exception | None:
        await self.until(lambda r: r.lost)
        return self.error

    async def until_received(self, count: int) -> bytes:
        await self.until(lambda r: len(r.received) >= count or r.lost)
        return bytes(self.received)


class Accepting:
    """A factory of Recorders for a listener; `await accepting.one()` gives the next that was connected."""

    def __init__(self, make: Callable[[], Recorder] = Recorder) -> None:
        self.made: list[Recorder] = []
        self._make = make
        self._queue: asyncio.Queue[Recorder] = asyncio.Queue()

    def __call__(self) -> Recorder:
        recorder = self._make()
        self.made.append(recorder)
        self._queue.put_nowait(recorder)
        return recorder

    async def one(self) -> Recorder:
        recorder = await self._queue.get()
        return await recorder.until(lambda r: r.transport is not None)


def echo() -> Recorder:
    return Recorder(lambda self, data: self.transport.write(data))


async def ended(*recorders: Recorder) -> None:
    """Close the recorders' transports, and wait until they are gone."""
    for recorder in recorders:
        if recorder.transport is not None:
            recorder.transport.close()
    for recorder in recorders:
        if recorder.transport is not None:
            await recorder.until_lost()
    await settle()


async def settle(turns: int = 20) -> None:
    """Let callbacks that close sockets run: they need turns of the loop, not time."""
    for _ in range(turns):
        await asyncio.sleep(0)


# ---------------------------------------------------------------------- certificates


class Authority:
    """A CA, and certificates of every kind as PEM bytes: one blob with key and chain."""

    def __init__(self, name: str = "net tests") -> None:
        self.ca = trustme.CA(organization_name=name)
        self.pem: bytes = self.ca.cert_pem.bytes()

    def issue(self, *names: str, **kw: Any) -> bytes:
        return bytes(self.ca.issue_cert(*names, **kw).private_key_and_cert_chain_pem.bytes())

    def expired(self, *names: str) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        return self.issue(
            *names, not_before=now - datetime.timedelta(days=30), not_after=now - datetime.timedelta(days=1)
        )

    def not_yet_valid(self, *names: str) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        return self.issue(
            *names, not_before=now + datetime.timedelta(days=1), not_after=now + datetime.timedelta(days=30)
        )

    def server(self, *names: str, **settings: Any) -> TlsConfig:
        return TlsConfig(cert=self.issue(*(names or ("localhost", "127.0.0.1"))), **settings)

    def client(self, **settings: Any) -> TlsConfig:
        return TlsConfig(ca=self.pem, **settings)


def split_pem(blob: bytes) -> tuple[bytes, bytes]:
    """Return (key, certificates) of a blob that holds both."""
    parts = re.findall(rb"-----BEGIN [^-]+-----.*?-----END [^-]+-----\n?", blob, re.DOTALL)
    return (
        b"".join(part for part in parts if b"PRIVATE KEY" in part),
        b"".join(part for part in parts if b"PRIVATE KEY" not in part),
    )


# ---------------------------------------------------------------------- cancellation, descriptors


def descriptors() -> int:
    """Return how many sockets this process has open."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return count


async def descriptors_back(before: int) -> None:
    """Wait until no more sockets are open than before: the server's end of a connection goes some turns later."""
    for _ in range(2000):
        if descriptors() <= before:
            return
        await asyncio.sleep(0)
    assert descriptors() <= before, "a socket was left"


@types.coroutine
def cancelled_at(step: int, coroutine: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """Run a coroutine, and cancel the task at the coroutine's await number `step` (from 0)."""
    count = 0
    send: Any = None
    error: BaseException | None = None
    while True:
        try:
            awaited = coroutine.throw(error) if error is not None else coroutine.send(send)
        except StopIteration as stop:
            result: T = stop.value
            return result
        if count == step:
            task = asyncio.current_task()
            assert task is not None
            task.cancel("by the sweep")
        count += 1
        send = error = None
        try:
            send = yield awaited
        except BaseException as exc:
            error = exc


async def sweep(make: Callable[[], Coroutine[Any, Any, Any]], dispose: Callable[[Any], None]) -> int:
    """Cancel `make()` at each of its awaits in turn, until it gets through; return how many there were.

    Each cancelled run must raise CancelledError and leave no socket and no task behind; `dispose` closes what
    the last run returned.
    """
    await settle()
    before, tasks = descriptors(), asyncio.all_tasks()
    step = 0
    while True:
        run = asyncio.ensure_future(_run(cancelled_at(step, make())))
        try:
            result = await run
        except asyncio.CancelledError:
            await descriptors_back(before)
            await settle()
            assert descriptors() == before, f"await {step} left a socket"
            assert asyncio.all_tasks() <= tasks, f"await {step} left a task"
            step += 1
            assert step < 1000
        else:
            dispose(result)
            return step


async def _run(awaitable: Any) -> Any:
    return await awaitable


# ---------------------------------------------------------------------- other ends


@asynccontextmanager
async def raw_server(talk: Callable[[socket.socket], Coroutine[Any, Any, None]]) -> AsyncIterator[HostPort]:
    """Serve one client with a coroutine on its bare socket; leaving waits for it."""
    loop = asyncio.get_running_loop()
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)

    async def serve() -> None:
        sock, _ = await loop.sock_accept(listening)
        with sock:
            await talk(sock)

    task = asyncio.create_task(serve())
    try:
        yield HostPort("127.0.0.1", listening.getsockname()[1])
        await task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        listening.close()


@asynccontextmanager
async def openssl(*arguments: str | Path, stdin: bool = True) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the openssl command, and end it."""
    process = await asyncio.create_subprocess_exec(
        OPENSSL,
        *map(str, arguments),
        stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        assert process.stdout is not None
        await process.stdout.read()
        await process.wait()
        if process.stdin is not None:
            process.stdin.close()
        await settle()


@asynccontextmanager
async def openssl_server(
    directory: Path, blob: bytes, *arguments: str
) -> AsyncIterator[tuple[HostPort, asyncio.subprocess.Process]]:
    """Run `openssl s_server` with a certificate; gives its address."""
    pem = directory / "s_server.pem"
    pem.write_bytes(blob)
    async with openssl(
        "s_server", "-accept", "127.0.0.1:0", "-cert", pem, "-cert_chain", pem, "-key", pem, *arguments
    ) as process:
        port = int((await read_until(process, rb"ACCEPT \S*:(\d+)")).group(1))
        yield HostPort("127.0.0.1", port), process


async def read_until(process: asyncio.subprocess.Process, pattern: bytes) -> re.Match[bytes]:
    """Read a process' output until it matches."""
    assert process.stdout is not None
    seen = b""
    while (match := re.search(pattern, seen)) is None:
        piece = await process.stdout.read(4096)
        assert piece, f"ended before {pattern!r}: {seen.decode(errors='replace')}"
        seen += piece
    return match


def unix(directory: Path) -> UnixPath:
    return UnixPath(str(directory / "sock"))


def context_pair(authority: Authority, *names: str, **limits: Any) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return a client's and a server's bare context of the standard library."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.ca.issue_cert(*(names or ("localhost", "127.0.0.1"))).configure_cert(server)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.ca.configure_trust(client)
    for context in (client, server):
        for name, value in limits.items():
            setattr(context, name, value)
    return client, server


def joined(pieces: Sequence[bytes]) -> bytes:
    return b"".join(pieces)
