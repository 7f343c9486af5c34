"""Calls with one request and one reply, as objects.

Made of `wirelane.grpc.unary` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

from wirelane.core.deadline import Deadline
from wirelane.core.metadata import Metadata
from wirelane.errors import Detail
from wirelane.grpc.unary import Res
from wirelane.grpc.unary import UnaryCall as AsyncUnaryCall
from wirelane.status import StatusCode
from wirelane.sync._facade import facade_of
from wirelane.sync._portal import call, run
from wirelane.sync._unary import UnaryFacade

__all__ = ["UnaryCall"]


@facade_of(AsyncUnaryCall)
class UnaryCall(UnaryFacade[Res]):
    """A unary call that was begun: `reply = call.reply()`.

    It is made whether or not anybody waits for it, and ends with its reply, its deadline or its channel.
    Any thread may wait for it or cancel it.
    """

    __slots__ = ()

    def initial_metadata(self) -> Metadata:
        """Return what the server sends before its reply.

        Raises:
            RpcError: The call ended without initial metadata, and with an error.
        """
        return run(self._inner.initial_metadata)

    def cancel(self) -> None:
        """Cancel the call: whoever waits for it gets `RpcError` CANCELLED. Nothing happens once it has ended."""
        call(self._inner.cancel)

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
