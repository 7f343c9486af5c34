"""Services whose methods are looked up when they are asked for: no generated code."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from wirelane.core.names import snake_case
from wirelane.grpc.methods import CALL_FORMS
from wirelane.schema import MethodInfo

if TYPE_CHECKING:
    from wirelane.core.metadata import MetadataLike

__all__ = ["CallMaker", "ServiceStub", "Stub", "StubMethod"]

M = TypeVar("M")
C = TypeVar("C")


class CallMaker(Protocol):
    """What a stub needs of a channel, be it of `wirelane.grpc` or `wirelane.sync.grpc`."""

    @property
    def unary(self) -> Any:
        """Makes a unary call."""
        ...

    @property
    def server_stream(self) -> Any:
        """Makes a call whose replies stream."""
        ...

    @property
    def client_stream(self) -> Any:
        """Makes a call whose requests stream."""
        ...

    @property
    def bidi_stream(self) -> Any:
        """Makes a call both of whose sides stream."""
        ...


class StubMethod:
    """One method of a stub: called, it makes the call in the form that fits the method.

    A unary method takes a request and is awaited; a server stream takes a request, a client or bidi stream takes an
    iterable of requests or nothing; see the methods of `Channel` of the same names.
    """

    def __init__(self, channel: CallMaker, info: MethodInfo) -> None:
        self._channel = channel
        self.info = info
        self.__doc__ = info.comment or f"{info.full_name}: {info.cardinality.name.lower().replace('_', ' ')}"

    def __call__(
        self,
        request: Any = None,
        *,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> Any:
        """Call the method."""
        form = getattr(self._channel, CALL_FORMS[self.info.cardinality])
        return form(
            self.info.full_name,
            request,
            timeout=timeout,
            metadata=metadata,
            compression=compression,
            wait_for_ready=wait_for_ready,
        )

    def __repr__(self) -> str:
        info = self.info
        client = "stream " if info.cardinality.client_streaming else ""
        server = "stream " if info.cardinality.server_streaming else ""
        return f"<{info.full_name}({client}{info.input_type}) returns ({server}{info.output_type})>"


class Stub(Generic[M, C]):
    """A service on a channel, whose methods are attributes.

    `dir()` lists them. A name that is not there raises AttributeError and tells the nearest one.
    """

    def __init__(
        self, channel: CallMaker, service: str, methods: Mapping[str, M], names: Mapping[str, M]
    ) -> None:
        self._channel = channel
        self._service = service
        self._methods = methods
        self._names = names  # all that a method may be called by

    def _bind(self, method: M) -> C:
        """Return what is called for a method."""
        raise NotImplementedError

    def __getattr__(self, name: str) -> C:
        if name.startswith("__"):
            raise AttributeError(name)
        names: Mapping[str, M] = self.__dict__.get("_names", {})  # not there yet while it is copied
        found = names.get(name)
        if found is None:
            near = difflib.get_close_matches(name, names, n=1)
            hint = (
                f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(self._methods) or 'none'}"
            )
            raise AttributeError(f"{self._service} has no method {name!r}{hint}", name=name, obj=self)
        method = self._bind(found)
        # Found at once the next time.
        self.__dict__[name] = method
        return method

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._names})

    def __repr__(self) -> str:
        return f"<service {self._service} on {self._channel!r}: {', '.join(self._methods)}>"


class ServiceStub(Stub[MethodInfo, StubMethod]):
    """A service of the channel's schema; its attributes are the methods, by their own name or in snake_case.

    `dir()` lists them. A name that is not there raises AttributeError and tells the nearest one.
    """

    def __init__(self, channel: CallMaker, service: str, methods: Mapping[str, MethodInfo]) -> None:
        # The name in the .proto wins over somebody else's alias.
        names = {snake_case(name): info for name, info in reversed(list(methods.items()))} | dict(methods)
        super().__init__(channel, service, methods, names)

    def _bind(self, method: MethodInfo) -> StubMethod:
        return StubMethod(self._channel, method)
