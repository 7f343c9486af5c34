"""Colours: only where a person looks, and where they are wanted (https://no-color.org, FORCE_COLOR)."""

from __future__ import annotations

import os
from typing import Final, TextIO

__all__ = ["coloured", "style"]

_CODES: Final = {"red": "1;31", "green": "32", "dim": "2", "bold": "1"}


def coloured(file: TextIO) -> bool:
    """Return whether to use colours in what is written to `file`."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return file.isatty() and os.environ.get("TERM") != "dumb"


def style(text: str, colour: str, file: TextIO) -> str:
    """Return the text as it is to be written to `file`."""
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if coloured(file) else text
