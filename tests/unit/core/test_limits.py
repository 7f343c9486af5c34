from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, fields, replace

import pytest

from wirelane.core.limits import Limits
from wirelane.errors import UsageError

NAMES = [field.name for field in fields(Limits)]


def test_the_defaults_are_those_of_the_trusted_systems():
    limits = Limits()
    assert limits.max_receive_message == 4 * 1024 * 1024
    assert limits.max_send_message is None
    assert limits.max_header_list == 16 * 1024
    assert limits.max_frame_size == 64 * 1024
    assert limits.read_buffer == 64 * 1024


def test_limits_do_not_change_but_can_be_replaced():
    limits = Limits()
    with pytest.raises(FrozenInstanceError):
        limits.read_buffer = 5  # type: ignore[misc]
    assert replace(limits, read_buffer=5).read_buffer == 5
    assert Limits() == limits
    assert hash(Limits()) == hash(limits)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [-1, "5", True, math.nan, math.inf, b""])
def test_a_value_out_of_range_is_refused_with_the_name_of_the_field(name, value):
    with pytest.raises(UsageError, match=name):
        Limits(**{name: value})


OPTIONAL = {"max_send_message", "connect_timeout", "max_connections_per_peer", "idle_timeout"}


@pytest.mark.parametrize("name", [name for name in NAMES if name not in OPTIONAL])
def test_no_limit_is_no_value_where_there_must_be_one(name):
    with pytest.raises(UsageError, match=name):
        Limits(**{name: None})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_frame_size", 16_383),
        ("max_frame_size", 2**24),
        ("initial_window", 2**31),
        ("connection_window", 65_534),
        ("max_receive_message", 2**32),
        ("connect_timeout", 0),
        ("max_connections", 0),
    ],
)
def test_the_ranges_of_http2_and_grpc_hold(name, value):
    with pytest.raises(UsageError, match=name):
        Limits(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_frame_size", 2**24 - 1),
        ("initial_window", 2**31 - 1),
        ("connection_window", 65_535),
        ("max_receive_message", 0),
        ("max_send_message", 0),
        ("max_send_message", None),
        ("connect_timeout", None),
        ("connect_timeout", 1),
        ("drain_grace", 0.5),
    ],
)
def test_the_ends_of_the_ranges_are_within(name, value):
    assert getattr(Limits(**{name: value}), name) == value
