"""Messages in parts, frames and files, and a peer that is gone, against a plain peer: written once, run with asyncio and without."""

from __future__ import annotations

import gzip
import io
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.twins_support import gather, sleep, start
from twins.tcp_support import pair
from wirelane import (
    ClosedError,
    ConnectionLost,
    LimitExceeded,
    Limits,
    SendTimeout,
    TlsConfig,
    UsageError,
    tcp,
)

if TYPE_CHECKING:
    from conftest import Certificates

SMALL = Limits(max_send_buffer=10_000, close_timeout=0.2)
BLOB = bytes(range(256)) * 4096
# More than the kernel takes for a peer that does not read.
TOO_MUCH = 32 * 1024 * 1024


@asynccontextmanager
async def tls_pair(ca: Certificates, **options: Any) -> AsyncIterator[tuple[tcp.Connection, Any]]:
    tls = TlsConfig(ca=ca.ca, server_name="localhost")
    async with pair(server_tls=ca.server_context(), tls=tls, **options) as ends:
        yield ends


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


class Stream(io.RawIOBase):
    """A file that cannot seek, and gives little at a time."""

    def __init__(self, data: bytes) -> None:
        self._rest = data

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        piece, self._rest = self._rest[: min(size, 10_000)], self._rest[min(size, 10_000) :]
        return piece


@pytest.mark.parametrize("parts", [b"bytes", "text", 5, None, [b"x", "text"], [5]])
async def test_what_is_not_several_bytes_is_refused_and_nothing_is_sent(parts: Any) -> None:
    async with pair() as (connection, peer):
        with pytest.raises(UsageError):
            await connection.send_many(parts)
        await connection.send(b"!")
        assert await peer.reader.readexactly(1) == b"!"


async def test_a_timeout_among_parts_ends_sending() -> None:
    async with pair(limits=SMALL) as (connection, peer):
        peer.pause()
        with pytest.raises(SendTimeout) as caught:
            await connection.send_many([bytes(1_000_000)] * 32, timeout=0.05)
        assert 0 < caught.value.unsent < TOO_MUCH
        with pytest.raises(ClosedError, match="timed out"):
            await connection.send(b"x")


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


async def test_an_open_file_is_sent_from_the_offset_and_left_as_it_was(ends: Ends, file: Path) -> None:
    async with ends() as (connection, peer):
        for buffering in (0, -1):
            with file.open("rb", buffering=buffering) as opened:
                opened.seek(7)
                sending = start(connection.send_file, opened, 10, 20)
                assert await peer.reader.readexactly(20) == BLOB[10:30]
                assert await sending.result() == 20
                assert opened.tell() == 7


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
                sending = start(connection.send_file, source, offset)
                assert await peer.reader.readexactly(len(BLOB) - offset) == BLOB[offset:]
                assert await sending.result() == len(BLOB) - offset


async def test_files_of_the_system_that_it_does_not_send_are_read() -> None:
    async with pair() as (connection, peer):
        with Path("/proc/self/status").open("rb", buffering=0) as status:
            sent = await connection.send_file(status, 0, 10**6)
        assert sent == 0  # such files say that they are empty
        with Path("/dev/zero").open("rb", buffering=0) as zeros:
            sending = start(connection.send_file, zeros, 0, 300_000)
            assert await peer.reader.readexactly(300_000) == bytes(300_000)
            assert await sending.result() == 300_000


async def test_a_timeout_in_a_file_ends_sending_but_not_reading(ends: Ends, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(TOO_MUCH))
    async with ends(limits=SMALL) as (connection, peer):
        peer.pause()
        with pytest.raises(SendTimeout) as caught:
            await connection.send_file(path, timeout=0.1)
        assert 0 < caught.value.unsent < TOO_MUCH
        with pytest.raises(ClosedError, match="timed out"):
            await connection.send_file(path)
        peer.writer.write(b"still here\n")
        assert await connection.read_line() == "still here"


async def test_a_reset_wakes_who_sends_a_file(ends: Ends, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(TOO_MUCH))
    async with ends(limits=SMALL) as (connection, peer):
        sending = [start(connection.send_file, path) for _ in range(2)]
        await peer.reader.readexactly(1)
        await sleep(0.02)  # the other waits behind it by now, or hears the same when it comes
        peer.reset()
        for outcome in await gather(*sending, return_exceptions=True):
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
        peer.close()  # over the loopback the reset is here when this returns, whether the loop has looked or not
        with pytest.raises(ConnectionLost):
            await writes[method](connection)
        if method != "send_eof":
            with pytest.raises(ConnectionLost):
                await connection.send(b"x")
        await connection.close()


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
async def test_parts_arrive_as_one_message_whatever_their_sizes(secure: bool, ca: Certificates) -> None:
    parts: list[bytes | bytearray | memoryview] = [
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
        sending = start(connection.send_many, iter(parts))
        assert await peer.reader.readexactly(len(wanted)) == wanted
        await sending.result()
        await connection.send_many([])
        await connection.send_many([b"", b""])
        await connection.send_many([b"a", b"b"] * 10)
        assert await peer.reader.readexactly(20) == b"ab" * 10


async def test_parts_of_messages_that_are_sent_at_the_same_time_do_not_mix() -> None:
    async with pair(limits=SMALL) as (connection, peer):
        messages = [[bytes([65 + index]) * size for size in (1, 300_000, 7, 5000)] for index in range(6)]
        sending = [start(connection.send_many, message) for message in messages]
        whole = [b"".join(message) for message in messages]
        size = len(whole[0])
        arrived = await peer.reader.readexactly(size * len(whole))
        await gather(*sending)
        assert sorted(arrived[at : at + size] for at in range(0, len(arrived), size)) == whole


async def test_a_bytearray_may_be_changed_as_soon_as_something_of_it_has_left() -> None:
    async with pair(limits=SMALL) as (connection, peer):
        data, other = bytearray(b"a" * 4_000_000), bytearray(b"b" * 4_000_000)
        sending = start(connection.send_many, [data, memoryview(other)])
        assert await peer.reader.readexactly(1) == b"a"
        for changed in (data, other):
            changed[:] = b"?" * len(changed)
        data.clear()  # nobody looks at it any more either
        wanted = b"a" * 3_999_999 + b"b" * 4_000_000
        assert await peer.reader.readexactly(len(wanted)) == wanted
        await sending.result()


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
async def test_a_file_is_sent_after_one_message_and_before_another(
    ends: Ends, file: Path, offset: int, count: int | None, wanted: bytes
) -> None:
    async with ends() as (connection, peer):
        whole = b"before" + wanted + b"after"
        reading = start(peer.reader.readexactly, len(whole))
        await connection.send(b"before")
        assert await connection.send_file(file, offset, count) == len(wanted)
        await connection.send(b"after")
        assert await reading.result() == whole


async def test_a_large_file_goes_through_a_slow_reader_who_is_heard_meanwhile(
    ends: Ends, tmp_path: Path
) -> None:
    path = tmp_path / "large"
    with path.open("wb") as large:
        for number in range(TOO_MUCH // 4096):
            large.write(struct.pack(">I", number) * 1024)
    async with ends(limits=SMALL) as (connection, peer):
        sending = start(connection.send_file, path)
        first = await peer.reader.readexactly(1)
        await peer.say(b"still listening\n")
        assert await connection.read_line() == "still listening"
        assert not sending.done()
        assert first + await peer.reader.readexactly(TOO_MUCH - 1) == path.read_bytes()
        assert await sending.result() == TOO_MUCH
        await connection.send(b"next")
        assert await peer.reader.readexactly(4) == b"next"
