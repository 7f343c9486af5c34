"""How long a schema takes to load: compiled, from the cache on disk, from memory; and linked and asked for a method.

    python benchmarks/schema_load.py [--runs N] [--json [FILE]]

"new process" is a Python that starts, imports, loads from nothing and ends; "memory of ..." is what such a process has
resident at most, beyond one that only imports. The bounds that a small schema should keep (150 ms first, 5 ms from the
cache) stand in the last column. The limits are the default ones. Uses a cache directory of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from wirelane.schema import Descriptors, cache, load

ROOT = Path(__file__).resolve().parent.parent
BOUNDS = {"compile": 150.0, "disk cache": 5.0, "memory": 5.0}


def sources(directory: Path) -> Mapping[str, Path]:
    """The schemas to load, by what to call them; what is generated is written into `directory`."""
    generated = directory / "generated"
    write_tree(generated, 500, 20)
    googleapis = Path(sysconfig.get_path("purelib")) / "google"
    count = sum(1 for _ in googleapis.rglob("*.proto"))
    return {
        "small: 1 file": ROOT / "protos" / "demo" / "summator.proto",
        "middle: directory, 4 files, 9 imports": ROOT / "protos" / "demo",
        f"googleapis-common-protos: {count} files": googleapis,
        "large: 500 files, 10,000 messages": generated,
    }


def write_tree(root: Path, files: int, messages: int) -> None:
    """Write files in packages of ten; each imports the one before it."""
    for n in range(files):
        package, before = f"pkg{n // 10}", f"pkg{(n - 1) // 10}"
        path = root / package / f"f{n}.proto"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [
            'syntax = "proto3";',
            f"package {package};",
            f'import "{before}/f{n - 1}.proto";' if n else "",
            *(
                f"message F{n}M{m} {{ int32 a = 1; repeated string b = 2; map<string, int64> c = 3; }}"
                for m in range(messages)
            ),
            f"service S{n} {{ rpc R(F{n}M0) returns (stream {f'{before}.F{n - 1}M1' if n else 'F0M1'}); }}",
        ]
        path.write_text("\n".join(lines), encoding="utf-8")


def milliseconds(work: Callable[[], object], runs: int, before: Callable[[], object] = lambda: None) -> float:
    """Return the median time of `work`, each time after `before`."""
    times = []
    for _ in range(runs):
        before()
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


def new_process(source: Path, runs: int) -> float:
    """Return the time of a process that does nothing but load the source."""
    program = "import sys; from wirelane.schema import load; load(sys.argv[1], cache=False)"
    return milliseconds(
        lambda: subprocess.run([sys.executable, "-c", program, str(source)], check=True), runs
    )


def memory(work: str, source: Path) -> float:
    """Return the MiB that a process has resident at most for `work`, beyond one that only imports (Linux)."""
    return (_peak(work, source) - _peak("", source)) / 1024


def _peak(work: str, source: Path) -> int:
    # Not ru_maxrss: that begins with what the process had before it became this program.
    program = (
        "import sys\nfrom wirelane import Schema\nfrom wirelane.schema import load\n"
        f"Schema, load\n{work}\nprint(open('/proc/self/status').read())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(source)], check=True, capture_output=True, text=True
    )
    return int(done.stdout.partition("VmHWM:")[2].split()[0])


def measure(source: Path, runs: int) -> dict[str, float]:
    """Return the milliseconds of each way to load the source, and the MiB that it takes."""
    found = {"new process": new_process(source, max(3, runs // 4))}
    found["compile"] = milliseconds(lambda: load(source, cache=False), runs)
    data = load(source).data
    found["disk cache"] = milliseconds(lambda: load(source), runs, cache.shared.forget)
    found["memory"] = milliseconds(lambda: load(source), runs)
    found["link"] = milliseconds(lambda: Descriptors.from_set(data), runs)
    linked = [Descriptors.from_set(data) for _ in range(runs)]
    found["first method"] = milliseconds(lambda: linked[-1].find_method(_first_method(linked.pop())), runs)
    if sys.platform == "linux":
        found["memory of compiling"] = memory("load(sys.argv[1], cache=False)", source)
        found["memory of a schema"] = memory("schema = Schema.load(sys.argv[1])", source)
    return found


def _first_method(descriptors: Descriptors) -> str:
    return descriptors.methods(descriptors.services()[0])[0].full_name


def main() -> None:
    """Measure, print a table, write JSON if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=20, help="how often each is done; the median counts")
    parser.add_argument(
        "--json", nargs="?", const="-", help="write the figures, in milliseconds and MiB, to a file or here"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        os.environ["WIRELANE_CACHE_DIR"] = str(Path(directory) / "cache")
        given = sources(Path(directory))
        results = {name: measure(source, arguments.runs) for name, source in given.items()}
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
            print(f"  {what:<20}{value:>10.2f} {'MiB' if what.startswith('memory of') else 'ms'}{note}")


if __name__ == "__main__":
    main()
