"""A pool whose server dies, stalls, lies, or is not there: what is noticed, what is tried again, who hears of it: written once, run with asyncio and without."""

from __future__ import annotations

import logging
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.net_support import descriptors
from support.pool_support import SOON, backend
from support.twins_support import Event, elsewhere, gather, start, until
from twins.pool_support import ask, pooled, quiet, warm
from twins.tcp_support import sockets
from wirelane import (
    ConnectError,
    ConnectionLost,
    EndOfStream,
    PoolTimeout,
    ResolveError,
    TlsConfig,
    TlsError,
    UsageError,
    tcp,
)
from wirelane.core.backoff import Backoff
from wirelane.tcp import places

if TYPE_CHECKING:
    from conftest import Certificates


def quick(monkeypatch: pytest.MonkeyPatch, seconds: float = 0.005) -> None:
    """Let attempts to connect follow each other at this pace."""
    monkeypatch.setattr(Backoff, "INITIAL", seconds)
    monkeypatch.setattr(Backoff, "MAXIMUM", 2 * seconds)
    monkeypatch.setattr(places, "POOL_BACKOFF", 2 * seconds)


def nobody() -> tuple[socket.socket, str]:
    """Hold a port at which nobody listens."""
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    return holder, f"127.0.0.1:{holder.getsockname()[1]}"


async def _end(connection: Any) -> None:
    await connection.close()


async def _reset(connection: Any) -> None:
    connection.abort()


async def _chatter(connection: Any) -> None:
    await connection.send(b"by the way\n")


@pytest.mark.parametrize("act", [_end, _reset, _chatter])
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_an_idle_connection_on_which_something_happens_leaves_the_pool_at_once(
    act: Callable[[Any], Awaitable[None]], secure: bool, ca: Certificates
) -> None:
    tls = TlsConfig(cert=ca.server_cert, key=ca.server_key) if secure else None
    async with pooled(tls, tls=TlsConfig(ca=ca.ca) if secure else None) as (pool, there):
        await ask(pool)
        await act(there.here[0])
        await until(lambda: pool.stats.idle == 0)
        assert pool.stats.discarded == 1
        assert (await ask(pool))[0] == "hello"
        assert there.came == 2


async def _says_no(connection: tcp.Connection) -> bool:
    return False


async def _raises(connection: tcp.Connection) -> bool:
    raise ValueError("not as it should be")


async def _stalls(connection: tcp.Connection) -> bool:
    await connection.send_line("mute")
    return await connection.read_line() == "mute"


async def _leaves_something(connection: tcp.Connection) -> bool:
    await connection.send_line("twice")
    return await connection.read_line() == "twice"


async def _loses_it(connection: tcp.Connection) -> bool:
    await connection.send_line("cut")
    return await connection.read_line() == "cut"


async def _closes_it(connection: tcp.Connection) -> None:
    await connection.close()


@pytest.mark.parametrize(
    "check", [_says_no, _raises, _stalls, _leaves_something, _loses_it, _closes_it], ids=lambda f: f.__name__
)
async def test_a_connection_that_fails_its_check_is_dropped_and_another_is_made(
    check: Callable[[tcp.Connection], Awaitable[Any]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "wirelane.tcp.pool")
    async with pooled(check=check, check_after=0, check_timeout=0.05, size=3) as (pool, there):
        await warm(pool, 3)
        assert (await ask(pool))[0] == "hello"
        assert pool.stats.discarded == 3, "all that were idle failed"
        assert there.came == 4
    told = [record for record in caplog.records if "does not work any more" in record.message]
    assert len(told) == (1 if check in (_raises, _stalls, _loses_it) else 0), "once in five seconds"


async def ask_at_once(pool: tcp.Pool) -> None:
    async with pool.connection() as connection:
        await connection.send_line("x")


async def test_there_is_one_attempt_at_a_time_and_none_before_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attempts: list[int] = []
    under_way: set[tcp.Connection] = set()

    async def fail(connection: tcp.Connection) -> None:
        under_way.add(connection)
        attempts.append(len(under_way))
        try:
            await connection.send_line("x")
            await connection.read_line()
        finally:
            under_way.discard(connection)
        raise ZeroDivisionError

    async with elsewhere(backend) as (_, address):
        quick(monkeypatch, 1000.0)
        async with tcp.Pool(address, prepare=fail, size=3) as pool:
            with pytest.raises(ZeroDivisionError):
                await ask_at_once(pool)
            for _ in range(3):
                with pytest.raises(ZeroDivisionError):
                    async with pool.connection(timeout=0.01):
                        pass
            assert attempts == [1]
        quick(monkeypatch)
        attempts.clear()
        async with tcp.Pool(address, prepare=fail, size=3) as pool:
            waiting = [start(ask, pool) for _ in range(9)]
            await until(lambda: len(attempts) >= 10)
            assert max(attempts[3:]) == 1
        await gather(*waiting, return_exceptions=True)


class Restless:
    """A server that takes a line, and closes without an answer so many times; raw, so that it does so when it is told."""

    def __init__(self, deaths: int, *, first: bool) -> None:
        self.deaths = deaths
        self.first = first  # die on the first line of a connection, too
        self.seen: list[str] = []
        self.gate = Event()  # what it waits for before it dies
        self.gate.set()

    async def handle(self, connection: tcp.Connection) -> None:
        new = True
        async for line in connection.lines():
            self.seen.append(line)
            if self.deaths and (self.first or not new):
                self.deaths -= 1
                await self.gate.wait()
                return
            new = False
            await connection.send_line(line)


async def test_a_restarted_server_costs_nobody_an_error() -> None:
    """All idle connections are dead, and nobody hears of it."""
    async with elsewhere(backend) as (_, address):
        pool = tcp.Pool(address)
        await warm(pool, 5)
    async with elsewhere(backend, listen_at=address) as (there, _):
        answers = await gather(*(start(ask, pool) for _ in range(5)))
        assert [answer for answer, _ in answers] == ["hello"] * 5
        await quiet(pool)
        await until(lambda: there.came == pool.stats.idle)
        await pool.close()


async def test_the_check_is_asked_only_after_a_connection_was_idle_for_so_long() -> None:
    asked: list[str] = []

    async def check(connection: tcp.Connection) -> None:
        asked.append(str(connection.local))
        await connection.send_line("ping")
        await connection.read_line()

    async with pooled(check=check, check_after=600.0) as (pool, there):
        await ask(pool)
        await ask(pool)
        assert asked == []
    async with pooled(check=check, check_after=0) as (pool, there):
        _, first = await ask(pool)
        assert asked == [], "it is new"
        _, second = await ask(pool)
        assert asked == [first] == [second]
        assert there.seen == ["hello", "ping", "hello"]


async def test_whose_connection_fails_its_check_is_still_before_those_who_came_later() -> None:
    checking, answer = Event(), Event()
    served: list[str] = []

    async def check(connection: tcp.Connection) -> bool:
        checking.set()
        await answer.wait()
        return False

    async def one(name: str) -> None:
        async with pool.connection(timeout=SOON):
            served.append(name)

    async with pooled(check=check, check_after=0, check_timeout=SOON, size=1) as (pool, _):
        await ask(pool)
        first = start(one, "first")
        await checking.wait()
        second = start(one, "second")
        await until(lambda: pool.stats.waiting == 1)
        answer.set()
        await gather(first, second)
    assert served == ["first", "second"]


async def test_a_check_does_not_outlast_the_callers_time() -> None:
    async with pooled(check=_stalls, check_after=0, check_timeout=600.0, size=1) as (pool, _):
        await ask(pool)
        with pytest.raises(PoolTimeout):
            async with pool.connection(timeout=0.05):
                pass
        assert pool.stats.in_use == 0


async def test_prepare_is_done_once_for_each_connection() -> None:
    prepared: list[str] = []

    async def log_in(connection: tcp.Connection) -> None:
        assert await connection.read_line() == "220 ready"
        await connection.send_line("LOGIN")
        assert await connection.read_line() == "LOGIN"
        prepared.append(str(connection.local))

    async with elsewhere(backend) as (there, address):
        there.greeting = "220 ready"
        async with tcp.Pool(address, prepare=log_in, size=2) as pool:
            await gather(*(start(ask, pool) for _ in range(10)))
            await quiet(pool)
        assert len(prepared) == there.came <= 2


async def test_a_greeting_that_nobody_asked_for_is_for_the_one_who_waits_and_spoils_an_idle_connection() -> (
    None
):
    async with elsewhere(backend) as (there, address):
        there.greeting = "220 ready"
        async with tcp.Pool(address) as pool:
            async with pool.connection() as connection:
                assert await connection.read_line() == "220 ready"
            assert pool.stats.idle == 1
            with pytest.raises(PoolTimeout):
                async with pool.connection(timeout=0), pool.connection(timeout=0):
                    pass
            await until(lambda: there.came == 2 and pool.stats.opening == 0)
            await until(lambda: pool.stats.idle == 0)


async def test_what_prepare_raises_is_a_failure_to_connect_and_leaves_nothing() -> None:
    before = await sockets()

    async def refuse(connection: tcp.Connection) -> None:
        raise PermissionError("wrong password")

    async with elsewhere(backend) as (there, address):
        pool = tcp.Pool(address, prepare=refuse)
        with pytest.raises(PermissionError, match="wrong password"):
            await ask_at_once(pool)
        assert "FAILING" in repr(pool)
        await until(lambda: there.ends == ["ConnectionLost"])
        await pool.close()
    await until(lambda: descriptors() <= before)


async def test_a_prepare_that_does_not_end_is_a_connect_error() -> None:
    async def stall(connection: tcp.Connection) -> None:
        await connection.read_line()

    async with (
        elsewhere(backend) as (_, address),
        tcp.Pool(address, prepare=stall, connect_timeout=0.05) as pool,
    ):
        with pytest.raises(ConnectError, match=r"prepare did not end within 0.05 s \(connect_timeout\)"):
            await ask_at_once(pool)


async def test_without_a_timeout_one_hears_of_the_attempt_that_was_made_for_him() -> None:
    holder, address = nobody()
    with holder:
        pool = tcp.Pool(address)
        with pytest.raises(ConnectError, match="connection refused") as caught:
            await ask_at_once(pool)
        assert caught.value.errno
        assert (pool.stats.in_use, pool.stats.waiting, pool.stats.opened) == (0, 0, 0)
        await pool.close()


async def test_every_one_who_waits_without_a_timeout_hears_of_it_with_an_error_of_his_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At once: nobody waits for an attempt that is for later."""
    quick(monkeypatch, 1000.0)
    go_on = Event()
    holder, nowhere = nobody()

    async def go_nowhere(connection: tcp.Connection) -> None:
        await go_on.wait()
        await tcp.connect(nowhere)

    async with elsewhere(backend) as (_, address):
        with holder:
            async with tcp.Pool(address, size=2, prepare=go_nowhere) as pool:
                asking = [start(ask_at_once, pool) for _ in range(7)]
                await until(lambda: pool.stats.waiting == 7)
                go_on.set()
                errors = await gather(*asking, return_exceptions=True)
    assert all(isinstance(error, ConnectError) for error in errors)
    assert len({id(error) for error in errors}) == 7


async def test_with_a_timeout_one_waits_through_failures_until_the_server_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quick(monkeypatch)
    holder, address = nobody()
    async with tcp.Pool(address) as pool:
        waiting = [start(ask, pool) for _ in range(5)]
        await until(lambda: "FAILING" in repr(pool))
        holder.close()
        async with elsewhere(backend, listen_at=address):
            assert [answer for answer, _ in await gather(*waiting)] == ["hello"] * 5
            assert "OPEN" in repr(pool)


async def test_when_the_time_is_up_the_last_failure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)
    holder, address = nobody()
    with holder:
        async with tcp.Pool(address) as pool:
            with pytest.raises(ConnectError, match="connection refused"):
                async with pool.connection(timeout=0.05):
                    pass


async def test_a_failure_to_make_one_more_does_not_spoil_those_that_work() -> None:
    failing = False

    async def prepare(connection: tcp.Connection) -> None:
        if failing:
            raise ZeroDivisionError

    async with pooled(prepare=prepare, size=2) as (pool, _):
        async with pool.connection() as connection:
            failing = True
            with pytest.raises(ZeroDivisionError):
                await ask_at_once(pool)
            patient = start(ask, pool)
            await until(lambda: pool.stats.waiting == 1)
            await connection.send_line("still good")
            assert await connection.read_line() == "still good"
            address = str(connection.local)
        assert await patient.result() == ("hello", address), (
            "what came back is as good as what could not be made"
        )


async def test_an_attempt_outlives_the_impatient_one_for_whom_it_was_made() -> None:
    go_on = Event()

    async def slow(connection: tcp.Connection) -> None:
        await go_on.wait()

    async with pooled(prepare=slow) as (pool, there):
        for _ in range(3):
            with pytest.raises(PoolTimeout, match="0 of 10 are in use, 1 being opened"):
                async with pool.connection(timeout=0.01):
                    pass
        go_on.set()
        await until(lambda: pool.stats.idle == 1)
        assert (await ask(pool))[0] == "hello"
        assert there.came == 1


@pytest.mark.parametrize(
    ("address", "error"), [("nosuch.invalid:1", ResolveError), ("unix:/nowhere/at/all", ConnectError)]
)
async def test_what_connecting_raises_is_what_the_caller_gets(address: str, error: type[Exception]) -> None:
    async with tcp.Pool(address) as pool:
        with pytest.raises(error):
            await ask_at_once(pool)


async def test_an_untrusted_server_is_a_tls_error(ca: Certificates, other_ca: Certificates) -> None:
    tls = TlsConfig(cert=other_ca.server_cert, key=other_ca.server_key)
    async with elsewhere(backend, tls) as (_, address), tcp.Pool(address, tls=TlsConfig(ca=ca.ca)) as pool:
        with pytest.raises(TlsError):
            await ask_at_once(pool)


async def test_what_time_does_not_heal_is_told_to_the_patient_as_well(
    tmp_path: Path, ca: Certificates
) -> None:
    trusted = tmp_path / "ca.pem"
    trusted.write_bytes(ca.ca.read_bytes())
    async with elsewhere(backend) as (_, address), tcp.Pool(address, tls=TlsConfig(ca=trusted)) as pool:
        trusted.unlink()
        with pytest.raises(UsageError, match="no such file"):
            await ask(pool)


@pytest.mark.parametrize(
    ("idempotent", "deaths", "seen", "answered"),
    [
        (True, 1, ["a", "b", "b"], True),
        (False, 1, ["a", "b"], False),
    ],
)
async def test_a_used_connection_that_dies_without_an_answer_is_replaced_once_if_that_does_no_harm(
    idempotent: bool, deaths: int, seen: list[str], answered: bool
) -> None:
    there = Restless(deaths, first=False)
    async with tcp.Server(there.handle).listen("127.0.0.1:0", grace=0) as listening:
        async with tcp.Pool(str(listening.address)) as pool:
            assert await pool.request("a\n") == b"a\n"
            if answered:
                assert await pool.request("b\n", idempotent=idempotent) == b"b\n"
            else:
                with pytest.raises(EndOfStream):
                    await pool.request("b\n", idempotent=idempotent)
            assert there.seen == seen


async def test_the_second_try_is_on_a_new_connection_although_others_are_idle() -> None:
    there = Restless(0, first=False)
    async with tcp.Server(there.handle).listen("127.0.0.1:0", grace=0) as listening:
        async with tcp.Pool(str(listening.address)) as pool:
            await warm(pool, 3)
            there.deaths = 1
            assert await pool.request("b\n", idempotent=True) == b"b\n"
            assert pool.stats.opened == 4


async def test_the_second_try_waits_for_a_new_connection_although_others_come_back() -> None:
    """What comes back may be as dead as the first was, and be found out too late."""
    gate = Event()
    gate.set()

    async def wait(connection: tcp.Connection) -> None:
        waiting.append(connection)
        await gate.wait()

    waiting: list[tcp.Connection] = []
    there = Restless(0, first=False)
    async with tcp.Server(there.handle).listen("127.0.0.1:0", grace=0) as listening:
        async with tcp.Pool(str(listening.address), size=2, prepare=wait) as pool:
            async with pool.connection() as held, pool.connection() as dying:
                for connection in (held, dying):
                    await connection.send_line("a")
                    await connection.read_line()
            async with pool.connection() as held:
                gate.clear()
                there.deaths = 1
                asking = start(pool.request, "b\n", idempotent=True, timeout=SOON)
                await until(lambda: len(waiting) == 3)
                await held.send_line("c")
                assert await held.read_line() == "c"
            assert pool.stats.idle == 1, "it is not for the one who waits"
            gate.set()
            assert await asking.result() == b"b\n"
            assert there.seen[-2:] == ["c", "b"]


async def test_the_second_try_gets_a_new_connection_although_idle_ones_have_all_places() -> None:
    """Whoever waited before it got the place of the connection that died, and has given it back."""
    there = Restless(0, first=False)
    async with tcp.Server(there.handle).listen("127.0.0.1:0", grace=0) as listening:
        async with tcp.Pool(str(listening.address), size=1) as pool:
            await warm(pool, 1)
            there.deaths = 1
            there.gate.clear()
            first = start(pool.request, "b\n", idempotent=True, timeout=SOON)
            await until(lambda: there.seen[-1] == "b")
            second = start(pool.request, "c\n", timeout=SOON)
            await until(lambda: pool.stats.waiting == 1)
            there.gate.set()
            assert await gather(first, second) == [b"b\n", b"c\n"]
            assert there.seen == ["hello", "b", "c", "b"]
            assert (pool.stats.opened, pool.stats.discarded) == (3, 2)


async def test_a_new_connection_that_dies_is_not_replaced_however_harmless() -> None:
    there = Restless(5, first=True)
    async with tcp.Server(there.handle).listen("127.0.0.1:0", grace=0) as listening:
        async with tcp.Pool(str(listening.address)) as pool:
            with pytest.raises(EndOfStream):
                await pool.request("a\n", idempotent=True)
            assert there.seen == ["a"]


async def test_the_second_try_is_the_last() -> None:
    there = Restless(0, first=True)
    async with tcp.Server(there.handle).listen("127.0.0.1:0", grace=0) as listening:
        async with tcp.Pool(str(listening.address)) as pool:
            await warm(pool, 3)
            there.deaths = 5
            there.seen.clear()
            with pytest.raises(EndOfStream):
                await pool.request("b\n", idempotent=True)
            assert there.seen == ["b", "b"]
            assert there.deaths == 3


async def test_half_an_answer_is_never_asked_for_again() -> None:
    async def half(connection: tcp.Connection) -> None:
        async for line in connection.lines():
            seen.append(line)
            if line == "b":
                await connection.send(b"hal")
                return
            await connection.send_line(line)

    seen: list[str] = []
    async with tcp.Server(half).listen("127.0.0.1:0", grace=0) as listening:
        async with tcp.Pool(str(listening.address)) as pool:
            await pool.request("a\n")
            with pytest.raises((EndOfStream, ConnectionLost)) as caught:
                await pool.request("b\n", idempotent=True)
            assert isinstance(caught.value, EndOfStream | ConnectionLost)
            assert caught.value.partial == b"hal"
            assert seen == ["a", "b"]


async def test_a_request_does_not_wait_for_a_place_longer_than_its_time() -> None:
    async with pooled(size=1) as (pool, _), pool.connection(timeout=SOON):
        with pytest.raises(PoolTimeout):
            await pool.request("x\n", timeout=0.01)
