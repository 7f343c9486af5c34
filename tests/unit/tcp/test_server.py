"""The server: handlers, their errors, limits, and the ways to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from pathlib import Path

import pytest

from support.tcp_support import served, turns, until
from wirelane import tcp
from wirelane.core.limits import Limits
from wirelane.errors import ConnectionLost, EndOfStream

QUICK = Limits(close_timeout=0.2)


async def echo(connection: tcp.Connection) -> None:
    async for line in connection.lines():
        await connection.send_line(line)


# -- stopping


async def test_a_handler_that_outlives_the_grace_is_cancelled() -> None:
    cancelled = asyncio.Event()

    async def endless(connection: tcp.Connection) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with served(endless, limits=QUICK) as (listening, address), tcp.connect(address) as connection:
        await until(lambda: listening.connections == 1)
        await listening.drain(grace=0.01)
        assert cancelled.is_set()
        assert await connection.read() == b""


async def test_a_handler_that_will_not_end_is_named_and_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    release = asyncio.Event()
    tasks = []

    async def stubborn(connection: tcp.Connection) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                task.uncancel()

    async with served(stubborn, limits=QUICK) as (listening, address):
        connection = await tcp.connect(address)
        await until(lambda: listening.connections == 1)
        with caplog.at_level(logging.WARNING):
            await listening.drain(grace=0)
        assert "leaving it behind" in caplog.text
        with pytest.raises(ConnectionLost):
            await connection.read()
        await connection.close()
        release.set()
        await asyncio.wait(tasks)


async def test_a_cancelled_drain_aborts() -> None:
    async def endless(connection: tcp.Connection) -> None:
        await asyncio.Event().wait()

    server = tcp.Server(endless)
    listening = await server.listen("127.0.0.1:0")
    async with tcp.connect(str(listening.address)):
        await until(lambda: server.connections == 1)
        draining = asyncio.create_task(server.drain(grace=600))
        await turns(3)
        draining.cancel()
        with pytest.raises(asyncio.CancelledError):
            await draining
        assert server.connections == 0


async def test_serve_drains_when_it_is_cancelled(tmp_path: Path) -> None:
    path = f"unix:{tmp_path / 's'}"
    server = tcp.Server(echo)
    serving = asyncio.create_task(server.serve(path, grace=5))
    await until(lambda: server.state.name == "SERVING" and (tmp_path / "s").exists())
    assert await tcp.request(path, "x\n") == b"x\n"
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert server.state.name == "CLOSED"
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_serve_drains_and_returns_at_a_signal(number: signal.Signals, tmp_path: Path) -> None:
    before = signal.getsignal(number)
    path = f"unix:{tmp_path / 's'}"
    server = tcp.Server(echo)
    serving = asyncio.create_task(server.serve(path))
    await until((tmp_path / "s").exists)
    async with tcp.connect(path) as connection:
        await connection.send_line("before")
        assert await connection.read_line() == "before"
        os.kill(os.getpid(), number)
        await until(lambda: server.state.name == "DRAINING")
        await connection.send_line("during")
        assert await connection.read_line() == "during"
    await serving
    assert signal.getsignal(number) == before


async def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    server = tcp.Server(echo)
    serving = asyncio.create_task(server.serve(f"unix:{tmp_path / 's'}", grace=600))
    await until((tmp_path / "s").exists)
    connection = await tcp.connect(f"unix:{tmp_path / 's'}")
    await until(lambda: server.connections == 1)
    os.kill(os.getpid(), signal.SIGTERM)
    await until(lambda: server.state.name == "DRAINING")
    os.kill(os.getpid(), signal.SIGTERM)
    await serving
    assert (server.state.name, server.connections) == ("CLOSED", 0)
    with pytest.raises((ConnectionLost, EndOfStream)):
        await connection.read_line()
    await connection.close()


# -- addresses
