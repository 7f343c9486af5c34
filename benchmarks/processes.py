"""Servers and clients as processes of their own, and what the system says about them while they run."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# A case takes seconds; this is for one that hangs.
CLIENT_TIMEOUT = 300.0
SERVER_EXIT = 20.0


class Failed(Exception):
    """A server that did not start, or a client that did not come to its end."""


@dataclass(frozen=True)
class Sample:
    """A process at one moment: CPU seconds and resident bytes so far; None where the system does not tell."""

    cpu: float | None
    resident: int | None


def sample(pid: int) -> Sample:
    """What a process has used, all its threads together."""
    try:
        # The CPU-time clock of another process, in nanoseconds (clock_getcpuclockid of Linux); /proc/PID/stat has the
        # same in ticks of 10 ms.
        cpu = time.clock_gettime((~pid << 3) | 2)
    except OSError:
        cpu = None
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
        resident = int(pages) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        resident = None
    return Sample(cpu, resident)


def own_cores() -> tuple[int | None, int | None]:
    """A core for the server and one for the client, where there are two and the system lets us choose."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    cores = sorted(os.sched_getaffinity(0))
    return (cores[0], cores[1]) if len(cores) > 1 else (None, None)


def _bind(pid: int, core: int | None) -> None:
    if core is not None:
        os.sched_setaffinity(pid, {core})


@contextmanager
def serving(
    command: Sequence[str], env: Mapping[str, str], core: int | None = None
) -> Iterator[tuple[int, int]]:
    """A server process: (its pid, its port)."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, **env}
    )
    _bind(process.pid, core)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.strip().isdigit():
            raise Failed(f"the server did not start: {' '.join(command)}")
        yield process.pid, int(line)
    finally:
        process.terminate()
        try:
            process.wait(SERVER_EXIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def run_client(
    command: Sequence[str],
    env: Mapping[str, str],
    at: Callable[[str, int], None],
    *,
    show: bool = False,
    core: int | None = None,
) -> dict[str, float]:
    """Run a client to its end and return its report.

    Args:
        command: The program.
        env: What its environment has beside ours.
        at: Called with (mark, pid) for each mark that the client prints while it waits, and with "done" at its report.
        show: Let its stderr through.
        core: Where it is to run.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if show else errors,
            text=True,
            cwd=ROOT,
            env={**os.environ, **env},
        )
        _bind(process.pid, core)
        assert process.stdin is not None
        assert process.stdout is not None
        watchdog = threading.Timer(CLIENT_TIMEOUT, process.kill)
        watchdog.start()
        report: dict[str, float] = {}
        try:
            for line in process.stdout:
                if line.startswith("{"):
                    at("done", process.pid)
                    report = json.loads(line)
                else:
                    at(line.strip(), process.pid)
                    process.stdin.write("\n")
                    process.stdin.flush()
            process.wait()
        finally:
            watchdog.cancel()
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()
        # The report is the end of the work; pyqwest's threads now and then abort a process whose interpreter ends.
        if not report:
            errors.seek(0)
            raise Failed(
                f"the client failed ({process.returncode}): {' '.join(command)}\n{errors.read()[-4000:]}"
            )
        return report
