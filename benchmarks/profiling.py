"""One end of a case under cProfile, where BENCH_PROFILE names it: what it spent its time on goes to stderr.

Of threads, that is also the time they waited.
"""

from __future__ import annotations

import cProfile
import os
import pstats
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

VARIABLE = "BENCH_PROFILE"
FUNCTIONS = 40
# Those of threads, which have no end that we could wait for.
_threads: list[cProfile.Profile] = []


def _leave(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def watch_threads(end: str) -> None:
    """From now on, profile each thread that begins, if this is the end that was asked for, until `asked` is left.

    Before CPython 3.12: since then, a profile has all threads anyway.
    """
    if os.environ.get(VARIABLE) == end and sys.version_info < (3, 12):
        threading.setprofile(_watch)


def _watch(frame: object, event: str, argument: object) -> None:
    """What a thread calls first; the profile takes its place."""
    profile = cProfile.Profile()
    _threads.append(profile)
    profile.enable()


@contextmanager
def asked(end: str) -> Iterator[None]:
    """Profile what runs inside if it is the end that was asked for; a server, until SIGTERM."""
    if os.environ.get(VARIABLE) != end:
        yield
        return
    if end == "server":
        signal.signal(signal.SIGTERM, _leave)
    profile = cProfile.Profile()
    try:
        with profile:
            yield
    except KeyboardInterrupt:
        if end != "server":
            raise
    finally:
        threading.setprofile(None)
        stats = pstats.Stats(profile, stream=sys.stderr)
        stats.add(*_threads)
        _threads.clear()
        stats.sort_stats("tottime").print_stats(FUNCTIONS)
