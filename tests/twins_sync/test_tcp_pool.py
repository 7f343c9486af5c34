"""A pool: who gets which connection, what goes back, what is thrown away, and how it ends.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from support.net_support import descriptors
from support.pool_support import SOON, backend
from support.twins_sync_support import Event, Running, elsewhere, gather, sleep, start, until
from twins_sync.pool_support import ask, pooled, quiet, warm
from twins_sync.tcp_support import reads, sockets
from wirelane.sync import (
    BusyError,
    ClosedError,
    CodecError,
    ConnectionLost,
    Limits,
    PoolTimeout,
    ReadTimeout,
    TlsConfig,
    UsageError,
    WirelaneError,
    tcp,
)

if TYPE_CHECKING:
    from conftest import Certificates


def _raise(connection: tcp.Connection) -> None:
    connection.send_line("hello")
    assert connection.read_line() == "hello"
    raise ZeroDivisionError


def _leave_an_answer(connection: tcp.Connection) -> None:
    connection.send_line("twice")
    assert connection.read_line() == "twice"


def _leave_while_the_answer_comes(connection: tcp.Connection) -> None:
    connection.send_line("half")
    until(lambda: connection.buffered > 0)


def _leave_lines_on_loan(connection: tcp.Connection) -> None:
    connection.send(b"twice\ntwice\n")
    for _ in connection.lines():
        break


def _give_up(connection: tcp.Connection) -> None:
    connection.send_line("mute")
    with pytest.raises(ReadTimeout):
        connection.read_line(timeout=0.001)


def _give_up_and_go_on(connection: tcp.Connection) -> None:
    _give_up(connection)
    connection.send_line("hello")
    assert connection.read_line() == "hello"


def _give_up_lines(connection: tcp.Connection) -> None:
    connection.send_line("mute")
    with pytest.raises(ReadTimeout):
        next(connection.lines(timeout=0.001))


def _half_close(connection: tcp.Connection) -> None:
    connection.send_eof()


def _close(connection: tcp.Connection) -> None:
    connection.close()


def _abort(connection: tcp.Connection) -> None:
    connection.abort()


def _let_the_server_close(connection: tcp.Connection) -> None:
    connection.send_line("bye")
    assert connection.read_line() == "bye"
    assert connection.read() == b""


@pytest.mark.parametrize(
    ("act", "seen"),
    [
        (_raise, {"ConnectionLost"}),
        (_leave_an_answer, {"end"}),
        (_leave_while_the_answer_comes, {"end"}),
        (_leave_lines_on_loan, {"end"}),
        (_give_up, {"end"}),
        (_give_up_and_go_on, {"end"}),
        (_give_up_lines, {"end"}),
        (_half_close, {"end"}),
        (_close, {"end"}),
        (_abort, {"ConnectionLost"}),
        (_let_the_server_close, set()),
    ],
)
def test_a_connection_that_is_not_at_rest_is_not_used_again(
    act: Callable[[tcp.Connection], None], seen: set[str]
) -> None:
    """`seen` is how the server may see its end; a connection with unread bytes is reset by the kernel as it is closed."""
    with pooled(size=1) as (pool, there):
        try:
            with pool.connection() as connection:
                act(connection)
        except ZeroDivisionError:
            assert act is _raise
        assert (pool.stats.in_use, pool.stats.idle, pool.stats.discarded) == (0, 0, 1)
        assert (ask(pool))[0] == "hello"
        assert there.came == 2
        until(lambda: len(there.here) == 1)
    assert set(there.ends[:-1]) <= {*seen, "ConnectionLost"}
    assert there.ends[-1] == "end"


class Zeros(io.RawIOBase):
    """A file without end, that tells when it is read for the second time: by then, some of it has left."""

    def __init__(self, begun: Event) -> None:
        self._begun = begun
        self._count = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        self._count += 1
        if self._count > 1:
            self._begun.set()
        return bytes(size)


def test_a_connection_on_which_a_message_is_under_way_is_cut() -> None:
    begun = Event()
    with elsewhere(backend) as (there, address), tcp.Pool(address, size=1) as pool:
        with Zeros(begun) as zeros:
            with pool.connection() as connection:
                connection.send_line("deaf")
                sending = start(connection.send_file, zeros)
                until(lambda: there.seen == ["deaf"])
                begun.wait()
            assert (pool.stats.in_use, pool.stats.idle, pool.stats.discarded) == (0, 0, 1)
            with pytest.raises((ClosedError, ConnectionLost)):
                sending.result()
            assert (ask(pool))[0] == "hello"


def test_a_connection_is_used_again_and_the_one_used_last_is_used_next() -> None:
    with pooled() as (pool, there):
        with pool.connection() as one, pool.connection() as two:
            first, second = str(one.local), str(two.local)
        assert pool.stats.idle == 2
        for _ in range(3):
            assert ask(pool) == ("hello", first), "the outer block ended last"
        with pool.connection() as one, pool.connection() as two:
            assert (str(one.local), str(two.local)) == (first, second)
        assert (there.came, pool.stats.opened, pool.stats.discarded) == (2, 2, 0)


def test_there_are_never_more_connections_than_the_size_and_nobody_starves() -> None:
    with pooled(size=3) as (pool, there):
        answers = gather(*(start(ask, pool, f"line {number}") for number in range(60)))
        assert [answer for answer, _ in answers] == [f"line {number}" for number in range(60)]
        assert there.most <= 3
        assert pool.stats.opened <= 3


def test_who_comes_first_is_served_first() -> None:
    served: list[int] = []

    def one(number: int) -> None:
        with pool.connection(timeout=SOON) as connection:
            served.append(number)
            connection.send_line("x")
            connection.read_line(timeout=SOON)

    with pooled(size=1) as (pool, _):
        with pool.connection():
            tasks = []
            for number in range(10):
                tasks.append(start(one, number))
                until(lambda: pool.stats.waiting == len(tasks))
            assert "10 waiting" in repr(pool)
        gather(*tasks)
    assert served == list(range(10))


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_over_tls_it_is_the_same(secure: bool, ca: Certificates) -> None:
    tls = TlsConfig(cert=ca.server_cert, key=ca.server_key) if secure else None
    with pooled(tls, tls=TlsConfig(ca=ca.ca) if secure else None) as (pool, there):
        assert ask(pool) == ask(pool)
        assert there.came == 1
        assert there.here[0].tls == secure


@pytest.mark.parametrize("timeout", [0, 0.01])
def test_waiting_too_long_for_others_tells_how_many_there_are(timeout: float) -> None:
    with pooled(size=2) as (pool, _):
        with pool.connection(), pool.connection():
            patient = start(ask, pool)
            until(lambda: pool.stats.waiting == 1)
            with pytest.raises(PoolTimeout) as caught:
                with pool.connection(timeout=timeout):
                    pass
            error = caught.value
            assert (error.size, error.in_use, error.waiting) == (2, 2, 1)
            assert isinstance(error, TimeoutError)
            assert str(error) == (
                f"no connection to {pool.address} was free in time: 2 of 2 are in use, and 1 more wait"
            )
        assert (patient.result())[0] == "hello"


def test_a_timeout_of_nothing_takes_what_is_idle() -> None:
    with pooled() as (pool, _):
        ask(pool)
        with pool.connection(timeout=0) as connection:
            connection.send_line("at once")
            assert connection.read_line() == "at once"


def test_somebody_who_still_reads_when_the_block_ends_hears_that_it_is_closed() -> None:
    with pooled() as (pool, _):
        with pool.connection() as connection:
            reading = start(connection.read)
            reads(connection)
        with pytest.raises(ClosedError):
            reading.result()
        assert pool.stats.idle == 0


def test_who_keeps_a_connection_for_longer_cannot_disturb_the_next() -> None:
    with pooled(size=1) as (pool, _):
        with pool.connection() as kept:
            address = kept.local
            lines, chunks, records = kept.lines(), kept.chunks(), kept.records(b"\n")
            frames = kept.read_frames(length_prefix=2)
            kept.send_line("mine")
            assert next(lines) == "mine"
        with pool.connection() as connection:
            assert connection.local == address
            for use in (
                lambda: next(lines),
                lambda: next(chunks),
                lambda: next(records),
                lambda: next(frames),
                lambda: kept.send(b"x"),
                lambda: kept.send_line("x"),
                kept.read,
                kept.send_eof,
                kept.more,
                kept.start_tls,
            ):
                with pytest.raises(ClosedError):
                    use()
            with pytest.raises(ClosedError):
                kept.unread(b"x")
            assert kept.closed
            assert "CLOSED" in repr(kept)
            kept.close()
            kept.abort()
            connection.send_line("still here")
            assert connection.read_line(timeout=SOON) == "still here"


def test_who_comes_next_does_not_get_the_late_answer_to_another() -> None:
    """The one before gave up waiting, went on without it, and ended his block in order."""

    def answer(connection: tcp.Connection) -> None:
        for line in connection.lines():
            if line == "slow":
                connection.more()
            connection.send_line(line)

    with (
        tcp.Server(answer).listen("127.0.0.1:0", grace=0) as listening,
        tcp.Pool(str(listening.address), size=1) as pool,
    ):
        with pool.connection() as connection:
            connection.send_line("slow")
            with pytest.raises(ReadTimeout):
                connection.read_line(timeout=0.001)
            waiting = start(ask, pool)
            until(lambda: pool.stats.waiting == 1)
        assert (waiting.result())[0] == "hello"


def test_who_comes_next_does_not_find_the_tls_of_another(ca: Certificates) -> None:
    def upgrade(connection: tcp.Connection) -> None:
        for line in connection.lines():
            connection.send_line(line)
            if line == "STARTTLS":
                connection.start_tls(TlsConfig(cert=ca.server_cert, key=ca.server_key))

    def go_over(connection: tcp.Connection) -> None:
        connection.send_line("STARTTLS")
        assert connection.read_line(timeout=SOON) == "STARTTLS"
        connection.start_tls(TlsConfig(ca=ca.ca))

    with tcp.Server(upgrade).listen("127.0.0.1:0", grace=0) as listening:
        with tcp.Pool(str(listening.address)) as pool:
            with pool.connection() as connection:
                go_over(connection)
            with pool.connection() as connection:
                assert not connection.tls
        with tcp.Pool(str(listening.address), prepare=go_over) as pool:
            for _ in range(2):
                with pool.connection() as connection:
                    assert connection.tls, "who prepares connections has them all like this"
                    connection.send_line("hello")
                    assert connection.read_line(timeout=SOON) == "hello"
            assert pool.stats.opened == 1


def test_what_prepare_gave_up_waiting_for_does_not_keep_a_connection_from_being_used_again() -> None:
    def greeted(connection: tcp.Connection) -> None:
        with suppress(ReadTimeout):
            connection.read_line(timeout=0.001)

    with pooled(prepare=greeted) as (pool, there):
        for _ in range(3):
            assert (ask(pool))[0] == "hello"
        assert there.came == 1


def test_two_that_share_a_block_share_its_rules() -> None:
    with pooled() as (pool, _), pool.connection() as connection:
        reading = start(connection.read_line)
        reads(connection)
        with pytest.raises(BusyError):
            connection.read_line()
        connection.send_line("x")
        assert reading.result() == "x"


def test_a_block_is_entered_once() -> None:
    with pooled() as (pool, _):
        once = pool.connection()
        assert "Pooled of <Pool " in repr(once)
        with once:
            pass
        with pytest.raises(UsageError, match="entered before"):
            with once:
                pass


def test_an_idle_connection_is_closed_in_order_when_its_time_is_up() -> None:
    with pooled(max_idle=0.02) as (pool, there):
        warm(pool, 2)
        until(lambda: not there.here)
        assert there.ends == ["end", "end"]
        assert (pool.stats.idle, pool.stats.discarded) == (0, 2)
        assert (ask(pool))[0] == "hello"


def test_a_connection_that_has_lived_long_enough_is_not_used_again() -> None:
    with pooled(max_lifetime=0.02, size=1) as (pool, there):
        with pool.connection() as connection:
            first = connection.local
            sleep(0.03)
            connection.send_line("however old, it is not taken away")
            connection.read_line()
        with pool.connection() as connection:
            assert connection.local != first
        until(lambda: not there.here)
        assert set(there.ends) == {"end"}


def test_a_pool_that_was_never_used_has_nothing_to_close() -> None:
    pool = tcp.Pool("localhost:1")
    assert repr(pool).endswith("Pool localhost:1 OPEN 0 of 10 in use, 0 idle>")
    assert pool.stats == tcp.PoolStats(10)
    pool.close()
    assert repr(pool).endswith("Pool localhost:1 CLOSED 0 of 10 in use, 0 idle>")
    with pytest.raises(ClosedError):
        pool.request(b"x\n")


def test_closing_waits_for_those_who_have_a_connection() -> None:
    with elsewhere(backend) as (there, address):
        pool = tcp.Pool(address)
        ask(pool)
        with pool.connection() as connection:
            closing = start(pool.close, grace=SOON)
            until(lambda: pool.closed)
            with pytest.raises(ClosedError):
                ask(pool)
            connection.send_line("take your time")
            assert connection.read_line() == "take your time"
            assert not closing.done()
        closing.result()
        until(lambda: not there.here)
        assert there.ends == ["end"]
        pool.close()


def test_after_the_grace_connections_are_cut() -> None:
    with elsewhere(backend) as (there, address):
        pool = tcp.Pool(address)

        def hold() -> None:
            with pool.connection() as connection:
                connection.read_line()

        holding = start(hold)
        until(lambda: pool.stats.in_use == 1)
        pool.close(grace=0.01)
        with pytest.raises(ClosedError):
            holding.result()
        assert pool.stats.in_use == 0
        until(lambda: there.ends == ["ConnectionLost"])


def test_a_close_does_not_wait_for_what_a_block_does_after_its_connection_was_cut() -> None:
    """It may be the block that closes the pool."""
    with elsewhere(backend) as (there, address):
        pool = tcp.Pool(address, limits=Limits(close_timeout=1000.0))
        with pool.connection() as connection:
            pool.close(grace=0.01)
            until(lambda: there.ends == ["ConnectionLost"])
            with pytest.raises(ClosedError):
                connection.send(b"x")
        assert (pool.stats.in_use, pool.stats.discarded) == (0, 1)


def test_those_who_wait_hear_that_the_pool_was_closed() -> None:
    with pooled(size=1) as (pool, _):
        with pool.connection():
            waiting = [start(ask, pool) for _ in range(3)]
            until(lambda: pool.stats.waiting == 3)
            closing = start(pool.close, SOON)
            for result in gather(*waiting, return_exceptions=True):
                assert isinstance(result, ClosedError)
        closing.result()


def test_an_attempt_to_connect_ends_with_the_pool() -> None:
    before = sockets()
    started, over = Event(), Event()

    def never(connection: tcp.Connection) -> None:
        started.set()
        over.wait()

    with elsewhere(backend) as (_, address):
        pool = tcp.Pool(address, prepare=never)
        waiting = start(ask, pool)
        started.wait()
        pool.close()
        with pytest.raises(ClosedError):
            waiting.result()
    over.set()
    until(lambda: descriptors() <= before)


def test_leaving_the_pool_by_an_error_does_not_wait() -> None:
    with elsewhere(backend) as (_, address):
        held = Event()

        def hold(pool: tcp.Pool) -> None:
            with pool.connection() as connection:
                held.set()
                connection.read_line()

        def fail() -> None:
            with tcp.Pool(address, limits=Limits(close_timeout=600)) as pool:
                holding.append(start(hold, pool))
                held.wait()
                raise ZeroDivisionError

        holding: list[Running[None]] = []
        with pytest.raises(ZeroDivisionError):
            fail()
        with pytest.raises(ClosedError):
            holding[0].result()


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"size": 0}, "size"),
        ({"size": True}, "size"),
        ({"size": "10"}, "size"),
        ({"connect_timeout": 0}, "connect_timeout"),
        ({"check_after": -1}, "check_after"),
        ({"check_timeout": 0}, "check_timeout"),
        ({"max_idle": 0}, "max_idle"),
        ({"max_lifetime": float("nan")}, "max_lifetime"),
        ({"check": 5}, "check"),
        ({"prepare": "x"}, "prepare"),
        ({"limits": 5}, "limits"),
        ({"tls": "yes"}, "tls"),
    ],
)
def test_settings_that_make_no_sense_are_refused_at_once(options: dict[str, object], names: str) -> None:
    with pytest.raises(UsageError, match=names):
        tcp.Pool("localhost:1", **options)  # type: ignore[arg-type]


def test_an_address_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(WirelaneError):
        tcp.Pool("no port")


def test_a_timeout_that_is_none_is_refused_at_once() -> None:
    pool = tcp.Pool("localhost:1")
    with pytest.raises(UsageError, match="timeout"):
        pool.connection(timeout=-1)
    with pytest.raises(UsageError, match="marker"):
        pool.request(b"x", marker=None)
    quiet(pool)


def test_a_request_is_one_exchange_on_a_connection_that_is_kept() -> None:
    with pooled() as (pool, there):
        assert pool.request("hello\n") == b"hello\n"
        assert pool.request(b"hello\n", keep_marker=False) == b"hello"
        assert pool.request("grüße\n") == "grüße\n".encode()
        with pytest.raises(CodecError):
            pool.request("grüße\n", encoding="ascii")
        assert pool.request(b"abcdef\n", marker=None, max_bytes=7) == b"abcdef\n"
        assert there.came == 1


def test_an_answer_with_more_behind_it_is_returned_and_its_connection_is_not_kept() -> None:
    with pooled() as (pool, there):
        assert pool.request("twice\n") == b"twice\n"
        assert pool.stats.idle == 0
        assert pool.request("hello\n") == b"hello\n"
        assert there.came == 2


def test_a_request_that_times_out_is_never_sent_again() -> None:
    with pooled() as (pool, there):
        pool.request("hello\n")
        with pytest.raises(ReadTimeout) as caught:
            pool.request("half\n", timeout=0.05, idempotent=True)
        assert caught.value.partial == b"hal"
        assert there.seen == ["hello", "half"]
        assert pool.request("hello\n") == b"hello\n"
