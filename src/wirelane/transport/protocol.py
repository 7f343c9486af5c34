"""The HTTP/2 engine bound to an asyncio transport; what client and server connections have in common.

One write per turn of the loop: the engine's first output schedules a flush, and everything that the turn produced
leaves in one `write`, or one `writelines` if it is large. While the transport's buffer is full, DATA stays with the streams that own it.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING, TypeVar, cast

from wirelane.http2 import Connection, ErrorCode, HeaderBlock, Stream
from wirelane.net.below import FULL_READ
from wirelane.net.connect import describe_os_error
from wirelane.net.heap import settle_allocator
from wirelane.net.vectored import WORTH_A_BUFFER, write_parts
from wirelane.transport.base import Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from wirelane.core.limits import Limits

__all__ = ["BURST", "H2Protocol", "call_back", "peer_of", "wait_for"]

logger = logging.getLogger("wirelane.transport")

_T = TypeVar("_T")

# Seconds for a peer to close after our last word (grpc-go gives clients as long after a drain).
_LINGER = 1.0

# Messages that one turn of the loop may send on a connection before their senders let others run: a sender that the
# windows never stop would otherwise keep the loop for as long as it has something to say.
BURST = 128
# Octets that may arrive while the engine has others wait for their turn, before the socket is left alone.
_MOST_UNREAD = 256 * 1024


class H2Protocol(asyncio.Protocol):
    """An asyncio protocol that owns one engine. Subclasses give calls their meaning."""

    def __init__(self, *, client: bool, limits: Limits) -> None:
        self.limits = limits
        self.engine = Connection(client=client, owner=self, limits=limits)
        self.peer = Peer("unknown")
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._closed = self._loop.create_future()
        self._lost: BaseException | None = None
        # Aborts a transport that cannot close, because the peer does not read what was written.
        self._cut: asyncio.TimerHandle | None = None
        # The error that the peer's GOAWAY named, in words.
        self._farewell = ""
        self.burst = 0
        # When something arrived last, by time.monotonic().
        self.heard_at = monotonic()
        # Streams of ours from here on never left: not even their heads were given to the transport.
        self._unwritten_from = 0
        # The end is an orderly one.
        self._lingers = False

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that the connection lives in."""
        return self._loop

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        settle_allocator()
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=self.limits.max_send_buffer)
        self.peer = peer_of(self._transport)
        self.engine.start()

    def data_received(self, data: bytes) -> None:
        self.heard_at = monotonic()
        self.engine.receive(data)
        if self.engine.waiting:
            if self.engine.unread > _MOST_UNREAD and self._transport is not None:
                self._transport.pause_reading()
        elif len(data) == FULL_READ and self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
            self._loop.call_soon(self._read_on)

    def eof_received(self) -> None:
        """Half-open connections have no use in HTTP/2."""
        self._read_all()
        self._close_transport()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._cut is not None:
            self._cut.cancel()
        self._read_all()
        self._lost = exc
        text = f"connection lost: {describe_os_error(exc)}" if exc else "the peer closed the connection"
        self.engine.end(ErrorCode.NO_ERROR, text + self._farewell)
        if not self._closed.done():
            self._closed.set_result(None)

    def pause_writing(self) -> None:
        self.engine.writable = False

    def resume_writing(self) -> None:
        self.engine.writable = True
        self.engine.unsent_replies = 0
        self.engine.pump()

    # http2.Owner

    def output_ready(self) -> None:
        self._loop.call_soon(self._flush)

    def stream_requested(self, block: HeaderBlock) -> Stream | None:
        return None

    def stream_closed(self, stream: Stream) -> None:
        pass

    def settings_changed(self) -> None:
        pass

    def input_waits(self) -> None:
        self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        """Give the engine another turn for what it has not read yet; then let the peer send again."""
        engine = self.engine
        engine.resume()
        if not engine.waiting and self._transport is not None and not self._transport.is_closing():
            # After an orderly end as well: what the peer still sends is dropped, until it has ended.
            self._transport.resume_reading()

    def _read_all(self) -> None:
        """Read what waits without further delay: nothing comes after it.

        Answers, that is. Requests of a client that is gone are of no use to anybody, and it may have left many.
        """
        while self.engine.waiting and self.engine.client:
            self.engine.resume()

    def goaway_received(self, code: int, reason: str) -> None:
        if code != ErrorCode.NO_ERROR:
            self._farewell = f" after GOAWAY {ErrorCode.text(code)} {reason}".rstrip()

    def engine_ended(self, code: int, reason: str) -> None:
        """Write what the engine still had to say (a GOAWAY), then close."""
        if self._transport is not None and not self._transport.is_closing():
            self._loop.call_soon(self._flush)

    # For subclasses

    @property
    def active(self) -> int:
        """Calls that have not ended."""
        return len(self.engine.streams)

    async def take_turn(self) -> None:
        """Count a message that was sent without waiting; after many in one turn, wait for the next."""
        self.burst += 1
        if self.burst >= BURST:
            await asyncio.sleep(0)

    def _flush(self) -> None:
        self.burst = 0
        engine = self.engine
        transport = self._transport
        large = engine.output_size
        output = engine.take()
        if transport is None or transport.is_closing():
            return
        if output:
            if large > WORTH_A_BUFFER * len(output):
                write_parts(transport, output)
            else:
                transport.write(b"".join(output) if len(output) > 1 else output[0])
            self._unwritten_from = engine.next_stream_id
        if engine.ended:
            self._end_transport()
        elif engine.blocked and engine.writable:
            engine.pump()

    def _end_transport(self) -> None:
        """Everything was said: close; if it was an orderly end or an explained one, half-close until the peer has too.

        What a peer sends to a socket that is closed resets the connection, and with it may go what it has not read yet:
        answers, or the GOAWAY that says what was wrong. A TLS transport does as much when it is closed.
        """
        transport = self._transport
        lingers = self._lingers or self.engine.conduct.refusals["connections"]
        if transport is None or not lingers or self.peer.tls or not transport.can_write_eof():
            self._close_transport()
        elif self._cut is None:
            bound = self.limits.close_timeout
            # The answers before our last word may take their time as well.
            seconds = bound if transport.get_write_buffer_size() else min(_LINGER, bound)
            transport.write_eof()
            transport.resume_reading()
            self._cut = self._loop.call_later(seconds, transport.abort)

    def _close_transport(self) -> None:
        """Close when what was written has left; a peer that does not read is cut in `limits.close_timeout` seconds."""
        transport = self._transport
        if transport is None or self._closed.done():
            return
        transport.close()
        if self._cut is None:
            self._cut = self._loop.call_later(self.limits.close_timeout, transport.abort)

    def abort(self) -> None:
        """End every call at once and close without a word."""
        self.engine.end(ErrorCode.CANCEL, "the connection was aborted")
        if self._transport is not None:
            self._transport.abort()

    async def wait_closed(self) -> None:
        """Wait until the transport is closed. Cancel-safe."""
        await asyncio.shield(self._closed)

    async def _close(self, code: ErrorCode, reason: str) -> None:
        """Say GOAWAY, end every call with `code`, close; abort what does not close in `limits.close_timeout` seconds."""
        if not self.engine.ended:
            self.engine.say_goaway(ErrorCode.NO_ERROR)
            self.engine.end(code, reason)
        try:
            async with asyncio.timeout(self.limits.close_timeout):
                await self.wait_closed()
        except TimeoutError:
            logger.debug("%s did not close in time", self.peer)
        finally:
            if not self._closed.done() and self._transport is not None:
                self._transport.abort()


def peer_of(transport: asyncio.BaseTransport) -> Peer:
    """Describe the other end of a transport."""
    name = transport.get_extra_info("peername")
    if isinstance(name, tuple) and len(name) >= 2:
        address = f"[{name[0]}]:{name[1]}" if ":" in str(name[0]) else f"{name[0]}:{name[1]}"
    else:
        address = f"unix:{name}" if name else str(transport.get_extra_info("peer_text") or "unix:")
    certificate = transport.get_extra_info("peercert") or None
    return Peer(address, certificate, transport.get_extra_info("ssl_object") is not None)


def call_back(callbacks: Iterable[Callable[[_T], None]], argument: _T) -> None:
    """Call each; one that fails is logged, and keeps neither the others nor the connection from going on."""
    for callback in callbacks:
        try:
            callback(argument)
        except Exception:
            logger.exception("a callback failed for %r", argument)


async def wait_for(holder: object, slot: str, future: asyncio.Future[None]) -> None:
    """Wait on a future kept in `holder.slot`, which is emptied however the wait ends."""
    setattr(holder, slot, future)
    try:
        await future
    finally:
        setattr(holder, slot, None)
