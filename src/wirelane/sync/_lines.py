"""Lines of a connection, many by one way into the loop."""

from __future__ import annotations

from typing import Self

from wirelane.sync._facade import Facade, next_of

__all__ = ["LinesFacade"]


class LinesFacade(Facade):
    """The base of `Lines`.

    The lines that are ready are taken off the async iterator's own list, on which they are on loan: whoever reads otherwise gets
    them. What arrives meanwhile, in the loop, does not touch that list, and other reads are not made at the same time.
    """

    __slots__ = ()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        try:
            line: str = self._inner._ready.pop()
        except IndexError:
            line = next_of(self._inner)
        return line
