"""Who is measured: the stacks, how each is started, which cases it can do, and who is put at the other end of whom."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.work import CASES, Case

GO_SOURCE = Path(__file__).resolve().parent / "peers" / "grpcgo"
OURS = "wirelane, uvloop"
GO = "grpc-go"
GRPCAIO = ("grpc.aio, asyncio", "grpc.aio, uvloop")
FLOOR = "floor, uvloop"
LOOPS = ("asyncio", "uvloop")
STREAMS = tuple(f"StreamReader, {loop}" for loop in LOOPS)
ANYIO = tuple(f"anyio, {loop}" for loop in LOOPS)
BARE = tuple(f"bare Protocol, {loop}" for loop in LOOPS)
TCP = tuple(f"wirelane TCP, {loop}" for loop in LOOPS)
SYNC, GRPCIO = "wirelane.sync", "grpcio"
SYNC_TCP = "wirelane.sync TCP"
RPC = frozenset(name for name, case in CASES.items() if not (case.tcp or case.blocking))
TCP_CASES = frozenset(name for name, case in CASES.items() if case.tcp and not case.blocking)
SYNC_RPC = frozenset(name for name, case in CASES.items() if case.blocking and not case.tcp)
SYNC_LINES = frozenset({"sync_tcp_lines"})
# No server of grpclib offers more than 100 streams, and no client of it holds 10,000.
NOT_MANY = RPC - {"unary_10000", "held_10000"}


@dataclass(frozen=True)
class Stack:
    """One peer.

    Attributes:
        serve: The command of its server; empty if it has none.
        client: The command of its client, to which port and case are added; empty if it has none.
        cases: What it can do.
        alone: Measured with itself only.
        missing: Why it cannot run here.
        environment: What its environment has beside ours.
    """

    name: str
    serve: tuple[str, ...] = ()
    client: tuple[str, ...] = ()
    cases: frozenset[str] = RPC
    alone: bool = False
    missing: str = ""
    environment: dict[str, str] = field(default_factory=dict)


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"benchmarks.{module}", *arguments)


def _rpc(name: str, module: str, loop: str, cases: frozenset[str] = RPC, *, alone: bool = False) -> Stack:
    return Stack(
        f"{name}, {loop}",
        _python(module, loop, "serve"),
        _python(module, loop, "client"),
        cases,
        alone,
    )


def _tcp(names: tuple[str, ...], who: str, cases: frozenset[str], missing: str = "") -> list[Stack]:
    """A client of TCP on each loop; the server is the same for all."""
    return [
        Stack(
            name,
            _python("tcp_peers", loop, "serve"),
            _python("tcp_peers", loop, who),
            cases,
            alone=True,
            missing=missing,
        )
        for name, loop in zip(names, LOOPS, strict=True)
    ]


def _tcp_stacks() -> list[Stack]:
    missing = "" if importlib.util.find_spec("anyio") else "anyio not installed (tools/env.sh bench)"
    markers = tuple(f"wirelane TCP read(marker=), {loop}" for loop in LOOPS)
    return [
        *_tcp(STREAMS, "streams", TCP_CASES),
        *_tcp(ANYIO, "anyio", TCP_CASES, missing),
        *_tcp(BARE, "bare", frozenset({"tcp_echo", "tcp_idle"})),
        *_tcp(TCP, "wirelane", TCP_CASES | SYNC_LINES),
        *_tcp(markers, "wirelane.marker", frozenset({"tcp_lines"})),
        Stack(
            SYNC_TCP,
            _python("tcp_peers", "none", "serve"),
            _python("tcp_peers", "none", "wirelane.sync"),
            SYNC_LINES,
            alone=True,
        ),
    ]


def _blocking(name: str, module: str) -> Stack:
    return Stack(name, _python(module, "serve"), _python(module, "client"), SYNC_RPC)


def _connectrpc() -> Stack:
    packages = [name for name in ("connectrpc", "pyqwest") if importlib.util.find_spec(name) is None]
    return Stack(
        "connectrpc + pyqwest",
        client=_python("rpc_connectrpc", "asyncio", "client"),
        cases=NOT_MANY,
        missing=f"{' and '.join(packages)} not installed (tools/env.sh bench)" if packages else "",
    )


def _go_program() -> tuple[Path | None, str]:
    """The program of peers/grpcgo, built into the user's cache; or None and the reason."""
    go = shutil.which("go")
    if go is None:
        return None, "Go is not installed"
    sources = sorted(path for path in GO_SOURCE.rglob("*") if path.suffix in {".go", ".mod", ".sum"})
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    program = base / "wirelane" / "benchmarks" / f"grpcgo-{digest}"
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        built = subprocess.run(
            [go, "build", "-trimpath", "-o", str(program), "."],
            cwd=GO_SOURCE,
            capture_output=True,
            text=True,
            check=False,
        )
        if built.returncode:
            return None, "go build failed: " + " ".join(built.stderr.split())[-300:]
    return program, ""


def _grpc_go() -> Stack:
    program, missing = _go_program()
    return Stack(GO, (str(program), "serve"), (str(program), "client"), missing=missing)


def all_stacks(client: str | None = None, server: str | None = None) -> list[Stack]:
    """Every stack, those that cannot run here too; without grpc-go, which has to be built, if no name asked for fits."""
    go = [_grpc_go()] if (client or "") in GO or (server or "") in GO else []
    few = frozenset({"unary_1", "unary_64", "unary_1mib"})
    dicts = _rpc(
        "wirelane with dicts", "rpc_wirelane", "uvloop", frozenset({"unary_64", "server_stream"}), alone=True
    )
    dicts.environment["BENCH_CODEC"] = "dict"
    return [
        _rpc("wirelane", "rpc_wirelane", "uvloop", RPC | SYNC_RPC),
        _rpc("wirelane", "rpc_wirelane", "asyncio"),
        dicts,
        _rpc("grpc.aio", "rpc_grpcaio", "asyncio"),
        _rpc("grpc.aio", "rpc_grpcaio", "uvloop"),
        _rpc("grpclib", "rpc_grpclib", "uvloop", NOT_MANY),
        _connectrpc(),
        *go,
        _blocking(SYNC, "rpc_wirelane_sync"),
        _blocking(GRPCIO, "rpc_grpcio"),
        _rpc("floor", "floor", "uvloop", few, alone=True),
        _rpc("floor", "floor", "asyncio", few, alone=True),
        *_tcp_stacks(),
    ]


def peers(case: Case) -> tuple[str, ...]:
    """Whom the figures of a case are compared with, each end with the best of them."""
    if case.blocking:
        return TCP[1:] if case.tcp else (GRPCIO,)
    return STREAMS[:1] if case.tcp else GRPCAIO


def shared(case: Case) -> str:
    """Who is put at the other end of the stacks of a case, so that they differ in one end only."""
    return OURS if case.blocking else GO


def default_pairs(case: Case, stacks: list[Stack]) -> list[tuple[Stack, Stack]]:
    """(client, server) pairs of a case: each stack with itself; where it says something, with the shared one at the other end.

    A client without a server of its own talks to that of the first peer, which is always there; so does every client without
    await, because a server of many threads is what it meets. There, the shared stack is itself no row: it has await.
    """
    able = [stack for stack in stacks if case.name in stack.cases and not stack.missing]
    by_name = {stack.name: stack for stack in able}
    other_end, peer = by_name.get(shared(case)), by_name.get(peers(case)[0])
    tested = [stack for stack in able if not (case.blocking and stack is other_end)]
    pairs = [(stack, stack) for stack in tested if stack.client and stack.serve]
    if peer:
        pairs += [(stack, peer) for stack in tested if not stack.serve]
    if case.mixed and other_end:
        others = [stack for stack in able if stack is not other_end and not stack.alone]
        pairs += [(stack, other_end) for stack in others]
        pairs += [(other_end, stack) for stack in others if stack.serve]
    if case.mixed and case.blocking and peer:
        pairs += [(stack, peer) for stack in tested if stack is not peer]
    return pairs


def chosen_pairs(
    case: Case, stacks: list[Stack], client: str | None, server: str | None
) -> list[tuple[Stack, Stack]]:
    """The default pairs whose names hold what was asked for; with both asked for, whatever fits, in the table or not."""
    if client and server:
        able = [stack for stack in stacks if case.name in stack.cases and not stack.missing]
        return [
            (one, other)
            for one in able
            for other in able
            if one.client and other.serve and client in one.name and server in other.name
            if one is other or not (one.alone or other.alone)
        ]
    return [
        (one, other)
        for one, other in default_pairs(case, stacks)
        if (client or "") in one.name and (server or "") in other.name
    ]
