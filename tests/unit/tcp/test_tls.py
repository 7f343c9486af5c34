"""TLS that is started and cancelled. The rest is in tests/twins."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from support.tcp_support import (
    served,
    turns,
)
from wirelane import tcp
from wirelane.errors import (
    ConnectionLost,
    TlsError,
)
from wirelane.net.tls import TlsConfig

if TYPE_CHECKING:
    from conftest import Certificates


def trusting(ca: Certificates, **options: str) -> TlsConfig:
    return TlsConfig(ca=ca.ca, **options)  # type: ignore[arg-type]


def serving(ca: Certificates) -> TlsConfig:
    return TlsConfig(cert=ca.server_cert, key=ca.server_key)


async def test_start_tls_cancelled_at_any_step_closes_the_connection(ca: Certificates) -> None:
    async def upgrade(connection: tcp.Connection) -> None:
        try:
            await connection.start_tls(serving(ca))
        except (TlsError, ConnectionLost):
            return
        await connection.read()

    async with served(upgrade) as (_, address):
        for step in range(1, 13, 2):
            async with tcp.connect(address) as connection:
                starting = asyncio.create_task(connection.start_tls(trusting(ca)))
                await turns(step)
                starting.cancel()
                await asyncio.wait({starting})
                assert connection.closed == starting.cancelled()
