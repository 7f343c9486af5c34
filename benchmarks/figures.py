"""The figures of a run: what was measured of a pair of stacks, and ratios against the peer of the same run."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass, replace

from benchmarks.stacks import peers, shared
from benchmarks.work import CASES


@dataclass(frozen=True)
class Figure:
    """One case with one client and one server.

    Attributes:
        per_second: Operations: calls, messages or lines.
        client_cpu: Microseconds of CPU per operation, of all threads of the process.
        server_cpu: The same; None where the system does not tell.
        client_memory: KiB of resident memory per call that is open, where calls are held open.
        server_memory: The same of the server.
        ratio: `per_second` against the peer of the case in the same place.
        cpu_ratio: The same of CPU: of the end that differs, or of both ends together.
        runs: Operations per second of each run; the figures are those of the best.
    """

    case: str
    client: str
    server: str
    per_second: float
    client_cpu: float
    server_cpu: float | None = None
    client_memory: float | None = None
    server_memory: float | None = None
    ratio: float | None = None
    cpu_ratio: float | None = None
    runs: tuple[float, ...] = ()

    @property
    def place(self) -> str:
        """What the pair is about: both ends, or one of them with the shared stack or the peer of the case at the other."""
        if self.client == self.server:
            return "both ends"
        if self.client == shared(CASES[self.case]):
            return f"server under a {self.client} client"
        return f"client against {self.server}"

    def cpu_of(self, place: str) -> float | None:
        """CPU of the end that a place is about, or of both."""
        if place.startswith("client"):
            return self.client_cpu
        if self.server_cpu is None:
            return None
        return self.server_cpu + (self.client_cpu if place == "both ends" else 0)

    @property
    def tested_cpu(self) -> float | None:
        """CPU of the end that the pair is about, or of both."""
        return self.cpu_of(self.place)


@dataclass(frozen=True)
class CodecFigure:
    """One library with one message.

    Attributes:
        encode: Microseconds of CPU to make bytes of it.
        decode: Microseconds of CPU to make it of bytes.
        base: The library that the ratios are against.
        encode_ratio: How many times as fast as that.
        decode_ratio: The same.
    """

    message: str
    library: str
    encode: float
    decode: float
    base: str | None = None
    encode_ratio: float | None = None
    decode_ratio: float | None = None


def best(figures: list[Figure]) -> Figure:
    """The repeat of a measurement that did the most per second; whatever else the machine did only takes from it."""
    found = max(figures, key=operator.attrgetter("per_second"))
    return replace(found, runs=tuple(figure.per_second for figure in figures))


def _is_base(base: Figure, figure: Figure) -> bool:
    """Whether `base` has the peer in the seat that `figure` is about, and everything else alike."""
    case = CASES[figure.case]
    if figure.place == "both ends":
        return base.place == figure.place and base.client in peers(case)
    if figure.client == shared(case):
        return base.client == figure.client and base.server in peers(case)
    return base.server == figure.server and base.client in peers(case)


def with_ratios(figures: list[Figure]) -> list[Figure]:
    """Each figure of a case against the best of its peer in the same place."""
    found = []
    for figure in figures:
        bases = [base for base in figures if _is_base(base, figure)]
        speed = max((base.per_second for base in bases), default=None)
        cpu = min((used for base in bases if (used := base.cpu_of(figure.place))), default=None)
        found.append(
            replace(
                figure,
                ratio=figure.per_second / speed if speed else None,
                cpu_ratio=figure.tested_cpu / cpu if cpu and figure.tested_cpu else None,
            )
        )
    return found


class Results:
    """All figures of a run, to be asked for by case and names."""

    def __init__(self, figures: Iterable[Figure]) -> None:
        self._figures = list(figures)

    def find(self, case: str, client: str, server: str) -> Figure | None:
        """The figure of a pair, if the run has it."""
        for figure in self._figures:
            if (figure.case, figure.client, figure.server) == (case, client, server):
                return figure
        return None

    def all(self) -> list[Figure]:
        """Every figure, in the order of the run."""
        return list(self._figures)
