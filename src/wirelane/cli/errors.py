"""What a user of the command is told when something fails, and with which exit code.

The library's errors say what happened and what to try, in the terms of its API; here those terms become options.
Nothing that a peer sent reaches the terminal as it is: control characters are shown, not obeyed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from wirelane.cli.style import style
from wirelane.errors import (
    RpcError,
    SchemaError,
    TlsError,
    UsageError,
    WirelaneError,
)

if TYPE_CHECKING:
    from wirelane.codec import Schema

__all__ = [
    "DataError",
    "NoReflectionError",
    "exit_code",
    "explain",
    "one_line",
    "report",
    "report_status",
    "say",
    "visible",
]

RUNTIME: Final = 1
USAGE: Final = 2
STATUS: Final = 64
"""Added to a gRPC status code, so that CANCELLED and UNKNOWN are not taken for the two above (as grpcurl does)."""

_MOST_PROBLEMS: Final = 20

# In the words of the API -> in options. The first that matches is used; the rest of the text stays.
_AS_OPTIONS: Final = tuple(
    (re.compile(pattern), options)
    for pattern, options in (
        (r"TlsConfig\(ca=\.\.\.\), or the option --cacert", "--cacert FILE"),
        (r"TlsConfig\(ca=[^)]*\)", "--cacert FILE"),
        (r"TlsConfig\(cert=\.\.\., key=\.\.\.\)", "--cert FILE --key FILE"),
        (r"TlsConfig\(server_name='([^']*)'\)", r"--server-name \1"),
        (r"TlsConfig\(server_name=\.\.\.\)", "--server-name NAME"),
        (r"TlsConfig ca:", "--cacert:"),
        (r"TlsConfig cert:", "--cert:"),
        (r"TlsConfig key:", "--key:"),
        (
            r"TlsConfig key is encrypted: give key_password=",
            "--key is encrypted: give one without a password",
        ),
        (r"; give key= as well", "; give --key as well"),
        (r"connect with TLS \(grpcs://, tls=True, --tls\)", "use --tls"),
        (
            r"check that this port speaks TLS; if it does not, connect without TLS",
            "if it does not speak TLS, use --plaintext",
        ),
        (r"connect without TLS", "use --plaintext"),
        (r"; does it expect TLS\?", "; if it expects TLS, use --tls"),
        (r"tls=False contradicts (\S+); write .* for plain text", r"--plaintext contradicts \1"),
        (r"tls=False says no", "--plaintext says no"),
        (r"(sent what is no proper TLS \([^)]*\))", r"\1; if it does not speak TLS, use --plaintext"),
        (r"limits\.(\w+)", r"\1"),
        (r"\(idle_timeout\)", "(--idle)"),
        # Of --until-eof all but this was printed before; and what came is seen.
        (r"; 0 bytes (had arrived|are left)$", ""),
        (
            r"no marker within (\d+) bytes \(read_buffer\)",
            r"the reply has no end within \1 bytes; give --marker and a larger --max-bytes, or --until-eof",
        ),
    )
)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class DataError(UsageError):
    """What was given to be sent cannot be: no JSON, or not a message of the method. Says where."""


class NoReflectionError(WirelaneError):
    """The server does not answer reflection, and no .proto files were given."""


def exit_code(error: BaseException) -> int:
    """Return the exit code for an error."""
    if isinstance(error, RpcError):
        return STATUS + error.code
    if isinstance(error, UsageError | SchemaError):
        return USAGE
    return RUNTIME


def explain(error: BaseException) -> str:
    """Return what to say about an error: one sentence, its remedies as options of the command."""
    if isinstance(error, WirelaneError):
        text = str(error)
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    else:
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        if not isinstance(error, OSError | MemoryError):
            text = f"this is a fault of wirelane itself: {text} (WIRELANE_DEBUG=1 shows where)"
    for pattern, options in _AS_OPTIONS:
        text = pattern.sub(options, text)
    return text


def report(error: BaseException, *, schema: Schema | None = None) -> int:
    """Print an error, and return its exit code.

    Args:
        error: What went wrong.
        schema: Where the types of error details are described.
    """
    if isinstance(error, RpcError):
        from wirelane.cli.details import details_json

        report_status(error, details_json(error.details, schema))
    elif isinstance(error, SchemaError) and error.problems:
        _report_problems(error)
    else:
        say(explain(error))
    return exit_code(error)


def report_status(error: RpcError, details: Sequence[object]) -> None:
    """Print how a call failed, and below it the details that came along, as JSON."""
    heading = style(f"ERROR {error.code.name} ({int(error.code)})", "red", sys.stderr)
    text = explain(_message_of(error))
    print(f"{heading}: {one_line(text)}" if error.message else heading, file=sys.stderr)
    if details:
        from wirelane.cli.output import json_text

        for detail in details:
            print(json_text(detail, compact=False, file=sys.stderr), file=sys.stderr)


def say(text: str) -> None:
    """Print one line about a failure."""
    print(f"{style('error', 'red', sys.stderr)}: {one_line(text)}", file=sys.stderr)


def one_line(text: str) -> str:
    r"""Return a text fit for a terminal: in one line, control characters written as "\n" or "\x1b"."""
    return visible(text.strip())


def visible(text: str) -> str:
    """Return a text in which nothing acts on a terminal, as `one_line`; spaces at its ends stay."""
    return _CONTROL.sub(_shown, text)


def _shown(match: re.Match[str]) -> str:
    escaped = match[0].encode("unicode_escape").decode("ascii")
    return " " if match[0] == "\t" else escaped


def _message_of(error: RpcError) -> WirelaneError:
    """Return the message alone; what broke on this side is explained like any other error."""
    cause = error.__cause__
    if not error.from_peer and isinstance(cause, TlsError):
        return cause
    return WirelaneError(error.message)


def _report_problems(error: SchemaError) -> None:
    first = SchemaError(error.message, file=error.file, line=error.line, column=error.column)
    say(explain(first))
    for file, line, column, text in error.problems[:_MOST_PROBLEMS]:
        problem = SchemaError(text, file=file, line=line, column=column)
        print(f"       {one_line(explain(problem))}", file=sys.stderr)
    more = len(error.problems) - _MOST_PROBLEMS
    if more > 0:
        print(f"       and {more} more", file=sys.stderr)
