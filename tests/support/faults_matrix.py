"""Every way to read from a connection and every way to write to one, each with a model of what it does, for the matrices of faults.

The models are written from the documentation, on whole byte strings, and know nothing of buffers, rules or time.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wirelane import tcp

Items = list[Any]
ReadCall = Callable[[tcp.Connection, Items, dict[str, float]], Coroutine[Any, Any, None]]

REST = b"| what follows"
"""What the peer sends after a message: the next read has to see it."""


@dataclass(frozen=True)
class Outcome:
    """What a read has after so many bytes.

    Attributes:
        items: What it has returned.
        left: What is unread.
        done: It is over; otherwise it waits, or fails.
    """

    items: Items
    left: bytes
    done: bool


@dataclass(frozen=True)
class Read:
    """A way to read.

    Attributes:
        name: Its name in the reports.
        message: What the peer sends.
        call: Reads it, and appends what it gets.
        model: What it has after a prefix of the stream, and whether that has ended in order.
        to_the_end: It goes on until the stream ends.
        idle_ends: Silence is an end.
        pieces: What it gets depends on how the network cut the bytes: they count when joined.
    """

    name: str
    message: bytes
    call: ReadCall
    model: Callable[[bytes, bool], Outcome]
    to_the_end: bool = False
    idle_ends: bool = False
    pieces: bool = False

    def __repr__(self) -> str:
        return self.name

    def joined(self, items: Items) -> Items:
        """Items as they are compared."""
        return [b"".join(items)] if self.pieces else items


def one(cut: Callable[[bytes], int | None], make: Callable[[bytes], Any] = bytes) -> Any:
    """The model of a read for one message: `cut` finds its length in a prefix of the stream, `make` its result."""

    def model(prefix: bytes, ended: bool) -> Outcome:
        size = cut(prefix)
        return (
            Outcome([], prefix, False)
            if size is None
            else Outcome([make(prefix[:size])], prefix[size:], True)
        )

    return model


def many(cut: Callable[[bytes], int | None], make: Callable[[bytes], Any], last: bool) -> Any:
    """The model of an iteration; whether what is left at the end is a `last` item too."""

    def model(prefix: bytes, ended: bool) -> Outcome:
        items = []
        while (size := cut(prefix)) is not None:
            items.append(make(prefix[:size]))
            prefix = prefix[size:]
        if ended and prefix and last:
            items.append(make(prefix))
            prefix = b""
        return Outcome(items, prefix, ended and not prefix)

    return model


def all_that_comes(prefix: bytes, ended: bool) -> Outcome:
    """The model of a read of whatever comes until the end, given out as it comes."""
    return Outcome([prefix] if prefix else [], b"", ended)


def whole_stream(prefix: bytes, ended: bool) -> Outcome:
    """The model of a read of the whole stream in one."""
    return Outcome([prefix], b"", True) if ended else Outcome([], prefix, False)


def returning(function: Callable[..., Awaitable[Any]]) -> ReadCall:
    """A call of a read that returns its result."""

    async def call(connection: tcp.Connection, got: Items, times: dict[str, float]) -> None:
        got.append(await function(connection, **times))

    return call


def iterating(function: Callable[..., AsyncIterator[Any]]) -> ReadCall:
    """A call of a read that is an iteration, to the end of the stream."""

    async def call(connection: tcp.Connection, got: Items, times: dict[str, float]) -> None:
        async for item in function(connection, **times):
            got.append(item)

    return call


async def _whatever(connection: tcp.Connection, got: Items, times: dict[str, float]) -> None:
    while data := await connection.read(**times):  # type: ignore[arg-type]
        got.append(data)


async def _more(connection: tcp.Connection, got: Items, times: dict[str, float]) -> None:
    times.pop("idle_timeout", None)
    got.append(await connection.more(**times))


def _more_model(prefix: bytes, ended: bool) -> Outcome:
    return Outcome([bool(prefix)], prefix, True) if prefix or ended else Outcome([], b"", False)


async def _chunks(connection: tcp.Connection, got: Items, times: dict[str, float]) -> None:
    async for chunk in connection if not times else connection.chunks(**times):  # type: ignore[arg-type]
        got.append(chunk)


async def _until_idle(connection: tcp.Connection, got: Items, times: dict[str, float]) -> None:
    # Its silence is its end, and is what the others have as their timeout.
    idle = times.get("timeout", times.get("idle_timeout", 5.0))
    got.append(await connection.read_until_idle(idle))


def _size(size: int) -> Callable[[bytes], int | None]:
    return lambda prefix: size if len(prefix) >= size else None


def _pattern(pattern: bytes) -> Callable[[bytes], int | None]:
    """The end of the first match there would be if bytes came one by one."""

    def cut(prefix: bytes) -> int | None:
        ends = (size for size in range(len(prefix) + 1) if re.search(pattern, prefix[:size]))
        return next(ends, None)

    return cut


def _first(*cuts: Callable[[bytes], int | None]) -> Callable[[bytes], int | None]:
    return lambda prefix: min((size for cut in cuts if (size := cut(prefix)) is not None), default=None)


def _framed(width: int) -> Callable[[bytes], int | None]:
    def cut(prefix: bytes) -> int | None:
        size = width + int.from_bytes(prefix[:width], "big")
        return size if width <= len(prefix) and size <= len(prefix) else None

    return cut


def _text(line: bytes) -> str:
    return line.removesuffix(b"\n").decode()


def _record(data: bytes) -> tuple[bytes, bytes]:
    return data[:-2], data[-2:]


_CRLF = _pattern(rb"\r\n")
_LF = _pattern(rb"\n")

READS = (
    Read("read()", b"as it comes", _whatever, all_that_comes, to_the_end=True, pieces=True),
    Read(
        "read(size)",
        b"exactly fifteen",
        returning(lambda c, **t: c.read(15, **t)),
        one(_size(15)),
    ),
    Read(
        "read(marker)",
        b"a\rb\nc\r\r\n",
        returning(lambda c, **t: c.read(marker=b"\r\n", **t)),
        one(_CRLF),
    ),
    Read(
        "read(size, markers)",
        b"up to ten bytes",
        returning(lambda c, **t: c.read(10, marker=(b"\r\n", b"\0"), **t)),
        one(_first(_CRLF, _size(10))),
    ),
    Read("read_line", "zażółć gęślą\n".encode(), returning(lambda c, **t: c.read_line(**t)), one(_LF, _text)),
    Read(
        "read_line(utf-16)",
        "ਊĊ\n".encode("utf-16-le"),
        returning(lambda c, **t: c.read_line("utf-16-le", **t)),
        one(
            lambda prefix: next(
                (i + 2 for i in range(0, len(prefix) - 1, 2) if prefix[i : i + 2] == b"\n\0"), None
            ),
            lambda line: line[:-2].decode("utf-16-le"),
        ),
    ),
    Read(
        "read_exactly", b"exactly fifteen", returning(lambda c, **t: c.read_exactly(15, **t)), one(_size(15))
    ),
    Read(
        "read_until",
        b"root$x# ",
        returning(lambda c, **t: c.read_until((b"$ ", b"# "), **t)),
        one(_pattern(rb"[$#] "), _record),
    ),
    Read(
        "read_until_eof",
        b"the whole stream",
        returning(lambda c, **t: c.read_until_eof(**t)),
        whole_stream,
        to_the_end=True,
    ),
    Read("read_until_idle", b"until silence", _until_idle, whole_stream, to_the_end=True, idle_ends=True),
    Read(
        "read_regex",
        b"0012 of 345;",
        returning(lambda c, **t: c.read_regex(rb"\d+;", **t)),
        one(_pattern(rb"\d+;")),
    ),
    Read(
        "read_frame",
        b"\0\x0aten bytes!",
        returning(lambda c, **t: c.read_frame(2, **t)),
        one(_framed(2), lambda frame: frame[2:]),
    ),
    Read(
        "read_frames",
        b"\x03one\0\x05three",
        iterating(lambda c, **t: c.read_frames(1, **t)),
        many(_framed(1), lambda frame: frame[1:], last=False),
        to_the_end=True,
    ),
    Read(
        "lines",
        b"one\n\ntwo\nthree",
        iterating(lambda c, **t: c.lines(**t)),
        many(_LF, _text, last=True),
        to_the_end=True,
    ),
    Read(
        "records",
        b"one\r\ntwo\r\n\r\nend",
        iterating(lambda c, **t: c.records(b"\r\n", **t)),
        many(_CRLF, lambda record: record.removesuffix(b"\r\n"), last=True),
        to_the_end=True,
    ),
    Read("chunks", b"as it comes", _chunks, all_that_comes, to_the_end=True, pieces=True),
    Read("more", b"x", _more, _more_model),
)


@dataclass(frozen=True)
class Write:
    """A way to write.

    Attributes:
        name: Its name in the reports.
        call: Sends a payload: connection, payload, timeout, a directory for files.
        wire: What that is on the wire.
    """

    name: str
    call: Callable[[tcp.Connection, bytes, float | None, Path], Coroutine[Any, Any, object]]
    wire: Callable[[bytes], bytes] = bytes

    def __repr__(self) -> str:
        return self.name


def _file(directory: Path, data: bytes) -> Path:
    path = directory / "payload"
    path.write_bytes(data)
    return path


WRITES = (
    Write("send", lambda c, data, timeout, _: c.send(data, timeout)),
    Write(
        "send_line",
        lambda c, data, timeout, _: c.send_line(data.decode("latin-1"), "latin-1", timeout=timeout),
        lambda data: data + b"\n",
    ),
    Write(
        "send_many",
        lambda c, data, timeout, _: c.send_many([data[:7], b"", data[7:5000], data[5000:]], timeout),
    ),
    Write(
        "send_frame",
        lambda c, data, timeout, _: c.send_frame(data, timeout=timeout),
        lambda data: len(data).to_bytes(4, "big") + data,
    ),
    Write("send_file", lambda c, data, timeout, tmp: c.send_file(_file(tmp, data), timeout=timeout)),
)
