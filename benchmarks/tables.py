"""What a run prints: a table for each case, and the targets that it covers."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from benchmarks.figures import CodecFigure, Figure
from benchmarks.stacks import peers
from benchmarks.targets import Outcome
from benchmarks.work import Case


def _cell(value: float | None, places: int) -> str:
    return "-" if value is None else f"{value:,.{places}f}"


def show_case(console: Console, case: Case, figures: list[Figure]) -> None:
    peer, _, _ = peers(case)[0].partition(",")
    table = Table(title=case.title, title_justify="left", header_style="bold")
    table.add_column("client")
    table.add_column("server")
    headings = [f"{case.unit}s/s", f"x {peer}", f"CPU x {peer}", "client us", "server us"]
    memory = any(figure.client_memory is not None for figure in figures)
    if memory:
        headings += ["client KiB", "server KiB"]
    for heading in headings:
        table.add_column(heading, justify="right")
    place = figures[0].place if figures else ""
    for figure in figures:
        if figure.place != place:
            table.add_section()
            place = figure.place
        cells = [
            _cell(figure.per_second, 0),
            _cell(figure.ratio, 2),
            _cell(figure.cpu_ratio, 2),
            _cell(figure.client_cpu, 2),
            _cell(figure.server_cpu, 2),
        ]
        if memory:
            cells += [_cell(figure.client_memory, 1), _cell(figure.server_memory, 1)]
        table.add_row(figure.client, "" if figure.client == figure.server else figure.server, *cells)
    console.print(table)


def show_codecs(console: Console, figures: list[CodecFigure], sizes: dict[str, int]) -> None:
    for message in dict.fromkeys(figure.message for figure in figures):
        table = Table(
            title=f"messages to bytes and back: {message}, {sizes[message]} bytes",
            title_justify="left",
            header_style="bold",
        )
        table.add_column("library")
        for heading in ("encode us", "decode us", "encode x", "decode x"):
            table.add_column(heading, justify="right")
        table.add_column("times as fast as")
        for figure in figures:
            if figure.message == message:
                table.add_row(
                    figure.library,
                    _cell(figure.encode, 2),
                    _cell(figure.decode, 2),
                    _cell(figure.encode_ratio, 2),
                    _cell(figure.decode_ratio, 2),
                    figure.base or "",
                )
        console.print(table)


def show_targets(console: Console, found: list[Outcome]) -> None:
    table = Table(title="targets that this run covers", title_justify="left", header_style="bold")
    for heading in ("target", "wanted", "measured", ""):
        table.add_column(heading, justify="left" if heading in {"target", ""} else "right")
    for outcome in found:
        table.add_row(
            outcome.title, outcome.wanted, f"{outcome.measured:.2f}", "met" if outcome.met else "MISSED"
        )
    console.print(table)
