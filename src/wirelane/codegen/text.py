"""Python text that a formatter leaves as it is, made of what strangers wrote.

Lines are kept within 88 columns, the default of formatters, where they can be broken; what is broken ends with a
comma, so that formatters set to longer lines leave it as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

__all__ = [
    "HEADER",
    "WIDTH",
    "alternatives",
    "call",
    "comment_line",
    "docstring",
    "indent",
    "literal",
    "opened",
    "signature",
]

HEADER: Final = "# Written by wirelane generate; do not edit."
"""The first line of every file that is ours: by it they are known when they are no longer needed."""

WIDTH: Final = 88
"""Columns of a line; where formatters break it, too."""


def literal(text: str) -> str:
    """Return a string literal in double quotes, in ASCII where a character cannot be printed."""
    return '"' + _escaped(text).replace('"', '\\"').replace("\n", "\\n") + '"'


def _escaped(text: str) -> str:
    """Return text for a string literal: backslashes doubled, and written out what cannot be seen (or turns text around)."""
    return "".join(
        "\\\\" if letter == "\\" else letter if letter == "\n" or letter.isprintable() else _code(letter)
        for letter in text
    )


def _code(letter: str) -> str:
    number = ord(letter)
    return (
        f"\\x{number:02x}"
        if number < 0x100
        else f"\\u{number:04x}"
        if number < 0x10000
        else f"\\U{number:08x}"
    )


def comment_line(text: str) -> str:
    """Return a comment, in one line whatever is in the text."""
    return "# " + "".join(letter if letter.isprintable() else _code(letter) for letter in text)


def docstring(text: str) -> list[str]:
    """Return the lines of a docstring that says `text`; none for no text."""
    lines = [_escaped(line.expandtabs().rstrip()).rstrip() for line in text.strip().split("\n")]
    lines = [line.replace('"""', '\\"\\"\\"') for line in lines]
    if not any(lines):
        return []
    if len(lines) == 1:
        line = lines[0]
        # Those of the text are doubled: an odd number of backslashes means that the quote is escaped already.
        if line.endswith('"') and (len(line) - 1 - len(line[:-1].rstrip("\\"))) % 2 == 0:
            line = f'{line[:-1]}\\"'
        return [f'"""{" " if line[0] == chr(34) else ""}{line}"""']
    first = lines[0]
    return [f'"""{" " if first[0] == chr(34) else ""}{first}', *_outdented(lines[1:]), '"""']


def _outdented(lines: list[str]) -> list[str]:
    """Take away what all lines but the first are indented by: formatters and readers take it for the code's."""
    depth = min((len(line) - len(line.lstrip(" ")) for line in lines if line), default=0)
    return [line[depth:] for line in lines]


def indent(lines: Iterable[str], levels: int = 1) -> list[str]:
    """Return the lines, further to the right; empty ones stay empty."""
    return [" " * 4 * levels + line if line else "" for line in lines]


def call(before: str, arguments: Sequence[str], after: str = ")", *, depth: int = 0) -> list[str]:
    """Return `before`, the arguments and `after`: in one line if it is short enough, else one argument per line.

    Args:
        before: Up to and with the opening bracket.
        arguments: What is in the brackets; one that has several lines breaks the whole.
        after: The closing bracket, and what follows.
        depth: By how many levels the lines will be indented.
    """
    line = f"{before}{', '.join(arguments)}{after}"
    if "\n" not in line and len(line) + 4 * depth <= WIDTH:
        return [line]
    pieces = "\n".join(f"{argument}," for argument in arguments).split("\n")
    return [before, *(f"    {piece}" for piece in pieces), after]


def signature(
    name: str, arguments: Sequence[str], returns: str, *, prefix: str = "def", end: str = ":", depth: int = 1
) -> list[str]:
    """Return the head of a method, with an argument per line where one line is too short for all."""
    lines = call(f"{prefix} {name}(", arguments, f") -> {returns}{end}", depth=depth)
    if len(lines[-1]) + 4 * depth > WIDTH:
        first, *others = alternatives(returns)
        if others:
            short = len(returns) + 4 * (depth + 1) <= WIDTH
            lines[-1:] = [") -> (", *indent([returns] if short else [first, *others]), f"){end}"]
        else:
            lines[-1:] = opened(f") -> {returns}{end}", depth)
    return lines


def alternatives(kind: str) -> list[str]:
    """Return the parts of a union, each but the first with the "| " before it."""
    pieces, level = [""], 0
    for part in re.split(r"( \| |[][])", kind):
        level += (part == "[") - (part == "]")
        if part == " | " and level == 0:
            pieces.append("| ")
        else:
            pieces[-1] += part
    return pieces


def opened(line: str, depth: int) -> list[str]:
    """Return a line that is too long with what is in its first pair of brackets on lines of its own."""
    start, end = line.find("["), line.rfind("]")
    if start < 0 or len(line) + 4 * depth <= WIDTH:
        return [line]
    inner = line[start + 1 : end]
    if len(inner) + 4 * (depth + 1) <= WIDTH:
        return [line[: start + 1], f"    {inner}", line[end:]]
    pieces, level = [""], 0
    for part in re.split(r"(, |[][])", inner):
        level += (part == "[") - (part == "]")
        if part == ", " and level == 0:
            pieces.append("")
        else:
            pieces[-1] += part
    return [line[: start + 1], *(f"    {piece}," for piece in pieces), line[end:]]
