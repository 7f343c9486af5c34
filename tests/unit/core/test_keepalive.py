"""The settings of keepalive, and the count of a client's pings."""

from __future__ import annotations

import pytest

from wirelane import grpc
from wirelane.core.keepalive import PingPolicy, ServerOptions, spread
from wirelane.errors import UsageError


def test_a_channel_sends_no_pings_unless_it_is_told_to() -> None:
    """gRFC A8: off by default, 20 s to answer, no pings without calls."""
    options = grpc.ChannelOptions()
    assert (options.keepalive_time, options.keepalive_timeout, options.keepalive_without_calls) == (
        None,
        20.0,
        False,
    )


@pytest.mark.parametrize(("asked", "got"), [(0.001, 10.0), (9.9, 10.0), (10, 10), (30.5, 30.5)])
def test_a_channel_pings_at_most_every_ten_seconds(asked: float, got: float) -> None:
    """gRFC A8: closer intervals are taken as 10 s."""
    assert grpc.ChannelOptions(keepalive_time=asked).keepalive_time == got


def test_a_server_has_the_intervals_of_grpc() -> None:
    """gRFC A8 and A9: pings after 2 h, 20 s to answer, 5 min between a client's, connections live for ever."""
    assert ServerOptions() == ServerOptions(
        keepalive_time=7200,
        keepalive_timeout=20,
        min_ping_interval=300,
        pings_without_calls=False,
        max_connection_idle=None,
        max_connection_age=None,
        max_connection_age_grace=None,
    )
    assert ServerOptions(keepalive_time=0.5).keepalive_time == 1
    assert ServerOptions(keepalive_time=None).keepalive_time is None


@pytest.mark.parametrize(
    "field",
    [
        "keepalive_time",
        "keepalive_timeout",
        "min_ping_interval",
        "max_connection_idle",
        "max_connection_age",
        "max_connection_age_grace",
    ],
)
@pytest.mark.parametrize("value", [0, -1.0, float("inf"), float("nan"), "5", True])
def test_a_server_setting_out_of_range_is_named(field: str, value: object) -> None:
    """Seconds are a finite number above 0."""
    with pytest.raises(UsageError, match=f"^{field} "):
        ServerOptions(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["keepalive_timeout", "min_ping_interval"])
def test_what_a_server_always_needs_cannot_be_none(field: str) -> None:
    """None stands for "never" only where there is such a thing."""
    with pytest.raises(UsageError, match=f"^{field} "):
        ServerOptions(**{field: None})  # type: ignore[arg-type]


def test_a_flag_is_no_number() -> None:
    """The one setting that is no time."""
    with pytest.raises(UsageError, match="^pings_without_calls "):
        ServerOptions(pings_without_calls=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0, -1, float("inf"), "5"])
@pytest.mark.parametrize("field", ["keepalive_time", "keepalive_timeout"])
def test_a_channel_setting_out_of_range_is_named(field: str, value: object) -> None:
    """Seconds are a finite number above 0."""
    with pytest.raises(UsageError, match=f"^{field} "):
        grpc.ChannelOptions(**{field: value})  # type: ignore[arg-type]


def strikes(policy: PingPolicy, times: list[float], *, calls: int, mark: int = 0) -> list[bool]:
    return [policy.allows(time, calls=calls, mark=mark) for time in times]


def test_the_third_ping_that_comes_too_early_is_one_too_many() -> None:
    """Two strikes are forgiven; the first ping has none before it."""
    assert strikes(PingPolicy(ServerOptions()), [0, 1, 2, 3], calls=1) == [True, True, True, False]


def test_pings_that_keep_their_distance_are_allowed_for_ever() -> None:
    """Five minutes with calls, two hours without."""
    policy = PingPolicy(ServerOptions())
    assert all(strikes(policy, [300.0 * n for n in range(20)], calls=1))
    assert all(strikes(PingPolicy(ServerOptions()), [7200.0 * n for n in range(20)], calls=0))


def test_five_minutes_are_too_short_without_calls() -> None:
    """Unless pings without calls are permitted."""
    times = [300.0 * n for n in range(4)]
    assert strikes(PingPolicy(ServerOptions()), times, calls=0) == [True, True, True, False]
    assert all(strikes(PingPolicy(ServerOptions(pings_without_calls=True)), times, calls=0))


def test_what_was_sent_since_the_last_ping_wipes_the_strikes_out() -> None:
    """A ping after an answer is not counted, and the count begins anew."""
    policy = PingPolicy(ServerOptions())
    assert strikes(policy, [0, 1, 2], calls=1, mark=1) == [True, True, True]
    assert strikes(policy, [3, 4, 5, 6], calls=1, mark=2) == [True, True, True, False]


def test_ages_are_spread_by_a_tenth() -> None:
    """gRFC A9: between 90 and 110 %, and not all the same."""
    ages = [spread(100.0) for _ in range(1000)]
    assert 90 <= min(ages) < 95
    assert 105 < max(ages) <= 110
