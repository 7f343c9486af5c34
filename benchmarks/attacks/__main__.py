"""Run every attack against a server of its own, with grpc.aio as a bystander, and print one table.

python -m benchmarks.attacks [--loop uvloop] [--only WORD] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.attacks.assault import MIB, Report, assault
from benchmarks.attacks.probes import PROBES
from benchmarks.attacks.rows import ATTACKS, Attack


def show(console: Console, results: list[tuple[Attack, Report]]) -> None:
    table = Table(title="attacks", title_justify="left", header_style="bold")
    for heading in ("attack", "reference", "the attacker got"):
        table.add_column(heading)
    for heading in (
        "stall ms",
        "CPU ms",
        "growth MiB",
        "handlers",
        "log lines",
        "bystander calls",
        "slowest ms",
    ):
        table.add_column(heading, justify="right")
    for attack, report in results:
        right = attack.right(report.got)
        table.add_row(
            attack.name,
            attack.reference,
            report.got if right else f"[red]{report.got}, not {attack.gets}",
            f"{report.stall * 1e3:.1f}",
            f"{report.work * 1e3:.1f}",
            f"{report.growth / MIB:.1f}",
            str(report.begun),
            str(report.logged),
            str(report.bystander),
            f"{report.slowest * 1e3:.1f}",
        )
    console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attacks", description=__doc__)
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio", help="the server's loop")
    parser.add_argument("--only", help="only attacks whose name holds this")
    parser.add_argument("--json", metavar="FILE", help="write the figures here too")
    options = parser.parse_args()
    progress = Console(stderr=True)
    results: list[tuple[Attack, Report]] = []
    for attack in (*ATTACKS, *PROBES):
        if options.only and options.only not in attack.name:
            continue
        progress.print(f"{attack.name} ...", highlight=False)
        results.append(
            (attack, asyncio.run(assault(attack.run, attack.limits, attack.options, loop=options.loop)))
        )
    show(Console(width=150), results)
    if options.json:
        rows = [{"attack": attack.name, "gets": attack.gets, **asdict(report)} for attack, report in results]
        Path(options.json).write_text(json.dumps(rows, indent=2) + "\n")
    return int(any(not attack.right(report.got) for attack, report in results))


if __name__ == "__main__":
    sys.exit(main())
