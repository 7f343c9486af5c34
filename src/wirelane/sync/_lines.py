"""Lines of a connection, many by one way into the loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from wirelane.sync._facade import Facade, next_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LinesFacade"]


class LinesFacade(Facade):
    """The base of `Lines`.

    The lines that are ready are taken off the async iterator's own list, on which they are on loan: whoever reads otherwise gets
    them. What arrives meanwhile, in the loop, does not touch that list, and other reads are not made at the same time.
    """

    __slots__ = ("_pop",)
    _pop: Callable[[], str]

    def _adopt(self, inner: Any) -> None:
        super()._adopt(inner)
        self._pop = [].pop

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        try:
            return self._pop()
        except IndexError:
            line = next_of(self._inner)
            self._pop = self._inner._ready.pop
        return line
