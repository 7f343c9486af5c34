"""TCP without `await`, against a server of blocking sockets: reads, writes, iteration, pools, interrupts."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.twins_support import echo, serving
from wirelane.errors import ConnectError, UsageError
from wirelane.sync import tcp


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
    total = 4 << 20
    sender = threading.Thread(target=connection.send, args=(b"x" * total,))
    sender.start()
    assert len(connection.read_exactly(total, timeout=30)) == total
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


def test_inside_an_event_loop_calls_are_refused(connection: tcp.Connection) -> None:
    """The error names what to await there."""

    async def main() -> None:
        connection.read_line()

    with pytest.raises(UsageError, match=r"wirelane\.tcp\.Connection\.read_line"):
        asyncio.run(main())
