"""The server's end of gRPC over HTTP/2: listeners, connections and their calls. Implements the seam of `base`."""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING

from wirelane.core.deadline import Deadline
from wirelane.core.framing import message_prefix
from wirelane.core.keepalive import PingPolicy, ServerOptions
from wirelane.core.limits import Limits
from wirelane.core.metadata import Metadata, to_headers
from wirelane.errors import BusyError, LimitExceeded, PeerError, UsageError
from wirelane.http2 import ErrorCode, HeaderBlock, Stream
from wirelane.http2.describe import describe_frames
from wirelane.net.admission import Admission
from wirelane.net.listen import listen
from wirelane.net.tap import tapped
from wirelane.status import StatusCode
from wirelane.transport.base import CallEnded, Ending
from wirelane.transport.callstream import CallStream
from wirelane.transport.greeting import HTTP1_ANSWER, recognise_client
from wirelane.transport.heads import (
    OK_TRAILERS,
    PLAIN_RESPONSE,
    ParsedRequest,
    http_refusal,
    parse_request,
    response_fields,
    trailers,
)
from wirelane.transport.keepalive import Tenure, server_pinger
from wirelane.transport.protocol import H2Protocol, call_back, wait_for
from wirelane.transport.serving import Serving
from wirelane.transport.unread import UnreadAnswers

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

    from wirelane.core.target import Address
    from wirelane.net.tls import TlsConfig
    from wirelane.net.trace import Trace
    from wirelane.transport.base import CallHandler, Part, Peer

__all__ = ["H2ServerConnection", "H2ServerStream", "serve"]

logger = logging.getLogger("wirelane.transport")

# Kinds of refusals that have a line of their own in the log.
_TOLD_APART = frozenset({"slow", "strangers", "deaf"})
_ANSWERED = Ending(StatusCode.OK)


class H2ServerStream(CallStream):
    """One call of a server. See `base.ServerStream` for what its methods promise."""

    __slots__ = (
        "_begun",
        "_callbacks",
        "_cancelled",
        "_deadline",
        "_finished",
        "_head_sent",
        "_metadata",
        "_request",
        "_why",
    )

    _owner: H2ServerConnection

    def __init__(self, owner: H2ServerConnection, request: ParsedRequest) -> None:
        super().__init__(owner)
        self._request = request
        self._deadline = None if request.timeout is None else Deadline.after(request.timeout)
        self._metadata: Metadata | None = None
        self._begun = False
        self._head_sent = False
        self._finished = False
        self._cancelled = False
        self._why: Ending | None = None
        self._callbacks: list[Callable[[H2ServerStream], None]] | None = None

    @property
    def path(self) -> str:
        return self._request.path

    @property
    def metadata(self) -> Metadata:
        if self._metadata is None:
            self._metadata = self._request.copy_metadata()
        return self._metadata

    @property
    def deadline(self) -> Deadline | None:
        return self._deadline

    @property
    def encoding(self) -> str | None:
        return self._request.encoding

    @property
    def accept_encoding(self) -> tuple[str, ...]:
        return self._request.accept_encoding

    @property
    def authority(self) -> str:
        return self._request.authority

    @property
    def peer(self) -> Peer:
        return self._owner.peer

    @property
    def ended(self) -> bool:
        return self._finished or self._cancelled

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    async def receive(self) -> Part | None:
        message = await self._receive()
        if message is None and self._why is not None:
            raise CallEnded(self._why)
        return message

    def send_head(self, metadata: Metadata, *, encoding: str | None = None) -> None:
        if self.ended:
            return
        if self._head_sent:
            raise UsageError("the initial metadata of this call has already been sent")
        self._send_head(metadata, encoding)

    def _send_head(self, metadata: Metadata | None, encoding: str | None) -> None:
        variable = to_headers(metadata) if metadata else None
        self._head_sent = True
        self.connection.send_headers(self, response_fields(encoding), variable)

    async def send(self, payload: bytes, *, compressed: bool = False) -> None:
        if self.ended:
            raise CallEnded(self._why or Ending(StatusCode.CANCELLED, "the call has ended"))
        if self._send_waiter is not None:
            raise BusyError("a message is being sent on this call already; one sends at a time")
        if not self._head_sent:
            self._send_head(None, None)
        if self.connection.send(self, payload, prefix=message_prefix(payload, compressed)):
            await self._owner.take_turn()
            return
        while self.has_pending and not self.ended:
            await wait_for(self, "_send_waiter", self._owner.loop.create_future())
        if self.ended:
            raise CallEnded(self._why or Ending(StatusCode.CANCELLED, "the call has ended"))

    def finish(
        self,
        code: StatusCode,
        message: str = "",
        *,
        metadata: Metadata | None = None,
        details: bytes | None = None,
        payload: bytes | None = None,
        compressed: bool = False,
        encoding: str | None = None,
        head: Metadata | None = None,
    ) -> None:
        if self.ended:
            return
        engine = self.connection
        # What cannot be sent raises here, while the call can still be finished otherwise.
        stable, variable = trailers(code, message, metadata, details)
        if details is not None:
            self._check_details(variable or ())
        prefix = b"" if payload is None else message_prefix(payload, compressed)
        if not self._head_sent:
            if payload is None and not head:
                self._head_sent = True
                stable = PLAIN_RESPONSE + stable
            else:
                self._send_head(head, encoding)
        self._end_receiving(Ending(code, message))
        if payload is not None:
            engine.send(self, payload, prefix=prefix)
        engine.send_headers(self, stable, variable, end_stream=True)
        if self._pending:
            self._await_client()
        self._stop_client()

    def _check_details(self, fields: Sequence[tuple[bytes, bytes]]) -> None:
        """Raise LimitExceeded if the client would drop the whole answer for its details (RFC 9113 section 6.5.2)."""
        limit = self.connection.peer_max_header_list
        # With the status, and a head where none has gone.
        size = 150 + sum(len(name) + len(value) + 32 for name, value in fields)
        if limit is not None and size > limit:
            raise LimitExceeded(
                f"the trailers have {size} octets, and the client takes {limit}",
                limit="SETTINGS_MAX_HEADER_LIST_SIZE",
                maximum=limit,
                seen=size,
            )

    def answer(self, payload: bytes) -> None:
        if self._head_sent or self._finished or self._cancelled or not self.remote_closed:
            self.finish(StatusCode.OK, payload=payload)
            return
        prefix = message_prefix(payload)
        self._head_sent = True
        self._end_receiving(_ANSWERED)
        self.connection.send_whole(self, PLAIN_RESPONSE, payload, prefix=prefix, trailers=OK_TRAILERS)
        if self._pending:
            self._await_client()

    def _await_client(self) -> None:
        """The answer waits for the client's window: let it send on, so that it comes to reading, but not for ever."""
        self._pass_over()
        self._owner.unread.watch(self, self._deadline)

    def _end_receiving(self, why: Ending) -> None:
        """This end is done: wake who waits, and let nobody take the requests dropped here for a half-close."""
        self._finished = True
        if not self.exhausted:
            self._why = self._why or why
        self._end_messages(discard=True)
        self._wake_sender()

    def _stop_client(self) -> None:
        """After the trailers, tell a client that still sends to stop (RFC 9113 section 8.1)."""
        if self.local_closed and not self.remote_closed:
            self.connection.reset(self, ErrorCode.NO_ERROR, tell=False)

    def reset(self) -> None:
        self._reset(ErrorCode.CANCEL, "the server reset the call")

    def refuse(self) -> None:
        self._reset(ErrorCode.REFUSED_STREAM, "the server did not take the call")

    def _reset(self, code: ErrorCode, why: str) -> None:
        if not self.ended:
            self._end_receiving(Ending(StatusCode.CANCELLED, why))
            self.connection.reset(self, code, tell=False)

    def add_cancel_callback(self, callback: Callable[[H2ServerStream], None]) -> None:
        if self._cancelled:
            callback(self)
        elif self._callbacks is None:
            self._callbacks = [callback]
        else:
            self._callbacks.append(callback)

    # http2.Stream hooks

    def on_headers(self, block: HeaderBlock, end_stream: bool) -> None:
        if self._begun:
            # Trailers of a client carry nothing for us; they end the stream.
            self._input_ended()
            return
        self._begun = True
        request = self._request
        if request.http_status:
            self._owner.refused("requests")
            self._finished = True
            stable, variable = http_refusal(request.http_status)
            self.connection.send_headers(self, stable, variable, end_stream=True)
            self._stop_client()
        elif request.refusal is not None:
            self._owner.refused("requests")
            self.finish(request.refusal.code, request.refusal.message)
        else:
            if end_stream:
                self._all_in = True
            self._owner.begin(self)

    def _input_ended(self) -> None:
        if self._inside_message:
            self._break(StatusCode.INTERNAL, "the client ended the request inside a message")
        else:
            self._end_messages()

    def _input_broken(self, error: LimitExceeded | PeerError) -> None:
        if isinstance(error, LimitExceeded):
            text = f"a message of the request is too large: {error}"
            self._break(StatusCode.RESOURCE_EXHAUSTED, text)
        else:
            self._break(StatusCode.INTERNAL, str(error))

    def _break(self, code: StatusCode, message: str) -> None:
        """Answer a client that broke a rule of gRPC; the handler learns it from its next receive or send."""
        self._owner.refused("requests")
        self._why = Ending(code, message)
        self.finish(code, message)

    def on_reset(self, code: int, *, by_peer: bool, reason: str = "") -> None:
        text = f"the client reset the call with {ErrorCode.text(code)}" if by_peer else reason
        self._cancel(Ending(StatusCode.CANCELLED, text))

    def reset_is_due(self) -> bool:
        # A client's deadline runs out a little before ours, which began when the call arrived.
        deadline, timeout = self._deadline, self._request.timeout
        return deadline is not None and timeout is not None and deadline.remaining() * 10 <= timeout

    def on_connection_ended(self, code: int, reason: str, *, unprocessed: bool) -> None:
        self._cancel(Ending(StatusCode.CANCELLED, reason))

    def _cancel(self, why: Ending) -> None:
        if self._cancelled:
            return
        done = self._finished
        self._cancelled = True
        self._why = self._why or why
        self._end_messages(discard=True)
        self._wake_sender()
        callbacks, self._callbacks = self._callbacks, None
        if done:
            self._owner.unread.forget(self)
        elif callbacks:
            call_back(callbacks, self)

    def on_drained(self) -> None:
        self._wake_sender()
        if self._finished:
            self._owner.unread.forget(self)
            self._stop_client()


class H2ServerConnection(H2Protocol):
    """One accepted connection. See `base.ServerConnection` for what its methods promise.

    `serving` counts what was refused, and decides what is logged of it; the connections of a listener share it.
    """

    def __init__(
        self,
        limits: Limits,
        on_call: CallHandler,
        *,
        serving: Serving | None = None,
        options: ServerOptions | None = None,
    ) -> None:
        super().__init__(client=False, limits=limits)
        options = options or ServerOptions()
        self._pinger = server_pinger(self, options)
        self._tenure = Tenure(self, options)
        # Somebody asks when the last call ends.
        self._watches_calls = self._tenure.watches_idle
        self._pings = PingPolicy(options)
        self.engine.ping_policy = self._allow_ping
        self._on_call = on_call
        self._serving = Serving(limits) if serving is None else serving
        self._first: bytes | None = b""
        self._handshake: asyncio.TimerHandle | None = None
        self._draining = False
        # Ends a drain whose PING never comes back.
        self._drain_timer: asyncio.TimerHandle | None = None
        self.unread = UnreadAnswers(self)
        # The rule for which we ended the connection, in words.
        self._ended_for = ""

    def begin(self, stream: H2ServerStream) -> None:
        """Hand a call over; an error of the layer above ends the call, not the connection."""
        try:
            self._on_call(stream)
        except Exception as error:
            if self._serving.log_sampler.admit("begin") is not None:
                logger.error("the call handler failed for %s", stream.path, exc_info=error)
            stream.finish(StatusCode.INTERNAL, "the server failed to start the call")

    def drain(self, *, final: bool = False, reason: str = "graceful_stop") -> None:
        if not self._draining and not self.engine.ended:
            # A client that does not answer the PING is not waited for (grpc-go: 5 s).
            self._drain_timer = self._loop.call_later(self.limits.close_timeout, self.engine.finish_drain)
        self._draining = self._watches_calls = True
        self.engine.drain(reason)
        if final:
            self.engine.finish_drain()
        self._close_if_drained()

    def _allow_ping(self) -> bool:
        """Count a PING against the policy; calls that began or ended and DATA that was sent excuse it."""
        engine, calls = self.engine, self.active
        mark = (engine.last_peer_stream, calls, engine.send_granted - engine.send_window)
        return self._pings.allows(monotonic(), calls=calls, mark=mark)

    def _close_if_drained(self) -> None:
        """Close when nothing is left and the client knows which streams were taken."""
        if self._draining and self.engine.goaway_final and not self.engine.streams and not self.engine.ended:
            self._lingers = True
            self.engine.end(ErrorCode.NO_ERROR, "the server shut down")

    async def close(self) -> None:
        """Say GOAWAY, reset what is in flight, close. Bounded by `limits.close_timeout`."""
        await self._close(ErrorCode.NO_ERROR, "the server shut down")

    # asyncio.Protocol and http2.Owner

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._handshake = self._loop.call_later(self.limits.handshake_timeout, self._too_slow)
        if self._pinger is not None:
            self._pinger.start()
        self._tenure.start()
        self._serving.opened(self)

    def _too_slow(self) -> None:
        self.refused("slow")
        self._say(
            "slow", "%s sent no HTTP/2 preface in %s s: closed", self.peer, self.limits.handshake_timeout
        )
        self.abort()

    def data_received(self, data: bytes) -> None:
        if self._first is not None:
            self._first += data
            speaks = recognise_client(self._first)
            if speaks is not None:
                self._refuse(speaks)
                return
            if len(self._first) < 24:
                return
            data, self._first = self._first, None
        super().data_received(data)

    def _refuse(self, speaks: str) -> None:
        self.refused("strangers")
        self._say(speaks, "%s speaks %s: closed", self.peer, speaks)
        self._first = None
        self.engine.take()
        if self._transport is not None:
            if speaks == "HTTP/1.x":
                self._transport.write(HTTP1_ANSWER)
            self._close_transport()
        self.engine.end(ErrorCode.PROTOCOL_ERROR, f"the client speaks {speaks}")

    def refused(self, kind: str) -> None:
        """Count something that was refused to this client."""
        self.engine.conduct.refusals[kind] += 1

    def _say(self, kind: str, text: str, *args: object) -> None:
        """Log at INFO, and at DEBUG what would be too much of a kind: strangers must not be able to fill the log.

        One stranger is as good as another; what clients were refused differs.
        """
        level, text = self._serving.log_sampler.line(kind, text, None if kind == "refusals" else 1)
        logger.log(level, text, *args)

    def settings_changed(self) -> None:
        if self._handshake is not None:
            self._handshake.cancel()
            self._handshake = None

    def stream_requested(self, block: HeaderBlock) -> Stream | None:
        return H2ServerStream(self, parse_request(block, self.limits))

    def stream_closed(self, stream: Stream) -> None:
        if self._watches_calls and not self.engine.streams:
            self._tenure.idle_since = monotonic()
            if self._draining:
                self._loop.call_soon(self._close_if_drained)

    def engine_ended(self, code: int, reason: str) -> None:
        if self.engine.conduct.refusals["connections"]:
            self._ended_for = f"; {reason}"
        if self._pinger is not None:
            self._pinger.stop()
        self._tenure.stop()
        if self._drain_timer is not None:
            self._drain_timer.cancel()
        super().engine_ended(code, reason)

    def _flush(self) -> None:
        super()._flush()
        transport, limits = self._transport, self.limits
        # DATA waits for a client that does not read; heads and trailers do not. One that obeys our
        # MAX_CONCURRENT_STREAMS cannot make more of them than this.
        most = 2 * limits.max_send_buffer + limits.max_concurrent_streams * limits.max_header_list
        # What was dropped when it was cut, uvloop still counts.
        if transport is not None and transport.get_write_buffer_size() > most and not transport.is_closing():
            self.refused("deaf")
            self._say("deaf", "%s does not read the answers it asks for: closed", self.peer)
            self.abort()
        self._close_if_drained()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._handshake is not None:
            self._handshake.cancel()
            self._handshake = None
        super().connection_lost(exc)
        self._serving.closed(self)
        self._tell_refusals()

    def _tell_refusals(self) -> None:
        """Log once what this client was refused in all its time; its frames are not logged one by one."""
        refusals = self.engine.conduct.refusals
        told = {kind: count for kind, count in refusals.items() if kind not in _TOLD_APART}
        if told:
            counts = ", ".join(f"{kind} {count}" for kind, count in told.items())
            self._say("refusals", "refused to %s: %s%s", self.peer, counts, self._ended_for)

    def __repr__(self) -> str:
        state = "CLOSED" if self.engine.ended else "DRAINING" if self._draining else "OPEN"
        return f"<H2ServerConnection {self.peer} {state} {self.active} calls>"


async def serve(
    address: Address,
    on_call: CallHandler,
    *,
    tls: TlsConfig | ssl.SSLContext | None = None,
    limits: Limits | None = None,
    options: ServerOptions | None = None,
    admission: Admission | None = None,
    reuse_port: bool = False,
    trace: Trace | None = None,
) -> Serving:
    """Listen on an address and hand each call to `on_call`. With TLS, clients must agree to h2 (ALPN).

    `admission` counts connections over several addresses; None: this one is held to the numbers of `limits` by itself.

    Raises:
        ConnectError: The address cannot be listened on.
    """
    limits = limits or Limits()
    serving = Serving(limits)
    options = options or ServerOptions()

    def factory() -> asyncio.Protocol:
        connection = H2ServerConnection(limits, on_call, serving=serving, options=options)
        return tapped(connection, trace, describe_frames)

    serving._listening = await listen(
        factory,
        address,
        tls=tls,
        alpn=("h2",),
        alpn_required=True,
        handshake_timeout=limits.handshake_timeout,
        admission=admission or Admission(limits.max_connections, limits.max_connections_per_peer),
        reuse_port=reuse_port,
        user_timeout=None if options.keepalive_time is None else options.keepalive_timeout,
    )
    return serving
