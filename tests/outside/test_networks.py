"""Networks that a test makes itself: addresses that never answer, names nobody resolves, cables that are cut.

The client runs in a process of its own, inside; so do the proxies. All addresses are documentation's (RFC 5737, RFC
3849), on links that exist there alone. No test measures how long something took, but that it was not too early.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from support.namespaces import Network, needs_namespaces, network
from support.outside_proxies import microsocks, stunnel_socks
from support.outside_support import socat_server
from support.programs import free_port, needs
from wirelane.net.connect import ATTEMPT_DELAY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Certificates

pytestmark = [needs("ip", "unshare", "microsocks", "socat", "stunnel"), needs_namespaces()]

HERE, HERE_6 = "192.0.2.1", "2001:db8::1"
NOBODY, NOBODY_6, NOBODY_ELSE = "192.0.2.99", "2001:db8::99", "192.0.2.98"
BOTH = ("connect", "connect_grpc")
HOSTS = f"""127.0.0.1 localhost
{NOBODY_6} both.test
{HERE} both.test
{NOBODY_6} none.test
{NOBODY} none.test
{NOBODY_ELSE} none.test
{NOBODY_6} refused.test
{HERE} refused.test
"""


@pytest.fixture
def loop(request: pytest.FixtureRequest) -> str:
    """Return the event loop that the tests are run on."""
    return str(request.config.getoption("--loop"))


@pytest.fixture(scope="module")
def holes() -> Iterator[Network]:
    """Return a network whose other addresses swallow everything; its name server is one of them."""
    files = {
        "/etc/hosts": HOSTS,
        "/etc/resolv.conf": f"nameserver {NOBODY}\noptions timeout:30 attempts:3\n",
    }
    with network(files) as made:
        made.add_hole(f"{HERE}/24", f"{HERE_6}/64")
        yield made


def test_an_address_that_never_answers_is_given_up_in_time(holes: Network, loop: str) -> None:
    addresses = (f"{NOBODY}:80", f"[{NOBODY_6}]:80")
    runs = [(scenario, address, 0.5) for scenario in BOTH for address in addresses]
    for run, result in zip(runs, holes.results_of(*runs, loop=loop), strict=True):
        assert result["error"] == "ConnectError"
        assert result["attempts"] == [[run[1], "TimeoutError"]]
        assert "no connection within 0.5 s" in result["text"]


def test_a_living_address_wins_beside_one_that_never_answers(holes: Network, loop: str) -> None:
    port = free_port()
    result = holes.result_of("connect_beside", port, "both.test", 20, loop=loop)
    assert (result["peer"], result["server"]) == (f"{HERE}:{port}", f"{HERE}:{port}")
    # The dead one was asked first, and had its time (RFC 8305 section 5); clocks of event loops are coarse.
    assert result["took"] >= 0.9 * ATTEMPT_DELAY


def test_every_address_that_never_answers_is_reported_in_its_order(holes: Network, loop: str) -> None:
    result = holes.result_of("connect", "none.test:80", 2.0, loop=loop)
    assert result["error"] == "ConnectError"
    # The families in turn (RFC 8305 section 4).
    assert result["attempts"] == [
        [f"[{NOBODY_6}]:80", "TimeoutError"],
        [f"{NOBODY}:80", "TimeoutError"],
        [f"{NOBODY_ELSE}:80", "TimeoutError"],
    ]


def test_a_refusal_and_a_silence_are_both_reported(holes: Network, loop: str) -> None:
    result = holes.result_of("connect", "refused.test:80", 2.0, loop=loop)
    assert result["error"] == "ConnectError"
    assert sorted(result["attempts"]) == [
        [f"{HERE}:80", "ConnectionRefusedError"],
        [f"[{NOBODY_6}]:80", "TimeoutError"],
    ]


def test_a_name_server_that_never_answers_is_given_up_in_time_and_holds_no_process(
    holes: Network, loop: str
) -> None:
    # The system would ask for 90 seconds; the end of the process is waited for as well.
    for result in holes.results_of(*((name, "unknown.test:80", 0.5) for name in BOTH), loop=loop):
        assert result["error"] == "ConnectError"
        assert "resolving the name took longer than 0.5 s" in result["text"]
        assert result["attempts"] == []


def test_a_proxy_that_never_answers_is_given_up_in_time(holes: Network, loop: str) -> None:
    for scenario in ("connect", "connect_grpc"):
        result = holes.result_of(scenario, f"{HERE}:80", 0.3, f"socks5://{NOBODY}:1080", loop=loop)
        assert (result["error"], result["step"], result["host"]) == (
            "ProxyError",
            "connect",
            f"{NOBODY}:1080",
        )
        assert "0.3 s" in result["text"]


def test_a_target_that_never_answers_a_proxy_is_given_up_in_time(holes: Network, loop: str) -> None:
    with microsocks(within=holes) as proxy:
        url = f"socks5://{proxy.address}"
        runs = [(name, f"{NOBODY}:80", 2.0, url) for name in BOTH]
        # The second proxy of two, as well.
        second = ("connect", f"{HERE}:80", 2.0, url, f"http://{NOBODY}:3128")
        for result in holes.results_of(*runs, second, loop=loop):
            assert (result["error"], result["step"]) == ("ProxyError", "CONNECT")
            assert (result["host"], "code" in result) == (proxy.address, False)


def test_networks_and_hosts_that_cannot_be_reached_are_told_apart(loop: str) -> None:
    with network() as made, microsocks(within=made) as proxy:
        made.ip("address", "add", "192.0.2.1/32", "dev", "lo")
        made.ip("route", "add", "unreachable", "198.51.100.0/24")
        addresses = ("203.0.113.1:80", "198.51.100.1:80", "192.0.2.1:80")
        direct = [("connect", address, 20) for address in addresses]
        results = made.results_of(
            *direct, *((*run, f"socks5://{proxy.address}") for run in direct), loop=loop
        )
    assert [result["error"] for result in results] == ["ConnectError"] * 3 + ["ProxyError"] * 3
    assert [result["errno"] for result in results[:3]] == [
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,
        errno.ECONNREFUSED,
    ]
    assert [(result["step"], result["code"]) for result in results[3:]] == [
        ("CONNECT", 3),
        ("CONNECT", 4),
        ("CONNECT", 5),
    ]


def test_a_name_server_that_is_not_there_is_an_error_that_says_so(loop: str) -> None:
    files = {"/etc/resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"}
    with network(files) as made:
        result = made.result_of("connect", "unknown.test:80", 20, loop=loop)
    assert (result["error"], result["host"], result["step"]) == ("ResolveError", "unknown.test", "resolve")
    assert "DNS" in result["text"]


def test_names_are_left_to_stunnel_by_socks_4a_and_5(holes: Network, ca: Certificates, loop: str) -> None:
    """It is the one that knows SOCKS 4a; it connects to no loopback, so it is met here."""
    with stunnel_socks(ca, hosts={"only-the-proxy.test": HERE}, within=holes) as proxy:
        urls = [f"{kind}://{proxy.address}" for kind in ("socks4a", "socks5", "socks5h")]
        result = holes.result_of("request_each", free_port(), *urls, loop=loop)
    assert result == {"socks4a": "hello\n", "socks5": "hello\n", "socks5h": "hello\n"}


@pytest.mark.parametrize("way", ["send", "wait"])
def test_a_cable_that_is_cut_is_noticed(way: str, loop: str) -> None:
    """By what is sent and not acknowledged, and by keep-alive where nothing is sent."""
    with network() as here, network(beside=here) as there:
        here.join(there, "192.0.2.1/24", "192.0.2.2/24")
        listen = "TCP4-LISTEN:{port},reuseaddr,fork"
        with socat_server(listen, "EXEC:cat", within=there) as server:
            with here.python("cut", f"192.0.2.2:{server.port}", way, loop=loop) as client:
                client.program.wait_for("(?m)^ready$")
                there.ip("link", "set", "cable", "down")
                client.go()
                result = client.result()
    assert result["error"] == "ConnectionLost"
    assert "timed out" in result["text"]
