"""Threads for functions that block, and feeds: who runs what, and when."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from wirelane.sync._feeding import Feed
from wirelane.sync._streams import BATCH, OUTBOX
from wirelane.sync._threads import Threads


def test_work_never_waits_for_a_thread_that_has_other_work() -> None:
    """As long as there may be more threads, all that was submitted runs at once: each waits here for the others."""
    threads = Threads(4)
    met = threading.Semaphore(0)
    for _ in range(300):
        together = threading.Barrier(4, timeout=20)

        def work(together: threading.Barrier = together) -> None:
            together.wait()
            met.release()

        for _ in range(4):
            threads.submit(work)
        for _ in range(4):
            assert met.acquire(timeout=30)


@pytest.fixture
def no_more_threads() -> Iterator[Callable[[], None]]:
    """Lets the system refuse every further thread, by asking for stacks that it has no room for; called again, lets it give some."""
    before = threading.stack_size()
    yield lambda: threading.stack_size(before if threading.stack_size() != before else 2**62)
    threading.stack_size(before)


def test_work_waits_for_the_threads_there_are_where_the_system_gives_no_more(
    no_more_threads: Callable[[], None],
) -> None:
    """Where there is none at all, `submit` says so, and later work gets a thread as soon as there is one."""
    threads = Threads(4)
    done = threading.Semaphore(0)
    busy, go = threading.Event(), threading.Event()

    def wait() -> None:
        busy.set()
        go.wait(20)
        done.release()

    no_more_threads()
    with pytest.raises(RuntimeError, match="thread"):
        threads.submit(done.release)
    assert repr(threads) == "<Threads 0 of 4, 0 idle>"
    no_more_threads()
    threads.submit(wait)
    assert busy.wait(20)
    no_more_threads()
    for _ in range(3):
        threads.submit(done.release)
    assert not done.acquire(timeout=0)
    go.set()
    for _ in range(4):
        assert done.acquire(timeout=20)


async def test_a_feed_that_was_stopped_before_its_thread_began_runs_nothing() -> None:
    """The handler of a call that is over by the time a thread is free is not called."""
    began: list[str] = []
    later: list[Callable[[], None]] = []

    def items() -> Iterator[int]:
        began.append("began")
        yield 1

    feed = Feed(items(), start=later.append)
    waiting = feed.__anext__()
    waiting.send(None)
    await feed.aclose()
    later[0]()
    waiting.close()
    assert not began


async def collected(
    feed: Feed, look: Callable[[int], None] | None = None, into: list[object] | None = None
) -> list[object]:
    """All items; looks around each time one was taken."""
    items: list[object] = [] if into is None else into
    async for item in feed:
        items.append(item)
        if look is not None:
            look(len(items))
    return items


async def test_a_feed_goes_ahead_by_a_batch_at_most() -> None:
    """However slowly the items are taken; all come, in order."""
    made = 0
    most = 0

    def items() -> Iterator[int]:
        nonlocal made
        for n in range(BATCH * 20):
            made = n + 1
            yield n

    def look(taken: int) -> None:
        nonlocal most
        most = max(most, made - taken)

    assert await collected(Feed(items()), look) == list(range(BATCH * 20))
    assert 0 < most <= BATCH


async def test_a_feed_that_packs_goes_ahead_by_octets() -> None:
    """Of messages that are larger than a batch may be, one waits while the next is being made."""
    made = 0
    most = 0
    threads = set()

    def items() -> Iterator[int]:
        nonlocal made
        for n in range(200):
            made = n + 1
            yield n

    def pack(n: int) -> tuple[bytes, bool]:
        threads.add(threading.get_ident())
        return bytes(OUTBOX + n), False

    def look(taken: int) -> None:
        nonlocal most
        most = max(most, made - taken)

    feed = Feed(items())
    feed.pack = pack
    assert await collected(feed, look) == [(bytes(OUTBOX + n), False) for n in range(200)]
    assert most <= 1
    assert threading.get_ident() not in threads


async def test_a_feed_whose_first_item_goes_alone_waits_after_it() -> None:
    """The second is made when the first was taken and more is asked for, not before."""
    asked = threading.Event()
    early: list[bool] = []

    def items() -> Iterator[str]:
        yield "first"
        early.append(not asked.is_set())
        yield "second"

    feed = Feed(items(), first_alone=True)
    assert await anext(feed) == "first"
    for _ in range(20):
        await asyncio.to_thread(lambda: None)
    asked.set()
    assert await collected(feed) == ["second"]
    assert early == [False]


@pytest.mark.parametrize("taken", [0, 1, 5])
async def test_a_feed_that_is_closed_lets_its_thread_end(taken: int) -> None:
    """Also one that waits for room; the generator is closed there."""
    closed = threading.Event()
    full = threading.Event()

    def items() -> Iterator[int]:
        try:
            for n in range(BATCH * 3):
                if n >= BATCH - 1:
                    full.set()
                yield n
        finally:
            closed.set()

    feed = Feed(items())
    first = asyncio.create_task(anext(feed))
    assert await asyncio.to_thread(full.wait, 20)
    await first
    for _ in range(taken):
        await anext(feed)
    await feed.aclose()
    assert await asyncio.to_thread(closed.wait, 20)


async def test_what_the_iterable_or_the_packing_raises_comes_at_its_place() -> None:
    """After the items before it; a generator that was not used up is closed."""
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from range(10)
        finally:
            closed.set()

    def pack(n: int) -> tuple[bytes, bool]:
        if n == 7:
            raise LookupError("no seven")
        return b"%d" % n, False

    feed = Feed(items())
    feed.pack = pack
    got: list[object] = []
    with pytest.raises(LookupError, match="no seven"):
        await collected(feed, into=got)
    assert got == [(b"%d" % n, False) for n in range(7)]
    assert closed.is_set()


async def test_what_is_no_generator_is_not_closed() -> None:
    """A file whose lines are sent is the caller's."""

    class Lines:
        closed = False

        def __iter__(self) -> Iterator[int]:
            return self

        def __next__(self) -> int:
            return 1

        def close(self) -> None:
            self.closed = True

    ended = threading.Event()

    def start(work: Callable[[], None]) -> None:
        def run() -> None:
            work()
            ended.set()

        threading.Thread(target=run).start()

    lines = Lines()
    feed = Feed(lines, start=start)
    assert await anext(feed) == 1
    await feed.aclose()
    assert await asyncio.to_thread(ended.wait, 20)
    assert not lines.closed


async def test_no_item_is_left_lying() -> None:
    """Whoever of the two threads looks away when: each item wakes a loop that waits for it, each request for more the thread."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        async with asyncio.timeout(60):
            for n in range(300):
                items = iter(range(n * 3))
                assert await collected(Feed(items, first_alone=n % 2 == 0)) == list(range(n * 3))
    finally:
        sys.setswitchinterval(before)
