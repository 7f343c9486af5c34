"""Connections through proxies: the way there, what is handed over, what is refused, and what is left behind."""

from __future__ import annotations

import asyncio
import logging
import pickle
import socket
import ssl
import struct
import threading
from contextlib import AsyncExitStack, suppress

import pytest

from support.net_support import Authority, Recorder, descriptors, descriptors_back, raw_server, settle, sweep
from support.proxy_support import RelayProxy, relay_proxy
from wirelane import (
    Limits,
    ProxyConfig,
    ProxyError,
    ResolveError,
    SocketOptions,
    TlsConfig,
    TlsError,
    UsageError,
    grpc,
    tcp,
)
from wirelane.core.target import HostPort
from wirelane.errors import WirelaneError
from wirelane.net.carry import SocketCarrier, plain
from wirelane.net.connect import Dialing, connect
from wirelane.net.proxy.tunnel import Tunnel


async def greet(connection: tcp.Connection) -> None:
    """Speak first, then echo lines: what a proxy must not swallow comes at once."""
    await connection.send_line("welcome")
    async for line in connection.lines():
        await connection.send_line(f"echo {line}")


@pytest.fixture
async def greeter():
    async with tcp.Server(greet).listen("127.0.0.1:0") as listening:
        yield listening


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def server_context(authority: Authority, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.ca.issue_cert(*names).configure_cert(context)
    return context


async def talk(connection: tcp.Connection) -> None:
    assert await connection.read_line(timeout=10) == "welcome"
    await connection.send_line("x")
    assert await connection.read_line(timeout=10) == "echo x"


@pytest.mark.parametrize("scheme", ["socks4", "socks4a", "socks5", "socks5h", "http"])
async def test_a_connection_goes_through_a_proxy_of_each_kind(greeter, scheme: str) -> None:
    async with relay_proxy(scheme.rstrip("ah"), scheme=scheme) as proxy:
        async with tcp.connect(f"127.0.0.1:{greeter.port}", proxy=proxy.url()) as connection:
            await talk(connection)
            assert connection.peer == HostPort("127.0.0.1", greeter.port)
            assert f"via {scheme}://127.0.0.1:{proxy.port}" in repr(connection)
        assert proxy.targets == [f"127.0.0.1:{greeter.port}"]


@pytest.mark.parametrize("scheme", ["socks4a", "socks5", "socks5h", "http"])
async def test_names_are_left_to_the_proxy(greeter, scheme: str) -> None:
    """Nothing on this machine resolves such a name."""
    async with relay_proxy(
        scheme.rstrip("ah"), scheme=scheme, names={"only.the.proxy.test": "127.0.0.1"}
    ) as proxy:
        async with tcp.connect(f"only.the.proxy.test:{greeter.port}", proxy=proxy.url()) as connection:
            await talk(connection)
        assert proxy.targets == [f"only.the.proxy.test:{greeter.port}"]


@pytest.mark.parametrize("config", [{}, {"remote_dns": False}])
async def test_names_are_resolved_here_where_that_is_asked_for(greeter, config) -> None:
    async with relay_proxy("socks5" if config else "socks4") as proxy:
        setting = ProxyConfig(proxy.url(), **config)
        async with tcp.connect(f"localhost:{greeter.port}", proxy=setting) as connection:
            await talk(connection)
        assert proxy.targets in ([f"127.0.0.1:{greeter.port}"], [f"[::1]:{greeter.port}"])
        with pytest.raises(ResolveError, match=r"no\.such\.name\.invalid"):
            await tcp.connect("no.such.name.invalid:1", proxy=setting)


@pytest.mark.parametrize(
    ("kind", "userinfo"), [("socks5", "ann:p%40ss%3Aword"), ("http", "ann:p%40ss%3Aword"), ("socks4", "ann")]
)
async def test_users_are_authenticated(greeter, kind: str, userinfo: str) -> None:
    async with relay_proxy(kind, users={"ann": "p@ss:word"}) as proxy:
        async with tcp.connect(f"127.0.0.1:{greeter.port}", proxy=proxy.url(userinfo)) as connection:
            await talk(connection)


@pytest.mark.parametrize(
    ("kind", "userinfo", "step", "code", "hint"),
    [
        ("socks5", "", "authentication", 0xFF, "user:password@"),
        ("socks5", "ann:secret-word", "authentication", 1, "check the user"),
        ("http", "", "authentication", 407, "user:password@"),
        ("http", "ann:secret-word", "authentication", 407, "check the user"),
        ("socks4", "secret-word", "CONNECT", 0x5D, None),
    ],
)
async def test_a_refused_user_is_a_typed_error_that_shows_no_secret(
    caplog, greeter, kind: str, userinfo: str, step: str, code: int, hint: str | None
) -> None:
    caplog.set_level(logging.DEBUG)
    async with relay_proxy(kind, users={"bob": "x"}) as proxy:
        with pytest.raises(ProxyError) as caught:
            await tcp.connect(f"127.0.0.1:{greeter.port}", proxy=proxy.url(userinfo))
    error = caught.value
    assert (error.kind, error.step, error.code, error.host) == (kind, step, code, f"127.0.0.1:{proxy.port}")
    assert hint is None or hint in str(error)
    shown = [str(error), repr(error), str(vars(error)), caplog.text, repr(pickle.loads(pickle.dumps(error)))]
    cause: BaseException | None = error
    while cause is not None:
        shown.append(repr(cause))
        cause = cause.__cause__ or cause.__context__
    assert not any("secret-word" in text or "ann" in text.replace("cannot", "") for text in shown)
    assert greeter.connections == 0


@pytest.mark.parametrize(("kind", "code"), [("socks5", 5), ("socks4", 0x5B), ("http", 502)])
async def test_a_target_that_the_proxy_cannot_reach_is_its_answer(kind: str, code: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    async with relay_proxy(kind) as proxy:
        with pytest.raises(ProxyError, match=f"127.0.0.1:{port}") as caught:
            await tcp.connect(f"127.0.0.1:{port}", proxy=proxy.url())
    assert (caught.value.step, caught.value.code) == ("CONNECT", code)


async def test_a_proxy_that_is_not_there_is_an_error_and_no_way_around_it(greeter) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(ProxyError, match="connection refused") as caught:
        await tcp.connect(f"127.0.0.1:{greeter.port}", proxy=f"http://127.0.0.1:{port}")
    assert (caught.value.step, caught.value.code) == ("connect", None)
    assert greeter.connections == 0


@pytest.mark.parametrize(
    ("first", "second"),
    [("socks5", "http"), ("http", "socks5"), ("http", "http"), ("socks4", "socks5"), ("socks5", "socks4")],
)
async def test_a_chain_of_two_goes_through_the_first_to_the_second(greeter, first: str, second: str) -> None:
    async with relay_proxy(first) as near, relay_proxy(second) as far:
        chain = [near.url(), far.url()]
        async with tcp.connect(f"127.0.0.1:{greeter.port}", proxy=chain) as connection:
            await talk(connection)
        assert near.targets == [f"127.0.0.1:{far.port}"]
        assert far.targets == [f"127.0.0.1:{greeter.port}"]


async def test_an_error_of_the_second_proxy_names_the_second(greeter) -> None:
    async with relay_proxy("http") as near, relay_proxy("socks5", users={"bob": "x"}) as far:
        with pytest.raises(ProxyError) as caught:
            await tcp.connect(f"127.0.0.1:{greeter.port}", proxy=[near.url(), far.url()])
    assert (caught.value.kind, caught.value.host) == ("socks5", f"127.0.0.1:{far.port}")


async def test_an_https_proxy_is_spoken_to_in_tls(greeter, authority: Authority) -> None:
    async with relay_proxy("http", tls=server_context(authority, "127.0.0.1"), users={"a": "b"}) as proxy:
        config = ProxyConfig(proxy.url(), username="a", password="b", tls=TlsConfig(ca=authority.pem))
        async with tcp.connect(f"127.0.0.1:{greeter.port}", proxy=config) as connection:
            await talk(connection)


async def test_tls_with_a_proxy_is_none_with_the_server(authority: Authority, tmp_path) -> None:
    """What is sent to the server can be read behind the proxy, and TLS with the server can be put on."""
    file = tmp_path / "file"
    file.write_bytes(b"out of a file\n")

    async def serve(connection: tcp.Connection) -> None:
        async for line in connection.lines():
            await connection.send_line(line)
            if line == "starttls":
                await connection.start_tls(authority.server("localhost"))

    async with tcp.Server(serve).listen("127.0.0.1:0") as listening:
        async with relay_proxy("http", tls=server_context(authority, "127.0.0.1")) as proxy:
            config = ProxyConfig(proxy.url(), tls=TlsConfig(ca=authority.pem))
            async with tcp.connect(f"localhost:{listening.port}", proxy=config) as connection:
                assert (connection.tls, connection.cipher, connection.peer_certificate) == (False, None, None)
                assert "TLS" not in repr(connection)
                await connection.send_file(file)
                assert await connection.read_line(timeout=10) == "out of a file"
                await connection.send_line("starttls")
                assert await connection.read_line(timeout=10) == "starttls"
                await connection.start_tls(TlsConfig(ca=authority.pem))
                assert connection.tls
                assert "localhost" in str(connection.peer_certificate)
                await connection.send_line("x")
                assert await connection.read_line(timeout=10) == "x"


async def test_tls_goes_through_every_kind_and_is_verified_by_the_name_of_the_server(
    authority: Authority,
) -> None:
    """TLS inside of TLS, too: the last one is an https proxy."""
    server = tcp.Server(greet, tls=authority.server("good.test"))
    async with AsyncExitStack() as stack:
        listening = await stack.enter_async_context(server.listen("127.0.0.1:0"))
        names = {"good.test": "127.0.0.1", "bad.test": "127.0.0.1"}
        for kind in ("socks5", "http", "https"):
            context = server_context(authority, "127.0.0.1") if kind == "https" else None
            proxy = await stack.enter_async_context(
                relay_proxy("http" if context else kind, names=names, tls=context)
            )
            config = ProxyConfig(proxy.url(), tls=TlsConfig(ca=authority.pem) if context else None)
            trust = TlsConfig(ca=authority.pem)
            async with tcp.connect(
                f"tls://good.test:{listening.port}", tls=trust, proxy=config
            ) as connection:
                await talk(connection)
            with pytest.raises(TlsError, match=r"bad\.test.*good\.test"):
                await tcp.connect(f"tls://bad.test:{listening.port}", tls=trust, proxy=config)


async def test_an_https_proxy_whose_certificate_is_not_trusted_is_a_proxy_error(authority: Authority) -> None:
    async with relay_proxy("http", tls=server_context(authority, "127.0.0.1")) as proxy:
        with pytest.raises(ProxyError) as caught:
            await tcp.connect("127.0.0.1:1", proxy=proxy.url())
    assert (caught.value.kind, caught.value.step) == ("https", "TLS handshake")
    assert isinstance(caught.value.__cause__, TlsError)


async def test_a_refused_server_behind_an_https_proxy_leaves_no_socket_though_the_proxy_goes_on(
    authority: Authority,
) -> None:
    done = threading.Event()
    context = authority.server().server_context()

    def hold(listening: socket.socket) -> None:
        """Grant a tunnel to what is no TLS server, and never end the stream."""
        sock, _ = listening.accept()
        with context.wrap_socket(sock, server_side=True, suppress_ragged_eofs=True) as stream:
            stream.recv(4096)
            stream.sendall(b"HTTP/1.1 200 Yes\r\n\r\nno TLS at all")
            done.wait(20)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        before = descriptors()
        holding = asyncio.create_task(asyncio.to_thread(hold, listening))
        url = f"https://127.0.0.1:{listening.getsockname()[1]}"
        try:
            with pytest.raises(TlsError, match="plaintext"):
                await tcp.connect("a.test:1", tls=True, proxy=ProxyConfig(url, tls=authority.client()))
            await descriptors_back(before + 1)  # that of the proxy
        finally:
            done.set()
            await holding


async def test_names_that_take_too_long_are_told_apart_from_a_proxy_that_is_silent(monkeypatch) -> None:
    answer = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: answer.wait(30) and [])
    try:
        with pytest.raises(
            ProxyError, match=r"connect: cannot .* proxy\.test:1: resolving the name took longer"
        ):
            await tcp.connect("server.test:1", proxy="http://proxy.test:1", connect_timeout=0.05)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            with pytest.raises(ProxyError, match="resolving the name of the server took longer") as caught:
                await tcp.connect("server.test:1", proxy=f"socks4://127.0.0.1:{port}", connect_timeout=0.5)
        assert caught.value.step == "resolve"
    finally:
        answer.set()


async def test_start_tls_speaks_of_the_server_and_not_of_the_proxy(greeter, authority: Authority) -> None:
    async with relay_proxy("http") as proxy:
        address = f"127.0.0.1:{greeter.port}"
        async with tcp.connect(address, proxy=proxy.url()) as connection:
            await connection.send_line("x")
            with pytest.raises(TlsError, match=f"the server at {address} speaks plaintext"):
                await connection.start_tls(authority.client())


@pytest.mark.parametrize("kind", ["socks4", "socks5", "http", "https"])
async def test_a_silent_proxy_is_given_up_in_time(kind: str) -> None:
    async def silence(sock: socket.socket) -> None:
        while await asyncio.get_running_loop().sock_recv(sock, 4096):
            pass

    async with raw_server(silence) as address:
        with pytest.raises(ProxyError, match=r"no answer within 0\.05 s") as caught:
            await tcp.connect("127.0.0.1:1", proxy=f"{kind}://{address}", connect_timeout=0.05)
    assert caught.value.step == {"socks5": "greeting", "https": "TLS handshake"}.get(kind, "CONNECT")


async def test_what_comes_behind_the_answer_is_the_servers() -> None:
    """A server that speaks first: its words in the same segment as the proxy's, and the end of the stream, too."""

    async def answer(sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_recv(sock, 4096)
        await loop.sock_sendall(sock, b"HTTP/1.1 200 OK\r\n\r\nwelcome\nbye")
        sock.shutdown(socket.SHUT_WR)
        while await loop.sock_recv(sock, 4096):
            pass

    async with raw_server(answer) as address:
        async with tcp.connect("127.0.0.1:1", proxy=f"http://{address}") as connection:
            assert await connection.read_line(timeout=10) == "welcome"
            assert await connection.read_until_eof(timeout=10) == b"bye"


async def test_much_behind_the_answer_is_bounded_and_whole() -> None:
    """The socket is left alone while nobody reads, and read on once somebody does."""
    much = bytes(range(256)) * 4096

    async def answer(sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_recv(sock, 4096)
        with suppress(ConnectionError):
            await loop.sock_sendall(sock, b"HTTP/1.1 200 OK\r\n\r\n" + much)
        sock.shutdown(socket.SHUT_WR)
        await loop.sock_recv(sock, 1)

    async with raw_server(answer) as address:
        async with tcp.connect("127.0.0.1:1", proxy=f"http://{address}") as connection:
            assert await connection.read_until_eof(timeout=10) == much


async def test_what_nobody_reads_stays_with_the_proxy_even_if_much_came_with_the_answer() -> None:
    taken = 0

    async def answer(sock: socket.socket) -> None:
        nonlocal taken
        loop = asyncio.get_running_loop()
        await loop.sock_recv(sock, 4096)
        await loop.sock_sendall(sock, b"HTTP/1.1 200 OK\r\n\r\n" + bytes(200_000))
        with suppress(ConnectionError):
            while taken < 64_000_000:
                await loop.sock_sendall(sock, bytes(1_000_000))
                taken += 1_000_000

    async with raw_server(answer) as address:
        limits = Limits(read_buffer=1000)
        connection = await tcp.connect("127.0.0.1:1", proxy=f"http://{address}", limits=limits)
        await settle(1000)
        assert connection.buffered < 1_000_000
        connection.abort()
    assert taken < 64_000_000


async def test_what_came_before_the_connection_was_lost_is_handed_over() -> None:
    """Whatever the event loop, although nothing can be asked of a transport any more that is lost."""

    async def answer(sock: socket.socket) -> None:
        await asyncio.get_running_loop().sock_sendall(sock, b"yeswelcome")
        await asyncio.get_running_loop().sock_recv(sock, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    class Watched(Tunnel):
        gone = asyncio.Event()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self.gone.set()

    async with raw_server(answer) as address:
        options = SocketOptions()
        carrier = SocketCarrier(await connect(Dialing(address, options)), options)
        _, tunnel = await plain(Watched, carrier)
        assert await tunnel.read_exactly(3) == b"yes"
        await tunnel.write(b"x")
        await tunnel.gone.wait()
        await tunnel.write(b"dropped")
        recorder = Recorder()
        transport = await tunnel.put(recorder)
        assert (recorder.events, bytes(recorder.received)) == (["made", "data", "lost"], b"welcome")
        assert isinstance(recorder.error, ConnectionResetError)
        assert transport.is_closing()
        assert transport.get_extra_info("peername")[1] == address.port
        transport.write(b"dropped")
        transport.abort()


@pytest.mark.parametrize("kind", ["socks5", "http", "https", "chain"])
async def test_a_connect_cancelled_at_any_await_leaves_nothing(
    authority: Authority, greeter, kind: str
) -> None:
    async with AsyncExitStack() as stack:
        proxies: list[RelayProxy] = []
        for each in ("http", "socks5") if kind == "chain" else (kind,):
            context = server_context(authority, "127.0.0.1") if each == "https" else None
            proxies.append(
                await stack.enter_async_context(relay_proxy("http" if context else each, tls=context))
            )
        chain = [
            ProxyConfig(proxy.url(), tls=TlsConfig(ca=authority.pem) if kind == "https" else None)
            for proxy in proxies
        ]

        async def connect() -> tcp.Connection:
            return await tcp.connect(f"127.0.0.1:{greeter.port}", proxy=chain)

        steps = await sweep(connect, lambda connection: connection.abort())
        assert steps >= 3
        await settle()


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "http://127.0.0.1:1", "env"])
def test_no_proxy_leads_to_an_address_with_a_zone(proxy: str, monkeypatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    for make in (tcp.connect, grpc.Channel):
        with pytest.raises(UsageError, match="has a zone"):
            make("[fe80::1%eth0]:1", proxy=proxy)
    monkeypatch.setenv("NO_PROXY", "fe80::/10")
    if proxy == "env":
        tcp.connect("[fe80::1%eth0]:1", proxy=proxy)


@pytest.mark.parametrize(
    ("said", "told"),
    [(b"", "without an answer"), (b"HTTP/1.1 200 OK\r\n", "before its answer was complete")],
)
async def test_a_proxy_that_ends_says_how_far_it_came(said: bytes, told: str) -> None:
    async def answer(sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_recv(sock, 4096)
        await loop.sock_sendall(sock, said)

    async with raw_server(answer) as address:
        with pytest.raises(ProxyError, match=f"it closed the connection {told}"):
            await tcp.connect("127.0.0.1:1", proxy=f"http://{address}")


async def test_an_https_proxy_that_speaks_no_tls_is_told_so_with_what_to_write() -> None:
    async def answer(sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_recv(sock, 4096)
        await loop.sock_sendall(sock, b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with raw_server(answer) as address:
        with pytest.raises(ProxyError, match=f"plaintext.*is written http://{address}"):
            await tcp.connect("127.0.0.1:1", proxy=f"https://{address}")


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", ["http://127.0.0.1:1", "http://127.0.0.1:2"]])
def test_no_proxy_leads_to_a_unix_socket(proxy) -> None:
    with pytest.raises(UsageError, match="no proxy leads to it"):
        tcp.connect("unix:/tmp/x", proxy=proxy)


async def test_the_environment_is_asked_only_if_it_is_told_to(monkeypatch, greeter) -> None:
    async with relay_proxy("http") as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url())
        monkeypatch.delenv("NO_PROXY", raising=False)
        address = f"127.0.0.1:{greeter.port}"
        async with tcp.connect(address) as connection:
            await talk(connection)
        assert proxy.connected == 0
        async with tcp.connect(address, proxy="env") as connection:
            await talk(connection)
        assert proxy.connected == 1
        monkeypatch.setenv("NO_PROXY", "127.0.0.0/8")
        async with tcp.connect(address, proxy="env") as connection:
            await talk(connection)
        assert proxy.connected == 1


async def test_request_goes_through_a_proxy() -> None:
    async def echo(connection: tcp.Connection) -> None:
        await connection.send_line(await connection.read_line())

    async with tcp.Server(echo).listen("127.0.0.1:0") as listening, relay_proxy("socks5") as proxy:
        reply = await tcp.request(f"127.0.0.1:{listening.port}", "hi\n", proxy=proxy.url())
        assert (reply, proxy.connected) == (b"hi\n", 1)


async def test_every_error_of_a_proxy_is_one_of_ours(greeter) -> None:
    """A proxy that cuts at any point of its answer."""
    whole = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"
    for size in range(len(whole)):

        async def answer(sock: socket.socket, part: bytes = whole[:size]) -> None:
            await asyncio.get_running_loop().sock_recv(sock, 4096)
            await asyncio.get_running_loop().sock_sendall(sock, part)

        async with raw_server(answer) as address:
            with pytest.raises(WirelaneError) as caught:
                await tcp.connect(f"127.0.0.1:{greeter.port}", proxy=f"http://{address}")
        assert isinstance(caught.value, ProxyError)
        assert caught.value.step == "CONNECT"
    assert greeter.connections == 0
