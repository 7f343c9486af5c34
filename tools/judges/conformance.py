"""The Connect conformance suite: gRPC over HTTP/2, our client and our server each against Connect's and grpc-go's.

No list of cases that may fail is given to the runner, and none is kept here. Some of the cases measure time: the runner
allows half a second, and ten for a server to start. So a machine that stood still for longer than `STALL` while they ran
has spoiled them; then, and only then, those that failed are run again, which is told.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from judges.processes import Finished, Stalls, python, run
from judges.report import Report

__all__ = ["GROUPS", "STALL", "Outcome", "judge", "read", "tell"]

PROGRAM = "Connect conformance"
CONFIG = "tests/conformance/config.yaml"
STALL = 0.15
_MOST_RUNS = 4
_GROUPS = "Connect, cleartext", "Connect, TLS", "Connect, TLS with client certificates", "grpc-go, cleartext"
GROUPS = {
    "client": dict(zip(_GROUPS, (235, 235, 2, 174), strict=True)),
    "server": dict(zip(_GROUPS, (194, 194, 2, 180), strict=True)),
}
"""What this version of the suite has for tests/conformance/config.yaml. A run of fewer is a failed one."""


@dataclass(frozen=True)
class Outcome:
    """What one run found: how many cases passed, what the runner said of those that failed, and all that it said."""

    passed: int
    failures: dict[str, str]
    done: Finished

    @property
    def whole(self) -> bool:
        """Whether the runner came to its end, and its exit status says what its words say."""
        return self.passed + len(self.failures) > 0 and bool(self.done.status) is bool(self.failures)


def judge(runner: Path, module: Path, report: Report) -> None:
    """Run every case for the client, then for the server."""
    for mode in GROUPS:
        outcome, stall = _run(runner, module, mode)
        for _ in range(_MOST_RUNS - 1):
            if not outcome.failures or stall <= STALL:
                break
            print(
                f"  the machine stood still for {stall:.2f} s: {len(outcome.failures)} cases run again",
                flush=True,
            )
            again, stall = _run(runner, module, mode, outcome.failures)
            if not again.whole:
                break
            outcome = Outcome(outcome.passed + again.passed, again.failures, again.done)
        tell(report, mode, outcome)


def _run(runner: Path, module: Path, mode: str, names: Iterable[str] = ()) -> tuple[Outcome, float]:
    """Run all cases, or those named; also says for how long the machine stood still meanwhile, in seconds."""
    # One server at a time: the runner gives each ten seconds to start, however many start at once.
    flags = ["--mode", mode, "--conf", CONFIG, "--max-servers", "1", "--verbose"]
    if mode == "server":
        flags += ["--parallel", "4"]  # as many as our client makes at once
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as listed, Stalls() as stalls:
        if names:
            listed.write("\n".join(names))
            listed.flush()
            flags += ["--run", f"@{listed.name}"]
        program = python("-m", f"conformance.{mode}", str(module))
        done = run([str(runner), *flags, "--", *program], seconds=600, PYTHONPATH="tests")
    return read(done), stalls.longest


def read(done: Finished) -> Outcome:
    """Understand what the runner said."""
    failures = dict(re.findall(r"^FAILED: (.+):\n((?:[\t ].*\n?)*)", done.words, re.MULTILINE))
    totals = re.search(r"^(\d+) passed, \d+ failed$", done.words, re.MULTILINE)
    return Outcome(int(totals[1]) if totals else 0, failures, done)


def tell(report: Report, mode: str, outcome: Outcome) -> None:
    """Report the groups of cases; or that cases are missing, where they are."""
    expected = sum(GROUPS[mode].values())
    if not outcome.whole or outcome.passed + len(outcome.failures) != expected:
        words = f"{expected} cases were expected; exit status {outcome.done.status}\n{outcome.done.words}"
        failed = max(1, expected - outcome.passed)
        report.group(PROGRAM, f"our {mode}", passed=outcome.passed, failed=failed, words=words)
        return
    failed_in = Counter(_group(name) for name in outcome.failures)
    for group, count in GROUPS[mode].items():
        words = "\n".join(
            f"{name}\n{text}" for name, text in outcome.failures.items() if _group(name) == group
        )
        bad = failed_in[group]
        report.group(PROGRAM, f"our {mode} with {group}", passed=count - bad, failed=bad, words=words)


def _group(name: str) -> str:
    """Which group a case belongs to, by its name."""
    if "(grpc " in name:
        return "grpc-go, cleartext"
    if name.startswith("TLS Client Certs/"):
        return "Connect, TLS with client certificates"
    return "Connect, TLS" if "/TLS:true/" in name else "Connect, cleartext"
