"""Services written for grpclib and betterproto2, run unchanged.

Their generated bases have `__mapping__()`: path -> `Handler(func, cardinality, request_type, reply_type)`, and each
`func` drives its call through a stream object. `StreamAdapter` has the interface of `grpclib.server.Stream` on top of
our `Call`; grpclib itself is never imported: where a handler may look for its types (the multidict of the metadata,
its `Deadline`), they are taken from `sys.modules`, since such a service cannot be there without them.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

from wirelane.codec import codec_for
from wirelane.core.metadata import Metadata
from wirelane.core.method import Cardinality, method_path, split_method
from wirelane.errors import RpcError, UsageError
from wirelane.grpc.server.router import Route
from wirelane.status import StatusCode
from wirelane.transport.base import CallEnded

if TYPE_CHECKING:
    from wirelane.core.deadline import Deadline
    from wirelane.core.metadata import MetadataLike
    from wirelane.grpc.server.handler import Call
    from wirelane.transport.base import Peer

__all__ = ["HasMapping", "StreamAdapter", "StreamPeer", "mapping_routes"]


@runtime_checkable
class HasMapping(Protocol):
    """A service in grpclib's sense."""

    def __mapping__(self) -> Mapping[str, object]:
        """Return a handler for each path."""
        ...


def mapping_routes(service: HasMapping) -> list[Route]:
    """Return the routes of a service with `__mapping__()`.

    Raises:
        UsageError: An entry is not what grpclib's generated code makes.
    """
    return [_route(service, path, entry) for path, entry in service.__mapping__().items()]


def _route(service: object, path: str, entry: object) -> Route:
    missing = [
        field for field in ("func", "cardinality", "request_type", "reply_type") if not hasattr(entry, field)
    ]
    if missing:
        raise UsageError(
            f"{type(service).__name__}.__mapping__()[{path!r}] has no {missing[0]}; "
            "it must be a Handler(func, cardinality, request_type, reply_type)"
        )
    handler = cast("_MappingEntry", entry)
    return Route(
        path=method_path(*split_method(path)),
        cardinality=Cardinality.of(
            handler.cardinality.client_streaming, handler.cardinality.server_streaming
        ),
        handler=handler.func,
        request=codec_for(handler.request_type),
        reply=codec_for(handler.reply_type),
        types=(handler.request_type, handler.reply_type),
        adapter=StreamAdapter,
    )


class _MappingCardinality(Protocol):
    client_streaming: bool
    server_streaming: bool


class _MappingEntry(Protocol):
    func: Callable[[StreamAdapter], object]
    cardinality: _MappingCardinality
    request_type: type
    reply_type: type


class StreamPeer:
    """Who calls, with the interface of `grpclib.protocol.Peer`."""

    __slots__ = ("_peer",)

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def addr(self) -> tuple[str, int] | str:
        """Return (host, port), or the path of a unix socket."""
        host, separator, port = self._peer.address.rpartition(":")
        if separator and port.isdigit():
            return host.removeprefix("[").removesuffix("]"), int(port)
        return self._peer.address

    def cert(self) -> dict[str, object] | None:
        """Return the verified certificate, as `ssl.SSLSocket.getpeercert` gives it."""
        return self._peer.certificate

    def __repr__(self) -> str:
        return f"<StreamPeer {self._peer}>"


class StreamAdapter:
    """One call, with the interface of `grpclib.server.Stream`."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._head_sent = False
        self._trailers_sent = False
        self._cancelled = False
        self._message_sent = False
        self._only_received = False
        # The reply of a call that answers once waits here, so that it leaves in one piece with the trailers, and
        # not at all if the handler fails after it.
        self._reply: object = None
        self.metadata = _as_multidict(call.stream.metadata)
        self.deadline = _as_deadline(call.stream.deadline)
        self.user_agent = call.stream.metadata.get("user-agent")
        self.peer = StreamPeer(call.stream.peer)

    async def recv_message(self) -> object:
        """Return the next request; None at the end."""
        call = self._call
        if call.route.client_streaming:
            part = await call.receive_part()
            return None if part is None else call.decode(part)
        if self._only_received:
            return None
        self._only_received = True
        return await call.receive_only()

    def __aiter__(self) -> AsyncIterator[object]:
        return self

    async def __anext__(self) -> object:
        message = await self.recv_message()
        if message is None:
            raise StopAsyncIteration
        return message

    async def send_initial_metadata(self, *, metadata: MetadataLike | None = None) -> None:
        """Send the response head. Raises UsageError the second time."""
        self._call.send_head(Metadata(metadata))

    async def send_message(self, message: object) -> None:
        """Send a reply. Raises UsageError for the second reply of a method that answers once."""
        if self._call.route.server_streaming:
            self._message_sent = True
            try:
                await self._call.send(message)
            except CallEnded as ended:
                raise RpcError(ended.ending.code, ended.ending.message) from ended
            return
        if self._message_sent:
            raise UsageError(f"{self._call.route.name} answers with one message, and it was sent already")
        self._message_sent = True
        self._reply = message

    async def send_trailing_metadata(
        self,
        *,
        status: object = StatusCode.OK,
        status_message: str | None = None,
        status_details: object = None,
        metadata: MetadataLike | None = None,
    ) -> None:
        """End the call. `status` is a `StatusCode`, a number, a name or a `grpclib.const.Status`."""
        if self._trailers_sent:
            raise UsageError("the trailing metadata has been sent already")
        code = StatusCode.of(cast("int | str", getattr(status, "value", status)))
        trailing = Metadata(metadata)
        if code is StatusCode.OK:
            if not self._call.route.server_streaming and not self._message_sent:
                raise UsageError(
                    f"{self._call.route.name} answers with one message; OK needs one to be sent before"
                )
            self._call.trailing_metadata().update(trailing)
            self.close()
            return
        self._trailers_sent = True
        details: Sequence[object] = tuple(status_details) if isinstance(status_details, (list, tuple)) else ()
        self._call.answer_status(code, status_message or "", details, trailing)

    async def cancel(self) -> None:
        """Reset the call without a status."""
        self._cancelled = True
        self._call.stream.reset()

    def close(self) -> None:
        """End the call with OK, unless it has ended; what a handler that returned means.

        Raises:
            UsageError: A method that answers with one message sent none.
        """
        if self._trailers_sent or self._cancelled:
            return
        if self._call.route.server_streaming:
            self._trailers_sent = True
            self._call.finish_ok()
        elif self._message_sent:
            self._trailers_sent = True
            self._call.finish_with(self._reply)
        elif not self._call.stream.ended:
            raise UsageError(f"the handler of {self._call.route.name} returned without sending its one reply")

    def __repr__(self) -> str:
        return f"<StreamAdapter of {self._call!r}>"


def _as_multidict(metadata: Metadata) -> object:
    """Return the metadata as grpclib gives it: a MultiDict, without the user agent."""
    module = sys.modules.get("multidict")
    pairs = [(name, value) for name, value in metadata.items() if name != "user-agent"]
    return Metadata(pairs) if module is None else module.MultiDict(pairs)


def _as_deadline(deadline: Deadline | None) -> object:
    """Return the deadline as grpclib's (`time_remaining()`) where it is loaded, else as ours."""
    module = sys.modules.get("grpclib.metadata")
    if deadline is None or module is None:
        return deadline
    return module.Deadline.from_timeout(deadline.remaining())
