"""One question, one answer, on a connection of its own."""

from __future__ import annotations

import asyncio

import pytest

from support.tcp_support import streams_server
from wirelane import tcp
from wirelane.core.limits import Limits
from wirelane.errors import ConnectionLost, EndOfStream, LimitExceeded, ReadTimeout, SendTimeout, UsageError


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def test_a_request_returns_one_reply_and_closes() -> None:
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readline()).upper() + b"second line\n")
        assert await reader.read() == b""
        ended.set()

    async with streams_server(serve) as address:
        assert await tcp.request(address, "echo this!\n") == b"ECHO THIS!\n"
        await ended.wait()


async def test_text_is_encoded_and_bytes_are_sent_as_they_are() -> None:
    async with streams_server(echo) as address:
        assert await tcp.request(address, "ж\n", encoding="cp1251") == b"\xe6\n"
        assert await tcp.request(address, b"a;b", marker=(b";", b"\n"), keep_marker=False) == b"a"
        assert await tcp.request(address, bytearray(b"abcdef\n"), max_bytes=4) == b"abcd"


async def test_without_a_marker_the_reply_is_what_comes_until_the_peer_closes() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"line 1\nline 2\nno newline")

    async with streams_server(serve) as address:
        assert await tcp.request(address, "go\n", marker=None) == b"line 1\nline 2\nno newline"
        with pytest.raises(LimitExceeded):
            await tcp.request(address, "go\n", marker=None, max_bytes=10)


async def test_an_incomplete_reply_is_an_error_that_carries_it() -> None:
    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"half")

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"half")
        await reader.read()

    async with streams_server(close) as address:
        with pytest.raises(EndOfStream) as ended:
            await tcp.request(address, "a\n")
        assert ended.value.partial == b"half"
    async with streams_server(hang) as address:
        with pytest.raises(ReadTimeout) as late:
            await tcp.request(address, "a\n", timeout=0.1)
        assert late.value.partial == b"half"


async def test_a_peer_that_takes_nothing_cannot_hold_a_request() -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    async with streams_server(deaf) as address:
        with pytest.raises(SendTimeout):
            await tcp.request(address, bytes(32 * 1024 * 1024), timeout=0.2, limits=Limits(close_timeout=600))


async def test_a_cancelled_request_leaves_nothing_open() -> None:
    gone = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        asking.cancel()
        try:
            await reader.read()
        except ConnectionError:
            pass
        gone.set()

    async with streams_server(hang) as address:
        asking = asyncio.create_task(tcp.request(address, "a\n"))
        with pytest.raises(asyncio.CancelledError):
            await asking
        await gone.wait()


async def test_a_reset_in_place_of_a_reply_is_a_lost_connection() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()  # type: ignore[attr-defined]  # with unread data, the kernel sends RST

    async with streams_server(reset) as address:
        with pytest.raises((ConnectionLost, EndOfStream)):
            await tcp.request(address, b"x" * 100_000)


async def test_what_cannot_be_sent_is_refused() -> None:
    with pytest.raises(UsageError):
        await tcp.request("localhost:1", 5)  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        await tcp.request("localhost:1", b"", timeout=-1)
