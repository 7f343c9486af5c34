from __future__ import annotations

from wirelane.core.backoff import Backoff


def test_the_backoff_grows_with_jitter_up_to_its_maximum():
    backoff = Backoff()
    delays = [backoff.delay() for _ in range(20)]
    expected = 1.0
    for delay in delays:
        assert 0.8 * expected <= delay <= 1.2 * expected
        expected = min(expected * 1.6, 120.0)
    backoff.reset()
    assert backoff.delay() <= 1.2


def test_who_waits_for_seconds_has_a_maximum_of_seconds():
    backoff = Backoff(5.0)
    delays = [backoff.delay() for _ in range(20)]
    assert max(delays) <= 6.0
    assert min(delays[4:]) >= 4.0


def test_two_that_fail_together_do_not_come_again_together():
    one, other = Backoff(), Backoff()
    assert [one.delay() for _ in range(10)] != [other.delay() for _ in range(10)]
