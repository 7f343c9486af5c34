"""What the transport below sees of a TlsTransport: the names of the two roles do not mix.

It also sees to it that a connection is read once in a turn of the loop, as asyncio does.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from wirelane.net.tlslayer import TlsTransport

__all__ = ["FULL_READ", "Below"]

FULL_READ = 256_000
"""Octets of a read that filled uvloop's buffer: it would read on, up to 32 times in one turn. asyncio's is longer."""


class Below(asyncio.Protocol):
    """The protocol of the transport below."""

    def __init__(self, tls: TlsTransport) -> None:
        self._tls = tls
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._tls.below_made(self._transport)

    def data_received(self, data: bytes) -> None:
        self._tls.below_received(data)
        if len(data) == FULL_READ and self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._read_on)

    def _read_on(self) -> None:
        transport = self._transport
        if transport is not None and not transport.is_closing() and not self._tls.paused:
            transport.resume_reading()

    def eof_received(self) -> bool:
        return self._tls.below_ended()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._tls.below_lost(exc)

    def pause_writing(self) -> None:
        self._tls.below_pauses_writing()

    def resume_writing(self) -> None:
        self._tls.below_resumes_writing()
