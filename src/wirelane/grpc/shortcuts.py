"""What can be done without making a channel by hand: `connect`, `call`, `reflect`."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from wirelane.core.deadline import Deadline
from wirelane.errors import DeadlineExceeded
from wirelane.grpc.awaiting import AwaitableCall
from wirelane.grpc.channel import Channel
from wirelane.grpc.methods import Method

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

    from wirelane.codec import Schema
    from wirelane.codec.formats import Codec
    from wirelane.codec.schema import SchemaSource
    from wirelane.core.limits import Limits
    from wirelane.core.metadata import MetadataLike
    from wirelane.grpc.options import ChannelOptions
    from wirelane.net.proxy import ProxyLike
    from wirelane.net.tls import TlsConfig
    from wirelane.net.trace import TraceLike
    from wirelane.schema import MethodInfo

T = TypeVar("T")

__all__ = ["Connecting", "call", "connect", "load_schema", "reflect"]


class Connecting(AwaitableCall[Channel]):
    """A channel on its way: await it, or enter it with `async with`, which also closes it."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        # Made now, so that Python warns of a connection that nobody awaits.
        self._coro = self._connect()

    def _coroutine(self) -> Coroutine[Any, Any, Channel]:
        return self._coro

    async def _connect(self) -> Channel:
        try:
            await self._channel.connect()
        except BaseException:
            await self._channel.close()
            raise
        return self._channel

    async def __aenter__(self) -> Channel:
        return await self._coro

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._channel.close()

    if not TYPE_CHECKING:  # to a type checker, the attribute is not there

        def __getattr__(self, name: str) -> object:
            hint = (
                f"; write `async with grpc.connect(...) as channel:` and use channel.{name}"
                if hasattr(Channel, name)
                else ""
            )
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{hint}")

    def __repr__(self) -> str:
        return f"<connecting {self._channel!r}>"


def connect(
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
) -> Connecting:
    """Connect to a server, and load the schema meanwhile: `async with grpc.connect(...) as channel`.

    Also `channel = await grpc.connect(...)`, with `await channel.close()` in the end. The arguments are those of
    `Channel`; how long connecting may take is `limits.connect_timeout`. Cancelled, it leaves nothing behind.

    Raises (when awaited or entered):
        ConnectError, ProxyError, TlsError, ResolveError, PeerError: There is no connection.
        SchemaError: The schema does not load.
        RpcError: Server reflection failed.

    Raises:
        UsageError: A setting cannot be; the error names it.
    """
    channel = Channel(
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
    return Connecting(channel)


async def call(
    target: str,
    method: str | Method[Any, Any] | MethodInfo,
    request: object = None,
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
) -> Any:
    """Connect, make one call of any kind, and close. Cancelled, it leaves nothing behind.

    Args:
        target: As in `Channel`, and so are all that are not named here.
        method: "pkg.Service/Method", or a `Method`.
        request: One request; for a method that takes many, an iterable of them (asynchronous or not).
        schema: As in `Channel`.
        codec: As in `Channel`.
        tls: As in `Channel`.
        proxy: As in `Channel`.
        metadata: Of the call.
        timeout: Seconds for everything: connecting, the schema, the call.
        compression: As in `Channel`.
        limits: As in `Channel`.
        options: As in `Channel`.
        trace: As in `Channel`.

    Returns:
        The reply; a list of the replies if the method streams them.

    Raises:
        ConnectError, ProxyError, TlsError, ResolveError, PeerError, SchemaError: As `connect`.
        RpcError: The call failed; DeadlineExceeded if `timeout` was not enough.
        CodecError, UsageError: As `Channel.unary`.
    """
    deadline = Deadline.after(timeout)
    channel = Channel(
        target,
        schema=schema,
        codec=codec,
        tls=tls,
        proxy=proxy,
        metadata=metadata,
        compression=compression,
        limits=limits,
        options=options,
        trace=trace,
    )
    async with channel:
        # Of a server, no more of the schema is asked for than the method needs.
        by_name = schema == "reflection" and not isinstance(method, Method)
        await _within(timeout, target, channel.reflect(str(method)) if by_name else channel.connect())
        left = None if deadline is None else deadline.remaining()
        return await channel.call(method, request, timeout=left)


async def _within(timeout: float | None, target: str, work: Coroutine[Any, Any, T]) -> T:
    """Wait for what comes before a call.

    Raises:
        DeadlineExceeded: It took longer than `timeout` seconds.
    """
    scope = asyncio.timeout(timeout)
    try:
        async with scope:
            return await work
    except TimeoutError as error:
        if not scope.expired():
            raise
        raise DeadlineExceeded(f"no connection to {target} in {timeout:g} s") from error


async def reflect(
    target: str,
    symbol: str | None = None,
    *,
    tls: bool | TlsConfig | ssl.SSLContext | None = None,
    proxy: ProxyLike = None,
    metadata: MetadataLike | None = None,
    timeout: float | None = None,
    limits: Limits | None = None,
    options: ChannelOptions | None = None,
    trace: TraceLike = None,
) -> Schema:
    """Connect, ask the server for its schema (server reflection, v1 or v1alpha), and close.

    Cancelled, it leaves nothing behind.

    Args:
        target: As in `Channel`, and so are all that are not named here.
        symbol: Only what this needs: a service, a method or a message; None: all services.
        tls: As in `Channel`.
        proxy: As in `Channel`.
        metadata: Sent with the reflection calls.
        timeout: Seconds for everything; asking alone takes `limits.schema_timeout` at most.
        limits: As in `Channel`; `max_schema_files` and `max_schema_bytes` bound what is taken.
        options: As in `Channel`.
        trace: As in `Channel`.

    Raises:
        ConnectError, ProxyError, TlsError, ResolveError, PeerError: There is no connection.
        RpcError: The server has no reflection (UNIMPLEMENTED), or it failed; DeadlineExceeded if `timeout` was not
            enough.
        SchemaError: What the server sent does not link.
        LimitExceeded: It sent too much.
        UsageError: There is no such symbol; the error names the nearest.
    """
    Deadline.after(timeout)  # refuses what is no timeout
    channel = Channel(
        target, tls=tls, proxy=proxy, metadata=metadata, limits=limits, options=options, trace=trace
    )
    async with channel:
        return await _within(timeout, target, channel.reflect(symbol))


load_schema = reflect
