"""Where `wirelane tcp` prints what comes: standard output, a file or a terminal that is also typed on; in three forms.

What is printed is flushed: it may be all that comes for hours.
"""

from __future__ import annotations

import codecs
import os
import sys
from typing import TYPE_CHECKING, BinaryIO

from wirelane.core.hexdump import HexDump
from wirelane.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Out"]


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
        self._decoder = None
        if encoding is not None and not as_hex:
            self._decoder = codecs.getincrementaldecoder(encoding)("backslashreplace")
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
                self._put(self._encoded(self._decoder.decode(b"", final=True)))
        finally:
            if self._file is not None:
                self._file.close()

    def _encoded(self, text: str) -> bytes:
        encoding = "utf-8" if self._file is not None else sys.stdout.encoding
        return text.encode(encoding, "backslashreplace")

    def _put(self, data: bytes) -> None:
        if not data:
            return
        if self._file is not None:
            self._file.write(data)
            self._file.flush()
        elif self.show is not None:
            self.show(data)
        else:
            sys.stdout.buffer.write(data)
            sys.stdout.flush()


def _check(path: str) -> None:
    """See that a file may be written, before anything is asked of the network, and without touching it."""
    where = path if os.path.exists(path) else os.path.dirname(path) or "."
    if os.path.isdir(path):
        raise UsageError(f"-o {path}: it is a directory")
    if not os.path.exists(where):
        raise UsageError(f"-o {path}: there is no directory {where}")
    if not os.access(where, os.W_OK):
        raise UsageError(f"-o {path}: it may not be written")
