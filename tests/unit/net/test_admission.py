"""Who counts as one peer, and that what is counted in is counted out."""

from __future__ import annotations

import socket

import pytest

from wirelane.errors import UsageError
from wirelane.net.admission import Admission, peer_of

V4, V6 = socket.AF_INET, socket.AF_INET6


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((V4, ("192.0.2.1", 1)), (V4, ("192.0.2.1", 2))),
        ((V4, ("192.0.2.1", 1)), (V6, ("::ffff:192.0.2.1", 2, 0, 0))),
        ((V6, ("2001:db8::1", 1, 0, 0)), (V6, ("2001:db8::ffff:1:2:3", 2, 0, 0))),
        ((V6, ("fe80::1%eth0", 1, 0, 2)), (V6, ("fe80::1%eth0", 2, 0, 2))),
    ],
)
def test_these_are_one_peer(one, other):
    assert peer_of(*one) == peer_of(*other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((V4, ("192.0.2.1", 1)), (V4, ("192.0.2.2", 1))),
        ((V6, ("::ffff:192.0.2.1", 1, 0, 0)), (V6, ("::ffff:192.0.2.2", 1, 0, 0))),
        ((V6, ("2001:db8::1", 1, 0, 0)), (V6, ("2001:db8:0:1::1", 1, 0, 0))),
        ((V6, ("fe80::1%eth0", 1, 0, 2)), (V6, ("fe80::2%eth0", 1, 0, 2))),
        ((V6, ("fe80::1%eth0", 1, 0, 2)), (V6, ("fe80::1%eth1", 1, 0, 3))),
        ((V6, ("::1", 1, 0, 0)), (V4, ("127.0.0.1", 1))),
    ],
)
def test_these_are_two_peers(one, other):
    assert peer_of(*one) != peer_of(*other)


@pytest.mark.parametrize("name", ["", "/run/client.sock", b"\0abstract", None])
def test_clients_of_unix_sockets_are_not_told_apart_and_not_limited(name):
    admission = Admission(3, 1)
    peer = admission.peer(socket.AF_UNIX, name)
    assert [admission.enter(peer) for _ in range(4)] == [None, None, None, "max_connections"]


def test_a_refusal_takes_no_place_and_nothing_is_remembered_of_those_who_left():
    admission = Admission(3, 2)
    peers = [admission.peer(V4, (f"192.0.2.{host}", 1)) for host in (1, 1, 1, 2, 3)]
    refusals = [admission.enter(peer) for peer in peers]
    assert refusals == [None, None, "max_connections_per_peer", None, "max_connections"]
    assert admission.open == 3
    for peer, refusal in zip(peers, refusals, strict=True):
        if refusal is None:
            admission.leave(peer)
    assert (admission.open, admission._peers) == (0, {})


@pytest.mark.parametrize("name", ["max_connections", "max_connections_per_peer"])
def test_senseless_limits_are_refused_by_name(name):
    with pytest.raises(UsageError, match=f"{name} must be at least 1"):
        Admission(**{name: 0})
