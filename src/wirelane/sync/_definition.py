"""Services written in Python, of functions that block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Concatenate, overload

from wirelane.grpc.definition import P, Req, Res
from wirelane.grpc.definition import Service as AsyncService
from wirelane.grpc.methods import Method

__all__ = ["Service"]


class Service(AsyncService):
    """A service made of functions that block: `def` instead of `async def`, and iterators instead of async ones.

    All else is as with the `Service` of `wirelane.grpc`: see there. It is for the `Server` of `wirelane.sync.grpc`, which runs
    each call in a thread, and which takes services of `async def`, too.
    """

    _blocking = True

    @overload  # type: ignore[override]
    def method_for(
        self, function: Callable[Concatenate[Iterator[Req], P], Iterator[Res] | Res]
    ) -> Method[Req, Res]: ...
    @overload
    def method_for(
        self, function: Callable[Concatenate[Req, P], Iterator[Res] | Res]
    ) -> Method[Req, Res]: ...
    @overload
    def method_for(  # pyright: ignore[reportOverlappingOverload]
        self, function: Callable[Concatenate[Any, Iterator[Req], P], Iterator[Res] | Res]
    ) -> Method[Req, Res]: ...
    @overload
    def method_for(  # pyright: ignore[reportOverlappingOverload]
        self, function: Callable[Concatenate[Any, Req, P], Iterator[Res] | Res]
    ) -> Method[Req, Res]: ...
    def method_for(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, function: Callable[..., Any]
    ) -> Method[Any, Any]:
        """Return how calls name the method of a function, with its types.

        Raises:
            UsageError: The function is no method of this service.
        """
        return super().method_for(function)
