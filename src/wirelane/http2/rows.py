"""DATA frames that follow each other on one stream, read together: what streams of messages are made of.

Short ones come in rows, each with one whole message: a frame's head and the prefix of its message are read in one go
(RFC 9113 section 4.1; gRPC over HTTP/2, "Length-Prefixed-Message"). Long ones come in runs: their octets are handed on as
one piece, also those of a frame that is not whole yet, so that nothing is copied to wait for its end.

Apart from `connection`, whose frame loop calls these, for its size.
"""

from __future__ import annotations

from itertools import islice
from struct import Struct
from typing import TYPE_CHECKING, Final

from wirelane.core.framing import PREFIX
from wirelane.http2.frames import DATA, FRAME_HEAD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wirelane.http2.connection import Connection
    from wirelane.http2.stream import Stream

__all__ = ["LONG", "read_row", "read_run"]

LONG: Final = 4096
"""Octets of a frame from which on it is no part of a row: they cost more than its head."""

# A frame's head and a message's prefix, as three integers of which the one in the middle is the same along a row:
# length and type; flags, stream, whether the message is compressed, and the upper half of its length; the lower half.
_unpack_heads: Final = Struct(">IQH").unpack_from
_BEFORE: Final = 9 + PREFIX
# Messages at most: a stream that nobody reads decides between two rows how to keep what comes.
_LONGEST: Final = 256


def read_row(connection: Connection, stream: Stream, data: bytes, start: int, frames: Iterator[bool]) -> int:
    """Read frames that are alike, as many as follow each other; return where they end: at `start` if there is none.

    Alike are whole frames of DATA on the stream, each of one whole message below 64 KiB that is not compressed, within the
    windows, without padding or END_STREAM. Whatever else comes is left to the frame loop, which knows all rules.

    Args:
        connection: The connection.
        stream: The stream, of which DATA needs no further look.
        data: What arrived.
        start: Where the first frame begins.
        frames: Gives as many items as frames may still be read in this turn; one more is taken than frames are read.
    """
    limit = stream.row_limit()
    if limit < 0:
        return start
    limit = min(limit, connection.max_frame_size - PREFIX)
    # The heads of frames are no part of the windows: if they make this too strict, the frame loop knows better.
    stop = min(len(data), start + stream.recv_window, start + connection.recv_window)
    last, alike, end = len(data) - _BEFORE, stream.id << 24, start
    unpack, before, prefix = _unpack_heads, _BEFORE, PREFIX
    row: list[tuple[bool, bytes]] = []
    for _ in islice(frames, _LONGEST):
        if end > last:
            break
        head, middle, length = unpack(data, end)
        if middle != alike or head != length + prefix << 8 or length > limit:
            break
        begin = end + before
        after = begin + length
        if after > stop:
            break
        row.append((False, data[begin:after]))
        end = after
    if row:
        octets = end - start - 9 * len(row)
        stream.recv_window -= octets
        connection.recv_window -= octets
        if connection.recv_window <= connection.low_window:
            connection.flow.look()
        stream.on_row(row)
    return end


def read_run(
    connection: Connection, stream: Stream, data: bytes, start: int, length: int, frames: Iterator[bool]
) -> int:
    """Read a DATA frame as far as it is here, and those like it that follow; return where the next begins.

    Like it are long ones of the same stream, within the windows, without padding or END_STREAM.

    Args:
        connection: The connection. Its `unfinished` is the stream and what the last frame lacks, if that is not whole yet.
        stream: The stream; if it was closed since the frame began, what is here of the frame only counts.
        data: What arrived.
        start: Where octets of the frame begin.
        length: How many of them are still to come; the windows allow them.
        frames: As for `read_row`.
    """
    connection.unfinished = None
    pieces: list[memoryview] = []
    view, size, taken = memoryview(data), len(data), 0
    room = min(stream.recv_window, connection.recv_window)
    # What `flow` looks at begins another run: streams give back what came before, and its PING leaves after that.
    calm = connection.recv_window - connection.low_window
    begin, end = start, start + length
    while end <= size:
        pieces.append(view[begin:end])
        taken += length
        begin = end + 9
        if begin > size:
            break
        head, flags, number = FRAME_HEAD.unpack_from(data, end)
        length = head >> 8
        if number != stream.id or flags or head & 0xFF != DATA:
            break
        if not LONG <= length <= min(room - taken, connection.max_frame_size):
            break
        if taken < calm <= taken + length or not next(frames, False):
            break
        end = begin + length
    else:
        pieces.append(view[begin:])
        connection.unfinished = (stream, end - size)
        end = size
    octets = b"".join(pieces)
    connection.recv_window -= len(octets)
    if connection.recv_window <= connection.low_window:
        connection.flow.look()
    if octets and connection.streams.get(stream.id) is stream:
        stream.recv_window -= len(octets)
        stream.on_data(octets, False)
    return end
