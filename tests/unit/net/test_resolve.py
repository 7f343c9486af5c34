from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirelane.core.target import HostPort
from wirelane.errors import ResolveError
from wirelane.net.resolve import Endpoint, interleave, resolve

V4, V6 = socket.AF_INET, socket.AF_INET6


def answering(monkeypatch, answer) -> None:
    """Let the system's resolver answer what a test wants: the DNS itself is not ours to test."""

    def getaddrinfo(host, port, family=0, *_args, **_options):
        if isinstance(answer, Exception):
            raise answer
        return [(family, socket.SOCK_STREAM, 6, "", (address, port)) for family, address in answer]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


async def test_ip_addresses_ask_nobody(monkeypatch):
    answering(monkeypatch, AssertionError("asked"))
    assert await resolve("127.0.0.1", 80) == [Endpoint(V4, ("127.0.0.1", 80))]
    assert await resolve("::1", 80) == [Endpoint(V6, ("::1", 80, 0, 0))]


async def test_localhost_has_loopback_addresses():
    endpoints = await resolve("localhost", 80)
    assert Endpoint(V4, ("127.0.0.1", 80)) in endpoints
    assert len(endpoints) == len(set(endpoints))


async def test_empty_host_means_every_interface_when_listening():
    assert ("0.0.0.0", 80) in [endpoint.address for endpoint in await resolve("", 80, passive=True)]


async def test_unknown_name_says_so_and_what_to_try():
    with pytest.raises(ResolveError) as caught:
        await resolve("nosuch.invalid", 80)
    assert caught.value.host == "nosuch.invalid"
    assert caught.value.step == "resolve"
    assert caught.value.hint
    assert str(caught.value).startswith("cannot resolve 'nosuch.invalid': ")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (socket.gaierror(socket.EAI_NONAME, "x"), "there is no such name; check the spelling"),
        (socket.gaierror(socket.EAI_AGAIN, "x"), "the DNS gave no answer; check the network"),
        (socket.gaierror(socket.EAI_FAIL, "x"), "the DNS answered with a failure"),
        (socket.gaierror(socket.EAI_NODATA, "x"), "the name has no address"),
        (socket.gaierror(-99, "something new"), "something new"),
        (OSError(5, "input/output error"), "input/output error"),
        ([], "the name has no IP address"),
    ],
)
async def test_every_failure_of_the_resolver_is_a_resolve_error(monkeypatch, answer, said):
    answering(monkeypatch, answer)
    with pytest.raises(ResolveError) as caught:
        await resolve("some.example", 80)
    assert said in str(caught.value)
    assert "some.example" in str(caught.value)


@pytest.mark.parametrize("host", ["x" * 64 + ".example", "a..b", "nul\0byte"])
async def test_impossible_name_is_a_resolve_error(host):
    with pytest.raises(ResolveError, match="cannot resolve"):
        await resolve(host, 80)


async def test_repeated_answers_count_once(monkeypatch):
    answering(monkeypatch, [(V4, "10.0.0.1"), (V4, "10.0.0.1"), (V4, "10.0.0.2")])
    assert [str(endpoint) for endpoint in await resolve("x.example", 80)] == ["10.0.0.1:80", "10.0.0.2:80"]


def test_families_take_turns_beginning_with_the_first():
    six = [Endpoint(V6, (f"::{number}", 1, 0, 0)) for number in range(1, 4)]
    four = [Endpoint(V4, (f"10.0.0.{number}", 1)) for number in range(1, 3)]
    assert interleave([*six, *four]) == [six[0], four[0], six[1], four[1], six[2]]
    assert interleave([*four, *six]) == [four[0], six[0], four[1], six[1], six[2]]


@given(st.lists(st.tuples(st.sampled_from([V4, V6]), st.integers(0, 999)), min_size=1, unique=True))
def test_no_address_is_lost_and_families_keep_their_order(pairs):
    endpoints = [Endpoint(family, (str(number), number)) for family, number in pairs]
    mixed = interleave(endpoints)
    for family in (V4, V6):
        assert [e for e in mixed if e.family == family] == [e for e in endpoints if e.family == family]


def test_endpoint_is_written_as_people_write_it():
    assert str(Endpoint(V6, ("::1", 80, 0, 0))) == "[::1]:80"
    assert str(Endpoint(socket.AF_UNIX, "/run/x")) == "unix:/run/x"
    assert Endpoint(V4, ("10.0.0.1", 80)).target == HostPort("10.0.0.1", 80)
