"""What `for` goes over: lines, records, frames and chunks of a connection.

Made of `wirelane.tcp.iterating` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

from typing import Self

from wirelane.sync._facade import Facade, facade_of, next_of
from wirelane.sync._lines import LinesFacade
from wirelane.tcp.iterating import Chunks as AsyncChunks
from wirelane.tcp.iterating import Frames as AsyncFrames
from wirelane.tcp.iterating import Lines as AsyncLines
from wirelane.tcp.iterating import Records as AsyncRecords

__all__ = ["Chunks", "Frames", "Lines", "Records"]


@facade_of(AsyncLines)
class Lines(LinesFacade):
    """The lines of a connection; see `Connection.lines`.

    Lines that are ready here are on loan: whoever reads otherwise gets them.
    """

    __slots__ = ()


@facade_of(AsyncRecords)
class Records(Facade):
    """What lies between markers on a connection; see `Connection.records`."""

    __slots__ = ()

    def __next__(self) -> bytes:
        return next_of(self._inner)

    def __iter__(self) -> Self:
        return self


@facade_of(AsyncFrames)
class Frames(Facade):
    """The frames on a connection; see `Connection.read_frames`."""

    __slots__ = ()

    def __next__(self) -> bytes:
        return next_of(self._inner)

    def __iter__(self) -> Self:
        return self


@facade_of(AsyncChunks)
class Chunks(Facade):
    """What comes on a connection, as it comes; see `Connection.chunks`."""

    __slots__ = ()

    def __next__(self) -> bytes:
        return next_of(self._inner)

    def __iter__(self) -> Self:
        return self
