"""Run every case with every stack, in turn, and print one table for each; `--json FILE` keeps the figures.

Each server and each client is a process of its own. The figures of one run compare with each other and with nothing
else: machines differ, and so does one machine from hour to hour. Each pair is measured `--repeat` times, in turn with
the others, and the best run counts. In every second run, the server and the client are bound to a core each, where the
machine has them: a system may put two processes that talk to each other on one core, and leave the other idle; a stack
with many threads is better off without.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

from benchmarks.figures import CodecFigure, Figure, Results, best, with_ratios
from benchmarks.processes import Failed, Sample, own_cores, run_client, sample, serving
from benchmarks.profiling import VARIABLE
from benchmarks.stacks import Stack, all_stacks, chosen_pairs
from benchmarks.tables import show_case, show_codecs, show_targets
from benchmarks.targets import Outcome, codec_outcomes, outcomes
from benchmarks.work import CASES, Case


def measure(
    case: Case, client: Stack, server: Stack, *, profile: str | None = None, apart: bool = False
) -> Figure:
    """One run of one pair; `apart`: with a core for each end."""
    cores = own_cores() if apart else (None, None)
    marks: dict[str, tuple[Sample, Sample]] = {}
    profiled = {VARIABLE: profile} if profile else {}
    with serving(server.serve, {**server.environment, **profiled}, cores[0]) as (server_pid, port):
        report = run_client(
            [*client.client, str(port), json.dumps(asdict(case))],
            {**client.environment, **profiled},
            lambda mark, pid: marks.__setitem__(mark, (sample(pid), sample(server_pid))),
            show=profile == "client",
            core=cores[1],
        )
    operations = report["operations"]
    (client_ready, server_ready), (_, server_done) = marks["ready"], marks["done"]
    client_held, server_held = marks.get("held", (None, None))
    server_cpu = _difference(server_ready.cpu, server_done.cpu)
    return Figure(
        case.name,
        client.name,
        server.name,
        per_second=operations / report["seconds"],
        client_cpu=report["cpu"] / operations * 1e6,
        server_cpu=None if server_cpu is None else server_cpu / operations * 1e6,
        client_memory=_memory(client_ready, client_held, operations),
        server_memory=_memory(server_ready, server_held, operations),
    )


def _difference(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def _memory(before: Sample, after: Sample | None, operations: float) -> float | None:
    taken = None if after is None else _difference(before.resident, after.resident)
    return None if taken is None else taken / operations / 1024


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog="Cases: "
        + "; ".join(f"{case.name} ({case.title})" for case in CASES.values())
        + f"; {CODECS} (messages to bytes and back, without a wire)",
    )
    parser.add_argument(
        "--case",
        action="extend",
        type=named_cases,
        metavar="NAME",
        help="only this case, or those that fit a pattern, like 'sync_*' (repeat)",
    )
    parser.add_argument("--client", metavar="TEXT", help="only clients whose name holds this")
    parser.add_argument(
        "--server", metavar="TEXT", help="only servers; with --client, pairs that are no rows too"
    )
    parser.add_argument(
        "--repeat", type=int, default=4, metavar="N", help="runs, of which the best counts (4)"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="times of a run of about two seconds (1.0)")
    parser.add_argument("--json", metavar="FILE", help="write the figures here too")
    parser.add_argument("--list", action="store_true", help="name cases, stacks and pairs, and run nothing")
    parser.add_argument(
        "--profile", choices=("client", "server"), help="print where the Python of this end spends its time"
    )
    return parser.parse_args()


CODECS = "codecs"


def named_cases(pattern: str) -> list[str]:
    """The cases that a word of the command line is about."""
    found = fnmatch.filter([*CASES, CODECS], pattern)
    if not found:
        raise argparse.ArgumentTypeError(f"no case is called {pattern!r}; --help lists them")
    return found


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Run:
    """All that was asked for, case by case, and what came of it."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        # Codecs need no stack, and to look for some of them is to build them.
        alone = options.case == [CODECS]
        self._stacks = [] if alone else all_stacks(options.client, options.server)
        self.figures: list[Figure] = []
        self.failures: list[str] = []
        self.codecs: list[CodecFigure] = []
        self.missing_codecs: dict[str, str] = {}
        for stack in self._stacks:
            if stack.missing:
                say(f"without {stack.name}: {stack.missing}")

    def pairs(self, case: Case) -> list[tuple[Stack, Stack]]:
        return chosen_pairs(case, self._stacks, self._options.client, self._options.server)

    def case(self, case: Case) -> list[Figure]:
        """Every pair as often as asked, in turn, so that a slow minute of the machine falls on all alike."""
        pairs = self.pairs(case)
        runs: list[list[Figure]] = [[] for _ in pairs]
        for repeat in range(1 if self._options.profile else self._options.repeat):
            for (client, server), figures in zip(pairs, runs, strict=True):
                what = f"{case.name}: {client.name} to {server.name}"
                say(f"{what} ({repeat + 1})")
                try:
                    profile, scaled = self._options.profile, case.scaled(self._options.scale)
                    figures.append(measure(scaled, client, server, profile=profile, apart=repeat % 2 == 0))
                except Failed as error:
                    say(str(error))
                    self.failures.append(what)
        found = with_ratios([best(figures) for figures in runs if figures])
        self.figures += found
        return found

    def measure_codecs(self) -> dict[str, int]:
        """Every library with every message, in a process of its own; return the sizes of the messages."""
        say(CODECS)
        scale, repeat = f"--scale={self._options.scale}", f"--repeat={self._options.repeat}"
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.codecs", scale, repeat],
            cwd=Path(__file__).resolve().parent.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            say(done.stderr)
            self.failures.append(CODECS)
            return {}
        report = json.loads(done.stdout)
        self.codecs = [CodecFigure(**figure) for figure in report["figures"]]
        self.missing_codecs = report["missing"]
        for name, reason in self.missing_codecs.items():
            say(f"without {name}: {reason}")
        sizes: dict[str, int] = report["sizes"]
        return sizes

    def as_json(self, reached: list[Outcome]) -> str:
        packages = ("wirelane", "grpcio", "grpclib", "uvloop", "protobuf")
        about = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "repeat": self._options.repeat,
            "scale": self._options.scale,
            "versions": {name: version(name) for name in packages},
            "missing": {stack.name: stack.missing for stack in self._stacks if stack.missing}
            | self.missing_codecs,
            "failures": self.failures,
        }
        figures = [asdict(figure) for figure in self.figures]
        targets = [asdict(outcome) for outcome in reached]
        codecs = [asdict(figure) for figure in self.codecs]
        found = {"about": about, "figures": figures, "codecs": codecs, "targets": targets}
        return json.dumps(found, indent=2) + "\n"


def main() -> int:
    options = parsed()
    console = Console(width=130, highlight=False)
    run = Run(options)
    names = options.case or [*CASES, CODECS]
    for case in [CASES[name] for name in names if name != CODECS]:
        if options.list:
            console.print(f"{case.name}: {case.title}")
            for client, server in run.pairs(case):
                console.print(f"    {client.name} to {server.name}")
        elif (figures := run.case(case)) and not options.profile:
            show_case(console, case, figures)
    # A choice of clients or servers is one of stacks.
    if CODECS in names and not (options.list or options.profile or options.client or options.server):
        sizes = run.measure_codecs()
        show_codecs(console, run.codecs, sizes)
    reached = [*outcomes(Results(run.figures)), *codec_outcomes(run.codecs)]
    if reached and not options.profile:
        show_targets(console, reached)
    if options.json:
        Path(options.json).write_text(run.as_json(reached), encoding="utf-8")
    for failure in run.failures:
        console.print(f"failed: {failure}", markup=False)
    return 1 if run.failures else 0


if __name__ == "__main__":
    sys.exit(main())
