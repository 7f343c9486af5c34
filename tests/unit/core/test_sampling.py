from __future__ import annotations

import logging

from wirelane.core.sampling import Sampler


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_first_of_a_kind_are_let_through_and_the_rest_are_counted():
    clock = Clock()
    sampler = Sampler(3, clock)
    assert [sampler.admit("a") for _ in range(6)] == [0, 0, 0, None, None, None]
    assert sampler.held == 3


def test_the_next_span_says_how_many_were_held_back_once():
    clock = Clock()
    sampler = Sampler(1, clock)
    for _ in range(8):
        sampler.admit("a")
    clock.now += 4.9
    assert sampler.admit("a") is None
    clock.now += 0.2
    assert sampler.admit("a") == 8
    clock.now += 5
    assert sampler.admit("a") == 0


def test_fewer_of_a_kind_may_do():
    sampler = Sampler(10, Clock())
    assert [sampler.admit("a", 1) for _ in range(3)] == [0, None, None]


def test_a_line_is_told_at_debug_or_says_how_many_were():
    clock = Clock()
    sampler = Sampler(1, clock)
    lines = [sampler.line("a", "it happened") for _ in range(3)]
    assert lines == [(logging.INFO, "it happened"), *[(logging.DEBUG, "it happened")] * 2]
    clock.now += 5
    assert sampler.line("a", "it happened") == (
        logging.INFO,
        "it happened (2 more like it were not logged)",
    )
    clock.now += 5
    assert sampler.line("a", "it happened") == (logging.INFO, "it happened")


def test_kinds_do_not_count_against_each_other():
    sampler = Sampler(1, Clock())
    assert (sampler.admit("a"), sampler.admit("b")) == (0, 0)
    assert (sampler.admit("a"), sampler.admit("b")) == (None, None)


def test_a_sampler_shows_what_it_held_back():
    sampler = Sampler(1, Clock())
    sampler.admit("a")
    sampler.admit("a")
    assert repr(sampler) == "<Sampler 1 of a kind in 5 s, 1 held back>"
