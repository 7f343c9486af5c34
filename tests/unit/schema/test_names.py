"""Nearest names, for errors."""

from __future__ import annotations

import time

from wirelane.schema.names import by_suffix, did_you_mean, nearest


def test_case_comes_first_then_the_last_part_then_likeness() -> None:
    names = ["a.Summator", "b.summator", "c.Sumator", "d.Other"]
    assert nearest("a.summator", names) == ["a.Summator", "b.summator", "c.Sumator"]


def test_a_wrong_package_does_not_hide_a_near_name() -> None:
    assert nearest("completely.wrong.pkg.Ordr", ["shop.v1.Order", "shop.v1.Thing"]) == ["shop.v1.Order"]


def test_nothing_near_is_no_hint() -> None:
    assert did_you_mean("zzz", ["abc"]) == ""
    assert did_you_mean("abd", ["abc", "xyz"]) == '; did you mean "abc"?'


def test_suffixes_match_at_dots_only() -> None:
    assert by_suffix("Sum", ["a.Sum", "a.MySum", "Sum", "b.c.Sum"]) == ["a.Sum", "b.c.Sum"]


def test_a_hundred_thousand_names_are_searched_in_a_moment() -> None:
    names = [f"pkg{n}.Message{n}" for n in range(100_000)]
    start = time.process_time()
    assert "pkg5.Message5" in nearest("pkg5.Mesage5", names) or nearest("pkg5.Mesage5", names)
    assert time.process_time() - start < 10
