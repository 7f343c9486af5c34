"""The bytes a connection has received and nobody has read yet: storage, searching and taking, without I/O.

Contract:

- Nothing is lost: bytes leave only through `take`, `take_line` and `skip`, and `undo` or `unread` put them back. Lines that
  `lend_lines` gives out stay until they are taken off its list.
- Cost is that of the bytes taken or newly scanned, never of what lies buffered: taking moves an offset, the gap in
  front is closed only when it is the larger half, and a search goes on where the last one for the same markers
  ended (less the longest marker, minus one byte, which may straddle the place).
- Few copies: what came in one piece and is taken whole is the same object; of what came in large pieces, `take` copies
  each byte once. Only a search, and small pieces, have them copied together before.
- Every offset is counted from the first unread byte.

How much may be buffered is the business of the connection, which stops reading from the network in time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from wirelane.errors import UsageError

__all__ = ["NO_LINES", "Markers", "ReadBuffer"]

_COMPACT_ABOVE = 64 * 1024
# A piece from here on is kept as it came. Each costs some 60 bytes more than it holds: a peer that sends small ones must not
# take memory that way.
_APART_FROM = 4096
# Of several markers, each is looked for in so many bytes, then in twice as many...: one that is far off, or nowhere, must not be
# looked for to the end each time that another is found close by.
_FIRST_WINDOW = 512
_FIRST_SPLIT = 512
_LARGEST_SPLIT = 64 * 1024
# One for all, which nothing can be put into: an empty deque takes more memory than all else of an idle buffer.
NO_LINES: Final[deque[Any]] = deque(maxlen=0)
_NO_LOAN: Final[tuple[deque[Any], int, Callable[[Collection[Any]], int]]] = (NO_LINES, 0, len)


@dataclass(frozen=True, slots=True)
class Markers:
    """Byte strings that end a message.

    Of several, the one whose end comes first wins; of those that end at the same byte, the longest. With
    `align` above 1 a marker counts only at a multiple of that many bytes from the first unread byte: the code
    units of UTF-16 and UTF-32.

    Attributes:
        values: The markers, longest first.
        single: The marker, if there is exactly one and alignment does not matter; the fast path of lines.
    """

    values: tuple[bytes, ...]
    align: int = 1
    single: bytes | None = None

    @staticmethod
    def of(markers: bytes | Iterable[bytes], *, align: int = 1) -> Markers:
        """Return the markers given as bytes or several bytes. Raises UsageError if one is empty or is not bytes."""
        given: tuple[object, ...] = (markers,)
        if isinstance(markers, Iterable) and not isinstance(markers, (bytes, bytearray, memoryview)):
            given = tuple(markers)
        values = [value for value in given if isinstance(value, (bytes, bytearray, memoryview))]
        if len(values) < len(given):
            raise UsageError("marker must be bytes, or several bytes (read_line takes its marker as text)")
        return _markers(tuple(bytes(value) for value in values), align)


@lru_cache(maxsize=256)
def _markers(values: tuple[bytes, ...], align: int) -> Markers:
    if not values or not all(values):
        raise UsageError("marker must not be empty")
    ordered = tuple(sorted(dict.fromkeys(values), key=len, reverse=True))
    return Markers(ordered, align, ordered[0] if len(ordered) == 1 and align == 1 else None)


class ReadBuffer:
    """Unread bytes. Holds no lock and starts nothing.

    All is done in one thread, but for two things that any thread may do: take lines that are on loan, and ask for `size`.

    Attributes:
        begun: Whether anything was ever put in.
    """

    __slots__ = (
        "_ahead",
        "_cut",
        "_data",
        "_end",
        "_for",
        "_head",
        "_later",
        "_later_size",
        "_loan",
        "_scanned",
        "_split",
        "_streak",
        "_tail",
        "_taken",
        "begun",
    )

    def __init__(self) -> None:
        # The unread bytes: `_data` from `_head` on, then the pieces of `_later`. A piece is the object that came, or, where
        # small ones follow each other, a bytearray of them; `_data` is one of these, or has been put together for a search.
        self._data: bytes | bytearray = b""
        self.begun = False
        self._head = 0
        self._later: deque[bytes | bytearray] | None = None
        self._later_size = 0
        self._for: Markers | None = None  # what `_scanned` and `_ahead` were searched for
        self._scanned = 0  # bytes at the front in which no marker of `_for` ends
        # Lines at the front that are cut already, the next one last. Taking one takes it off that end and does nothing else: the
        # head moves, by what is missing from them, when anything else is done (`settle`).
        self._ahead: deque[Any] = NO_LINES
        self._cut = 0  # bytes of them all, when they were cut, markers included
        # They, that number, and what says how many bytes some of them are: in one, for whoever looks from another thread.
        self._loan: tuple[deque[Any], int, Callable[[Collection[Any]], int]] = _NO_LOAN
        self._end = b""  # the marker that ended each of them, if they are bytes
        self._tail = 0  # `_scanned` once they are used up
        self._split = _FIRST_SPLIT
        self._streak = 0
        self._taken = 0

    def __len__(self) -> int:
        if self._cut:
            self.settle()
        return len(self._data) - self._head + self._later_size

    def __repr__(self) -> str:
        return f"<ReadBuffer {self.size} bytes>"

    @property
    def size(self) -> int:
        """`len`, for whoever only looks: it changes nothing, so that any thread may ask, and be told what was so a moment ago."""
        most = self.most
        if not self._cut:
            return most
        ahead, cut, measure = self._loan
        return max(most - cut + measure(ahead), 0)

    @property
    def most(self) -> int:
        """Bytes that are held: those that are unread, and some that were read a moment ago. Cheap."""
        return len(self._data) - self._head + self._later_size

    @property
    def scanned(self) -> int:
        """Bytes at the front that are known to end none of the markers searched for last."""
        return 0 if self._cut else self._scanned

    def append(self, data: bytes) -> int:
        """Add bytes at the end. Returns `most`."""
        if self._cut and not self._ahead:
            self.settle()
        self._taken = 0
        self.begun = True
        if self._later:
            self._append_later(data)
        elif self._head == len(self._data):
            self._data = data
            self._head = 0
            return len(data)
        elif len(data) < _APART_FROM:
            own = self._own()
            own += data
        else:
            self._later = deque((data,))
            self._later_size = len(data)
        return len(self._data) - self._head + self._later_size

    def peek(self, size: int | None = None) -> bytes:
        """Return the first `size` bytes, or all of them, and leave them where they are."""
        if self._cut:
            self.settle()
        data, head = self._data, self._head
        end = len(data) + self._later_size if size is None else head + size
        if end > len(data) and self._later:
            return self._gathered(end - head)
        if type(data) is bytes:
            return data[head:end]
        return bytes(memoryview(data)[head:end])

    def take(self, size: int) -> bytes:
        """Remove and return the first `size` bytes, or what there is."""
        data = self._data
        if size >= len(data) and not self._head and not self._later and not self._cut and type(data) is bytes:
            self._data = b""
            self._scanned = self._taken = self._streak = 0
            self._split = _FIRST_SPLIT
            return data
        result = self.peek(size)
        self.skip(len(result))
        return result

    def take_exactly(self, size: int) -> bytes | None:
        """Remove and return the first `size` bytes; None, and nothing is removed, if there are fewer."""
        data = self._data
        if len(data) == size and type(data) is bytes and not (self._head or self._later or self._cut):
            # One piece, and it is what is asked for: the answer in many a conversation.
            self._data = b""
            self._scanned = self._taken = self._streak = 0
            self._split = _FIRST_SPLIT
            return data
        return self.take(size) if len(self) >= size else None

    def skip(self, size: int) -> None:
        """Remove the first `size` bytes; there must be that many."""
        if self._cut:
            self.settle()
        self._streak = 0
        self._split = _FIRST_SPLIT
        beyond = size - (len(self._data) - self._head)
        if beyond < 0:
            self._advance(size)
        else:
            later = self._later
            self._data = b""
            while later and beyond >= len(self._data):
                beyond -= len(self._data)
                self._data = later.popleft()
                self._later_size -= len(self._data)
            self._head = beyond
            self._scanned = self._taken = 0
        if self._head > _COMPACT_ABOVE and len(self._data) - self._head < _APART_FROM:
            # What is left is little, and may wait for long: let go of what was read before it.
            self._data, self._head, self._taken = self._data[self._head :], 0, 0

    def undo(self) -> None:
        """Put back the line that `take_line` removed; only right after it."""
        if self._cut:
            self.settle()
        self._head -= self._taken
        self._taken = 0
        self._scanned = 0

    def unread(self, data: bytes | bytearray | memoryview) -> None:
        """Put bytes in front of the unread ones. Where that many were taken before, they go into the gap."""
        if self._cut:
            self.settle()
        size, head = len(data), self._head
        if size <= head and self._data[head - size : head] == data:
            self._head = head - size
        else:
            own = self._data if isinstance(self._data, bytearray) else bytearray(self._data)
            start = max(head - size, 0)
            own[start:head] = data
            self._data, self._head = own, start
        self._taken = 0
        self._scanned = 0

    def find(self, markers: Markers, limit: int) -> tuple[int, int] | None:
        """Look for the first marker that ends within the first `limit` bytes.

        Returns:
            Where it ends and how long it is, or None if none ends there (yet).
        """
        if self._cut:
            self.settle()
        if self._later:
            self._merge()
        if self._for is not markers and self._for != markers:
            self._for = markers
            self._scanned = 0
        data, head = self._data, self._head
        stop = min(len(data), head + limit)
        start = head + self._scanned
        single = markers.single
        if single is None:
            found = self._find_any(markers, start, stop)
            if found is not None:
                return found
        else:
            size = len(single)
            at = data.find(single, max(head, start - size + 1), stop)
            if at >= 0:
                return at + size - head, size
        self._scanned = max(self._scanned, stop - head)
        if head == len(data) or (head > _COMPACT_ABOVE and head * 2 > len(data)):
            # The same as in `skip`.
            self._data, self._head, self._taken = data[head:], 0, 0
        return None

    def _find_any(self, markers: Markers, start: int, stop: int) -> tuple[int, int] | None:
        """Look for the first of several markers, or of one that must be aligned, that ends between `start` and `stop`."""
        data, head, align = self._data, self._head, markers.align
        window = _FIRST_WINDOW
        while start < stop:
            end = min(stop, start + window)
            size = 0
            for value in markers.values:
                at = data.find(value, max(head, start - len(value) + 1), end)
                while at >= 0 and align > 1 and (at - head) % align:
                    at = data.find(value, at + 1, end)
                if at >= 0 and (not size or at + len(value) < end):
                    size = len(value)
                    end = at + size
            if size:
                return end - head, size
            start = end
            window *= 2
        return None

    def take_line(self, markers: Markers, limit: int, *, keep: bool = False) -> bytes | None:
        """Remove and return everything before the first marker that ends within the first `limit` bytes.

        Reading line after line cuts ahead, once per buffer instead of once per line, in pieces that double from
        512 bytes to 64 KiB: a reader that then turns to another rule has wasted no more than it had gained.

        Args:
            markers: What ends a line.
            limit: The longest line, marker included.
            keep: Leave the marker at the end of what is returned.
        """
        if self._ahead and self._for is markers and self._end:
            line: bytes = self._ahead[-1]
            size = len(line) + len(self._end)
            if size <= limit:
                del self._ahead[-1]
                self._taken = size
                return line + self._end if keep else line
        found = self.find(markers, limit)
        if found is None:
            return None
        end, size = found
        result = self.peek(end if keep else end - size)
        self._advance(end)
        self._streak += 1
        if self._streak > 1 and markers.single is not None and self._head < len(self._data):
            self._cut_ahead(markers.single)
        return result

    def lend_lines(
        self,
        markers: Markers,
        limit: int,
        cut: Callable[[bytes], list[str]],
        measure: Callable[[Collection[str]], int],
    ) -> deque[str]:
        """Return lines at the front as text, the next one last: who takes one off that end has read it, be it in another thread.

        They are on loan: whatever else is done with the buffer takes them away first. There are none if no line ends within the
        first `limit` bytes. How many are lent doubles as with `take_line`.

        Args:
            markers: What ends a line; a single one.
            limit: The longest line, marker included.
            cut: Bytes to the whole lines in them, in order. What it raises is raised, and changes nothing.
            measure: Some of these lines to how many bytes they were, markers included.
        """
        marker = markers.single
        found = self.find(markers, limit)
        if found is None or marker is None:
            return NO_LINES
        head, end = self._head, found[0]
        last = self._data.rfind(marker, head + end, head + min(self._split, limit))
        if last >= 0:
            end = last + len(marker) - head
        try:
            lines = cut(self.peek(end))
        except ValueError:
            # Not text. Where lines are tried one by one, few bytes are tried each time.
            self._split = _FIRST_SPLIT
            raise
        if len(marker) > 1:
            # One that overlaps itself may end at `end`, and yet be none when looked for from the left.
            end = measure(lines)
        return self._keep_ahead(lines, end, measure)

    def settle(self) -> None:
        """Count what was taken of lines that were cut ahead, or lent, and forget the others: they are cut again."""
        if self._cut:
            left = self._called_back()
            _, cut, measure = self._loan
            self._head += cut - measure(left)
            # Behind the last of them was searched as well; behind any other was not, as far as this knows.
            self._scanned = 0 if left else self._tail
            self._cut = 0
            if left:
                # Whoever does other things between lines must not have many of them cut again each time.
                self._split = _FIRST_SPLIT

    def _called_back(self) -> list[Any]:
        """Take the lines that were cut ahead off their list, and return those that nobody else has taken.

        Line by line and from the far end, because another thread may take lines meanwhile (`wirelane.sync`): what it has got then is
        the beginning of them, and what is returned is the rest.
        """
        ahead, left = self._ahead, []
        while ahead:
            with suppress(IndexError):  # the last one was taken just now
                left.append(ahead.popleft())
        return left

    def _advance(self, size: int) -> None:
        self._head += size
        self._taken = size
        scanned = self._scanned - size
        # What was found out of alignment may be in alignment now.
        self._scanned = scanned if scanned > 0 and (self._for is None or size % self._for.align == 0) else 0

    def _append_later(self, data: bytes) -> None:
        """Add bytes behind pieces that wait; small ones become one piece."""
        assert self._later
        last = self._later[-1]
        if len(data) >= _APART_FROM:
            self._later.append(data)
        elif type(last) is bytearray:
            last += data
        else:
            self._later.append(bytearray(data))
        self._later_size += len(data)

    def _own(self) -> bytearray:
        """Return `_data` as a bytearray that may grow, without a large gap at its front."""
        data, head = self._data, self._head
        if type(data) is not bytearray:
            data = bytearray(memoryview(data)[head:])
            self._data, self._head = data, 0
        elif head > _COMPACT_ABOVE and head * 2 > len(data):
            del data[:head]
            self._head = 0
        return data

    def _merge(self) -> None:
        """Have all bytes in `_data`."""
        later = self._later
        if not later:
            return
        self._taken = 0
        if self._head == len(self._data):
            self._data, self._head = later.popleft(), 0
        if later:
            own = self._own()
            for piece in later:
                own += piece
            later.clear()
        self._later_size = 0

    def _gathered(self, size: int) -> bytes:
        """Return the first `size` bytes, or all, of `_data` and `_later`."""
        parts: list[bytes | bytearray | memoryview] = [memoryview(self._data)[self._head :]]
        size -= len(parts[0])
        for piece in self._later or ():
            if size <= 0:
                break
            parts.append(piece if len(piece) <= size else memoryview(piece)[:size])
            size -= len(piece)
        return b"".join(parts)

    def _cut_ahead(self, marker: bytes) -> None:
        data = self.peek(self._split)
        lines = data.split(marker)
        tail = len(lines.pop())

        def measure(lines: Collection[bytes]) -> int:
            return sum(map(len, lines)) + len(lines) * len(marker)

        self._keep_ahead(lines, len(data) - tail, measure, end=marker, tail=tail)

    def _keep_ahead(
        self,
        lines: list[Any],
        size: int,
        measure: Callable[[Collection[Any]], int],
        *,
        end: bytes = b"",
        tail: int = 0,
    ) -> deque[Any]:
        """Keep lines that were cut, so many bytes in all; the next cut is of twice as much."""
        lines.reverse()
        ahead = deque(lines)
        self._split = min(self._split * 2, _LARGEST_SPLIT)
        self._loan = (ahead, size, measure)
        self._ahead, self._cut, self._end, self._tail = ahead, size, end, tail
        return ahead
