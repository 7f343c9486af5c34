r"""`wirelane tcp`: send something, print what comes back; or talk interactively.

When the reply ends is what the options say: `--marker`, `--max-bytes`, the end of the stream (`--until-eof`), or, with
none of them, a line. Whatever ended it, what had arrived is printed: nothing is lost by a timeout. With `-i`, and where
standard input is a pipe or a file and nothing is said about what to send or how the reply ends, both directions go on until both
ends are done, as with ncat.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

import click

from wirelane.cli.options import ConnectionOptions, Seconds, connection_options, verbose_option
from wirelane.cli.session import Log
from wirelane.cli.tcptext import TextOptions
from wirelane.cli.verb import Verb
from wirelane.errors import UsageError

if TYPE_CHECKING:
    from wirelane.cli.editor import Editor

__all__ = ["command"]

_EXAMPLES = r"""
Examples:
  wirelane tcp localhost:4242 -d 'Echo this!'
  wirelane tcp localhost:4242 -d 'one;two' --marker ';'
  wirelane tcp localhost:4242 -e -d '\x01\x02\x03\x04' --max-bytes 4 --hex
  wirelane tcp example.com:80 -e -d 'HEAD / HTTP/1.0\r\n\r\n' --until-eof
  wirelane tcp localhost:4242 -d 'no newline comes' --marker '\0' --timeout 0.5
  # files and pipes
  printf 'GET / HTTP/1.0\n\n' | wirelane tcp --crlf example.com:80
  wirelane tcp localhost:4242 -d @request.bin --until-eof --idle 10 -o reply.bin
  wirelane tcp localhost:4242 -d 'zażółć' --encoding cp1250
  # type and read, with history; Ctrl-D says that no more comes, Ctrl-C ends it
  wirelane tcp tls://imap.example.com:993 -i --crlf
  wirelane tcp localhost:6379 -i --crlf --no-history
  # see what is said, in both directions; through a proxy; with another certificate
  wirelane tcp localhost:4242 -d 'Echo this!' --hex -v
  wirelane tcp example.com:7 -d x --proxy socks5://user:password@localhost:1080
  wirelane tcp localhost:8443 -d x --cacert ca.pem --server-name test.example.com

Exit codes: 0; 1 the network, or a reply that did not come whole; 2 usage; 130 Ctrl-C.
"""

_TIMEOUT: Final = 5.0


@click.command("tcp", cls=Verb, epilog=_EXAMPLES)
@click.argument("address", metavar="HOST:PORT")
@click.option("-d", "--data", metavar="TEXT|@FILE|@-", help="What to send. TEXT is sent as a line.")
@click.option(
    "-e", "--escapes", is_flag=True, help=r"Read \n, \x00 and such in TEXT, and send no newline after it."
)
@click.option("--newline", metavar="TEXT", help=r"What is sent after TEXT; '' for nothing.  [default: \n]")
@click.option(
    "-C", "--crlf", is_flag=True, help="Send CR LF for every LF, in lines, files and standard input alike."
)
@click.option(
    "--encoding",
    metavar="NAME",
    help="Of TEXT and markers, and of what comes and is printed; without it, bytes are what they are.",
)
@click.option(
    "--marker",
    multiple=True,
    metavar="TEXT",
    help=r"The reply ends with this, as '\n' or '\x00'. Repeatable.",
)
@click.option("--max-bytes", type=click.IntRange(min=1), metavar="N", help="The reply ends after N bytes.")
@click.option("--until-eof", is_flag=True, help="The reply ends when the peer closes; printed as it comes.")
@click.option(
    "--timeout",
    type=Seconds(),
    help=f"For the reply.  [default: {_TIMEOUT:g}; none with -i or standard input]",
)
@click.option("--idle", type=Seconds(), help="Give up when nothing has come for so long.")
@click.option(
    "--hex", "as_hex", is_flag=True, help="Print what comes as a hex dump; with -v, what is sent, too."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(),  # which is what makes shells complete names of files
    metavar="FILE",
    help="Print to FILE; '-' is standard output. It is not touched before there is a connection.",
)
@click.option(
    "-i",
    "--interactive",
    is_flag=True,
    help="Send what is typed, line by line, and print what comes, until both end. The default without -d, --marker, "
    "--max-bytes and --until-eof where standard input is a pipe or a file.",
)
@click.option(
    "--no-history",
    is_flag=True,
    help="Do not keep the lines that are typed. They are kept in a file of yours alone (WIRELANE_HISTORY names another, "
    "'' none), but for those that begin with a space.",
)
@connection_options
@verbose_option
def command(
    *,
    address: str,
    data: str | None,
    escapes: bool,
    newline: str | None,
    crlf: bool,
    encoding: str | None,
    marker: tuple[str, ...],
    max_bytes: int | None,
    until_eof: bool,
    timeout: float | None,
    idle: float | None,
    as_hex: bool,
    output: str | None,
    interactive: bool,
    no_history: bool,
    connection: ConnectionOptions,
    verbose: bool,
) -> int:
    """Send bytes over TCP or TLS, and print the reply.

    The address is host:port, tcp://host:port, tls://host:port or unix:/path. Without --marker, --max-bytes or
    --until-eof the reply is one line. If it does not come whole, what came is printed, and the exit code is 1.
    """
    from wirelane._run import run
    from wirelane.cli.talk import Reply, Talk, trace_to_stderr
    from wirelane.cli.tcpout import Out

    bounded = bool(marker or max_bytes or until_eof)
    _check(data, marker, max_bytes, idle, until_eof=until_eof, interactive=interactive)
    relay = interactive or (data is None and not bounded and _has_input())
    text = TextOptions(encoding, newline, crlf)
    payload = None if data in (None, "@-") else _payload(data or "", text, escapes=escapes)
    markers = tuple(text.marker(each) for each in marker)
    if not markers and not max_bytes:
        markers = (b"\n" if encoding is None else "\n",)
    if timeout is None and not relay:
        timeout = _TIMEOUT
    editor = _editor(text, history=not no_history) if interactive else None
    talk = Talk(
        Reply(markers, max_bytes, until_eof, timeout, idle, encoding),
        Out(as_hex=as_hex, encoding=encoding, path=output),
        Log(verbose=verbose),
        crlf=crlf,
        trace=trace_to_stderr() if as_hex and verbose else None,
    )
    work = talk.run(address, connection, payload, from_stdin=data == "@-", relay=relay, editor=editor)
    # libuv makes what it polls non-blocking: a terminal would be so for the user's shell as well.
    return run(work, uvloop=None if editor is None else False)


def _check(
    data: str | None,
    marker: tuple[str, ...],
    max_bytes: int | None,
    idle: float | None,
    *,
    until_eof: bool,
    interactive: bool,
) -> None:
    """Refuse options that contradict each other."""
    if until_eof and (marker or max_bytes):
        raise UsageError("--until-eof goes without --marker and --max-bytes")
    if interactive and (marker or max_bytes or until_eof):
        raise UsageError("-i prints whatever comes: it goes without --marker, --max-bytes and --until-eof")
    if interactive and data == "@-":
        raise UsageError("-i sends standard input anyway: it goes without -d @-")
    if idle is not None and not idle > 0:
        raise UsageError("--idle must be more than 0")


def _has_input() -> bool:
    """Whether somebody gave us something to send: a pipe, a socket or a file, not a terminal and not /dev/null."""
    try:
        mode = os.fstat(0).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISREG(mode)


def _editor(text: TextOptions, *, history: bool) -> Editor | None:
    from wirelane.cli.editor import Editor, history_path

    return Editor.open(text, history_path() if history else None)


def _payload(data: str, text: TextOptions, *, escapes: bool) -> bytes:
    if not data.startswith("@"):
        return text.payload(data, escapes=escapes)
    try:
        with open(data[1:], "rb") as file:
            return text.mended(file.read())
    except OSError as error:
        raise UsageError(f"-d {data}: {error.strerror}") from None
