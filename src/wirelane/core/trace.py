"""What was said on connections: entries, a ring that keeps the last of them, and the lines that tell of them.

An entry holds no more than its maker let it hold; `size` is what it was in truth. Lines are safe to print: whatever a
peer sent, control characters in it are shown, not obeyed, and an entry in text or JSON is one line of its own.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from wirelane.core.hexdump import HexDump

__all__ = ["FORMATS", "Direction", "Ring", "TraceEntry", "printable"]

Direction = Literal["sent", "received", "event"]

_SHORT: Final = {"\n": r"\n", "\r": r"\r", "\t": r"\t", "\0": r"\0", "\\": r"\\"}
# Controls, what reorders lines of text (CVE-2021-42574), and the octets that were no UTF-8.
_UNSAFE: Final = re.compile(
    r"[\x00-\x1f\\\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


@dataclass(frozen=True, slots=True, repr=False)
class TraceEntry:
    """One thing that happened on a connection. `str()` is its line, and shows the data; `repr()` does not.

    Attributes:
        time: Seconds since the epoch.
        connection: The number of the connection in its trace, from 1.
        peer: The other end: what was connected to, or the address of a client.
        direction: "sent", "received" or "event".
        size: Octets that were sent or received.
        data: The octets, or as many of the first as the trace keeps of one entry.
        text: What an event is about.
        frames: HTTP/2: the frames that begin in the data, one line each.
    """

    time: float
    connection: int
    peer: str
    direction: Direction
    size: int = 0
    data: bytes = b""
    text: str = ""
    frames: tuple[str, ...] = ()

    @property
    def weight(self) -> int:
        """What the entry counts against the bound of a ring, in bytes."""
        return len(self.data) + len(self.text) + sum(map(len, self.frames))

    def __str__(self) -> str:
        return _as_text(self).rstrip("\n")

    def __repr__(self) -> str:
        what = f": {printable(self.text)}" if self.direction == "event" else f" {_counted(self.size)}"
        return f"<TraceEntry {_moment(self)} {_who(self)} {self.direction}{what}>"


class Ring:
    """The last entries: at most so many, which together weigh at most so much.

    Attributes:
        dropped: Entries that had to go for newer ones.
    """

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self.dropped = 0
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._entries: deque[TraceEntry] = deque()
        self._weight = 0

    def add(self, entry: TraceEntry) -> None:
        """Keep an entry, and let go of the oldest as far as needed."""
        self._entries.append(entry)
        self._weight += entry.weight
        while len(self._entries) > self._max_entries or self._weight > self._max_bytes:
            self._weight -= self._entries.popleft().weight
            self.dropped += 1

    def last(self, count: int | None = None) -> list[TraceEntry]:
        """Return the entries, oldest first; with `count` that many of the newest."""
        entries = list(self._entries)
        return entries if count is None else entries[max(0, len(entries) - count) :]

    def clear(self) -> None:
        """Forget the entries. They do not count as dropped."""
        self._entries.clear()
        self._weight = 0

    def __len__(self) -> int:
        return len(self._entries)


def printable(data: bytes | str) -> str:
    r"""Return text on one line in which nothing acts on a terminal: \n, \x1b, \xff for what is no UTF-8."""
    text = data if isinstance(data, str) else data.decode("utf-8", "surrogateescape")
    return _UNSAFE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    return _SHORT.get(character) or (rf"\x{code:02x}" if code < 0x100 else rf"\u{code:04x}")


def _moment(entry: TraceEntry) -> str:
    """Return the time as logs have it: where the program runs."""
    return datetime.fromtimestamp(entry.time, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")


def _who(entry: TraceEntry) -> str:
    return f"#{entry.connection} {printable(entry.peer)}"


def _counted(size: int) -> str:
    return f"{size} byte{'' if size == 1 else 's'}"


def _head(entry: TraceEntry) -> str:
    what = (
        printable(entry.text) if entry.direction == "event" else f"{entry.direction} {_counted(entry.size)}"
    )
    return f"{_moment(entry)} {_who(entry)} {what}"


def _cut(entry: TraceEntry) -> str:
    return "" if len(entry.data) == entry.size else f", the first {len(entry.data)}"


def _as_text(entry: TraceEntry) -> str:
    if entry.direction == "event":
        return f"{_head(entry)}\n"
    told = "; ".join(entry.frames) if entry.frames else printable(entry.data)
    return f"{_head(entry)}{'' if entry.frames else _cut(entry)}: {told}\n"


def _as_hex(entry: TraceEntry) -> str:
    if entry.direction == "event":
        return f"{_head(entry)}\n"
    dump = HexDump()
    frames = "".join(f"  {line}\n" for line in entry.frames)
    return f"{_head(entry)}{_cut(entry)}\n{frames}{dump.lines(entry.data)}{dump.rest()}"


def _as_json(entry: TraceEntry) -> str:
    told: dict[str, object] = {
        "time": datetime.fromtimestamp(entry.time, UTC).isoformat(timespec="microseconds"),
        "connection": entry.connection,
        "peer": entry.peer,
        "direction": entry.direction,
    }
    if entry.direction == "event":
        told["text"] = entry.text
    else:
        told |= {"size": entry.size, "hex": entry.data.hex()}
    if entry.frames:
        told["frames"] = entry.frames
    return f"{json.dumps(told)}\n"


FORMATS: Final[dict[str, Callable[[TraceEntry], str]]] = {
    "text": _as_text,
    "hex": _as_hex,
    "json": _as_json,
}
"""Name -> what makes the lines of an entry, the last newline included."""
