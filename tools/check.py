"""Run every check that is no test, all of them even if one fails, and say at the end which did.

python tools/check.py                 all
python tools/check.py mypy layers     these
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
BIN = Path(PYTHON).parent

# What `make protos` writes again.
GENERATE = ("generate", "protos/demo/summator.proto", "--out", "examples/summator_rpc")

CHECKS: dict[str, list[str]] = {
    "style": [PYTHON, "-m", "ruff", "check", "."],
    "format": [PYTHON, "-m", "ruff", "format", "--check", "."],
    "mypy": [PYTHON, "-m", "mypy"],
    "pyright": [PYTHON, "-m", "pyright", "--project", "pyproject.toml", "--pythonpath", PYTHON],
    "layers": [str(BIN / "lint-imports"), "--no-cache", "--no-logo"],
    "protos": [PYTHON, "tools/make_protos.py", "--check"],
    "sync": [PYTHON, "tools/make_sync.py", "--check"],
    "generated": [PYTHON, "-m", "wirelane", *GENERATE, "--check"],
    "examples": [PYTHON, "-m", "pytest", "-q", "tests/examples"],
    "typing": [PYTHON, "-m", "pytest", "-q", "tests/typing"],
}


def run(name: str) -> tuple[bool, float]:
    """Run one check, its output straight to ours."""
    print(f"\n== {name}: {' '.join(CHECKS[name][1:])}", flush=True)
    # pyright's wrapper would ask the network whether there is a newer one.
    environment = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1", "PYTHONPATH": ""}
    started = time.monotonic()
    done = subprocess.run(CHECKS[name], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, check=False)
    return done.returncode == 0, time.monotonic() - started


def main(names: list[str]) -> int:
    """Run the named checks, or all."""
    unknown = [name for name in names if name not in CHECKS]
    if unknown:
        print(f"no check is named {', '.join(unknown)}; there are {', '.join(CHECKS)}", file=sys.stderr)
        return 2
    results = {name: run(name) for name in names or CHECKS}
    print("\nchecks:")
    for name, (passed, seconds) in results.items():
        print(f"  {name:<10} {'passed' if passed else 'FAILED'} in {seconds:.1f} s")
    return 0 if all(passed for passed, _ in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
