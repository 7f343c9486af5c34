"""Services whose methods are looked up when they are asked for: no generated code."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from wirelane.core.method import Cardinality
from wirelane.core.names import snake_case

if TYPE_CHECKING:
    from wirelane.core.metadata import MetadataLike
    from wirelane.grpc.channel import Channel
    from wirelane.schema import MethodInfo

__all__ = ["ServiceStub", "StubMethod"]


class StubMethod:
    """One method of a stub: called, it makes the call in the form that fits the method.

    A unary method takes a request and is awaited; a server stream takes a request, a client or bidi stream takes an
    iterable of requests or nothing; see the methods of `Channel` of the same names.
    """

    def __init__(self, channel: Channel, info: MethodInfo) -> None:
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
        channel, kind, name = self._channel, self.info.cardinality, self.info.full_name
        form = {
            Cardinality.UNARY: channel.unary,
            Cardinality.SERVER_STREAM: channel.server_stream,
            Cardinality.CLIENT_STREAM: channel.client_stream,
            Cardinality.BIDI_STREAM: channel.bidi_stream,
        }[kind]
        call: Any = form
        return call(
            name,
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


class ServiceStub:
    """A service of the channel's schema; its attributes are the methods, by their own name or in snake_case.

    `dir()` lists them. A name that is not there raises AttributeError and tells the nearest one.
    """

    def __init__(self, channel: Channel, service: str, methods: dict[str, MethodInfo]) -> None:
        self._channel = channel
        self._service = service
        self._methods = methods
        # The name in the .proto wins over somebody else's alias.
        self._names = {snake_case(name): name for name in reversed(methods)} | {
            name: name for name in methods
        }

    def __getattr__(self, name: str) -> StubMethod:
        if name.startswith("__"):
            raise AttributeError(name)
        names: dict[str, str] = self.__dict__.get("_names", {})  # not there yet while it is copied
        found = names.get(name)
        if found is None:
            near = difflib.get_close_matches(name, names, n=1)
            hint = (
                f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(self._methods) or 'none'}"
            )
            raise AttributeError(f"{self._service} has no method {name!r}{hint}", name=name, obj=self)
        method = StubMethod(self._channel, self._methods[found])
        # Found at once the next time.
        self.__dict__[name] = method
        return method

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._names})

    def __repr__(self) -> str:
        return f"<service {self._service} on {self._channel!r}: {', '.join(self._methods)}>"
