"""`Server`: the object that handlers are registered with, and that listens.

Contract: the constructor and the registration do no network I/O (a schema given as a path or URL is loaded when it is
first needed: by the first `method` that names one of its methods, or by `listen`). A server listens once at a time
and may listen again afterwards. Not safe to use from several threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from wirelane.codec import Schema
from wirelane.codec.formats import format_of
from wirelane.core import compression as _compression
from wirelane.core.keepalive import ServerOptions
from wirelane.core.limits import Limits
from wirelane.errors import UsageError
from wirelane.grpc.methods import Method
from wirelane.grpc.server.adapters import HasMapping, mapping_routes
from wirelane.grpc.server.lifecycle import Listening, ServerState, counts
from wirelane.grpc.server.router import HasRoutes, Route, Router, check_handler, schema_route
from wirelane.grpc.server.stats import ServerStats
from wirelane.grpc.services.health import Health
from wirelane.grpc.services.reflection import Reflection
from wirelane.net.signals import stop_signals
from wirelane.net.tls import resolve_tls
from wirelane.net.trace import Trace

if TYPE_CHECKING:
    import ssl

    from wirelane.codec.dataclasses import ServiceSpec
    from wirelane.codec.formats import Codec
    from wirelane.codec.schema import SchemaSource
    from wirelane.core.target import Address
    from wirelane.grpc.services.base import BuiltinService
    from wirelane.net.tls import TlsConfig
    from wirelane.net.trace import TraceLike

__all__ = ["Server"]

F = TypeVar("F", bound=Callable[..., object])


class Server:
    """A gRPC server.

    Args:
        services: Services to add: see `add_service`.
        schema: What `Schema.load` takes, or a `Schema`: names the methods that `method` may be given as text.
        codec: What messages of the schema are: "dict" (the default, except for a schema made from a module, whose
            messages then are that module's), "json" (values that `json` knows, by the ProtoJSON mapping), "raw" (bytes),
            or a `wirelane.codec.DictFormat`. On the wire it is protobuf in any case.
        tls: `TlsConfig(cert=, key=)` or an `ssl.SSLContext`; with `ca=`, clients must show a certificate. None: none.
        limits: Sizes, counts and times; `Limits()` if None.
        reflection: Serve grpc.reflection.v1 and v1alpha.
        health: Serve grpc.health.v1; `server.health` is what it answers from.
        compression: Compress the replies with this ("gzip", "deflate") for the clients that accept it.
        options: How connections are kept alive, and for how long; `ServerOptions()` if None.
        trace: Log what is said on all connections: True keeps it in memory (`server.trace`), a path writes it to that
            file, and a `wirelane.Trace` does what it says.

    Raises:
        UsageError: A service or a handler in it is not one; `compression` is not known.
    """

    def __init__(
        self,
        services: Iterable[object] = (),
        *,
        schema: SchemaSource | None = None,
        codec: Codec | None = None,
        tls: bool | TlsConfig | ssl.SSLContext | None = None,
        limits: Limits | None = None,
        reflection: bool = True,
        health: bool = True,
        compression: str | None = None,
        options: ServerOptions | None = None,
        trace: TraceLike = None,
    ) -> None:
        if compression is not None and compression not in _compression.SUPPORTED:
            known = ", ".join(_compression.SUPPORTED)
            raise UsageError(f"compression={compression!r} is not known here; known are {known}")
        if tls is True:
            raise UsageError("tls=True is not enough for a server; give TlsConfig(cert=..., key=...)")
        if options is not None and not isinstance(options, ServerOptions):
            raise UsageError(f"options must be a ServerOptions(...), not {options!r}")
        self.limits = Limits.of(limits)
        self.trace = Trace.of(trace)
        self._options = options or ServerOptions()
        self._tls = None if tls is False else resolve_tls(tls, default=None)
        self._compression = compression
        self._schema_source = schema
        if codec is not None:
            format_of(codec)  # raises for what is none
        self._codec: Codec | None = codec
        self._schema: Schema | None = None
        self._router = Router()
        self._listening: Listening | None = None
        self._health = Health() if health else None
        self._reflection: Reflection | None = None
        self._add_builtin_services(reflection=reflection)
        if not isinstance(services, Iterable):
            raise UsageError(f"services are several: grpc.Server([service]), not {services!r}")
        for service in services:
            self.add_service(service)

    def _add_builtin_services(self, *, reflection: bool) -> None:
        builtin: list[BuiltinService] = []
        if self._health is not None:
            builtin.append(self._health)
        if reflection:
            self._reflection = Reflection(self._router.routes.values, self._schemas)
            builtin.append(self._reflection)
        for service in builtin:
            for method in service.methods():
                self._router.add(
                    schema_route(service.schema, method.name, method.handler, background=method.background)
                )

    # -- registration -------------------------------------------------------------------------------------------

    @property
    def schema(self) -> Schema | None:
        """The schema, loaded now if it was not; None if the server was given none.

        Raises:
            SchemaError: It does not compile.
        """
        if self._schema is None and self._schema_source is not None:
            self._schema = Schema.load(self._schema_source, limits=self.limits)
        return self._schema

    def _schemas(self) -> list[Schema]:
        """Return what services are described in that have no schema of their own."""
        schemas = [] if self.schema is None else [self.schema]
        definitions = self.definitions
        if definitions:
            from wirelane.codec.dataclasses import schema_of

            # All at once: those of one package share messages, and files.
            schemas.append(schema_of(definitions))
        return schemas

    @property
    def definitions(self) -> tuple[ServiceSpec, ...]:
        """What the services say that were written in Python (`grpc.Service`)."""
        return _definitions(self._router.routes.values())

    @property
    def health(self) -> Health:
        """What the health service answers from. Raises UsageError with `health=False`."""
        if self._health is None:
            raise UsageError("this server has no health service (health=False)")
        return self._health

    def method(self, method: str | Method[Any, Any]) -> Callable[[F], F]:
        """Register the decorated function as the handler of a method.

        Args:
            method: "pkg.Service/Method" or "Service/Method" of the schema (messages are dicts), or a `Method` with
                message types.

        The function takes `(request)` or `(request, context)`. It is `async def`, and for a method that streams
        replies an async generator, or `async def` returning an async iterator. Where the client streams, the
        request is an async iterator.

        Raises:
            UsageError: No such method, or it has a handler already, or the function does not fit.
        """
        if not isinstance(method, str | Method):
            # At once: `@server.method` without its argument would swallow the function.
            raise UsageError(_no_method(method))

        def register(function: F) -> F:
            self._add(self._route(method, function))
            return function

        return register

    def add_service(self, service: object) -> None:
        """Add the handlers of a service.

        Args:
            service: A `grpc.Service`, or what its `bind` gives; an object with `__mapping__()`, as grpclib and betterproto2
                generate bases for; one with `__methods__()` that returns {`Method` or method name: function}, as
                `wirelane generate` makes bases for; or such a mapping itself.

        Raises:
            UsageError: It is none of these, or what `method` raises. Then none of it was added.
        """
        routes = self._service_routes(service)
        for route in routes:
            self._router.check_free(route)
        if any(route.definition is not None for route in routes):
            from wirelane.codec.dataclasses import schema_files

            schema_files(
                _definitions([*self._router.routes.values(), *routes])
            )  # raises where two of them contradict each other
        for route in routes:
            self._add(route)

    _adapt: Callable[[Method[Any, Any], Callable[..., Any]], Callable[..., Any]] | None = None
    """What makes handlers that the loop runs of functions that block, for servers that take such."""

    def _service_routes(self, service: object) -> list[Route]:
        if isinstance(service, type):
            raise UsageError(
                f"add_service() takes an object, and {service.__name__} is a class: {service.__name__}()"
            )
        if isinstance(service, HasMapping):
            return mapping_routes(service)
        if isinstance(service, HasRoutes):
            return service.routes(self._adapt)
        methods = getattr(service, "__methods__", None)
        mapping = methods() if callable(methods) else service
        if not isinstance(mapping, Mapping):
            raise UsageError(
                f"{type(service).__name__} is not a service: it has neither __mapping__() (grpclib, betterproto2) "
                "nor __methods__() (wirelane generate), and it is not a mapping of methods to functions"
            )
        return [self._route(method, function) for method, function in mapping.items()]

    def _route(self, method: object, function: Callable[..., object]) -> Route:
        if isinstance(method, Method):
            request, reply = method.codecs()
            return Route(
                path=method.path,
                cardinality=method.cardinality,
                handler=function,
                request=request,
                reply=reply,
                takes_context=check_handler(method.name, method.cardinality, function),
                schema=None if method.schema is None else method.schema(),
                types=(method.request_type, method.response_type),
            )
        if not isinstance(method, str):
            raise UsageError(_no_method(method))
        schema = self.schema
        if schema is None:
            raise UsageError(f"the server has no schema to find {method!r} in: grpc.Server(schema=...)")
        return schema_route(schema, method, function, codec=self._codec)

    def _add(self, route: Route) -> None:
        self._router.add(route)
        if self._health is not None:
            self._health.add(route.service)

    # -- running ------------------------------------------------------------------------------------------------

    @property
    def state(self) -> ServerState:
        """IDLE before the first `listen`, then SERVING, DRAINING, CLOSED."""
        return self._listening.state if self._listening is not None else ServerState.IDLE

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return self._listening.connections if self._listening is not None else 0

    @property
    def calls(self) -> int:
        """How many calls are in flight: their handler runs."""
        return len(self._listening.calls) if self._listening is not None else 0

    @property
    def stats(self) -> ServerStats:
        """Counts since `listen`: what is open, what clients reset, what was refused."""
        return self._listening.stats if self._listening is not None else ServerStats()

    def listen(
        self, *addresses: str | Address, grace: float | None = None, reuse_port: bool = False
    ) -> Listening:
        """Listen at one or several addresses: "host:port", "[ipv6]:port", "unix:/path"; port 0 picks a free one.

        Use it as `async with server.listen(...) as listening:`, which drains at the end of the block, or await it.

        Args:
            addresses: Where to listen.
            grace: How long calls in flight may take at the end of the block, in seconds; `limits.drain_grace` if None.
            reuse_port: Let other processes listen at the same port (SO_REUSEPORT): several that share the clients, or
                a new one that takes over before the old one drains.

        Raises:
            UsageError: An address is not one, or the server listens already.

        Raises (when awaited or entered):
            OSError: An address cannot be listened at.
            TlsError: The certificates cannot be loaded.
            SchemaError: The schema does not compile; it is loaded in a thread, unless a method needed it before.
        """
        if self.state in (ServerState.SERVING, ServerState.DRAINING):
            raise UsageError(f"{self!r} listens already; give listen() all addresses at once")
        self._listening = Listening(
            addresses,
            self._router,
            tls=self._tls,
            limits=self.limits,
            compression=self._compression,
            health=self._health,
            options=self._options,
            grace=grace,
            reuse_port=reuse_port,
            trace=self.trace,
            prepare=self._prepare if self._has_to_prepare() else None,
        )
        return self._listening

    def _has_to_prepare(self) -> bool:
        unloaded = self._schema is None and self._schema_source is not None
        return unloaded or (
            self._reflection is not None and any(r.types for r in self._router.routes.values())
        )

    def _prepare(self) -> None:
        """Do what takes long and what may be wrong, before the first request for reflection finds out."""
        _ = self.schema
        if self._reflection is not None:
            self._reflection.catalogue()

    async def serve(
        self, *addresses: str | Address, grace: float | None = None, reuse_port: bool = False
    ) -> None:
        """Serve until cancelled, or until SIGTERM or SIGINT; then drain for `grace` seconds, and return.

        A second signal, or a second cancellation, stops at once. Signals are taken over only in the main thread. The
        arguments are those of `listen`.

        Raises:
            OSError: An address cannot be listened at.
            SchemaError: The schema does not compile.
            asyncio.CancelledError: It was cancelled; it has drained.
        """
        with stop_signals() as signals:
            listening = await self.listen(*addresses, grace=grace, reuse_port=reuse_port)
            signals.again = listening.abort
            try:
                await signals.stopped.wait()
            finally:
                await listening.drain()

    async def drain(self, grace: float | None = None) -> None:
        """Stop accepting, let calls in flight finish for `grace` seconds (`limits.drain_grace`), end them, close.

        Health answers NOT_SERVING from now on. Returns when everything has ended; at once if nothing listens.
        Cancelled: everything is aborted, and the cancellation goes on when it has ended.

        Raises:
            UsageError: A handler awaits it, and would be waited for; start it in a task of its own there.
        """
        if self._listening is not None:
            await self._listening.drain(grace)

    def abort(self) -> None:
        """Cut every connection and cancel every handler now."""
        if self._listening is not None:
            self._listening.abort()

    def __repr__(self) -> str:
        listening = self._listening
        if listening is None:
            return f"<Server IDLE {len(self._router.routes)} methods>"
        where = ", ".join(map(str, listening.addresses))
        return f"<Server {where} {self.state.value} {counts(self.connections, self.calls)}>"


def _definitions(routes: Iterable[Route]) -> tuple[ServiceSpec, ...]:
    found = {each.definition.name: each.definition for each in routes if each.definition is not None}
    return tuple(found.values())


def _no_method(given: object) -> str:
    return f"a method is given by its name or as a grpc.Method, not as {given!r}"
