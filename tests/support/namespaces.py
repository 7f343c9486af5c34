"""Views of the machine that a test makes itself: files that one program alone sees, networks that lead nowhere.

They are namespaces of Linux, made by `unshare` for one process and its children and gone with it: nothing is left on
the machine, whatever happens. Where this user may not make them, the tests that need them are skipped and say so.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.programs import START, Program, find, path_of, running

__all__ = ["Network", "Scenario", "needs_namespaces", "network", "seeing"]


@functools.cache
def _unshare() -> tuple[str, ...]:
    """Return the command that makes namespaces of mounts and more, as far as this user may."""
    unshare = path_of("unshare")
    return (unshare, "--user", "--map-root-user") if _namespace_of_users() else (unshare,)


def _namespace_of_users() -> bool:
    """Whether another namespace is needed first, in which this user is root."""
    return os.geteuid() != 0


@functools.cache
def _may() -> bool:
    if find("unshare") is None or find("ip") is None:
        return False
    probe = (*_unshare(), "--mount", "--net", path_of("ip"), "link", "set", "lo", "up")
    return subprocess.run(probe, capture_output=True, check=False, timeout=20).returncode == 0


def needs_namespaces() -> pytest.MarkDecorator:
    """Return the mark of tests that cannot do without namespaces of mounts and networks."""
    return pytest.mark.skipif(
        not _may(), reason="this user may not make network and mount namespaces (root may: unshare(1), ip(8))"
    )


def seeing(
    files: Mapping[str, str], directory: Path, command: Sequence[str | Path], *, network: bool = False
) -> tuple[str | Path, ...]:
    """Return a command that runs another with files of its own in place of those of the machine.

    Args:
        files: What these paths are to hold, as "/etc/hosts".
        directory: Where the files are kept.
        command: What is run.
        network: It gets a network of its own as well.
    """
    script: list[str] = []
    places: list[Path] = []
    for number, (path, text) in enumerate(files.items()):
        place = directory / f"seen-{number}"
        place.write_text(text)
        place.chmod(0o644)
        script.append(f'mount --bind "${len(places) + 1}" {path} && ')
        places.append(place)
    script.append(f'shift {len(places)} && exec "$@"')
    inside = (path_of(str(command[0])), *command[1:])
    own = ("--mount", "--net") if network else ("--mount",)
    return (*_unshare(), *own, "sh", "-c", "".join(script), "sh", *places, *inside)


class Network:
    """A network of its own: loopback, and what a test adds. It is held by a process, and gone with it.

    Attributes:
        inside: Words before a command that run it there.
        as_its_user: The same, but in the network of the machine.
    """

    def __init__(self, holder: Program) -> None:
        self._holder = holder
        pid = str(holder.process.pid)
        enter: tuple[str, ...] = (path_of("nsenter"), "--target", pid)
        if _namespace_of_users():
            enter = (*enter, "--user", "--preserve-credentials")
        self.as_its_user: tuple[str, ...] = enter
        self.inside: tuple[str, ...] = (*enter, "--net", "--mount")

    def ip(self, *words: str) -> None:
        """Run ip(8) there."""
        done = subprocess.run(
            (*self.inside, path_of("ip"), *words), capture_output=True, text=True, check=False, timeout=20
        )
        assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"

    def add_hole(self, *addresses: str) -> None:
        """Add a link with these addresses; whatever goes to others of their networks is never heard of again."""
        # A cable whose other end hangs loose. Without ARP nobody is looked for first, who would then be missed.
        self.ip("link", "add", "hole", "arp", "off", "type", "veth", "peer", "name", "loose")
        self.ip("link", "set", "loose", "up")
        for address in addresses:
            self.ip("address", "add", address, "dev", "hole", *(("nodad",) if ":" in address else ()))
        self.ip("link", "set", "hole", "up")

    def join(self, other: Network, here: str, there: str) -> None:
        """Lay a cable to another network, called `cable` at both ends, with an address at each."""
        pid = str(other._holder.process.pid)
        self.ip("link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", pid)
        for network, address in ((self, here), (other, there)):
            network.ip("address", "add", address, "dev", "cable")
            network.ip("link", "set", "cable", "up")

    @contextmanager
    def python(self, scenario: str, *arguments: object, loop: str = "asyncio") -> Iterator[Scenario]:
        """Run a function of `support.inside` there, in a process of its own."""
        command = (*self.inside, sys.executable, "-m", "support.inside", loop, scenario, *map(str, arguments))
        helpers = str(Path(__file__).resolve().parents[1])
        environment = {"PYTHONPATH": os.pathsep.join((helpers, os.environ.get("PYTHONPATH", "")))}
        with running(command, environment=environment, stdin=True) as program:
            yield Scenario(program)

    def results_of(self, *runs: tuple[object, ...], loop: str = "asyncio") -> list[dict[str, Any]]:
        """Return what functions of `support.inside` say there, each given by its name and arguments; all run at once."""
        with ExitStack() as stack:
            scenarios = [
                stack.enter_context(self.python(str(name), *arguments, loop=loop))
                for name, *arguments in runs
            ]
            return [scenario.result() for scenario in scenarios]

    def result_of(self, *run: object, loop: str = "asyncio") -> dict[str, Any]:
        """Return what one function says."""
        return self.results_of(run, loop=loop)[0]


@dataclass
class Scenario:
    """A function of `support.inside` that runs."""

    program: Program

    def go(self) -> None:
        """Let it go on, once it waits for that."""
        self.program.wait_for(r"(?m)^ready$")
        self.program.say(b"go\n")

    def result(self) -> dict[str, Any]:
        """Return what it says in the end; its process must then be over soon, whatever it has left running."""
        found = self.program.wait_for(r"(?m)^result (.*)$")
        self.program.process.wait(START)
        result: dict[str, Any] = json.loads(found[1])
        return result


@contextmanager
def network(files: Mapping[str, str] | None = None, *, beside: Network | None = None) -> Iterator[Network]:
    """Make a network for the length of a block, whose programs see `files` in place of those of the machine.

    `beside` is one that it is to be joined with.
    """
    with tempfile.TemporaryDirectory(prefix="wirelane-outside-") as name:
        script = '"$1" link set lo up && echo up && exec sleep 3600'
        hold = (path_of("sh"), "-c", script, "sh", path_of("ip"))
        # Who is not root may lay cables only to networks that belong to one of his own.
        near = () if beside is None or not _namespace_of_users() else beside.as_its_user
        with running((*near, *seeing(files or {}, Path(name), hold, network=True))) as holder:
            holder.wait_for("^up")
            yield Network(holder)
