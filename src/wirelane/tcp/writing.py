"""The writing half of `Connection`.

A message goes out whole, or the sending side is broken for good; see `wirelane.tcp.sending`.
"""

from __future__ import annotations

from wirelane.core.delimiters import encode_text, text_markers
from wirelane.errors import UsageError
from wirelane.tcp.protocol import TcpProtocol
from wirelane.tcp.sending import Data, to_bytes

__all__ = ["Writing"]


class Writing:
    """What a connection writes with. What is cancelled has sent nothing or all, or has ended the sending side; see `send`."""

    __slots__ = ()

    _protocol: TcpProtocol

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
