"""Where `wirelane tcp` prints what comes: standard output, a file or a terminal that is also typed on; in three forms.

What is printed is flushed: it may be all that comes for hours.
"""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol

from wirelane.core.hexdump import HexDump
from wirelane.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Out"]

_MARKED: Final = {
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
}
"""Encodings that a byte order mark tells more of; without one they are in the order of the machine."""


class Out:
    """What is printed, and where to.

    Args:
        as_hex: As a hex dump.
        encoding: What comes is text in this encoding, and printed in that of the output. None: bytes as they are.
        path: A file to write to instead of standard output; None or "-" is standard output. It is opened, and what
            was in it is lost, by `open`, not before.

    Attributes:
        show: Set while somebody types on the terminal that is printed on: what prints there, in place of all this.

    Raises:
        UsageError: There cannot be such a file.
    """

    def __init__(self, *, as_hex: bool = False, encoding: str | None = None, path: str | None = None) -> None:
        self.show: Callable[[bytes], None] | None = None
        self._dump = HexDump() if as_hex else None
        self._decoder: _Decodes | None = None
        if encoding is not None and not as_hex:
            self._decoder = _decoder(encoding)
        self._path = None if path == "-" else path
        self._file: BinaryIO | None = None
        if self._path is not None:
            _check(self._path)

    @property
    def to_terminal(self) -> bool:
        """Whether what is printed is seen at once."""
        return self._path is None and sys.stdout.isatty()

    def open(self) -> None:
        """Open the file, if there is one: what is printed from now on is all that is in it.

        Raises:
            OSError: It cannot be written.
        """
        if self._path is not None:
            self._file = open(self._path, "wb")  # noqa: SIM115  (`end` closes it)

    def write(self, data: bytes) -> None:
        """Print what came."""
        if self._dump is not None:
            self._put(self._dump.lines(data).encode())
        elif self._decoder is not None:
            self._put(self._encoded(self._decoder.decode(data)))
        else:
            self._put(data)

    def end(self) -> None:
        """Print what is still held back: half a line of a hex dump, half a character. Close the file."""
        try:
            if self._dump is not None:
                self._put(self._dump.rest().encode())
            elif self._decoder is not None:
                self._put(self._encoded(self._decoder.decode(b"", True)))
        finally:
            if self._file is not None:
                with self._named():
                    self._file.close()

    def _encoded(self, text: str) -> bytes:
        encoding = "utf-8" if self._file is not None else sys.stdout.encoding
        return text.encode(encoding, "backslashreplace")

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Name the file in what goes wrong with it."""
        try:
            yield
        except OSError as error:
            error.filename = self._path
            raise

    def _put(self, data: bytes) -> None:
        if not data:
            return
        if self._file is not None:
            with self._named():
                self._file.write(data)
                self._file.flush()
        elif self.show is not None:
            self.show(data)
        else:
            sys.stdout.buffer.write(data)
            sys.stdout.flush()


class _Decodes(Protocol):
    def decode(self, data: bytes, final: bool = False, /) -> str: ...


def _decoder(encoding: str) -> _Decodes:
    name = codecs.lookup(encoding).name
    return _Unmarked(name) if name in _MARKED else codecs.getincrementaldecoder(name)("backslashreplace")


class _Unmarked:
    """What Python's incremental decoders of these encodings refuse and others take: text without a byte order mark."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._head = b""
        self._decoder: codecs.IncrementalDecoder | None = None

    def decode(self, data: bytes, final: bool = False, /) -> str:
        """Return the text that is whole, as incremental decoders do."""
        data = self._head + data
        if self._decoder is None:
            marks = _MARKED[self._name]
            if len(data) < len(marks[0]) and not final:
                self._head = data
                return ""
            name = self._name if data.startswith(marks) else f"{self._name}-{sys.byteorder[0]}e"
            self._decoder = codecs.getincrementaldecoder(name)("backslashreplace")
            self._head = b""
        return self._decoder.decode(data, final)


def _check(path: str) -> None:
    """See that a file may be written, before anything is asked of the network, and without touching it."""
    where = path if os.path.exists(path) else os.path.dirname(path) or "."
    if os.path.isdir(path):
        raise UsageError(f"-o {path}: it is a directory")
    if not os.path.exists(where):
        raise UsageError(f"-o {path}: there is no directory {where}")
    if not os.access(where, os.W_OK):
        raise UsageError(f"-o {path}: it may not be written")
