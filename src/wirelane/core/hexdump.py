"""Bytes as a hex dump, in the form of `hexdump -C`, from pieces of any size."""

from __future__ import annotations

from typing import Final

__all__ = ["HexDump"]

_WIDTH: Final = 16


class HexDump:
    """One dump; what does not fill a line waits for more."""

    def __init__(self) -> None:
        self._offset = 0
        self._held = b""

    def lines(self, data: bytes) -> str:
        """Return the lines that this piece completes."""
        self._held += data
        whole = len(self._held) // _WIDTH * _WIDTH
        data, self._held = self._held[:whole], self._held[whole:]
        return "".join(self._line(data[start : start + _WIDTH]) for start in range(0, whole, _WIDTH))

    def rest(self) -> str:
        """Return the last line, if there is something for it."""
        data, self._held = self._held, b""
        return self._line(data) if data else ""

    def _line(self, data: bytes) -> str:
        left, right = data[:8].hex(" "), data[8:].hex(" ")
        shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in data)
        line = f"{self._offset:08x}  {left:<23}  {right:<23}  |{shown}|\n"
        self._offset += len(data)
        return line
