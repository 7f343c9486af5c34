"""Programs that others wrote, run by tests: whether they are there, started until they listen, and ended for certain.

A test says what it cannot do without: `pytestmark = needs("squid", "openssl")`. Where one is not installed it is
skipped, and the reason says what to install. On a CI that could have installed it (root, with apt-get) it fails
instead: evidence must not vanish because a package did.
"""

from __future__ import annotations

import ctypes
import functools
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from support.architecture_support import ROOT

if TYPE_CHECKING:
    from support.namespaces import Network

T = TypeVar("T")

# Seconds for a program to come up and to go: on a machine that is busy with everything else, never reached otherwise.
START = 20.0
END = 5.0
# How often a port that was free is tried, when somebody else took it meanwhile.
PORTS = 3

_SERVERS_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"))
_MUST_BE_HERE = os.environ.get("CI") == "true" and os.geteuid() == 0 and shutil.which("apt-get") is not None


def find(program: str) -> str | None:
    """Return the path of a program; daemons live where only root's PATH looks."""
    return shutil.which(program, path=_SERVERS_PATH)


@functools.cache
def packages() -> dict[str, str]:
    """Return the Debian package of each program that the tests run."""
    script = ROOT / "tools" / "system_packages.sh"
    listed = subprocess.run([script, "--list"], capture_output=True, text=True, check=True, timeout=20)
    return dict(line.split() for line in listed.stdout.splitlines())


def needs(*programs: str) -> pytest.MarkDecorator:
    """Return the mark of tests that cannot do without these programs."""
    missing = [program for program in programs if find(program) is None]
    names = " and ".join(f"{program} (Debian: {packages()[program]})" for program in missing)
    return pytest.mark.skipif(
        bool(missing or sys.platform != "linux") and not _MUST_BE_HERE,
        reason=f"not installed: {names}; `make system-packages` does" if missing else "needs Linux",
    )


def path_of(program: str) -> str:
    """Return the path of a program that has to be here."""
    path = find(program)
    assert path is not None, (
        f"{program} ({packages()[program]}) must be here: tools/system_packages.sh installs it"
    )
    return path


@dataclass
class Program:
    """A program that runs: its process, and all that it says.

    Attributes:
        port: Where it listens, 0 if it does not.
        host: The address there.
        directory: What it may use; gone when it ends.
        also: A program that it works with; what that one says belongs to its log.
    """

    process: subprocess.Popen[bytes]
    directory: Path
    port: int = 0
    host: str = "127.0.0.1"
    also: Program | None = None

    @property
    def address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def log(self) -> str:
        """What it has said so far, and written into files called *.log."""
        own = "".join(path.read_text(errors="replace") for path in sorted(self.directory.glob("*.log")))
        return own if self.also is None else own + self.also.log

    def wait_for(self, pattern: str, *, seconds: float = START) -> re.Match[str]:
        """Wait until its log matches."""
        found = _wait(lambda: re.search(pattern, self.log), self, seconds, f"said nothing like {pattern!r}")
        assert found is not None
        return found

    def say(self, text: bytes) -> None:
        """Write to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def kill(self) -> None:
        """End it and its children as if their machine had lost power; their sockets go as the system sees fit."""
        _signal(self.process, signal.SIGKILL)
        self.process.wait(END)


@contextmanager
def running(
    command: Sequence[str | Path],
    *,
    port: int = 0,
    host: str = "127.0.0.1",
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: bool = False,
) -> Iterator[Program]:
    """Run a program for the length of a block; gives it when it listens at `port`, at once if that is 0.

    It is the leader of a session of its own, which is ended with it; should the tests die first, it dies too.
    """
    _adopt_orphans()
    with _workshop(directory) as own:
        with (own / "output.log").open("ab") as output:
            process = subprocess.Popen(
                [*_dies_with_us(), path_of(str(command[0])), *map(str, command[1:])],
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=own,
                env={**os.environ, "TMPDIR": str(own), **(environment or {})},
                start_new_session=True,
            )
        program = Program(process, own, port, host)
        try:
            if port:
                _wait(lambda: listens(port, process.pid), program, START, f"does not listen at {port}")
            yield program
        finally:
            _end(process)


@contextmanager
def serving(
    make: Callable[[int, Path], Sequence[str | Path]],
    *,
    host: str = "127.0.0.1",
    within: Network | None = None,
) -> Iterator[Program]:
    """Run a program that has to be told its port, as `make(port, directory)` says; gives it when it listens.

    `within` is a network that it runs in, instead of the machine's.
    """
    for attempt in range(PORTS):
        with _workshop(None) as own:
            port = free_port(host)
            command = make(port, own)
            if within is not None:
                command = (*within.inside, path_of(str(command[0])), *command[1:])
            context = running(command, port=port, host=host, directory=own)
            try:
                program = context.__enter__()
            except ProgramEnded as ended:
                if attempt + 1 < PORTS and re.search(r"in use|EADDRINUSE", str(ended), re.IGNORECASE):
                    continue
                raise
            try:
                yield program
            finally:
                context.__exit__(None, None, None)
            return


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port at which nobody listens now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def listens(port: int, pid: int) -> bool:
    """Whether anybody listens at a TCP port of the network that a process sees; nobody is connected to for that."""
    for table in ("tcp", "tcp6"):
        try:
            rows = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            local, state = row.split()[1], row.split()[3]
            if state == "0A" and int(local.rpartition(":")[2], 16) == port:
                return True
    return False


class ProgramEnded(AssertionError):
    """It ended before it did what it was started for."""


def _wait(condition: Callable[[], T], program: Program, seconds: float, what: str) -> T:
    end = time.monotonic() + seconds
    while not (found := condition()):
        name = str(program.process.args)
        if program.process.poll() is not None and not (found := condition()):
            raise ProgramEnded(f"{name} ended with {program.process.returncode}: {program.log}")
        assert time.monotonic() < end, f"{name} {what} within {seconds:g} s: {program.log}"
        time.sleep(0.002)
    return found


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    # None of them keeps anything that is worth an orderly end; squid takes two seconds for one.
    _signal(process, signal.SIGKILL)
    process.wait(END)
    _reap(process.pid)


def _reap(group: int) -> None:
    """Wait for the children that it left: they are ours now, and have been killed."""
    try:
        while True:
            os.waitpid(-group, 0)
    except ChildProcessError:
        pass


@functools.cache
def _adopt_orphans() -> None:
    """Have the system give us the children of programs that end before them, not to process 1, which may never look."""
    set_child_subreaper = 36  # prctl(2)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(set_child_subreaper, 1, 0, 0, 0)


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


@contextmanager
def _workshop(directory: Path | None) -> Iterator[Path]:
    """Give a directory that others may read: some programs change their user."""
    if directory is not None:
        yield directory
        return
    with tempfile.TemporaryDirectory(prefix="wirelane-outside-", ignore_cleanup_errors=True) as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@functools.cache
def _dies_with_us() -> tuple[str, ...]:
    setpriv = find("setpriv")
    return () if setpriv is None else (setpriv, "--pdeathsig", "KILL", "--")
