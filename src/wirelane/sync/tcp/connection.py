"""A connection: reads that say when they end, and writes.

Made of `wirelane.tcp.connection` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from wirelane.core.delimiters import Record
from wirelane.core.lengthprefix import ByteOrder, Prefix
from wirelane.core.target import Address
from wirelane.net.tls import TlsConfig
from wirelane.net.trace import Trace
from wirelane.sync._blocks import Entering, leave
from wirelane.sync._connection import ConnectionFacade, look
from wirelane.sync._facade import facade_of, open_now
from wirelane.sync._portal import call, run
from wirelane.sync.tcp.iterating import Chunks, Frames, Lines, Records
from wirelane.tcp.connection import Connection as AsyncConnection
from wirelane.tcp.files import Readable
from wirelane.tcp.reading import _REGEX_WINDOW
from wirelane.tcp.sending import Data

__all__ = ["Connection"]


@facade_of(AsyncConnection)
class Connection(ConnectionFacade):
    """A TCP (or Unix socket) connection, with or without TLS. Made by `connect`, and by `Server` for its handler.

    `with` closes it; `for chunk in connection` gives what comes as it comes, until the stream ends.

    One that is dropped unclosed is closed when it is collected, with a ResourceWarning.

    Ctrl-C: an interrupted read loses nothing. An interrupted `send` sent nothing or all, or it ended the sending side
    (see there). An interrupted `close` or `start_tls` cuts the connection.
    """

    __slots__ = ()

    def start_tls(
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
        run(self._inner.start_tls, tls, server_name=server_name)

    @property
    def tls(self) -> bool:
        """Whether TLS is on."""
        return self._inner.tls

    @property
    def peer_certificate(self) -> dict[str, object] | None:
        """The peer's certificate as `ssl.SSLSocket.getpeercert` gives it; None without TLS or without one."""
        return look(self._inner, "peer_certificate")

    @property
    def cipher(self) -> tuple[str, str, int] | None:
        """(name, protocol, secret bits) of the TLS connection; None without TLS."""
        return look(self._inner, "cipher")

    @property
    def alpn(self) -> str | None:
        """The protocol that both ends agreed on (`TlsConfig(alpn=)`); None without TLS or without an agreement."""
        return look(self._inner, "alpn")

    @property
    def peer(self) -> Address:
        """The address of the other end: `str()` of it is "host:port" or "unix:/path". Behind a proxy, as it was asked for."""
        return self._inner.peer

    @property
    def local(self) -> Address:
        """The address of this end."""
        return self._inner.local

    @property
    def draining(self) -> bool:
        """Whether the server of this connection drains, so that its handler should come to an end; see `more`."""
        return self._inner.draining

    @property
    def trace(self) -> Trace | None:
        """The log of the conversation, if `trace=` asked for one."""
        return self._inner.trace

    @property
    def closed(self) -> bool:
        """Whether it was closed on this side."""
        return self._inner.closed

    def close(self, linger: float | None = None) -> None:
        """Send what is still buffered, end the connection in order (over TLS with close_notify), and wait for that.

        After a message that left in part (see `send`) it is cut instead, so that half is not taken for whole. Unread bytes
        are dropped; waiting reads and sends raise ClosedError. When time is up the connection is cut; interrupted, it is cut
        at once. Idempotent.

        Args:
            linger: None: the time is `limits.close_timeout`, and ends when the system has taken what was sent; if the peer
                goes on sending, the system resets the connection, and what the peer has not read by then is lost. A number
                of seconds: in this time the peer has to read all and end its stream, too; what it sends is dropped. 0
                cuts at once, as `abort`.
        """
        run(self._inner.close, linger)

    def abort(self) -> None:
        """Cut the connection at once (TCP: RST); what was not sent is dropped."""
        call(self._inner.abort)

    def __enter__(self) -> Self:
        entering = Entering(self._inner)
        try:
            entering.enter()
            return self
        except BaseException:
            entering.undo()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        leave(self._inner, kind, error, traceback)

    def read(
        self,
        max_bytes: int | None = None,
        marker: bytes | Iterable[bytes] | None = None,
        timeout: float | None = None,
        keep_marker: bool = True,
        *,
        idle_timeout: float | None = None,
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
            idle_timeout: Seconds that may pass without a single byte; None: silence does not matter.

        Raises:
            ReadTimeout, EndOfStream, ConnectionLost, LimitExceeded, BusyError, ClosedError, UsageError.
        """
        return run(self._inner.read, max_bytes, marker, timeout, keep_marker, idle_timeout=idle_timeout)

    def read_line(
        self,
        encoding: str = "utf-8",
        marker: str | Iterable[str] = "\n",
        max_bytes: int = 65536,
        timeout: float | None = None,
        keep_marker: bool = False,
        *,
        errors: str = "strict",
        idle_timeout: float | None = None,
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
            idle_timeout: As for `read`.

        Raises:
            CodecError: The line is not text in `encoding`. It stays unread, like all that a read fails on:
                `read(marker=...)` gets it as bytes.
            ReadTimeout, EndOfStream (also for a last line without a marker), ConnectionLost, LimitExceeded,
            BusyError, ClosedError, UsageError.
        """
        return run(
            self._inner.read_line,
            encoding,
            marker,
            max_bytes,
            timeout,
            keep_marker,
            errors=errors,
            idle_timeout=idle_timeout,
        )

    def read_exactly(
        self, n: int, timeout: float | None = None, *, idle_timeout: float | None = None
    ) -> bytes:
        """Read `n` bytes, as `read(max_bytes=n)`. Of a large block each byte is copied once, when all is there."""
        return run(self._inner.read_exactly, n, timeout, idle_timeout=idle_timeout)

    def read_until(
        self,
        markers: bytes | Iterable[bytes],
        max_bytes: int | None = None,
        timeout: float | None = None,
        keep_marker: bool = False,
        *,
        idle_timeout: float | None = None,
    ) -> Record:
        """Read up to a marker, and tell which: `data, marker = connection.read_until((b"$ ", b"# "))`.

        Args:
            markers: Bytes, or several: the one that ends first counts, and of those that end together the longest.
            max_bytes: The most to look through, the marker included; None: `limits.read_buffer`.
            timeout: Seconds for the whole call; None waits for ever, 0 takes only what is here.
            keep_marker: Leave the marker at the end of `data` as well.
            idle_timeout: As for `read`.

        Raises:
            LimitExceeded: No marker ends within `max_bytes`. Otherwise as `read`.
        """
        return run(
            self._inner.read_until, markers, max_bytes, timeout, keep_marker, idle_timeout=idle_timeout
        )

    def read_until_eof(
        self, max_bytes: int | None = None, timeout: float | None = None, *, idle_timeout: float | None = None
    ) -> bytes:
        """Read all that comes until the peer ends its stream.

        Args:
            max_bytes: The most to accept; None: `limits.max_receive_message` (4 MiB unless changed).
            timeout: Seconds for the whole call; 0 returns only if the end is here.
            idle_timeout: As for `read`.

        Raises:
            LimitExceeded: The stream is longer. `ConnectionLost` if it did not end in order, and as `read`.
        """
        return run(self._inner.read_until_eof, max_bytes, timeout, idle_timeout=idle_timeout)

    def read_until_idle(
        self, idle: float, timeout: float | None = None, max_bytes: int | None = None
    ) -> bytes:
        """Read all that comes until the peer is silent for `idle` seconds, or ends its stream.

        For peers whose answers have no end that one could name. The only read whose result depends on time. The silence
        counts from the call on: nothing at all within it is b"". To wait longer for the beginning of an answer, `read()`
        it first.

        Args:
            idle: Seconds without a byte; 0 takes what is here.
            timeout: Seconds for the whole call, after which ReadTimeout says that the peer is not silent; None: no limit.
            max_bytes: The most to accept; None: `limits.max_receive_message`.

        Raises:
            LimitExceeded: More than that came. Otherwise as `read`.
        """
        return run(self._inner.read_until_idle, idle, timeout, max_bytes)

    def read_regex(
        self,
        pattern: bytes | re.Pattern[bytes],
        window: int = _REGEX_WINDOW,
        timeout: float | None = None,
        *,
        idle_timeout: float | None = None,
    ) -> bytes:
        r"""Read up to the end of the first match of a regular expression.

        The result is what it would be if bytes came one by one and the pattern were tried after each: `rb"\d+"` ends
        after the first digit, `rb"\d+\n"` after the newline, and `rb"[$#] $"` at the first prompt.

        Args:
            pattern: Of bytes, as text or compiled. `re.search(pattern, result)` gives its groups.
            window: The match must end within so many bytes. Time grows with its square for patterns that look
                at what follows a match ($, \b, lookahead), and when the bytes come in small pieces.
            timeout: Seconds for the whole call; None waits for ever, 0 takes only what is here.
            idle_timeout: As for `read`.

        Raises:
            LimitExceeded: No match ends within `window` bytes. Otherwise as `read`.
        """
        return run(self._inner.read_regex, pattern, window, timeout, idle_timeout=idle_timeout)

    def read_frame(
        self,
        length_prefix: Prefix = 4,
        byteorder: ByteOrder = "big",
        *,
        includes_prefix: bool = False,
        max_bytes: int | None = None,
        timeout: float | None = None,
        idle_timeout: float | None = None,
    ) -> bytes:
        """Read one frame that begins with its length, and return it without that.

        Args:
            length_prefix: How many bytes the length has, 1 to 8; or "varint", as before delimited protobuf messages.
            byteorder: Of the length.
            includes_prefix: The length counts its own bytes, too.
            max_bytes: The longest frame to accept, without the prefix; None: `limits.max_receive_message`.
            timeout: Seconds for the whole call; None waits for ever, 0 takes only what is here.
            idle_timeout: As for `read`.

        Raises:
            LimitExceeded: The prefix says more than `max_bytes`. Nothing of it was gathered or taken.
            PeerError: The prefix cannot be one. Otherwise as `read`.
        """
        return run(
            self._inner.read_frame,
            length_prefix,
            byteorder,
            includes_prefix=includes_prefix,
            max_bytes=max_bytes,
            timeout=timeout,
            idle_timeout=idle_timeout,
        )

    def read_frames(
        self,
        length_prefix: Prefix = 4,
        byteorder: ByteOrder = "big",
        *,
        includes_prefix: bool = False,
        max_bytes: int | None = None,
        timeout: float | None = None,
        idle_timeout: float | None = None,
    ) -> Frames:
        """Iterate over frames until the stream ends: `for frame in connection.read_frames(length_prefix=4)`.

        Arguments and errors are those of `read_frame`, `timeout` for each frame. An end between frames ends the
        iteration; one inside a frame is EndOfStream.
        """
        made: Frames = open_now(
            self._inner.read_frames,
            length_prefix,
            byteorder,
            includes_prefix=includes_prefix,
            max_bytes=max_bytes,
            timeout=timeout,
            idle_timeout=idle_timeout,
        )
        return made

    def lines(
        self,
        encoding: str = "utf-8",
        marker: str | Iterable[str] = "\n",
        max_bytes: int = 65536,
        timeout: float | None = None,
        keep_marker: bool = False,
        *,
        errors: str = "strict",
        idle_timeout: float | None = None,
    ) -> Lines:
        """Iterate over lines until the stream ends: `for line in connection.lines()`.

        Arguments and errors are those of `read_line`, `timeout` for each line; after an error, the iteration can go
        on. As with files, a last line without a marker is a line too, if the stream ended in order.
        """
        made: Lines = open_now(
            self._inner.lines,
            encoding,
            marker,
            max_bytes,
            timeout,
            keep_marker,
            errors=errors,
            idle_timeout=idle_timeout,
        )
        return made

    def records(
        self,
        markers: bytes | Iterable[bytes],
        max_bytes: int = 65536,
        timeout: float | None = None,
        keep_marker: bool = False,
        *,
        idle_timeout: float | None = None,
    ) -> Records:
        r"""Iterate over what lies between markers, as bytes: `for record in connection.records(b"\0")`.

        Arguments and errors are those of `read_until`, `timeout` for each record. What is left at the end of the stream is
        a record too. With several markers, `keep_marker=True` shows which one it was.
        """
        made: Records = open_now(
            self._inner.records, markers, max_bytes, timeout, keep_marker, idle_timeout=idle_timeout
        )
        return made

    def chunks(
        self, max_bytes: int | None = None, timeout: float | None = None, *, idle_timeout: float | None = None
    ) -> Chunks:
        """Iterate over what comes as it comes, until the stream ends, as `for chunk in connection` does.

        Args:
            max_bytes: The most in one chunk; None: `limits.read_buffer`.
            timeout: Seconds for each chunk, which is the same as `idle_timeout` here.
            idle_timeout: As for `read`.
        """
        made: Chunks = open_now(self._inner.chunks, max_bytes, timeout, idle_timeout=idle_timeout)
        return made

    def __iter__(self) -> Chunks:
        made: Chunks = open_now(self._inner.__aiter__)
        return made

    def more(self, timeout: float | None = None) -> bool:
        """Wait until there is something to read, and leave it there: True. False when there will be nothing.

        That is so at the end of the stream, and in a handler whose server drains: then between two messages, when
        nothing is buffered. A server that is to stop soon waits for messages in this way:

            while connection.more():
                line = connection.read_line(timeout=5.0)
                connection.send_line(answer(line))

        A client from which nothing has come yet has its first message taken, although the server drains.

        Args:
            timeout: Seconds to wait; None waits for ever, 0 looks only at what is here.

        Raises:
            ReadTimeout, ConnectionLost, BusyError, ClosedError.
        """
        return run(self._inner.more, timeout)

    def peek(self, max_bytes: int | None = None) -> bytes:
        """Return what is buffered, at once, and leave it there."""
        return call(self._inner.peek, max_bytes)

    def unread(self, data: Data) -> None:
        """Put bytes in front of what is unread. Raises BusyError while a read waits, ClosedError, UsageError."""
        call(self._inner.unread, data)

    @property
    def buffered(self) -> int:
        """Bytes that are here and unread."""
        return look(self._inner, "buffered")

    def send(self, data: Data, timeout: float | None = None) -> None:
        """Send bytes: written, and flow control satisfied (`limits.max_send_buffer`), when this returns.

        Several threads may send: each message goes out whole, in the order of the calls.

        Args:
            data: Sent as it is when this begins: a bytearray, or a view of one, is copied first, and may be changed at
                once. Bytes, and views of bytes, are not copied.
            timeout: Seconds for the whole call; None waits for ever.

        Raises:
            SendTimeout: The peer does not read. Part of `data` may have left (`.unsent` says how much is here), and
                then nothing more can be sent on this connection; reading goes on. The same holds, without this
                error, when Ctrl-C interrupts it in the middle of a message.
            ConnectionLost: The peer has gone. If the system knows by now, this call says so, and not the next one.
            ClosedError, UsageError (after `send_eof`).
        """
        run(self._inner.send, data, timeout)

    def send_line(
        self, text: str, encoding: str = "utf-8", newline: str = "\n", timeout: float | None = None
    ) -> None:
        """Send text and a newline. Raises CodecError if it does not exist in `encoding`, and as `send`."""
        run(self._inner.send_line, text, encoding, newline, timeout)

    def send_many(self, parts: Iterable[Data], timeout: float | None = None) -> None:
        """Send several parts as one message, as `send` would send them joined; large ones are not copied together.

        Args:
            parts: Bytes each, as for `send`.
            timeout: Seconds for all of them together; None waits for ever.

        Raises:
            As `send`.
        """
        run(self._inner.send_many, parts, timeout)

    def send_frame(
        self,
        data: Data,
        length_prefix: Prefix = 4,
        byteorder: ByteOrder = "big",
        *,
        includes_prefix: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Send a frame: the length of `data`, as `read_frame` reads it, and `data`.

        Args:
            data: As for `send`.
            length_prefix: How many bytes the length has, 1 to 8; or "varint".
            byteorder: Of the length.
            includes_prefix: The length counts its own bytes, too.
            timeout: Seconds for the whole call; None waits for ever.

        Raises:
            UsageError: So many bytes have no place behind such a length. Otherwise as `send`.
        """
        run(
            self._inner.send_frame,
            data,
            length_prefix,
            byteorder,
            includes_prefix=includes_prefix,
            timeout=timeout,
        )

    def send_file(
        self,
        file: str | os.PathLike[str] | Readable,
        offset: int = 0,
        count: int | None = None,
        timeout: float | None = None,
    ) -> int:
        """Send a file, or a part of one, as one message; on connections without TLS the system reads it itself (sendfile).

        Args:
            file: A path, or a file that is open for bytes; that is not closed. From one that is no plain file of the system,
                bytes are read in a thread, in slices; after a cancellation the last `read` may still be under way.
            offset: Where to begin, in bytes.
            count: How many bytes; None: to the end of the file.
            timeout: Seconds for the whole call; None waits for ever.

        Returns:
            How many bytes were sent: less than `count` only where the file ends before.

        Raises:
            OSError: The file cannot be opened or read. Once part of it has left, nothing more can be sent on the
                connection, as with `send`. UsageError: It is open for text. Otherwise as `send`.
        """
        return run(self._inner.send_file, file, offset, count, timeout)

    def send_eof(self) -> None:
        """Half-close: tell the peer that nothing more will come, after all that was sent. Reading goes on.

        Over TLS this is close_notify, which TLS 1.3 defines for one direction (RFC 8446 section 6.1). Under TLS 1.2,
        and with many implementations, the peer answers it by closing its own direction at once: whatever it had not
        sent by then will not come. Protocols over TLS had better mark the end of a message themselves.
        """
        run(self._inner.send_eof)
