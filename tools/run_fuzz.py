"""Feed octets to everything that reads what a peer sends, guided by the lines that they reach (atheris, libFuzzer).

python tools/run_fuzz.py run [TARGET ...] [--seconds 60]    search: so many seconds for each
python tools/run_fuzz.py keep [TARGET ...]                  keep the fewest inputs that reach what was reached
python tools/run_fuzz.py record                             keep anew what the two ends of grpcio say to each other

A search goes on from the first inputs (tests/fuzz/seeds.py), what is kept (kept.py) and what the last one found. It works
in .fuzz/TARGET: there are its `corpus`, its `log`, and its `findings`: inputs that made a target raise anything, take more memory than it may, or
take seconds. A finding is mended, and then kept: as a line with a note in tests/fuzz/corpus/TARGET.txt.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".fuzz"
sys.path[:0] = [str(ROOT / "tests")]

_OPTIONS = (
    "-max_len=4096",
    # More than all corpora need together, in MB.
    "-rss_limit_mb=1024",
    # Seconds for an input, of a clock on the wall: the machine may be busy with something else.
    "-timeout=20",
)


def engine(name: str, arguments: list[str]) -> None:
    """Be libFuzzer for a target; never returns. Runs in a process of its own."""
    import atheris

    # Nothing of ours may be imported before: what is, does not guide.
    with atheris.instrument_imports(include=["wirelane"]):
        from fuzz.targets import TARGETS

    # Merging, libFuzzer starts itself anew after an input that ended it: by this line, in a shell.
    again = shlex.join([sys.executable, __file__, "engine", name])
    atheris.Setup([again, *arguments], TARGETS[name], internal_libfuzzer=True)
    atheris.Fuzz()


def _libfuzzer(name: str, log: Path, *arguments: str | Path) -> int:
    with log.open("w") as out:
        command = [sys.executable, __file__, "engine", name, *_OPTIONS, *map(str, arguments)]
        return subprocess.run(
            command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False
        ).returncode


def _write(directory: Path, inputs: Iterable[bytes]) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for data in inputs:
        (directory / hashlib.sha1(data, usedforsecurity=False).hexdigest()).write_bytes(data)
    return directory


def run(names: list[str], seconds: int) -> int:
    """Search for each target, one after the other; return how many have findings."""
    from fuzz import kept
    from fuzz.seeds import seeds

    first = seeds()
    failed = 0
    for name in names:
        work = WORK / name
        _write(work / "corpus", [*first[name], *kept.read(name)])
        (work / "findings").mkdir(exist_ok=True)
        prefix = f"-artifact_prefix={work / 'findings'}/"
        code = _libfuzzer(name, work / "log", f"-max_total_time={seconds}", prefix, work / "corpus")
        failed += code != 0
        verdict = "no finding" if code == 0 else f"a FINDING: see {work / 'log'}"
        print(f"{name}: {_figures((work / 'log').read_text(errors='replace'))}; {verdict}", flush=True)
    return failed


def _figures(log: str) -> str:
    """Return how far a search came, from the last line in which libFuzzer says so."""
    said = re.findall(r"^#(\d+)\t.* cov: (\d+) ft: (\d+) corp: (\d+)/", log, re.MULTILINE)
    if not said:
        return "nothing was run"
    return "{} inputs tried, {} edges and {} features reached by {}".format(*said[-1])


def keep(names: list[str]) -> None:
    """Merge what is kept and what was found into the fewest inputs that add to the first ones; those with notes stay."""
    from fuzz import kept
    from fuzz.seeds import seeds

    first = {name: set(inputs) for name, inputs in seeds().items()}
    for name in names:
        before = kept.read(name)
        noted = {data: note for data, note in before.items() if note}
        with tempfile.TemporaryDirectory() as directory:
            chosen = _write(Path(directory, "chosen"), [*first[name], *noted])
            # A search may still be at work in its own directory, and libFuzzer tries for ever what has gone meanwhile.
            found = [path.read_bytes() for path in (WORK / name / "corpus").glob("*")]
            others = _write(Path(directory, "others"), [*before, *found])
            log = _write(WORK / name, ()) / "merge.log"
            code = _libfuzzer(name, log, "-set_cover_merge=1", chosen, others)
            if code or "MERGE-OUTER: " not in log.read_text(errors="replace"):
                sys.exit(f"{name}: libFuzzer did not merge; see {log}")
            reaching = {path.read_bytes() for path in chosen.iterdir()} - first[name]
        inputs = dict.fromkeys(reaching, "") | noted
        kept.path_of(name).write_text(kept.text_of(inputs), encoding="ascii")
        print(f"{name}: {len(inputs)} inputs of {sum(map(len, inputs))} octets", flush=True)


def record() -> None:
    """Put new recordings in the place of the old ones."""
    from fuzz import kept
    from fuzz.seeds import recorded

    for name, said in asyncio.run(recorded()).items():
        note = f"what grpcio said to a {name}"
        inputs = {data: old for data, old in kept.read(name).items() if old != note}
        kept.path_of(name).write_text(kept.text_of(inputs | {said: note}), encoding="ascii")


def main() -> int:
    """Do what the command line says."""
    if sys.argv[1:2] == ["engine"]:
        engine(sys.argv[2], sys.argv[3:])
    from fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", choices=["run", "keep", "record"])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=60)
    options = parser.parse_args()
    names = options.targets or list(TARGETS)
    if unknown := [name for name in names if name not in TARGETS]:
        parser.error(f"no target is named {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    if options.verb == "run":
        return 1 if run(names, options.seconds) else 0
    if options.verb == "keep":
        keep(names)
    else:
        record()
    return 0


if __name__ == "__main__":
    sys.exit(main())
