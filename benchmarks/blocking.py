"""Code without await, whoever's: the handlers of its servers, and how its clients run a case.

What an asyncio client has in flight as tasks, a client here has as threads, each with one call at a time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks import profiling, work

# Threads of a server; what wirelane.sync has unless told otherwise.
THREADS = 32

# The handlers; grpcio always gives a context.


def unary(request: Any, context: object = None) -> Any:
    return work.answer(request)


def server_stream(request: Any, context: object = None) -> Iterator[Any]:
    for number in range(request.count):
        yield work.Reply(number=number)


def client_stream(requests: Iterable[Any], context: object = None) -> Any:
    return work.Reply(number=counted(requests))


def bidi_stream(requests: Iterable[Any], context: object = None) -> Iterator[Any]:
    for request in requests:
        yield work.answer(request)


def counted(messages: Iterable[object]) -> int:
    """Read to the end; how many there were."""
    count = 0
    for _ in messages:
        count += 1
    return count


def requests(count: int) -> Iterator[Any]:
    """What a client streams."""
    return (work.Request(count=number) for number in range(count))


def measure(case: work.Case, calls: work.Calls) -> None:
    """Run a case through a stack's client."""
    calls.unary(work.UNARY)(calls.request(name="first"))  # the connection is there
    for count in work.rounds(case):
        if case.kind == "unary":
            _unary(case, calls, count)
        else:
            work.check_count(case, work.stream_of(case, calls)(count), count)


def _unary(case: work.Case, calls: work.Calls, count: int) -> None:
    call_once = work.unary_of(case, calls)

    def worker(number: int) -> None:
        reply = None
        for call in range(count // case.in_flight):
            if case.new_pair:
                reply = call_once(metadata=work.with_new_pair(case, number, call))
            else:
                reply = call_once()
        work.check_reply(case, calls, reply)

    if case.in_flight == 1:
        worker(0)
        return
    with ThreadPoolExecutor(case.in_flight) as threads:
        for done in [threads.submit(worker, number) for number in range(case.in_flight)]:
            done.result()


def entry(serve: Callable[[], None], client: Callable[[int, work.Case], None]) -> None:
    """`MODULE serve` or `MODULE client PORT CASE`."""
    what, *_ = arguments = sys.argv[1:]
    profiling.watch_threads("server" if what == "serve" else "client")
    work.follow(arguments, serve, client)
