"""TCP without `await`, against a server of blocking sockets: reads, writes, iteration, pools, interrupts."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from wirelane.errors import ConnectError, EndOfStream, LimitExceeded, ReadTimeout, UsageError
from wirelane.sync import tcp

Handler = Callable[[socket.socket], None]


class Interrupt(BaseException):
    """What the signal handler of a test raises, as Python's own raises KeyboardInterrupt."""


@contextlib.contextmanager
def serving(handler: Handler) -> Iterator[str]:
    """A server of blocking sockets, a thread for each connection; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(16) as pool:

        def handle(client: socket.socket) -> None:
            with client, contextlib.suppress(ConnectionError):
                handler(client)

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                pool.submit(handle, client)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def echo(client: socket.socket) -> None:
    while data := client.recv(65536):
        client.sendall(data)


def saying(data: bytes) -> Handler:
    """A handler that sends and closes."""
    return lambda client: client.sendall(data)


@pytest.fixture
def connection() -> Iterator[tcp.Connection]:
    with serving(echo) as address, tcp.connect(address) as connection:
        yield connection


def test_a_line_comes_back(connection: tcp.Connection) -> None:
    """`send_line` and `read_line` are calls like any others."""
    connection.send_line("hello")
    assert connection.read_line(timeout=10) == "hello"


def test_every_read_ends_as_it_says(connection: tcp.Connection) -> None:
    """By size, marker, frame, pattern and silence, one after the other on one stream."""
    connection.send(b"12345a;b;" + b"\x00\x00\x00\x02hi" + b"x=1 rest")
    assert connection.read_exactly(5) == b"12345"
    assert connection.read(marker=b";") == b"a;"
    assert connection.read_until([b"|", b";"]) == (b"b", b";")
    assert connection.read_frame() == b"hi"
    assert connection.read_regex(rb"x=\d") == b"x=1"
    assert connection.read_until_idle(0.05) == b" rest"


def test_a_read_that_times_out_loses_nothing(connection: tcp.Connection) -> None:
    """What had come is in `.partial`, and the next read sees it."""
    connection.send(b"half")
    with pytest.raises(ReadTimeout) as late:
        connection.read_line(timeout=0.2)
    assert late.value.partial == b"half"
    connection.send(b" line\n")
    assert connection.read_line(timeout=10) == "half line"


def test_lines_are_iterated_to_the_end() -> None:
    """`for` ends where the stream ends; the last line needs no marker."""
    data = b"".join(b"line %d\n" % n for n in range(5000)) + b"last"
    with serving(saying(data)) as address, tcp.connect(address) as connection:
        got = list(connection.lines())
    assert got == [f"line {n}" for n in range(5000)] + ["last"]


def test_other_reads_go_on_where_the_lines_are() -> None:
    """Lines that were ready, and were not given, are not lost to a read in between."""
    data = b"".join(b"%d\n" % n for n in range(1000))
    with serving(saying(data)) as address, tcp.connect(address) as connection:
        lines = connection.lines()
        first = [next(lines) for _ in range(10)]
        between = connection.read(marker=b"\n")
        assert connection.buffered > 0 or connection.more()
        rest = list(lines)
    assert [*first, between.decode().strip(), *rest] == [str(n) for n in range(1000)]


def test_records_frames_and_chunks_are_iterated() -> None:
    """Each kind by its own rule."""
    with serving(saying(b"a;b;c")) as address, tcp.connect(address) as connection:
        assert list(connection.records(b";")) == [b"a", b"b", b"c"]
    with serving(saying(b"\x00\x00\x00\x01x\x00\x00\x00\x00")) as address, tcp.connect(address) as connection:
        assert list(connection.read_frames()) == [b"x", b""]
    with serving(saying(b"all of it")) as address, tcp.connect(address) as connection:
        assert b"".join(connection) == b"all of it"


def test_the_end_of_the_stream_and_limits_raise() -> None:
    """As in the async library, and with what came."""
    with serving(saying(b"short")) as address, tcp.connect(address) as connection:
        with pytest.raises(EndOfStream) as ended:
            connection.read_exactly(10)
        assert ended.value.partial == b"short"
    with serving(saying(b"x" * 100)) as address, tcp.connect(address) as connection:
        with pytest.raises(LimitExceeded):
            connection.read_line(max_bytes=10)


def test_a_request_is_one_call() -> None:
    """Connect, send, read one reply, close."""
    with serving(echo) as address:
        assert tcp.request(address, "Echo this!\n", timeout=10) == b"Echo this!\n"


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
