"""Connections, which are given out more than once: to a handler, and in the list of a server's clients."""

from __future__ import annotations

from typing import Any, Self
from weakref import WeakValueDictionary

from wirelane.sync._facade import Facade

__all__ = ["ConnectionFacade"]

_shells: WeakValueDictionary[int, ConnectionFacade] = WeakValueDictionary()


class ConnectionFacade(Facade):
    """The base of `Connection`: whoever gets the same connection gets the same object, as programs compare them."""

    __slots__ = ()

    @classmethod
    def _over(cls, inner: Any) -> Self:
        there = _shells.get(id(inner))
        if there is None or there._inner is not inner:  # else another one, which is gone, was at that place
            there = _shells[id(inner)] = super()._over(inner)
        assert isinstance(there, cls)
        return there
