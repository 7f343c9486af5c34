"""Between asyncio and `Connection`: one reader, flow control, TLS in the middle, and how it all ends.

Contract:

- What arrives is appended to the buffer at once; reading from the network pauses while the buffer holds more than
  its limit, or than the read in progress may need. Reads are asked of rules (`wirelane.core.delimiters`), so an
  attempt that is not complete, and whatever ends it (timeout, cancellation, limit, end), leaves every byte in place.
- Losing the connection wakes every waiter with the reason. Nobody's task is cancelled from here.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar, cast

from wirelane.core.deadline import Deadline
from wirelane.core.delimiters import ReadRule, TextLine
from wirelane.core.limits import Limits
from wirelane.core.readbuffer import NO_LINES, ReadBuffer
from wirelane.errors import (
    BusyError,
    ClosedError,
    ConnectionLost,
    EndOfStream,
    ReadTimeout,
    UsageError,
)
from wirelane.net import start_tls
from wirelane.net.connect import describe_os_error
from wirelane.tcp.alarm import Alarm
from wirelane.tcp.sending import TURNS_TO_LOOK, Sender

if TYPE_CHECKING:
    import ssl

    from wirelane.core.target import Address
    from wirelane.net.tls import TlsConfig

__all__ = ["TcpProtocol"]

T = TypeVar("T")

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # linger: on, for 0 seconds


class TcpProtocol(asyncio.Protocol):
    """The state of one connection. `Connection` is its face; nothing here is public."""

    # Ten thousand idle connections are held in memory by some servers.
    __slots__ = (
        "_cause",
        "_ceiling",
        "_farewell",
        "_gone",
        "_least",
        "_low",
        "_on_connected",
        "_peername",
        "_reader",
        "_receiving",
        "_sockname",
        "buffer",
        "closed",
        "draining",
        "ended",
        "eof",
        "limits",
        "loop",
        "lost",
        "peer",
        "reading",
        "sender",
        "transport",
        "unsettled",
    )

    def __init__(self, limits: Limits, on_connected: Callable[[TcpProtocol], None] | None = None) -> None:
        self.limits = limits
        self.buffer = ReadBuffer()
        self.transport: asyncio.Transport | None = None
        self.eof = False  # the peer ended its stream in order
        self.ended = False  # no more bytes will come, for whatever reason
        self.closed = False  # closed on this side
        self.reading = False
        self.draining = False  # the server of this connection is
        self.lost = False
        self.peer: Address | None = None  # as errors name it
        # A read gave up, so that what it waited for may come later, or TLS was put in: a pool gives such a one to nobody else.
        self.unsettled = False
        self.sender = Sender(self)
        self.loop = asyncio.get_running_loop()
        self._on_connected = on_connected
        self._peername: object = None
        self._sockname: object = None
        self._cause: BaseException | None = None
        self._reader: asyncio.Future[None] | None = None
        self._ceiling = limits.read_buffer  # reading from the network pauses when so many bytes are held
        self._low = limits.read_buffer // 2 + 1  # and goes on below this
        self._least = 0  # the reader is not woken before so many are
        self._receiving = True
        self._gone: asyncio.Future[None] | None = None
        self._farewell: asyncio.Future[None] | None = None

    # -- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        # Asked now: uvloop asks the socket each time, and raises once a lost connection has none any more.
        self._peername = transport.get_extra_info("peername")
        self._sockname = transport.get_extra_info("sockname")
        self.transport.set_write_buffer_limits(high=self.limits.max_send_buffer)
        if self._on_connected is not None:
            self._on_connected(self)

    def data_received(self, data: bytes) -> None:
        if self.closed:
            return
        held = self.buffer.append(data)
        if held >= self._ceiling and self._receiving:
            self._pause()
        reader = self._reader
        if reader is not None and held >= self._least and not reader.done():
            reader.set_result(None)

    def eof_received(self) -> bool:
        self.eof = self.ended = True
        self._wake_reader()
        _settle(self._farewell)
        return True  # half-closed: this side may go on sending

    def pause_writing(self) -> None:
        self.sender.congested = True

    def resume_writing(self) -> None:
        self.sender.congested = False
        self.sender.wake()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost = self.ended = True
        self._cause = exc or self._cause
        self._receiving = False
        self._wake_reader()
        self.sender.wake()
        _settle(self._farewell)
        _settle(self._gone)

    # -- reading

    def attempt(self, rule: ReadRule[T]) -> T | None:
        """Return a result of `rule` from what is buffered, None if it takes more, or raise what stands against it."""
        if self.closed:
            raise ClosedError("the connection was closed on this side")
        data = rule.take(self.buffer, self.eof)
        if data is not None:
            if not self._receiving:
                self._resume_if_below(self._low)
        elif self.ended:
            raise self._end_of_reading(rule)
        return data

    def take_ready(self, rule: ReadRule[T]) -> T | None:
        """Return what `attempt` would if it would not wait or fail: the short way of those who read line after line."""
        if self.reading or self.closed:
            return None
        data = rule.take(self.buffer, self.eof)
        if data is not None and not self._receiving:
            self._resume_if_below(self._low)
        return data

    def lend_lines(self, rule: TextLine) -> deque[str]:
        """Return lines that are here, on loan (see `ReadBuffer.lend_lines`); empty where `take_ready` knows more."""
        if self.reading or self.closed:
            return NO_LINES
        lines = rule.lend(self.buffer)
        if not self._receiving:
            self._resume_if_below(self._low)
        return lines

    async def read(
        self,
        rule: ReadRule[T],
        timeout: float | None = None,
        idle_timeout: float | None = None,
        *,
        idle_ends: bool = False,
    ) -> T:
        """Return the first result of `rule`, waiting up to `timeout` seconds in all, and `idle_timeout` for each byte.

        With `idle_ends`, silence counts as the end of the stream, for this once.

        Raises:
            BusyError, ClosedError, ReadTimeout, EndOfStream, ConnectionLost, LimitExceeded. Nothing is lost then,
            nor when the task is cancelled.
        """
        if self.reading:
            self.check_reader()
        alarm = None
        if timeout is not None or idle_timeout is not None:
            alarm = Alarm(self._wake_reader, self.buffer, timeout, idle_timeout)
        data = None
        if self.buffer.most >= rule.least or self.ended or self.closed:
            data = self.attempt(rule)
            if data is not None:
                return data
        self.reading = True
        try:
            if alarm is not None:
                data = await self._wait_in_time(rule, alarm)
                if data is None and idle_ends and alarm.silent:
                    data = rule.take(self.buffer, True)
                if data is None:
                    raise self._timed_out(rule, alarm, timeout, idle_timeout)
                return data
            while data is None:
                self._want(rule)
                self._reader = self.loop.create_future()
                await self._reader
                data = self.attempt(rule)
            return data
        except BaseException:
            self.unsettled = True
            raise
        finally:
            self.reading = False
            self._reader = None
            self._ceiling = self.limits.read_buffer

    def check_reader(self) -> None:
        """Raise BusyError if a read is waiting."""
        if self.reading:
            raise BusyError("this connection is being read already; one reads at a time, while others send")

    def unread(self, data: bytes | bytearray | memoryview) -> None:
        self.check_reader()
        if self.closed:
            raise ClosedError("the connection was closed on this side")
        self.buffer.unread(data)

    async def _wait_in_time(self, rule: ReadRule[T], alarm: Alarm) -> T | None:
        """Return a result, or None when time is up; what arrived together with the timer still counts."""
        alarm.start()
        try:
            while True:
                self._want(rule, hears=alarm.hears)
                while not alarm.rung:
                    self._reader = self.loop.create_future()
                    await self._reader
                    data = self.attempt(rule)
                    if data is not None:
                        return data
                    if not alarm.rung:
                        alarm.heard()
                        self._want(rule, hears=alarm.hears)
                held = self.buffer.most
                data = await self._look_once(rule)
                if data is not None:
                    return data
                if alarm.over or self.buffer.most == held:
                    return None
                alarm.start()
        finally:
            alarm.stop()

    async def _look_once(self, rule: ReadRule[T]) -> T | None:
        """Let the loop look at the socket once: what the kernel holds is here, too."""
        data = None
        for _ in range(TURNS_TO_LOOK):
            await asyncio.sleep(0)
            data = self.attempt(rule)
            if data is not None:
                break
        return data

    def _timed_out(
        self, rule: ReadRule[object], alarm: Alarm, timeout: float | None, idle_timeout: float | None
    ) -> ReadTimeout:
        if alarm.over:
            text = f"what was asked for did not come within {timeout:g} s"
        else:
            text = f"the peer was silent for {idle_timeout:g} s (idle_timeout) before what was asked for came"
        return ReadTimeout(
            f"{self.told(text)}; {len(self.buffer)} bytes had arrived",
            partial=self.buffer.peek(rule.demand),
            idle=not alarm.over,
        )

    async def more(self, timeout: float | None) -> bool:
        """See `Connection.more`."""
        if await self.read(_More(self), timeout):
            return True
        if self.eof:
            return False
        try:  # the server drains: take what has arrived without the loop having looked
            return await self.read(_More(None), 0)
        except ReadTimeout:
            return False

    def drain(self) -> None:
        """Let whoever waits between messages know that the server drains."""
        self.draining = True
        self._wake_reader()

    @property
    def dismissed(self) -> bool:
        """Whether the server drains, and something has come on this connection before."""
        return self.draining and self.buffer.begun

    @property
    def at_rest(self) -> bool:
        """Whether it is open both ways and nothing is under way: nothing unread, nobody who reads or sends."""
        sender = self.sender
        return not (
            self.closed
            or self.ended
            or self.reading
            or len(self.buffer)
            or sender.busy
            or sender.congested
            or sender.eof_sent
            or sender.broken is not None
            or self.wire.is_closing()
        )

    def given_away(self) -> TcpProtocol:
        """Return what is left to one who has this no more: a connection that was closed here, and touches nothing."""
        left = TcpProtocol(self.limits)
        left.transport = self.transport
        left.closed = left.ended = left.lost = True
        return left

    def watch(self, stirred: Callable[[], None]) -> None:
        """While nobody reads, call `stirred` once when bytes come or the connection ends, until `unwatch`."""

        def done(future: asyncio.Future[None]) -> None:
            if not future.cancelled():
                stirred()

        self._least = 0
        self._reader = self.loop.create_future()
        self._reader.add_done_callback(done)

    def unwatch(self) -> None:
        """Be as before `watch`. Nothing is called any more."""
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None

    def _wake_reader(self) -> None:
        _settle(self._reader)

    def _want(self, rule: ReadRule[object], *, hears: bool = False) -> None:
        """Go on reading from the network until `rule` can be answered; be woken when it may be, or by every byte."""
        self._ceiling = max(self._ceiling, rule.demand)
        self._least = 0 if hears else rule.least
        if not self._receiving:
            self._resume_if_below(self._ceiling)

    def _pause(self) -> None:
        if self.transport is not None and not self.ended and not self.transport.is_closing():
            self._receiving = False
            self.transport.pause_reading()

    def _resume_if_below(self, size: int) -> None:
        # Lines that were cut ahead count until the last is taken, or another read asks for more than they are.
        if self.buffer.most >= size:
            return
        transport = self.transport
        if transport is not None and not self.ended and not transport.is_closing():
            self._receiving = True
            transport.resume_reading()

    def _end_of_reading(self, rule: ReadRule[object]) -> Exception:
        partial = self.buffer.peek(rule.demand)
        if self.eof:
            return EndOfStream(
                self.told(
                    f"the peer ended its stream before what was asked for; {len(partial)} bytes are left"
                ),
                partial=partial,
            )
        return self.loss(partial)

    def lost_by(self, error: OSError) -> None:
        """Note what a call of the transport raised, unless the reason is known already."""
        self._cause = self._cause or error

    def abort_lost(self) -> None:
        """Have the transport notice that the connection is lost; what waits is told by `connection_lost`."""
        self._cut(self.wire)

    def told(self, text: str) -> str:
        """Return what an error says, with whom it is about."""
        where = "" if self.peer is None else str(self.peer)
        return text if where in {"", "unix:"} else f"{where}: {text}"

    def loss(self, partial: bytes = b"") -> ConnectionLost:
        """Return why the connection is lost, each time a new error, with the first cause behind it."""
        cause = self._cause
        reason = "the connection is gone" if cause is None else describe_os_error(cause)
        error = ConnectionLost(self.told(f"connection lost: {reason}"), partial=partial)
        error.__cause__ = cause
        return error

    def end(self, cause: OSError) -> None:
        """Close the transport, in order unless the peer does not take what waits; users hear ConnectionLost."""
        transport = self.wire
        self.lost_by(cause)
        self.ended = True
        if transport.get_write_buffer_size():
            self._cut(transport)
        else:
            transport.close()
        self._wake_reader()

    # -- TLS

    async def start_tls(
        self, tls: TlsConfig | ssl.SSLContext, *, server_side: bool, server_name: str | None, peer: str
    ) -> None:
        """Put TLS between the transport and this; nobody reads or sends meanwhile. A failure closes the connection."""
        self.check_reader()
        self.sender.check()
        if self.info("ssl_object") is not None:
            raise UsageError("TLS is on already")
        if self.sender.busy:
            raise BusyError("what was sent before must have left before TLS starts")
        if self.eof:
            raise EndOfStream("the peer ended its stream; there is nobody to speak TLS with")
        received = self.buffer.take(len(self.buffer))
        self.unsettled = True
        self.reading = self.sender.busy = True
        try:
            self.transport = await start_tls(
                self.wire,
                self,
                tls,
                server_side=server_side,
                server_name=server_name,
                peer=peer,
                timeout=self.limits.handshake_timeout,
                received=received,
            )
            self._receiving = True
            self.transport.set_write_buffer_limits(high=self.limits.max_send_buffer)
        except BaseException:
            self.abort()
            raise
        finally:
            self.reading = False
            self.sender.end_turn()

    # -- ending

    @property
    def state(self) -> str:
        if self.closed:
            return "CLOSED"
        if self.lost and not self.eof:
            return "LOST"
        if self.eof:
            return "ENDED" if self.sender.eof_sent or self.lost else "PEER ENDED"
        return "HALF-CLOSED" if self.sender.eof_sent else "OPEN"

    def info(self, name: str) -> object:
        """Return what the transport knows under that name, or None."""
        if name == "peername":
            return self._peername
        if name == "sockname":
            return self._sockname
        return None if self.transport is None else self.transport.get_extra_info(name)

    @property
    def wire(self) -> asyncio.Transport:
        """The transport, which is there from `connection_made` on."""
        assert self.transport is not None
        return self.transport

    def abort(self) -> None:
        """Drop the connection and all that is buffered, at once."""
        self._close_here()
        if self.transport is not None and not self.lost:
            self._cut(self.transport)

    def let_go(self) -> None:
        """Close as `close` does, without anybody who waits for it."""
        if self.closed or self.lost:
            return
        self._close_here()
        if self.sender.cut_short:
            self._cut(self.wire)
        else:
            self.wire.close()
            self.loop.call_later(self.limits.close_timeout, self._cut, self.wire)

    async def close(self, linger: float | None = None) -> None:
        """Send what is buffered, end the connection, and wait for that; when time is up, cut it.

        Args:
            linger: Seconds for the peer to have read all and to end its stream as well; 0 cuts at once. None: the peer
                is not waited for, and `limits.close_timeout` is the time.
        """
        deadline = Deadline.after(linger, name="linger")
        self._close_here()
        transport = self.transport
        if transport is None or self.lost:
            return
        if self._gone is None:
            self._gone = self.loop.create_future()
        if self.sender.cut_short or linger == 0:
            self._cut(transport)  # an orderly end would make half a message look whole
        else:
            try:
                if linger is not None:
                    await self._outlast_peer(transport, deadline)
                if not self.lost and (deadline is None or not deadline.expired()):
                    transport.close()
                    seconds = self.limits.close_timeout if linger is None else _left(deadline)
                    await asyncio.wait((self._gone,), timeout=seconds)
            finally:
                if not self.lost:
                    self._cut(transport)
        # After an abort this takes one turn of the loop.
        await asyncio.wait((self._gone,), timeout=self.limits.close_timeout)

    async def _outlast_peer(self, transport: asyncio.Transport, deadline: Deadline | None) -> None:
        """Half-close, and drop what comes until the peer has ended its stream.

        A socket that is closed with bytes unread, or to which more is sent, is reset, and with it may go what the peer
        has not read yet (RFC 1122, 4.2.2.13).
        """
        if not self.sender.eof_sent and transport.can_write_eof() and not transport.is_closing():
            with suppress(OSError):  # the peer has reset it: connection_lost follows
                transport.write_eof()
        if not self._receiving and not self.ended and not transport.is_closing():
            self._receiving = True
            transport.resume_reading()
        if self.ended:
            return
        if self._farewell is None:
            self._farewell = self.loop.create_future()
        await asyncio.wait((self._farewell,), timeout=_left(deadline))

    @staticmethod
    def _cut(transport: asyncio.Transport) -> None:
        """Abort, so that the peer can tell: a TCP connection that is just closed would end in order (RFC 9293, 3.5)."""
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            # The kernel has dropped it already, or (uvloop: ValueError) the descriptor is closed.
            with suppress(OSError, ValueError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()

    def _close_here(self) -> None:
        self.closed = True
        self.buffer.settle()  # lines on loan are read no more
        self._wake_reader()
        self.sender.wake()


def _settle(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)


def _left(deadline: Deadline | None) -> float | None:
    return None if deadline is None else deadline.remaining()


class _More:
    """Whether there is something to read; False at the end of the stream, and once a connection is dismissed."""

    __slots__ = ("_protocol",)

    demand = 1
    least = 0  # a drain answers without a byte

    def __init__(self, protocol: TcpProtocol | None) -> None:
        self._protocol = protocol

    def take(self, buffer: ReadBuffer, eof: bool) -> bool | None:
        if len(buffer):
            return True
        return False if eof or (self._protocol is not None and self._protocol.dismissed) else None
