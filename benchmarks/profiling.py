"""One end of a case under cProfile, where BENCH_PROFILE names it: what it spent its time on goes to stderr."""

from __future__ import annotations

import cProfile
import os
import pstats
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

VARIABLE = "BENCH_PROFILE"
FUNCTIONS = 40


def _leave(number: int, frame: object) -> None:
    raise KeyboardInterrupt


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
        pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(FUNCTIONS)
