"""One connection through the proxy: two sockets, and what goes from one to the other as the plans say.

Contract: bytes leave in the order in which they came, unchanged. What waits here is bounded; a sender that is faster
than what is let through has to wait, as for any slow reader. An end in order is handed on as one (half-close
included), a reset as a reset. Everything runs in callbacks of the loop: what ends a connection ends it at once.
"""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import struct
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from wirelane.testing.faults.kinds import Cut, Direction, Fault, HalfOpen, LimitData, Reset
from wirelane.testing.faults.plan import Chunk, Kind, Plan, Strike, Wait

__all__ = ["End", "Flow", "Relay"]

logger = logging.getLogger("wirelane.testing.faults")

_RECEIVE: Final = 64 * 1024
_MOST_CHUNKS: Final = 1024  # as many as toxiproxy's buffer for latency
_TURNS_FOR_A_READER: Final = 2  # a reader in the same loop is called in the turn after the one that polled it
_DRAIN: Final = 64
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # linger: on, for 0 seconds


class End:
    """One of the two sockets of a connection.

    Attributes:
        broken: A write failed: whatever still comes from here, its end is no end in order.
    """

    __slots__ = ("_loop", "_on_readable", "_on_writable", "broken", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.broken = False
        self._loop = asyncio.get_running_loop()
        self._on_readable: Callable[[], None] | None = None
        self._on_writable: Callable[[], None] | None = None

    # Each time is asked for anew: of a socket with bytes and an error behind them, uvloop tells once.

    def when_readable(self, callback: Callable[[], None] | None) -> None:
        """Call back once, when there is something to read; None: never mind."""
        if callback is not None and self._on_readable is None:
            self._loop.add_reader(self.sock, self._readable)
        elif callback is None and self._on_readable is not None:
            self._loop.remove_reader(self.sock)
        self._on_readable = callback

    def when_writable(self, callback: Callable[[], None] | None) -> None:
        """Call back once, when there is room to write; None: never mind."""
        if callback is not None and self._on_writable is None:
            self._loop.add_writer(self.sock, self._writable)
        elif callback is None and self._on_writable is not None:
            self._loop.remove_writer(self.sock)
        self._on_writable = callback

    def _readable(self) -> None:
        callback = self._on_readable
        self.when_readable(None)
        if callback is not None:
            callback()

    def _writable(self) -> None:
        callback = self._on_writable
        self.when_writable(None)
        if callback is not None:
            callback()

    def send(self, data: memoryview) -> int:
        """Send what there is room for; return how much that was."""
        try:
            return self.sock.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            self.broken = True
            return 0

    def end(self) -> None:
        """End the direction towards it in order."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:  # it is gone
            self.broken = True

    def close(self, *, reset: bool) -> None:
        """Close by RST, or in order by FIN. Idempotent."""
        self.when_readable(None)
        self.when_writable(None)
        with suppress(OSError):  # the peer has reset it, or it is closed
            if reset:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            else:
                self.sock.shutdown(socket.SHUT_WR)
                self._drain()
        self.sock.close()

    def _drain(self) -> None:
        """Drop what came: closed with unread bytes, a socket resets, and what it had sent may be lost (RFC 2525, 2.17)."""
        for _ in range(_DRAIN):
            if not self.sock.recv(_RECEIVE):
                return


class Flow:
    """One direction of a connection.

    Attributes:
        over: Nothing more will go: its end was handed on, it was cut short, or nobody is there to take it.
    """

    def __init__(self, relay: Relay, source: End, sink: End, plan: Plan, buffer: int) -> None:
        self.plan = plan
        self.over = False
        self._relay = relay
        self._source = source
        self._sink = sink
        self._buffer = buffer
        self._chunks: deque[Chunk] = deque()
        self._waiting = 0
        self._received = 0
        self._source_ended = False
        self._blocked = False  # the sink has no room
        self._resting = 0  # turns that the reader still has for itself
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.Handle | None = None

    # -- in

    def _readable(self) -> None:
        data, kind = b"", Kind.END
        try:
            data = self._source.sock.recv(_RECEIVE)
        except (BlockingIOError, InterruptedError):
            self._adjust_reading()
            return
        except OSError:
            kind = Kind.RESET
        if data:
            kind = Kind.DATA
        elif self._source.broken:
            kind = Kind.RESET
        self._source_ended = kind is not Kind.DATA
        if not self.over:
            self._chunks.append(Chunk(self._loop.time(), self._received, memoryview(data), kind))
            self._received += len(data)
            self._waiting += len(data)
            self.run()
        elif kind is Kind.RESET:
            self._relay.close(reset=True)
        else:
            self._adjust_reading()

    def _adjust_reading(self) -> None:
        full = self._waiting >= self._buffer or len(self._chunks) >= _MOST_CHUNKS
        self._source.when_readable(None if self._source_ended or full else self._readable)

    # -- out

    def run(self) -> None:
        """Do what the plan says, as far as it goes now."""
        self._cancel_timer()
        while not (self.over or self._resting):
            if self._relay.stopped:
                return
            act = self.plan.step(self._next(), self._loop.time())
            if isinstance(act, Wait):
                if act.until < math.inf:
                    self._timer = self._loop.call_at(act.until, self.run)
                break
            if isinstance(act, Strike):
                self._relay.strike(self, act.fault)
            elif act.count:
                self._send(act.count)
            else:
                self._hand_on_end()
        if not self._relay.stopped:
            self._adjust_reading()

    def _next(self) -> Chunk | None:
        """Return what waits to be sent; while there is no room, only time passes."""
        return self._chunks[0] if self._chunks and not self._blocked else None

    def _send(self, count: int) -> None:
        chunk = self._chunks[0]
        sent = self._sink.send(chunk.data[:count])
        if self._sink.broken:
            self._lose_sink()
        elif not sent:
            self._blocked = True
            self._sink.when_writable(self._writable)
        else:
            chunk.data = chunk.data[sent:]
            if not chunk.data:
                self._chunks.popleft()
            self._waiting -= sent
            self.plan.went(sent, self._loop.time())
            self._relay.on_passed(self.plan.direction, sent)
            if self.plan.sliced:
                self._resting = _TURNS_FOR_A_READER
                self._loop.call_soon(self._rest)

    def _writable(self) -> None:
        self._blocked = False
        self.run()

    def _rest(self) -> None:
        self._resting -= 1
        if self._resting:
            self._loop.call_soon(self._rest)
        elif not self._relay.stopped:
            self.run()

    def _hand_on_end(self) -> None:
        if self._chunks[0].kind is Kind.RESET:
            self._relay.close(reset=True)
        else:
            self.end()

    def end(self) -> None:
        """End this direction in order; what comes for it from now on is dropped."""
        self._sink.end()
        if self._sink.broken:
            self._lose_sink()
        else:
            self._stop()
            self._relay.flow_over()

    def _lose_sink(self) -> None:
        """The sink is gone. What it said last may still be on its way: the other direction tells of its end."""
        self._stop()
        if self._relay.other(self).over:
            self._relay.close(reset=True)

    def _stop(self) -> None:
        self.over = True
        self._chunks.clear()
        self._waiting = 0

    def cancel(self) -> None:
        """Leave nothing in the loop."""
        self._stop()
        self._cancel_timer()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Relay:
    """A connection from a client to the server.

    Args:
        number: Of the connection, from 1.
        client, server: The two sockets, connected and non-blocking; closed with this.
        seed: The proxy's seed.
        buffer: Bytes that may wait here for each direction.
        on_passed: Called with a direction and how many bytes went.
        on_closed: Called when the connection has ended.

    Attributes:
        stopped: Nothing goes in either direction any more.
        passed: Bytes that went, by direction.
    """

    def __init__(
        self,
        number: int,
        client: socket.socket,
        server: socket.socket,
        *,
        seed: int | str,
        buffer: int,
        on_passed: Callable[[Direction, int], None],
        on_closed: Callable[[Relay], None],
    ) -> None:
        self.number = number
        self.stopped = False
        self.on_passed = on_passed
        self._on_closed = on_closed
        self._closed = False
        self._client, self._server = End(client), End(server)
        name = f"{seed}/{number}"
        self._up = Flow(self, self._client, self._server, Plan("upstream", name), buffer)
        self._down = Flow(self, self._server, self._client, Plan("downstream", name), buffer)

    def passed(self, direction: Direction) -> int:
        """Bytes that arrived in that direction."""
        return (self._up if direction == "upstream" else self._down).plan.passed

    def other(self, flow: Flow) -> Flow:
        """Return the other direction."""
        return self._down if flow is self._up else self._up

    def arm(self, number: int, fault: Fault) -> None:
        """Let a fault act from now on; `run` makes it so."""
        now = asyncio.get_running_loop().time()
        for flow in (self._up, self._down):
            flow.plan.arm(number, fault, now)

    def disarm(self, number: int) -> None:
        """Let a fault act no more; `run` makes it so."""
        for flow in (self._up, self._down):
            flow.plan.disarm(number)

    def run(self) -> None:
        """Go on, after the faults have changed."""
        for flow in (self._up, self._down):
            if not self.stopped:
                flow.run()

    def strike(self, flow: Flow, fault: Fault) -> None:
        """Let a fault strike."""
        logger.info("connection %d: %s strikes", self.number, fault)
        match fault:
            case LimitData():
                flow.end()
            case HalfOpen():
                self._half_open(self._server if fault.gone == "server" else self._client)
            case Cut() | Reset():
                self.close(reset=isinstance(fault, Reset))

    def _half_open(self, gone: End) -> None:
        self._stop()
        gone.close(reset=True)

    def flow_over(self) -> None:
        """One direction has ended in order: with the other one, the connection has."""
        if self._up.over and self._down.over:
            self.close(reset=False)

    def close(self, *, reset: bool) -> None:
        """End the connection now; what waits is dropped. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._stop()
        for end in (self._client, self._server):
            end.close(reset=reset)
        self._on_closed(self)

    def _stop(self) -> None:
        self.stopped = True
        for flow in (self._up, self._down):
            flow.cancel()
        for end in (self._client, self._server):
            end.when_readable(None)
            end.when_writable(None)
