"""When a read ends: one small class per rule, all of them without I/O.

A rule is asked again whenever bytes have come (`take`): it returns the bytes of one complete result and removes
them from the buffer, or returns None and leaves the buffer as it was, or raises `LimitExceeded`, which removes
nothing either. What a rule returns depends on the bytes of the stream alone, never on how the network cut them;
`Available` is the one exception, since its question is "what is here".

`demand` is how many bytes may have to be buffered before the rule can answer: the connection goes on reading from
the network up to there, and no further. `least` is how many there must be before it is worth asking (again), while the
stream goes on. Both may change when a rule has been asked.
"""

from __future__ import annotations

import codecs
import re
from collections import deque
from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import NamedTuple, Protocol, TypeVar

from wirelane.core.readbuffer import NO_LINES, Markers, ReadBuffer
from wirelane.errors import CodecError, LimitExceeded, UsageError

__all__ = [
    "Available",
    "Exactly",
    "Matching",
    "ReadRule",
    "Record",
    "TextLine",
    "Until",
    "UntilEof",
    "UpTo",
    "at_least",
    "available_rule",
    "decode_text",
    "encode_text",
    "exactly_rule",
    "line_rule",
    "marker_rule",
    "text_markers",
    "until_rule",
]


T_co = TypeVar("T_co", covariant=True)

# Encodings in which no marker begins within a character, and each text has one form in bytes.
_PLAIN = {"ascii", "utf-8", "iso8859-1"}


class ReadRule(Protocol[T_co]):
    """What a connection asks of a rule."""

    @property
    def demand(self) -> int: ...

    @property
    def least(self) -> int: ...

    def take(self, buffer: ReadBuffer, eof: bool) -> T_co | None:
        """Return one result, or None if more bytes are needed.

        Args:
            buffer: What is unread.
            eof: No more bytes will come: the peer ended its stream in order.
        """
        ...


class Exactly:
    """`size` bytes."""

    __slots__ = ("demand", "least")

    def __init__(self, size: int, *, name: str = "n") -> None:
        self.demand = self.least = at_least(name, size, 0)

    def take(self, buffer: ReadBuffer, eof: bool) -> bytes | None:
        return buffer.take_exactly(self.demand)


@lru_cache(maxsize=256)
def _exactly(size: int) -> Exactly:
    return Exactly(size)


def exactly_rule(size: int, name: str) -> Exactly:
    """Return the rule for a size; it has no state, so that one serves all who ask alike. `name` is for the error."""
    return _exactly(size) if type(size) is int and size >= 0 else Exactly(size, name=name)


class Available:
    """Whatever is there, at least one byte and at most `limit`; nothing only at the end of the stream."""

    __slots__ = ("demand", "limit")

    least = 1

    def __init__(self, limit: int) -> None:
        self.demand = 1
        self.limit = at_least("max_bytes", limit, 1)

    def take(self, buffer: ReadBuffer, eof: bool) -> bytes | None:
        return buffer.take(self.limit) if len(buffer) or eof else None


class UpTo:
    """Up to the first marker, or `size` bytes if no marker ends within them.

    Args:
        keep: Leave the marker at the end of the result.
        limit_name: Set when `size` is a limit and not a wish: reaching it is LimitExceeded, and names this field.
    """

    __slots__ = ("demand", "keep", "limit_name", "markers")

    least = 1

    def __init__(
        self, markers: Markers, size: int, *, keep: bool = True, limit_name: str | None = None
    ) -> None:
        self.markers = markers
        self.demand = at_least("max_bytes", size, 0 if limit_name is None else 1)
        self.keep = keep
        self.limit_name = limit_name

    def take(self, buffer: ReadBuffer, eof: bool) -> bytes | None:
        result = buffer.take_line(self.markers, self.demand, keep=self.keep)
        if result is not None or len(buffer) < self.demand:
            return result
        if self.limit_name is None:
            return buffer.take(self.demand)
        raise _no_marker(buffer, self.demand, self.limit_name)


class Record(NamedTuple):
    """What came before a marker, and the marker.

    Attributes:
        data: The bytes, with the marker at their end if that was asked for.
        marker: Which one of those that were given.
    """

    data: bytes
    marker: bytes


class Until:
    """Up to the first marker, and which one it was.

    Args:
        limit: The most bytes, marker included.
        limit_name: The field or argument that says so.
    """

    __slots__ = ("_keep", "_limit_name", "_markers", "demand")

    least = 1

    def __init__(self, markers: Markers, limit: int, *, keep: bool, limit_name: str) -> None:
        self._markers = markers
        self._keep = keep
        self._limit_name = limit_name
        self.demand = at_least("max_bytes", limit, 1)

    def take(self, buffer: ReadBuffer, eof: bool) -> Record | None:
        found = buffer.find(self._markers, self.demand)
        if found is not None:
            end, size = found
            data = buffer.take(end)
            return Record(data if self._keep else data[: end - size], data[end - size :])
        if len(buffer) < self.demand:
            return None
        raise _no_marker(buffer, self.demand, self._limit_name)


class TextLine:
    """A line as text. One that is not text in its encoding stays where it is: CodecError.

    Args:
        limit: The longest line in bytes, marker included.
    """

    __slots__ = ("_encoding", "_errors", "_keep", "_markers", "_text", "demand")

    least = 1

    def __init__(self, markers: Markers, limit: int, *, keep: bool, encoding: str, errors: str) -> None:
        self._markers = markers
        self._keep = keep
        self.demand = at_least("max_bytes", limit, 1)
        self._encoding = encoding
        self._errors = errors
        # The marker as text, where cutting text comes to the same as cutting bytes, and text is as long as its bytes say.
        single = markers.single
        plain = errors == "strict" and codecs.lookup(encoding).name in _PLAIN
        self._text = single.decode(encoding) if plain and single is not None else ""

    def take(self, buffer: ReadBuffer, eof: bool) -> str | None:
        raw = buffer.take_line(self._markers, self.demand, keep=self._keep)
        if raw is None:
            if len(buffer) < self.demand:
                return None
            raise _no_marker(buffer, self.demand, "max_bytes")
        try:
            return raw.decode(self._encoding, self._errors)
        except (UnicodeError, LookupError):
            buffer.undo()
            decode_text(raw, self._encoding, self._errors)  # says why
            raise

    def lend(self, buffer: ReadBuffer) -> deque[str]:
        """Return lines that are here, the next one last, on loan (see `ReadBuffer.lend_lines`); empty: ask `take`."""
        if not self._text:
            return NO_LINES
        try:
            return buffer.lend_lines(self._markers, self.demand, self._cut, self._measure)
        except UnicodeError:
            return NO_LINES  # one of them is no text

    def _cut(self, data: bytes) -> list[str]:
        lines = data.decode(self._encoding).split(self._text)
        lines.pop()  # what follows the last marker
        return [line + self._text for line in lines] if self._keep else lines

    def _measure(self, lines: Collection[str]) -> int:
        size = len("".join(lines).encode(self._encoding))
        return size if self._keep else size + len(lines) * len(self._text.encode(self._encoding))

    def take_last(self, buffer: ReadBuffer) -> str:
        """Return what is left at the end of the stream as a line; empty if nothing is."""
        text = decode_text(buffer.peek(), self._encoding, self._errors)
        buffer.skip(len(buffer))
        return text


class UntilEof:
    """Everything up to the end of the stream, at most `limit` bytes.

    Also everything up to where the peer falls silent: whoever watches the time asks then as at the end of the stream.
    """

    __slots__ = ("demand", "least", "limit", "limit_name")

    def __init__(self, limit: int, *, limit_name: str = "max_bytes") -> None:
        self.limit = at_least("max_bytes", limit, 0)
        # The byte too many must be seen: a stream of `limit` bytes is fine.
        self.demand = self.least = self.limit + 1
        self.limit_name = limit_name

    def take(self, buffer: ReadBuffer, eof: bool) -> bytes | None:
        if len(buffer) > self.limit:
            raise LimitExceeded(
                f"the stream goes on after {self.limit} bytes ({self.limit_name})",
                limit=self.limit_name,
                maximum=self.limit,
                partial=buffer.peek(self.limit),
            )
        return buffer.take(self.limit) if eof else None


# What makes the outcome of a pattern depend on the bytes after a match: end anchors, word boundaries, lookahead,
# atomic groups, possessive repeats. Found too often (`[$]`, `a\\b`) it costs time, never the right answer.
_FIRST_LOOK = 256
_LOOKS_AHEAD = re.compile(rb"\$|\\[bBZz]|\(\?[=!>]|[+*?}]\+")


class Matching:
    r"""Up to the end of the first match of a regular expression that ends within `window` bytes.

    The result is what it would be if the bytes came one by one and the pattern were tried after each: the first
    length of the stream at which the pattern matches decides. So `rb"\d+"` ends after the first digit, and
    `rb"[$#] $"` at the first prompt, however the network cuts the bytes.

    For most patterns a match stays a match when bytes follow, and that length is found by bisection. Where bytes
    that follow could undo it ($, \b, lookahead, ...) every length is tried: time then grows with the square of
    `window`, which is why its default is small.
    """

    __slots__ = ("_monotone", "_tested", "demand", "pattern")

    least = 0  # there are patterns that match nothing at all

    def __init__(self, pattern: bytes | re.Pattern[bytes], window: int) -> None:
        try:
            self.pattern = re.compile(pattern)
        except (re.error, TypeError) as error:
            raise UsageError(f"pattern is no regular expression: {error}") from error
        if not isinstance(self.pattern.pattern, bytes):
            raise UsageError('pattern must be bytes, as in rb"\\d+ "')
        self.demand = at_least("window", window, 1)
        self._monotone = _LOOKS_AHEAD.search(self.pattern.pattern) is None
        self._tested = -1  # no length up to here matches

    def take(self, buffer: ReadBuffer, eof: bool) -> bytes | None:
        here = min(len(buffer), self.demand)
        # First in a part of what is here: of many matches, each takes no more than it is long.
        size = min(here, max(_FIRST_LOOK, 2 * self._tested))
        while True:
            text = buffer.peek(size)
            end = self._bisect(text) if self._monotone else self._try_each(text)
            if end is not None:
                return buffer.take(end)
            self._tested = size
            if size == here:
                break
            size = min(here, 2 * size)
        if here < self.demand:
            return None
        raise LimitExceeded(
            f"no match of {self.pattern.pattern!r} within {self.demand} bytes (window)",
            limit="window",
            maximum=self.demand,
            partial=text,
        )

    def _bisect(self, text: bytes) -> int | None:
        search = self.pattern.search
        found = search(text)
        if found is None:
            return None
        low, high = self._tested, found.end()  # no match within `low`, one that ends at `high`
        while high - low > 1:
            middle = (low + high) // 2
            found = search(text, 0, middle)
            if found is None:
                low = middle
            else:
                high = found.end()
        return high

    def _try_each(self, text: bytes) -> int | None:
        search = self.pattern.search
        for length in range(self._tested + 1, len(text) + 1):
            found = search(text, 0, length)
            if found is not None:
                return found.end()
        return None


def text_markers(markers: str | Iterable[str], encoding: str) -> Markers:
    """Return markers given as text, as they are in `encoding`, byte order mark left out, code units respected.

    Raises:
        UsageError: If the encoding is unknown, or has no such characters.
    """
    return _text_markers((markers,) if isinstance(markers, str) else tuple(markers), encoding)


@lru_cache(maxsize=256)
def _text_markers(markers: tuple[str, ...], encoding: str) -> Markers:
    if any(not isinstance(marker, str) for marker in markers):
        raise UsageError("marker must be text here; read() takes it as bytes")
    try:
        mark = len("".encode(encoding))
        unit = len("a".encode(encoding)) - mark
        return Markers.of([marker.encode(encoding)[mark:] for marker in markers], align=unit)
    except LookupError as error:
        raise UsageError(f"encoding: {error}") from error
    except UnicodeError as error:
        raise UsageError(f"marker: {error}") from error


@lru_cache(maxsize=256)
def line_rule(
    marker: str | tuple[str, ...], encoding: str, max_bytes: int, keep: bool, errors: str
) -> TextLine:
    """Return the rule for lines of text; it has no state, so that one serves all who ask alike."""
    return TextLine(text_markers(marker, encoding), max_bytes, keep=keep, encoding=encoding, errors=errors)


def encode_text(text: str, encoding: str) -> bytes:
    """Return `text` in `encoding`. Raises CodecError, and UsageError for an unknown encoding or what is no text."""
    if not isinstance(text, str):
        raise UsageError(f"send_line takes text, not {type(text).__name__}; send takes bytes")
    try:
        return text.encode(encoding)
    except UnicodeError as error:
        raise CodecError(f"cannot be sent: {error}") from error
    except LookupError as error:
        raise UsageError(f"encoding: {error}") from error


def decode_text(data: bytes, encoding: str, errors: str = "strict") -> str:
    """Return `data` as text. Raises CodecError, and UsageError for an unknown encoding or error handler."""
    try:
        return data.decode(encoding, errors)
    except UnicodeError as error:
        raise CodecError(f"a line of {len(data)} bytes is not text: {error}") from error
    except LookupError as error:
        raise UsageError(f"errors: {error}") from error


@lru_cache(maxsize=256, typed=True)
def available_rule(limit: int) -> Available:
    """Return the rule for whatever is there; it has no state, so that one serves all who ask alike."""
    return Available(limit)


@lru_cache(maxsize=256)
def marker_rule(marker: bytes | tuple[bytes, ...], size: int, keep: bool, limit_name: str | None) -> UpTo:
    """Return the rule for a marker; it has no state, so that one serves all who ask alike."""
    return UpTo(Markers.of(marker), size, keep=keep, limit_name=limit_name)


@lru_cache(maxsize=256)
def until_rule(markers: bytes | tuple[bytes, ...], limit: int, keep: bool, limit_name: str) -> Until:
    """Return the rule that tells which marker it was; it has no state either."""
    return Until(Markers.of(markers), limit, keep=keep, limit_name=limit_name)


def _no_marker(buffer: ReadBuffer, limit: int, name: str) -> LimitExceeded:
    return LimitExceeded(
        f"no marker within {limit} bytes ({name})", limit=name, maximum=limit, partial=buffer.peek(limit)
    )


def at_least(name: str, value: int, smallest: int) -> int:
    """Return a number that a user gave. Raises UsageError, with its name, if it is none or too small."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise UsageError(f"{name} must be a whole number, not {value!r}")
    if value < smallest:
        raise UsageError(f"{name} must be at least {smallest}, not {value}")
    return value
