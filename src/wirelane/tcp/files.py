"""Sending a file: by the system (sendfile) on plain connections, in slices through the transport elsewhere.

Contract: as with any message, the file goes out whole, between the messages before and after it, or the sending side is
broken. One slice is in memory at a time.

The system's call is made here and not through `loop.sendfile`, which uvloop does not have, and which stops reading from the
connection for as long as it takes: a peer that answers before it has read all would wait for us and we for it. It
bypasses the transport, and so is made only while nothing waits there. When the kernel takes no more, a small piece goes
through the transport, which tells when that has left.
"""

from __future__ import annotations

import asyncio
import errno
import io
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from wirelane.core.deadline import Deadline
from wirelane.core.delimiters import at_least
from wirelane.errors import ClosedError, ConnectionLost, SendTimeout, UsageError
from wirelane.net.tlslayer import TlsTransport
from wirelane.tcp.sending import SLICE

if TYPE_CHECKING:
    from wirelane.tcp.sending import Sender

__all__ = ["FileSource", "Readable", "send_file"]

# What goes through the transport when the kernel takes no more.
_PROBE: Final = 16 * 1024
# What the system's call says about files and sockets that it does not serve.
_NOT_SERVED: Final = {
    errno.EINVAL,
    errno.ENOSYS,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.EOVERFLOW,
    errno.ENOTSOCK,
}
_OF_THE_FILE: Final = {errno.EIO, errno.ENOMEM, errno.ESTALE}


class Readable(Protocol):
    """A file that is open for bytes, as far as it matters here."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes; b"" at the end."""
        ...


class FileSource:
    """A file to send from.

    Args:
        file: A path; or a binary file, which is not closed. Of a plain one, opened by `open(path, "rb")`, neither position
            nor buffer matter; from any other, `read(n)` is called, after `seek(offset)` where it can seek.
        offset: Where to begin, in bytes.
        count: How many bytes; None: to the end.

    Raises:
        UsageError: The file is open for text; a number is negative. OSError: It cannot be opened.
    """

    def __init__(self, file: str | os.PathLike[str] | Readable, offset: int, count: int | None) -> None:
        self.offset = at_least("offset", offset, 0)
        self.left = None if count is None else at_least("count", count, 0)
        self._own = isinstance(file, (str, os.PathLike))
        given: object = file
        if isinstance(file, (str, os.PathLike)):
            self._file: Any = Path(file).open("rb", buffering=0)  # noqa: SIM115  # closed by close()
        elif isinstance(given, io.TextIOBase) or not hasattr(file, "read"):
            raise UsageError('file must be a path, or a file that is open for bytes ("rb")')
        else:
            self._file = file
        self.descriptor = _plain(self._file)
        self._pending: asyncio.Future[bytes] | None = None
        if self.descriptor is not None:
            size = max(os.fstat(self.descriptor).st_size - offset, 0)
            self.left = size if self.left is None else min(size, self.left)
        elif offset or _seekable(self._file):
            self._file.seek(offset)

    @property
    def wanted(self) -> int:
        """How many bytes of the next slice to ask for; 0 when all were taken."""
        return SLICE if self.left is None else min(SLICE, self.left)

    def advance(self, size: int) -> None:
        """Count bytes as taken; none at all is the end of the file."""
        self.offset += size
        if not size:
            self.left = 0
        elif self.left is not None:
            self.left -= size

    async def read(self, size: int) -> bytes:
        """Read the next bytes, in a thread: b"" at the end. A cancelled read goes on, and nobody sees what it reads."""
        reading: Callable[[], bytes]
        if self.descriptor is not None:
            descriptor, offset = self.descriptor, self.offset

            def reading() -> bytes:
                return os.pread(descriptor, size, offset)
        else:

            def reading() -> bytes:
                data: bytes = self._file.read(size)
                return data

        self._pending = asyncio.get_running_loop().run_in_executor(None, reading)
        data = await asyncio.shield(self._pending)
        if not isinstance(data, bytes):
            raise UsageError(f"reading the file gave {type(data).__name__}, not bytes")
        if len(data) > size:
            raise UsageError(f"reading {size} bytes of the file gave {len(data)}")
        self.advance(len(data))
        return data

    def close(self) -> None:
        """Close the file, if it was opened here; after a read that is still under way."""
        if not self._own:
            return
        if self._pending is None or self._pending.done():
            self._file.close()
        else:
            self._pending.add_done_callback(self._close_late)

    def _close_late(self, pending: asyncio.Future[bytes]) -> None:
        if not pending.cancelled():
            pending.exception()  # of no interest to anybody any more
        self._file.close()


async def send_file(sender: Sender, source: FileSource, timeout: float | None) -> int:
    """Send what is left of a source. Returns how many bytes that were.

    Raises:
        What `Sender.send` raises; OSError: The file cannot be read.
    """
    deadline = Deadline.after(timeout)
    await sender.begin(deadline, timeout, source.left or 0)
    sending = _Sending(sender, source, deadline, timeout)
    try:
        if source.descriptor is not None and sending.served:
            await sending.by_the_system()
        await sending.in_slices()
        return sending.sent
    except BaseException as error:
        known = isinstance(error, (ClosedError, ConnectionLost, SendTimeout))
        if sending.sent and source.left != 0 and not known:
            sender.broken = f"sending a file ended after {sending.sent} bytes: {type(error).__name__}"
        raise
    finally:
        sender.inside = False
        sender.end_turn()


class _Sending:
    """One file on its way. `sent` counts what was given to the system or to the transport."""

    def __init__(
        self, sender: Sender, source: FileSource, deadline: Deadline | None, timeout: float | None
    ) -> None:
        self.sent = 0
        self._sender = sender
        self._source = source
        self._deadline = deadline
        self._timeout = timeout
        self._wire = sender.wire

    @property
    def served(self) -> bool:
        """Whether the system can write to this connection past the transport: nothing of ours lies in between."""
        wire = self._wire
        # By its class: a layer for the TLS of a proxy does not say what it is.
        between = isinstance(wire, TlsTransport) or wire.get_extra_info("trace") is not None
        return hasattr(os, "sendfile") and not between and wire.get_extra_info("socket") is not None

    async def by_the_system(self) -> None:
        """Send until the end, or until the system says that it does not serve such a file."""
        wire, source = self._wire, self._source
        low, high = wire.get_write_buffer_limits()
        wire.set_write_buffer_limits(high=0)  # "relieved" is then "empty"
        try:
            while source.left:
                await self._relieved()
                try:
                    size = self._sendfile()
                except BlockingIOError:
                    await self._slice(_PROBE)
                    continue
                except OSError as error:
                    if not self.sent and error.errno in _NOT_SERVED:
                        return
                    if error.errno not in _OF_THE_FILE:
                        self._sender.lost_by(error)
                    raise
                self._count(size)
                await asyncio.sleep(0)  # each slice is a turn: others have theirs
        finally:
            if not wire.is_closing():
                wire.set_write_buffer_limits(high=high, low=low)

    async def in_slices(self) -> None:
        """Send what is left through the transport."""
        while self._source.wanted:
            await self._relieved()
            await self._slice(self._source.wanted)
        await self._relieved()

    def _sendfile(self) -> int:
        source = self._source
        assert source.descriptor is not None
        sock = self._wire.get_extra_info("socket")
        self._sender.writes += 1
        size = os.sendfile(sock.fileno(), source.descriptor, source.offset, source.wanted)
        source.advance(size)
        return size

    async def _slice(self, size: int) -> None:
        data = await self._source.read(min(size, self._source.wanted))
        # Since the file was asked for, others may have come and gone, or the connection.
        self._sender.check()
        self._count(self._sender.write((data,)) if data else 0)

    def _count(self, size: int) -> None:
        self.sent += size
        self._sender.inside = self.sent > 0 and self._source.left != 0

    async def _relieved(self) -> None:
        late = self._deadline is not None and self._deadline.expired() and self._source.left != 0
        if late or not await self._sender.relieved(self._deadline):
            left = self._source.left or 0
            raise self._sender.late(self.sent > 0, self._timeout, left, self.sent + left)


def _plain(file: object) -> int | None:
    """Return the descriptor of what `open(path, "rb")` gives for a regular file. That of others may be another file's."""
    if not isinstance(file, (io.FileIO, io.BufferedReader, io.BufferedRandom)):
        return None
    try:
        descriptor = file.fileno()
    except OSError:
        return None
    return descriptor if stat.S_ISREG(os.fstat(descriptor).st_mode) else None


def _seekable(file: object) -> bool:
    seekable = getattr(file, "seekable", None)
    return seekable is not None and seekable()
