"""The end of a process that uses `wirelane.sync`, while its threads are at it: soon, and without a word."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest

from support.sync_support import blocking_server


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with blocking_server() as (address, _):
        yield address


def run_script(text: str, address: str) -> tuple[int, str]:
    """How a script ends, and what it says, as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(text), address],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return done.returncode, done.stdout + done.stderr


def test_threads_that_make_channels_do_not_keep_others_from_being_closed(address: str) -> None:
    """What is open is gone through while it grows."""
    script = """
        import sys, threading
        from support.client_support import SERVICE, note_schema
        from wirelane.sync import grpc
        sys.setswitchinterval(1e-5)
        channel = grpc.connect(sys.argv[1], schema=note_schema())
        channels, enough = [], threading.Semaphore(0)

        def make():
            for _ in range(20000):
                channels.append(grpc.Channel(sys.argv[1]))
                enough.release()

        for _ in range(4):
            threading.Thread(target=make, daemon=True).start()
        for _ in range(1000):
            enough.acquire()
    """
    for _ in range(3):
        assert run_script(script, address) == (0, "")


def test_daemon_threads_in_the_middle_of_calls_end_without_a_word(address: str) -> None:
    """As those that block in Python's own calls do."""
    script = """
        import sys, threading
        from support.client_support import SERVICE, note_schema
        from wirelane.sync import grpc
        channel = grpc.connect(sys.argv[1], schema=note_schema())
        began = threading.Semaphore(0)

        def ask():
            while True:
                channel.unary(f"{SERVICE}/One", {"n": 1})
                began.release()

        def talk():
            while True:
                with channel.bidi_stream(f"{SERVICE}/BothWays") as stream:
                    stream.send({"n": 1})
                    stream.receive()
                    began.release()

        for _ in range(8):
            threading.Thread(target=ask, daemon=True).start()
            threading.Thread(target=talk, daemon=True).start()
        for _ in range(100):
            began.acquire()
    """
    for _ in range(3):
        assert run_script(script, address) == (0, "")


def test_what_else_a_daemon_thread_dies_of_is_told(address: str) -> None:
    """Only the errors of calls are those of the end."""
    script = """
        import atexit, sys, threading
        threading.excepthook = lambda args: print("told:", args.exc_value)
        end = threading.Event()
        died = threading.Thread(target=lambda: 1 // (not end.wait()), daemon=True)
        died.start()
        atexit.register(lambda: (end.set(), died.join()))  # called after that of wirelane
        from support.client_support import SERVICE, note_schema
        from wirelane.sync import grpc
        channel = grpc.connect(sys.argv[1], schema=note_schema())
    """
    assert run_script(script, address) == (0, "told: integer division or modulo by zero\n")


def test_servers_that_are_left_open_listen_no_more(address: str) -> None:
    """Their sockets are closed, not left to the collector."""
    script = """
        from support.client_support import note_schema
        from wirelane.sync import grpc, tcp
        lines, notes = tcp.Server(lambda connection: None), grpc.Server(schema=note_schema())
        lines.listen("127.0.0.1:0"), notes.listen("127.0.0.1:0")
        idle = grpc.Server(schema=note_schema()), tcp.Server(lambda connection: None)
    """
    assert run_script(script, address) == (0, "")
