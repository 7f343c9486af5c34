r"""What `wirelane tcp` is given as text, as the bytes it stands for.

Without `--encoding`, text is the bytes of the command line, and \xHH is a byte. With it, text is characters, \xHH and
\uHHHH among them, and becomes bytes in that encoding.
"""

from __future__ import annotations

import codecs
import os
import re
from dataclasses import dataclass
from typing import Final

from wirelane.errors import UsageError

__all__ = ["Crlf", "TextOptions", "unescape"]

_ESCAPE: Final = re.compile(
    r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{1,3}|[\\'\"abfnrtv]|[xuU])"
)
_LONE_LF: Final = re.compile(rb"(?<!\r)\n")


@dataclass(frozen=True, slots=True)
class TextOptions:
    """How text becomes bytes.

    Attributes:
        encoding: None: the bytes of the command line, and whatever bytes come.
        newline: What follows a line, with escapes; None: what `crlf` says.
        crlf: Whether every LF that is sent has a CR before it.
    """

    encoding: str | None = None
    newline: str | None = None
    crlf: bool = False

    def __post_init__(self) -> None:
        if self.crlf and self.newline is not None:
            raise UsageError("--crlf says what follows a line, and so does --newline: give one or the other")
        if self.encoding is not None:
            try:
                text = "\n".encode(self.encoding)
            except (LookupError, UnicodeError):
                raise UsageError(
                    f"--encoding: {self.encoding!r} is no encoding of text that is known here"
                ) from None
            if self.crlf and text != b"\n":
                raise UsageError(
                    f"--crlf goes with encodings in which a newline is one byte, not with {self.encoding}; "
                    r"use --newline '\r\n'"
                )

    def payload(self, text: str, *, escapes: bool) -> bytes:
        """Return what is sent for TEXT: as it stands for with `escapes`, else as a line."""
        data = self._bytes(text, "-d") if escapes else self.line(text)
        return self.mended(data)

    def mended(self, data: bytes) -> bytes:
        """Return bytes as they are sent."""
        return Crlf().feed(data) if self.crlf else data

    def line(self, text: str) -> bytes:
        """Return a line that was typed, with what follows it.

        Raises:
            UsageError: A character is not in the encoding.
        """
        newline = r"\n" if self.newline is None else self.newline
        if self.encoding is None:
            data = os.fsencode(text) + unescape(newline, "--newline")
        else:
            data = self._encoded(text + _characters(newline, "--newline"), "the text")
        return self.mended(data)

    def marker(self, text: str) -> str | bytes:
        """Return what a --marker stands for: characters if there is an encoding."""
        if not text:
            raise UsageError("--marker must not be empty; --until-eof reads to the end")
        if self.encoding is None:
            return unescape(text, "--marker")
        characters = _characters(text, "--marker")
        self._encoded(characters, "--marker")
        return characters

    def _bytes(self, text: str, option: str) -> bytes:
        if self.encoding is None:
            return unescape(text, option)
        return self._encoded(_characters(text, option), option)

    def _encoded(self, text: str, what: str) -> bytes:
        assert self.encoding is not None
        try:
            return text.encode(self.encoding)
        except UnicodeError as error:
            raise UsageError(f"{what} cannot be written in {self.encoding}: {error}") from None


class Crlf:
    """Puts a CR before each LF that has none, in pieces of any size."""

    def __init__(self) -> None:
        self._after_cr = False

    def feed(self, data: bytes) -> bytes:
        """Return the next piece as it is to be sent."""
        if not data:
            return data
        mended = _LONE_LF.sub(b"\r\n", data)
        if self._after_cr and data.startswith(b"\n"):
            mended = mended[1:]
        self._after_cr = data.endswith(b"\r")
        return mended


def unescape(text: str, option: str) -> bytes:
    r"""Return the bytes that a text with escapes stands for: \n, \r, \t, \0, \\, \xHH, and the rest of Python's.

    Raises:
        UsageError: An escape is not one.
    """
    try:
        value, _ = codecs.escape_decode(os.fsencode(text))  # what bytes literals use
    except ValueError as error:
        raise UsageError(f"{option} {text!r}: {error}") from None
    assert isinstance(value, bytes)
    return value


def _characters(text: str, option: str) -> str:
    r"""Return the characters that a text with escapes stands for: \uHHHH as well, and \xHH is U+00HH."""

    def meant(match: re.Match[str]) -> str:
        if match[1] in {"x", "u", "U"}:
            raise UsageError(f"{option} {text!r}: \\{match[1]} needs its digits: \\x0a, \\u000a, \\U0000000a")
        try:
            return codecs.decode(match[0], "unicode_escape")
        except UnicodeError:
            raise UsageError(f"{option} {text!r}: {match[0]} is no character") from None

    return _ESCAPE.sub(meant, text)
