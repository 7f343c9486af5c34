"""How long a schema takes to load: compiled, from the cache on disk, from memory; and linked and asked for a method.

    python benchmarks/schema_load.py [--runs N] [--json [FILE]]

"new process" is a Python that starts, imports, loads from nothing and ends. The bounds that a small schema should keep
(150 ms first, 5 ms from the cache) stand in the last column. Uses a cache directory of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from wirelane.schema import Descriptors, cache, load

ROOT = Path(__file__).resolve().parent.parent
BOUNDS = {"compile": 150.0, "disk cache": 5.0, "memory": 5.0}


def sources() -> Mapping[str, str | Path | dict[str, str]]:
    """The schemas to load, by what to call them."""
    many = {
        f"pkg/f{n}.proto": "\n".join(
            [
                'syntax = "proto3";',
                f"package pkg.f{n};",
                f'import "pkg/f{n - 1}.proto";' if n else "",
                *(
                    f"message M{m} {{ int32 a = 1; repeated string b = 2; map<string, int64> c = 3; }}"
                    for m in range(20)
                ),
                f"service S {{ rpc R(M0) returns (stream {f'pkg.f{n - 1}.M1' if n else 'M1'}); }}",
            ]
        )
        for n in range(200)
    }
    return {
        "small: 1 file": ROOT / "protos" / "demo" / "summator.proto",
        "middle: directory, 4 files, 9 imports": ROOT / "protos" / "demo",
        "large: 200 files, 4,000 messages": many,
    }


def milliseconds(work: Callable[[], object], runs: int, before: Callable[[], object] = lambda: None) -> float:
    """Return the median time of `work`, each time after `before`."""
    times = []
    for _ in range(runs):
        before()
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


def new_process(source: str | Path | dict[str, str], runs: int) -> float:
    """Return the time of a process that does nothing but load the source."""
    program = "import sys, json; from wirelane.schema import load; load(json.loads(sys.argv[1]), cache=False)"
    text = json.dumps(source if isinstance(source, dict) else str(source))
    return milliseconds(lambda: subprocess.run([sys.executable, "-c", program, text], check=True), runs)


def measure(source: str | Path | dict[str, str], runs: int) -> dict[str, float]:
    """Return the milliseconds of each way to load the source."""
    found = {}
    # One argument of a process has at most 128 KiB on Linux; the large schema has more.
    if not isinstance(source, dict):
        found["new process"] = new_process(source, max(3, runs // 4))
    found["compile"] = milliseconds(lambda: load(source, cache=False), runs)
    data = load(source).data
    found["disk cache"] = milliseconds(lambda: load(source), runs, cache.shared.forget)
    found["memory"] = milliseconds(lambda: load(source), runs)
    found["link"] = milliseconds(lambda: Descriptors.from_set(data), runs)
    linked = [Descriptors.from_set(data) for _ in range(runs)]
    found["first method"] = milliseconds(lambda: linked[-1].find_method(_first_method(linked.pop())), runs)
    return found


def _first_method(descriptors: Descriptors) -> str:
    return descriptors.methods(descriptors.services()[0])[0].full_name


def main() -> None:
    """Measure, print a table, write JSON if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=20, help="how often each is done; the median counts")
    parser.add_argument(
        "--json", nargs="?", const="-", help="write the figures, in milliseconds, to a file or here"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        os.environ["WIRELANE_CACHE_DIR"] = directory
        results = {name: measure(source, arguments.runs) for name, source in sources().items()}
    text = json.dumps(results, indent=2) + "\n"
    if arguments.json == "-":
        print(text, end="")
        return
    if arguments.json:
        Path(arguments.json).write_text(text, encoding="utf-8")
    for name, found in results.items():
        print(name)
        for what, value in found.items():
            bound = BOUNDS.get(what) if name.startswith("small") else None
            note = "" if bound is None else f"   {'ok' if value <= bound else 'MISSED'}, at most {bound:g} ms"
            print(f"  {what:<14}{value:>10.2f} ms{note}")


if __name__ == "__main__":
    main()
