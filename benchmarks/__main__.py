"""Run every case with every stack, in turn, and print one table; `--json FILE` keeps the figures.

Each server and each client is a process of its own. The figures of one run compare with each other and with nothing
else: machines differ, and so does one machine from hour to hour.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Stack:
    """One row: a module of this package (for TCP, a client of it), its loop, what its environment adds."""

    name: str
    module: str
    loop: str
    environment: tuple[tuple[str, str], ...] = ()


STACKS = (
    Stack("wirelane, uvloop", "rpc_wirelane", "uvloop"),
    Stack("wirelane, asyncio", "rpc_wirelane", "asyncio"),
    Stack("wirelane, uvloop, dict messages", "rpc_wirelane", "uvloop", (("BENCH_CODEC", "dict"),)),
    Stack("grpc.aio, asyncio", "rpc_grpcaio", "asyncio"),
    Stack("grpc.aio, uvloop", "rpc_grpcaio", "uvloop"),
    Stack("grpclib, uvloop", "rpc_grpclib", "uvloop"),
)
BASE = "grpc.aio, asyncio"
TCP = (
    Stack("StreamReader.readline, asyncio", "asyncio", "asyncio"),
    Stack("StreamReader.readline, uvloop", "asyncio", "uvloop"),
    Stack("wirelane lines(), asyncio", "wirelane.lines", "asyncio"),
    Stack("wirelane lines(), uvloop", "wirelane.lines", "uvloop"),
    Stack("wirelane read(marker=), uvloop", "wirelane.read", "uvloop"),
)
TCP_LINES = 600_000
TCP_BASE = "StreamReader.readline, asyncio"


@dataclass(frozen=True)
class Figure:
    """One measurement. CPU in microseconds per operation; None where it was not taken."""

    case: str
    stack: str
    per_second: float
    client_cpu: float
    server_cpu: float | None
    ratio: float | None = None


def command(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"benchmarks.{module}", *arguments]


def environment(stack: Stack) -> dict[str, str]:
    return {**os.environ, **dict(stack.environment)}


def cpu_of(pid: int) -> float | None:
    """CPU seconds a process has used, where /proc tells."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def serving(arguments: list[str], env: dict[str, str]) -> Iterator[tuple[int, int]]:
    """A server process: (its pid, its port)."""
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=env)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.strip().isdigit():
            raise SystemExit(f"the server did not start: {' '.join(arguments)}")
        yield process.pid, int(line)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def run_client(arguments: list[str], env: dict[str, str]) -> dict[str, float]:
    done = subprocess.run(
        arguments, capture_output=True, text=True, cwd=ROOT, env=env, timeout=600, check=False
    )
    if done.returncode:
        raise SystemExit(f"the client failed: {' '.join(arguments)}\n{done.stderr}")
    result: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def measure_rpc(case: str, stack: Stack, scale: float) -> Figure:
    env = environment(stack)
    with serving(command(stack.module, stack.loop, "serve"), env) as (pid, port):
        before = cpu_of(pid)
        result = run_client(command(stack.module, stack.loop, "client", str(port), case, str(scale)), env)
        after = cpu_of(pid)
    operations = result["operations"]
    # The client's warm-up is a tenth of the work, and counts here.
    server = None if before is None or after is None else (after - before) / (operations * 1.1) * 1e6
    return Figure(case, stack.name, operations / result["seconds"], result["cpu"] / operations * 1e6, server)


def measure_tcp(case: str, stack: Stack, scale: float) -> Figure:
    env = environment(stack)
    lines = str(int(TCP_LINES * scale))
    with serving(command("tcp_lines", stack.loop, "serve"), env) as (_, port):
        result = run_client(command("tcp_lines", stack.loop, stack.module, str(port), lines), env)
    operations = result["operations"]
    return Figure(case, stack.name, operations / result["seconds"], result["cpu"] / operations * 1e6, None)


def with_ratios(figures: list[Figure], base: str) -> list[Figure]:
    """Each figure against the base's of the same run."""
    against = next((figure.per_second for figure in figures if figure.stack == base), None)
    return [
        Figure(**{**asdict(figure), "ratio": figure.per_second / against if against else None})
        for figure in figures
    ]


def show(console: Console, title: str, figures: list[Figure], base: str) -> None:
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("stack")
    for heading in ("per second", f"x {base}", "client us", "server us"):
        table.add_column(heading, justify="right")
    for figure in figures:
        table.add_row(
            figure.stack,
            f"{figure.per_second:,.0f}",
            "-" if figure.ratio is None else f"{figure.ratio:.2f}",
            f"{figure.client_cpu:,.1f}",
            "-" if figure.server_cpu is None else f"{figure.server_cpu:,.1f}",
        )
    console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="more or fewer operations (default: 1.0)")
    parser.add_argument("--json", metavar="FILE", help="write the figures here too")
    parser.add_argument("--case", action="append", help="only these cases (repeat)")
    parser.add_argument("--stack", action="append", help="only stacks whose name holds this (repeat)")
    options = parser.parse_args()

    from benchmarks.work import CASES

    names = [*CASES, "tcp_lines"]
    for name in options.case or ():
        if name not in names:
            parser.error(f"unknown case {name!r}; known are {', '.join(names)}")
    console, progress = Console(width=100), Console(stderr=True)
    kept: list[Figure] = []

    def wanted(stack: str) -> bool:
        return not options.stack or any(part in stack for part in options.stack)

    for name in options.case or names:
        tcp = name == "tcp_lines"
        figures = []
        for stack in TCP if tcp else STACKS:
            if wanted(stack.name):
                progress.print(f"{name}: {stack.name} ...", highlight=False)
                figures.append((measure_tcp if tcp else measure_rpc)(name, stack, options.scale))
        base = TCP_BASE if tcp else BASE
        figures = with_ratios(figures, base)
        show(console, "TCP, 64-byte lines" if tcp else CASES[name].title, figures, base)
        kept += figures
    if options.json:
        packages = ("wirelane", "grpcio", "grpclib", "uvloop", "protobuf")
        about = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "versions": {name: version(name) for name in packages},
        }
        Path(options.json).write_text(
            json.dumps({"about": about, "figures": [asdict(f) for f in kept]}, indent=2) + "\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
