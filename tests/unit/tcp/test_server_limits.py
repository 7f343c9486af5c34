"""What a server allows its clients: connections, those of one address, idleness; and what it counts."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import sys
import termios
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.tcp_support import served, until
from wirelane import tcp
from wirelane.core.limits import Limits
from wirelane.errors import ConnectionLost

if TYPE_CHECKING:
    pass

LOOK = 900.0
PATIENT = Limits(idle_timeout=4 * LOOK)


async def echo(connection: tcp.Connection) -> None:
    async for line in connection.lines():
        await connection.send_line(line)


class Looks:
    """The timers that look whether a connection is idle, which are due when a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        call_later = loop.call_later
        self.timers: list[tuple[asyncio.TimerHandle, Callable[[], object]]] = []

        def remember(delay: float, callback: Callable[..., object], *args: Any, **rest: Any) -> Any:
            timer = call_later(delay, callback, *args, **rest)
            if delay == LOOK:
                self.timers.append((timer, callback))
            return timer

        monkeypatch.setattr(loop, "call_later", remember)

    @property
    def waiting(self) -> int:
        return sum(not timer.cancelled() for timer, _ in self.timers)

    def due(self, times: int = 1) -> None:
        """Let the time of a look pass, for every connection."""
        for _ in range(times):
            timers, self.timers = self.timers, []
            for timer, callback in timers:
                if not timer.cancelled():
                    timer.cancel()
                    callback()


# -- connections of one address


# -- idleness


async def test_four_looks_without_a_byte_end_a_connection_and_a_byte_in_either_direction_begins_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = Looks(monkeypatch)
    asked, say = asyncio.Event(), asyncio.Event()

    async def talk(connection: tcp.Connection) -> None:
        assert await connection.read(1) == b"?"
        asked.set()
        await say.wait()
        await connection.send(b"!")
        await connection.read()

    async with (
        served(talk, limits=PATIENT) as (listening, address),
        tcp.connect(address) as connection,
    ):
        await until(lambda: listening.connections == 1)
        looks.due(3)
        await connection.send(b"?")
        await asked.wait()
        looks.due(4)
        assert listening.stats.idle == 0
        say.set()
        assert await connection.read() == b"!"
        looks.due(4)
        assert listening.stats.idle == 0
        looks.due()
        assert listening.stats.idle == 1
        assert await connection.read() == b""
        await until(lambda: listening.connections == 0)
        assert looks.waiting == 0


async def test_what_arrived_before_is_still_read_from_an_idle_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = Looks(monkeypatch)
    go_on = asyncio.Event()
    seen: list[object] = []

    async def slow(connection: tcp.Connection) -> None:
        await go_on.wait()
        seen.append(await connection.read_line())
        try:
            await connection.send_line("too late")
        except ConnectionLost as error:
            seen.append(type(error.__cause__))
            seen.append(await connection.read(2))

    async with (
        served(slow, limits=PATIENT) as (listening, address),
        tcp.connect(address) as connection,
    ):
        await connection.send(b"job\nmo")
        await until(lambda: listening.connections == 1 and listening.clients[0].buffered == 6)
        looks.due(5)
        assert listening.stats.idle == 1
        go_on.set()
        assert await connection.read() == b""
        await until(lambda: listening.connections == 0)
    assert seen == ["job", TimeoutError, b"mo"]


async def test_a_peer_that_takes_nothing_is_cut_and_the_one_that_sends_hears_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = Looks(monkeypatch)
    ends: list[str] = []

    async def flood(connection: tcp.Connection) -> None:
        try:
            while True:
                await connection.send(bytes(1 << 20))
        except ConnectionLost as error:
            ends.append(str(error))

    async with served(flood, limits=PATIENT) as (listening, address):
        host, _, port = address.rpartition(":")
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect((host, int(port)))
            await until(lambda: listening.connections == 1)
            while not listening.stats.idle:  # as long as the kernel takes more, something moves
                looks.due()
                await asyncio.sleep(0.001)
            await until(lambda: listening.connections == 0)
    (said,) = ends
    assert said.endswith(": connection lost: nothing was received or sent for 3600 s (idle_timeout)")


@pytest.mark.skipif(sys.platform != "linux", reason="no other system tells what it has still to send")
async def test_a_slow_peer_is_not_idle_while_it_takes_what_the_system_holds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The system takes megabytes of a file at once, and wakes nobody before a good part of them has left."""
    looks = Looks(monkeypatch)
    file = tmp_path / "large"
    file.write_bytes(bytes(20_000_000))

    async def give(connection: tcp.Connection) -> None:
        await connection.send_file(file)

    async with served(give, limits=PATIENT) as (listening, address):
        host, _, port = address.rpartition(":")
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect((host, int(port)))
            client.setblocking(False)
            await until(lambda: listening.connections == 1)
            sock: Any = listening.clients[0]._protocol.info("socket")

            def held() -> bytes:
                return fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))

            for _ in range(20):
                before = held()
                while held() == before:
                    with suppress(BlockingIOError):
                        client.recv(512)
                    await asyncio.sleep(0)
                looks.due()
                assert listening.stats.idle == 0
        await until(lambda: listening.connections == 0)


async def test_no_timer_is_made_without_a_limit_and_none_is_left_with_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = Looks(monkeypatch)
    for limits, expected in ((Limits(), 0), (PATIENT, 1)):
        async with served(echo, limits=limits) as (listening, address):
            assert await tcp.request(address, "a\n") == b"a\n"
            await until(lambda: listening.connections == 0)
            assert (len(looks.timers), looks.waiting) == (expected, 0)


# -- counts
