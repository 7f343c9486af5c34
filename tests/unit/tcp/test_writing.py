"""Messages in parts, frames and files, and a peer that is gone: real sockets, a plain asyncio peer."""

from __future__ import annotations

import asyncio
import gzip
import io
import socket
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
from wirelane.errors import ClosedError, ConnectionLost, LimitExceeded, SendTimeout, UsageError
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
    peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
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


@pytest.mark.parametrize("parts", [b"bytes", "text", 5, None, [b"x", "text"], [5]])
async def test_what_is_not_several_bytes_is_refused_and_nothing_is_sent(parts: Any) -> None:
    async with pair() as (connection, peer):
        with pytest.raises(UsageError):
            await connection.send_many(parts)
        await connection.send(b"!")
        assert await peer.reader.readexactly(1) == b"!"


async def test_a_timeout_among_parts_ends_sending() -> None:
    async with pair(limits=SMALL) as (connection, peer):
        await stop_reading(peer)
        with pytest.raises(SendTimeout) as caught:
            await connection.send_many([bytes(1_000_000)] * 32, timeout=0.05)
        assert 0 < caught.value.unsent < TOO_MUCH
        with pytest.raises(ClosedError, match="timed out"):
            await connection.send(b"x")


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
        peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert await peer.reader.readexactly(len(wanted)) == wanted
        await asyncio.gather(*sending)


# -- frames


@pytest.mark.parametrize("size", [0, 3, 200, 70_000, 1_000_000])
@pytest.mark.parametrize(
    ("prefix", "options"),
    [(4, {}), (3, {"byteorder": "little"}), (8, {"includes_prefix": True}), ("varint", {})],
)
async def test_a_frame_sent_is_a_frame_read(size: int, prefix: Any, options: dict[str, Any]) -> None:
    answered: list[bytes] = []

    async def answer(connection: tcp.Connection) -> None:
        async for frame in connection.read_frames(prefix, **options):
            answered.append(frame)
            await connection.send_frame(frame, prefix, **options)

    async with tcp.Server(answer).listen("127.0.0.1:0") as listening:
        async with tcp.connect(str(listening.address)) as connection:
            for frame in (BLOB[:size], b"", b"end"):
                await connection.send_frame(memoryview(frame), prefix, **options)
                assert await connection.read_frame(prefix, **options) == frame
    assert answered == [BLOB[:size], b"", b"end"]


async def test_the_varint_of_a_frame_is_that_of_protobuf() -> None:
    async with pair() as (connection, peer):
        await connection.send_frame(bytes(300), "varint")
        assert await peer.reader.readexactly(302) == b"\xac\x02" + bytes(300)


@pytest.mark.parametrize(("size", "options"), [(256, {}), (255, {"includes_prefix": True})])
async def test_a_frame_too_long_for_its_prefix_is_refused(size: int, options: dict[str, Any]) -> None:
    async with pair() as (connection, peer):
        with pytest.raises(UsageError, match="most"):
            await connection.send_frame(bytes(size), 1, **options)
        await connection.send_frame(bytes(size - 1), 1, **options)
        assert await peer.reader.readexactly(1) == b"\xff"


async def test_a_frame_longer_than_is_accepted_stays_with_the_reader() -> None:
    async with pair() as (connection, peer):
        peer.writer.write(struct.pack("<H", 11) + b"hello world")
        with pytest.raises(LimitExceeded):
            await connection.read_frame(2, "little", max_bytes=10)
        assert await connection.read_frame(2, "little", max_bytes=11) == b"hello world"


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


async def test_an_open_file_is_sent_from_the_offset_and_left_as_it_was(ends: Ends, file: Path) -> None:
    async with ends() as (connection, peer):
        for buffering in (0, -1):
            with file.open("rb", buffering=buffering) as opened:
                opened.seek(7)
                sending = asyncio.create_task(connection.send_file(opened, 10, 20))
                assert await peer.reader.readexactly(20) == BLOB[10:30]
                assert await sending == 20
                assert opened.tell() == 7


class Stream(io.RawIOBase):
    """A file that cannot seek, and gives little at a time."""

    def __init__(self, data: bytes) -> None:
        self._rest = data

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        piece, self._rest = self._rest[: min(size, 10_000)], self._rest[min(size, 10_000) :]
        return piece


async def test_what_is_no_plain_file_is_read_as_it_reads(ends: Ends, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    packed.write_bytes(gzip.compress(BLOB))
    sources: list[tuple[Callable[[], Any], int]] = [
        (lambda: io.BytesIO(BLOB), 0),
        (lambda: io.BytesIO(BLOB), 5),
        (lambda: gzip.GzipFile(packed), 5),
        (lambda: Stream(BLOB), 0),
    ]
    async with ends() as (connection, peer):
        for opened, offset in sources:
            with opened() as source:
                sending = asyncio.create_task(connection.send_file(source, offset))
                assert await peer.reader.readexactly(len(BLOB) - offset) == BLOB[offset:]
                assert await sending == len(BLOB) - offset


async def test_files_of_the_system_that_it_does_not_send_are_read() -> None:
    async with pair() as (connection, peer):
        with Path("/proc/self/status").open("rb", buffering=0) as status:
            sent = await connection.send_file(status, 0, 10**6)
        assert sent == 0  # such files say that they are empty
        with Path("/dev/zero").open("rb", buffering=0) as zeros:
            sending = asyncio.create_task(connection.send_file(zeros, 0, 300_000))
            assert await peer.reader.readexactly(300_000) == bytes(300_000)
            assert await sending == 300_000


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
        peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert await peer.reader.readexactly(TOO_MUCH) == path.read_bytes()
        assert await sending == TOO_MUCH
        assert transport.get_write_buffer_limits()[1] == SMALL.max_send_buffer
        await connection.send(b"next")
        assert await peer.reader.readexactly(4) == b"next"


async def test_a_timeout_in_a_file_ends_sending_but_not_reading(ends: Ends, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(TOO_MUCH))
    async with ends(limits=SMALL) as (connection, peer):
        await stop_reading(peer)
        with pytest.raises(SendTimeout) as caught:
            await connection.send_file(path, timeout=0.1)
        assert 0 < caught.value.unsent < TOO_MUCH
        with pytest.raises(ClosedError, match="timed out"):
            await connection.send_file(path)
        peer.writer.write(b"still here\n")
        assert await connection.read_line() == "still here"


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
                peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
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


async def test_a_reset_wakes_who_sends_a_file(ends: Ends, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(TOO_MUCH))
    async with ends(limits=SMALL) as (connection, peer):
        await stop_reading(peer)
        sending = [asyncio.create_task(connection.send_file(path)) for _ in range(2)]
        await asyncio.wait(sending, timeout=0.05)
        peer.reset()
        for outcome in await asyncio.gather(*sending, return_exceptions=True):
            assert isinstance(outcome, ConnectionLost)


async def test_a_file_that_cannot_be_sent_is_refused_and_nothing_is_broken(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("text", encoding="utf-8")
    async with pair() as (connection, peer):
        with pytest.raises(FileNotFoundError):
            await connection.send_file(tmp_path / "missing")
        with pytest.raises(IsADirectoryError):
            await connection.send_file(tmp_path)
        with text.open(encoding="utf-8") as opened:
            for wrong in (opened, b"bytes", 5):
                with pytest.raises(UsageError, match="file"):
                    await connection.send_file(wrong)  # type: ignore[arg-type]
        for arguments in ({"offset": -1}, {"count": -1}, {"count": "all"}):
            with pytest.raises(UsageError, match=next(iter(arguments))):
                await connection.send_file(text, **arguments)  # type: ignore[arg-type]
        await connection.send(b"fine")
        assert await peer.reader.readexactly(4) == b"fine"


async def test_a_file_that_fails_half_way_ends_sending() -> None:
    class Failing(Stream):
        def read(self, size: int = -1) -> bytes:
            if len(self._rest) < 15_000:
                raise OSError("the disk is gone")
            return super().read(size)

    async with pair() as (connection, _):
        with Failing(bytes(30_000)) as failing, pytest.raises(OSError, match="disk"):
            await connection.send_file(failing)
        with pytest.raises(ClosedError, match="file"):
            await connection.send(b"x")


# -- a peer that is gone


async def end_and_read(connection: tcp.Connection) -> None:
    """uvloop hears no complaint when it ends a direction of a connection that was reset: the reset is read."""
    await connection.send_eof()
    await connection.read()


@pytest.mark.parametrize("method", ["send", "send_line", "send_many", "send_frame", "send_file", "send_eof"])
async def test_a_reset_that_the_system_knows_of_is_an_error_of_the_very_write_that_meets_it(
    method: str, file: Path
) -> None:
    writes = {
        "send": lambda connection: connection.send(b"x"),
        "send_line": lambda connection: connection.send_line("x"),
        "send_many": lambda connection: connection.send_many([BLOB, b"x"]),
        "send_frame": lambda connection: connection.send_frame(b"x"),
        "send_file": lambda connection: connection.send_file(file),
        "send_eof": end_and_read,
    }
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = await tcp.connect(f"127.0.0.1:{listener.getsockname()[1]}")
        peer, _ = listener.accept()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()  # over the loopback the reset is here when this returns; the loop has not looked
        with pytest.raises(ConnectionLost):
            await writes[method](connection)
        if method != "send_eof":
            with pytest.raises(ConnectionLost):
                await connection.send(b"x")
        await connection.close()


def test_the_transports_whose_writelines_never_pause_are_known() -> None:
    mended = {(3, 12): (3, 12, 9), (3, 13): (3, 13, 2)}.get(sys.version_info[:2])
    assert (mended is not None and sys.version_info < mended) == vectored._WRITELINES_NEVER_PAUSES
