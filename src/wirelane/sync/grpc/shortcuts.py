"""Connecting, and calls without a channel.

Made of `wirelane.grpc.shortcuts` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

import ssl
from typing import Any

from wirelane.codec import Schema
from wirelane.codec.formats import Codec
from wirelane.codec.schema import SchemaSource
from wirelane.core.limits import Limits
from wirelane.core.metadata import MetadataLike
from wirelane.grpc.methods import Method
from wirelane.grpc.options import ChannelOptions
from wirelane.grpc.shortcuts import call as async_call
from wirelane.grpc.shortcuts import reflect as async_reflect
from wirelane.net.proxy import ProxyLike
from wirelane.net.tls import TlsConfig
from wirelane.net.trace import TraceLike
from wirelane.schema import MethodInfo
from wirelane.sync._feeding import feed
from wirelane.sync._portal import run
from wirelane.sync.grpc.channel import Channel

__all__ = ["call", "connect", "reflect"]


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
) -> Channel:
    """Connect to a server, and load the schema meanwhile: `with grpc.connect(...) as channel`.

    Also `channel = grpc.connect(...)`, with `channel.close()` in the end. The arguments are those of
    `Channel`; how long connecting may take is `limits.connect_timeout`. Interrupted (Ctrl-C), it leaves nothing behind.

    Raises:
        ConnectError, ProxyError, TlsError, ResolveError, PeerError: There is no connection.
        SchemaError: The schema does not load.
        RpcError: Server reflection failed.
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
    try:
        channel._connect()
        return channel
    except BaseException:
        channel.close()
        raise


def call(
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
    """Connect, make one call of any kind, and close. Interrupted (Ctrl-C), it leaves nothing behind.

    Args:
        target: As in `Channel`, and so are all that are not named here.
        method: "pkg.Service/Method", or a `Method`.
        request: One request; for a method that takes many, an iterable of them.
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
    return run(
        async_call,
        target,
        method,
        feed(request),
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


def reflect(
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

    Interrupted (Ctrl-C), it leaves nothing behind.

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
    return run(
        async_reflect,
        target,
        symbol,
        tls=tls,
        proxy=proxy,
        metadata=metadata,
        timeout=timeout,
        limits=limits,
        options=options,
        trace=trace,
    )
