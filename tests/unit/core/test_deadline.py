from __future__ import annotations

import math
import re
import time

import pytest

from wirelane.core.deadline import Deadline, earliest, format_timeout, parse_timeout
from wirelane.errors import UsageError


def test_a_deadline_lies_the_given_seconds_after_now():
    assert Deadline.after(2.5, now=10.0) == Deadline(12.5)
    before = time.monotonic()
    deadline = Deadline.after(100)
    assert deadline is not None
    assert before + 100 <= deadline.at <= time.monotonic() + 100


@pytest.mark.parametrize("seconds", [None, math.inf])
def test_no_timeout_and_an_infinite_one_are_no_deadline(seconds):
    assert Deadline.after(seconds) is None


@pytest.mark.parametrize("seconds", [-1, -0.001, math.nan, -math.inf, "5", b"5"])
def test_a_timeout_that_is_no_time_is_refused(seconds):
    with pytest.raises(UsageError, match="timeout"):
        Deadline.after(seconds)


def test_remaining_counts_down_to_zero():
    deadline = Deadline(10.0)
    assert deadline.remaining(now=7.0) == 3.0
    assert deadline.remaining(now=10.0) == 0.0
    assert deadline.remaining(now=99.0) == 0.0
    assert Deadline(time.monotonic() - 1).remaining() == 0.0
    assert 99 < Deadline(time.monotonic() + 100).remaining() <= 100


def test_a_deadline_has_expired_from_its_moment_on():
    deadline = Deadline(10.0)
    assert [deadline.expired(now) for now in (9.9, 10.0, 10.1)] == [False, True, True]
    assert Deadline(time.monotonic() - 1).expired()


def test_a_timeout_of_zero_has_expired_at_once():
    deadline = Deadline.after(0, now=5.0)
    assert deadline is not None
    assert deadline.expired(now=5.0)


def test_the_earliest_of_two_wins_and_none_is_never():
    near, far = Deadline(1.0), Deadline(2.0)
    assert earliest(near, far) is earliest(far, near) is near
    assert earliest(None, far) is earliest(far, None) is far
    assert earliest(None, None) is None


def test_repr_says_how_long_it_is_still():
    assert re.fullmatch(r"<Deadline in (9\d\d|1000)\.\d{3} s>", repr(Deadline(time.monotonic() + 1000)))
    assert "ago" in repr(Deadline(time.monotonic() - 1000))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1n"),
        (-3, "1n"),
        (1e-12, "1n"),
        (5e-8, "50n"),
        (0.001, "1000u"),
        (0.05, "50000u"),
        (0.1, "100000u"),
        (0.1000011, "101m"),
        (0.5, "500m"),
        (1.5, "1500m"),
        (1.49961, "1500m"),
        (5.0, "5000m"),
        (3600, "3600000m"),
        (200_000, "200000S"),
        (10**9, "16666667M"),
        (10**10, "2777778H"),
        (10**20, "99999999H"),
        (math.inf, "99999999H"),
    ],
)
def test_a_timeout_is_written_in_the_fewest_digits_that_are_exact_enough(seconds, text):
    assert format_timeout(seconds) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1H", 3600.0),
        ("2M", 120.0),
        ("3S", 3.0),
        ("1500m", 1.5),
        ("7u", 7e-6),
        ("9n", 9e-9),
        ("0n", 0.0),
        ("00000001S", 1.0),
        ("99999999H", 99_999_999 * 3600.0),
        (b"5S", 5.0),
    ],
)
def test_a_timeout_is_read_from_text_and_bytes(text, seconds):
    assert parse_timeout(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "S",
        "5",
        "5s",
        "5h",
        "-1S",
        "+1S",
        "1.5S",
        " 5S",
        "5S ",
        "5 S",
        "123456789S",
        "9" * 400 + "S",
        "٣S",
        "1_0S",
    ],
)
def test_what_is_no_timeout_is_a_value_error_that_shows_little_of_it(text):
    for value in (text, text.encode()):
        with pytest.raises(ValueError, match="grpc-timeout") as caught:
            parse_timeout(value)
        assert len(str(caught.value)) < 200
