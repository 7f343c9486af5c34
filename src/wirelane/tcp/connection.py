r"""`Connection`: what a user holds, on the client and in a server's handler alike.

Reading. Every read states when it ends; what it returns depends on the bytes of the stream, never on how the
network cut them. A timeout is one deadline for the whole call; `timeout=0` means "only what is here". Whatever ends a
read early loses nothing: the bytes stay, the next read sees them, and the exception carries them as `.partial`:

- `ReadTimeout`: time is up. `LimitExceeded`: too many bytes without an end. (Cancellation: the same, without either.)
- `EndOfStream`: the peer ended its stream in order first; a read without size or marker still returns the rest.
- `ConnectionLost`: the peer reset the connection, or TLS was cut without close_notify (perhaps by an attacker).
- `ClosedError`: closed on this side. `BusyError`: somebody is reading already; one reads at a time, while others send.

The end of the stream: `read()` returns b"" there, once all is read; everything that asks for a certain size, marker or
match raises EndOfStream instead; iteration ends.

Memory: at most `limits.read_buffer` bytes are read ahead, or what the read in progress may need, and one piece from
the network more; then the peer has to wait.
"""

from __future__ import annotations

import ssl
import warnings
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING

from wirelane.core.target import Address, HostPort, UnixPath
from wirelane.errors import UsageError
from wirelane.net.tls import TlsConfig, resolve_tls
from wirelane.net.trace import Trace
from wirelane.tcp.protocol import TcpProtocol
from wirelane.tcp.reading import Reading
from wirelane.tcp.writing import Writing

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Connection"]


class Connection(Reading, Writing):
    """A TCP (or Unix socket) connection, with or without TLS. Made by `connect`, and by `Server` for its handler.

    `async with` closes it; `async for chunk in connection` gives what comes as it comes, until the stream ends.

    One that is dropped unclosed is closed when it is collected, with a ResourceWarning.

    Cancellation: a cancelled read loses nothing. A cancelled `send` sent nothing or all, or it ended the sending side
    (see there). A cancelled `close` or `start_tls` cuts the connection.
    """

    __slots__ = ("_local", "_name", "_peer", "_protocol", "_server_side", "_via")

    def __init__(
        self,
        protocol: TcpProtocol,
        *,
        server_side: bool = False,
        name: str | None = None,
        peer: Address | None = None,
        via: str = "",
    ) -> None:
        self._protocol = protocol
        self._server_side = server_side
        self._name = name
        self._peer = peer or _address(protocol.info("peername"))
        self._via = via
        protocol.peer = self._peer
        self._local = _address(protocol.info("sockname"))

    def _renewed(self) -> Connection:
        """Return a connection that goes on where this one stops: to whoever still has this one, it is closed."""
        goes_on = Connection(
            self._protocol, server_side=self._server_side, name=self._name, peer=self._peer, via=self._via
        )
        self._protocol = self._protocol.given_away()
        return goes_on

    # -- TLS

    async def start_tls(
        self, tls: bool | TlsConfig | ssl.SSLContext = True, *, server_name: str | None = None
    ) -> None:
        """Go over to TLS on this connection, after the two sides have agreed to (STARTTLS).

        What is buffered unread is taken as the beginning of the peer's handshake, never as data: commands slipped
        in before TLS make the handshake fail (CVE-2011-0411). After a failure or a cancellation the connection is
        closed.

        Args:
            tls: Settings; on a server, with its certificate.
            server_name: The name to verify and to ask for; on a client None means the host that was connected to.

        Raises:
            TlsError, ConnectionLost, BusyError, ClosedError, UsageError (TLS is on already; nothing to verify).
        """
        settings = resolve_tls(tls)
        if settings is None:
            raise UsageError("start_tls needs TLS settings, not False")
        if server_name is None and not self._server_side:
            server_name = self._name
        await self._protocol.start_tls(
            settings, server_side=self._server_side, server_name=server_name, peer=str(self._peer)
        )

    @property
    def tls(self) -> bool:
        """Whether TLS is on."""
        return self._protocol.info("ssl_object") is not None

    @property
    def peer_certificate(self) -> dict[str, object] | None:
        """The peer's certificate as `ssl.SSLSocket.getpeercert` gives it; None without TLS or without one."""
        certificate = self._protocol.info("peercert")
        return certificate if isinstance(certificate, dict) and certificate else None

    @property
    def cipher(self) -> tuple[str, str, int] | None:
        """(name, protocol, secret bits) of the TLS connection; None without TLS."""
        cipher = self._protocol.info("cipher")
        return cipher if isinstance(cipher, tuple) else None

    @property
    def alpn(self) -> str | None:
        """The protocol that both ends agreed on (`TlsConfig(alpn=)`); None without TLS or without an agreement."""
        chosen = self._protocol.info("alpn")
        return chosen if isinstance(chosen, str) else None

    # -- ends

    @property
    def peer(self) -> Address:
        """The address of the other end: `str()` of it is "host:port" or "unix:/path". Behind a proxy, as it was asked for."""
        return self._peer

    @property
    def local(self) -> Address:
        """The address of this end."""
        return self._local

    @property
    def draining(self) -> bool:
        """Whether the server of this connection drains, so that its handler should come to an end; see `more`."""
        return self._protocol.draining

    @property
    def trace(self) -> Trace | None:
        """The log of the conversation, if `trace=` asked for one."""
        trace = self._protocol.info("trace")
        return trace if isinstance(trace, Trace) else None

    @property
    def closed(self) -> bool:
        """Whether it was closed on this side."""
        return self._protocol.closed

    async def close(self, linger: float | None = None) -> None:
        """Send what is still buffered, end the connection in order (over TLS with close_notify), and wait for that.

        After a message that left in part (see `send`) it is cut instead, so that half is not taken for whole. Unread bytes
        are dropped; waiting reads and sends raise ClosedError. When time is up the connection is cut; cancelled, it is cut
        at once. Idempotent.

        Args:
            linger: None: the time is `limits.close_timeout`, and ends when the system has taken what was sent; if the peer
                goes on sending, the system resets the connection, and what the peer has not read by then is lost. A number
                of seconds: in this time the peer has to read all and end its stream, too; what it sends is dropped. 0
                cuts at once, as `abort`.
        """
        await self._protocol.close(linger)

    aclose = close

    def abort(self) -> None:
        """Cut the connection at once (TCP: RST); what was not sent is dropped."""
        self._protocol.abort()

    def __del__(self) -> None:
        # Nobody can close it any more: that is done, and told, as with a socket. Perhaps in another thread than the loop's.
        protocol: TcpProtocol | None = getattr(self, "_protocol", None)
        if protocol is not None and not protocol.closed and not protocol.lost:
            with suppress(RuntimeError):  # the loop is closed, and with it the connection
                protocol.loop.call_soon_threadsafe(protocol.let_go)
                warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=1, source=self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        parts = ["Connection", str(self._peer) if str(self._peer) != "unix:" else str(self._local)]
        parts.append(self._protocol.state)
        if self.tls:
            parts.append("TLS")
        if self._via:
            parts.append(f"via {self._via}")
        return f"<{' '.join(parts)}, {self._protocol.buffer.size} bytes unread>"


def _address(name: object) -> Address:
    """Return what a socket calls itself as an address; a Unix socket's end without a name has an empty path."""
    if isinstance(name, tuple) and len(name) >= 2:
        return HostPort(str(name[0]), int(name[1]))
    if isinstance(name, bytes):
        return UnixPath(name.decode("utf-8", "surrogateescape"))
    return UnixPath(name if isinstance(name, str) else "")
