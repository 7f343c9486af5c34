"""The first call of `wirelane.sync` in a process: when signals, other threads and a lack of threads are in its way."""

from __future__ import annotations

import subprocess
import sys
import textwrap


def run_script(text: str) -> str:
    """What a script prints, as a process of its own: only there is a call the first."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(text)],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_signal_handler_may_make_a_call_in_the_middle_of_the_first_one() -> None:
    """Wherever it comes: both get their answers, from one loop."""
    printed = run_script(
        """
        import os, signal, sys, threading
        from wirelane.sync import _portal

        async def loop_of():
            import asyncio
            return asyncio.get_running_loop()

        inside = []
        signal.signal(signal.SIGUSR1, lambda *_: inside.append(_portal.run(loop_of)))

        def interrupt(frame, event, argument):
            # Each line of the way into the first call, one after the other.
            if event == "line" and frame.f_code.co_filename == _portal.__file__ and not steps[0]:
                os.kill(os.getpid(), signal.SIGUSR1)
            steps[0] -= event == "line" and frame.f_code.co_filename == _portal.__file__
            return interrupt

        for step in range(60):
            _portal._portal = portal = _portal.Portal()
            steps, inside[:] = [step], []
            sys.settrace(interrupt)
            outside = _portal.run(loop_of)
            sys.settrace(None)
            assert all(loop is outside for loop in inside), (step, inside, outside)
            print(len(inside), end="")
            portal.close()
        """
    )
    assert printed.startswith("1111111111")
    assert set(printed) <= {"0", "1"}


def test_threads_that_make_the_first_call_at_once_share_one_loop() -> None:
    """None starts another."""
    printed = run_script(
        """
        import threading
        from wirelane.sync import _portal

        async def loop_of():
            import asyncio
            return asyncio.get_running_loop()

        together, found = threading.Barrier(16), []

        def first():
            together.wait()
            found.append(_portal.run(loop_of))

        threads = [threading.Thread(target=first) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(len(found), len(set(map(id, found))))
        """
    )
    assert printed.split() == ["16", "1"]


def test_a_first_call_for_which_there_is_no_thread_says_so_and_the_next_works() -> None:
    """With Python's own error; nothing of the failed attempt is left in the way."""
    printed = run_script(
        """
        import threading
        from wirelane.sync import _portal

        async def seven():
            return 7

        before = threading.stack_size(1 << 46)  # more than there is: pthread_create fails
        for _ in range(2):
            try:
                _portal.run(seven)
            except RuntimeError as error:
                print(error)
        threading.stack_size(before)
        print(_portal.run(seven))
        """
    )
    assert printed.splitlines() == ["can't start new thread", "can't start new thread", "7"]
