"""Count what calls cost and write it to tests/performance/costs.json, which tests/performance holds later counts against.

python tools/record_costs.py              with each of CPython 3.11, 3.12 and 3.13 that this machine has
python tools/record_costs.py --here       with this interpreter only
python tools/record_costs.py --show TEXT  write nothing: function by function, the cases whose name holds the text

`--show` on two commits tells where a cost comes from.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.11", "3.12", "3.13")


def interpreter(version: str) -> str | None:
    """Return a CPython of that version that runs: on the PATH, or among those of pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = [shutil.which(f"python{version}"), *map(str, sorted(pyenv.glob(f"{version}*/bin/python")))]
    program = "import platform, sys; print(platform.python_implementation(), '%d.%d' % sys.version_info[:2])"
    for candidate in filter(None, found):
        said = subprocess.run([candidate, "-c", program], capture_output=True, text=True, check=False).stdout
        if said.split() == ["CPython", version]:
            return candidate
    return None


def record_with_each() -> int:
    """Run this program with each version, in an environment of its own."""
    recorded = 0
    for version in VERSIONS:
        python = interpreter(version)
        if python is None:
            print(f"{version}  not found: its record stays as it is", file=sys.stderr)
            continue
        environment = f".venv-{version}"
        subprocess.run(
            ["tools/env.sh", "run", environment], cwd=ROOT, env={**os.environ, "PYTHON": python}, check=True
        )
        subprocess.run([f"{environment}/bin/python", __file__, "--here"], cwd=ROOT, check=True)
        recorded += 1
    return 0 if recorded else 1


def record_here() -> None:
    """Count with this interpreter and write its part of the record."""
    from support.cost_support import CASES, RECORD, VERSION, cost_of, recorded

    record = recorded() if RECORD.exists() else {}
    before = record.get(VERSION, {})
    now = record[VERSION] = {}
    for name in CASES:
        cost = cost_of(name)
        now[name] = {"calls": round(cost.calls, 2), "instructions": round(cost.instructions, 1)}
        was = before.get(name, now[name])
        print(
            f"{VERSION}  {name}: {was['calls']:g} -> {now[name]['calls']:g} calls, "
            f"{was['instructions']:g} -> {now[name]['instructions']:g} instructions"
        )
    RECORD.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def show(text: str) -> None:
    """Print what each function adds to the cases whose name holds the text."""
    from support.cost_support import CASES, cost_of

    for name in CASES:
        if text in name:
            cost = cost_of(name)
            print(f"{name}: {cost.calls:.2f} calls, {cost.instructions:.1f} instructions\n{cost.table()}\n")


def main() -> int:
    """Do what the arguments ask for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--here", action="store_true", help="with this interpreter only")
    parser.add_argument("--show", metavar="TEXT", help="print the functions of these cases, write nothing")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests"))
    if options.show is not None:
        show(options.show)
    elif options.here:
        record_here()
    else:
        return record_with_each()
    return 0


if __name__ == "__main__":
    sys.exit(main())
