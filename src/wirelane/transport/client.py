"""The client's end of gRPC over HTTP/2: connections and their calls. Implements the seam of `base`."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from wirelane.core.deadline import format_timeout
from wirelane.core.fields import Fields
from wirelane.core.framing import message_prefix
from wirelane.core.limits import Limits
from wirelane.core.metadata import wire_fields
from wirelane.errors import (
    BusyError,
    ConnectError,
    ConnectionLost,
    LimitExceeded,
    PeerError,
    TlsError,
    UsageError,
    WirelaneError,
)
from wirelane.http2 import ErrorCode, HeaderBlock, Stream
from wirelane.http2.describe import describe_frames
from wirelane.net.connect import describe_os_error
from wirelane.net.dial import dial
from wirelane.net.options import SocketOptions
from wirelane.net.tap import connecting
from wirelane.status import StatusCode
from wirelane.transport.base import (
    CallEnded,
    ClientConnection,
    Ending,
    RequestHead,
    ResponseHead,
    Unavailable,
)
from wirelane.transport.callstream import CallStream
from wirelane.transport.codes import status_from_reset
from wirelane.transport.greeting import recognise
from wirelane.transport.heads import check_response, copy_head, parse_ending, request_fields
from wirelane.transport.keepalive import TOO_MANY_PINGS, Keepalive, Pinger
from wirelane.transport.places import CallQueue
from wirelane.transport.protocol import H2Protocol, call_back, wait_for

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Hashable, Sequence

    from wirelane.core.deadline import Deadline
    from wirelane.core.target import Address
    from wirelane.net.proxy import ProxyConfig
    from wirelane.net.tls import TlsConfig
    from wirelane.net.trace import Trace
    from wirelane.transport.base import Part, Peer

__all__ = ["H2ClientConnection", "H2ClientStream", "connect"]

# A client opens no stream above this: the identifiers are used up (RFC 9113 section 5.1.1).
_LAST_USABLE_STREAM = 2**31 - 3


async def connect(
    address: Address,
    *,
    tls: TlsConfig | ssl.SSLContext | None = None,
    server_name: str | None = None,
    limits: Limits | None = None,
    connect_timeout: float | None = 10.0,
    keepalive: Keepalive | None = None,
    options: SocketOptions | None = None,
    proxies: Sequence[ProxyConfig] = (),
    trace: Trace | None = None,
) -> H2ClientConnection:
    """Open a connection and wait for the server's SETTINGS, so that a peer that is no HTTP/2 server is known now.

    With `keepalive`, a silent server is pinged at its pace. With `trace`, what is said is logged there.

    Cancel-safe: a cancelled call leaves no socket.

    Raises:
        ConnectError, ResolveError, ProxyError, TlsError: As `net.dial.dial`; TlsError too if the server turns out to expect TLS.
        PeerError: The server speaks something else than HTTP/2.
    """
    limits = limits or Limits()
    scheme = b"https" if tls is not None else b"http"
    loop = asyncio.get_running_loop()
    start = loop.time()
    connection = H2ClientConnection(limits, scheme=scheme, target=str(address), keepalive=keepalive)
    with connecting(trace, address, describe_frames, via=proxies) as tapped:
        await dial(
            lambda: tapped(connection),
            address,
            tls=tls,
            server_name=server_name,
            alpn=("h2",),
            connect_timeout=connect_timeout,
            options=_socket_options(options, keepalive),
            proxies=proxies,
        )
    if proxies:
        connection.peer = replace(connection.peer, address=str(address))  # not the proxy's
    left = None if connect_timeout is None else max(0.0, connect_timeout - (loop.time() - start))
    try:
        async with asyncio.timeout(left):
            await connection.wait_ready()
    except TimeoutError:
        connection.abort()
        raise ConnectError(
            f"{address} accepted the connection but sent no HTTP/2 SETTINGS in {connect_timeout} s; "
            "is it a gRPC server, and does it expect TLS?",
            address=str(address),
        ) from None
    except BaseException:
        connection.abort()
        raise
    return connection


def _socket_options(options: SocketOptions | None, keepalive: Keepalive | None) -> SocketOptions:
    """What was asked for, and what keepalive needs: its own PINGs do not see that nothing is acknowledged."""
    options = options or SocketOptions()
    if keepalive is None or options.user_timeout is not None:
        return options
    return replace(options, user_timeout=keepalive.timeout)


class H2ClientStream(CallStream):
    """One call of a client. See `base.ClientStream` for what its methods promise."""

    __slots__ = (
        "_callbacks",
        "_deadline",
        "_ending",
        "_head",
        "_head_block",
        "_head_waiter",
        "_send_closed",
        "_shared",
    )

    _owner: H2ClientConnection

    def __init__(self, owner: H2ClientConnection) -> None:
        super().__init__(owner)
        self._deadline: Deadline | None = None
        self._head: ResponseHead | None = None
        self._head_block: HeaderBlock | None = None
        self._ending: Ending | None = None
        # The ending is that of all calls that ended with the same block.
        self._shared = False
        self._head_waiter: asyncio.Future[None] | None = None
        self._send_closed = False
        self._callbacks: list[Callable[[H2ClientStream], None]] | None = None

    @property
    def head(self) -> ResponseHead | None:
        if self._head is None and self._head_block is not None:
            # Most calls never ask for it.
            self._head = copy_head(self._head_block)
        return self._head

    @property
    def ending(self) -> Ending | None:
        ending = self._ending
        if ending is not None and self._shared:
            self._shared = False
            ending = self._ending = replace(ending, metadata=ending.metadata.copy())
        return ending

    @property
    def status(self) -> StatusCode | None:
        return None if self._ending is None else self._ending.code

    @property
    def peer(self) -> Peer:
        return self._owner.peer

    async def receive_head(self) -> ResponseHead | None:
        while self._head_block is None and self._ending is None:
            if self._head_waiter is not None:
                raise BusyError("the head of this call is being waited for already; one waits at a time")
            await wait_for(self, "_head_waiter", self._owner.loop.create_future())
        return self.head

    async def receive(self) -> Part | None:
        return await self._receive()

    async def send(self, payload: bytes, *, compressed: bool = False, end: bool = False) -> None:
        if self._ending is not None:
            raise CallEnded(self._ending)
        if self._send_closed:
            raise UsageError("cannot send: the sending side of this call is already closed")
        if self._send_waiter is not None:
            raise BusyError("a message is being sent on this call already; one sends at a time")
        self._send_closed = end
        if self.connection.send(self, payload, prefix=message_prefix(payload, compressed), end_stream=end):
            await self._owner.take_turn()
            return
        await self._drain()

    async def _drain(self) -> None:
        """Wait until flow control has taken what was sent. A cancelled wait leaves it queued: it still goes out."""
        while self.has_pending and self._ending is None:
            await wait_for(self, "_send_waiter", self._owner.loop.create_future())
        if self._ending is not None and self._ending.code is not StatusCode.OK:
            raise CallEnded(self._ending)

    async def end(self) -> None:
        if self._send_closed or self._ending is not None:
            return
        self._send_closed = True
        self.connection.send(self, b"", end_stream=True)

    def cancel(self, ending: Ending) -> None:
        if self._ending is not None:
            return
        self._end_messages(discard=True)
        self.connection.reset(self, ErrorCode.CANCEL, tell=False)
        self._finish(ending)

    def discard(self) -> bool:
        had = bool(self._messages)
        self._end_messages(discard=True)
        return had

    def add_done_callback(self, callback: Callable[[H2ClientStream], None]) -> None:
        if self._ending is not None:
            callback(self)
        elif self._callbacks is None:
            self._callbacks = [callback]
        else:
            self._callbacks.append(callback)

    # http2.Stream hooks

    def on_headers(self, block: HeaderBlock, end_stream: bool) -> None:
        if self._ending is not None:
            return
        if end_stream:
            if self._inside_message:
                self._break(Ending(StatusCode.INTERNAL, "the server ended the call inside a message"))
            else:
                self._shared = True
                self._finish(parse_ending(block, self._owner.limits))
            return
        refusal = check_response(block, self._owner.limits)
        if refusal is not None:
            self._shared = True
            self._break(refusal)
            return
        self._head_block = block
        if self._head_waiter is not None:
            _wake(self._head_waiter)

    def _input_ended(self) -> None:
        self._finish(Ending(StatusCode.UNKNOWN, "the server ended the call without trailers"))

    def _input_broken(self, error: LimitExceeded | PeerError) -> None:
        if isinstance(error, LimitExceeded):
            text = f"a message from the server is too large: {error}"
            self._break(Ending(StatusCode.RESOURCE_EXHAUSTED, text, cause=error))
        else:
            self._break(Ending(StatusCode.INTERNAL, str(error), cause=error))

    def on_reset(self, code: int, *, by_peer: bool, reason: str = "") -> None:
        if by_peer:
            text = f"the server reset the call with {ErrorCode.text(code)}"
            refused = code == ErrorCode.REFUSED_STREAM
            status = status_from_reset(code)
            if status is StatusCode.CANCELLED and self._deadline is not None and self._deadline.expired():
                # Both ends keep the deadline, and the server's word came before our timer had its turn.
                status = StatusCode.DEADLINE_EXCEEDED
            self._finish(Ending(status, text, unprocessed=refused, refused=refused))
        else:
            self._finish(Ending(StatusCode.INTERNAL, f"the server broke HTTP/2: {reason}"))

    def on_drained(self) -> None:
        self._wake_sender()

    def on_connection_ended(self, code: int, reason: str, *, unprocessed: bool) -> None:
        if unprocessed:
            text = (
                f"the server went away before it took the call (GOAWAY {ErrorCode.text(code)} {reason}".rstrip()
                + ")"
            )
        else:
            text = reason
        ours = code == ErrorCode.CANCEL and not unprocessed
        status = StatusCode.CANCELLED if ours else StatusCode.UNAVAILABLE
        unprocessed = unprocessed or (not ours and not self._owner.has_written(self.id))
        self._finish(Ending(status, text, unprocessed=unprocessed, cause=self._owner.lost))

    def _break(self, ending: Ending) -> None:
        """End a call because of what the server sent: the rest of it is of no use."""
        self.connection.reset(self, ErrorCode.CANCEL, tell=False)
        self._finish(ending)

    def _finish(self, ending: Ending) -> None:
        if self._ending is not None:
            return
        self._ending = ending
        if self.remote_closed and not self.local_closed:
            # The server has answered before we said everything; it needs no more (RFC 9113 section 8.1).
            self.connection.reset(self, ErrorCode.NO_ERROR, tell=False)
        self._end_messages()
        if self._head_waiter is not None:
            _wake(self._head_waiter)
        self._wake_sender()
        if self._callbacks is not None:
            callbacks, self._callbacks = self._callbacks, None
            call_back(callbacks, self)


class H2ClientConnection(H2Protocol):
    """One connection of a client. See `base.ClientConnection` for what its methods promise."""

    def __init__(
        self,
        limits: Limits,
        *,
        scheme: bytes = b"http",
        target: str = "",
        keepalive: Keepalive | None = None,
    ) -> None:
        super().__init__(client=True, limits=limits)
        self.target = target
        self._keepalive = keepalive
        self._pinger = None if keepalive is None else Pinger(self, keepalive)
        self._scheme = scheme
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._greeting: bytes | None = b""
        self.reserved = 0
        # Fields that repeat from call to call, by what they are made of.
        self._stable: dict[tuple[str, str, str | None, str, str | None], Fields] = {}
        self._callbacks: list[Callable[[ClientConnection], None]] = []
        self._unavailable = False
        self.queue = CallQueue()
        self.queue.add(cast("ClientConnection", self))

    @property
    def lost(self) -> BaseException | None:
        """What ended the connection, if it was an error of the network."""
        return self._lost

    @property
    def available(self) -> bool:
        return not (
            self.engine.goaway or self.engine.ended or self.engine.next_stream_id > _LAST_USABLE_STREAM
        )

    @property
    def room(self) -> bool:
        engine = self.engine
        maximum = engine.peer_max_streams
        return self.available and (maximum is None or len(engine.streams) + self.reserved < maximum)

    def has_written(self, stream_id: int) -> bool:
        """Whether anything of a stream may have left."""
        return stream_id < self._unwritten_from

    @property
    def opened(self) -> int:
        return self.engine.next_stream_id // 2

    async def wait_ready(self) -> None:
        """Wait for the server's SETTINGS.

        Raises:
            PeerError, TlsError, ConnectError: What came was no HTTP/2.
        """
        await asyncio.shield(self._ready)

    async def open(
        self, head: RequestHead, payload: bytes | None = None, *, compressed: bool = False, end: bool = False
    ) -> H2ClientStream:
        stream = self.open_nowait(head, payload, compressed=compressed, end=end)
        if stream is not None:
            return stream
        queue = self.queue
        connection = cast("H2ClientConnection", await queue.place())
        try:
            return connection._open(head, payload, compressed, end)
        finally:
            if queue.waiting:
                # A call that was not opened after all leaves its place to the next.
                queue.grant()

    def open_nowait(
        self, head: RequestHead, payload: bytes | None = None, *, compressed: bool = False, end: bool = False
    ) -> H2ClientStream | None:
        engine = self.engine
        maximum = engine.peer_max_streams
        if maximum is not None and (self.queue.waiting or len(engine.streams) + self.reserved >= maximum):
            return None
        return self._open(head, payload, compressed, end)

    def _open(self, head: RequestHead, payload: bytes | None, compressed: bool, end: bool) -> H2ClientStream:
        engine = self.engine
        if engine.goaway or engine.ended or engine.next_stream_id > _LAST_USABLE_STREAM:
            raise Unavailable(f"{self.target} takes no more calls")
        name = (head.path, head.authority, head.encoding, head.accept_encoding, head.user_agent)
        stable = self._stable.get(name)
        if stable is None:
            if len(self._stable) >= 512:
                self._stable.clear()
            stable = self._stable[name] = request_fields(head, self._scheme)
        stream = H2ClientStream(self)
        metadata = wire_fields(head.metadata)
        variable: Sequence[tuple[bytes, bytes]] = metadata
        key: Hashable = stable
        size = stable.size + metadata.size
        if head.deadline is not None:
            stream._deadline = head.deadline
            timeout = format_timeout(head.deadline.remaining()).encode()
            variable = ((b"grpc-timeout", timeout), *metadata)
            key = (stable, timeout, metadata)
            size += 44 + len(timeout)
        elif metadata:
            key = (stable, metadata)
        limit = engine.peer_max_header_list
        if limit is not None and size > limit:
            return self._too_large(stream, limit)
        prefix = b"" if payload is None else message_prefix(payload, compressed)
        engine.open(stream, stable, variable, key=key, end_stream=end and payload is None)
        stream._send_closed = end
        if payload is not None:
            engine.send(stream, payload, prefix=prefix, end_stream=end)
        if engine.next_stream_id > _LAST_USABLE_STREAM:
            self._became_unavailable()
        return stream

    def _too_large(self, stream: H2ClientStream, limit: int) -> H2ClientStream:
        """End a call whose header list the server would not take (MAX_HEADER_LIST_SIZE, RFC 9113 section 6.5.2)."""
        text = f"the request's metadata is above the server's limit of {limit} octets"
        stream.cancel(Ending(StatusCode.RESOURCE_EXHAUSTED, text))
        return stream

    def add_close_callback(self, callback: Callable[[ClientConnection], None]) -> None:
        if self._unavailable:
            callback(self)
        else:
            self._callbacks.append(callback)

    async def close(self) -> None:
        await self._close(ErrorCode.CANCEL, "the channel was closed")

    # asyncio.Protocol and http2.Owner

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._pinger is not None:
            self._pinger.start()

    def data_received(self, data: bytes) -> None:
        if self._greeting is not None:
            self._greeting += data
            error = recognise(self._greeting, self.target, tls=self._scheme == b"https")
            if error is not None:
                self._not_http2(error)
                return
            if len(self._greeting) < 9:
                return
            data, self._greeting = self._greeting, None
        super().data_received(data)

    def _not_http2(self, error: Exception) -> None:
        self._greeting = None
        self._lost = error
        if not self._ready.done():
            self._ready.set_exception(error)
            self._ready.exception()
        self.engine.end(ErrorCode.PROTOCOL_ERROR, str(error))
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._ready.done():
            self._ready.set_exception(self._lost_at_once(exc))
            self._ready.exception()
        super().connection_lost(exc)

    def _lost_at_once(self, exc: Exception | None) -> WirelaneError:
        """Return the error of a connection that ended before the server's SETTINGS."""
        if isinstance(exc, WirelaneError) and not isinstance(exc, ConnectionLost):
            return exc
        secure = self._scheme == b"https"
        question = "is it a gRPC server?" if secure else "does it expect TLS?"
        error: WirelaneError
        if exc is None:
            error = PeerError(
                f"{self.target} closed the connection at once, before it said anything; {question}"
            )
        elif secure:
            # h2 was agreed to, so that little else is left; BoringSSL refuses a client without a word.
            error = TlsError(
                f"{self.target} broke the connection right after the TLS handshake, before it said anything",
                host=self.target,
                step="after the handshake",
                hint="it may require a client certificate: TlsConfig(cert=..., key=...)",
            )
        else:
            error = ConnectError(
                f"{self.target} broke the connection before it said anything: {describe_os_error(exc)}; {question}",
                address=self.target,
                attempts=((self.target, exc),),
            )
        error.__cause__ = exc
        return error

    def settings_changed(self) -> None:
        if not self._ready.done():
            self._ready.set_result(None)
        self.queue.limit_changed(cast("ClientConnection", self))

    def stream_closed(self, stream: Stream) -> None:
        if self.queue.waiting:
            self.queue.grant()
        if not self.engine.streams and not self.available and not self.engine.ended:
            self._loop.call_soon(self._end_if_idle)

    def _end_if_idle(self) -> None:
        if not self.engine.streams and not self.engine.ended:
            self.engine.end(ErrorCode.NO_ERROR, "the server went away")

    def goaway_received(self, code: int, reason: str) -> None:
        super().goaway_received(code, reason)
        if code == ErrorCode.ENHANCE_YOUR_CALM and reason == TOO_MANY_PINGS and self._keepalive is not None:
            self._keepalive.slow_down(self.peer)
        self._became_unavailable()
        self._loop.call_soon(self._end_if_idle)

    def engine_ended(self, code: int, reason: str) -> None:
        if self._pinger is not None:
            self._pinger.stop()
        if not self._ready.done():
            self._ready.set_exception(PeerError(f"{self.target}: {reason}"))
            self._ready.exception()
        self._became_unavailable()
        super().engine_ended(code, reason)

    def _became_unavailable(self) -> None:
        self._unavailable = True
        connection = cast("ClientConnection", self)
        callbacks, self._callbacks = self._callbacks, []
        call_back(callbacks, connection)
        self.queue.remove(connection)

    def __repr__(self) -> str:
        state = "READY" if self.available else "DRAINING" if not self.engine.ended else "CLOSED"
        return f"<H2ClientConnection {self.target} {state} {self.active} calls>"


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
