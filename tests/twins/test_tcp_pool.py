"""A pool: who gets which connection, what goes back, what is thrown away, and how it ends: written once, run with asyncio and without."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from support.net_support import descriptors
from support.pool_support import SOON, backend
from support.twins_support import Event, Running, elsewhere, gather, sleep, start, until
from twins.pool_support import ask, pooled, quiet, warm
from twins.tcp_support import reads, sockets
from wirelane import (
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


async def _raise(connection: tcp.Connection) -> None:
    await connection.send_line("hello")
    assert await connection.read_line() == "hello"
    raise ZeroDivisionError


async def _leave_an_answer(connection: tcp.Connection) -> None:
    await connection.send_line("twice")
    assert await connection.read_line() == "twice"


async def _leave_while_the_answer_comes(connection: tcp.Connection) -> None:
    await connection.send_line("half")
    await until(lambda: connection.buffered > 0)


async def _leave_lines_on_loan(connection: tcp.Connection) -> None:
    await connection.send(b"twice\ntwice\n")
    async for _ in connection.lines():
        break


async def _give_up(connection: tcp.Connection) -> None:
    await connection.send_line("mute")
    with pytest.raises(ReadTimeout):
        await connection.read_line(timeout=0.001)


async def _give_up_and_go_on(connection: tcp.Connection) -> None:
    await _give_up(connection)
    await connection.send_line("hello")
    assert await connection.read_line() == "hello"


async def _give_up_lines(connection: tcp.Connection) -> None:
    await connection.send_line("mute")
    with pytest.raises(ReadTimeout):
        await anext(connection.lines(timeout=0.001))


async def _half_close(connection: tcp.Connection) -> None:
    await connection.send_eof()


async def _close(connection: tcp.Connection) -> None:
    await connection.close()


async def _abort(connection: tcp.Connection) -> None:
    connection.abort()


async def _let_the_server_close(connection: tcp.Connection) -> None:
    await connection.send_line("bye")
    assert await connection.read_line() == "bye"
    assert await connection.read() == b""


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
async def test_a_connection_that_is_not_at_rest_is_not_used_again(
    act: Callable[[tcp.Connection], Awaitable[None]], seen: set[str]
) -> None:
    """`seen` is how the server may see its end; a connection with unread bytes is reset by the kernel as it is closed."""
    async with pooled(size=1) as (pool, there):
        try:
            async with pool.connection() as connection:
                await act(connection)
        except ZeroDivisionError:
            assert act is _raise
        assert (pool.stats.in_use, pool.stats.idle, pool.stats.discarded) == (0, 0, 1)
        assert (await ask(pool))[0] == "hello"
        assert there.came == 2
        await until(lambda: len(there.here) == 1)
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


async def test_a_connection_on_which_a_message_is_under_way_is_cut() -> None:
    begun = Event()
    async with elsewhere(backend) as (there, address), tcp.Pool(address, size=1) as pool:
        with Zeros(begun) as zeros:
            async with pool.connection() as connection:
                await connection.send_line("deaf")
                sending = start(connection.send_file, zeros)
                await until(lambda: there.seen == ["deaf"])
                await begun.wait()
            assert (pool.stats.in_use, pool.stats.idle, pool.stats.discarded) == (0, 0, 1)
            with pytest.raises((ClosedError, ConnectionLost)):
                await sending.result()
            assert (await ask(pool))[0] == "hello"


async def test_a_connection_is_used_again_and_the_one_used_last_is_used_next() -> None:
    async with pooled() as (pool, there):
        async with pool.connection() as one, pool.connection() as two:
            first, second = str(one.local), str(two.local)
        assert pool.stats.idle == 2
        for _ in range(3):
            assert await ask(pool) == ("hello", first), "the outer block ended last"
        async with pool.connection() as one, pool.connection() as two:
            assert (str(one.local), str(two.local)) == (first, second)
        assert (there.came, pool.stats.opened, pool.stats.discarded) == (2, 2, 0)


async def test_there_are_never_more_connections_than_the_size_and_nobody_starves() -> None:
    async with pooled(size=3) as (pool, there):
        answers = await gather(*(start(ask, pool, f"line {number}") for number in range(60)))
        assert [answer for answer, _ in answers] == [f"line {number}" for number in range(60)]
        assert there.most <= 3
        assert pool.stats.opened <= 3


async def test_who_comes_first_is_served_first() -> None:
    served: list[int] = []

    async def one(number: int) -> None:
        async with pool.connection(timeout=SOON) as connection:
            served.append(number)
            await connection.send_line("x")
            await connection.read_line(timeout=SOON)

    async with pooled(size=1) as (pool, _):
        async with pool.connection():
            tasks = []
            for number in range(10):
                tasks.append(start(one, number))
                await until(lambda: pool.stats.waiting == len(tasks))
            assert "10 waiting" in repr(pool)
        await gather(*tasks)
    assert served == list(range(10))


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_over_tls_it_is_the_same(secure: bool, ca: Certificates) -> None:
    tls = TlsConfig(cert=ca.server_cert, key=ca.server_key) if secure else None
    async with pooled(tls, tls=TlsConfig(ca=ca.ca) if secure else None) as (pool, there):
        assert await ask(pool) == await ask(pool)
        assert there.came == 1
        assert there.here[0].tls == secure


@pytest.mark.parametrize("timeout", [0, 0.01])
async def test_waiting_too_long_for_others_tells_how_many_there_are(timeout: float) -> None:
    async with pooled(size=2) as (pool, _):
        async with pool.connection(), pool.connection():
            patient = start(ask, pool)
            await until(lambda: pool.stats.waiting == 1)
            with pytest.raises(PoolTimeout) as caught:
                async with pool.connection(timeout=timeout):
                    pass
            error = caught.value
            assert (error.size, error.in_use, error.waiting) == (2, 2, 1)
            assert isinstance(error, TimeoutError)
            assert str(error) == (
                f"no connection to {pool.address} was free in time: 2 of 2 are in use, and 1 more wait"
            )
        assert (await patient.result())[0] == "hello"


async def test_a_timeout_of_nothing_takes_what_is_idle() -> None:
    async with pooled() as (pool, _):
        await ask(pool)
        async with pool.connection(timeout=0) as connection:
            await connection.send_line("at once")
            assert await connection.read_line() == "at once"


async def test_somebody_who_still_reads_when_the_block_ends_hears_that_it_is_closed() -> None:
    async with pooled() as (pool, _):
        async with pool.connection() as connection:
            reading = start(connection.read)
            await reads(connection)
        with pytest.raises(ClosedError):
            await reading.result()
        assert pool.stats.idle == 0


async def test_who_keeps_a_connection_for_longer_cannot_disturb_the_next() -> None:
    async with pooled(size=1) as (pool, _):
        async with pool.connection() as kept:
            address = kept.local
            lines, chunks, records = kept.lines(), kept.chunks(), kept.records(b"\n")
            frames = kept.read_frames(length_prefix=2)
            await kept.send_line("mine")
            assert await anext(lines) == "mine"
        async with pool.connection() as connection:
            assert connection.local == address
            for use in (
                lambda: anext(lines),
                lambda: anext(chunks),
                lambda: anext(records),
                lambda: anext(frames),
                lambda: kept.send(b"x"),
                lambda: kept.send_line("x"),
                kept.read,
                kept.send_eof,
                kept.more,
                kept.start_tls,
            ):
                with pytest.raises(ClosedError):
                    await use()
            with pytest.raises(ClosedError):
                kept.unread(b"x")
            assert kept.closed
            assert "CLOSED" in repr(kept)
            await kept.close()
            kept.abort()
            await connection.send_line("still here")
            assert await connection.read_line(timeout=SOON) == "still here"


async def test_who_comes_next_does_not_get_the_late_answer_to_another() -> None:
    """The one before gave up waiting, went on without it, and ended his block in order."""

    async def answer(connection: tcp.Connection) -> None:
        async for line in connection.lines():
            if line == "slow":
                await connection.more()
            await connection.send_line(line)

    async with (
        tcp.Server(answer).listen("127.0.0.1:0", grace=0) as listening,
        tcp.Pool(str(listening.address), size=1) as pool,
    ):
        async with pool.connection() as connection:
            await connection.send_line("slow")
            with pytest.raises(ReadTimeout):
                await connection.read_line(timeout=0.001)
            waiting = start(ask, pool)
            await until(lambda: pool.stats.waiting == 1)
        assert (await waiting.result())[0] == "hello"


async def test_who_comes_next_does_not_find_the_tls_of_another(ca: Certificates) -> None:
    async def upgrade(connection: tcp.Connection) -> None:
        async for line in connection.lines():
            await connection.send_line(line)
            if line == "STARTTLS":
                await connection.start_tls(TlsConfig(cert=ca.server_cert, key=ca.server_key))

    async def go_over(connection: tcp.Connection) -> None:
        await connection.send_line("STARTTLS")
        assert await connection.read_line(timeout=SOON) == "STARTTLS"
        await connection.start_tls(TlsConfig(ca=ca.ca))

    async with tcp.Server(upgrade).listen("127.0.0.1:0", grace=0) as listening:
        async with tcp.Pool(str(listening.address)) as pool:
            async with pool.connection() as connection:
                await go_over(connection)
            async with pool.connection() as connection:
                assert not connection.tls
        async with tcp.Pool(str(listening.address), prepare=go_over) as pool:
            for _ in range(2):
                async with pool.connection() as connection:
                    assert connection.tls, "who prepares connections has them all like this"
                    await connection.send_line("hello")
                    assert await connection.read_line(timeout=SOON) == "hello"
            assert pool.stats.opened == 1


async def test_what_prepare_gave_up_waiting_for_does_not_keep_a_connection_from_being_used_again() -> None:
    async def greeted(connection: tcp.Connection) -> None:
        with suppress(ReadTimeout):
            await connection.read_line(timeout=0.001)

    async with pooled(prepare=greeted) as (pool, there):
        for _ in range(3):
            assert (await ask(pool))[0] == "hello"
        assert there.came == 1


async def test_two_that_share_a_block_share_its_rules() -> None:
    async with pooled() as (pool, _), pool.connection() as connection:
        reading = start(connection.read_line)
        await reads(connection)
        with pytest.raises(BusyError):
            await connection.read_line()
        await connection.send_line("x")
        assert await reading.result() == "x"


async def test_a_block_is_entered_once() -> None:
    async with pooled() as (pool, _):
        once = pool.connection()
        assert "Pooled of <Pool " in repr(once)
        async with once:
            pass
        with pytest.raises(UsageError, match="entered before"):
            async with once:
                pass


async def test_an_idle_connection_is_closed_in_order_when_its_time_is_up() -> None:
    async with pooled(max_idle=0.02) as (pool, there):
        await warm(pool, 2)
        await until(lambda: not there.here)
        assert there.ends == ["end", "end"]
        assert (pool.stats.idle, pool.stats.discarded) == (0, 2)
        assert (await ask(pool))[0] == "hello"


async def test_a_connection_that_has_lived_long_enough_is_not_used_again() -> None:
    async with pooled(max_lifetime=0.02, size=1) as (pool, there):
        async with pool.connection() as connection:
            first = connection.local
            await sleep(0.03)
            await connection.send_line("however old, it is not taken away")
            await connection.read_line()
        async with pool.connection() as connection:
            assert connection.local != first
        await until(lambda: not there.here)
        assert set(there.ends) == {"end"}


async def test_a_pool_that_was_never_used_has_nothing_to_close() -> None:
    pool = tcp.Pool("localhost:1")
    assert repr(pool).endswith("Pool localhost:1 OPEN 0 of 10 in use, 0 idle>")
    assert pool.stats == tcp.PoolStats(10)
    await pool.close()
    assert repr(pool).endswith("Pool localhost:1 CLOSED 0 of 10 in use, 0 idle>")
    with pytest.raises(ClosedError):
        await pool.request(b"x\n")


async def test_closing_waits_for_those_who_have_a_connection() -> None:
    async with elsewhere(backend) as (there, address):
        pool = tcp.Pool(address)
        await ask(pool)
        async with pool.connection() as connection:
            closing = start(pool.close, grace=SOON)
            await until(lambda: pool.closed)
            with pytest.raises(ClosedError):
                await ask(pool)
            await connection.send_line("take your time")
            assert await connection.read_line() == "take your time"
            assert not closing.done()
        await closing.result()
        await until(lambda: not there.here)
        assert there.ends == ["end"]
        await pool.close()


async def test_after_the_grace_connections_are_cut() -> None:
    async with elsewhere(backend) as (there, address):
        pool = tcp.Pool(address)

        async def hold() -> None:
            async with pool.connection() as connection:
                await connection.read_line()

        holding = start(hold)
        await until(lambda: pool.stats.in_use == 1)
        await pool.close(grace=0.01)
        with pytest.raises(ClosedError):
            await holding.result()
        assert pool.stats.in_use == 0
        await until(lambda: there.ends == ["ConnectionLost"])


async def test_a_close_does_not_wait_for_what_a_block_does_after_its_connection_was_cut() -> None:
    """It may be the block that closes the pool."""
    async with elsewhere(backend) as (there, address):
        pool = tcp.Pool(address, limits=Limits(close_timeout=1000.0))
        async with pool.connection() as connection:
            await pool.close(grace=0.01)
            await until(lambda: there.ends == ["ConnectionLost"])
            with pytest.raises(ClosedError):
                await connection.send(b"x")
        assert (pool.stats.in_use, pool.stats.discarded) == (0, 1)


async def test_those_who_wait_hear_that_the_pool_was_closed() -> None:
    async with pooled(size=1) as (pool, _):
        async with pool.connection():
            waiting = [start(ask, pool) for _ in range(3)]
            await until(lambda: pool.stats.waiting == 3)
            closing = start(pool.close, SOON)
            for result in await gather(*waiting, return_exceptions=True):
                assert isinstance(result, ClosedError)
        await closing.result()


async def test_an_attempt_to_connect_ends_with_the_pool() -> None:
    before = await sockets()
    started, over = Event(), Event()

    async def never(connection: tcp.Connection) -> None:
        started.set()
        await over.wait()

    async with elsewhere(backend) as (_, address):
        pool = tcp.Pool(address, prepare=never)
        waiting = start(ask, pool)
        await started.wait()
        await pool.close()
        with pytest.raises(ClosedError):
            await waiting.result()
    over.set()
    await until(lambda: descriptors() <= before)


async def test_leaving_the_pool_by_an_error_does_not_wait() -> None:
    async with elsewhere(backend) as (_, address):
        held = Event()

        async def hold(pool: tcp.Pool) -> None:
            async with pool.connection() as connection:
                held.set()
                await connection.read_line()

        async def fail() -> None:
            async with tcp.Pool(address, limits=Limits(close_timeout=600)) as pool:
                holding.append(start(hold, pool))
                await held.wait()
                raise ZeroDivisionError

        holding: list[Running[None]] = []
        with pytest.raises(ZeroDivisionError):
            await fail()
        with pytest.raises(ClosedError):
            await holding[0].result()


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


async def test_a_timeout_that_is_none_is_refused_at_once() -> None:
    pool = tcp.Pool("localhost:1")
    with pytest.raises(UsageError, match="timeout"):
        pool.connection(timeout=-1)
    with pytest.raises(UsageError, match="marker"):
        await pool.request(b"x", marker=None)
    await quiet(pool)


async def test_a_request_is_one_exchange_on_a_connection_that_is_kept() -> None:
    async with pooled() as (pool, there):
        assert await pool.request("hello\n") == b"hello\n"
        assert await pool.request(b"hello\n", keep_marker=False) == b"hello"
        assert await pool.request("grüße\n") == "grüße\n".encode()
        with pytest.raises(CodecError):
            await pool.request("grüße\n", encoding="ascii")
        assert await pool.request(b"abcdef\n", marker=None, max_bytes=7) == b"abcdef\n"
        assert there.came == 1


async def test_an_answer_with_more_behind_it_is_returned_and_its_connection_is_not_kept() -> None:
    async with pooled() as (pool, there):
        assert await pool.request("twice\n") == b"twice\n"
        assert pool.stats.idle == 0
        assert await pool.request("hello\n") == b"hello\n"
        assert there.came == 2


async def test_a_request_that_times_out_is_never_sent_again() -> None:
    async with pooled() as (pool, there):
        await pool.request("hello\n")
        with pytest.raises(ReadTimeout) as caught:
            await pool.request("half\n", timeout=0.05, idempotent=True)
        assert caught.value.partial == b"hal"
        assert there.seen == ["hello", "half"]
        assert await pool.request("hello\n") == b"hello\n"
