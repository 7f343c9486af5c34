"""The command as a user runs it: a child process, its output, its exit code."""

from __future__ import annotations

import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

PATIENCE = 50.0
"""Seconds for any one thing; only a broken command takes that long."""

# Whoever runs the tests in the background may ignore SIGINT, and children inherit that.
_WITH_SIGINT = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from wirelane.cli import main; main()"

EVERYTHING = "wirelane.demo.Everything"


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    def failed(self, code: int, text: str) -> None:
        """Check that it failed as a command should: this exit code, one line, no traceback, nothing printed."""
        assert (self.code, self.out) == (code, ""), self
        assert self.err.count("\n") == 1, self.err
        assert self.err.startswith("error: ")
        assert text in self.err, self.err


def environment(**changes: str) -> dict[str, str]:
    """Return the environment for a command: no colours, whatever the terminal of the tests."""
    kept = {name: value for name, value in os.environ.items() if name not in {"FORCE_COLOR", "NO_COLOR"}}
    return {**kept, "PYTHONUTF8": "1", **changes}


def command(*arguments: str) -> list[str]:
    """Return the command line of `wirelane` with these arguments."""
    return [sys.executable, "-m", "wirelane", *arguments]


def wirelane(*arguments: str, stdin: str | bytes = b"", env: dict[str, str] | None = None) -> Done:
    """Run the command to its end."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(
        command(*arguments),
        input=data,
        capture_output=True,
        check=False,
        timeout=PATIENCE,
        env=env or environment(),
    )
    result = Done(done.returncode, done.stdout.decode(), done.stderr.decode())
    assert "Traceback" not in result.err, result.err
    return result


class Running:
    """A command that runs: what it prints is read by threads, line by line."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._lines: dict[str, queue.SimpleQueue[str | None]] = {}
        self._threads = []
        for name, stream in (("out", process.stdout), ("err", process.stderr)):
            if stream is not None:
                lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
                self._lines[name] = lines
                thread = threading.Thread(target=self._read, args=(stream, lines), daemon=True)
                thread.start()
                self._threads.append(thread)

    @staticmethod
    def _read(stream: IO[bytes], lines: queue.SimpleQueue[str | None]) -> None:
        with stream:
            for line in stream:
                lines.put(line.decode())
        lines.put(None)

    def line(self, name: str = "out") -> str | None:
        """Return the next line, waiting for it; None at the end."""
        return self._lines[name].get(timeout=PATIENCE)

    def until(self, pattern: str, name: str = "err") -> re.Match[str]:
        """Return the match in the first line that has one."""
        seen = []
        while (line := self.line(name)) is not None:
            match = re.search(pattern, line)
            if match:
                return match
            seen.append(line)
        raise AssertionError(f"{pattern!r} did not come: {''.join(seen)}")

    def rest(self, name: str = "out") -> str:
        """Return all that is still to come."""
        return "".join(iter(lambda: self.line(name) or "", ""))

    def write(self, text: str) -> None:
        """Write to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def end_input(self) -> None:
        """Close its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> None:
        """Send a signal, as Ctrl-C does."""
        self.process.send_signal(number)

    def code(self) -> int:
        """Return the exit code, waiting for it."""
        return self.process.wait(PATIENCE)


@contextmanager
def running(*arguments: str, env: dict[str, str] | None = None) -> Iterator[Running]:
    """Run the command for a block, with pipes for everything."""
    process = subprocess.Popen(
        [sys.executable, "-c", _WITH_SIGINT, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env or environment(),
        # Its own group: a signal for it reaches nobody else.
        start_new_session=True,
    )
    try:
        yield Running(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdin is not None and not process.stdin.closed:
            process.stdin.close()


@dataclass(frozen=True)
class Served:
    """A `wirelane serve` that runs, and where."""

    process: Running
    grpc: str
    tls: str
    tcp: str
    ca: Path


@contextmanager
def serving(*arguments: str) -> Iterator[Served]:
    """Run `wirelane serve` on free ports."""
    ports = ("--port", "0", "--tls-port", "0", "--tcp-port", "0")
    with running("serve", *ports, *arguments) as process:
        plain = process.until(r"^gRPC +(\S+:\d+)")[1]
        tls = process.until(r"^gRPC over TLS +(\S+:\d+) +\((?:trust ([^,)]+)|with)")
        tcp = process.until(r"^TCP echo +(\S+:\d+)")[1]
        process.until("Ctrl-C ends it")
        yield Served(process, plain, tls[1].replace("127.0.0.1", "localhost"), tcp, Path(tls[2] or ""))
        process.interrupt(signal.SIGTERM)
        assert process.code() == 0, process.rest("err")


@contextmanager
def peer(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Run a server for one connection, which does what it is told and closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            thread.join(50)
