"""Walks along the steps, prints each as it ends, and tells in the end whether all went as it should."""

from __future__ import annotations

import asyncio
import platform
import sys
import textwrap
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from wirelane._version import __version__
from wirelane.cli.demo.server import DemoServer
from wirelane.cli.demo.steps import GRPC_STEPS, SECURITY_STEPS, Step, StepFailed, Tour, title_of
from wirelane.cli.demo.tcp_steps import BURSTS, TCP_STEPS
from wirelane.cli.errors import one_line, say
from wirelane.cli.style import coloured

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["take_tour"]

_PATIENCE: Final = 30.0
"""Seconds for one step: the tour ends, whatever happens."""

_CHAPTERS: Final[tuple[tuple[str, Sequence[Step]], ...]] = (
    ("gRPC", GRPC_STEPS),
    ("TLS", SECURITY_STEPS),
    ("TCP", TCP_STEPS),
)

_PIPED_WIDTH: Final = 110


async def take_tour() -> int:
    """Start the demo server, take the tour, and return the exit code: 0 only if every step gave what it should."""
    book = _Book()
    book.opening()
    async with DemoServer() as server, AsyncExitStack() as stack:
        book.addresses(server)
        tour = Tour(server, stack)
        for chapter, steps in _CHAPTERS:
            book.chapter(chapter)
            for step in steps:
                await book.step(tour, step)
        await book.bursts(tour)
    return book.end()


@dataclass(slots=True)
class _Book:
    """What the tour prints, and remembers."""

    console: Console = field(init=False)
    taken: int = 0
    failed: list[str] = field(default_factory=list)
    width: int = field(init=False)

    def __post_init__(self) -> None:
        person = coloured(sys.stdout)
        self.console = Console(
            force_terminal=person,
            no_color=not person,
            highlight=False,
            markup=False,
            emoji=False,
            width=None if sys.stdout.isatty() else _PIPED_WIDTH,
        )
        self.width = min(self.console.width, _PIPED_WIDTH)

    @property
    def _plain(self) -> bool:
        return not (self.console.encoding or "").lower().startswith("utf")

    def line(self, *parts: str | tuple[str, str]) -> None:
        self.console.print(Text.assemble(*parts), soft_wrap=True)

    def opening(self) -> None:
        loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
        system = f"{platform.python_implementation()} {platform.python_version()}, {loop}"
        self.line((f"wirelane {__version__}", "bold"), f": the tour ({system})")

    def addresses(self, server: DemoServer) -> None:
        where = server.addresses
        self.line(
            f"A server at grpc://{where.grpc}, grpcs://{where.tls}, tcp://{where.tcp}, and calls to it over real sockets."
        )

    def chapter(self, name: str) -> None:
        self.line()
        self.line((name, "bold cyan"))

    async def step(self, tour: Tour, step: Step) -> None:
        title = title_of(step)
        began = time.perf_counter()
        lines: list[str] = []
        problem = None
        try:
            async with asyncio.timeout(_PATIENCE):
                lines = await step(tour)
        except Exception as error:  # noqa: BLE001  (a step may fail in any way; the tour goes on, and tells)
            problem = str(error) if isinstance(error, StepFailed) else f"{type(error).__name__}: {error}"
        self.told(title, time.perf_counter() - began, lines, problem)

    def told(self, title: str, seconds: float, lines: Sequence[str], problem: str | None) -> None:
        self.taken += 1
        good, bad = ("ok", "FAILED") if self._plain else ("✓", "✗")
        mark = (good, "green") if problem is None else (bad, "bold red")
        elapsed = f"{seconds * 1000:.1f} ms"
        gap = max(self.width - len(mark[0]) - len(title) - len(elapsed) - 3, 1)
        self.line("  ", mark, " ", (title, "bold"), " " * gap, (elapsed, "dim"))
        for text in lines:
            self.below(text)
        if problem is not None:
            self.failed.append(title)
            self.below(problem, "red")

    def below(self, text: str, look: str = "") -> None:
        text = one_line(text) if self._plain else one_line(text).replace(" -> ", " → ")
        for line in textwrap.wrap(text, self.width - 4, break_on_hyphens=False):
            self.line("    ", (line, look))

    async def bursts(self, tour: Tour) -> None:
        self.chapter("A short burst")
        table = Table(box=None, pad_edge=False, padding=(0, 2), show_header=True, header_style="dim")
        table.add_column("client and server in this one process")
        table.add_column("per second", justify="right")
        problem = None
        for name, burst in BURSTS:
            try:
                async with asyncio.timeout(_PATIENCE):
                    done, seconds = await burst(tour)
            except Exception as error:  # noqa: BLE001  (as above)
                problem = f"{name}: {type(error).__name__}: {error}"
                continue
            table.add_row(name, f"{done / seconds:,.0f}")
        self.taken += 1
        self.console.print(Padding(table, (0, 0, 0, 4), expand=False))
        if problem is not None:
            self.failed.append("A short burst")
            self.below(problem, "red")

    def end(self) -> int:
        self.line()
        if self.failed:
            sys.stdout.flush()
            say(f"{len(self.failed)} of {self.taken} steps failed: {'; '.join(self.failed)}")
            return 1
        self.line((f"All {self.taken} steps gave what they should.", "bold green"))
        return 0
