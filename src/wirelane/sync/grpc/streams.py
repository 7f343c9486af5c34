"""Calls in which one side or both send many messages.

Made of `wirelane.grpc.streams` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from wirelane.core.deadline import Deadline
from wirelane.core.metadata import Metadata
from wirelane.errors import Detail
from wirelane.grpc.streams import BidiStreamCall as AsyncBidiStreamCall
from wirelane.grpc.streams import ClientStreamCall as AsyncClientStreamCall
from wirelane.grpc.streams import Req, Res
from wirelane.grpc.streams import ServerStreamCall as AsyncServerStreamCall
from wirelane.status import StatusCode
from wirelane.sync._blocks import Entering, leave
from wirelane.sync._facade import facade_of
from wirelane.sync._portal import call, run
from wirelane.sync._streams import Receives, SendsAndReceives, SendsForOne

__all__ = ["BidiStreamCall", "ClientStreamCall", "ServerStreamCall"]


@facade_of(AsyncServerStreamCall)
class ServerStreamCall(Receives[Res]):
    """One request, many replies.

    with channel.server_stream(method, request) as stream:
        for message in stream: ...
    """

    __slots__ = ()

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

    def initial_metadata(self) -> Metadata:
        """Return what the server sends before its first message.

        Raises:
            RpcError: The call ended without initial metadata, and with an error.
        """
        return run(self._inner.initial_metadata)

    @property
    def deadline(self) -> Deadline | None:
        """When the call must be over, or None."""
        return self._inner.deadline

    @property
    def status(self) -> StatusCode | None:
        """The status once the call has ended, else None."""
        return self._inner.status

    @property
    def message(self) -> str:
        """The text that came with the status; empty before the end."""
        return self._inner.message

    @property
    def details(self) -> tuple[Detail, ...]:
        """The details that came with the status, as in `RpcError.details`."""
        return self._inner.details

    @property
    def trailing_metadata(self) -> Metadata | None:
        """The metadata that came with the status; None before the end."""
        return self._inner.trailing_metadata

    @property
    def peer(self) -> str | None:
        """The address of the server; None before the call was sent."""
        return self._inner.peer

    @property
    def received_compressed(self) -> bool:
        """Whether the message received last travelled compressed; False before the first."""
        return self._inner.received_compressed

    @property
    def attempts(self) -> int:
        """How many times the call was sent."""
        return self._inner.attempts

    @property
    def method(self) -> str:
        """The method called, as "pkg.Service/Method"."""
        return self._inner.method


@facade_of(AsyncClientStreamCall)
class ClientStreamCall(SendsForOne[Req, Res]):
    """Many requests, one reply.

    with channel.client_stream(method) as stream:
        stream.send(message)
        reply = stream.finish()
    """

    __slots__ = ()

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

    def initial_metadata(self) -> Metadata:
        """Return what the server sends before its first message.

        Raises:
            RpcError: The call ended without initial metadata, and with an error.
        """
        return run(self._inner.initial_metadata)

    @property
    def deadline(self) -> Deadline | None:
        """When the call must be over, or None."""
        return self._inner.deadline

    @property
    def status(self) -> StatusCode | None:
        """The status once the call has ended, else None."""
        return self._inner.status

    @property
    def message(self) -> str:
        """The text that came with the status; empty before the end."""
        return self._inner.message

    @property
    def details(self) -> tuple[Detail, ...]:
        """The details that came with the status, as in `RpcError.details`."""
        return self._inner.details

    @property
    def trailing_metadata(self) -> Metadata | None:
        """The metadata that came with the status; None before the end."""
        return self._inner.trailing_metadata

    @property
    def peer(self) -> str | None:
        """The address of the server; None before the call was sent."""
        return self._inner.peer

    @property
    def received_compressed(self) -> bool:
        """Whether the message received last travelled compressed; False before the first."""
        return self._inner.received_compressed

    @property
    def attempts(self) -> int:
        """How many times the call was sent."""
        return self._inner.attempts

    def cancel(self) -> None:
        """Cancel the call: whoever waits for it gets `RpcError` CANCELLED. Nothing happens once it has ended."""
        call(self._inner.cancel)

    @property
    def method(self) -> str:
        """The method called, as "pkg.Service/Method"."""
        return self._inner.method


@facade_of(AsyncBidiStreamCall)
class BidiStreamCall(SendsAndReceives[Req, Res]):
    """Many requests, many replies, in any order.

        with channel.bidi_stream(method) as stream:
            stream.send(message)
            reply = stream.receive()
            stream.done_sending()

    With `messages`, they are sent in the background: only receive.
    """

    __slots__ = ()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        leave(self._inner, kind, error, traceback)

    def __enter__(self) -> Self:
        entering = Entering(self._inner)
        try:
            entering.enter()
            return self
        except BaseException:
            entering.undo()
            raise

    def initial_metadata(self) -> Metadata:
        """Return what the server sends before its first message.

        Raises:
            RpcError: The call ended without initial metadata, and with an error.
        """
        return run(self._inner.initial_metadata)

    @property
    def deadline(self) -> Deadline | None:
        """When the call must be over, or None."""
        return self._inner.deadline

    @property
    def status(self) -> StatusCode | None:
        """The status once the call has ended, else None."""
        return self._inner.status

    @property
    def message(self) -> str:
        """The text that came with the status; empty before the end."""
        return self._inner.message

    @property
    def details(self) -> tuple[Detail, ...]:
        """The details that came with the status, as in `RpcError.details`."""
        return self._inner.details

    @property
    def trailing_metadata(self) -> Metadata | None:
        """The metadata that came with the status; None before the end."""
        return self._inner.trailing_metadata

    @property
    def peer(self) -> str | None:
        """The address of the server; None before the call was sent."""
        return self._inner.peer

    @property
    def received_compressed(self) -> bool:
        """Whether the message received last travelled compressed; False before the first."""
        return self._inner.received_compressed

    @property
    def attempts(self) -> int:
        """How many times the call was sent."""
        return self._inner.attempts

    @property
    def method(self) -> str:
        """The method called, as "pkg.Service/Method"."""
        return self._inner.method
