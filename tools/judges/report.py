"""What a judge found: a line for each group of cases as soon as it is known, and one for each program at the end."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

__all__ = ["Report"]


@dataclass
class Tally:
    """Counts of one program."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0


@dataclass
class Report:
    """Counts of all programs. A case that a program has and did not run is a failure like any other.

    Attributes:
        programs: The counts by program, in the order in which they ran.
    """

    programs: dict[str, Tally] = field(default_factory=dict)
    _since: float = field(default_factory=time.monotonic)

    def group(
        self, program: str, group: str, *, passed: int, failed: int = 0, skipped: int = 0, words: str = ""
    ) -> None:
        """Count a group of cases and print its line, with `words` about what failed beneath it."""
        now = time.monotonic()
        tally = self.programs.setdefault(program, Tally())
        tally.passed += passed
        tally.failed += failed
        tally.skipped += skipped
        tally.seconds += now - self._since
        self._since = now
        print(f"  {program:<26} {group:<54} {_counts(passed, failed, skipped)}", flush=True)
        if words:
            print("\n".join(f"      {line}" for line in words.strip().splitlines()), flush=True)

    def start(self) -> None:
        """Count seconds from here."""
        self._since = time.monotonic()

    def finish(self) -> int:
        """Print a line for each program; the exit status of it all."""
        print("\noutside programs:")
        for program, tally in self.programs.items():
            good = tally.passed and not tally.failed and not tally.skipped
            verdict = "passed" if good else "FAILED"
            counts = f"{tally.passed} cases passed, {tally.failed} failed, {tally.skipped} skipped"
            print(f"  {program:<26} {verdict}: {counts} in {tally.seconds:.1f} s")
        bad = [tally for tally in self.programs.values() if tally.failed or tally.skipped or not tally.passed]
        return 1 if bad or not self.programs else 0


def _counts(passed: int, failed: int, skipped: int) -> str:
    text = f"{passed:>4} passed"
    if skipped:
        text += f", {skipped} skipped"
    if failed:
        text += f", {failed} FAILED"
    return text
