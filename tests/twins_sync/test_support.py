"""What the tests themselves are made of.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from support.client_support import raw_server
from support.twins_sync_support import Event, elsewhere, gather, sleep, start, there, until
from support.wire_support import Frame


@there
class Place:
    """Something that belongs to a loop."""

    def __init__(self) -> None:
        self.visits: list[Any] = []
        self.left_by: BaseException | None = None
        self.inner: list[Place] = []

    async def visit(self, who: Any) -> Any:
        self.visits.append(who)
        return threading.current_thread().name

    def here(self) -> str:
        return threading.current_thread().name


@there
@asynccontextmanager
async def place(made: Place, fails: str = "") -> AsyncIterator[Place]:
    """The place, entered in the loop that runs."""
    await asyncio.sleep(0)
    if fails == "entering":
        raise LookupError("no such place")
    made.inner = [Place()]
    try:
        yield made
    except BaseException as error:
        made.left_by = error
        raise
    await asyncio.sleep(0)
    if fails == "leaving":
        raise LookupError("no way out")


def test_what_is_elsewhere_is_called_in_a_thread_of_its_own() -> None:
    """Coroutines and plain methods, and those of what it holds; what is handed to it is itself there."""
    with elsewhere(place, Place()) as at:
        assert at.visit("me") == at.here() == "side loop"
        (inner,) = at.inner
        assert inner.visit(at) == "side loop"
        assert inner.visits == [at]
        assert type(inner._target.visits[0]) is Place
        at.visits = []
        assert at.visits == []
    with pytest.raises(RuntimeError, match="left"):
        at.here()


def test_what_a_place_raises_is_raised_in_the_test() -> None:
    """When it is entered, when it is left, and what its coroutines raise."""
    with pytest.raises(LookupError, match="no such place"):
        with elsewhere(place, Place(), "entering"):
            raise AssertionError
    with pytest.raises(LookupError, match="no way out"):
        with elsewhere(place, Place(), fails="leaving"):
            pass
    made = Place()
    with pytest.raises(ZeroDivisionError) as failed:
        with elsewhere(place, made):
            raise ZeroDivisionError
    assert made.left_by is failed.value


def test_what_is_left_there_fails_the_test() -> None:
    """A task that nobody ended."""

    @there
    @asynccontextmanager
    async def careless() -> AsyncIterator[None]:
        task = asyncio.create_task(asyncio.Event().wait(), name="forgotten")
        yield
        assert not task.done()

    with pytest.raises(AssertionError, match="forgotten"):
        with elsewhere(careless):
            pass


def test_peers_come_out_of_a_queue_that_is_elsewhere() -> None:
    """As proxies; frames are values."""
    with elsewhere(raw_server) as raw:
        with socket.create_connection(("127.0.0.1", raw.port)) as client:
            peer = raw.peers.get()
            client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5))
            heard = peer.next(4)
            assert type(heard) is Frame
            assert raw.all == [peer]
            peer.close()


def test_an_event_is_waited_for_in_the_test_and_in_a_loop() -> None:
    """Whoever sets it."""
    asked, answered = Event(), Event()

    @there
    @asynccontextmanager
    async def answering() -> AsyncIterator[None]:
        async def answer() -> None:
            await asked.wait()
            answered.set()

        task = asyncio.create_task(answer())
        yield
        await task

    with elsewhere(answering):
        assert not answered.is_set()
        asked.set()
        answered.wait()
    answered.clear()
    running = start(answered.wait)
    assert not running.done()
    answered.set()
    running.result()
    assert running.done()


def test_functions_run_at_the_same_time() -> None:
    """Each gives what it returns, or raises what it raises."""
    met: list[int] = []

    def meet(number: int) -> int:
        met.append(number)
        until(lambda: len(met) == 3)
        sleep(0.001 * number)
        if number == 1:
            raise LookupError(number)
        return number

    running = [start(meet, number) for number in range(3)]
    results = gather(*running, return_exceptions=True)
    assert [str(result) for result in results] == ["0", "1", "2"]
    assert isinstance(results[1], LookupError)
    met[:] = [7, 8]
    with pytest.raises(LookupError):
        gather(start(meet, 1))
