"""What writing is in an event loop: the order of tasks, cancellation, memory, the ways of the transport. The rest is in tests/twins."""

from __future__ import annotations

import asyncio
import io
import struct
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from conftest import Certificates
from support.tcp_support import Peer, pair, turns, until
from wirelane import TlsConfig, tcp
from wirelane.core.limits import Limits
from wirelane.errors import ClosedError
from wirelane.net import vectored
from wirelane.tcp.sending import Data

SMALL = Limits(max_send_buffer=10_000, close_timeout=0.2)
BLOB = bytes(range(256)) * 4096
# More than the kernel takes for a peer that does not read.
TOO_MUCH = 32 * 1024 * 1024


@asynccontextmanager
async def tls_pair(ca: Certificates, **options: Any) -> AsyncIterator[tuple[tcp.Connection, Peer]]:
    tls = TlsConfig(ca=ca.ca, server_name="localhost")
    async with pair(server_tls=ca.server_context(), tls=tls, **options) as ends:
        yield ends


async def stop_reading(peer: Peer) -> None:
    peer.pause()
    await turns(2)


# -- parts


@pytest.mark.parametrize("joins", [True, False], ids=["joined", "in parts"])
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
async def test_parts_arrive_as_one_message_whatever_their_sizes(
    joins: bool, secure: bool, ca: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectored, "_WRITELINES_NEVER_PAUSES", joins)
    parts: list[Data] = [
        b"",
        b"head",
        BLOB,
        bytearray(b"mutable"),
        b"",
        memoryview(BLOB)[5:300_000],
        memoryview(BLOB)[::3],
        b"",
    ]
    wanted = b"".join(map(bytes, parts))
    async with tls_pair(ca) if secure else pair() as (connection, peer):
        sending = asyncio.create_task(connection.send_many(iter(parts)))
        assert await peer.reader.readexactly(len(wanted)) == wanted
        await sending
        await connection.send_many([])
        await connection.send_many([b"", b""])
        await connection.send_many([b"a", b"b"] * 10)
        assert await peer.reader.readexactly(20) == b"ab" * 10


async def test_large_parts_are_given_to_the_transport_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes | memoryview] = []

    def write_parts(transport: asyncio.Transport, parts: list[bytes | memoryview]) -> None:
        seen.extend(parts)
        transport.write(b"".join(parts))

    monkeypatch.setattr("wirelane.tcp.sending.write_parts", write_parts)
    head, body = b"head", bytes(100_000)
    async with pair() as (connection, peer):
        await connection.send_many([head, body])
        assert seen[0] is head
        assert seen[1] is body
        assert await peer.reader.readexactly(100_004) == head + body


async def test_parts_of_several_tasks_do_not_mix() -> None:
    async with pair(limits=SMALL) as (connection, peer):
        messages = [[bytes([65 + index]) * size for size in (1, 300_000, 7, 5000)] for index in range(6)]
        sending = [asyncio.create_task(connection.send_many(message)) for message in messages]
        wanted = b"".join(part for message in messages for part in message)
        assert await peer.reader.readexactly(len(wanted)) == wanted
        await asyncio.gather(*sending)


async def test_a_bytearray_may_be_changed_as_soon_as_it_is_given() -> None:
    async with pair(limits=SMALL) as (connection, peer):
        await stop_reading(peer)
        data, other = bytearray(b"a" * 4_000_000), bytearray(b"b" * 4_000_000)
        sending = [
            asyncio.create_task(connection.send_many([data, memoryview(other)])),
            asyncio.create_task(connection.send(data)),
            asyncio.create_task(connection.send_frame(other, 4)),
        ]
        await turns(3)
        for changed in (data, other):
            changed[:] = b"?" * len(changed)
        data.clear()  # nobody looks at it any more either
        wanted = b"a" * 4_000_000 + b"b" * 4_000_000 + b"a" * 4_000_000
        wanted += struct.pack(">I", 4_000_000) + b"b" * 4_000_000
        peer.resume()
        assert await peer.reader.readexactly(len(wanted)) == wanted
        await asyncio.gather(*sending)


# -- frames


# -- files


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "blob"
    path.write_bytes(BLOB)
    return path


Ends = Callable[..., Any]


@pytest.fixture(params=["plain", "TLS", "traced"])
def ends(request: pytest.FixtureRequest, ca: Certificates) -> Ends:
    """Connections on which the system sends files, and others."""
    if request.param == "TLS":
        return lambda **options: tls_pair(ca, **options)
    if request.param == "traced":
        return lambda **options: pair(trace=True, **options)
    return pair


@pytest.mark.parametrize(
    ("offset", "count", "wanted"),
    [
        (0, None, BLOB),
        (1000, None, BLOB[1000:]),
        (5, 300_001, BLOB[5:300_006]),
        (0, 0, b""),
        (len(BLOB) - 3, 100, BLOB[-3:]),
        (2 * len(BLOB), None, b""),
    ],
)
async def test_a_file_is_sent_between_the_messages_before_and_after_it(
    ends: Ends, file: Path, offset: int, count: int | None, wanted: bytes
) -> None:
    async with ends() as (connection, peer):
        sending = [
            asyncio.create_task(connection.send(b"before")),
            asyncio.create_task(connection.send_file(file, offset, count)),
            asyncio.create_task(connection.send(b"after")),
        ]
        whole = b"before" + wanted + b"after"
        assert await peer.reader.readexactly(len(whole)) == whole
        assert await asyncio.gather(*sending) == [None, len(wanted), None]


class Stream(io.RawIOBase):
    """A file that cannot seek, and gives little at a time."""

    def __init__(self, data: bytes) -> None:
        self._rest = data

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        piece, self._rest = self._rest[: min(size, 10_000)], self._rest[min(size, 10_000) :]
        return piece


async def test_a_large_file_goes_through_a_slow_reader_in_bounded_memory(ends: Ends, tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as large:
        for number in range(TOO_MUCH // 4096):
            large.write(struct.pack(">I", number) * 1024)
    async with ends(limits=SMALL) as (connection, peer):
        await stop_reading(peer)
        sending = asyncio.create_task(connection.send_file(path))
        await asyncio.wait({sending}, timeout=0.05)
        transport = connection._protocol.transport
        assert transport is not None
        assert transport.get_write_buffer_size() < 10_000 + 2 * 256 * 1024
        # Meanwhile, what the peer says arrives.
        peer.writer.write(b"still listening\n")
        assert await connection.read_line() == "still listening"
        peer.resume()
        assert await peer.reader.readexactly(TOO_MUCH) == path.read_bytes()
        assert await sending == TOO_MUCH
        assert transport.get_write_buffer_limits()[1] == SMALL.max_send_buffer
        await connection.send(b"next")
        assert await peer.reader.readexactly(4) == b"next"


async def test_a_file_cancelled_half_way_ends_sending(ends: Ends, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(TOO_MUCH))
    for step in (0, 1, 2, 5, None):
        async with ends(limits=SMALL) as (connection, peer):
            await stop_reading(peer)
            sending = asyncio.create_task(connection.send_file(path))
            sender = connection._protocol.sender
            if step is None:
                await until(lambda sender=sender: sender.inside)
            else:
                await turns(step)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            begun = sender.broken is not None
            assert begun or step is not None
            if begun:
                with pytest.raises(ClosedError, match="CancelledError"):
                    await connection.send(b"x")
            else:
                await connection.send(b"x")
                peer.resume()
                assert await peer.reader.readexactly(1) == b"x"


async def test_a_file_cancelled_while_a_thread_reads_it_is_closed_after_that() -> None:
    reading, go_on = threading.Event(), threading.Event()

    class Slow(Stream):
        def read(self, size: int = -1) -> bytes:
            reading.set()
            go_on.wait(30)
            return super().read(size)

    async with pair() as (connection, peer):
        with Slow(b"late") as slow:
            sending = asyncio.create_task(connection.send_file(slow))
            await asyncio.to_thread(reading.wait, 30)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            go_on.set()
            await connection.send(b"x")  # nothing had left
            assert await peer.reader.readexactly(1) == b"x"


# -- a peer that is gone


def test_the_transports_whose_writelines_never_pause_are_known() -> None:
    mended = {(3, 12): (3, 12, 9), (3, 13): (3, 13, 2)}.get(sys.version_info[:2])
    assert (mended is not None and sys.version_info < mended) == vectored._WRITELINES_NEVER_PAUSES
