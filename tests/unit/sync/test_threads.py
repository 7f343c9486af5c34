"""Threads for functions that block, and feeds: who runs what, and when."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from wirelane.sync._feeding import Feed
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
