"""From the path of a call to its handler, and the checks made when a handler is registered.

Contract: everything that can be wrong with a handler is found at registration and raised as `UsageError`: its kind
(it must be `async def`), its signature, a method the schema does not have, a method that has a handler already.
A call whose path has no route is answered UNIMPLEMENTED with the text `Router.explain` gives.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from wirelane.core.method import Cardinality, method_path, split_method
from wirelane.errors import UsageError

if TYPE_CHECKING:
    from wirelane.codec import MessageCodec, Schema
    from wirelane.codec.dataclasses import ServiceSpec
    from wirelane.codec.formats import Codec
    from wirelane.grpc.methods import Method
    from wirelane.grpc.server.adapters import StreamAdapter
    from wirelane.grpc.server.handler import Call

__all__ = ["HasRoutes", "Route", "Router", "check_handler", "schema_route"]

# How much of a path that a stranger sent is repeated to him in an error message.
_SHOWN_PATH = 200


@dataclass(frozen=True, slots=True)
class Route:
    """One method with its handler, ready to be called.

    Attributes:
        path: "/pkg.Service/Method", as it travels.
        handler: The function; called with the request (a message, or `Requests`) and the context if it takes one,
            or with a stream object when there is an `adapter`.
        request: The codec of requests; `parse` is its `reader`.
        reply: The codec of replies; `encode` is its own.
        schema: Where the messages are described, for a runtime schema; else None.
        definition: The service it belongs to, if that was written in Python (`grpc.Service`).
        types: The message types of a typed method, where reflection finds their descriptors.
        background: Calls that go on by themselves and do not hold a drain up (health watches, reflection).
    """

    path: str
    cardinality: Cardinality
    handler: Callable[..., object]
    request: MessageCodec
    reply: MessageCodec
    takes_context: bool = False
    schema: Schema | None = None
    types: tuple[type, ...] = ()
    definition: ServiceSpec | None = None
    adapter: Callable[[Call], StreamAdapter] | None = None
    background: bool = False
    # Derived once, since each call reads them.
    parse: Callable[[bytes], Any] = field(init=False)
    encode: Callable[[Any], bytes] = field(init=False)
    name: str = ""
    task_name: str = ""
    client_streaming: bool = False
    server_streaming: bool = False

    def __post_init__(self) -> None:
        for name, value in (
            ("parse", self.request.reader),
            ("encode", self.reply.encode),
            ("name", self.path.removeprefix("/")),
            ("task_name", f"wirelane call {self.path.removeprefix('/')}"),
            ("client_streaming", self.cardinality.client_streaming),
            ("server_streaming", self.cardinality.server_streaming),
        ):
            object.__setattr__(self, name, value)

    @property
    def service(self) -> str:
        """The full name of the service."""
        return split_method(self.path)[0]


@runtime_checkable
class HasRoutes(Protocol):
    """A service that knows its routes: one written in Python."""

    def routes(
        self, adapt: Callable[[Method[Any, Any], Callable[..., Any]], Callable[..., Any]] | None
    ) -> list[Route]:
        """Return them; `adapt` makes handlers that the loop runs of functions that block."""
        ...


class Router:
    """The routes of a server, by path."""

    def __init__(self) -> None:
        self.routes: dict[str, Route] = {}

    def check_free(self, route: Route) -> None:
        """Raise UsageError if the method has a handler already."""
        if route.path in self.routes:
            raise UsageError(f"{route.name} has a handler already; a method takes one")

    def add(self, route: Route) -> None:
        """Add a route. Raises UsageError if the method has a handler already."""
        self.check_free(route)
        self.routes[route.path] = route

    def services(self) -> list[str]:
        """Return the full names of the services that have a handler, sorted."""
        return sorted({route.service for route in self.routes.values()})

    def explain(self, path: str) -> str:
        """Return what to say to a client that called `path`, which has no route."""
        shown = path[:_SHOWN_PATH]
        service, _, method = shown.removeprefix("/").rpartition("/")
        prefix = f"/{service}/"
        if service and any(known.startswith(prefix) for known in self.routes):
            return f"method {method!r} of service {service!r} is not implemented here"
        return f"service {service or shown!r} is not implemented here"

    def __repr__(self) -> str:
        return f"<Router {len(self.routes)} methods of {len(self.services())} services>"


def schema_route(
    schema: Schema,
    name: str,
    function: Callable[..., object],
    *,
    codec: Codec | None = None,
    background: bool = False,
) -> Route:
    """Return the route of a method described in a schema; its messages are what `codec` says, as in `Schema.codec`."""
    info = schema.find_method(name)
    return Route(
        path=method_path(info.service, info.name),
        cardinality=info.cardinality,
        handler=function,
        request=schema.codec(info.input_type, codec),
        reply=schema.codec(info.output_type, codec),
        takes_context=check_handler(info.full_name, info.cardinality, function),
        schema=schema,
        background=background,
    )


def check_handler(name: str, cardinality: Cardinality, handler: object) -> bool:
    """Check a handler's kind and signature; return whether it takes the context.

    Raises:
        UsageError: It is not `async def`, does not fit the kind of the method, or takes other arguments than
            `(request)` or `(request, context)`.
    """
    if not callable(handler):
        raise UsageError(f"the handler of {name} is not a function: {handler!r}")
    function = _function_of(handler)
    if inspect.isasyncgenfunction(function):
        if not cardinality.server_streaming:
            raise UsageError(f"{name} answers with one message: its handler must return it, not yield")
    elif not inspect.iscoroutinefunction(function):
        kind = "an async generator (async def with yield)" if cardinality.server_streaming else "async def"
        raise UsageError(
            f"the handler of {name} must be {kind}; {_shown(handler)} would block the event loop"
        )
    return _takes_context(name, handler)


def _function_of(handler: Callable[..., object]) -> Callable[..., object]:
    """Return the function that decides whether calling `handler` gives a coroutine: behind partials and __call__."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    if not (inspect.isfunction(handler) or inspect.ismethod(handler)) and not inspect.isclass(handler):
        return handler.__call__  # type: ignore[no-any-return, operator]  # an object with an async __call__
    return handler


def _takes_context(name: str, handler: Callable[..., object]) -> bool:
    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError) as error:
        raise UsageError(f"the handler of {name} has no signature that could be read: {error}") from error
    for arguments, takes_context in (((None, None), True), ((None,), False)):
        try:
            signature.bind(*arguments)
        except TypeError:
            continue
        return takes_context
    raise UsageError(
        f"the handler of {name} must take (request) or (request, context), not {_shown(handler)}{signature}"
    )


def _shown(handler: object) -> str:
    return str(getattr(handler, "__qualname__", None) or type(handler).__qualname__)
