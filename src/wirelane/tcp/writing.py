"""The writing half of `Connection`.

A message goes out whole, or the sending side is broken for good; see `wirelane.tcp.sending`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from wirelane.core.delimiters import encode_text, text_markers
from wirelane.core.lengthprefix import ByteOrder, Prefix
from wirelane.core.lengthprefix import length_prefix as length_prefix_of
from wirelane.errors import UsageError
from wirelane.net.vectored import WORTH_A_BUFFER
from wirelane.tcp.files import FileSource, Readable, send_file
from wirelane.tcp.protocol import TcpProtocol
from wirelane.tcp.sending import SLICE, Data, Piece, frozen

__all__ = ["Writing"]


class Writing:
    """What a connection writes with. What is cancelled has sent nothing or all, or has ended the sending side; see `send`."""

    __slots__ = ()

    _protocol: TcpProtocol

    async def send(self, data: Data, timeout: float | None = None) -> None:
        """Send bytes: written, and flow control satisfied (`limits.max_send_buffer`), when this returns.

        Several tasks may send: each message goes out whole, in the order of the calls.

        Args:
            data: Sent as it is when this begins: a bytearray, or a view of one, is copied first, and may be changed at
                once. Bytes, and views of bytes, are not copied.
            timeout: Seconds for the whole call; None waits for ever.

        Raises:
            SendTimeout: The peer does not read. Part of `data` may have left (`.unsent` says how much is here), and
                then nothing more can be sent on this connection; reading goes on. The same holds, without this
                error, when the task is cancelled in the middle of a message.
            ConnectionLost: The peer has gone. If the system knows by now, this call says so, and not the next one.
            ClosedError, UsageError (after `send_eof`).
        """
        await self._protocol.sender.send(data if type(data) is bytes else frozen(data), timeout)

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

    async def send_many(self, parts: Iterable[Data], timeout: float | None = None) -> None:
        """Send several parts as one message, as `send` would send them joined; large ones are not copied together.

        Args:
            parts: Bytes each, as for `send`.
            timeout: Seconds for all of them together; None waits for ever.

        Raises:
            As `send`.
        """
        if isinstance(parts, (bytes, bytearray, memoryview, str)) or not isinstance(parts, Iterable):
            raise UsageError(f"send_many takes several parts, not {type(parts).__name__}; send takes one")
        await self._send_pieces([frozen(part) for part in parts], timeout)

    async def send_frame(
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
        piece = frozen(data)
        prefix = length_prefix_of(length_prefix, byteorder, includes_prefix).encode(len(piece))
        await self._send_pieces((prefix, piece), timeout)

    async def send_file(
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
        source = FileSource(file, offset, count)
        try:
            return await send_file(self._protocol.sender, source, timeout)
        finally:
            source.close()

    async def send_eof(self) -> None:
        """Half-close: tell the peer that nothing more will come, after all that was sent. Reading goes on.

        Over TLS this is close_notify, which TLS 1.3 defines for one direction (RFC 8446 section 6.1). Under TLS 1.2,
        and with many implementations, the peer answers it by closing its own direction at once: whatever it had not
        sent by then will not come. Protocols over TLS had better mark the end of a message themselves.
        """
        await self._protocol.sender.send_eof()

    async def _send_pieces(self, pieces: Sequence[Piece], timeout: float | None) -> None:
        size = sum(map(len, pieces))
        if size < WORTH_A_BUFFER * len(pieces) and size <= SLICE:
            await self._protocol.sender.send(b"".join(pieces), timeout)
        else:
            await self._protocol.sender.send_parts(pieces, size, timeout)
