from __future__ import annotations

import asyncio
import errno
import socket

import pytest

from support.net_support import (
    LOOPBACK,
    Accepting,
    Recorder,
    cancelled_at,
    descriptors,
    descriptors_back,
    echo,
    ended,
    raw_server,
    settle,
    sweep,
    unix,
)
from wirelane.core.target import HostPort, UnixPath
from wirelane.errors import ConnectError, ResolveError, TlsError, UsageError
from wirelane.net import connect as connect_module
from wirelane.net import dial, listen
from wirelane.net.options import SocketOptions
from wirelane.net.resolve import Endpoint


@pytest.fixture
def closed_port() -> int:
    """Return a port at which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def answers(monkeypatch, *hosts: str) -> None:
    """Let every name have these addresses, on both loops."""

    async def resolve(host, port, *, passive=False):
        return [
            Endpoint(socket.AF_INET6, (host, port, 0, 0))
            if ":" in host
            else Endpoint(socket.AF_INET, (host, port))
            for host in hosts
        ]

    monkeypatch.setattr(connect_module, "resolve", resolve)


# ---------------------------------------------------------------------- success


async def test_connection_has_keep_alive_and_no_nagle():
    accepting = Accepting()
    async with await listen(accepting, LOOPBACK) as listening:
        transport, client = await dial(Recorder, listening.address)
        server = await accepting.one()
        for end in (transport, server.transport):
            sock = end.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        await ended(client, server)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the system has no TCP_USER_TIMEOUT")
async def test_both_ends_bound_how_long_sent_octets_stay_unacknowledged_if_told_to():
    """gRFC A18: the timeout of keepalive is TCP's as well; without keepalive the system's own bound stays."""
    accepting = Accepting()
    for seconds, milliseconds in ((None, 0), (20.0, 20_000), (0.0001, 1)):
        async with await listen(accepting, LOOPBACK, user_timeout=seconds) as listening:
            transport, client = await dial(
                Recorder, listening.address, options=SocketOptions(user_timeout=seconds)
            )
            server = await accepting.one()
            for end in (transport, server.transport):
                sock = end.get_extra_info("socket")
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == milliseconds
            await ended(client, server)


async def test_a_unix_socket_knows_no_such_bound(tmp_path):
    """What only TCP has is left out, not refused."""
    async with await listen(echo, unix(tmp_path), user_timeout=1.0):
        transport, client = await dial(Recorder, unix(tmp_path), options=SocketOptions(user_timeout=1.0))
        transport.write(b"hello")
        assert await client.until_received(5) == b"hello"
        await ended(client)


async def test_unix_socket_carries_bytes(tmp_path):
    async with await listen(echo, unix(tmp_path)):
        transport, client = await dial(Recorder, unix(tmp_path))
        transport.write(b"hello")
        assert await client.until_received(5) == b"hello"
        await ended(client)


async def test_abstract_unix_socket_carries_bytes():
    address = UnixPath("\0wirelane-net-test")
    async with await listen(echo, address):
        transport, client = await dial(Recorder, address)
        transport.write(b"hello")
        assert await client.until_received(5) == b"hello"
        await ended(client)


async def test_ipv6_address_is_dialled():
    async with await listen(echo, HostPort("::1", 0)) as listening:
        assert str(listening.address) == f"[::1]:{listening.port}"
        _, client = await dial(Recorder, listening.address)
        await ended(client)


async def test_no_timeout_means_no_limit(monkeypatch):
    loop = asyncio.get_running_loop()
    timers = []
    call_at = loop.call_at

    def remember(when, callback, *args, **rest):
        timers.append(callback)
        return call_at(when, callback, *args, **rest)

    # What asyncio.timeout uses, on any loop.
    monkeypatch.setattr(loop, "call_at", remember)
    async with await listen(echo, LOOPBACK) as listening:
        _, client = await dial(Recorder, listening.address, connect_timeout=None)
        assert timers == []
        await ended(client)
        _, client = await dial(Recorder, listening.address, connect_timeout=60)
        assert timers
        await ended(client)


# ---------------------------------------------------------------------- happy eyeballs


async def test_second_family_is_tried_when_the_first_is_refused():
    async with await listen(echo, LOOPBACK) as listening:
        # "localhost" has both families here or not; 127.0.0.1 alone listens.
        transport, client = await dial(Recorder, HostPort("localhost", listening.port))
        assert transport.get_extra_info("peername")[0] == "127.0.0.1"
        await ended(client)


async def test_next_address_is_tried_while_the_first_does_not_answer(monkeypatch):
    monkeypatch.setattr(connect_module, "ATTEMPT_DELAY", 0.01)
    with socket.socket() as silent:
        port = fill(silent)
        listening = await listen(echo, HostPort("127.0.0.2", port))
        answers(monkeypatch, "127.0.0.1", "127.0.0.2")
        transport, client = await dial(Recorder, HostPort("both.example", port))
        assert transport.get_extra_info("peername")[0] == "127.0.0.2"
        await ended(client)
        listening.close()
        await listening.wait_closed()


def fill(sock: socket.socket) -> int:
    """Make a listener that answers nobody: its queue is full, so that the kernel drops further clients."""
    sock.bind(("127.0.0.1", 0))
    sock.listen(0)
    port = int(sock.getsockname()[1])
    _FILLERS.clear()
    for _ in range(3):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.1", port))
        _FILLERS.append(filler)
    return port


_FILLERS: list[socket.socket] = []


@pytest.fixture(autouse=True)
def _no_fillers():
    yield
    while _FILLERS:
        _FILLERS.pop().close()


async def test_slow_first_address_may_still_win(monkeypatch):
    # Both answer; whoever comes second is closed again, and the server sees it go.
    monkeypatch.setattr(connect_module, "ATTEMPT_DELAY", 0.0)
    accepting = Accepting()
    async with await listen(accepting, LOOPBACK) as listening:
        answers(monkeypatch, "127.0.0.1", "127.0.0.1", "127.0.0.1")
        _, client = await dial(Recorder, HostPort("thrice.example", listening.port))
        await (await accepting.one()).until(lambda r: r.transport is not None)
        await settle(100)
        assert sum(not recorder.lost for recorder in accepting.made) == 1
        await ended(client)


# ---------------------------------------------------------------------- failure


async def test_refused_connection_is_one_clear_sentence(closed_port):
    with pytest.raises(ConnectError) as caught:
        await dial(Recorder, HostPort("127.0.0.1", closed_port))
    assert str(caught.value) == f"cannot connect to 127.0.0.1:{closed_port}: connection refused"
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
    assert caught.value.errno == errno.ECONNREFUSED
    assert caught.value.address == f"127.0.0.1:{closed_port}"


async def test_every_attempt_is_told(monkeypatch, closed_port):
    answers(monkeypatch, "127.0.0.1", "::1", "127.0.0.3")
    with pytest.raises(ConnectError) as caught:
        await dial(Recorder, HostPort("localhost", closed_port))
    assert str(caught.value) == (
        f"cannot connect to localhost:{closed_port} (127.0.0.1:{closed_port}: connection refused; "
        f"[::1]:{closed_port}: connection refused; 127.0.0.3:{closed_port}: connection refused)"
    )
    assert [where for where, _ in caught.value.attempts] == [
        f"127.0.0.1:{closed_port}",
        f"[::1]:{closed_port}",
        f"127.0.0.3:{closed_port}",
    ]
    assert all(isinstance(exc, ConnectionRefusedError) for _, exc in caught.value.attempts)


async def test_missing_unix_socket_is_told(tmp_path):
    with pytest.raises(ConnectError, match=r"cannot connect to unix:.*sock: no such file or directory"):
        await dial(Recorder, unix(tmp_path))


async def test_unknown_name_is_a_resolve_error():
    with pytest.raises(ResolveError, match=r"cannot resolve 'nosuch.invalid'"):
        await dial(Recorder, HostPort("nosuch.invalid", 80))


async def test_unanswered_connection_times_out_saying_so():
    with socket.socket() as silent:
        port = fill(silent)
        with pytest.raises(ConnectError) as caught:
            await dial(Recorder, HostPort("127.0.0.1", port), connect_timeout=0.05)
    assert str(caught.value) == (
        f"cannot connect to 127.0.0.1:{port}: no connection within 0.05 s (127.0.0.1:{port}: no answer in time)"
    )
    assert isinstance(caught.value.__cause__, TimeoutError)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_slow_resolver_times_out_saying_so(monkeypatch):
    async def resolve(host, port, *, passive=False):
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(connect_module, "resolve", resolve)
    with pytest.raises(ConnectError, match=r"to x.example:80: resolving the name took longer than 0.01 s"):
        await dial(Recorder, HostPort("x.example", 80), connect_timeout=0.01)


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan"), float("inf")])
async def test_senseless_timeout_is_refused(seconds):
    with pytest.raises(UsageError, match="connect_timeout must be a positive number of seconds or None"):
        await dial(Recorder, LOOPBACK, connect_timeout=seconds)


async def test_text_is_no_address():
    with pytest.raises(UsageError, match="cannot dial a str; parse_target"):
        await dial(Recorder, "localhost:80")  # type: ignore[arg-type]


async def test_impossible_server_name_is_refused(authority):
    async with await listen(echo, LOOPBACK, tls=authority.server()) as listening:
        before = descriptors()
        with pytest.raises(UsageError, match=r"TLS cannot check the name '\.\.'"):
            await dial(Recorder, listening.address, tls=authority.client(), server_name="..")
        await descriptors_back(before)


async def test_missing_ca_file_leaves_no_socket(authority):
    from wirelane.net import TlsConfig

    async with await listen(echo, LOOPBACK) as listening:
        with pytest.raises(UsageError, match="TlsConfig ca: no such file"):
            await dial(Recorder, listening.address, tls=TlsConfig(ca="/nowhere.pem"))


@pytest.mark.parametrize("secure", [False, True])
async def test_factory_that_raises_leaves_no_socket(authority, secure):
    class Broken(Exception):
        pass

    def factory() -> Recorder:
        raise Broken

    accepting = Accepting()
    tls = authority.server() if secure else None
    async with await listen(accepting, LOOPBACK, tls=tls) as listening:
        before = descriptors()
        with pytest.raises(Broken):
            await dial(factory, listening.address, tls=authority.client() if secure else None)
        await (await accepting.one()).until_lost()
        await descriptors_back(before)


async def test_timeout_of_the_factory_is_its_own(authority):
    def factory() -> Recorder:
        raise TimeoutError("mine")

    async with await listen(echo, LOOPBACK) as listening:
        with pytest.raises(TimeoutError, match="mine"):
            await dial(factory, listening.address)


async def test_socket_never_connects_to_itself(closed_port):
    # The system chooses the port it connects to for this end, too, once in 28,000 times.
    options = SocketOptions(local_address=f"127.0.0.1:{closed_port}")
    dialing = connect_module.Dialing(HostPort("127.0.0.1", closed_port), options)
    with pytest.raises(ConnectError, match="connection refused"):
        await connect_module.connect(dialing)


# ---------------------------------------------------------------------- cancellation


def drop(result) -> None:
    result[0].abort()


async def test_cancelled_dial_leaves_no_socket():
    async with await listen(echo, LOOPBACK) as listening:
        assert await sweep(lambda: dial(Recorder, listening.address), drop) >= 1
        await wait_idle(listening)


async def test_cancelled_dial_of_a_name_leaves_no_socket(monkeypatch):
    async with await listen(echo, LOOPBACK) as listening:
        address = HostPort("localhost", listening.port)
        assert await sweep(lambda: dial(Recorder, address), drop) >= 2
        await wait_idle(listening)


async def test_cancelled_race_leaves_no_socket(monkeypatch):
    async with await listen(echo, LOOPBACK) as listening:
        answers(monkeypatch, "127.0.0.3", "::1", "127.0.0.1")
        address = HostPort("x.example", listening.port)
        assert await sweep(lambda: dial(Recorder, address), drop) >= 2
        await wait_idle(listening)


async def test_cancelled_tls_dial_leaves_no_socket(authority):
    async with await listen(echo, LOOPBACK, tls=authority.server()) as listening:
        client = authority.client()
        assert await sweep(lambda: dial(Recorder, listening.address, tls=client), drop) >= 2
        await wait_idle(listening)


async def test_cancelled_search_for_the_names_of_a_certificate_leaves_no_socket(authority):
    async with await listen(echo, LOOPBACK, tls=authority.server("elsewhere.example")) as listening:

        async def refused() -> TlsError:
            with pytest.raises(TlsError, match="but for elsewhere.example") as caught:
                await dial(Recorder, listening.address, tls=authority.client())
            return caught.value

        assert await sweep(refused, lambda _: None) >= 4
        await wait_idle(listening)


async def test_cancelled_unix_dial_leaves_no_socket(tmp_path):
    async with await listen(echo, unix(tmp_path)) as listening:
        assert await sweep(lambda: dial(Recorder, unix(tmp_path)), drop) >= 1
        await wait_idle(listening)


async def test_cancelled_listen_leaves_no_socket():
    assert (
        await sweep(lambda: listen(echo, HostPort("localhost", 0)), lambda listening: listening.close()) >= 1
    )


async def wait_idle(listening) -> None:
    while listening.connections:
        await asyncio.sleep(0)


async def test_dial_cancelled_while_nobody_answers_leaves_no_socket():
    with socket.socket() as silent:
        port = fill(silent)
        before = descriptors()
        task = asyncio.create_task(dial(Recorder, HostPort("127.0.0.1", port)))
        await settle()
        assert descriptors() == before + 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert descriptors() == before


async def test_dial_cancelled_in_the_handshake_leaves_no_socket(authority):
    said = asyncio.get_running_loop().create_future()

    async def talk(sock):
        loop = asyncio.get_running_loop()
        said.set_result(await loop.sock_recv(sock, 65536))
        while await loop.sock_recv(sock, 65536):
            pass  # until the client is gone

    async with raw_server(talk) as address:
        task = asyncio.create_task(dial(Recorder, address, tls=authority.client()))
        assert (await said)[:2] == b"\x16\x03"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_sweep_itself_cancels_where_it_says():
    async def three() -> str:
        for _ in range(3):
            await asyncio.sleep(0)
        return "through"

    assert await cancelled_at(3, three()) == "through"
    task = asyncio.ensure_future(_awaiting(cancelled_at(1, three())))
    with pytest.raises(asyncio.CancelledError):
        await task


async def _awaiting(awaitable):
    return await awaitable


# ---------------------------------------------------------------------- descriptors


async def test_a_connection_that_is_lost_as_it_is_made_closes_no_other():
    """Its number may be another one's at once: only who holds it may close it."""
    others: list[socket.socket] = []

    class Leaving(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.transport.abort()
            others.extend(socket.socketpair())

    async with await listen(Accepting(), LOOPBACK) as listening:
        _, client = await dial(Leaving, listening.address)
        await client.until_lost()
        await settle()
        here, there = others
        with here, there:
            here.send(b"x")
            assert there.recv(1) == b"x"


async def test_options_that_cannot_be_set_any_more_leave_no_socket(monkeypatch):
    async with await listen(Accepting(), LOOPBACK) as listening:
        before = descriptors()

        def setsockopt(self, level, option, value):
            if (level, option, value) == (socket.IPPROTO_TCP, socket.TCP_NODELAY, 0):
                raise OSError(errno.EINVAL, "no")
            return original(self, level, option, value)

        original = socket.socket.setsockopt
        monkeypatch.setattr(socket.socket, "setsockopt", setsockopt)
        with pytest.raises(OSError, match="no"):
            await dial(Recorder, listening.address, options=SocketOptions(nodelay=False))
        monkeypatch.undo()
        await descriptors_back(before)
