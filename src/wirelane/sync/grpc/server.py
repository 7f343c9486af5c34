"""A server whose handlers block, in threads.

Made of `wirelane.grpc.server.server` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable
from typing import Any

from wirelane.codec import Schema
from wirelane.codec.dataclasses import ServiceSpec
from wirelane.codec.formats import Codec
from wirelane.codec.schema import SchemaSource
from wirelane.core.keepalive import ServerOptions
from wirelane.core.limits import Limits
from wirelane.core.target import Address
from wirelane.grpc.methods import Method
from wirelane.grpc.server.lifecycle import ServerState
from wirelane.grpc.server.server import F
from wirelane.grpc.server.server import Server as AsyncServer
from wirelane.grpc.server.stats import ServerStats
from wirelane.net.tls import TlsConfig
from wirelane.net.trace import TraceLike
from wirelane.sync._facade import facade_of, wrap
from wirelane.sync._portal import call
from wirelane.sync._serving import BlockingServer, ServerFacade
from wirelane.sync._threads import THREADS
from wirelane.sync.grpc.context import Context
from wirelane.sync.grpc.health import Health
from wirelane.sync.grpc.listening import Listening

__all__ = ["Server"]


@facade_of(AsyncServer)
class Server(ServerFacade):
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
        threads: How many handlers run at once; what comes beyond that waits.
        trace: Log what is said on all connections: True keeps it in memory (`server.trace`), a path writes it to that
            file, and a `wirelane.Trace` does what it says.

    Raises:
        UsageError: A service or a handler in it is not one; `compression` is not known.
    """

    __slots__ = ()

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
        threads: int = THREADS,
    ) -> None:
        self._make(
            BlockingServer,
            services,
            schema=schema,
            codec=codec,
            tls=tls,
            limits=limits,
            reflection=reflection,
            health=health,
            compression=compression,
            options=options,
            trace=trace,
            context=Context,
            threads=threads,
        )

    @property
    def schema(self) -> Schema | None:
        """The schema, loaded now if it was not; None if the server was given none.

        Raises:
            SchemaError: It does not compile.
        """
        return self._inner.schema

    @property
    def definitions(self) -> tuple[ServiceSpec, ...]:
        """What the services say that were written in Python (`grpc.Service`)."""
        return self._inner.definitions

    @property
    def health(self) -> Health:
        """What the health service answers from. Raises UsageError with `health=False`."""
        return wrap(self._inner.health)

    def method(self, method: str | Method[Any, Any]) -> Callable[[F], F]:
        """Register the decorated function as the handler of a method.

        Args:
            method: "pkg.Service/Method" or "Service/Method" of the schema (messages are dicts), or a `Method` with
                message types.

        The function takes `(request)` or `(request, context)`. It runs in a thread of the
        server's. For a method that streams replies it is a generator, or returns an iterable. Where the client
        streams, the request is an iterator.

        Raises:
            UsageError: No such method, or it has a handler already, or the function does not fit.
        """
        return call(self._inner.method, method)

    def add_service(self, service: object) -> None:
        """Add the handlers of a service.

        Args:
            service: A `grpc.Service`, or what its `bind` gives; an object with `__mapping__()`, as grpclib and betterproto2
                generate bases for; one with `__methods__()` that returns {`Method` or method name: function}, as
                `wirelane generate` makes bases for; or such a mapping itself.

        Raises:
            UsageError: It is none of these, or what `method` raises. Then none of it was added.
        """
        call(self._inner.add_service, service)

    @property
    def state(self) -> ServerState:
        """IDLE before the first `listen`, then SERVING, DRAINING, CLOSED."""
        return self._inner.state

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return self._inner.connections

    @property
    def calls(self) -> int:
        """How many calls are in flight: their handler runs."""
        return self._inner.calls

    @property
    def stats(self) -> ServerStats:
        """Counts since `listen`: what is open, what clients reset, what was refused."""
        return self._inner.stats

    def listen(
        self, *addresses: str | Address, grace: float | None = None, reuse_port: bool = False
    ) -> Listening:
        """Listen at one or several addresses: "host:port", "[ipv6]:port", "unix:/path"; port 0 picks a free one.

        Use it as `with server.listen(...) as listening:`, which drains at the end of the block, or `drain` it later.

        Args:
            addresses: Where to listen.
            grace: How long calls in flight may take at the end of the block, in seconds; `limits.drain_grace` if None.
            reuse_port: Let other processes listen at the same port (SO_REUSEPORT): several that share the clients, or
                a new one that takes over before the old one drains.

        Raises:
            UsageError: An address is not one, or the server listens already.

        Raises:
            OSError: An address cannot be listened at.
            TlsError: The certificates cannot be loaded.
            SchemaError: The schema does not compile; it is loaded in a thread, unless a method needed it before.
        """
        return self._listen(*addresses, grace=grace, reuse_port=reuse_port)

    def serve(self, *addresses: str | Address, grace: float | None = None, reuse_port: bool = False) -> None:
        """Serve until `drain` or `abort` is called, or until SIGTERM or SIGINT; then drain for `grace` seconds, and return.

        A second signal stops at once. Signals are taken over only in the main thread. The
        arguments are those of `listen`.

        Raises:
            OSError: An address cannot be listened at.
            SchemaError: The schema does not compile.
        """
        self._serve(*addresses, grace=grace, reuse_port=reuse_port)

    def drain(self, grace: float | None = None) -> None:
        """Stop accepting, let calls in flight finish for `grace` seconds (`limits.drain_grace`), end them, close.

        Health answers NOT_SERVING from now on. Returns when everything has ended; at once if nothing listens. Interrupted, everything is aborted.

        Raises:
            UsageError: A handler calls it, and would be waited for; let another thread call it there.
        """
        self._drain(grace)

    def abort(self) -> None:
        """Cut every connection and cancel every handler now."""
        self._abort()
