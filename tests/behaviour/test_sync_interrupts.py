"""Interrupts at every line that a blocking call goes through: whatever was opened is closed, and the next call works.

A trace function raises at the n-th line of `wirelane.sync` that this thread executes, for every n: as a signal handler may.
Only where Python itself gives no protection is nothing raised: at the first line of a function that ends a block.
"""

from __future__ import annotations

import contextlib
import gc
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import wirelane.sync
from support.client_support import SERVICE, note_schema
from support.sync_support import blocking_server
from support.twins_support import echo, serving
from wirelane.sync import grpc, tcp

# Of a call that was made and never sent, Python says so: it is true.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

ONE, DOWN, BOTH = (f"{SERVICE}/{name}" for name in ("One", "Down", "BothWays"))
SOURCE = str(Path(wirelane.sync.__file__).parent)


class Interrupt(BaseException):
    """What a signal handler raises."""


class AtLine:
    """Raises at the n-th line of `wirelane.sync` that a function executes."""

    def __init__(self, step: int) -> None:
        self.left = step
        self.raised = False
        self.where = ""

    def call(self, function: Callable[[], object]) -> None:
        """Call a function, in a thread of its own: what a trace function raises in an `except` is never let go of by the interpreter."""
        with ThreadPoolExecutor(1) as threads:
            threads.submit(self._call, function).result()

    def _call(self, function: Callable[[], object]) -> None:
        sys.settrace(self._trace)
        try:
            with contextlib.suppress(Interrupt):
                function()
        finally:
            sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        code = frame.f_code
        if not code.co_filename.startswith(SOURCE):
            return self._trace
        begins = {"__exit__": 3, "leave": 7}.get(code.co_name, -1)
        protected = frame.f_lineno <= code.co_firstlineno + begins
        if event == "line" and not self.raised and not protected:
            self.left -= 1
            if self.left < 0:
                self.raised = True
                self.where = f"{code.co_qualname}:{frame.f_lineno}"
                raise Interrupt
        return self._trace


def at_every_line(function: Callable[[], object], check: Callable[[str], None]) -> int:
    """Call the function, interrupted at one line after the other, until it gets through; check each time."""
    for step in range(2000):
        line = AtLine(step)
        line.call(function)
        if not line.raised:
            return step
        gc.collect()
        check(line.where)
    raise AssertionError("it never got through")


def eventually(condition: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.001)


@pytest.fixture
def channel() -> Iterator[grpc.Channel]:
    with blocking_server() as (address, _), grpc.connect(address, schema=note_schema()) as channel:
        yield channel


def idle(channel: grpc.Channel) -> Callable[[str], None]:
    """Checks that no call is open, and that calls work."""

    def check(where: str) -> None:
        eventually(lambda: channel.stats.active == 0, f"a call is open after an interrupt at {where}")
        assert channel.unary(ONE, {"n": 1}, timeout=10)["n"] == 1

    return check


def test_a_unary_call_leaves_nothing_behind(channel: grpc.Channel) -> None:
    """However far it came."""
    assert at_every_line(lambda: channel.unary(ONE, {"n": 1}), idle(channel)) > 20


def test_a_stream_of_replies_leaves_nothing_behind(channel: grpc.Channel) -> None:
    """On the way into its block, in it and out of it."""

    def read() -> None:
        with channel.server_stream(DOWN, {"n": 3}) as stream:
            for _ in stream:
                pass

    assert at_every_line(read, idle(channel)) > 50


def test_a_conversation_leaves_nothing_behind(channel: grpc.Channel) -> None:
    """Sending and receiving."""

    def talk() -> None:
        with channel.bidi_stream(BOTH) as stream:
            stream.send({"n": 1})
            assert stream.receive() is not None
            stream.done_sending()
            assert stream.receive() is None

    assert at_every_line(talk, idle(channel)) > 50


def test_a_pool_loses_no_place() -> None:
    """Neither on the way into the block nor out of it."""

    def ask() -> None:
        with pool.connection() as connection:
            connection.send(b"x\n")
            connection.read_line()

    def check(where: str) -> None:
        eventually(lambda: pool.stats.in_use == 0, f"a place is lost after an interrupt at {where}")

    with serving(echo) as address, tcp.Pool(address, size=1) as pool:
        ask()
        assert at_every_line(ask, check) > 50


def test_connecting_leaves_no_connection_open() -> None:
    """Also when it is there, and nobody has it yet."""
    clients: list[object] = []

    def count(client: Any) -> None:
        clients.append(client)
        try:
            echo(client)
        finally:
            clients.remove(client)

    def check(where: str) -> None:
        eventually(lambda: not clients, f"a connection is open after an interrupt at {where}")

    with serving(count) as address:
        assert at_every_line(lambda: tcp.connect(address).close(), check) > 20
