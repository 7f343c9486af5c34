r"""`Connection`: what a user holds, on the client and in a server's handler alike.

Reading. Every read states when it ends; what it returns depends on the bytes of the stream, never on how the
network cut them. A timeout is one deadline for the whole call; `timeout=0` means "only what is here". Whatever ends a
read early loses nothing: the bytes stay, the next read sees them, and the exception carries them as `.partial`:

- `ReadTimeout`: time is up. `LimitExceeded`: too many bytes without an end. (Cancellation: the same, without either.)
- `EndOfStream`: the peer ended its stream in order first; a read without size or marker still returns the rest.
- `ConnectionLost`: the peer reset the connection, or TLS was cut without close_notify (perhaps by an attacker).
- `ClosedError`: closed on this side. `BusyError`: another task is reading; one reads at a time, while others send.

The end of the stream: `read()` returns b"" there, once all is read; everything that asks for a certain size, marker or
match raises EndOfStream instead; iteration ends.

Memory: at most `limits.read_buffer` bytes are read ahead, or what the read in progress may need, and one piece from
the network more; then the peer has to wait.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING

from wirelane.core.deadline import Deadline
from wirelane.core.delimiters import (
    Available,
    Exactly,
    Matching,
    TextLine,
    UntilEof,
    encode_text,
    line_rule,
    marker_rule,
    text_markers,
)
from wirelane.core.readbuffer import Markers
from wirelane.core.target import Address, HostPort, UnixPath
from wirelane.errors import EndOfStream, UsageError
from wirelane.net.tls import TlsConfig, resolve_tls
from wirelane.net.trace import Trace
from wirelane.tcp.protocol import TcpProtocol

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Chunks", "Connection", "Data", "Lines", "to_bytes"]

Data = bytes | bytearray | memoryview

_REGEX_WINDOW = 8192


class Connection:
    """A TCP (or Unix socket) connection, with or without TLS. Made by `connect`, and by `Server` for its handler.

    `async with` closes it; `async for chunk in connection` gives what comes as it comes, until the stream ends.

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
        self._local = _address(protocol.info("sockname"))

    # -- reading

    async def read(
        self,
        max_bytes: int | None = None,
        marker: bytes | Iterable[bytes] | None = None,
        timeout: float | None = None,
        keep_marker: bool = True,
    ) -> bytes:
        r"""Read until `max_bytes` are reached or a marker is seen; with neither, whatever is there.

        | given | returns | at the end of the stream |
        |---|---|---|
        | nothing | what is here, waiting for at least one byte, at most `limits.read_buffer` | b"" |
        | `max_bytes` | exactly that many | EndOfStream |
        | `marker` | all up to it; LimitExceeded after `limits.read_buffer` bytes without one | EndOfStream |
        | both | all up to the marker, or `max_bytes` if no marker ends within them | EndOfStream |

        Args:
            max_bytes: Size in bytes, the marker included.
            marker: Bytes, or several: the one that ends first counts, and of those that end together the longest
                (so that with `(b"\n", b"\r\n")` and `keep_marker=False` nothing of a line's end remains).
            timeout: Seconds for the whole call; None waits for ever, 0 takes only what is here.
            keep_marker: Leave the marker at the end of what is returned.

        Raises:
            ReadTimeout, EndOfStream, ConnectionLost, LimitExceeded, BusyError, ClosedError, UsageError.
        """
        limits = self._protocol.limits
        if marker is not None:
            if not isinstance(marker, bytes):
                marker = Markers.of(marker).values
            if max_bytes is None:
                rule = marker_rule(marker, limits.read_buffer, keep_marker, "read_buffer")
            else:
                rule = marker_rule(marker, max_bytes, keep_marker, None)
            return await self._protocol.read(rule, timeout)
        if max_bytes is not None:
            return await self._protocol.read(Exactly(max_bytes, name="max_bytes"), timeout)
        return await self._protocol.read(Available(limits.read_buffer), timeout)

    async def read_line(
        self,
        encoding: str = "utf-8",
        marker: str | Iterable[str] = "\n",
        max_bytes: int = 65536,
        timeout: float | None = None,
        keep_marker: bool = False,
        *,
        errors: str = "strict",
    ) -> str:
        r"""Read one line as text.

        The marker is looked for as it is in `encoding`, at whole code units (UTF-16, UTF-32). "utf-16" and "utf-32"
        mean this machine's byte order; name the order ("utf-16-le") when the peer chose it. In encodings where an
        ASCII byte may be the second of a character (Shift-JIS, GBK, Big5), use control characters as markers.

        Args:
            encoding: Of the line and the marker.
            marker: Where the line ends, or several, as for `read`: `("\r\n", "\n")` takes both kinds of line.
            max_bytes: The longest line, in bytes, marker included.
            timeout: Seconds for the whole call; None waits for ever, 0 takes only what is here.
            keep_marker: Leave the marker at the end of the line.
            errors: What to do about bytes that are not text, as for `bytes.decode`.

        Raises:
            CodecError: The line is not text in `encoding`. It stays unread, like all that a read fails on:
                `read(marker=...)` gets it as bytes.
            ReadTimeout, EndOfStream (also for a last line without a marker), ConnectionLost, LimitExceeded,
            BusyError, ClosedError, UsageError.
        """
        rule = line_rule(_texts(marker), encoding, max_bytes, keep_marker, errors)
        return await self._protocol.read(rule, timeout)

    async def read_exactly(self, n: int, timeout: float | None = None) -> bytes:
        """Read `n` bytes. Raises as `read` with `max_bytes`."""
        return await self._protocol.read(Exactly(n), timeout)

    async def read_until_eof(self, max_bytes: int | None = None, timeout: float | None = None) -> bytes:
        """Read all that comes until the peer ends its stream.

        Args:
            max_bytes: The most to accept; None: `limits.max_receive_message` (4 MiB unless changed).
            timeout: Seconds for the whole call; 0 returns only if the end is here.

        Raises:
            LimitExceeded: The stream is longer. `ConnectionLost` if it did not end in order, and as `read`.
        """
        if max_bytes is None:
            rule = UntilEof(self._protocol.limits.max_receive_message, limit_name="max_receive_message")
        else:
            rule = UntilEof(max_bytes)
        return await self._protocol.read(rule, timeout)

    async def read_regex(
        self, pattern: bytes | re.Pattern[bytes], window: int = _REGEX_WINDOW, timeout: float | None = None
    ) -> bytes:
        r"""Read up to the end of the first match of a regular expression.

        The result is what it would be if bytes came one by one and the pattern were tried after each: `rb"\d+"` ends
        after the first digit, `rb"\d+\n"` after the newline, and `rb"[$#] $"` at the first prompt.

        Args:
            pattern: Of bytes, as text or compiled. `re.search(pattern, result)` gives its groups.
            window: The match must end within so many bytes. Time grows with its square for patterns that look
                at what follows a match ($, \b, lookahead), and when the bytes come in small pieces.
            timeout: Seconds for the whole call; None waits for ever, 0 takes only what is here.

        Raises:
            LimitExceeded: No match ends within `window` bytes. Otherwise as `read`.
        """
        return await self._protocol.read(Matching(pattern, window), timeout)

    def lines(
        self,
        encoding: str = "utf-8",
        marker: str | Iterable[str] = "\n",
        max_bytes: int = 65536,
        timeout: float | None = None,
        keep_marker: bool = False,
        *,
        errors: str = "strict",
    ) -> Lines:
        """Iterate over lines until the stream ends: `async for line in connection.lines()`.

        Arguments and errors are those of `read_line`, `timeout` for each line; after an error, the iteration can go
        on. As with files, a last line without a marker is a line too, if the stream ended in order.
        """
        rule = line_rule(_texts(marker), encoding, max_bytes, keep_marker, errors)
        return Lines(self._protocol, rule, timeout)

    def __aiter__(self) -> Chunks:
        return Chunks(self._protocol)

    async def more(self, timeout: float | None = None) -> bool:
        """Wait until there is something to read, and leave it there: True. False when there will be nothing.

        That is so at the end of the stream, and in a handler whose server drains: then between two messages, when
        nothing is buffered. A server that is to stop soon waits for messages in this way:

            while await connection.more():
                line = await connection.read_line(timeout=5.0)
                await connection.send_line(answer(line))

        A client from which nothing has come yet has its first message taken, although the server drains.

        Args:
            timeout: Seconds to wait; None waits for ever, 0 looks only at what is here.

        Raises:
            ReadTimeout, ConnectionLost, BusyError, ClosedError.
        """
        return await self._protocol.more(timeout)

    def peek(self, max_bytes: int | None = None) -> bytes:
        """Return what is buffered, at once, and leave it there."""
        return self._protocol.buffer.peek(max_bytes)

    def unread(self, data: Data) -> None:
        """Put bytes in front of what is unread. Raises BusyError while a read waits, ClosedError, UsageError."""
        self._protocol.unread(to_bytes(data))

    @property
    def buffered(self) -> int:
        """Bytes that are here and unread."""
        return len(self._protocol.buffer)

    # -- sending

    async def send(self, data: Data, timeout: float | None = None) -> None:
        """Send bytes: written, and flow control satisfied (`limits.max_send_buffer`), when this returns.

        Several tasks may send: each message goes out whole, in the order of the calls.

        Args:
            data: Sent as it is when this is called.
            timeout: Seconds for the whole call; None waits for ever.

        Raises:
            SendTimeout: The peer does not read. Part of `data` may have left (`.unsent` says how much is here), and
                then nothing more can be sent on this connection; reading goes on. The same holds, without this
                error, when the task is cancelled in the middle of a message.
            ConnectionLost, ClosedError, UsageError (after `send_eof`).
        """
        if not isinstance(data, bytes):
            data = to_bytes(data)  # a copy: the caller may change the original while part of it waits
        await self._protocol.sender.send(data, timeout)

    async def send_line(
        self, text: str, encoding: str = "utf-8", newline: str = "\n", timeout: float | None = None
    ) -> None:
        """Send text and a newline. Raises CodecError if it does not exist in `encoding`, and as `send`."""
        data = encode_text(text, encoding)
        if not isinstance(newline, str):
            raise UsageError(f"newline must be text, not {type(newline).__name__}")
        if newline:
            data += text_markers(newline, encoding).values[0]
        await self._protocol.sender.send(data, timeout)

    async def send_eof(self) -> None:
        """Half-close: tell the peer that nothing more will come, after all that was sent. Reading goes on.

        Over TLS this is close_notify, which TLS 1.3 defines for one direction (RFC 8446 section 6.1). Under TLS 1.2,
        and with many implementations, the peer answers it by closing its own direction at once: whatever it had not
        sent by then will not come. Protocols over TLS had better mark the end of a message themselves.
        """
        await self._protocol.sender.send_eof()

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
        await self._protocol.start_tls(settings, server_side=self._server_side, server_name=server_name)

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

    async def close(self) -> None:
        """Send what is still buffered, end the connection in order (over TLS with close_notify), and wait for that.

        After a message that left in part (see `send`) it is cut instead, so that half is not taken for whole. Unread bytes are dropped; waiting reads and sends raise ClosedError. Whatever the peer does, it takes no
        longer than `limits.close_timeout`, then the connection is cut; cancelled, it is cut at once. Idempotent.
        """
        await self._protocol.close()

    aclose = close

    def abort(self) -> None:
        """Cut the connection at once (TCP: RST); what was not sent is dropped."""
        self._protocol.abort()

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
        return f"<{' '.join(parts)}, {self.buffered} bytes unread>"


class Lines:
    """The lines of a connection; see `Connection.lines`.

    Its place is the connection's. Lines that are ready here are on loan: whoever reads otherwise gets them.
    """

    __slots__ = ("_protocol", "_ready", "_rule", "_timeout")

    def __init__(self, protocol: TcpProtocol, rule: TextLine, timeout: float | None) -> None:
        self._protocol = protocol
        self._rule = rule
        Deadline.after(timeout)  # refuses what is no timeout
        self._timeout = timeout
        self._ready: list[str] = []

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        if self._ready:
            return self._ready.pop()
        return await self._next()

    async def _next(self) -> str:
        protocol = self._protocol
        self._ready = protocol.lend_lines(self._rule)
        if self._ready:
            return self._ready.pop()
        line = protocol.take_ready(self._rule)
        if line is not None:
            return line
        try:
            return await protocol.read(self._rule, self._timeout)
        except EndOfStream:
            if not len(protocol.buffer):
                raise StopAsyncIteration from None
            return self._rule.take_last(protocol.buffer)


class Chunks:
    """What comes on a connection, as it comes; see `Connection.read` without arguments."""

    __slots__ = ("_protocol", "_rule")

    def __init__(self, protocol: TcpProtocol) -> None:
        self._protocol = protocol
        self._rule = Available(protocol.limits.read_buffer)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        chunk = await self._protocol.read(self._rule, None)
        if not chunk:
            raise StopAsyncIteration
        return chunk


def to_bytes(data: Data) -> bytes:
    """Return what is to be sent. Raises UsageError if it is no bytes."""
    try:
        return bytes(memoryview(data))
    except TypeError as error:
        raise UsageError(
            f"what is sent must be bytes, not {type(data).__name__}; send_line takes text"
        ) from error


def _texts(marker: str | Iterable[str]) -> str | tuple[str, ...]:
    if isinstance(marker, str):
        return marker
    if not isinstance(marker, Iterable):
        raise UsageError(f"marker must be text, or several texts, not {type(marker).__name__}")
    return tuple(marker)


def _address(name: object) -> Address:
    """Return what a socket calls itself as an address; a Unix socket's end without a name has an empty path."""
    if isinstance(name, tuple) and len(name) >= 2:
        return HostPort(str(name[0]), int(name[1]))
    if isinstance(name, bytes):
        return UnixPath(name.decode("utf-8", "surrogateescape"))
    return UnixPath(name if isinstance(name, str) else "")
