r"""`wirelane tcp`: send something, print what comes back; or talk interactively.

When the reply ends is what the options say: `--marker`, `--max-bytes`, the end of the stream (`--until-eof`), or, with
none of them, a line. Whatever ended it, what had arrived is printed: nothing is lost by a timeout.
"""

from __future__ import annotations

import asyncio
import codecs
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from wirelane.cli.errors import exit_code, explain, say
from wirelane.cli.options import ConnectionOptions, Seconds, connection_options, verbose_option
from wirelane.cli.session import Log
from wirelane.cli.stdin import Stdin
from wirelane.cli.verb import Verb
from wirelane.core.deadline import Deadline
from wirelane.core.hexdump import HexDump
from wirelane.errors import ConnectionLost, EndOfStream, LimitExceeded, ReadTimeout, UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from wirelane.tcp import Connection

__all__ = ["command", "unescape"]

_EXAMPLES = r"""
Examples:
  wirelane tcp localhost:4242 -d 'Echo this!'
  wirelane tcp localhost:4242 -d 'one;two' --marker ';'
  wirelane tcp example.com:80 -e -d 'HEAD / HTTP/1.0\r\n\r\n' --until-eof
  wirelane tcp localhost:4242 -e -d '\x01\x02\x03\x04' --max-bytes 4 --hex
  wirelane tcp localhost:4242 -d 'no newline comes' --marker '\0' --timeout 0.5
  wirelane tcp tls://example.com:443 -i
"""

_CHUNK: Final = 65_536
_TIMEOUT: Final = 5.0


@dataclass(frozen=True, slots=True)
class _Reply:
    """When the reply ends."""

    markers: tuple[bytes, ...]
    max_bytes: int | None
    until_eof: bool
    timeout: float | None


@click.command("tcp", cls=Verb, epilog=_EXAMPLES)
@click.argument("address", metavar="HOST:PORT")
@click.option("-d", "--data", metavar="TEXT|@FILE|@-", help="What to send. TEXT is sent as a line.")
@click.option(
    "-e", "--escapes", is_flag=True, help=r"Read \n, \x00 and such in TEXT, and send no newline after it."
)
@click.option(
    "--newline",
    default=r"\n",
    show_default=True,
    metavar="TEXT",
    help="What is sent after TEXT; '' for nothing.",
)
@click.option(
    "--marker",
    multiple=True,
    metavar="TEXT",
    help=r"The reply ends with this, as '\n' or '\x00'. Repeatable.",
)
@click.option("--max-bytes", type=click.IntRange(min=1), metavar="N", help="The reply ends after N bytes.")
@click.option("--until-eof", is_flag=True, help="The reply ends when the peer closes; printed as it comes.")
@click.option("--timeout", type=Seconds(), help=f"For the reply.  [default: {_TIMEOUT:g}; none with -i]")
@click.option("--hex", "as_hex", is_flag=True, help="Print what comes as a hex dump.")
@click.option(
    "-i",
    "--interactive",
    is_flag=True,
    help="Send standard input as it comes, print what comes, until both end.",
)
@connection_options
@verbose_option
def command(
    *,
    address: str,
    data: str | None,
    escapes: bool,
    newline: str,
    marker: tuple[str, ...],
    max_bytes: int | None,
    until_eof: bool,
    timeout: float | None,
    as_hex: bool,
    interactive: bool,
    connection: ConnectionOptions,
    verbose: bool,
) -> int:
    """Send bytes over TCP or TLS, and print the reply.

    The address is host:port, tcp://host:port, tls://host:port or unix:/path. Without --marker, --max-bytes or
    --until-eof the reply is one line. If it does not come whole, what came is printed, and the exit code is 1.
    """
    from wirelane._run import run

    if until_eof and (marker or max_bytes):
        raise UsageError("--until-eof goes without --marker and --max-bytes")
    if interactive and (marker or max_bytes or until_eof):
        raise UsageError("-i prints whatever comes: it goes without --marker, --max-bytes and --until-eof")
    if interactive and data == "@-":
        raise UsageError("-i sends standard input anyway: it goes without -d @-")
    payload = None if data in (None, "@-") else _payload(data or "", escapes=escapes, newline=newline)
    markers = tuple(unescape(each, "--marker") for each in marker)
    if b"" in markers:
        raise UsageError("--marker must not be empty; --until-eof reads to the end")
    if timeout is None and not interactive:
        timeout = _TIMEOUT
    reply = _Reply(markers or (() if max_bytes else (b"\n",)), max_bytes, until_eof, timeout)
    talk = _Talk(reply, _Out(as_hex=as_hex), Log(verbose=verbose))
    return run(talk.run(address, connection, payload, from_stdin=data == "@-", interactive=interactive))


def _payload(data: str, *, escapes: bool, newline: str) -> bytes:
    if data.startswith("@"):
        try:
            with open(data[1:], "rb") as file:
                return file.read()
        except OSError as error:
            raise UsageError(f"-d {data}: {error.strerror}") from None
    if escapes:
        return unescape(data, "-d")
    return os.fsencode(data) + unescape(newline, "--newline")


def unescape(text: str, option: str) -> bytes:
    r"""Return what a text with escapes stands for: \n, \r, \t, \0, \\, \xHH, and the rest of Python's.

    Raises:
        UsageError: An escape is not one.
    """
    try:
        value, _ = codecs.escape_decode(os.fsencode(text))  # what bytes literals use
    except ValueError as error:
        raise UsageError(f"{option} {text!r}: {error}") from None
    assert isinstance(value, bytes)
    return value


class _Out:
    """Standard output, as it is or as a hex dump. What is printed is flushed: it may be all that comes for hours."""

    def __init__(self, *, as_hex: bool) -> None:
        self._dump = HexDump() if as_hex else None

    def write(self, data: bytes) -> None:
        if self._dump is None:
            sys.stdout.buffer.write(data)
        else:
            sys.stdout.write(self._dump.lines(data))
        sys.stdout.flush()

    def end(self) -> None:
        """Print what a hex dump still holds back."""
        if self._dump is not None:
            sys.stdout.write(self._dump.rest())
            sys.stdout.flush()


class _Talk:
    def __init__(self, reply: _Reply, out: _Out, log: Log) -> None:
        self._reply = reply
        self._out = out
        self._log = log
        self._sent = 0
        self._received = 0

    async def run(
        self,
        address: str,
        options: ConnectionOptions,
        payload: bytes | None,
        *,
        from_stdin: bool,
        interactive: bool,
    ) -> int:
        from wirelane.tcp import connect

        self._log.lap()
        connecting = connect(
            address,
            tls=options.tls_settings(),
            proxy=options.proxies(),
            connect_timeout=options.connect_timeout,
            server_name=options.server_name,
        )
        async with connecting as connection:
            self._tell_of(connection)
            try:
                return await self._exchange(
                    connection, payload, from_stdin=from_stdin, interactive=interactive
                )
            finally:
                self._out.end()
                seconds = self._log.lap()
                self._log.line(
                    "*", f"{self._sent} bytes sent, {self._received} received, in {seconds * 1000:.1f} ms"
                )

    def _tell_of(self, connection: Connection) -> None:
        cipher = connection.cipher
        secured = f", {cipher[1]} {cipher[0]}" if cipher else ", plaintext"
        self._log.line(
            "*",
            f"connected to {connection.peer} from {connection.local}{secured} in {self._log.lap() * 1000:.1f} ms",
        )

    async def _exchange(
        self, connection: Connection, payload: bytes | None, *, from_stdin: bool, interactive: bool
    ) -> int:
        timeout = self._reply.timeout
        if payload is not None:
            await self._send(connection, payload, timeout)
        if from_stdin:
            async for chunk in _pieces():
                await self._send(connection, chunk, timeout)
        if interactive:
            return await self._interact(connection)
        return await self._print_reply(connection)

    async def _send(self, connection: Connection, data: bytes, timeout: float | None = None) -> None:
        await connection.send(data, timeout=timeout)
        self._sent += len(data)

    async def _print_reply(self, connection: Connection) -> int:
        reply = self._reply
        try:
            if reply.until_eof:
                await self._print_all(connection, Deadline.after(reply.timeout))
            else:
                self._print(
                    await connection.read(reply.max_bytes, reply.markers or None, timeout=reply.timeout)
                )
        except (ReadTimeout, EndOfStream, LimitExceeded, ConnectionLost) as error:
            self._print(error.partial)
            return self._incomplete(error)
        return 0

    async def _print_all(self, connection: Connection, deadline: Deadline | None) -> None:
        while chunk := await connection.read(timeout=None if deadline is None else deadline.remaining()):
            self._print(chunk)

    def _incomplete(self, error: ReadTimeout | EndOfStream | LimitExceeded | ConnectionLost) -> int:
        """Say that the reply is not whole, on a line of its own."""
        if (
            error.partial
            and not error.partial.endswith(b"\n")
            and sys.stdout.isatty()
            and sys.stderr.isatty()
        ):
            print(file=sys.stderr)
        say(explain(error))
        return exit_code(error)

    def _print(self, data: bytes) -> None:
        self._received += len(data)
        self._out.write(data)

    async def _interact(self, connection: Connection) -> int:
        """Send and print at once, until the peer ends; when our input ends, the peer is told."""
        sender = asyncio.create_task(self._send_input(connection), name="wirelane tcp: send standard input")
        try:
            await self._print_all(connection, Deadline.after(self._reply.timeout))
        except (ReadTimeout, ConnectionLost) as error:
            return self._incomplete(error)
        finally:
            sender.cancel()
            await asyncio.wait((sender,))
        if not sender.cancelled():
            sender.result()
        return 0

    async def _send_input(self, connection: Connection) -> None:
        try:
            async for chunk in _pieces():
                await self._send(connection, chunk)
            await connection.send_eof()
        except ConnectionLost:
            return  # whoever reads is told the same


async def _pieces() -> AsyncIterator[bytes]:
    """Yield standard input as it comes."""
    stdin = Stdin()
    while chunk := await stdin.read():
        yield chunk
