"""Name lookups off the loop: bounded, shared, forgotten when nobody waits, and never in the way of other threads."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading

import pytest

from support.net_support import settle
from wirelane import ConnectError, ResolveError, tcp
from wirelane.net import lookup as module
from wirelane.net.lookup import MOST_THREADS, lookup

ANSWER = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 1))]


class Resolver:
    """The system's resolver, which answers when a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()
        self._answers = threading.Event()
        monkeypatch.setattr(socket, "getaddrinfo", self.getaddrinfo)

    def getaddrinfo(self, host, *_args, **_options):
        with self._lock:
            self.asked.append(host)
            self._now += 1
            self.most = max(self.most, self._now)
        assert self._answers.wait(30)
        with self._lock:
            self._now -= 1
        return ANSWER

    def answer(self) -> None:
        self._answers.set()

    async def until_asked(self, count: int) -> None:
        while len(self.asked) < count:
            await asyncio.sleep(0.001)


@pytest.fixture
def resolver(monkeypatch):
    resolver = Resolver(monkeypatch)
    yield resolver
    resolver.answer()


async def test_no_more_than_so_many_run_at_once_and_all_are_answered(resolver) -> None:
    tasks = [asyncio.create_task(lookup(f"h{i}", 1, 0)) for i in range(MOST_THREADS + 20)]
    await resolver.until_asked(MOST_THREADS)
    await settle()
    assert len(resolver.asked) == MOST_THREADS
    resolver.answer()
    assert await asyncio.gather(*tasks) == [ANSWER] * len(tasks)
    assert resolver.most == MOST_THREADS


async def test_those_who_ask_for_the_same_share_one_lookup(resolver) -> None:
    tasks = [asyncio.create_task(lookup("same", 1, 0)) for _ in range(5)]
    other = asyncio.create_task(lookup("same", 2, 0))
    await resolver.until_asked(2)
    tasks[0].cancel()
    await settle()
    resolver.answer()
    assert await asyncio.gather(*tasks[1:], other) == [ANSWER] * 5
    assert resolver.asked == ["same", "same"]
    assert not module._asked


async def test_a_lookup_that_nobody_waits_for_any_more_is_not_made(resolver) -> None:
    tasks = [asyncio.create_task(lookup(f"h{i}", 1, 0)) for i in range(MOST_THREADS)]
    await resolver.until_asked(MOST_THREADS)
    late = asyncio.create_task(lookup("late", 1, 0))
    await settle()
    late.cancel()
    with pytest.raises(asyncio.CancelledError):
        await late
    resolver.answer()
    await asyncio.gather(*tasks)
    assert await lookup("after", 1, 0) == ANSWER
    assert "late" not in resolver.asked


async def test_who_asks_again_at_once_asks_anew(resolver) -> None:
    """After a timeout, in the same turn of the loop: the lookup that was given up is nobody's any more."""
    for _ in range(3):
        with pytest.raises(ConnectError, match="resolving the name took longer"):
            await tcp.connect("again.test:1", connect_timeout=0.01)
    again = asyncio.create_task(lookup("again.test", 1, 0))
    await settle()
    resolver.answer()
    assert await again == ANSWER
    assert not module._asked


async def test_a_machine_without_a_thread_to_spare_is_an_error_and_lookups_go_on_later() -> None:
    threads, module._threads = module._threads, module._Threads()
    before = threading.stack_size(2**45)  # more than there is
    try:
        for name in ("a.test", "a.test", "b.test"):
            with pytest.raises(ResolveError, match="no thread to ask in") as caught:
                await tcp.connect(f"{name}:1", connect_timeout=10)
            assert "how many" in str(caught.value)
        threading.stack_size(before)
        assert not module._asked
        for _ in range(3):
            assert await asyncio.wait_for(lookup("localhost", 1, 0), 10)
    finally:
        threading.stack_size(before)
        module._threads = threads


async def test_an_error_is_told_to_all_who_wait(monkeypatch) -> None:
    def getaddrinfo(*_args, **_options):
        raise socket.gaierror(socket.EAI_AGAIN, "later")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    results = await asyncio.gather(*(lookup("x", 1, 0) for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [socket.gaierror] * 3


async def test_names_that_are_never_answered_stop_no_other_threads(resolver) -> None:
    """A connection ends at its timeout, and `to_thread` goes on although every lookup hangs."""
    tasks = [asyncio.create_task(lookup(f"h{i}", 1, 0)) for i in range(2 * MOST_THREADS)]
    await resolver.until_asked(MOST_THREADS)
    with pytest.raises(ConnectError, match="resolving the name took longer"):
        await tcp.connect("late.test:1", connect_timeout=0.01)
    assert await asyncio.to_thread(os.getpid) == os.getpid()
    resolver.answer()
    await asyncio.gather(*tasks)


def test_a_loop_that_ended_meanwhile_is_forgotten(resolver) -> None:
    async def ask() -> None:
        task = asyncio.create_task(lookup("x", 1, 0))
        await resolver.until_asked(1)
        task.cancel()

    asyncio.run(ask())
    resolver.answer()
    assert asyncio.run(lookup("y", 1, 0)) == ANSWER
    assert not module._asked


def test_a_process_ends_although_a_lookup_hangs() -> None:
    program = """
import asyncio, socket, threading
from wirelane import tcp

def getaddrinfo(*args, **options):
    threading.Event().wait()

socket.getaddrinfo = getaddrinfo


async def main():
    try:
        await tcp.connect("x.test:1", connect_timeout=0.2)
    except OSError as error:
        print(type(error).__name__)

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.stdout.split() == ["ConnectError"], done.stderr


def test_a_child_of_a_fork_looks_names_up_too() -> None:
    program = """
import asyncio, os
from wirelane.net.lookup import lookup
asyncio.run(lookup("localhost", 1, 0))
child = os.fork()
if child == 0:
    asyncio.run(lookup("localhost", 1, 0))
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.stdout.split() == ["7"], done.stderr
