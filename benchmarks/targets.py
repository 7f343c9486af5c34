"""What wirelane means to reach, and whether a run shows it. Ratios of figures of one run only.

grpc.aio counts by the better of its two event loops, wirelane by its figures on uvloop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from benchmarks.figures import CodecFigure, Figure, Results
from benchmarks.stacks import (
    ANYIO,
    BARE,
    FLOOR,
    GO,
    GRPCAIO,
    GRPCIO,
    LOOPS,
    OURS,
    STREAMS,
    SYNC,
    SYNC_TCP,
    TCP,
)


@dataclass(frozen=True)
class Outcome:
    """A target that a run covers: what it asks for, what was measured, whether that is enough."""

    title: str
    wanted: str
    measured: float
    met: bool


@dataclass(frozen=True)
class Target:
    """`measured` gives the ratio, or None if the run lacks a figure for it."""

    title: str
    bound: float
    measured: Callable[[Results], float | None]
    at_least: bool = True
    unit: str = "x"

    def outcome(self, results: Results) -> Outcome | None:
        value = self.measured(results)
        if value is None:
            return None
        met = value >= self.bound if self.at_least else value <= self.bound
        return Outcome(
            self.title, f"{'>=' if self.at_least else '<='} {self.bound:.3g}{self.unit}", value, met
        )


Names = tuple[str, ...]


def _each(results: Results, case: str, clients: Names, servers: Names) -> Iterable[Figure]:
    """The figures of these clients and servers; of the same stack at both ends, where both are named."""
    for client in clients:
        for server in servers:
            figure = results.find(case, client, server)
            if figure and (clients != servers or client == server):
                yield figure


def _speed(
    case: str, peer: tuple[Names, Names], ours: tuple[str, str] = (OURS, OURS)
) -> Callable[[Results], float | None]:
    """Our operations per second against the best of the peer's."""

    def measured(results: Results) -> float | None:
        mine = results.find(case, *ours)
        theirs = max((figure.per_second for figure in _each(results, case, *peer)), default=None)
        return mine.per_second / theirs if mine and theirs else None

    return measured


def _cpu(case: str, peer: tuple[Names, Names], ours: tuple[str, str]) -> Callable[[Results], float | None]:
    """The CPU of our end against the least of the peer's."""

    def measured(results: Results) -> float | None:
        mine = results.find(case, *ours)
        theirs = min(
            (figure.tested_cpu for figure in _each(results, case, *peer) if figure.tested_cpu), default=None
        )
        return mine.tested_cpu / theirs if mine and mine.tested_cpu and theirs else None

    return measured


def _extra(case: str) -> Callable[[Results], float | None]:
    """Our CPU per call, both ends, against that of the plain case."""

    def measured(results: Results) -> float | None:
        plain, more = results.find("unary_64", OURS, OURS), results.find(case, OURS, OURS)
        if not plain or not more or not plain.tested_cpu or not more.tested_cpu:
            return None
        return more.tested_cpu / plain.tested_cpu

    return measured


def _memory(field: str, case: str = "held_10000", ours: str = OURS) -> Callable[[Results], float | None]:
    def measured(results: Results) -> float | None:
        figure = results.find(case, ours, ours)
        value: float | None = getattr(figure, field) if figure else None
        return value

    return measured


AIO_BOTH = (GRPCAIO, GRPCAIO)
AIO_CLIENT = (GRPCAIO, (GO,))
AIO_SERVER = ((GO,), GRPCAIO)
GO_BOTH = ((GO,), (GO,))
TO_GO, FROM_GO = (OURS, GO), (GO, OURS)
# Kinds of streams: what of them the client does, and what the server.
STREAM_KINDS = (
    ("server_stream", "received", "sent"),
    ("client_stream", "sent", "received"),
    ("bidi_stream", "client", "server"),
)


def _streams() -> Iterable[Target]:
    """Small messages in a stream: each direction, as client and as server."""
    for case, as_client, as_server in STREAM_KINDS:
        title = case.replace("_", " ")
        yield Target(f"{title}, {as_client}, of grpc.aio", 20, _speed(case, AIO_CLIENT, TO_GO))
        yield Target(f"{title}, {as_server}, of grpc.aio", 20, _speed(case, AIO_SERVER, FROM_GO))
        yield Target(f"{title}, {as_client}, of grpc-go", 0.4, _speed(case, GO_BOTH, TO_GO))
        yield Target(f"{title}, {as_server}, of grpc-go", 0.4, _speed(case, GO_BOTH, FROM_GO))


def _tcp() -> Iterable[Target]:
    """TCP, each loop against the same loop."""
    for loop, ours, streams, anyio, bare in zip(LOOPS, TCP, STREAMS, ANYIO, BARE, strict=True):

        def against(case: str, peer: str, ours: str = ours) -> Callable[[Results], float | None]:
            return _speed(case, ((peer,), (peer,)), (ours, ours))

        yield Target(f"TCP lines on {loop}, of StreamReader", 2.5, against("tcp_lines", streams))
        yield Target(f"TCP lines on {loop}, of anyio", 2, against("tcp_lines", anyio))
        for case, size in (("tcp_blocks", "1 MiB"), ("tcp_large_blocks", "16 MiB")):
            yield Target(f"TCP blocks of {size} on {loop}, of StreamReader", 1, against(case, streams))
        yield Target(f"TCP round trips on {loop}, of a bare Protocol", 1 / 1.3, against("tcp_echo", bare))
        yield Target(
            f"memory per idle TCP connection on {loop}",
            12,
            _memory("client_memory", "tcp_idle", ours),
            at_least=False,
            unit=" KiB",
        )


def _without_await() -> Iterable[Target]:
    """Beside grpcio's blocking API. What calls take is the server's time, too: clients that share one are held to their CPU."""
    blocking = ((GRPCIO,), (GRPCIO,))
    as_client = ((GRPCIO,), (OURS,)), (SYNC, OURS)
    as_server = ((OURS,), (GRPCIO,)), (OURS, SYNC)
    for case, threads in (("sync_unary_1", "1 thread"), ("sync_unary_16", "16 threads")):
        title = f"without await, unary, {threads}"
        yield Target(f"{title}, calls/s of grpcio", 1.5, _speed(case, blocking, (SYNC, SYNC)))
        yield Target(
            f"{title}, client's CPU of grpcio's, one server",
            1 / 1.5,
            _cpu(case, *as_client),
            at_least=False,
        )
        yield Target(f"{title}, calls/s of grpcio, one server (the aim)", 1.5, _speed(case, *as_client))
    for kind, client, server in STREAM_KINDS:
        title = f"without await, {kind.replace('_', ' ')}"
        yield Target(f"{title}, {client}, of grpcio", 5, _speed(f"sync_{kind}", *as_client))
        yield Target(f"{title}, {server}, of grpcio", 5, _speed(f"sync_{kind}", *as_server))
    lines = ((TCP[1],), (TCP[1],)), (SYNC_TCP, SYNC_TCP)
    yield Target("without await, TCP lines, of those with await", 0.5, _speed("sync_tcp_lines", *lines))


TARGETS = (
    Target("unary, 64 in flight, calls/s of grpc.aio", 8, _speed("unary_64", AIO_BOTH)),
    Target("unary, 64 in flight, calls/s of grpc-go (the aim)", 1, _speed("unary_64", GO_BOTH)),
    Target("unary, 1 in flight, calls/s of grpc.aio", 3, _speed("unary_1", AIO_BOTH)),
    Target("unary, 1 in flight, calls/s of grpc-go (the aim)", 1, _speed("unary_1", GO_BOTH)),
    Target(
        "unary, client's CPU of grpc.aio's, grpc-go server",
        0.4,
        _cpu("unary_64", AIO_CLIENT, TO_GO),
        at_least=False,
    ),
    Target(
        "unary, server's CPU of grpc.aio's, grpc-go client",
        0.2,
        _cpu("unary_64", AIO_SERVER, FROM_GO),
        at_least=False,
    ),
    *_streams(),
    Target("1 MiB each way, calls/s of grpc.aio", 1, _speed("unary_1mib", AIO_BOTH)),
    Target("1 MiB each way, calls/s of a bare socket", 0.5, _speed("unary_1mib", ((FLOOR,), (FLOOR,)))),
    Target("10,000 in flight, CPU of 64 in flight", 1.3, _extra("unary_10000"), at_least=False),
    Target("memory per open call, client", 4, _memory("client_memory"), at_least=False, unit=" KiB"),
    Target("memory per open call, server", 4, _memory("server_memory"), at_least=False, unit=" KiB"),
    Target("10 pairs of metadata, CPU of a plain call", 1.5, _extra("unary_metadata"), at_least=False),
    Target(
        "10 pairs, one of them new, CPU of a plain call", 1.5, _extra("unary_metadata_new"), at_least=False
    ),
    Target("a deadline, CPU of a plain call", 1.5, _extra("unary_deadline"), at_least=False),
    Target("10 pairs and a deadline, CPU of a plain call", 1.5, _extra("unary_both"), at_least=False),
    *_tcp(),
    *_without_await(),
)


def outcomes(results: Results) -> list[Outcome]:
    """The targets for which the run has all figures."""
    return [outcome for target in TARGETS if (outcome := target.outcome(results))]


# The message that the targets of codecs are about, and by how much a library is to be faster than its base.
_TYPICAL = "Order"
_CODECS = {"wirelane, dict": 4.0, "betterproto2 through wirelane": 10.0, "betterproto2, accelerated": 10.0}


def codec_outcomes(figures: Iterable[CodecFigure]) -> list[Outcome]:
    """The targets of codecs for which the run has the figures."""
    found: list[Outcome] = []
    for figure in figures:
        bound = _CODECS.get(figure.library)
        if bound is None or figure.message != _TYPICAL:
            continue
        for way, ratio in (("encode", figure.encode_ratio), ("decode", figure.decode_ratio)):
            if ratio is not None:
                title = f"{figure.library}: {way}, of {figure.base}"
                found.append(Outcome(title, f">= {bound:.3g}x", ratio, ratio >= bound))
    return found
