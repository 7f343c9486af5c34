"""Rows of DATA frames that each hold one whole message: what a stream of small messages is made of.

A frame's head and the prefix of its message are read in one go (RFC 9113 section 4.1; gRPC over HTTP/2,
"Length-Prefixed-Message"). Apart from `connection`, whose frame loop calls it from the second such frame on, for its size.
"""

from __future__ import annotations

from itertools import islice
from struct import Struct
from typing import TYPE_CHECKING, Final

from wirelane.core.framing import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wirelane.http2.connection import Connection
    from wirelane.http2.stream import Stream

__all__ = ["read_row"]

# A frame's head and a message's prefix, as three integers of which the one in the middle is the same along a row:
# length and type; flags, stream, whether the message is compressed, and the upper half of its length; the lower half.
_unpack_heads: Final = Struct(">IQH").unpack_from
_BEFORE: Final = 9 + PREFIX
# Messages at most: a stream that nobody reads decides between two rows how to keep what comes.
_LONGEST: Final = 256


def read_row(connection: Connection, stream: Stream, data: bytes, start: int, frames: Iterator[None]) -> int:
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
