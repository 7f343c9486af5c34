"""Just enough of a .proto parser to follow imports: their names and where they stand. protoc does the rest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from wirelane.errors import SchemaError

__all__ = ["Import", "check_import_name", "decode", "imports", "looks_like_proto"]

# Every alternative matches whatever follows its first character, closed or not: were it to fail, the search would
# begin anew one character later, and a file of nothing but "/*" would take quadratic time.
_TOKEN: Final = re.compile(
    r"""
    //[^\n]*
  | /\*(?:[^*]|\*(?!/))*+(?:\*/)?
  | "(?P<double>(?:[^"\\\n]|\\.)*+)"?
  | '(?P<single>(?:[^'\\\n]|\\.)*+)'?
  | (?P<word>[A-Za-z_][\w.]*+)
  | (?P<sign>[{};])
    """,
    re.VERBOSE,
)
_STATEMENT: Final = re.compile(
    r"\b(?:syntax|edition|message|service|enum|package|import|option|extend)\b[^{;]*[{;]"
)
_MODIFIERS: Final = frozenset({"public", "weak", "option"})
_DRIVE: Final = re.compile(r"[A-Za-z]:")
_LONGEST_NAME: Final = 1024
_LONGEST_PART: Final = 255  # NAME_MAX of the usual file systems: names become files for the compiler


@dataclass(frozen=True, slots=True)
class Import:
    """One import statement: the name it gives, and where it begins (both from 1)."""

    name: str
    line: int
    column: int


def looks_like_proto(text: str) -> bool:
    """Whether `text` can only be .proto source: it has several lines, or a statement."""
    return "\n" in text or _STATEMENT.search(text) is not None


def decode(data: bytes, name: str) -> str:
    """Return the text of a .proto file.

    Raises:
        SchemaError: It is not UTF-8.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise SchemaError("is UTF-16; .proto files are UTF-8", file=name, line=1, column=1) from None
        raise SchemaError(
            f"byte 0x{data[error.start]:02x} is not UTF-8; .proto files are UTF-8",
            file=name,
            line=line,
            column=column,
        ) from None
    if "\0" in text:
        at = text.index("\0")
        raise SchemaError(
            "NUL in the file; this is no .proto text",
            file=name,
            line=text.count("\n", 0, at) + 1,
            column=at - text.rfind("\n", 0, at),
        )
    return text


def imports(text: str) -> list[Import]:
    """Return the import statements of a .proto file, in order; one that is broken is left to the compiler."""
    found: list[Import] = []
    depth = 0
    start: int | None = None  # where the import statement begins that is being read
    begins = True  # the next token begins a statement
    pieces: list[str] = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        if kind is None:
            continue  # a comment
        if kind == "sign":
            if start is not None and pieces:
                found.append(_at(text, start, "".join(pieces)))
            start, begins = None, True
            depth = max(0, depth + {"{": 1, "}": -1, ";": 0}[match[0]])
        elif kind == "word":
            if begins and depth == 0 and match[0] == "import":
                start, pieces = match.start(), []
            elif start is not None and match[0] not in _MODIFIERS:
                start = None
            begins = False
        else:
            if start is not None:
                pieces.append(match[kind])  # adjacent literals are one string, as in C
            begins = False
    return found


def _at(text: str, start: int, name: str) -> Import:
    return Import(name, text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start))


def check_import_name(name: str) -> str | None:
    """Return what is wrong with the name of a file to import, or None.

    The rules are protoc's, and stricter: a name is a relative path of plain parts, since it becomes a file.
    """
    if not name:
        return "is empty"
    if len(name) > _LONGEST_NAME:
        return f"is longer than {_LONGEST_NAME} characters"
    if "\\" in name:
        return "has a backslash; separate directories by /"
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in name):
        return "has a control character"
    if name.startswith("/") or _DRIVE.match(name):
        return "is absolute; import names are relative to an import path"
    parts = name.split("/")
    if ".." in parts:
        return 'has a "..", which would lead out of the import path'
    if "" in parts or "." in parts:
        return 'has an empty part or a "."'
    if not name.isprintable() or any(len(part.encode("utf-8", "replace")) > _LONGEST_PART for part in parts):
        return "is no usable file name"
    return None
