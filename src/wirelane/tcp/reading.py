r"""The reading half of `Connection`.

Every read states when it ends; the promises they share are in `wirelane.tcp.connection`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from wirelane.core.delimiters import (
    Matching,
    Record,
    UntilEof,
    UpTo,
    available_rule,
    exactly_rule,
    line_rule,
    marker_rule,
    until_rule,
)
from wirelane.core.lengthprefix import ByteOrder, Frame, Prefix, length_prefix
from wirelane.core.readbuffer import Markers
from wirelane.errors import UsageError
from wirelane.tcp.iterating import Chunks, Frames, Lines, Records
from wirelane.tcp.protocol import TcpProtocol
from wirelane.tcp.sending import Data, to_bytes

__all__ = ["Reading"]

_REGEX_WINDOW = 8192


class Reading:
    """What a connection reads with. A read that is cancelled loses nothing: the next one sees the same bytes."""

    __slots__ = ()

    _protocol: TcpProtocol

    async def read(
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
        limits = self._protocol.limits
        if marker is not None:
            if not isinstance(marker, bytes):
                marker = Markers.of(marker).values
            if max_bytes is None:
                rule = marker_rule(marker, limits.read_buffer, keep_marker, "read_buffer")
            else:
                rule = marker_rule(marker, max_bytes, keep_marker, None)
            return await self._protocol.read(rule, timeout, idle_timeout)
        if max_bytes is not None:
            return await self._protocol.read(exactly_rule(max_bytes, "max_bytes"), timeout, idle_timeout)
        return await self._protocol.read(available_rule(limits.read_buffer), timeout, idle_timeout)

    async def read_line(
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
        rule = line_rule(_texts(marker), encoding, max_bytes, keep_marker, errors)
        return await self._protocol.read(rule, timeout, idle_timeout)

    async def read_exactly(
        self, n: int, timeout: float | None = None, *, idle_timeout: float | None = None
    ) -> bytes:
        """Read `n` bytes, as `read(max_bytes=n)`. Of a large block each byte is copied once, when all is there."""
        return await self._protocol.read(exactly_rule(n, "n"), timeout, idle_timeout)

    async def read_until(
        self,
        markers: bytes | Iterable[bytes],
        max_bytes: int | None = None,
        timeout: float | None = None,
        keep_marker: bool = False,
        *,
        idle_timeout: float | None = None,
    ) -> Record:
        r"""Read up to a marker, and tell which: `data, marker = await connection.read_until((b"$ ", b"# "))`.

        Args:
            markers: Bytes, or several: the one that ends first counts, and of those that end together the longest.
            max_bytes: The most to look through, the marker included; None: `limits.read_buffer`.
            timeout: Seconds for the whole call; None waits for ever, 0 takes only what is here.
            keep_marker: Leave the marker at the end of `data` as well.
            idle_timeout: As for `read`.

        Raises:
            LimitExceeded: No marker ends within `max_bytes`. Otherwise as `read`.
        """
        if not isinstance(markers, bytes):
            markers = Markers.of(markers).values
        limit, name = self._limit(max_bytes, "read_buffer")
        rule = until_rule(markers, limit, keep_marker, name)
        return await self._protocol.read(rule, timeout, idle_timeout)

    async def read_until_eof(
        self,
        max_bytes: int | None = None,
        timeout: float | None = None,
        *,
        idle_timeout: float | None = None,
    ) -> bytes:
        """Read all that comes until the peer ends its stream.

        Args:
            max_bytes: The most to accept; None: `limits.max_receive_message` (4 MiB unless changed).
            timeout: Seconds for the whole call; 0 returns only if the end is here.
            idle_timeout: As for `read`.

        Raises:
            LimitExceeded: The stream is longer. `ConnectionLost` if it did not end in order, and as `read`.
        """
        limit, name = self._limit(max_bytes, "max_receive_message")
        return await self._protocol.read(UntilEof(limit, limit_name=name), timeout, idle_timeout)

    async def read_until_idle(
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
        limit, name = self._limit(max_bytes, "max_receive_message")
        return await self._protocol.read(UntilEof(limit, limit_name=name), timeout, idle, idle_ends=True)

    async def read_regex(
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
        return await self._protocol.read(Matching(pattern, window), timeout, idle_timeout)

    async def read_frame(
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
        rule = self._frame(length_prefix, byteorder, includes_prefix, max_bytes)
        return await self._protocol.read(rule, timeout, idle_timeout)

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
        """Iterate over frames until the stream ends: `async for frame in connection.read_frames(length_prefix=4)`.

        Arguments and errors are those of `read_frame`, `timeout` for each frame. An end between frames ends the
        iteration; one inside a frame is EndOfStream.
        """
        rule = self._frame(length_prefix, byteorder, includes_prefix, max_bytes)
        return Frames(self, rule, timeout, idle_timeout)

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
        """Iterate over lines until the stream ends: `async for line in connection.lines()`.

        Arguments and errors are those of `read_line`, `timeout` for each line; after an error, the iteration can go
        on. As with files, a last line without a marker is a line too, if the stream ended in order.
        """
        rule = line_rule(_texts(marker), encoding, max_bytes, keep_marker, errors)
        return Lines(self, rule, timeout, idle_timeout)

    def records(
        self,
        markers: bytes | Iterable[bytes],
        max_bytes: int = 65536,
        timeout: float | None = None,
        keep_marker: bool = False,
        *,
        idle_timeout: float | None = None,
    ) -> Records:
        r"""Iterate over what lies between markers, as bytes: `async for record in connection.records(b"\0")`.

        Arguments and errors are those of `read_until`, `timeout` for each record. What is left at the end of the stream is
        a record too. With several markers, `keep_marker=True` shows which one it was.
        """
        if not isinstance(markers, bytes):
            markers = Markers.of(markers).values
        rule: UpTo = marker_rule(markers, max_bytes, keep_marker, "max_bytes")
        return Records(self, rule, timeout, idle_timeout)

    def chunks(
        self,
        max_bytes: int | None = None,
        timeout: float | None = None,
        *,
        idle_timeout: float | None = None,
    ) -> Chunks:
        """Iterate over what comes as it comes, until the stream ends, as `async for chunk in connection` does.

        Args:
            max_bytes: The most in one chunk; None: `limits.read_buffer`.
            timeout: Seconds for each chunk, which is the same as `idle_timeout` here.
            idle_timeout: As for `read`.
        """
        limit, _ = self._limit(max_bytes, "read_buffer")
        return Chunks(self, available_rule(limit), timeout, idle_timeout)

    def __aiter__(self) -> Chunks:
        return self.chunks()

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

    def _limit(self, max_bytes: int | None, name: str) -> tuple[int, str]:
        """Return how much a read may gather, and the name of the argument or limit that says so."""
        if max_bytes is not None:
            return max_bytes, "max_bytes"
        limit: int = getattr(self._protocol.limits, name)
        return limit, name

    def _frame(
        self, width: Prefix, byteorder: ByteOrder, includes_prefix: bool, max_bytes: int | None
    ) -> Frame:
        limit, name = self._limit(max_bytes, "max_receive_message")
        return Frame(length_prefix(width, byteorder, includes_prefix), limit, limit_name=name)


def _texts(marker: str | Iterable[str]) -> str | tuple[str, ...]:
    if isinstance(marker, str):
        return marker
    if not isinstance(marker, Iterable):
        raise UsageError(f"marker must be text, or several texts, not {type(marker).__name__}")
    return tuple(marker)
