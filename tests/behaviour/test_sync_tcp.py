"""TCP without `await`, against a server of blocking sockets: reads, writes, iteration, pools, interrupts."""

from __future__ import annotations

import asyncio
import collections
import gc
import random
import signal
import socket
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from support.twins_support import echo, serving
from wirelane.core.backoff import Backoff
from wirelane.errors import ConnectError, ConnectionLost, EndOfStream, ReadTimeout, UsageError
from wirelane.net.tls import TlsConfig
from wirelane.sync import tcp
from wirelane.tcp import places

if TYPE_CHECKING:
    from conftest import Certificates


class Interrupt(BaseException):
    """What the signal handler of a test raises, as Python's own raises KeyboardInterrupt."""


@pytest.fixture
def connection() -> Iterator[tcp.Connection]:
    with serving(echo) as address, tcp.connect(address) as connection:
        yield connection


def test_connecting_to_nothing_fails_at_once() -> None:
    """Before any `with`."""
    with pytest.raises(ConnectError):
        tcp.connect("127.0.0.1:1")


def test_one_thread_reads_while_another_sends(connection: tcp.Connection) -> None:
    """A connection has two directions."""
    blob = random.Random(7).randbytes(10 << 20)
    sender = threading.Thread(target=connection.send, args=(blob,))
    sender.start()
    assert connection.read_exactly(len(blob), timeout=30) == blob
    sender.join()


def test_a_pool_serves_many_threads() -> None:
    """Connections are used again, and never by two at once."""
    with serving(echo) as address, tcp.Pool(address, size=4) as pool:

        def ask(number: int) -> bytes:
            with pool.connection(timeout=30) as connection:
                connection.send_line(str(number))
                return connection.read_line(timeout=30).encode()

        with ThreadPoolExecutor(12) as threads:
            assert list(threads.map(ask, range(100))) == [str(n).encode() for n in range(100)]
        assert pool.stats.opened <= 4


def test_the_functions_of_a_pool_block_in_threads() -> None:
    """`prepare` and `check` get a connection of this kind, and may call what blocks."""
    prepared: list[str] = []

    def prepare(connection: tcp.Connection) -> None:
        assert isinstance(connection, tcp.Connection)
        prepared.append(connection.read_line(timeout=10))

    def greet(client: socket.socket) -> None:
        client.sendall(b"welcome\n")
        echo(client)

    with serving(greet) as address, tcp.Pool(address, prepare=prepare) as pool:
        assert pool.request("hi\n") == b"hi\n"
    assert prepared == ["welcome"]


def test_an_interrupted_read_loses_nothing(connection: tcp.Connection) -> None:
    """Ctrl-C is raised where the thread waits; the connection goes on."""

    def handler(*_: object) -> None:
        raise Interrupt

    before = signal.signal(signal.SIGALRM, handler)
    try:
        connection.send(b"half")
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(Interrupt):
            connection.read_line()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    connection.send(b" line\n")
    assert connection.read_line(timeout=10) == "half line"


def test_an_error_is_freed_with_its_last_name(connection: tcp.Connection) -> None:
    """It is in no cycle with what raised it, which would hold the connection until garbage is collected."""
    gc.disable()
    try:
        try:
            connection.read_line(timeout=0)
        except ReadTimeout as late:
            error = weakref.ref(late)
        assert error() is None
    finally:
        gc.enable()


def test_inside_an_event_loop_calls_are_refused(connection: tcp.Connection) -> None:
    """The error names what to await there."""

    async def main() -> None:
        connection.read_line()

    with pytest.raises(UsageError, match=r"wirelane\.tcp\.Connection\.read_line"):
        asyncio.run(main())


@pytest.mark.parametrize("name", ["buffered", "peer_certificate", "cipher", "alpn"])
def test_inside_an_event_loop_what_is_asked_of_the_loop_is_refused(
    connection: tcp.Connection, name: str
) -> None:
    """The loop may be changing it: it is asked for there."""

    async def main() -> None:
        getattr(connection, name)

    with pytest.raises(UsageError, match=rf"wirelane\.tcp\.Connection\.{name}"):
        asyncio.run(main())


def test_threads_look_at_the_tls_of_a_connection_that_talks(ca: Certificates) -> None:
    """OpenSSL's objects are one thread's at a time: looking disturbs neither the conversation nor those who look."""
    over = threading.Event()

    def handler(connection: tcp.Connection) -> None:
        for chunk in connection:
            connection.send(chunk)

    def look(secured: tcp.Connection) -> int:
        count = 0
        while not over.is_set():
            assert secured.peer_certificate is not None
            assert secured.cipher is not None
            assert "TLS" in repr(secured)
            count += 1
        return count

    tls = TlsConfig(cert=ca.server_cert, key=ca.server_key)
    with (
        tcp.Server(handler, tls=tls).listen("127.0.0.1:0") as listening,
        ThreadPoolExecutor(3) as threads,
        tcp.connect(f"localhost:{listening.port}", tls=TlsConfig(ca=ca.ca)) as secured,
    ):
        looking = [threads.submit(look, secured) for _ in range(2)]
        blob = bytes(range(256)) * 4000
        for _ in range(5):
            sending = threads.submit(secured.send, blob)
            assert secured.read_exactly(len(blob), timeout=30) == blob
            sending.result()
        over.set()
        assert all(each.result() for each in looking)


def test_a_pool_of_many_threads_survives_its_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """It dies with all its connections, and comes back: those who wait get one, and nobody gets another's answer."""
    monkeypatch.setattr(Backoff, "INITIAL", 0.01)
    monkeypatch.setattr(Backoff, "MAXIMUM", 0.05)
    monkeypatch.setattr(places, "POOL_BACKOFF", 0.05)

    def handler(connection: tcp.Connection) -> None:
        for line in connection.lines():
            connection.send_line(f"{line}!")

    answered, failed = collections.Counter[int](), collections.Counter[type]()
    over = threading.Event()

    def ask(number: int) -> None:
        count = 0
        while not over.is_set():
            count += 1
            question = f"{number} {count}"
            try:
                answer = pool.request(f"{question}\n", timeout=30, idempotent=True)
            except (ConnectionLost, EndOfStream, ConnectError) as error:
                failed[type(error)] += 1
                continue
            assert answer == f"{question}!\n".encode()
            answered[number] += 1

    def answers_go_on() -> None:
        # Together: which of many threads gets the interpreter is not for the pool to say.
        before = answered.total()
        end = time.monotonic() + 30
        while answered.total() < before + 200:
            assert time.monotonic() < end, "nobody got an answer any more"
            time.sleep(0.001)

    server = tcp.Server(handler)
    listening = server.listen("127.0.0.1:0")
    address = str(listening.address)
    with tcp.Pool(address, size=4) as pool, ThreadPoolExecutor(16) as threads:
        asking = [threads.submit(ask, number) for number in range(16)]
        try:
            for _ in range(3):
                answers_go_on()
                listening.abort()
                listening.drain(0)
                listening = server.listen(address)
            answers_go_on()
        finally:
            over.set()
        for each in asking:
            each.result()
        assert pool.stats.in_use == pool.stats.waiting == 0
        assert pool.stats.opened > 4
        assert pool.stats.opened == pool.stats.discarded + pool.stats.idle
    listening.drain(0)
