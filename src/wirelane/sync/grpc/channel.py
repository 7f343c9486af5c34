"""Channels: calls to one server, from any thread.

Made of `wirelane.grpc.channel` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self, cast, overload

from wirelane.codec import Schema
from wirelane.codec.formats import Codec
from wirelane.codec.schema import SchemaSource
from wirelane.core.limits import Limits
from wirelane.core.metadata import Metadata, MetadataLike
from wirelane.grpc.call_forms import Req, Res
from wirelane.grpc.channel import Channel as AsyncChannel
from wirelane.grpc.methods import Method
from wirelane.grpc.options import ChannelOptions, ChannelState, ChannelStats
from wirelane.grpc.script import Step
from wirelane.grpc.stub import ServiceStub
from wirelane.net.proxy import ProxyLike
from wirelane.net.tls import TlsConfig
from wirelane.net.trace import Trace, TraceLike
from wirelane.schema import MethodInfo
from wirelane.sync._blocks import Entering, leave
from wirelane.sync._channel import ChannelFacade
from wirelane.sync._facade import facade_of
from wirelane.sync._feeding import feed
from wirelane.sync._portal import run
from wirelane.sync._streams import send_all
from wirelane.sync.grpc.streams import BidiStreamCall, ClientStreamCall, ServerStreamCall

__all__ = ["Channel"]


@facade_of(AsyncChannel)
class Channel(ChannelFacade):
    """Calls to one server, over a connection that is made when it is needed.

    The constructor does no I/O. A lost connection is made again by the next call, after a failure not before a backoff
    has passed; until then calls fail at once with UNAVAILABLE, whose `__cause__` is what went wrong, unless they are
    made with `wait_for_ready=True`. Any number of threads may share a channel. It is closed with `close` or `with`.

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

    __slots__ = ()

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
        self._make(
            AsyncChannel,
            target,
            schema=schema,
            codec=codec,
            tls=tls,
            proxy=proxy,
            metadata=metadata,
            timeout=timeout,
            compression=compression,
            limits=limits,
            options=options,
            trace=trace,
        )

    def reflect(self, symbol: str | None = None) -> Schema:
        """Ask the server for its schema (server reflection, v1 or v1alpha), whatever the schema of the channel is.

        What the server has told is kept with the channel, and not asked for again.

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
        return run(self._inner.reflect, symbol)

    def list_services(self) -> list[str]:
        """Ask the server for the names of its services (server reflection), also of those that it does not describe.

        They are in the order of the server, and not asked for again.

        Raises:
            ConnectError, TlsError, ResolveError, PeerError: There is no connection.
            RpcError: The server has no reflection (UNIMPLEMENTED), or it failed.
        """
        return run(self._inner.list_services)

    @property
    def metadata(self) -> Metadata:
        """The metadata of every call; change it in place, or assign what `Metadata` takes."""
        return self._inner.metadata

    @metadata.setter
    def metadata(self, metadata: MetadataLike) -> None:  # pyright: ignore[reportPropertyTypeMismatch]
        self._inner.metadata = metadata

    @property
    def schema(self) -> Schema:
        """The schema of the channel.

        Raises:
            UsageError: It has none, or it is not loaded yet; calls alone do not ask a server for all of it.
        """
        return self._inner.schema

    @property
    def target(self) -> str:
        """Where the channel goes, as it was given."""
        return self._inner.target

    @property
    def state(self) -> ChannelState:
        """Where the connection stands."""
        return self._inner.state

    @property
    def stats(self) -> ChannelStats:
        """Counts of calls and connections so far."""
        return self._inner.stats

    @property
    def trace(self) -> Trace | None:
        """The log of the conversation, if `trace=` asked for one."""
        return self._inner.trace

    def connect(self) -> None:
        """Connect now and load the schema, whatever the backoff says; returns at once if both are done.

        Interrupted: what was begun goes on for those who need it, until `close`.

        Raises:
            ConnectError, TlsError, ResolveError, PeerError: There is no connection.
            SchemaError: The schema does not load.
            RpcError: Server reflection failed.
            ClosedError: The channel is closed.
        """
        run(self._inner.connect)

    def close(self) -> None:
        """Close the connection; calls in flight end as CANCELLED. Idempotent; bounded by `limits.close_timeout`."""
        run(self._inner.close)

    def __enter__(self) -> Self:
        entering = Entering(self._inner)
        try:
            entering.enter()
            return self
        except BaseException:
            entering.undo()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        leave(self._inner, kind, error, traceback)

    def __str__(self) -> str:
        return str(self._inner)

    def service(self, name: str) -> ServiceStub:
        """Return a service of the schema, its methods as attributes.

        Args:
            name: Its full name, or the end of it if only one service fits.

        Raises:
            UsageError: There is no such service, or the schema is not loaded.
        """
        return self._service(name)

    @overload
    def unary(
        self,
        method: Method[Req, Res],
        request: Req,
        *,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> Res: ...

    @overload
    def unary(
        self,
        method: str | MethodInfo,
        request: object = None,
        *,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> Any: ...

    def unary(
        self,
        method: str | Method[Any, Any] | MethodInfo,
        request: object = None,
        *,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> Any:
        """Call a method that takes one request and gives one reply: `reply = channel.unary(method, request)`.

        Args:
            method: "pkg.Service/Method", "pkg.Service.Method" (by the schema), or a `Method` with message types.
            request: A dict, or a typed message; None is an empty message.
            timeout: Seconds from now; `math.inf` for none where the channel has one.
            metadata: Joined to the channel's, whose names it replaces.
            compression: "gzip" or "deflate"; "identity" for none where the channel has one.
            wait_for_ready: Wait for a connection for as long as the deadline allows.

        Returns:
            The reply; or it raises RpcError, CodecError (the request does not
            encode; nothing was sent) or UsageError.
        """
        return self._unary(method, request, timeout, metadata, compression, wait_for_ready)

    @overload
    def server_stream(
        self,
        method: Method[Req, Res],
        request: Req,
        *,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> ServerStreamCall[Res]: ...

    @overload
    def server_stream(
        self,
        method: str | MethodInfo,
        request: object = None,
        *,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> ServerStreamCall[Any]: ...

    def server_stream(
        self,
        method: str | Method[Any, Any] | MethodInfo,
        request: object = None,
        *,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> ServerStreamCall[Any]:
        """Call a method that answers one request with many messages; use it with `with`, then `for`."""
        return self._made(
            ServerStreamCall[Any],
            self._inner.server_stream,
            method,
            request,
            timeout=timeout,
            metadata=metadata,
            compression=compression,
            wait_for_ready=wait_for_ready,
        )

    @overload
    def client_stream(
        self,
        method: Method[Req, Res],
        messages: None = None,
        *,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> ClientStreamCall[Req, Res]: ...

    @overload
    def client_stream(
        self,
        method: Method[Req, Res],
        messages: Iterable[Req],
        *,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> Res: ...

    @overload
    def client_stream(
        self,
        method: str | MethodInfo,
        messages: None = None,
        *,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> ClientStreamCall[Any, Any]: ...

    @overload
    def client_stream(
        self,
        method: str | MethodInfo,
        messages: Iterable[Any],
        *,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> Any: ...

    def client_stream(
        self,
        method: str | Method[Any, Any] | MethodInfo,
        messages: Iterable[Any] | None = None,
        *,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> ClientStreamCall[Any, Any] | Any:
        """Call a method that answers many requests with one message.

        Without `messages`: `with channel.client_stream(method) as stream`, then `send` and `finish`. With an
        iterable: `reply = channel.client_stream(method, messages)`.
        """
        stream = self._made(
            ClientStreamCall[Any, Any],
            self._inner.client_stream,
            method,
            timeout=timeout,
            metadata=metadata,
            compression=compression,
            wait_for_ready=wait_for_ready,
        )
        return stream if messages is None else send_all(stream, messages)

    @overload
    def bidi_stream(
        self,
        method: Method[Req, Res],
        messages: Iterable[Req] | None = None,
        *,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> BidiStreamCall[Req, Res]: ...

    @overload
    def bidi_stream(
        self,
        method: str | MethodInfo,
        messages: Iterable[Any] | None = None,
        *,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> BidiStreamCall[Any, Any]: ...

    def bidi_stream(
        self,
        method: str | Method[Any, Any] | MethodInfo,
        messages: Iterable[Any] | None = None,
        *,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> BidiStreamCall[Any, Any]:
        """Call a method in which both sides send many messages; use it with `with`.

        With an iterable, its messages are sent in the background.
        """
        return self._made(
            BidiStreamCall[Any, Any],
            self._inner.bidi_stream,
            method,
            feed(messages),
            timeout=timeout,
            metadata=metadata,
            compression=compression,
            wait_for_ready=wait_for_ready,
        )

    @overload
    def collect(
        self,
        method: Method[Req, Res],
        request: Req | Iterable[Req] | None = None,
        *,
        limit: int | None = None,
        into: list[Res] | None = None,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> list[Res]: ...

    @overload
    def collect(
        self,
        method: str | MethodInfo,
        request: object = None,
        *,
        limit: int | None = None,
        into: list[Any] | None = None,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> list[Any]: ...

    def collect(
        self,
        method: str | Method[Any, Any] | MethodInfo,
        request: object = None,
        *,
        limit: int | None = None,
        into: list[Any] | None = None,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> list[Any]:
        """Call a method of any kind and return its replies as a list. Interrupted (Ctrl-C), it cancels the call.

        Args:
            method: As in `unary`.
            request: One request; for a method that takes many, an iterable of them.
            limit: Stop after so many replies, and cancel the rest of the call.
            into: A list to append the replies to, so that those before an error are not lost; it is returned.
            timeout: As in every call.
            metadata: As in every call.
            compression: As in every call.
            wait_for_ready: As in every call.

        Raises:
            RpcError, CodecError, UsageError: As the call of that kind.
        """
        return run(
            cast("Any", self._inner).collect,
            method,
            feed(request),
            limit=limit,
            into=into,
            timeout=timeout,
            metadata=metadata,
            compression=compression,
            wait_for_ready=wait_for_ready,
        )

    def call(
        self,
        method: str | Method[Any, Any] | MethodInfo,
        request: object = None,
        *,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> Any:
        """Call a method of any kind; return its reply, or the list of its replies if it streams them.

        The arguments are those of `collect`, and so are the errors. Interrupted (Ctrl-C), it cancels the call.
        """
        return run(
            self._inner.call,
            method,
            feed(request),
            timeout=timeout,
            metadata=metadata,
            compression=compression,
            wait_for_ready=wait_for_ready,
        )

    @overload
    def exchange(
        self,
        method: Method[Req, Res],
        script: Iterable[Step],
        *,
        rest: bool = True,
        into: list[Res] | None = None,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> list[Res]: ...

    @overload
    def exchange(
        self,
        method: str | MethodInfo,
        script: Iterable[Step],
        *,
        rest: bool = True,
        into: list[Any] | None = None,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> list[Any]: ...

    def exchange(
        self,
        method: str | Method[Any, Any] | MethodInfo,
        script: Iterable[Step],
        *,
        rest: bool = True,
        into: list[Any] | None = None,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> list[Any]:
        """Run a script on a bidi stream, step by step, and return the messages received.

        Interrupted (Ctrl-C), it cancels the call.

        Args:
            method: As in `unary`.
            script: `grpc.Send(message)`, `grpc.Receive(count, timeout)` and `grpc.DoneSending()`, in order.
            rest: After the script, receive what is left until the server ends the call; False cancels it instead.
            into: A list to append the messages to, so that those before an error are not lost; it is returned.
            timeout: As in every call.
            metadata: As in every call.
            compression: As in every call.
            wait_for_ready: As in every call.

        Raises:
            EndOfStream: The server ended the call before a step had what it waits for.
            ReadTimeout: A `Receive` got no message in its time.
            RpcError, CodecError, UsageError: As in `bidi_stream`.
        """
        return run(
            cast("Any", self._inner).exchange,
            method,
            tuple(script),
            rest=rest,
            into=into,
            timeout=timeout,
            metadata=metadata,
            compression=compression,
            wait_for_ready=wait_for_ready,
        )
