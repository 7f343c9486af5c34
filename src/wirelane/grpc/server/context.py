"""What a handler sees of the call it answers.

A `Context` belongs to one call and to the task that runs its handler. Reading it costs nothing; what it changes
(initial and trailing metadata, compression) takes effect at the moment the head or the trailers leave.
"""

from __future__ import annotations

from collections.abc import Awaitable, Generator, Sequence
from typing import TYPE_CHECKING, NoReturn

from wirelane.core import compression
from wirelane.core.metadata import Metadata
from wirelane.errors import UsageError, rpc_error
from wirelane.status import StatusCode

if TYPE_CHECKING:
    from wirelane.core.deadline import Deadline
    from wirelane.core.metadata import MetadataLike
    from wirelane.grpc.server.handler import Call
    from wirelane.transport.base import Peer

__all__ = ["Context", "Done"]


class Done(Awaitable[None]):
    """An awaitable of something that has happened already: awaiting it is allowed, and not needed."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        return
        yield


_DONE = Done()


class Context:
    """One call, as its handler sees it: who calls, until when, and how to answer beside the messages.

    Handlers take it as their second argument if they have one.
    """

    __slots__ = ("_call",)

    def __init__(self, call: Call) -> None:
        self._call = call

    @property
    def method(self) -> str:
        """The method called, as "pkg.Service/Method"."""
        return self._call.route.name

    @property
    def metadata(self) -> Metadata:
        """The metadata the client sent."""
        return self._call.stream.metadata

    @property
    def peer(self) -> Peer:
        """Who calls: address, and the verified certificate with mutual TLS."""
        return self._call.stream.peer

    @property
    def authority(self) -> str:
        """The name the client addressed this server by."""
        return self._call.stream.authority

    @property
    def deadline(self) -> Deadline | None:
        """When the client gives up, or None. The server cancels the handler at that moment."""
        return self._call.stream.deadline

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the answer any more: the client cancelled, was lost, or the deadline passed."""
        return self._call.cancelled or self._call.stream.cancelled

    @property
    def request_compressed(self) -> bool:
        """Whether the request message received last travelled compressed; False before the first."""
        return self._call.request_compressed

    @property
    def trailing_metadata(self) -> Metadata:
        """The metadata that will go out with the status, on success and on failure. Mutable."""
        return self._call.trailing_metadata()

    @trailing_metadata.setter
    def trailing_metadata(self, metadata: Metadata) -> None:
        self._call.trailing = Metadata(metadata)

    def time_remaining(self) -> float | None:
        """Return the seconds left until the deadline (0 when it has passed), or None without a deadline."""
        deadline = self._call.stream.deadline
        return None if deadline is None else deadline.remaining()

    def send_initial_metadata(self, metadata: MetadataLike | None = None) -> Awaitable[None]:
        """Send the response head now, with `metadata`; without this it goes out empty with the first message.

        It is done when this returns; `await` is accepted because other servers need it there.

        Raises:
            UsageError: The head has been sent, or a name is reserved.
        """
        self._call.send_head(Metadata(metadata))
        return _DONE

    def set_compression(self, name: str | None) -> None:
        """Compress the messages sent from here on with `name` ("gzip", "deflate"); None or "identity": do not.

        What the client does not accept is sent as it is. The encoding is announced in the head; once the head has
        gone, this only turns that encoding on and off.

        Raises:
            UsageError: Not an encoding this library knows, or the head has gone and announced another one.
        """
        if name is not None and name != "identity" and name not in compression.SUPPORTED:
            known = ", ".join(compression.SUPPORTED)
            raise UsageError(f"compression={name!r} is not known here; known are {known}")
        self._call.set_compression(None if name == "identity" else name)

    def disable_next_message_compression(self) -> None:
        """Send the next message uncompressed, whatever the compression of the call is."""
        self._call.skip_compression = True

    def abort(
        self,
        code: StatusCode | int | str,
        message: str = "",
        details: Sequence[object] = (),
    ) -> NoReturn:
        """End the call with a status, by raising the `RpcError` that says so.

        Args:
            code: Any status but OK.
            message: For the client's developer.
            details: `google.rpc` details: dicts with "@type", or messages of any library. A client takes 8 KiB of
                trailers for certain.

        Raises:
            RpcError: Always; the trailing metadata of this context goes with it.
            UsageError: `code` is OK.
        """
        status = StatusCode.of(code)
        if status is StatusCode.OK:
            raise UsageError("abort() needs a status other than OK; return normally to answer OK")
        raise rpc_error(status, message, details=details)

    def __repr__(self) -> str:
        left = self.time_remaining()
        parts = [self.method, f"from {self.peer}"]
        if left is not None:
            parts.append(f"{left:.3f}s left")
        if self.cancelled:
            parts.append("cancelled")
        return f"<Context {' '.join(parts)}>"
