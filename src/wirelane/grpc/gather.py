"""One call of any kind with all of its replies in a list."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from wirelane.core.method import Cardinality
from wirelane.errors import UsageError

if TYPE_CHECKING:
    from wirelane.grpc.call_forms import CallForms
    from wirelane.grpc.methods import MethodLike
    from wirelane.grpc.streams import Messages

__all__ = ["collect_messages", "messages_of"]


def messages_of(request: object) -> Messages[Any]:
    """Return the requests of a stream: an iterable as it is, one message as the only one, None as none."""
    if request is None:
        return ()
    if isinstance(request, AsyncIterable):
        return request
    # Some messages are iterable themselves: dicts, bytes, and protobuf's Struct and ListValue.
    single = isinstance(request, Mapping | bytes | str) or hasattr(request, "DESCRIPTOR")
    return request if isinstance(request, Iterable) and not single else (request,)


async def collect_messages(
    channel: CallForms,
    method: MethodLike,
    cardinality: Cardinality,
    request: object,
    *,
    limit: int | None,
    into: list[Any],
    **options: Any,
) -> list[Any]:
    """See `Channel.collect`; `options` are those of every call."""
    if limit is not None and limit < 1:
        raise UsageError(f"limit is a number of messages from 1 up, not {limit!r}")
    if cardinality is Cardinality.UNARY:
        into.append(await channel.unary(method, request, **options))
        return into
    if cardinality is Cardinality.CLIENT_STREAM:
        into.append(await channel.client_stream(method, messages_of(request), **options))
        return into
    if cardinality is Cardinality.SERVER_STREAM:
        call: Any = channel.server_stream(method, request, **options)
    else:
        call = channel.bidi_stream(method, messages_of(request), **options)
    count = 0
    async with call as stream:
        async for message in stream:
            into.append(message)
            count += 1
            if count == limit:
                break
    return into
