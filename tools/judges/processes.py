"""Our ends and theirs as child processes that are gone when the block is over, and a certificate authority for both."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

__all__ = ["ROOT", "Certificates", "Finished", "Judgement", "Stalls", "python", "run", "serving"]

ROOT = Path(__file__).resolve().parent.parent.parent
_START = 30.0  # seconds for a server to say where it listens
_STOP = 20.0  # seconds for it to end after SIGTERM


class Judgement(Exception):
    """A program did not behave: it did not start, did not end, or ended with the wrong status."""


@dataclass(frozen=True)
class Certificates:
    """PEM files: an authority, and a certificate of it for localhost and 127.0.0.1."""

    ca: Path
    cert: Path
    key: Path

    @classmethod
    def issue(cls, directory: Path) -> Certificates:
        made = cls(directory / "ca.pem", directory / "cert.pem", directory / "key.pem")
        authority = trustme.CA(organization_name="wirelane judges")
        leaf = authority.issue_cert("localhost", "127.0.0.1")
        authority.cert_pem.write_to_path(made.ca)
        leaf.private_key_pem.write_to_path(made.key)
        for blob in leaf.cert_chain_pems:
            blob.write_to_path(made.cert, append=True)
        return made


@dataclass(frozen=True)
class Finished:
    """How a program ended, and all that it said."""

    status: int
    words: str


def python(*arguments: str) -> list[str]:
    """The command for a Python program of ours. Warnings are errors, as in the tests."""
    return [sys.executable, "-W", "error", *arguments]


def run(command: list[str], *, seconds: float, **environment: str) -> Finished:
    """Run a program to its end, at most so long, with these environment variables beside our own."""
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**_environment(), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        words = (error.stdout or b"").decode(errors="replace")
        return Finished(-1, f"{words}\nstopped: it was not over after {seconds:g} s")
    return Finished(done.returncode, done.stdout.decode(errors="replace"))


@contextmanager
def serving(command: list[str], where: str, *, drains: bool) -> Iterator[int]:
    """Run a server until the block ends; gives its port, which `where`, a pattern, finds in what it says.

    Raises:
        Judgement: It did not start; or, if it `drains`, SIGTERM did not end it with status 0, or it complained.
    """
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**_environment(), "GRPC_GO_LOG_SEVERITY_LEVEL": "info"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said: list[str] = []
    port: int | None = None
    found = threading.Event()

    def listen() -> None:
        nonlocal port
        assert process.stdout is not None
        for line in process.stdout:
            match = re.search(where, line) if port is None else None
            if match:
                port = int(match[1])
                found.set()
            else:
                said.append(line)
        found.set()

    reader = threading.Thread(target=listen)
    reader.start()
    try:
        found.wait(_START)
        if port is None:
            raise Judgement(f"{command[0]} did not say where it listens:\n{''.join(said)}")
        yield port
        process.send_signal(signal.SIGTERM)
        status = process.wait(_STOP)
        reader.join()
        if drains and (status or said):
            raise Judgement(f"our server ended with status {status} and said:\n{''.join(said)}")
    finally:
        process.kill()
        process.wait()
        reader.join()
        assert process.stdout is not None
        process.stdout.close()


class Stalls:
    """Measures, while a `with` block runs, how long the machine stood still: how late a short sleep was.

    Attributes:
        longest: Seconds.
    """

    def __init__(self) -> None:
        self.longest = 0.0
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        pause = 0.02
        while True:
            slept = time.monotonic()
            if self._over.wait(pause):
                return
            self.longest = max(self.longest, time.monotonic() - slept - pause)

    def __enter__(self) -> Stalls:
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watcher.join()


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": "", "PYTHONUNBUFFERED": "1"}
