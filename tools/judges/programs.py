"""The programs, pinned, and where they are kept: built by `go install` into a cache outside the repository.

Each lies in a directory of its own, `$XDG_CACHE_HOME/wirelane/go/NAME@VERSION` (`~/.cache` unless set). A directory is
renamed into its place when it is complete, so that one that is there is good, whatever else runs at the same time.

    PYTHONPATH=tools python -m judges.programs [NAME ...]        install them, print where they are
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PROGRAMS", "Program", "find_go", "install", "module_directory"]

OLDEST_GO = (1, 25)
"""What the modules below ask for in their go.mod."""


@dataclass(frozen=True)
class Program:
    """A Go program: `package` of `module` at `version`; `go install` names the binary by the package's last part."""

    module: str
    package: str
    version: str

    @property
    def binary(self) -> str:
        return self.package.rpartition("/")[2]


PROGRAMS = {
    "h2spec": Program("github.com/summerwind/h2spec", "github.com/summerwind/h2spec/cmd/h2spec", "v2.2.1+incompatible"),
    "grpc-go-client": Program("google.golang.org/grpc", "google.golang.org/grpc/interop/client", "v1.85.0"),
    "grpc-go-server": Program("google.golang.org/grpc", "google.golang.org/grpc/interop/server", "v1.85.0"),
    "grpcurl": Program(
        "github.com/fullstorydev/grpcurl", "github.com/fullstorydev/grpcurl/cmd/grpcurl", "v1.9.4"
    ),
    "connectconformance": Program(
        "connectrpc.com/conformance", "connectrpc.com/conformance/cmd/connectconformance", "v1.0.6"
    ),
}  # fmt: skip


class InstallError(Exception):
    """`go` did not do what was asked; its words are in the message."""


def find_go(places: Sequence[str | None] | None = None) -> tuple[Path | None, str]:
    """The go command, and which version it is; or None, and why there is none.

    `places` are looked at instead of the PATH and where Go's own archive is unpacked.
    """
    found = ""
    for place in (shutil.which("go"), "/usr/local/go/bin/go") if places is None else places:
        if not place or not Path(place).is_file():
            continue
        done = subprocess.run([place, "env", "GOVERSION"], capture_output=True, text=True, check=False)
        match = re.match(r"go(\d+)\.(\d+)", done.stdout)
        if match and (int(match[1]), int(match[2])) >= OLDEST_GO:
            return Path(place), done.stdout.strip()
        found = found or f", only {place}: {done.stdout.strip() or 'does not run'}"
    return None, f"Go {OLDEST_GO[0]}.{OLDEST_GO[1]} or newer is not on this machine{found}"


def cache() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "wirelane" / "go"


def install(go: Path, name: str) -> Path:
    """The program's path; it is built if it is not there yet.

    Raises:
        InstallError: It could not be fetched or built.
    """
    program = PROGRAMS[name]
    place = cache() / f"{name}@{program.version}"
    binary = place / program.binary
    if binary.is_file():
        return binary
    print(f"  building {name} {program.version}", flush=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{name}-") as building:
        target = Path(building) / "bin"
        _go(go, "install", f"{program.package}@{program.version}", GOBIN=str(target))
        try:
            target.rename(place)
        except OSError:
            if not binary.is_file():  # else another run was faster, with the same result
                raise
    return binary


def module_directory(go: Path, name: str) -> Path:
    """The unpacked source of the program's module, in Go's own cache.

    Raises:
        InstallError: It could not be fetched.
    """
    program = PROGRAMS[name]
    told = _go(go, "mod", "download", "-json", f"{program.module}@{program.version}")
    return Path(json.loads(told)["Dir"])


def _go(go: Path, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [str(go), *arguments],
        cwd=tempfile.gettempdir(),  # no go.mod may have a say
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise InstallError(f"go {' '.join(arguments)} failed:\n{done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def main(names: list[str]) -> int:
    """Install the named programs, or all."""
    go, version = find_go()
    if go is None:
        print(f"skipped: {version}")
        return 0
    try:
        for name in names or PROGRAMS:
            print(f"{name:<20} {install(go, name)}", flush=True)
    except InstallError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
