"""The channel: what people hold to make calls to one server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from wirelane.codec import Schema
from wirelane.codec.formats import format_of
from wirelane.core.limits import Limits
from wirelane.core.metadata import Metadata
from wirelane.core.target import HostPort, parse_target
from wirelane.errors import UsageError
from wirelane.grpc.call_forms import CallForms
from wirelane.grpc.compat import CompatStream, compat_method, compat_timeout
from wirelane.grpc.connector import Connector
from wirelane.grpc.core import ChannelCore, check_encoding
from wirelane.grpc.options import ChannelOptions, ChannelState, ChannelStats
from wirelane.grpc.reflection_client import Reflector
from wirelane.grpc.stub import ServiceStub
from wirelane.net.proxy import resolve_proxy
from wirelane.net.tls import resolve_tls
from wirelane.net.trace import Trace
from wirelane.transport.keepalive import Keepalive

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine
    from types import TracebackType
    from typing import Self

    from wirelane.codec.formats import Codec
    from wirelane.codec.schema import SchemaSource
    from wirelane.core.metadata import MetadataLike
    from wirelane.net.proxy import ProxyLike
    from wirelane.net.tls import TlsConfig
    from wirelane.net.trace import TraceLike

__all__ = ["Channel"]

Req = TypeVar("Req")
Res = TypeVar("Res")


class Channel(CallForms):
    """Calls to one server, over a connection that is made when it is needed.

    The constructor does no I/O. A lost connection is made again by the next call, after a failure not before a backoff
    has passed; until then calls fail at once with UNAVAILABLE, whose `__cause__` is what went wrong, unless they are
    made with `wait_for_ready=True`. A channel belongs to one event loop, and is closed with `close` or `async with`.

    Args:
        target: "host:port", "[v6]:port", "dns:///host:port", "unix:/path", "static:///a:1,b:2" (tried in order),
            or a URL with grpc, grpcs, http or https, of which the `s` ones mean TLS.
        schema: What `Schema.load` takes, a `Schema`, or "reflection" to ask the server. Loaded by `connect`, or
            by the first call that needs it; of the server, a call only asks for what its method needs.
        codec: What messages of the schema are: "dict" (the default, except for a schema made from a module, whose
            messages then are that module's), "json" (values that `json` knows, by the ProtoJSON mapping), "raw" (bytes),
            or a `wirelane.codec.DictFormat`. On the wire it is protobuf in any case.
        tls: True, a `TlsConfig` or an `ssl.SSLContext`; False and the default mean what the scheme says.
        proxy: The URL of a proxy ("socks5://user:password@host:1080"; socks4, socks4a, socks5h, http, https), a
            `ProxyConfig`, a list of two to go through in turn, or "env" for HTTPS_PROXY, ALL_PROXY and NO_PROXY. None is
            a direct connection, whatever the environment says.
        metadata: Sent with every call; `channel.metadata` changes it later.
        timeout: Seconds for a call that gives no timeout of its own; `math.inf` in a call means none.
        compression: "gzip" or "deflate" for messages of calls that do not say.
        limits: Bounds on memory and time.
        options: What few channels need to change.
        trace: Log what is said: True keeps it in memory (`channel.trace`), a path writes it to that file, and a
            `wirelane.Trace` does what it says.

    Every call takes `timeout` (seconds from when it is made, sent as `grpc-timeout` and enforced here),
    `metadata`, `compression` and `wait_for_ready`. Inside a wirelane server, a call never outlives the call that is
    being served.

    Raises:
        UsageError: A setting cannot be; the error names it.
    """

    def __init__(
        self,
        target: str,
        *,
        schema: SchemaSource | None = None,
        codec: Codec | None = None,
        tls: bool | TlsConfig | ssl.SSLContext | None = None,
        proxy: ProxyLike = None,
        metadata: MetadataLike | None = None,
        timeout: float | None = None,
        compression: str | None = None,
        limits: Limits | None = None,
        options: ChannelOptions | None = None,
        trace: TraceLike = None,
    ) -> None:
        where = parse_target(target)
        if where.tls and tls is False:
            raise UsageError(f"tls=False contradicts {target!r}; write grpc:// or http:// for plain text")
        if options is not None and not isinstance(options, ChannelOptions):
            raise UsageError(f"options must be a ChannelOptions(...), not {options!r}")
        if codec is not None:
            format_of(codec)  # raises for what is none
        self._options = options or ChannelOptions()
        self._limits = Limits.of(limits)
        self._trace = Trace.of(trace)
        self._connector = Connector(
            where,
            tls=resolve_tls(tls, default=where.tls),
            server_name=self._options.server_name,
            limits=self._limits,
            idle_timeout=self._options.idle_timeout,
            max_connections=self._options.max_connections,
            keepalive=_keepalive(self._options),
            options=self._options.socket,
            route=resolve_proxy(proxy),
            trace=self._trace,
        )
        self._core = ChannelCore(
            self._connector,
            authority=self._options.authority or where.authority,
            metadata=Metadata(metadata),
            timeout=timeout,
            encoding=check_encoding(compression),
            limits=self._limits,
            user_agent=self._options.user_agent,
            wait_for_ready=self._options.wait_for_ready,
            schema=schema if isinstance(schema, Schema) else None,
            loader=self._schema_loader(schema),
            codec=codec,
        )
        self._reflector = Reflector(
            self._core, origin=f"reflection of {self}", metadata=self._options.reflection_metadata
        )
        if schema == "reflection":
            self._core.part_loader = self._reflector.part
        self._core.deadline(None)  # raises for a timeout that is none

    def _schema_loader(self, schema: SchemaSource | None) -> Callable[[], Coroutine[Any, Any, Schema]] | None:
        if schema is None or isinstance(schema, Schema):
            return None
        if schema == "reflection":
            return self.reflect
        # Reads files and runs the compiler: not in the event loop.
        return lambda: asyncio.to_thread(Schema.load, schema, limits=self._limits)

    async def reflect(self, symbol: str | None = None) -> Schema:
        """Ask the server for its schema (server reflection, v1 or v1alpha), whatever the schema of the channel is.

        What the server has told is kept with the channel, and not asked for again. Cancel-safe.

        Args:
            symbol: Only what this needs: a service, a method or a message, by its full name, or the end of it if only
                one fits. None: all services.

        Raises:
            ConnectError, TlsError, ResolveError, PeerError: There is no connection.
            RpcError: The server has no reflection (UNIMPLEMENTED), or it failed.
            SchemaError: What the server sent does not link.
            LimitExceeded: It sent too much.
            UsageError: There is no such symbol; the error names the nearest.
        """
        # First, so that a failure of the connection is told as itself.
        await self._connector.get()
        return await (self._reflector.whole() if symbol is None else self._reflector.part(symbol))

    async def list_services(self) -> list[str]:
        """Ask the server for the names of its services (server reflection), also of those that it does not describe.

        They are in the order of the server, and not asked for again. Cancel-safe.

        Raises:
            ConnectError, TlsError, ResolveError, PeerError: There is no connection.
            RpcError: The server has no reflection (UNIMPLEMENTED), or it failed.
        """
        await self._connector.get()
        return await self._reflector.services()

    # ------------------------------------------------------------------------------------------- state

    @property
    def metadata(self) -> Metadata:
        """The metadata of every call; change it in place, or assign what `Metadata` takes."""
        return self._core.metadata

    @metadata.setter
    def metadata(self, metadata: MetadataLike) -> None:  # pyright: ignore[reportPropertyTypeMismatch]
        pairs = Metadata(metadata)
        self._core.metadata.clear()
        self._core.metadata.update(pairs)

    @property
    def schema(self) -> Schema:
        """The schema of the channel.

        Raises:
            UsageError: It has none, or it is not loaded yet; calls alone do not ask a server for all of it.
        """
        schema = self._core.schema
        if schema is None:
            if self._core.has_loader:
                raise UsageError(
                    "the schema is not loaded yet: connect() the channel first, or use grpc.connect()"
                )
            raise UsageError("this channel has no schema: pass schema= a .proto file, or 'reflection'")
        return schema

    @property
    def target(self) -> str:
        """Where the channel goes, as it was given."""
        return self._connector.target.text

    @property
    def state(self) -> ChannelState:
        """Where the connection stands."""
        return self._connector.state

    @property
    def stats(self) -> ChannelStats:
        """Counts of calls and connections so far."""
        core = self._core
        return ChannelStats(
            started=core.started,
            succeeded=core.succeeded,
            failed=core.failed,
            active=core.active,
            connections=len(self._connector.connections),
            connects=self._connector.connects,
        )

    @property
    def trace(self) -> Trace | None:
        """The log of the conversation, if `trace=` asked for one."""
        return self._trace

    async def connect(self) -> None:
        """Connect now and load the schema, whatever the backoff says; returns at once if both are done.

        Cancel-safe: what was begun goes on for those who need it, until `close`.

        Raises:
            ConnectError, TlsError, ResolveError, PeerError: There is no connection.
            SchemaError: The schema does not load.
            RpcError: Server reflection failed.
            ClosedError: The channel is closed.
        """
        loop = asyncio.get_running_loop()
        self._connector.check_loop(loop)
        connecting = loop.create_task(
            self._connector.get(now=True), name=f"wirelane: first connection of {self}"
        )
        loading = loop.create_task(self._core.schema_ready(), name=f"wirelane: schema of {self}")
        try:
            await asyncio.wait((connecting, loading), return_when=asyncio.FIRST_EXCEPTION)
        finally:
            # Both only wait for work that others own.
            connecting.cancel()
            loading.cancel()
            await asyncio.wait((connecting, loading))
        for task in (connecting, loading):
            if not task.cancelled():
                task.result()

    async def close(self) -> None:
        """Close the connection; calls in flight end as CANCELLED. Idempotent; bounded by `limits.close_timeout`."""
        await self._core.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __str__(self) -> str:
        target = self._connector.target
        address, *more = target.addresses
        if more or not isinstance(address, HostPort):
            return target.text
        return f"{'grpc' if self._connector.tls is None else 'grpcs'}://{address}"

    def __repr__(self) -> str:
        connections, calls = len(self._connector.connections), self._core.active
        return (
            f"<Channel {self} {self.state} {connections} connection{'' if connections == 1 else 's'}, "
            f"{calls} call{'' if calls == 1 else 's'}>"
        )

    # ------------------------------------------------------------------------------------------- stubs

    def service(self, name: str) -> ServiceStub:
        """Return a service of the schema, its methods as attributes.

        Args:
            name: Its full name, or the end of it if only one service fits.

        Raises:
            UsageError: There is no such service, or the schema is not loaded.
        """
        schema = self.schema
        methods = {info.name: info for info in schema.methods(name)}
        full_name = schema.service_descriptor(name).full_name
        return ServiceStub(self, full_name, methods)

    def request(
        self,
        name: str,
        cardinality: Any,
        request_type: type[Any],
        reply_type: type[Any],
        *,
        timeout: float | None = None,
        deadline: Any = None,
        metadata: Any = None,
    ) -> CompatStream:
        """Open a call the way stubs generated by grpclib and betterproto2 do; see `wirelane.grpc.compat`.

        Args:
            name: "/pkg.Service/Method".
            cardinality: grpclib's `Cardinality`, or ours.
            request_type: The class of the requests.
            reply_type: The class of the replies.
            timeout: Seconds.
            deadline: grpclib's `Deadline`, or ours; with both, the earlier counts.
            metadata: A mapping or pairs.
        """
        method = compat_method(self._core, name, cardinality, request_type, reply_type)
        return CompatStream(self._core, method, compat_timeout(timeout, deadline), metadata)


def _keepalive(options: ChannelOptions) -> Keepalive | None:
    if options.keepalive_time is None:
        return None
    return Keepalive(
        options.keepalive_time, options.keepalive_timeout, without_calls=options.keepalive_without_calls
    )
