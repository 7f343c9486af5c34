"""One question, one answer, on a connection of its own: written once, run with asyncio and without."""

from __future__ import annotations

import socket

import pytest

from support.twins_support import Event, Handler, echo, serving
from wirelane import (
    ConnectionLost,
    EndOfStream,
    LimitExceeded,
    Limits,
    ReadTimeout,
    SendTimeout,
    UsageError,
    tcp,
)


def line_of(client: socket.socket) -> bytes:
    """What comes up to a newline."""
    line = b""
    while not line.endswith(b"\n"):
        line += client.recv(4096)
    return line


async def test_a_request_returns_one_reply_and_closes() -> None:
    ended = Event()

    def serve(client: socket.socket) -> None:
        client.sendall(line_of(client).upper() + b"second line\n")
        assert client.recv(1) == b""
        ended.set()

    with serving(serve) as address:
        assert await tcp.request(address, "echo this!\n") == b"ECHO THIS!\n"
        await ended.wait()


async def test_text_is_encoded_and_bytes_are_sent_as_they_are() -> None:
    with serving(echo) as address:
        assert await tcp.request(address, "ж\n", encoding="cp1251") == b"\xe6\n"
        assert await tcp.request(address, b"a;b", marker=(b";", b"\n"), keep_marker=False) == b"a"
        assert await tcp.request(address, bytearray(b"abcdef\n"), max_bytes=4) == b"abcd"


def after_a_line(answer: bytes) -> Handler:
    """A server that takes a line, answers, and closes."""

    def serve(client: socket.socket) -> None:
        line_of(client)
        client.sendall(answer)

    return serve


async def test_without_a_marker_the_reply_is_what_comes_until_the_peer_closes() -> None:
    with serving(after_a_line(b"line 1\nline 2\nno newline")) as address:
        assert await tcp.request(address, "go\n", marker=None) == b"line 1\nline 2\nno newline"
        with pytest.raises(LimitExceeded):
            await tcp.request(address, "go\n", marker=None, max_bytes=10)


async def test_an_incomplete_reply_is_an_error_that_carries_it() -> None:
    def hang(client: socket.socket) -> None:
        client.sendall(b"half")
        while client.recv(100):
            pass

    with serving(after_a_line(b"half")) as address:
        with pytest.raises(EndOfStream) as ended:
            await tcp.request(address, "a\n")
        assert ended.value.partial == b"half"
    with serving(hang) as address:
        with pytest.raises(ReadTimeout) as late:
            await tcp.request(address, "a\n", timeout=0.1)
        assert late.value.partial == b"half"


async def test_a_peer_that_takes_nothing_cannot_hold_a_request() -> None:
    over = Event()

    def deaf(client: socket.socket) -> None:
        over.block()

    with serving(deaf) as address:
        with pytest.raises(SendTimeout):
            await tcp.request(address, bytes(32 * 1024 * 1024), timeout=0.2, limits=Limits(close_timeout=600))
        over.set()


async def test_a_reset_in_place_of_a_reply_is_a_lost_connection() -> None:
    def reset(client: socket.socket) -> None:
        client.recv(1)  # it is closed with unread data, so that the kernel sends RST

    with serving(reset) as address:
        with pytest.raises((ConnectionLost, EndOfStream)):
            await tcp.request(address, b"x" * 100_000)


async def test_what_cannot_be_sent_is_refused() -> None:
    with pytest.raises(UsageError):
        await tcp.request("localhost:1", 5)  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        await tcp.request("localhost:1", b"", timeout=-1)
