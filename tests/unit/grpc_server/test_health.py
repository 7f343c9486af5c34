"""The statuses that the health service answers from."""

from __future__ import annotations

import pytest

from wirelane.errors import UsageError
from wirelane.grpc.services import Health, ServingStatus


def test_server_as_a_whole_is_serving_from_the_start():
    assert Health().get() is ServingStatus.SERVING


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("SERVING", ServingStatus.SERVING),
        ("not_serving", ServingStatus.NOT_SERVING),
        (True, ServingStatus.SERVING),
        (False, ServingStatus.NOT_SERVING),
        (2, ServingStatus.NOT_SERVING),
        (ServingStatus.UNKNOWN, ServingStatus.UNKNOWN),
    ],
)
def test_status_is_given_by_name_number_or_truth(given, status):
    health = Health()
    health.set("db", given)
    assert health.get("db") is status


@pytest.mark.parametrize("given", ["UP", 7, -1])
def test_other_statuses_are_refused_and_the_known_ones_named(given):
    with pytest.raises(UsageError, match="NOT_SERVING"):
        Health().set("db", given)


def test_service_unknown_is_not_set_but_cleared():
    health = Health()
    with pytest.raises(UsageError, match="clear"):
        health.set("db", "SERVICE_UNKNOWN")
    health.set("db", True)
    health.clear("db")
    health.clear("db")
    assert health.get("db") is None


def test_adding_a_known_service_keeps_its_status():
    health = Health()
    health.set("db", False)
    health.add("db")
    assert health.get("db") is ServingStatus.NOT_SERVING


def test_shutdown_covers_what_is_set_and_resume_uncovers_it():
    health = Health()
    health.shutdown()
    health.set("db", True)
    assert (health.get(), health.get("db"), health.get("no")) == (
        ServingStatus.NOT_SERVING,
        ServingStatus.NOT_SERVING,
        None,
    )
    health.resume()
    assert health.get("db") is ServingStatus.SERVING


def test_repr_shows_the_statuses():
    health = Health()
    health.set("db", False)
    assert repr(health) == "<Health (server)=SERVING, db=NOT_SERVING>"
    health.shutdown()
    assert repr(health).startswith("<Health shut down, ")
