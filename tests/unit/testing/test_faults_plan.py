"""What faults do to a stream, as arithmetic: which bytes go when. No sockets, and a clock that the test turns."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirelane.errors import UsageError
from wirelane.testing import faults
from wirelane.testing.faults.plan import Chunk, Kind, Pass, Plan, Strike, Wait

Gone = list[tuple[float, bytes]]


def plan_of(*armed: faults.Fault, seed: str = "7/1", direction: faults.Direction = "downstream") -> Plan:
    plan = Plan(direction, seed)
    for number, fault in enumerate(armed, 1):
        plan.arm(number, fault, 0.0)
    return plan


def played(
    plan: Plan, pieces: Iterable[tuple[float, bytes]], end: float | None = None, until: float = 1000.0
) -> tuple[Gone, list[Strike]]:
    """Let pieces arrive at their times and, at `end`, the end of the stream; return what went when, and what struck.

    An end that was handed on is the empty piece. The clock jumps to what the plan waits for.
    """
    arriving = [Chunk(when, 0, memoryview(data)) for when, data in pieces]
    start = 0
    for chunk in arriving:
        chunk.start, start = start, start + len(chunk.data)
    if end is not None:
        arriving.append(Chunk(end, start, memoryview(b""), Kind.END))
    now, waiting = 0.0, []
    gone: Gone = []
    strikes: list[Strike] = []
    while True:
        while arriving and arriving[0].arrived <= now:
            waiting.append(arriving.pop(0))
        act = plan.step(waiting[0] if waiting else None, now)
        if isinstance(act, Strike):
            strikes.append(act)
        elif isinstance(act, Pass):
            chunk = waiting[0]
            gone.append((round(now, 6), bytes(chunk.data[: act.count])))
            chunk.data = chunk.data[act.count :]
            plan.went(act.count, now)
            if not chunk.data:
                waiting.pop(0)
        else:
            now = min(act.until, arriving[0].arrived if arriving else math.inf)
            if now > until:
                return gone, strikes


def cut(data: bytes, places: Sequence[int]) -> list[tuple[float, bytes]]:
    edges = [0, *sorted({place for place in places if 0 < place < len(data)}), len(data)]
    return [(0.0, data[a:b]) for a, b in itertools.pairwise(edges)]


def edges(gone: Gone) -> set[int]:
    place, found = 0, set()
    for _, data in gone:
        place += len(data)
        found.add(place)
    return found


STREAM = bytes(range(256)) * 4


def test_without_faults_everything_goes_at_once() -> None:
    assert played(plan_of(), [(0, b"ab"), (3, b"c")], end=4) == ([(0, b"ab"), (3, b"c"), (4, b"")], [])


SEVEN: Gone = [
    (1.131055, b"some wo"),
    (1.631055, b"rds in a "),
    (2.131055, b"row"),
    (2.883127, b","),
    (3.383127, b" and m"),
    (3.883127, b"ore"),
]


def test_a_seed_is_a_plan() -> None:
    """The plan itself, so that no change of ours changes what a user's seed means without being seen."""
    fault = (faults.Slicer(average=6, variation=3, delay=0.5), faults.Latency(1.0, jitter=0.25))
    gone, _ = played(plan_of(*fault), [(0, b"some words in a row"), (2, b", and more")])
    assert gone == SEVEN
    assert played(plan_of(*fault), [(0, b"some words in a row"), (2, b", and more")])[0] == SEVEN
    assert played(plan_of(*fault, seed="7/2"), [(0, b"some words in a row"), (2, b", and more")])[0] != SEVEN
    assert played(plan_of(*fault, seed="8/1"), [(0, b"some words in a row"), (2, b", and more")])[0] != SEVEN


@given(st.lists(st.integers(0, len(STREAM)), max_size=20), st.integers(0, 5), st.integers(1, 40))
def test_slices_end_where_the_seed_says_however_the_stream_was_cut(
    places: list[int], seed: int, average: int
) -> None:
    fault = faults.Slicer(average=average, variation=average // 2)
    whole, _ = played(plan_of(fault, seed=f"{seed}/1"), [(0, STREAM)])
    pieces, _ = played(plan_of(fault, seed=f"{seed}/1"), cut(STREAM, places))
    assert edges(pieces) == edges(whole) | {place for place in places if place > 0}
    assert b"".join(data for _, data in pieces) == STREAM
    assert all(len(data) <= average + average // 2 for _, data in pieces)


def test_slices_vary_around_their_average() -> None:
    gone, _ = played(plan_of(faults.Slicer(average=10, variation=4)), [(0, STREAM)])
    sizes = {len(data) for _, data in gone[:-1]}
    assert min(sizes) == 6
    assert max(sizes) == 14


def test_between_slices_is_a_delay_whatever_waits() -> None:
    gone, _ = played(plan_of(faults.Slicer(average=2, delay=1.0)), [(0, b"abcde"), (10, b"f")])
    assert gone == [(0, b"ab"), (1, b"cd"), (2, b"e"), (10, b"f")]


def test_latency_moves_everything_by_the_same_and_the_end_too() -> None:
    gone, _ = played(plan_of(faults.Latency(0.5)), [(0, b"a"), (0.1, b"b"), (3, b"c")], end=3)
    assert gone == [(0.5, b"a"), (0.6, b"b"), (3.5, b"c"), (3.5, b"")]


def test_jitter_never_reorders_and_never_runs_ahead() -> None:
    pieces = [(index * 0.01, bytes([index])) for index in range(100)]
    gone, _ = played(plan_of(faults.Latency(0.5, jitter=1.0)), pieces)
    assert b"".join(data for _, data in gone) == bytes(range(100))
    assert all(when >= came for (when, _), (came, _) in zip(gone, pieces, strict=True))
    assert len({round(when - came, 3) for (when, _), (came, _) in zip(gone, pieces, strict=True)}) > 10


def test_latencies_add_up() -> None:
    gone, _ = played(plan_of(faults.Latency(0.5), faults.Latency(0.25, direction="both")), [(0, b"a")])
    assert gone == [(0.75, b"a")]


@pytest.mark.parametrize("rate", [3, 1000, 10**7])
def test_bandwidth_is_what_it_says(rate: int) -> None:
    gone, _ = played(plan_of(faults.Bandwidth(rate)), [(0, STREAM)])
    assert b"".join(data for _, data in gone) == STREAM
    assert gone[-1][0] == pytest.approx(len(STREAM) / rate, rel=1e-3, abs=1e-5)
    assert max(len(data) for _, data in gone) <= max(1, rate // 50)


def test_a_line_that_was_idle_does_not_make_up_for_it() -> None:
    gone, _ = played(plan_of(faults.Bandwidth(10)), [(0, b"a"), (100, b"bcd")])
    assert gone == [(0.1, b"a"), (100.1, b"b"), (100.2, b"c"), (100.3, b"d")]


def test_a_reader_that_was_blocked_earns_no_burst() -> None:
    plan = plan_of(faults.Bandwidth(100))
    chunk = Chunk(0.0, 0, memoryview(bytes(200)))
    assert plan.step(chunk, 0.0) == Wait(0.02)
    assert plan.step(chunk, 60.0) == Pass(2)  # it could have been gone long ago
    plan.went(2, 60.0)
    free = 0
    while isinstance(act := plan.step(chunk, 60.0), Pass):
        plan.went(act.count, 60.0)
        free += act.count
    assert free <= 12  # a tenth of a second


def test_a_slow_close_delays_the_end_alone() -> None:
    gone, _ = played(plan_of(faults.SlowClose(2.0)), [(0, b"a")], end=1)
    assert gone == [(0, b"a"), (3, b"")]


@pytest.mark.parametrize("kind", [faults.Cut, faults.Reset, faults.HalfOpen])
def test_what_strikes_does_so_once_after_exactly_so_many_bytes(kind: type[faults.Cut]) -> None:
    fault = kind(after_bytes=3)
    assert played(plan_of(fault), [(0, b"abcde"), (1, b"f")]) == ([(0, b"abc")], [Strike(fault)])


def test_what_strikes_does_so_after_a_time_while_nothing_comes() -> None:
    plan = plan_of(faults.Cut(after_seconds=2.0), faults.Reset(after_bytes=1))
    assert plan.step(None, 0.0) == Wait(2.0)
    assert plan.step(None, 2.0) == Strike(faults.Cut(after_seconds=2.0))


def test_with_nothing_said_it_strikes_at_once() -> None:
    assert plan_of(faults.Reset()).step(None, 0.0) == Strike(faults.Reset())


def test_limited_data_strike_after_the_last_byte_that_may_go() -> None:
    fault = faults.LimitData(4)
    assert played(plan_of(fault), [(0, b"abcdef")]) == ([(0, b"abcd")], [Strike(fault)])


def test_a_fault_that_is_armed_late_counts_from_then() -> None:
    plan = plan_of()
    plan.went(100, 5.0)
    plan.arm(1, faults.Cut(after_bytes=2, after_seconds=3.0), 5.0)
    chunk = Chunk(5.0, 100, memoryview(b"abc"))
    assert plan.step(chunk, 5.0) == Pass(2)
    plan.went(1, 5.0)
    assert plan.step(None, 5.0) == Wait(8.0)


def test_a_stall_holds_back_bytes_and_end_until_it_is_removed() -> None:
    plan = plan_of(faults.Stall(after_bytes=2))
    chunk = Chunk(0.0, 0, memoryview(b"abcd"))
    assert plan.step(chunk, 0.0) == Pass(2)
    plan.went(2, 0.0)
    chunk.data = chunk.data[2:]
    assert plan.step(chunk, 0.0) == Wait(math.inf)
    assert plan.step(Chunk(0.0, 4, memoryview(b""), Kind.END), 9.0) == Wait(math.inf)
    plan.disarm(1)
    assert plan.step(chunk, 9.0) == Pass(2)


def test_toxiproxys_timeout_is_a_stall_and_a_cut() -> None:
    cut_later = faults.Cut(after_seconds=5.0)
    assert played(plan_of(faults.Stall(), cut_later), [(0, b"a")]) == ([], [Strike(cut_later)])


def test_faults_of_the_other_direction_do_nothing() -> None:
    upstream = plan_of(faults.Stall(), faults.Latency(5.0), direction="upstream")
    assert upstream.step(Chunk(0.0, 0, memoryview(b"a")), 0.0) == Pass(1)
    both = plan_of(faults.Stall(direction="both"), direction="upstream")
    assert both.step(Chunk(0.0, 0, memoryview(b"a")), 0.0) == Wait(math.inf)


def test_toxicity_is_a_share_and_the_seed_says_of_which_connections() -> None:
    fault = faults.Stall(toxicity=0.25, direction="both")
    chunk = Chunk(0.0, 0, memoryview(b"a"))
    for direction in ("upstream", "downstream"):
        struck = {
            number
            for number in range(1000)
            if isinstance(plan_of(fault, seed=f"3/{number}", direction=direction).step(chunk, 0.0), Wait)
        }
        if direction == "upstream":
            first = struck
    assert 200 < len(struck) < 300
    assert struck == first, "a connection is struck in both directions or in none"


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: faults.Latency(-1), "seconds"),
        (lambda: faults.Latency(math.inf), "seconds"),
        (lambda: faults.Latency(1, jitter=math.nan), "jitter"),
        (lambda: faults.Latency(True), "seconds"),
        (lambda: faults.Latency(1, direction="up"), "direction"),  # type: ignore[arg-type]
        (lambda: faults.Latency(1, toxicity=1.5), "toxicity"),
        (lambda: faults.Bandwidth(0), "bytes_per_second"),
        (lambda: faults.Bandwidth(0.5), "bytes_per_second"),  # type: ignore[arg-type]
        (lambda: faults.Slicer(0), "average"),
        (lambda: faults.Slicer(5, 5), "variation"),
        (lambda: faults.Slicer(5, -1), "variation"),
        (lambda: faults.Slicer(5, delay=-1), "delay"),
        (lambda: faults.SlowClose(-1), "seconds"),
        (lambda: faults.LimitData(-1), "max_bytes"),
        (lambda: faults.Cut(after_bytes=-1), "after_bytes"),
        (lambda: faults.Reset(after_seconds=-1), "after_seconds"),
        (lambda: faults.Stall(after_bytes=1.0), "after_bytes"),  # type: ignore[arg-type]
        (lambda: faults.HalfOpen(gone="both"), "gone"),  # type: ignore[arg-type]
        (lambda: faults.Refuse(toxicity=0.5), "toxicity"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused_by_the_name_of_its_field(make: object, field: str) -> None:
    with pytest.raises(UsageError, match=field):
        make()  # type: ignore[operator]


def test_faults_are_values() -> None:
    fault = faults.Slicer(average=3, direction="both")
    assert fault == faults.Slicer(3, direction="both")
    assert hash(fault) == hash(faults.Slicer(3, direction="both"))
    with pytest.raises(AttributeError):
        fault.average = 4  # type: ignore[misc]
    assert repr(fault) == "Slicer(direction='both', average=3)"
    assert repr(faults.Cut()) == "Cut()"
