"""The conversation of `wirelane tcp`: send, then print the reply; or send and print at once until both ends are done."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from wirelane.cli.editor import Interrupted
from wirelane.cli.errors import exit_code, explain, say, visible
from wirelane.cli.guard import INTERRUPTED
from wirelane.cli.stdin import Stdin
from wirelane.cli.style import style
from wirelane.cli.tcptext import Crlf
from wirelane.core.deadline import Deadline
from wirelane.core.hexdump import HexDump
from wirelane.errors import ConnectionLost, EndOfStream, LimitExceeded, ReadTimeout, SendTimeout

if TYPE_CHECKING:
    from wirelane.cli.editor import Editor
    from wirelane.cli.options import ConnectionOptions
    from wirelane.cli.session import Log
    from wirelane.cli.tcpout import Out
    from wirelane.core.trace import TraceEntry
    from wirelane.net.trace import Trace
    from wirelane.tcp import Connection

__all__ = ["Reply", "Talk", "trace_to_stderr"]

_INCOMPLETE: Final = (ReadTimeout, EndOfStream, LimitExceeded, ConnectionLost, SendTimeout)
_Incomplete = ReadTimeout | EndOfStream | LimitExceeded | ConnectionLost | SendTimeout
_SLICE: Final = 65_536
"""What has to leave within `--timeout`, of what is sent: a file may take longer than a reply."""

_MARKS: Final = {"sent": ">", "received": "<", "event": "*"}


@dataclass(frozen=True, slots=True)
class Reply:
    """When the reply ends.

    Attributes:
        markers: Text if there is an encoding, else bytes.
        idle: Seconds of silence after which no more is waited for.
    """

    markers: tuple[str | bytes, ...] = ()
    max_bytes: int | None = None
    until_eof: bool = False
    timeout: float | None = None
    idle: float | None = None
    encoding: str | None = None

    async def read(self, connection: Connection, *, in_time: bool = True) -> bytes:
        """Read a reply that ends with a marker, or after so many bytes; `in_time`: as the times say."""
        timeout, idle = (self.timeout, self.idle) if in_time else (None, None)
        texts = [each for each in self.markers if isinstance(each, str)]
        if texts and self.encoding is not None and self.max_bytes is None:
            # Looked for at whole code units; what is no text comes back as the bytes that it was.
            line = await connection.read_line(
                self.encoding,
                texts,
                timeout=timeout,
                idle_timeout=idle,
                keep_marker=True,
                errors="surrogateescape",
            )
            return _without_mark(line, self.encoding)
        markers = [
            each if isinstance(each, bytes) else _without_mark(each, str(self.encoding))
            for each in self.markers
        ]
        return await connection.read(self.max_bytes, markers or None, timeout, idle_timeout=idle)


def _without_mark(text: str, encoding: str) -> bytes:
    """Return text in an encoding without the byte order mark that some put in front."""
    return text.encode(encoding, "surrogateescape")[len("".encode(encoding)) :]


class Talk:
    """One connection of `wirelane tcp`."""

    def __init__(
        self, reply: Reply, out: Out, log: Log, *, crlf: bool = False, trace: Trace | None = None
    ) -> None:
        self._reply = reply
        self._out = out
        self._log = log
        self._crlf = crlf
        self._trace = trace
        self._sent = 0
        self._received = 0

    async def run(
        self,
        address: str,
        options: ConnectionOptions,
        payload: bytes | None,
        *,
        from_stdin: bool,
        relay: bool,
        editor: Editor | None = None,
    ) -> int:
        """Connect, talk, and return the exit code.

        Args:
            address: As the user gave it.
            options: How to connect.
            payload: What to send first.
            from_stdin: Send standard input to its end as well, before the reply is read.
            relay: Send and print at once.
            editor: Where lines are typed, in place of standard input.
        """
        from wirelane.tcp import connect

        self._log.lap()
        connecting = connect(
            address,
            tls=options.tls_settings(),
            proxy=options.proxies(),
            connect_timeout=options.connect_timeout,
            server_name=options.server_name,
            options=options.socket(),
            trace=self._trace,
        )
        async with connecting as connection:
            self._out.open()
            self._tell_of(connection, options.way())
            try:
                return await self._exchange(
                    connection, payload, from_stdin=from_stdin, relay=relay, editor=editor
                )
            except BaseException:
                connection.abort()  # nobody waits for the peer to take the rest: Ctrl-C, | head, a full disk
                raise
            finally:
                self._out.end()
                seconds = self._log.lap()
                self._log.line(
                    "*", f"{self._sent} bytes sent, {self._received} received, in {seconds * 1000:.1f} ms"
                )

    def _tell_of(self, connection: Connection, way: str) -> None:
        cipher = connection.cipher
        secured = f", {cipher[1]} {cipher[0]}" if cipher else ", plaintext"
        self._log.line(
            "*",
            f"connected to {connection.peer}{way} from {connection.local}{secured} in {self._log.lap() * 1000:.1f} ms",
        )

    async def _exchange(
        self,
        connection: Connection,
        payload: bytes | None,
        *,
        from_stdin: bool,
        relay: bool,
        editor: Editor | None,
    ) -> int:
        said = self._said(payload, from_stdin=from_stdin)
        if editor is not None:
            return await self._edit(connection, said, editor)
        if relay:
            return await self._relay(connection, _one_after_another(said, self._pieces()))
        return await self._print_reply(connection, said)

    async def _said(self, payload: bytes | None, *, from_stdin: bool) -> AsyncGenerator[bytes, None]:
        """Yield what is sent before anything else."""
        for at in range(0, len(payload or b""), _SLICE):
            yield (payload or b"")[at : at + _SLICE]
        if from_stdin:
            async for chunk in self._pieces():
                yield chunk

    async def _send(
        self, connection: Connection, said: AsyncGenerator[bytes, None], timeout: float | None = None
    ) -> None:
        """Send all of it, each piece within the timeout."""
        async with aclosing(said):
            async for chunk in said:
                try:
                    await connection.send(chunk, timeout=timeout)
                except SendTimeout as error:
                    text = f"the peer does not read: nothing more of what is sent has left for {timeout:g} s"
                    raise SendTimeout(text, unsent=error.unsent) from None
                self._sent += len(chunk)

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield standard input as it comes."""
        stdin, crlf = Stdin(), Crlf()
        while chunk := await stdin.read():
            yield crlf.feed(chunk) if self._crlf else chunk

    # -- one reply

    async def _print_reply(self, connection: Connection, said: AsyncGenerator[bytes, None]) -> int:
        try:
            if not await self._send_and_print(connection, said):
                await self._print_it(connection)
        except _INCOMPLETE as error:
            # What a send raises knows nothing of what has come.
            return self._incomplete(error, getattr(error, "partial", b"") or connection.peek())
        return 0

    async def _send_and_print(self, connection: Connection, said: AsyncGenerator[bytes, None]) -> bool:
        """Send, and print a reply that comes meanwhile: some peers read no more before it is read. Whether it came."""
        sender = asyncio.create_task(
            self._send(connection, said, self._reply.timeout), name="wirelane tcp: send what is said"
        )
        printer = asyncio.create_task(
            self._print_it(connection, in_time=False), name="wirelane tcp: print meanwhile"
        )
        try:
            await asyncio.wait((sender, printer), return_when=asyncio.FIRST_COMPLETED)
            if not sender.done():
                printer.result()  # raises what went wrong with it
                await asyncio.wait((sender,))
            sender.result()
        finally:
            await _end(sender, printer)
        if printer.cancelled():
            return False
        printer.result()
        return True

    async def _print_it(self, connection: Connection, *, in_time: bool = True) -> None:
        """Print the reply; `in_time`: as the times say."""
        if self._reply.until_eof:
            await self._print_all(connection, in_time=in_time)
        else:
            self._print(await self._reply.read(connection, in_time=in_time))

    async def _print_all(self, connection: Connection, *, in_time: bool = True) -> None:
        timeout, idle = (self._reply.timeout, self._reply.idle) if in_time else (None, None)
        deadline = Deadline.after(timeout)
        while chunk := await connection.read(
            timeout=None if deadline is None else deadline.remaining(), idle_timeout=idle
        ):
            self._print(chunk)

    def _incomplete(self, error: _Incomplete, rest: bytes = b"") -> int:
        """Print what came of a reply, and say on a line of its own that it is not whole."""
        self._print(rest)
        if rest and not rest.endswith(b"\n") and self._out.to_terminal and sys.stderr.isatty():
            print(file=sys.stderr)
        say(explain(error))
        return exit_code(error)

    def _print(self, data: bytes) -> None:
        self._received += len(data)
        self._out.write(data)

    # -- both directions at once

    async def _edit(self, connection: Connection, said: AsyncGenerator[bytes, None], editor: Editor) -> int:
        """Send the lines that are typed, and print what comes above them."""
        if self._out.to_terminal:
            self._out.show = editor.show
        try:
            with editor.above():
                return await self._relay(connection, _one_after_another(said, editor.lines()))
        finally:
            self._out.show = None
            editor.end()

    async def _relay(self, connection: Connection, said: AsyncGenerator[bytes, None]) -> int:
        """Send and print at once, until the peer ends; when our input ends, the peer is told."""
        sender = asyncio.create_task(
            self._send_input(connection, said), name="wirelane tcp: send what is said"
        )
        printer = asyncio.create_task(self._print_all(connection), name="wirelane tcp: print what comes")
        try:
            await asyncio.wait((sender, printer), return_when=asyncio.FIRST_COMPLETED)
            if not printer.done():
                sender.result()  # raises what went wrong with it
                await asyncio.wait((printer,))
            printer.result()
        except Interrupted:
            connection.abort()
            return INTERRUPTED
        except _INCOMPLETE as error:
            return self._incomplete(error)
        finally:
            await _end(sender, printer)
        if not sender.cancelled():
            sender.result()
        return 0

    async def _send_input(self, connection: Connection, said: AsyncGenerator[bytes, None]) -> None:
        try:
            await self._send(connection, said)
            await connection.send_eof()
        except ConnectionLost:
            return  # whoever reads is told the same


async def _end(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks and wait for them; what else went wrong with them is not told."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()


async def _one_after_another(*parts: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    for part in parts:
        async with aclosing(part):
            async for chunk in part:
                yield chunk


class _Stderr:
    """Standard error as it is when something is written: it changes while somebody types."""

    def write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


def trace_to_stderr() -> Trace:
    """Return a trace that shows on standard error what is said, as a hex dump."""
    from wirelane.net.trace import Trace

    return Trace(file=_Stderr(), format=_as_dump, max_entries=0, max_data=sys.maxsize)


def _as_dump(entry: TraceEntry) -> str:
    moment = datetime.fromtimestamp(entry.time, UTC).astimezone().strftime("%H:%M:%S.%f")
    what = entry.text if entry.direction == "event" else f"{entry.size} byte{'' if entry.size == 1 else 's'}"
    head = style(f"{_MARKS[entry.direction]} {moment} {visible(what)}", "dim", sys.stderr)
    dump = HexDump()
    return f"{head}\n{dump.lines(entry.data)}{dump.rest()}"
