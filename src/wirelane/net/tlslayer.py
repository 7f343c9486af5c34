"""TLS over any asyncio transport: a protocol below, a transport above, OpenSSL through memory in between.

Used for clients, servers and `start_tls` alike, on every event loop. What the event loops' own TLS does not do:

- An end of the TCP stream without close_notify is an attack or an accident, never a clean end: the protocol gets
  `connection_lost(ConnectionLost(...))`. After close_notify it gets `eof_received()`.
- Half-close works: `write_eof()` sends close_notify and goes on reading. TLS 1.3 defines that (RFC 8446 section
  6.1). In TLS 1.2 a peer may answer with its own close_notify at once and drop what it had to say (RFC 5246
  section 7.2.1); OpenSSL and Go do not.
- A peer that does not speak TLS at all is recognised by its first bytes.
- Errors are `TlsError`: which host, which step, what to try.

Invariant: whatever has arrived is decrypted at once, so that OpenSSL never holds a whole record. What may not be
delivered yet (reading is paused) waits here as plain text; it is no more than the transport below had read when
it was paused, because it is paused with us.
"""

from __future__ import annotations

import asyncio
import enum
import ssl
from collections.abc import Callable, Iterable
from typing import Any

from wirelane.core.target import HostPort
from wirelane.errors import ClosedError, ConnectionLost, TlsError, UsageError
from wirelane.net.below import Below
from wirelane.net.tls import TOLD_OF_TLS
from wirelane.net.tlserrors import RECORD_HEADER, explain, plaintext

__all__ = ["TlsTransport", "address_text"]

_RECORD = 16384
"""The most plain text in one record (RFC 8446 section 5.1): one read empties one record."""

Data = bytes | bytearray | memoryview

_CLOSE_TIMEOUT = 5.0
# A fatal alert, unexpected_message (RFC 8446 section 6.2), in the record of any version.
_UNEXPECTED_MESSAGE = b"\x15\x03\x01\x00\x02\x02\x0a"
_LINGER = 1.0
"""Seconds a server waits, after a failed handshake, for the client to read why."""

_REFUSED = "it may require a client certificate: TlsConfig(cert=..., key=...)"


class _State(enum.Enum):
    HANDSHAKE = "handshake"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


class TlsTransport(asyncio.Transport):
    """One TLS connection. `below` is the protocol to give to the transport that carries it.

    Args:
        on_ready: Called when the handshake is done; it should `attach` a protocol. What it raises fails the handshake.
        on_failure: Called once if the handshake fails, with a TlsError or ConnectionLost; the connection is being closed.
        server_name: For a client: the name to ask for and to check.
        peer: The other end, for messages; None: its address.
        handshake_timeout: Seconds from the start to the end of the handshake; None: somebody else keeps the time.
        close_timeout: Seconds for what was written to leave after `close`, before the connection is cut.
        adopted: A protocol that is connected already (start_tls). It gets nothing until `release`.

    Raises:
        UsageError: The server name cannot be one.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        on_ready: Callable[[TlsTransport], None],
        on_failure: Callable[[Exception], None],
        server_side: bool = False,
        server_name: str | None = None,
        peer: str | None = None,
        handshake_timeout: float | None = None,
        close_timeout: float = _CLOSE_TIMEOUT,
        adopted: asyncio.BaseProtocol | None = None,
    ) -> None:
        super().__init__()
        self.below: asyncio.Protocol = Below(self)
        self.plaintext_peer: str | None = None
        self.heard = False
        self._loop = asyncio.get_running_loop()
        self._on_ready = on_ready
        self._on_failure = on_failure
        self._server_side = server_side
        self._name = None if server_side else (server_name or "").partition("%")[0].rstrip(".")
        self._peer = peer
        self._handshake_timeout = handshake_timeout
        self._close_timeout = close_timeout
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        try:
            self._tls = context.wrap_bio(
                self._incoming, self._outgoing, server_side=server_side, server_hostname=self._name
            )
        except ValueError as exc:
            raise UsageError(f"TLS cannot check the name {server_name!r}: {exc}") from exc
        self._raw: asyncio.Transport | None = None
        self._protocol: asyncio.Protocol | None = None
        self._state = _State.HANDSHAKE
        self._first: bytes | None = b""
        self._timer: asyncio.TimerHandle | None = None
        self._paused = False
        self._writing_paused = False
        self._holding = adopted is not None
        self._held: list[bytes] = []
        self._established = False
        self._concealed = False
        self._received = False
        self._raw_eof = False
        self._read_end: Exception | bool = False
        self._read_eof = False
        self._write_eof = False
        self._settled = False
        self._error: Exception | None = None
        if adopted is not None:
            self.set_protocol(adopted)

    # ------------------------------------------------------------------ the transport above

    def write(self, data: Data) -> None:
        """Encrypt and write at once: callers that write often gather before, as HTTP/2 does."""
        if self._state is not _State.OPEN or self._raw is None or not data:
            return
        if self._write_eof:
            raise UsageError("cannot write after write_eof()")
        try:
            # Takes all of it, in as many records as needed: partial writes are not enabled, and memory has room.
            self._tls.write(data)
        except ssl.SSLWantReadError:
            # Only a renegotiation (TLS 1.2) makes a write wait for the peer; our own contexts refuse it.
            text = f"{self._who} started a TLS renegotiation, which is not supported"
            self._break(TlsError(text, host=self._name, step="after the handshake"))
        except ssl.SSLError as exc:
            self._break(self._explain(exc))
        else:
            self._raw.write(self._outgoing.read())

    def writelines(self, list_of_data: Iterable[Data]) -> None:
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        """Send close_notify; reading goes on. See the module about TLS 1.2."""
        if self._state is _State.OPEN and not self._write_eof:
            self._send_close_notify()

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        """Send close_notify after what was written, and close when the peer has ended too.

        Nothing more is delivered. The connection is cut after `close_timeout`, if what was written does not leave,
        or the peer does not end.
        """
        if self._state is _State.HANDSHAKE:
            self.abort()
        elif self._state is _State.OPEN:
            if not self._write_eof:
                self._send_close_notify()
            self._linger(self._close_timeout)

    def leave(self) -> None:
        """Close without waiting for the peer to end too: what was above came to nothing, and nobody waits here."""
        if self._state is not _State.OPEN:
            self.close()
            return
        if not self._write_eof:
            self._send_close_notify()
        self._state = _State.CLOSING
        self._held.clear()
        self._leave_below()

    def abort(self) -> None:
        """Cut the connection: no close_notify, nothing flushed."""
        if self._state is _State.CLOSED:
            return
        if self._raw is None:
            self._state = _State.CLOSED
            return
        self._state = _State.CLOSING
        self._held.clear()
        self._raw.abort()

    def is_closing(self) -> bool:
        # A write that failed closes the transport below at once, which tells so one turn later.
        return self._ending or (self._raw is not None and self._raw.is_closing())

    @property
    def _ending(self) -> bool:
        return self._state is _State.CLOSING or self._state is _State.CLOSED

    def pause_reading(self) -> None:
        """Deliver nothing more, and read nothing more below. Idempotent."""
        if self._paused or self._ending:
            return
        self._paused = True
        if self._raw is not None:
            self._raw.pause_reading()

    def resume_reading(self) -> None:
        """Go on; what waited is delivered in the next turn of the loop, never inside this call. Idempotent."""
        if not self._paused or self._ending:
            return
        self._paused = False
        if self._raw is not None:
            self._raw.resume_reading()
        self._loop.call_soon(self._deliver_held)

    @property
    def paused(self) -> bool:
        """Whether nothing is to be read below, because somebody asked for it and the transport is open."""
        return self._paused and not self._ending

    def is_reading(self) -> bool:
        return not self._paused and not self._ending

    def get_write_buffer_size(self) -> int:
        """Return the encrypted bytes that have not left yet; no others are kept."""
        return 0 if self._raw is None else self._raw.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return (0, 0) if self._raw is None else self._raw.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if self._raw is not None:
            self._raw.set_write_buffer_limits(high, low)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        if not isinstance(protocol, asyncio.Protocol):
            raise UsageError(f"TLS needs an asyncio.Protocol, not {type(protocol).__name__}")
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        if self._protocol is None:
            raise ClosedError("the TLS connection has no protocol any more, or none yet")
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what is known about the connection; of TLS nothing after `conceal`.

        "ssl_object", "peercert" (a dict; empty if it was not verified), "cipher", "alpn" and "tls_version"; all
        else is asked of the transport below ("socket", "peername", ...).
        """
        if name in TOLD_OF_TLS:  # and never asked below, where there may be TLS with somebody else
            known = self._established or name in {"ssl_object", "sslcontext"}
            return TOLD_OF_TLS[name](self._tls) if known and not self._concealed else default
        return default if self._raw is None else self._raw.get_extra_info(name, default)

    # ------------------------------------------------------------------ for those who make it

    def conceal(self) -> None:
        """Tell no more of this TLS: it is with a proxy, and what goes through is with the server behind it."""
        self._concealed = True

    def attach(self, protocol: asyncio.Protocol) -> None:
        """Give the connection its protocol; called from `on_ready`."""
        self._protocol = protocol
        protocol.connection_made(self)
        if self._writing_paused:
            protocol.pause_writing()

    def release(self) -> None:
        """Begin to deliver to an adopted protocol."""
        self._holding = False
        self._deliver_held()

    # ------------------------------------------------------------------ the protocol below

    def below_made(self, raw: asyncio.Transport) -> None:
        self._raw = raw
        if self._state is not _State.HANDSHAKE:
            raw.abort()
            return
        if self._peer is None:
            self._peer = address_text(raw.get_extra_info("peername"))
        if self._handshake_timeout is not None:
            self._timer = self._loop.call_later(self._handshake_timeout, self._handshake_timed_out)
        self._shake()

    def below_received(self, data: bytes) -> None:
        if self._state is _State.OPEN:
            if not self._read_end:
                self._incoming.write(data)
                self._pump()
        elif self._state is _State.HANDSHAKE:
            self._handshake_received(data)

    def below_ended(self) -> bool:
        self._raw_eof = True
        if self._state is _State.OPEN:
            if not self._read_end:
                self._pump()
        elif self._state is _State.HANDSHAKE:
            self._handshake_ended()
        elif self._raw is not None:
            self._raw.close()
        return True  # we close the transport below ourselves

    def below_lost(self, exc: Exception | None) -> None:
        state, self._state = self._state, _State.CLOSED
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._held.clear()
        if state is _State.HANDSHAKE:
            what = f"{self._who} reset the connection during the TLS handshake"
            self._error = TlsError(
                what, host=self._name or self._peer, step="handshake", hint=self._no_tls_hint
            )
            self._error.__cause__ = exc
            self._on_failure(self._error)
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.connection_lost(self._error or self._lost(exc))

    def below_pauses_writing(self) -> None:
        self._writing_paused = True
        if self._protocol is not None:
            self._protocol.pause_writing()

    def below_resumes_writing(self) -> None:
        self._writing_paused = False
        if self._protocol is not None:
            self._protocol.resume_writing()

    # ------------------------------------------------------------------ handshake

    @property
    def _who(self) -> str:
        return f"the {'client' if self._server_side else 'server'} at {self._peer}"

    @property
    def _no_tls_hint(self) -> str | None:
        return (
            None
            if self._server_side
            else "check that this port speaks TLS; if it does not, connect without TLS"
        )

    def _handshake_received(self, data: bytes) -> None:
        self.heard = True
        if self._first is not None:
            self._first += data
            if len(self._first) < RECORD_HEADER:
                return
            if self._is_plaintext():
                return
            data, self._first = self._first, None
        self._incoming.write(data)
        self._shake()

    def _is_plaintext(self) -> bool:
        assert self._first is not None
        spoken = plaintext(self._first, from_server=not self._server_side)
        if spoken is None:
            return False
        self.plaintext_peer = spoken
        verb = "sent" if self._server_side else "answered with"
        text = f"{self._who} speaks plaintext (it {verb} {spoken}), not TLS"
        hint = "the client must connect with TLS" if self._server_side else "connect without TLS"
        if self._server_side and self._raw is not None:
            # As other TLS servers do: a client that knows TLS when it sees it can say what went wrong.
            self._raw.write(_UNEXPECTED_MESSAGE)
        error = TlsError(text, host=self._name or self._peer, step="handshake", hint=hint)
        self._handshake_failed(error, tell=True)
        return True

    def _handshake_ended(self) -> None:
        """The peer ended its stream before the handshake was over."""
        if self._first and self._is_plaintext():
            return
        text = f"{self._who} closed the connection during the TLS handshake"
        self._handshake_failed(
            TlsError(text, host=self._name or self._peer, step="handshake", hint=self._no_tls_hint)
        )

    def _handshake_timed_out(self) -> None:
        text = f"{self._who} did not finish the TLS handshake within {self._handshake_timeout:g} s"
        self._handshake_failed(TlsError(text, host=self._name or self._peer, step="handshake"))

    def _shake(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError as exc:
            self._flush()  # the alert that tells the peer why
            self._handshake_failed(self._explain(exc), tell=True)
        else:
            self._flush()
            self._handshake_done()

    def _handshake_done(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._state = _State.OPEN
        self._established = True
        try:
            self._on_ready(self)
        except Exception as exc:  # noqa: BLE001 - the user's factory may raise anything; it goes to on_failure
            self._handshake_failed(exc)
            return
        if self._state is _State.OPEN:
            self._pump()

    def _handshake_failed(self, exc: Exception, *, tell: bool = False) -> None:
        self._error = exc
        self._state = _State.CLOSING
        self._on_failure(exc)
        if self._raw is None:
            return
        if tell and self._server_side:
            self._linger(_LINGER)
        else:
            self._leave_below()

    # ------------------------------------------------------------------ reading

    def _pump(self) -> None:
        """Decrypt all that is here; deliver it as one piece, then how the stream ended if it did."""
        pieces: list[bytes] = []
        read, incoming = self._tls.read, self._incoming
        try:
            while incoming.pending or self._raw_eof:
                piece = read(_RECORD)
                if not piece:
                    self._read_end = True
                    break
                pieces.append(piece)
        except ssl.SSLWantReadError:
            if self._raw_eof:
                # Not left to OpenSSL: whether it tells this from an end depends on an option of the context.
                said = f"{self._who} broke the connection: the TLS stream ended without close_notify, "
                early = self._early and not pieces
                said += (
                    f"before anything came; {_REFUSED}" if early else "what was received may be incomplete"
                )
                self._read_end = ConnectionLost(said)
        except ssl.SSLZeroReturnError:
            self._read_end = True
        except ssl.SSLError as exc:
            self._read_end = self._explain(exc)
        if self._outgoing.pending:
            self._flush()
        if pieces:
            self._deliver(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if self._read_end:
            self._end_reading()

    def _deliver(self, data: bytes) -> None:
        if self._paused or self._holding or self._held:
            self._held.append(data)
        elif self._protocol is not None:
            self._received = True
            self._protocol.data_received(data)

    def _deliver_held(self) -> None:
        if self._paused or self._holding or self._state is not _State.OPEN:
            return
        try:
            if self._held and self._protocol is not None:
                data = b"".join(self._held)
                self._held.clear()
                self._received = True
                self._protocol.data_received(data)
            if self._read_end:
                self._end_reading()
        except Exception as exc:  # noqa: BLE001 - as event loops do: a protocol that raises loses its connection
            text = "Fatal error: protocol.data_received() call failed."
            self._loop.call_exception_handler(
                {"message": text, "exception": exc, "transport": self, "protocol": self._protocol}
            )
            self._break(exc)

    def _end_reading(self) -> None:
        """Tell the protocol how the peer's stream ended, once it may know and has all that came before."""
        if self._state is not _State.OPEN or self._paused or self._holding or self._held or self._read_eof:
            return
        if isinstance(self._read_end, Exception):
            self._break(self._read_end)
            return
        self._read_eof = True
        if self._protocol is not None and not self._protocol.eof_received():
            self.close()

    # ------------------------------------------------------------------ ending

    def _send_close_notify(self) -> None:
        self._write_eof = True
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            # Sent; OpenSSL goes on to look for the peer's, and reports that it is not here yet.
            pass
        self._flush()

    def _break(self, exc: Exception) -> None:
        """End the connection because of `exc`, which the protocol gets in `connection_lost`."""
        if self._ending:
            return
        self._error = exc
        self.abort()

    def _linger(self, timeout: float) -> None:
        """End our side, and read on, discarding, until the peer ends its own.

        Closing a socket with unread data resets the connection, and the reset destroys what the peer has not read
        yet. There nearly always is something unread: a TLS 1.3 server sends session tickets after the handshake.
        """
        self._state = _State.CLOSING
        self._held.clear()
        if self._raw is None:
            return
        # Everything has left, or the peer has ended: whatever happens to the connection now is no news.
        self._settled = self._read_end is True or self._raw.get_write_buffer_size() == 0
        if self._raw_eof or not self._raw.can_write_eof():
            self._raw.close()
        else:
            try:
                self._raw.write_eof()
            except OSError:
                self._raw.abort()  # the peer has reset the connection, and the loop has yet to see it
                return
            if self._paused:
                self._raw.resume_reading()
        self._cut_after(timeout)

    def _leave_below(self) -> None:
        if isinstance(self._raw, TlsTransport):  # to an HTTPS proxy
            self._raw.leave()
        elif self._raw is not None:
            self._raw.close()
        self._cut_after(self._close_timeout)

    def _cut_after(self, timeout: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._raw is not None:
            self._timer = self._loop.call_later(timeout, self._raw.abort)

    def _flush(self) -> None:
        if self._outgoing.pending and self._raw is not None:
            self._raw.write(self._outgoing.read())

    def _explain(self, exc: ssl.SSLError) -> TlsError:
        error = explain(
            exc,
            peer=str(self._peer),
            name=self._name,
            server_side=self._server_side,
            established=self._established,
        )
        error.__cause__ = exc
        return error

    @property
    def _early(self) -> bool:
        """Whether a server may be refusing us: in TLS 1.3 it does so after our side of the handshake."""
        nothing_came = not (self._received or self._held)
        return nothing_came and not self._server_side and self._tls.version() == "TLSv1.3"

    def _lost(self, exc: Exception | None) -> Exception | None:
        """Return what the protocol is told of a loss below.

        A reset right after the handshake gets an explanation: the alert that gave the reason may have been overtaken.
        """
        if self._settled:
            return None
        if not self._early or not isinstance(exc, ConnectionResetError | BrokenPipeError):
            return exc
        lost = ConnectionLost(f"{self._who} reset the connection right after the TLS handshake; {_REFUSED}")
        lost.__cause__ = exc
        return lost

    def __repr__(self) -> str:
        end = "server" if self._server_side else "client"
        version = self._tls.version() if self._established else None
        return f"<TlsTransport {end} of {self._peer} {self._state.value}{f' {version}' if version else ''}>"


def address_text(name: object) -> str:
    """Return the text of what a transport calls "peername"."""
    if isinstance(name, tuple) and len(name) >= 2:
        return str(HostPort(str(name[0]), int(name[1])))
    return f"unix:{name}" if name else "the other end of a unix socket"
