"""The inputs that are kept, a file of text for each target: a line for each input, in base64, the shortest first.

A note may follow after a `#`: where the input comes from, or what it once broke. An input with a note is kept for ever;
the others are kept for what they reach, until shorter ones reach the same. One file and not a directory with hundreds:
a change of the corpus is then a change of some lines, and nothing is unpacked to look at it.
"""

from __future__ import annotations

import base64
from pathlib import Path

__all__ = ["path_of", "read", "text_of"]

_HOME = Path(__file__).parent / "corpus"


def path_of(name: str) -> Path:
    """Return the file with the inputs of a target."""
    return _HOME / f"{name}.txt"


def read(name: str) -> dict[bytes, str]:
    """Return the inputs that are kept for a target, each with its note, or ""."""
    path = path_of(name)
    inputs: dict[bytes, str] = {}
    for line in path.read_text(encoding="ascii").splitlines() if path.exists() else ():
        coded, _, note = line.partition("#")
        inputs[base64.b64decode(coded.strip(), validate=True)] = note.strip()
    return inputs


def text_of(inputs: dict[bytes, str]) -> str:
    """Return what the file with these inputs holds."""
    lines = (
        f"{base64.b64encode(data).decode()}{f'  # {inputs[data]}' if inputs[data] else ''}\n"
        for data in sorted(inputs, key=lambda data: (len(data), data))
    )
    return "".join(lines)
