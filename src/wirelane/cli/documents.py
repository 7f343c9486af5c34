"""JSON documents, one after another, from the command line, a file or standard input.

`DocumentSplitter` finds where a document ends while its text is still coming, so that each can be sent when it is
complete; the result does not depend on how the text was cut. Errors name the place as `file:line:column`.
"""

from __future__ import annotations

import codecs
import json
import os
import re
from collections.abc import AsyncIterator, Iterator
from typing import Final, NoReturn

from wirelane.cli.errors import DataError
from wirelane.cli.stdin import Stdin
from wirelane.errors import UsageError

__all__ = ["DocumentSplitter", "Documents", "open_documents"]

_CHUNK: Final = 65_536
_EAGER: Final = 1024 * 1024
"""Files up to this size are read before anything is sent, so that a mistake in them is found first."""
_MOST: Final = 256 * 1024 * 1024
"""Characters of one document: bounds what standard input can make us keep."""

_BLANK: Final = " \t\r\n"
_NOT_BLANK: Final = re.compile(r"[^ \t\r\n]")
_STRUCTURE: Final = re.compile(r'["{}\[\]]')
_IN_STRING: Final = re.compile(r'["\\]')
# Where a number or a word at the top ends.
_AFTER_WORD: Final = re.compile(r'[ \t\r\n"{\[]')


class DocumentSplitter:
    """Splits a text that comes in pieces into JSON documents.

    Args:
        name: What the text is called in errors: "-d", a file, "<stdin>".
    """

    def __init__(self, name: str) -> None:
        self._name = name
        # The document that has begun and not ended: its text so far, and what it is in the middle of.
        self._parts: list[str] = []
        self._size = 0
        self._inside = ""  # "" nothing, "{" an object or array, '"' a string, "w" a number or word
        self._depth = 0
        self._escaped = False
        # The place of the first character that belongs to no document given so far.
        self._line = 1
        self._column = 1

    def feed(self, text: str) -> Iterator[object]:
        """Yield the documents that this piece completes.

        Raises:
            DataError: One is no JSON; or is too long.
        """
        begin = at = 0
        size = len(text)
        while at < size:
            if not self._inside:
                begin = at = self._skip_blanks(text, at)
                if at == size:
                    return
                at = self._begin(text, at)
            at = self._find_end(text, at)
            if self._inside:
                break
            self._parts.append(text[begin:at])
            begin = at
            yield self._take()
        if self._inside:
            self._parts.append(text[begin:])
            self._size += size - begin
            if self._size > _MOST:
                self._fail(f"a document of more than {_MOST} characters")

    def close(self) -> Iterator[object]:
        """Yield the document that ends with the text, if there is one. Raises DataError if it is not complete."""
        if self._parts:
            yield self._take()

    def _skip_blanks(self, text: str, at: int) -> int:
        match = _NOT_BLANK.search(text, at)
        end = match.start() if match else len(text)
        self._advance(text[at:end])
        return end

    def _begin(self, text: str, at: int) -> int:
        """Note what begins at a character; return where to go on."""
        first = text[at]
        if first in "{[":
            self._inside, self._depth = "{", 1
        elif first == '"':
            self._inside, self._depth = '"', 0
        else:
            self._inside = "w"
        return at + 1

    def _find_end(self, text: str, at: int) -> int:
        """Go on to the end of the document, where `_inside` becomes empty, or of the text."""
        size = len(text)
        while at < size and self._inside:
            if self._inside == "w":
                match = _AFTER_WORD.search(text, at)
                if match:
                    self._inside = ""
                at = match.start() if match else size
            elif self._inside == '"':
                at = self._string(text, at)
            else:
                at = self._structure(text, at)
        return at

    def _string(self, text: str, at: int) -> int:
        if self._escaped:
            self._escaped = False
            return at + 1
        match = _IN_STRING.search(text, at)
        if match is None:
            return len(text)
        if match[0] == "\\":
            self._escaped = True
        else:
            self._inside = "{" if self._depth else ""
        return match.end()

    def _structure(self, text: str, at: int) -> int:
        match = _STRUCTURE.search(text, at)
        if match is None:
            return len(text)
        if match[0] == '"':
            self._inside = '"'
        elif match[0] in "{[":
            self._depth += 1
        else:
            # Which bracket closes which is for the JSON parser to judge.
            self._depth -= 1
            if not self._depth:
                self._inside = ""
        return match.end()

    def _take(self) -> object:
        text = "".join(self._parts)
        self._parts.clear()
        self._size = 0
        self._inside = ""
        value = self._parse(text)
        self._advance(text)
        return value

    def _parse(self, text: str) -> object:
        try:
            return json.loads(text, parse_constant=self._constant, object_pairs_hook=self._object)
        except json.JSONDecodeError as error:
            self._fail(f"no JSON: {_said(error)}", error.lineno, error.colno)
        except RecursionError:
            self._fail("objects and arrays are nested too deep")
        except ValueError as error:  # a number with thousands of digits
            self._fail(f"no JSON: {error}")

    def _constant(self, name: str) -> NoReturn:
        self._fail(f'{name} is no JSON; write "{name}" in quotes')

    def _object(self, pairs: list[tuple[str, object]]) -> dict[str, object]:
        result = dict(pairs)
        if len(result) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            self._fail(f'"{twice}" is given twice in one object')
        return result

    def _fail(self, problem: str, line: int = 1, column: int = 1) -> NoReturn:
        """Raise for a place counted from the beginning of the document."""
        if line == 1:
            column += self._column - 1
        raise DataError(f"{self._name}:{self._line + line - 1}:{column}: {problem}") from None

    def _advance(self, text: str) -> None:
        newlines = text.count("\n")
        if newlines:
            self._line += newlines
            self._column = len(text) - text.rfind("\n")
        else:
            self._column += len(text)


def _said(error: json.JSONDecodeError) -> str:
    text = error.msg.replace("Expecting", "expected").replace("enclosed in", "in")
    return text[:1].lower() + text[1:]


class Documents:
    """The documents of a `-d`, to be iterated over once: `async for value in documents`.

    Attributes:
        name: Where they come from, for errors.
        given: There was a `-d` at all.
    """

    def __init__(
        self, name: str, *, values: list[object] | None = None, file: int | None = None, given: bool = True
    ) -> None:
        self.name = name
        self.given = given
        self._values = values
        self._file = file

    @property
    def ready(self) -> list[object] | None:
        """All of them if they are here already, else None."""
        return self._values

    async def __aiter__(self) -> AsyncIterator[object]:
        if self._values is not None:
            for value in self._values:
                yield value
            return
        splitter = DocumentSplitter(self.name)
        decoder = codecs.getincrementaldecoder("utf-8-sig")()
        async for chunk in self._chunks():
            for value in splitter.feed(_decode(decoder, chunk, self.name)):
                yield value
        for value in splitter.feed(_decode(decoder, b"", self.name, final=True)):
            yield value
        for value in splitter.close():
            yield value

    async def _chunks(self) -> AsyncIterator[bytes]:
        if self._file is None:
            stdin = Stdin()
            while chunk := await stdin.read():
                yield chunk
            return
        try:
            while chunk := os.read(self._file, _CHUNK):
                yield chunk
        finally:
            os.close(self._file)


def _decode(decoder: codecs.IncrementalDecoder, data: bytes, name: str, *, final: bool = False) -> str:
    try:
        return decoder.decode(data, final)
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: no UTF-8: byte 0x{error.object[error.start]:02x}") from None


def open_documents(given: str | None) -> Documents:
    """Return the documents of `-d`: None for none, JSON, `@file` or `@-`.

    Raises:
        DataError: What is here already is no JSON.
        UsageError: The file cannot be read.
    """
    if given is None:
        return Documents("-d", values=[], given=False)
    if given in {"@-", "@"}:  # the second as grpcurl has it
        return Documents("<stdin>")
    if not given.startswith("@"):
        return Documents("-d", values=_split_all(given, "-d"))
    path = given[1:]
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise UsageError(f"-d {given}: {error.strerror}") from None
    return _read_if_small(path, file)


def _read_if_small(path: str, file: int) -> Documents:
    try:
        status = os.fstat(file)
        # A pipe (`-d @<(program)`) has size 0, and is read as it comes.
        if not 0 < status.st_size <= _EAGER:
            documents = Documents(path, file=file)
            file = -1
            return documents
        data = os.read(file, _EAGER)
        text = _decode(codecs.getincrementaldecoder("utf-8-sig")(), data, path, final=True)
        return Documents(path, values=_split_all(text, path))
    except OSError as error:
        raise UsageError(f"-d @{path}: {error.strerror}") from None
    finally:
        if file >= 0:
            os.close(file)


def _split_all(text: str, name: str) -> list[object]:
    splitter = DocumentSplitter(name)
    return [*splitter.feed(text), *splitter.close()]
