"""`Trace`: a log of what is said on connections, in memory and in a file.

Contract: a trace never harms a connection. It is bounded in memory; when its file fails, that is logged once, nothing
more is written to it, and memory goes on. Entries may be made and read in several threads at once.
"""

from __future__ import annotations

import io
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final, Literal, Protocol, Union

from wirelane.core.limits import TRACE_BYTES, TRACE_DATA, TRACE_ENTRIES
from wirelane.core.trace import FORMATS, Direction, Ring, TraceEntry
from wirelane.errors import UsageError

__all__ = ["Conversation", "Data", "Describe", "Trace", "TraceFormat", "TraceLike", "Writes"]

logger = logging.getLogger("wirelane.trace")

Data = bytes | bytearray | memoryview
TraceFormat = Literal["text", "hex", "json"] | Callable[[TraceEntry], str]
Describe = Callable[[], Callable[[Data], tuple[str, ...]]]
"""Makes what tells of the frames in one direction of a connection, piece by piece."""

TraceLike = Union[bool, str, os.PathLike[str], "Trace", None]
"""What is given as `trace=`."""

_MODE: Final = 0o600
"""Of a file that is made: what was said is nobody else's business."""


class Trace:
    """A log of the conversation, for `trace=` of connections, channels and servers; one may serve several of them.

    What is logged is what the program says and hears: above TLS, and without what was said to a proxy. That includes
    secrets, passwords and `authorization` metadata among them: treat a trace like them. Its `repr` shows sizes only.

    A file is opened when the first line is written, for its owner alone if it is new, and lines are appended as they
    come. It is open while connections are. A file that cannot be written is reported once in the log of
    `wirelane.trace`, as `file_error` as well, and is not tried again; the connections know nothing of it. Writing
    happens in the event loop: a slow disk holds it up.

    Args:
        file: A path, or an object with `write(text)`, which is not closed. None: memory only.
        format: What is written to the file: "text", a line for each entry; "hex", with a dump in the form of
            `hexdump -C`; "json", an object per line; or a function that makes text of a `TraceEntry`.
        max_entries: Entries kept in memory; older ones give way. 0: only the file.
        max_bytes: What they may hold, together.
        max_data: What is kept, and written, of the data of one entry. Its `size` is always the whole.

    Raises:
        UsageError: An argument cannot be; the error names it.
    """

    def __init__(
        self,
        *,
        file: str | os.PathLike[str] | Writes | None = None,
        format: TraceFormat = "text",  # noqa: A002  (the word for it, as in logging)
        max_entries: int = TRACE_ENTRIES,
        max_bytes: int = TRACE_BYTES,
        max_data: int = TRACE_DATA,
    ) -> None:
        _check_counts(max_entries=max_entries, max_bytes=max_bytes, max_data=max_data)
        self._lock = threading.RLock()  # a user's file or format may look at the trace
        self._format = _formatter(format)
        self._sink = None if file is None else _Sink(file, self._format)
        self._ring = Ring(max_entries, max_bytes)
        self._in_memory = max_entries > 0
        self._max_data = max_data
        self._connections = 0
        self._open = 0
        self._sent = 0
        self._received = 0

    @classmethod
    def of(cls, trace: TraceLike) -> Trace | None:
        """Return what a user gave as `trace=`: None for none; True is one in memory, a path is one with that file.

        Raises:
            UsageError: It is something else.
        """
        if trace is None or trace is False:
            return None
        if isinstance(trace, Trace):
            return trace
        if trace is True:
            return cls()
        if isinstance(trace, str | os.PathLike):
            return cls(file=trace)
        raise UsageError(f"trace must be True, a path or a Trace(...), not {trace!r}")

    # -- reading

    def entries(self, last: int | None = None) -> list[TraceEntry]:
        """Return what is kept in memory, oldest first.

        Args:
            last: Only so many of the newest.
        """
        if last is not None and last < 0:
            raise UsageError(f"last is a number from 0 up, not {last!r}")
        with self._lock:
            return self._ring.last(last)

    def text(self, last: int | None = None, *, format: TraceFormat | None = None) -> str:  # noqa: A002
        """Return the entries as the lines that a file would have.

        Args:
            last: Only so many of the newest.
            format: As for the constructor, whose is taken for None.
        """
        form = self._format if format is None else _formatter(format)
        return "".join(form(entry) for entry in self.entries(last))

    def clear(self) -> None:
        """Forget what is in memory. The file stays as it is."""
        with self._lock:
            self._ring.clear()

    @property
    def dropped(self) -> int:
        """Entries that gave way to newer ones."""
        with self._lock:
            return self._ring.dropped if self._in_memory else 0

    @property
    def file_error(self) -> Exception | None:
        """Why nothing is written to the file any more."""
        return None if self._sink is None else self._sink.error

    def __repr__(self) -> str:
        with self._lock:
            parts = [f"{len(self._ring)} entries"]
            if self._in_memory and self._ring.dropped:
                parts.append(f"{self._ring.dropped} dropped")
            parts.append(f"{self._sent} bytes sent, {self._received} received")
            parts.append(f"on {self._connections} connection{'' if self._connections == 1 else 's'}")
        if self._sink is not None:
            parts.append(str(self._sink))
        return f"<Trace {', '.join(parts)}>"

    # -- for connections

    def conversation(self, peer: str, describe: Describe | None = None) -> Conversation:
        """Begin to log a connection; its `end` must be called."""
        with self._lock:
            self._connections += 1
            self._open += 1
            return Conversation(self, self._connections, peer, describe)

    def _add(
        self,
        conversation: Conversation,
        direction: Direction,
        *,
        size: int = 0,
        data: bytes = b"",
        text: str = "",
        frames: tuple[str, ...] = (),
    ) -> None:
        with self._lock:
            entry = TraceEntry(
                time.time(), conversation.number, conversation.peer, direction, size, data, text, frames
            )
            if direction == "sent":
                self._sent += size
            elif direction == "received":
                self._received += size
            if self._in_memory:
                self._ring.add(entry)
            if self._sink is not None:
                self._sink.write(entry)

    def _ended(self) -> None:
        with self._lock:
            self._open -= 1
            if not self._open and self._sink is not None:
                self._sink.close()


class Writes(Protocol):
    """A file opened for text, as far as it is needed."""

    def write(self, text: str, /) -> object:
        """Take text."""


class Conversation:
    """One connection in a trace.

    Args:
        describe: For connections whose octets are frames.
    """

    def __init__(self, trace: Trace, number: int, peer: str, describe: Describe | None) -> None:
        self.trace = trace
        self.number = number
        self.peer = peer
        self._sent_frames = None if describe is None else describe()
        self._received_frames = None if describe is None else describe()
        self._over = False

    def event(self, text: str) -> None:
        """Log something that is neither sent nor received."""
        self.trace._add(self, "event", text=text)

    def sent(self, parts: Iterable[Data]) -> None:
        """Log what was given to the transport in one go."""
        most = self.trace._max_data
        size, data = 0, b""
        frames: list[str] = []
        for part in parts:
            octets = memoryview(part).cast("B")
            if len(data) < most:
                data += octets[: most - len(data)]
            size += len(octets)
            if self._sent_frames is not None:
                frames += self._sent_frames(octets)
        self.trace._add(self, "sent", size=size, data=data, frames=tuple(frames))

    def received(self, data: Data) -> None:
        """Log what came."""
        frames = () if self._received_frames is None else self._received_frames(data)
        kept = bytes(data[: self.trace._max_data])
        self.trace._add(self, "received", size=len(data), data=kept, frames=frames)

    def end(self, text: str) -> None:
        """Log the last event. Only the first call counts."""
        if not self._over:
            self._over = True
            self.event(text)
            self.trace._ended()


class _Sink:
    """The file of a trace. Never raises, once it is made."""

    def __init__(self, file: str | os.PathLike[str] | Writes, form: Callable[[TraceEntry], str]) -> None:
        self.error: Exception | None = None
        self._form = form
        self._path = os.fspath(file) if isinstance(file, str | os.PathLike) else None
        self._file = None if isinstance(file, str | os.PathLike) else file
        if self._path is None and not _takes_text(file):
            raise UsageError(f"file must be a path or a file opened for text, not {file!r}")

    def write(self, entry: TraceEntry) -> None:
        """Write the lines of an entry, and see that they are there."""
        if self.error is not None:
            return
        try:
            if self._file is None:
                self._file = self._opened()
            self._file.write(self._form(entry))
            flush = getattr(self._file, "flush", None)
            if flush is not None:
                flush()
        except Exception as error:  # noqa: BLE001  (what a user gave may raise anything, and a connection goes on)
            self._fail(error)

    def close(self) -> None:
        """Close the file, if it was opened here; a later entry opens it again."""
        if self._path is None or self._file is None:
            return
        file, self._file = self._file, None
        try:
            assert isinstance(file, io.TextIOBase)
            file.close()
        except OSError as error:
            self._fail(error)

    def _opened(self) -> Writes:
        assert self._path is not None
        return open(
            self._path,
            "a",
            encoding="utf-8",
            errors="backslashreplace",
            opener=lambda path, flags: os.open(path, flags, _MODE),
        )

    def _fail(self, error: Exception) -> None:
        if self.error is None:
            self.error = error
            logger.warning("a trace cannot be written to %s, and goes on without it: %s", self, error)
        self.close()

    def __str__(self) -> str:
        name = self._path if self._path is not None else getattr(self._file, "name", None)
        told = f"{name!r}" if name is not None else type(self._file).__name__
        return told if self.error is None else f"{told} (failed)"


def _takes_text(file: object) -> bool:
    return callable(getattr(file, "write", None)) and not isinstance(file, io.RawIOBase | io.BufferedIOBase)


def _formatter(form: TraceFormat) -> Callable[[TraceEntry], str]:
    if callable(form):
        return form
    if form not in FORMATS:
        raise UsageError(f"format is one of {', '.join(FORMATS)}, or a function; not {form!r}")
    return FORMATS[form]


def _check_counts(**counts: object) -> None:
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise UsageError(f"{name} is a whole number from 0 up, not {value!r}")
