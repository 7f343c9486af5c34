"""The one event loop behind `wirelane.sync`, and the way into it from any thread.

A process has one such loop, in a daemon thread that the first call starts. `run` hands a function over, waits for what it
gives, and returns or raises it. Its promises:

- What waits is a task of its own, in a copy of the caller's context variables.
- Ctrl-C, and whatever else a signal handler raises, cancels that task, gives it `CANCEL_GRACE` seconds to clean up, and goes on to the caller.
- A caller that is itself inside an event loop is refused: it would block that loop.
- After `os.fork` the child has a loop of its own from its first call on. Nothing of the parent's is touched in the child.
- When the interpreter ends, what was opened and not closed is closed, in `EXIT_GRACE` seconds at most. Daemon threads that call get
  errors then; those that nobody handles are not told.

anyio's BlockingPortal is the model. It makes a task group's task, a cancel scope and a future for each call, which take three
times as long as the way here, and its loop does not come back after a fork.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import threading
from asyncio import _get_running_loop
from collections import deque
from collections.abc import Awaitable, Callable, Container
from functools import partial
from typing import Any, Final, ParamSpec, Protocol, TypeVar
from weakref import WeakValueDictionary

from wirelane._run import loop_factory
from wirelane.errors import ClosedError, UsageError, WirelaneError
from wirelane.sync._job import Job

__all__ = [
    "CANCEL_GRACE",
    "EXIT_GRACE",
    "Bell",
    "Portal",
    "Shell",
    "abandon",
    "call",
    "current",
    "refuse_inside",
    "run",
]

CANCEL_GRACE: Final = 5.0
"""Seconds that a call which Ctrl-C has cancelled may take to clean up; a second Ctrl-C does not wait."""

EXIT_GRACE: Final = 2.0
"""Seconds that closing what is still open may take at the end of the interpreter."""

P = ParamSpec("P")
T = TypeVar("T")


class Shell(Protocol):
    """What holds an object of the loop, as `_facade.Facade` does."""

    _inner: Any


async def _wait(awaitable: Awaitable[T]) -> T:
    return await awaitable


class Bell:
    """Wakes the loop once for all that comes before it has looked: each wake-up is a system call.

    What is to be seen is put there before `ring`, and looked at after `answer`. An interrupt anywhere in `ring` costs a wake-up too
    many at most, where a flag would stay up, and nobody would ever wake the loop again.
    """

    __slots__ = ("_answers", "_rung")

    def __init__(self) -> None:
        self._answers = 0
        self._rung = -1

    def ring(self, wake: Callable[[Callable[[], None]], object], look: Callable[[], None]) -> None:
        """Call `wake(look)`, unless that was done since the last answer; in any thread."""
        answers = self._answers
        if self._rung != answers:
            wake(look)
            self._rung = answers

    def answer(self) -> None:
        """Say that the loop looks now; in the loop's thread."""
        self._answers += 1


class Portal:
    """An event loop in a thread of its own, and a queue of calls into it. Threads share it."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._starting = threading.RLock()  # a signal handler may make a call in the middle of the first one
        self._waiting: deque[Job] = deque()
        self._bell = Bell()
        self._closing = False
        # By their ids, and no WeakSet: that cannot be gone through while other threads put something in.
        self._open: WeakValueDictionary[int, Shell] = WeakValueDictionary()

    def __repr__(self) -> str:
        state = "closed" if self._closing else "running" if self._loop is not None else "not started"
        return f"<Portal {state}>"

    def run(
        self,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        keywords: dict[str, Any],
        keep: Container[type] = (),
    ) -> Any:
        """Call a function in the loop, and return what it gives; if that can be awaited, what awaiting it gives.

        Objects of the types in `keep` are not awaited.
        """
        self.prepare(function)
        return self.wait(Job(function, arguments, keywords, keep))

    def prepare(self, function: Callable[..., Any]) -> None:
        """See to it that the loop runs, and that it is not the caller who runs one.

        Raises:
            UsageError: This thread runs an event loop; the error names the function as what to await there.
        """
        if (running := _get_running_loop()) is not None:
            refuse_inside(running, function)
        if self._loop is None or self._closing:
            self._start()

    def wait(self, job: Job) -> Any:
        """Have a job done, and return its result, or raise its error."""
        try:
            self._submit(job)
            job.done.acquire()
        except BaseException:
            # KeyboardInterrupt, or what another signal handler raised: the loop's thread raises nothing here.
            self._abandon(job)
            raise
        error = job.error
        if error is None:
            return job.result
        try:
            if isinstance(error, asyncio.CancelledError):
                raise ClosedError("the call was cancelled: the interpreter is going down") from error
            raise error
        finally:
            del error, job  # the traceback holds this frame

    def post(self, function: Callable[[], Any]) -> None:
        """Call a function in the loop, and do not wait: what goes wrong in it is its own business to tell."""
        if self._loop is None or self._closing:
            self._start()
        self._submit(Job(function, (), {}))

    def adopt(self, opened: Shell) -> None:
        """Close what this holds at the end of the interpreter, if it is still there then."""
        self._open[id(opened)] = opened

    def _submit(self, job: Job) -> None:
        self._waiting.append(job)
        assert self._loop is not None
        self._bell.ring(self._loop.call_soon_threadsafe, self._take)

    def _take(self) -> None:
        self._bell.answer()
        waiting, loop = self._waiting, self._loop
        assert loop is not None
        while waiting:
            waiting.popleft().start(loop)

    def _abandon(self, job: Job) -> None:
        job.cancelled = True
        loop = self._loop
        if not job.finished and loop is not None and not loop.is_closed():
            # The interrupt may have come between the queue and the bell.
            loop.call_soon_threadsafe(self._take)
            loop.call_soon_threadsafe(job.cancel)
            job.done.acquire(timeout=CANCEL_GRACE)

    def _start(self) -> None:
        with self._starting:
            if self._closing:
                raise ClosedError("the interpreter is going down: wirelane.sync makes no more calls")
            if self._loop is not None:
                return
            _refuse_gevent()
            loop = (loop_factory() or asyncio.new_event_loop)()
            thread = threading.Thread(
                target=_serve, args=(loop,), name="wirelane.sync: event loop", daemon=True
            )
            try:
                thread.start()
            except RuntimeError:  # there are too many
                loop.close()
                raise
            # In one step: a signal handler may have made the first call since we looked.
            self._loop = self._loop or loop
            if self._loop is loop:
                self._thread = thread
            else:
                loop.call_soon_threadsafe(loop.stop)

    def close(self) -> None:
        """Close what is open, cancel what is left, and end the loop: for the end of the interpreter. Bounded in time."""
        with self._starting:
            loop, thread = self._loop, self._thread
            if loop is None or thread is None or not thread.is_alive():
                self._closing = True
                return
        finished = asyncio.run_coroutine_threadsafe(self._wind_up(), loop)
        finished.add_done_callback(lambda _: loop.call_soon_threadsafe(loop.stop))
        thread.join(EXIT_GRACE)

    async def _wind_up(self) -> None:
        opened = [each._inner for one in self._open.valuerefs() if (each := one()) is not None]
        for each in opened:
            if hasattr(each, "_leave_handlers"):
                each._leave_handlers()
        # From here on what handlers call fails, and nobody is told of it.
        self._closing = True
        closing = [asyncio.ensure_future(_wait(each.close())) for each in opened if hasattr(each, "close")]
        if closing:
            await asyncio.wait(closing, timeout=EXIT_GRACE * 0.4)
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=EXIT_GRACE * 0.4)
        for each in opened:
            if not hasattr(each, "close"):
                each.abort()  # a server, whose handlers have had their time


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    while True:
        try:
            loop.run_forever()
        except (KeyboardInterrupt, SystemExit):
            continue  # raised by a task, whose waiter has it already; other calls go on
        break
    loop.close()


def refuse_inside(loop: asyncio.AbstractEventLoop, function: Callable[..., Any]) -> None:
    """Refuse a call inside an event loop, and name the function to await there.

    The loop of a Jupyter kernel is no such loop: a cell that does not await holds it up whatever it does.

    Raises:
        UsageError: Always but there.
    """
    if _is_kernels(loop):
        return
    product = function.__module__.split(".")[1]
    owner = getattr(function, "__self__", None)
    name = f"{type(owner).__name__}.{function.__name__}" if owner is not None else function.__name__
    raise UsageError(
        "wirelane.sync was called inside a running event loop, which it would stop: there, write "
        f"`await ...` with wirelane.{product}.{name}, or make the call in a thread (asyncio.to_thread)"
    )


def _is_kernels(loop: asyncio.AbstractEventLoop) -> bool:
    application = getattr(sys.modules.get("ipykernel.kernelapp"), "IPKernelApp", None)
    if application is None or not application.initialized():
        return False
    kernel = application.instance().kernel
    return getattr(getattr(kernel, "io_loop", None), "asyncio_loop", None) is loop


def _refuse_gevent() -> None:
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("threading"):
        raise UsageError(
            "gevent has patched threads, so the event loop of wirelane.sync would stop every greenlet: patch with "
            "monkey.patch_all(thread=False), or make the calls in gevent.get_hub().threadpool.apply(...)"
        )


_portal = Portal()


def current() -> Portal:
    """Return the portal of this process; another one after a fork."""
    return _portal


def run(function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function of the async library in the loop, and wait for it.

    Raises:
        UsageError: This thread runs an event loop itself.
        ClosedError: The interpreter is going down.
        Everything that the function raises.
    """
    result: T = _portal.run(function, args, kwargs)
    return result


def call(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """As `run`, for a function whose result is not to be awaited: one that touches what belongs to the loop."""
    result: T = _portal.run(function, args, kwargs)
    return result


def _after_fork() -> None:
    global _portal  # noqa: PLW0603  (the process is another one)
    abandon(_portal)
    _portal = Portal()


def abandon(parents: object) -> None:
    """In a child process: let what belongs to the parent never be collected, not even when the interpreter ends.

    To close it, here, would reach what the parent uses: a loop takes its sockets out of the epoll that both processes share.
    """
    import ctypes  # nowhere else needed

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(parents))


os.register_at_fork(after_in_child=_after_fork)


@atexit.register
def _at_exit() -> None:
    threading.excepthook = partial(_tell, threading.excepthook)
    _portal.close()  # the one of this process, by now perhaps a child


def _tell(hook: Callable[[threading.ExceptHookArgs], object], args: threading.ExceptHookArgs, /) -> None:
    """Say nothing of daemon threads whose calls the end of the interpreter has ended: they were to be stopped without a word."""
    if args.thread is None or not args.thread.daemon or not isinstance(args.exc_value, WirelaneError):
        hook(args)
