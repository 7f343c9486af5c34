"""Connections, which are given out more than once, and whose state is looked at where it changes."""

from __future__ import annotations

from typing import Any, Self
from weakref import WeakValueDictionary

from wirelane.sync._facade import Facade
from wirelane.sync._portal import call

__all__ = ["ConnectionFacade", "look"]

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


class _Look:
    """A property of an object that is the loop's, as the function that the portal calls, and names where it must refuse to."""

    def __init__(self, inner: object, name: str) -> None:
        self.__self__ = inner
        self.__name__ = name
        self.__module__ = type(inner).__module__

    def __call__(self) -> Any:
        return getattr(self.__self__, self.__name__)


def look(inner: object, name: str) -> Any:
    """Return a property of an object, asked for in the loop.

    Raises:
        UsageError: This thread runs an event loop itself.
    """
    return call(_Look(inner, name))
