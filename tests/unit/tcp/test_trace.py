"""`trace=` of TCP connections: what is there without it, and when connecting is cancelled. The rest is in tests/twins."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.net_support import sweep
from support.tcp_support import pair, served, until
from wirelane import TlsConfig, Trace, tcp


def told(trace: Trace | None) -> list[str]:
    assert trace is not None
    return [each.text or f"{each.direction} {each.data!r}" for each in trace.entries()]


async def echo(connection: tcp.Connection) -> None:
    async for chunk in connection:
        await connection.send(chunk)


async def test_a_connection_without_a_trace_has_none() -> None:
    async with pair() as (connection, _):
        assert connection.trace is None
        assert type(connection._protocol.wire).__name__ != "TappedTransport"


@pytest.mark.parametrize("secure", [False, True])
async def test_wherever_connecting_is_cancelled_its_end_is_logged_and_the_file_closed(
    ca, tmp_path: Path, secure: bool
) -> None:
    settings = TlsConfig(cert=ca.server_cert, key=ca.server_key) if secure else None
    trace = Trace(file=tmp_path / "log")

    async def connect(address: str) -> tcp.Connection:
        return await tcp.connect(address, tls=TlsConfig(ca=ca.ca) if secure else None, trace=trace)

    async with served(echo, tls=settings) as (_, address):
        assert await sweep(lambda: connect(address), tcp.Connection.abort) >= 1
        await until(lambda: not trace._open)
    last = {each.connection: each.text for each in trace.entries()}
    begun = [each.connection for each in trace.entries() if each.text == "connecting"]
    assert begun == sorted(last)
    assert set(last.values()) <= {"not connected: cancelled", "closed"}
    assert trace._sink is not None
    assert trace._sink._file is None
    assert len((tmp_path / "log").read_text().splitlines()) == len(trace.entries())
