"""Pools of connections to a server that counts and misbehaves on demand.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from support.pool_support import SOON, backend
from support.twins_sync_support import elsewhere, until
from wirelane.sync import TlsConfig, tcp


@contextmanager
def pooled(server_tls: TlsConfig | None = None, **options: Any) -> Iterator[tuple[tcp.Pool, Any]]:
    """A pool, and the `support.pool_support.Backend` elsewhere that it is of; at the end, nothing of the pool may be left."""
    with elsewhere(backend, server_tls) as (there, address):
        with tcp.Pool(address, **options) as pool:
            yield pool, there
        assert (pool.stats.in_use, pool.stats.idle, pool.stats.opening) == (0, 0, 0)
        until(lambda: not there.here)


def ask(pool: tcp.Pool, line: str = "hello", **options: Any) -> tuple[str, str]:
    """Have a line answered on a connection of the pool; the answer, and the address of its end."""
    with pool.connection(timeout=SOON) as connection:
        connection.send_line(line)
        return connection.read_line(timeout=SOON, **options), str(connection.local)


def warm(pool: tcp.Pool, count: int) -> None:
    """Have so many connections used, and idle."""
    with ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(pool.connection(timeout=SOON))
            connection.send_line("hello")
            assert connection.read_line(timeout=SOON) == "hello"
    assert pool.stats.idle == count


def quiet(pool: tcp.Pool) -> None:
    """Wait until nobody uses the pool, and it does nothing."""
    until(lambda: not (pool.stats.in_use or pool.stats.waiting or pool.stats.opening))
