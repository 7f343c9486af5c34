"""Proxies that others wrote, between us and servers: connections, TLS, gRPC, names, users, refusals, chains.

All is on loopback. That a connection went through its proxy is in the proxy's log, which tells the port of the server;
names that have to be resolved there are in a file of hosts that the proxy alone sees.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from support.client_support import SERVICE, grpcio_server, note_schema
from support.grpcio_peer import grpcio_interop_server
from support.namespaces import needs_namespaces
from support.outside_proxies import USER, dante, microsocks, squid, tinyproxy, tls_in_front
from support.programs import Program, free_port, needs
from support.tcp_support import served
from wirelane import ProxyConfig, TlsConfig, grpc, tcp
from wirelane.errors import ProxyError, ResolveError, TlsError
from wirelane.testing.interop.cases import CASES
from wirelane.testing.interop.server import interop_schema

if TYPE_CHECKING:
    from conftest import Certificates

pytestmark = [needs("microsocks", "danted", "tinyproxy", "squid", "stunnel", "openssl"), needs_namespaces()]

NAME = "only-the-proxy.test"
HOSTS = {NAME: "127.0.0.1"}
PASSWORD = "s3cr3t.w-rd"
ODD_PASSWORD = "s3cr3t/w@rd:%41 "
BLOB = random.Random(13).randbytes(2_000_003)

MAKERS: dict[str, Callable[[Certificates], AbstractContextManager[Program]]] = {
    "microsocks": lambda _: microsocks(hosts=HOSTS),
    "microsocks with users": lambda _: microsocks(hosts=HOSTS, password=ODD_PASSWORD),
    "dante": lambda _: dante(hosts=HOSTS),
    "dante with users": lambda _: dante(hosts=HOSTS, password=ODD_PASSWORD),
    "tinyproxy": lambda _: tinyproxy(hosts=HOSTS),
    "tinyproxy with users": lambda _: tinyproxy(hosts=HOSTS, password=PASSWORD),
    "squid": lambda _: squid(hosts=HOSTS),
    "squid with users": lambda _: squid(hosts=HOSTS, password=ODD_PASSWORD),
    "squid in TLS": lambda ca: squid(hosts=HOSTS, tls=ca, password=ODD_PASSWORD),
}
WAYS = [
    ("microsocks", "socks5"),
    ("microsocks", "socks5h"),
    ("microsocks with users", "socks5"),
    ("dante", "socks4"),
    ("dante", "socks5"),
    ("dante with users", "socks5h"),
    ("tinyproxy", "http"),
    ("tinyproxy with users", "http"),
    ("squid", "http"),
    ("squid with users", "http"),
    ("squid in TLS", "https"),
    ("tinyproxy behind stunnel", "https"),
]


@dataclass
class Way:
    """A proxy of the one kind or the other, ready to be asked."""

    name: str
    kind: str
    program: Program
    proxy: ProxyConfig

    def went_through(self, port: int) -> None:
        """Its log tells that it connected to this port; or shows, where it tells no ports, that it was there."""
        self.program.wait_for(rf"\b{port}\b")

    def with_password(self, password: str | None) -> ProxyConfig:
        return ProxyConfig(
            self.proxy.url, username=USER if password else None, password=password, tls=self.proxy.tls
        )


class Proxies:
    """All of the proxies, each started when it is first asked for."""

    def __init__(self, ca: Certificates, stack: ExitStack) -> None:
        self._ca = ca
        self._stack = stack
        self._running: dict[str, Program] = {}

    def program(self, name: str) -> Program:
        if name not in self._running:
            started: AbstractContextManager[Program]
            if name == "tinyproxy behind stunnel":
                started = tls_in_front(self._ca, self.program("tinyproxy"))
            else:
                started = MAKERS[name](self._ca)
            self._running[name] = self._stack.enter_context(started)
        return self._running[name]

    def way(self, name: str, kind: str) -> Way:
        program = self.program(name)
        user = password = None
        if name.endswith("users") or name == "squid in TLS":
            user, password = USER, PASSWORD if name.startswith("tinyproxy") else ODD_PASSWORD
        tls = TlsConfig(ca=self._ca.ca) if kind == "https" else None
        proxy = ProxyConfig(f"{kind}://{program.address}", username=user, password=password, tls=tls)
        return Way(name, kind, program, proxy)


@pytest.fixture(scope="module")
def proxies(ca: Certificates) -> Iterator[Proxies]:
    """Return the proxies, which end with the last test of this module."""
    with ExitStack() as stack:
        yield Proxies(ca, stack)


def ways(*names: str) -> pytest.MarkDecorator:
    chosen = [pair for pair in WAYS if not names or pair[0] in names]
    return pytest.mark.parametrize(
        "way", chosen, indirect=True, ids=[f"{kind} by {name}" for name, kind in chosen]
    )


@pytest.fixture
def way(request: pytest.FixtureRequest, proxies: Proxies) -> Way:
    """Return the way that a test is parametrized with."""
    return proxies.way(*request.param)


async def echo(connection: tcp.Connection) -> None:
    async for chunk in connection:
        await connection.send(chunk)


async def greet(connection: tcp.Connection) -> None:
    await connection.send_line("220 the server speaks first")
    await connection.send_line((await connection.read_line())[::-1])


@pytest.fixture
async def echoing() -> AsyncIterator[int]:
    """Return the port of a server on 127.0.0.1 that gives back what it gets."""
    async with served(echo) as (listening, _):
        yield listening.port


# -- what goes through


@ways()
async def test_bytes_go_through_whole_both_ways_at_once(way: Way, echoing: int) -> None:
    async with tcp.connect(f"127.0.0.1:{echoing}", proxy=way.proxy) as connection:
        sending = asyncio.create_task(connection.send(BLOB, timeout=30))
        received = await connection.read_exactly(len(BLOB), timeout=30)
        await sending
        assert str(connection.peer) == f"127.0.0.1:{echoing}"
    assert hashlib.sha256(received).digest() == hashlib.sha256(BLOB).digest()
    way.went_through(echoing)


@ways()
async def test_a_server_that_speaks_first_is_heard(way: Way) -> None:
    async with served(greet) as (listening, address):
        for _ in range(5):
            async with tcp.connect(address, proxy=way.proxy) as connection:
                assert await connection.read_line(timeout=20) == "220 the server speaks first"
                await connection.send_line("abc")
                assert await connection.read_line(timeout=20) == "cba"
        way.went_through(listening.port)


@ways()
async def test_tls_goes_through_and_is_verified_by_the_name_of_the_server(way: Way, ca: Certificates) -> None:
    tls = TlsConfig(cert=ca.server_cert, key=ca.server_key)
    trusting = TlsConfig(ca=ca.ca)
    async with served(echo, tls=tls) as (listening, _):
        address = f"localhost:{listening.port}"
        assert (
            await tcp.request(address, "secret\n", tls=trusting, proxy=way.proxy, timeout=20) == b"secret\n"
        )
        way.went_through(listening.port)
        with pytest.raises(TlsError, match=r"example\.test"):
            await tcp.connect(address, tls=trusting, server_name="other.test", proxy=way.proxy)
        with pytest.raises(TlsError, match="certificate"):
            await tcp.connect(address, tls=True, proxy=way.proxy)


@ways()
async def test_calls_of_grpc_go_through_to_a_server_of_grpcio(way: Way) -> None:
    async with grpcio_server() as port:
        async with grpc.connect(f"127.0.0.1:{port}", schema=note_schema(), proxy=way.proxy) as channel:
            replies = await asyncio.gather(
                *(channel.unary(f"{SERVICE}/One", {"text": str(count)}) for count in range(20))
            )
            assert len(replies) == 20
        way.went_through(port)


@ways("microsocks", "dante with users", "tinyproxy", "squid in TLS")
async def test_streams_and_large_messages_of_grpc_go_through_in_tls(way: Way, ca: Certificates) -> None:
    async with grpcio_interop_server(ca, "tls") as (_, port):
        tls = TlsConfig(ca=ca.ca)
        address = f"localhost:{port}"
        async with grpc.connect(address, schema=interop_schema(), tls=tls, proxy=way.proxy) as channel:
            for case in ("large_unary", "server_streaming", "client_streaming", "ping_pong"):
                await CASES[case](channel)


@ways("dante", "squid", "tinyproxy")
async def test_ipv6_servers_are_reached(way: Way) -> None:
    if way.kind == "socks4":
        with pytest.raises(ProxyError, match="IPv6"):
            await tcp.connect("[::1]:9", proxy=way.proxy)
        return
    async with served(echo, listen_at="[::1]:0") as (listening, address):
        assert await tcp.request(address, "six\n", proxy=way.proxy, timeout=20) == b"six\n"
        way.went_through(listening.port)


# -- names


@ways()
async def test_a_name_that_the_proxy_alone_knows_is_resolved_there(way: Way, echoing: int) -> None:
    if way.kind == "socks4":
        with pytest.raises(ResolveError):
            await tcp.connect(f"{NAME}:{echoing}", proxy=way.proxy)
        return
    address = f"{NAME}:{echoing}"
    assert await tcp.request(address, "hello\n", proxy=way.proxy, timeout=20) == b"hello\n"


@ways("microsocks", "dante", "tinyproxy", "squid")
async def test_a_name_is_resolved_here_where_that_is_asked_for(way: Way, echoing: int) -> None:
    here = ProxyConfig(way.proxy.url, remote_dns=False)
    with pytest.raises(ResolveError, match=NAME):
        await tcp.connect(f"{NAME}:{echoing}", proxy=here)
    request = tcp.request(f"localhost:{echoing}", "hello\n", proxy=here, timeout=20)
    assert await request == b"hello\n"
    way.went_through(echoing)
    assert f"localhost:{echoing}" not in way.program.log


@ways("microsocks", "dante", "tinyproxy")
async def test_a_name_that_nobody_has_is_a_refusal(way: Way) -> None:
    """What the proxy says about it; where it asks nobody (SOCKS 4), we do."""
    with pytest.raises((ProxyError, ResolveError)) as caught:
        await tcp.connect("no-such-name.invalid:9", proxy=way.proxy)
    if isinstance(caught.value, ProxyError):
        assert (caught.value.step, caught.value.kind) == ("CONNECT", way.kind)
    else:
        assert way.kind == "socks4"


# -- refusals


@ways("microsocks with users", "dante with users", "tinyproxy with users", "squid with users", "squid in TLS")
@pytest.mark.parametrize("password", ["wrong", None])
async def test_who_is_not_let_in_is_told_so_without_a_secret(
    way: Way, password: str | None, echoing: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    for opening in (
        tcp.connect(f"127.0.0.1:{echoing}", proxy=way.with_password(password)),
        grpc.connect(f"127.0.0.1:{echoing}", schema=note_schema(), proxy=way.with_password(password)),
    ):
        with pytest.raises(ProxyError) as caught:
            await opening
        error = caught.value
        assert (error.step, error.kind) == ("authentication", way.kind)
        assert error.code in ({401, 407} if way.kind.startswith("http") else {1, 2, 0xFF})
        assert error.hint is not None
        assert "user" in error.hint
        for text in (str(error), repr(error), caplog.text):
            assert "wrong" not in text
            assert USER not in text


UNREACHABLE = {"microsocks": {5}, "dante": {5, 0x5B}, "tinyproxy": {500, 502}, "squid": {503}}


@ways("microsocks", "dante", "tinyproxy", "squid")
async def test_a_server_that_is_not_there_is_a_refusal_with_its_code(way: Way) -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(ProxyError) as caught:
        await tcp.connect(address, proxy=way.proxy)
    assert caught.value.code in UNREACHABLE[way.name]
    assert (caught.value.step, caught.value.host) == ("CONNECT", way.program.address)
    assert address in str(caught.value)


@pytest.mark.parametrize("name", ["tinyproxy", "squid", "dante"])
async def test_a_port_that_is_not_allowed_is_a_refusal_with_its_code(name: str, echoing: int) -> None:
    async with served(echo) as (other, _):
        made, kind, code = {
            "tinyproxy": (tinyproxy(connect_port=echoing), "http", 403),
            "squid": (squid(blocked_port=other.port), "http", 403),
            "dante": (dante(blocked_port=other.port), "socks5", 2),
        }[name]
        with made as program:
            proxy = f"{kind}://{program.address}"
            assert await tcp.request(f"127.0.0.1:{echoing}", "yes\n", proxy=proxy, timeout=20) == b"yes\n"
            with pytest.raises(ProxyError) as caught:
                await tcp.connect(f"127.0.0.1:{other.port}", proxy=proxy)
            assert (caught.value.code, caught.value.step) == (code, "CONNECT")
        assert other.stats.accepted == 0


@pytest.mark.parametrize(
    ("name", "kind"), [("squid", "socks5"), ("squid", "socks4"), ("microsocks", "http"), ("dante", "http")]
)
async def test_a_proxy_of_another_kind_is_found_out(
    proxies: Proxies, name: str, kind: str, echoing: int
) -> None:
    program = proxies.program(name)
    with pytest.raises(ProxyError) as caught:
        await tcp.connect(f"127.0.0.1:{echoing}", proxy=f"{kind}://{program.address}", connect_timeout=0.3)
    assert (caught.value.kind, caught.value.code) == (kind, None)


async def test_a_proxy_that_is_killed_is_a_loss_and_then_a_refusal(echoing: int) -> None:
    with microsocks() as program:
        async with tcp.connect(f"127.0.0.1:{echoing}", proxy=f"socks5://{program.address}") as connection:
            await connection.send_line("hello")
            assert await connection.read_line(timeout=20) == "hello"
            program.kill()
            assert await connection.read_until_eof(timeout=20) == b""
        with pytest.raises(ProxyError) as caught:
            await tcp.connect(f"127.0.0.1:{echoing}", proxy=f"socks5://{program.address}")
        assert (caught.value.step, caught.value.code) == ("connect", None)


# -- an HTTPS proxy


async def test_an_https_proxy_is_verified_by_its_own_settings(
    proxies: Proxies, other_ca: Certificates, echoing: int
) -> None:
    way = proxies.way("squid in TLS", "https")
    for tls in (None, TlsConfig(ca=other_ca.ca)):
        proxy = ProxyConfig(way.proxy.url, username=USER, password=ODD_PASSWORD, tls=tls)
        with pytest.raises(ProxyError, match="certificate") as caught:
            await tcp.connect(f"127.0.0.1:{echoing}", proxy=proxy)
        assert caught.value.step == "TLS handshake"
    assert way.proxy.tls is not None
    wrong_name = TlsConfig(ca=way.proxy.tls.ca, server_name="other.test")  # type: ignore[union-attr]
    with pytest.raises(ProxyError) as caught:
        proxy = ProxyConfig(way.proxy.url, username=USER, password=ODD_PASSWORD, tls=wrong_name)
        await tcp.connect(f"127.0.0.1:{echoing}", proxy=proxy)
    assert caught.value.step == "TLS handshake"


async def test_tls_to_an_http_proxy_is_found_out(proxies: Proxies, ca: Certificates, echoing: int) -> None:
    program = proxies.program("squid")
    proxy = ProxyConfig(f"https://{program.address}", tls=TlsConfig(ca=ca.ca))
    with pytest.raises(ProxyError) as caught:
        await tcp.connect(f"127.0.0.1:{echoing}", proxy=proxy)
    assert caught.value.step == "TLS handshake"


# -- two in turn


CHAINS = [
    ("microsocks", "tinyproxy"),
    ("tinyproxy", "microsocks with users"),
    ("squid with users", "dante"),
    ("dante with users", "squid in TLS"),
    ("squid in TLS", "microsocks"),
    ("squid in TLS", "squid in TLS"),
]
KIND = dict(reversed(WAYS))


@pytest.mark.parametrize(("first", "second"), CHAINS)
async def test_two_in_turn_lead_to_servers_in_tls_and_in_grpc(
    proxies: Proxies, first: str, second: str, ca: Certificates
) -> None:
    chain = [proxies.way(first, KIND[first]), proxies.way(second, KIND[second])]
    proxy = [way.proxy for way in chain]
    tls = TlsConfig(cert=ca.server_cert, key=ca.server_key)
    async with served(echo, tls=tls) as (listening, _), grpcio_server() as port:
        address = f"localhost:{listening.port}"
        reply = await tcp.request(address, "hello\n", tls=TlsConfig(ca=ca.ca), proxy=proxy, timeout=20)
        assert reply == b"hello\n"
        async with grpc.connect(f"127.0.0.1:{port}", schema=note_schema(), proxy=proxy) as channel:
            assert await channel.unary(f"{SERVICE}/One", {"text": "a"}) is not None
        chain[0].went_through(chain[1].program.port)
        chain[1].went_through(listening.port)
        chain[1].went_through(port)


async def test_an_error_of_a_chain_names_the_proxy_that_it_is_of(proxies: Proxies, echoing: int) -> None:
    first, second = proxies.way("microsocks", "socks5"), proxies.way("squid with users", "http")
    with pytest.raises(ProxyError) as caught:
        await tcp.connect(f"127.0.0.1:{echoing}", proxy=[first.proxy, second.with_password("wrong")])
    assert (caught.value.host, caught.value.code) == (second.program.address, 407)
    nowhere = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ProxyError) as caught:
        await tcp.connect(f"127.0.0.1:{echoing}", proxy=[first.proxy, nowhere])
    assert (caught.value.host, caught.value.code, caught.value.kind) == (first.program.address, 5, "socks5")


# -- where else a proxy is named


@ways("microsocks with users", "tinyproxy", "squid with users")
async def test_the_environment_names_it(way: Way, echoing: int, monkeypatch: pytest.MonkeyPatch) -> None:
    userinfo = ""
    if way.proxy.username is not None:
        userinfo = f"{way.proxy.username}:{quote(way.proxy.password or '', safe='')}@"
    monkeypatch.setenv("ALL_PROXY", f"{way.kind}://{userinfo}{way.program.address}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.2,.inside.test")
    address = f"{NAME}:{echoing}"
    assert await tcp.request(address, "hello\n", proxy="env", timeout=20) == b"hello\n"
    monkeypatch.setenv("NO_PROXY", NAME)
    with pytest.raises(ResolveError):  # directly, as it was told to
        await tcp.request(address, "hello\n", proxy="env", timeout=20)
    monkeypatch.delenv("NO_PROXY")
    with pytest.raises(ResolveError):  # nobody has said "env"
        await tcp.request(address, "hello\n", timeout=20)


@ways("microsocks with users", "squid with users")
async def test_the_command_line_names_it(way: Way, echoing: int) -> None:
    userinfo = ""
    if way.proxy.username is not None:
        userinfo = f"{way.proxy.username}:{quote(way.proxy.password or '', safe='')}@"
    command = [
        "tcp",
        f"{NAME}:{echoing}",
        "-d",
        "hello\n",
        "--proxy",
        f"{way.kind}://{userinfo}{way.program.address}",
    ]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "wirelane",
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert (process.returncode, output) == (0, b"hello\n"), errors
