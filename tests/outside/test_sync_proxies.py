"""`wirelane.sync` through proxies that others wrote: connections, TLS, pools, refusals. What else is promised of them is in `test_proxies`."""

from __future__ import annotations

import hashlib
import random
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import pytest

from support.namespaces import needs_namespaces
from support.outside_proxies import USER, dante, microsocks, squid, tinyproxy
from support.programs import Program, needs
from support.twins_support import echo, serving
from wirelane import ProxyConfig, TlsConfig
from wirelane.errors import ProxyError
from wirelane.sync import tcp

if TYPE_CHECKING:
    from conftest import Certificates

pytestmark = [needs("microsocks", "danted", "tinyproxy", "squid", "openssl"), needs_namespaces()]

PASSWORD = "s3cr3t.w-rd"
HOSTS = {"only-the-proxy.test": "127.0.0.1"}
BLOB = random.Random(13).randbytes(2_000_003)

MAKERS: dict[str, tuple[str, Callable[[Certificates], AbstractContextManager[Program]]]] = {
    "microsocks": ("socks5", lambda _: microsocks(hosts=HOSTS, password=PASSWORD)),
    "dante": ("socks5h", lambda _: dante(hosts=HOSTS, password=PASSWORD)),
    "tinyproxy": ("http", lambda _: tinyproxy(hosts=HOSTS, password=PASSWORD)),
    "squid in TLS": ("https", lambda ca: squid(hosts=HOSTS, tls=ca, password=PASSWORD)),
}


@pytest.fixture(scope="module", params=MAKERS)
def proxy(request: pytest.FixtureRequest, ca: Certificates) -> Iterator[ProxyConfig]:
    """Run a proxy that wants a password."""
    kind, make = MAKERS[request.param]
    with make(ca) as program:
        tls = TlsConfig(ca=ca.ca) if kind == "https" else None
        yield ProxyConfig(f"{kind}://{program.address}", username=USER, password=PASSWORD, tls=tls)


def test_bytes_go_through_whole_both_ways_at_once(proxy: ProxyConfig) -> None:
    """One thread sends while another reads."""
    with serving(echo) as address, tcp.connect(address, proxy=proxy) as connection:
        with ThreadPoolExecutor(1) as threads:
            sending = threads.submit(connection.send, BLOB, timeout=30)
            received = connection.read_exactly(len(BLOB), timeout=30)
            sending.result()
        assert str(connection.peer) == address
    assert hashlib.sha256(received).digest() == hashlib.sha256(BLOB).digest()


def test_tls_is_put_on_in_the_middle_behind_a_proxy(proxy: ProxyConfig, ca: Certificates) -> None:
    """With a server of blocking sockets, whose name the proxy alone knows."""

    def upgrade(client: socket.socket) -> None:
        assert client.recv(100) == b"STARTTLS\n"
        client.sendall(b"go\n")
        with ca.server_context().wrap_socket(client, server_side=True) as secured:
            secured.sendall(secured.recv(100)[::-1])

    with serving(upgrade) as address:
        name = address.replace("127.0.0.1", "only-the-proxy.test")
        with tcp.connect(name, proxy=proxy) as connection:
            connection.send_line("STARTTLS")
            assert connection.read_line(timeout=20) == "go"
            connection.start_tls(TlsConfig(ca=ca.ca), server_name="localhost")
            connection.send(b"abc")
            assert connection.read_exactly(3, timeout=20) == b"cba"


def test_threads_share_a_pool_whose_connections_go_through_a_proxy(proxy: ProxyConfig) -> None:
    """No more than there may be, and each answer to the one who asked."""
    with (
        serving(echo) as address,
        tcp.Pool(address, size=3, proxy=proxy) as pool,
        ThreadPoolExecutor(8) as threads,
    ):
        replies = threads.map(lambda n: pool.request(f"{n}\n", timeout=30), range(40))
        assert list(replies) == [b"%d\n" % n for n in range(40)]
        assert pool.stats.opened <= 3


def test_who_is_not_let_in_is_told_so_without_a_secret(proxy: ProxyConfig) -> None:
    """By the thread that connects."""
    wrong = ProxyConfig(proxy.url, username=USER, password="wrong", tls=proxy.tls)
    with serving(echo) as address, pytest.raises(ProxyError) as caught:
        tcp.connect(address, proxy=wrong)
    assert caught.value.step == "authentication"
    assert "wrong" not in str(caught.value) + repr(caught.value)
    assert USER not in str(caught.value) + repr(caught.value)
