"""Messages in parts, frames and files, and a peer that is gone, against a plain peer.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

import gzip
import io
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.twins_sync_support import gather, sleep, start
from twins_sync.tcp_support import pair
from wirelane.sync import (
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


@contextmanager
def tls_pair(ca: Certificates, **options: Any) -> Iterator[tuple[tcp.Connection, Any]]:
    tls = TlsConfig(ca=ca.ca, server_name="localhost")
    with pair(server_tls=ca.server_context(), tls=tls, **options) as ends:
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
def test_what_is_not_several_bytes_is_refused_and_nothing_is_sent(parts: Any) -> None:
    with pair() as (connection, peer):
        with pytest.raises(UsageError):
            connection.send_many(parts)
        connection.send(b"!")
        assert peer.reader.readexactly(1) == b"!"


def test_a_timeout_among_parts_ends_sending() -> None:
    with pair(limits=SMALL) as (connection, peer):
        peer.pause()
        with pytest.raises(SendTimeout) as caught:
            connection.send_many([bytes(1_000_000)] * 32, timeout=0.05)
        assert 0 < caught.value.unsent < TOO_MUCH
        with pytest.raises(ClosedError, match="timed out"):
            connection.send(b"x")


@pytest.mark.parametrize("size", [0, 3, 200, 70_000, 1_000_000])
@pytest.mark.parametrize(
    ("prefix", "options"),
    [(4, {}), (3, {"byteorder": "little"}), (8, {"includes_prefix": True}), ("varint", {})],
)
def test_a_frame_sent_is_a_frame_read(size: int, prefix: Any, options: dict[str, Any]) -> None:
    answered: list[bytes] = []

    def answer(connection: tcp.Connection) -> None:
        for frame in connection.read_frames(prefix, **options):
            answered.append(frame)
            connection.send_frame(frame, prefix, **options)

    with tcp.Server(answer).listen("127.0.0.1:0") as listening:
        with tcp.connect(str(listening.address)) as connection:
            for frame in (BLOB[:size], b"", b"end"):
                connection.send_frame(memoryview(frame), prefix, **options)
                assert connection.read_frame(prefix, **options) == frame
    assert answered == [BLOB[:size], b"", b"end"]


def test_the_varint_of_a_frame_is_that_of_protobuf() -> None:
    with pair() as (connection, peer):
        connection.send_frame(bytes(300), "varint")
        assert peer.reader.readexactly(302) == b"\xac\x02" + bytes(300)


@pytest.mark.parametrize(("size", "options"), [(256, {}), (255, {"includes_prefix": True})])
def test_a_frame_too_long_for_its_prefix_is_refused(size: int, options: dict[str, Any]) -> None:
    with pair() as (connection, peer):
        with pytest.raises(UsageError, match="most"):
            connection.send_frame(bytes(size), 1, **options)
        connection.send_frame(bytes(size - 1), 1, **options)
        assert peer.reader.readexactly(1) == b"\xff"


def test_a_frame_longer_than_is_accepted_stays_with_the_reader() -> None:
    with pair() as (connection, peer):
        peer.writer.write(struct.pack("<H", 11) + b"hello world")
        with pytest.raises(LimitExceeded):
            connection.read_frame(2, "little", max_bytes=10)
        assert connection.read_frame(2, "little", max_bytes=11) == b"hello world"


def test_an_open_file_is_sent_from_the_offset_and_left_as_it_was(ends: Ends, file: Path) -> None:
    with ends() as (connection, peer):
        for buffering in (0, -1):
            with file.open("rb", buffering=buffering) as opened:
                opened.seek(7)
                sending = start(connection.send_file, opened, 10, 20)
                assert peer.reader.readexactly(20) == BLOB[10:30]
                assert sending.result() == 20
                assert opened.tell() == 7


def test_what_is_no_plain_file_is_read_as_it_reads(ends: Ends, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    packed.write_bytes(gzip.compress(BLOB))
    sources: list[tuple[Callable[[], Any], int]] = [
        (lambda: io.BytesIO(BLOB), 0),
        (lambda: io.BytesIO(BLOB), 5),
        (lambda: gzip.GzipFile(packed), 5),
        (lambda: Stream(BLOB), 0),
    ]
    with ends() as (connection, peer):
        for opened, offset in sources:
            with opened() as source:
                sending = start(connection.send_file, source, offset)
                assert peer.reader.readexactly(len(BLOB) - offset) == BLOB[offset:]
                assert sending.result() == len(BLOB) - offset


def test_files_of_the_system_that_it_does_not_send_are_read() -> None:
    with pair() as (connection, peer):
        with Path("/proc/self/status").open("rb", buffering=0) as status:
            sent = connection.send_file(status, 0, 10**6)
        assert sent == 0  # such files say that they are empty
        with Path("/dev/zero").open("rb", buffering=0) as zeros:
            sending = start(connection.send_file, zeros, 0, 300_000)
            assert peer.reader.readexactly(300_000) == bytes(300_000)
            assert sending.result() == 300_000


def test_a_timeout_in_a_file_ends_sending_but_not_reading(ends: Ends, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(TOO_MUCH))
    with ends(limits=SMALL) as (connection, peer):
        peer.pause()
        with pytest.raises(SendTimeout) as caught:
            connection.send_file(path, timeout=0.1)
        assert 0 < caught.value.unsent < TOO_MUCH
        with pytest.raises(ClosedError, match="timed out"):
            connection.send_file(path)
        peer.writer.write(b"still here\n")
        assert connection.read_line() == "still here"


def test_a_reset_wakes_who_sends_a_file(ends: Ends, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(TOO_MUCH))
    with ends(limits=SMALL) as (connection, peer):
        sending = [start(connection.send_file, path) for _ in range(2)]
        peer.reader.readexactly(1)
        sleep(0.02)  # the other waits behind it by now, or hears the same when it comes
        peer.reset()
        for outcome in gather(*sending, return_exceptions=True):
            assert isinstance(outcome, ConnectionLost)


def test_a_file_that_cannot_be_sent_is_refused_and_nothing_is_broken(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("text", encoding="utf-8")
    with pair() as (connection, peer):
        with pytest.raises(FileNotFoundError):
            connection.send_file(tmp_path / "missing")
        with pytest.raises(IsADirectoryError):
            connection.send_file(tmp_path)
        with text.open(encoding="utf-8") as opened:
            for wrong in (opened, b"bytes", 5):
                with pytest.raises(UsageError, match="file"):
                    connection.send_file(wrong)  # type: ignore[arg-type]
        for arguments in ({"offset": -1}, {"count": -1}, {"count": "all"}):
            with pytest.raises(UsageError, match=next(iter(arguments))):
                connection.send_file(text, **arguments)  # type: ignore[arg-type]
        connection.send(b"fine")
        assert peer.reader.readexactly(4) == b"fine"


def test_a_file_that_fails_half_way_ends_sending() -> None:
    class Failing(Stream):
        def read(self, size: int = -1) -> bytes:
            if len(self._rest) < 15_000:
                raise OSError("the disk is gone")
            return super().read(size)

    with pair() as (connection, _):
        with Failing(bytes(30_000)) as failing, pytest.raises(OSError, match="disk"):
            connection.send_file(failing)
        with pytest.raises(ClosedError, match="file"):
            connection.send(b"x")


def end_and_read(connection: tcp.Connection) -> None:
    """uvloop hears no complaint when it ends a direction of a connection that was reset: the reset is read."""
    connection.send_eof()
    connection.read()


@pytest.mark.parametrize("method", ["send", "send_line", "send_many", "send_frame", "send_file", "send_eof"])
def test_a_reset_that_the_system_knows_of_is_an_error_of_the_very_write_that_meets_it(
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
        connection = tcp.connect(f"127.0.0.1:{listener.getsockname()[1]}")
        peer, _ = listener.accept()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()  # over the loopback the reset is here when this returns, whether the loop has looked or not
        with pytest.raises(ConnectionLost):
            writes[method](connection)
        if method != "send_eof":
            with pytest.raises(ConnectionLost):
                connection.send(b"x")
        connection.close()


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_parts_arrive_as_one_message_whatever_their_sizes(secure: bool, ca: Certificates) -> None:
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
    with tls_pair(ca) if secure else pair() as (connection, peer):
        sending = start(connection.send_many, iter(parts))
        assert peer.reader.readexactly(len(wanted)) == wanted
        sending.result()
        connection.send_many([])
        connection.send_many([b"", b""])
        connection.send_many([b"a", b"b"] * 10)
        assert peer.reader.readexactly(20) == b"ab" * 10


def test_parts_of_messages_that_are_sent_at_the_same_time_do_not_mix() -> None:
    with pair(limits=SMALL) as (connection, peer):
        messages = [[bytes([65 + index]) * size for size in (1, 300_000, 7, 5000)] for index in range(6)]
        sending = [start(connection.send_many, message) for message in messages]
        whole = [b"".join(message) for message in messages]
        size = len(whole[0])
        arrived = peer.reader.readexactly(size * len(whole))
        gather(*sending)
        assert sorted(arrived[at : at + size] for at in range(0, len(arrived), size)) == whole


def test_a_bytearray_may_be_changed_as_soon_as_something_of_it_has_left() -> None:
    with pair(limits=SMALL) as (connection, peer):
        data, other = bytearray(b"a" * 4_000_000), bytearray(b"b" * 4_000_000)
        sending = start(connection.send_many, [data, memoryview(other)])
        assert peer.reader.readexactly(1) == b"a"
        for changed in (data, other):
            changed[:] = b"?" * len(changed)
        data.clear()  # nobody looks at it any more either
        wanted = b"a" * 3_999_999 + b"b" * 4_000_000
        assert peer.reader.readexactly(len(wanted)) == wanted
        sending.result()


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
def test_a_file_is_sent_after_one_message_and_before_another(
    ends: Ends, file: Path, offset: int, count: int | None, wanted: bytes
) -> None:
    with ends() as (connection, peer):
        whole = b"before" + wanted + b"after"
        reading = start(peer.reader.readexactly, len(whole))
        connection.send(b"before")
        assert connection.send_file(file, offset, count) == len(wanted)
        connection.send(b"after")
        assert reading.result() == whole


def test_a_large_file_goes_through_a_slow_reader_who_is_heard_meanwhile(ends: Ends, tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as large:
        for number in range(TOO_MUCH // 4096):
            large.write(struct.pack(">I", number) * 1024)
    with ends(limits=SMALL) as (connection, peer):
        sending = start(connection.send_file, path)
        first = peer.reader.readexactly(1)
        peer.say(b"still listening\n")
        assert connection.read_line() == "still listening"
        assert not sending.done()
        assert first + peer.reader.readexactly(TOO_MUCH - 1) == path.read_bytes()
        assert sending.result() == TOO_MUCH
        connection.send(b"next")
        assert peer.reader.readexactly(4) == b"next"
