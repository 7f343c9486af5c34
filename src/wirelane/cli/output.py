"""Replies on standard output, as JSON: each as it comes, or all of a call in one envelope.

Written at once and flushed, so that whoever reads the pipe sees a reply when it is there. Characters that a terminal
obeys instead of showing are written as JSON escapes.
"""

from __future__ import annotations

import base64
import json
import re
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol, TextIO

from wirelane.status import StatusCode

if TYPE_CHECKING:
    from wirelane.cli.options import OutputOptions
    from wirelane.core.metadata import Metadata

__all__ = [
    "EnvelopePrinter",
    "MessagePrinter",
    "Printer",
    "json_text",
    "metadata_json",
    "printer",
    "write",
]

# What JSON leaves as it is and a terminal may obey: DEL, C1, line separators, and marks that turn the direction.
_OBEYED: Final = re.compile(r"[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def write(text: str) -> None:
    """Write a piece of a result, and see that it leaves.

    Raises:
        BrokenPipeError: Nobody reads it any more.
    """
    sys.stdout.write(text)
    sys.stdout.flush()


def json_text(value: object, *, compact: bool, file: TextIO) -> str:
    """Return a value as JSON: in one line, or indented by two."""
    ascii_only = (file.encoding or "ascii").lower().replace("-", "") != "utf8"
    separators = (",", ":") if compact else None
    text = json.dumps(value, ensure_ascii=ascii_only, indent=None if compact else 2, separators=separators)
    return _OBEYED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def metadata_json(metadata: Metadata | None) -> dict[str, list[str]]:
    """Return metadata as JSON has it: a list for every name, binary values in base64."""
    shown: dict[str, list[str]] = {}
    for name, value in metadata.items() if metadata is not None else ():
        text = value if isinstance(value, str) else base64.b64encode(value).decode("ascii")
        shown.setdefault(name, []).append(text)
    return shown


class Printer(Protocol):
    """What becomes of what a call brings, in the order in which it comes."""

    def headers(self, metadata: Metadata | None) -> None:
        """The server's initial metadata; once, before the first message."""
        ...

    def message(self, value: object) -> None:
        """One reply, ready for JSON."""
        ...

    def ended(
        self, code: StatusCode, text: str, details: Sequence[object], trailers: Metadata | None
    ) -> None:
        """The call has ended; once. `details` are ready for JSON."""
        ...


class MessagePrinter:
    """Prints the replies, one after another, and nothing else."""

    def __init__(self, *, compact: bool) -> None:
        self._compact = compact

    def headers(self, metadata: Metadata | None) -> None:
        """Nothing: only replies are results."""

    def message(self, value: object) -> None:
        write(json_text(value, compact=self._compact, file=sys.stdout) + "\n")

    def ended(
        self, code: StatusCode, text: str, details: Sequence[object], trailers: Metadata | None
    ) -> None:
        """Nothing: the status is told on standard error, and by the exit code."""


class EnvelopePrinter:
    """Prints one object for the whole call: headers, messages, trailers, status.

    It is written piece by piece, so that an endless stream needs no endless memory.
    """

    def __init__(self, *, compact: bool) -> None:
        self._compact = compact
        self._begun = False
        self._count = 0

    def headers(self, metadata: Metadata | None) -> None:
        self._begun = True
        write("{" + self._member("headers", metadata_json(metadata)) + "," + self._break(1))
        write('"messages":' + ("" if self._compact else " ") + "[")

    def message(self, value: object) -> None:
        separator = "," if self._count else ""
        self._count += 1
        write(separator + self._break(2) + self._indented(value, 2))

    def ended(
        self, code: StatusCode, text: str, details: Sequence[object], trailers: Metadata | None
    ) -> None:
        if not self._begun:
            self.headers(None)
        status = {
            "code": int(code),
            "name": code.name,
            "message": text,
            "details": list(details),
        }
        write((self._break(1) if self._count else "") + "],")
        write(self._member("trailers", metadata_json(trailers)) + ",")
        write(self._member("status", status) + self._break(0) + "}\n")

    def _member(self, name: str, value: object) -> str:
        colon = ":" if self._compact else ": "
        return f'{self._break(1)}"{name}"{colon}{self._indented(value, 1)}'

    def _break(self, depth: int) -> str:
        return "" if self._compact else "\n" + "  " * depth

    def _indented(self, value: object, depth: int) -> str:
        text = json_text(value, compact=self._compact, file=sys.stdout)
        return text if self._compact else textwrap.indent(text, "  " * depth).lstrip()


def printer(options: OutputOptions) -> Printer:
    """Return what prints as the options say."""
    if options.envelope:
        return EnvelopePrinter(compact=options.compact)
    return MessagePrinter(compact=options.compact)
