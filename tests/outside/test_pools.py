"""A pool of connections to servers that others wrote: socat, which closes idle connections, and openssl."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from support.outside_support import s_server, socat_server
from support.programs import needs
from support.tcp_support import until
from wirelane import ConnectError, TlsConfig, tcp
from wirelane.core.backoff import Backoff

if TYPE_CHECKING:
    from conftest import Certificates

SOON = 30.0
LISTEN = "TCP4-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork"


@needs("socat")
async def test_many_share_few_connections() -> None:
    with socat_server(LISTEN, "PIPE") as server:
        async with tcp.Pool(server.address, size=3) as pool:
            replies = await asyncio.gather(*(pool.request(f"{n}\n", timeout=SOON) for n in range(50)))
            assert replies == [f"{n}\n".encode() for n in range(50)]
            assert pool.stats.opened <= 3


@needs("socat")
async def test_a_server_that_closes_idle_connections_costs_nobody_an_error() -> None:
    with socat_server(LISTEN, "PIPE", options=("-T", "0.2")) as server:
        async with tcp.Pool(server.address) as pool:
            for _ in range(3):
                assert await pool.request("hello\n", timeout=SOON) == b"hello\n"
                await until(lambda: pool.stats.idle == 0)
            assert (pool.stats.opened, pool.stats.discarded) == (3, 3)


@needs("socat")
async def test_a_server_that_is_killed_is_noticed_and_told_when_somebody_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Backoff, "INITIAL", 0.05)
    with socat_server(LISTEN, "PIPE") as server:
        async with tcp.Pool(server.address) as pool:
            assert await pool.request("hello\n", timeout=SOON) == b"hello\n"
            server.kill()
            await until(lambda: pool.stats.idle == 0)
            with pytest.raises(ConnectError, match="connection refused"):
                await pool.request("hello\n", timeout=0.2)


@needs("openssl")
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_over_tls_a_server_of_one_client_at_a_time_serves_many(ca: Certificates, version: str) -> None:
    """With TLS 1.3 it sends session tickets, which are nothing that anybody said."""
    with s_server(ca, "-rev", version) as server:
        async with tcp.Pool(f"localhost:{server.port}", size=1, tls=TlsConfig(ca=ca.ca)) as pool:
            replies = await asyncio.gather(*(pool.request(f"{n} ab\n", timeout=SOON) for n in range(10)))
            assert replies == [f"ba {n}\n".encode() for n in range(10)]
            assert (pool.stats.opened, pool.stats.discarded) == (1, 0)
