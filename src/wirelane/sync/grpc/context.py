"""What a handler sees of the call it answers.

Made of `wirelane.grpc.server.context` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from wirelane.core.deadline import Deadline
from wirelane.core.metadata import Metadata, MetadataLike
from wirelane.grpc.server.context import Context as AsyncContext
from wirelane.status import StatusCode
from wirelane.sync._facade import Facade, facade_of, open_now
from wirelane.sync._portal import call
from wirelane.transport.base import Peer

__all__ = ["Context"]


@facade_of(AsyncContext)
class Context(Facade):
    """One call, as its handler sees it: who calls, until when, and how to answer beside the messages.

    Handlers take it as their second argument if they have one.
    """

    __slots__ = ()

    @property
    def method(self) -> str:
        """The method called, as "pkg.Service/Method"."""
        return self._inner.method

    @property
    def metadata(self) -> Metadata:
        """The metadata the client sent."""
        return self._inner.metadata

    @property
    def peer(self) -> Peer:
        """Who calls: address, and the verified certificate with mutual TLS."""
        return self._inner.peer

    @property
    def authority(self) -> str:
        """The name the client addressed this server by."""
        return self._inner.authority

    @property
    def deadline(self) -> Deadline | None:
        """When the client gives up, or None. The server cancels the handler at that moment."""
        return self._inner.deadline

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the answer any more: the client cancelled, was lost, or the deadline passed."""
        return self._inner.cancelled

    @property
    def request_compressed(self) -> bool:
        """Whether the request message received last travelled compressed; False before the first."""
        return self._inner.request_compressed

    @property
    def trailing_metadata(self) -> Metadata:
        """The metadata that will go out with the status, on success and on failure. Mutable."""
        return self._inner.trailing_metadata

    @trailing_metadata.setter
    def trailing_metadata(self, metadata: Metadata) -> None:
        self._inner.trailing_metadata = metadata

    def time_remaining(self) -> float | None:
        """Return the seconds left until the deadline (0 when it has passed), or None without a deadline."""
        return call(self._inner.time_remaining)

    def send_initial_metadata(self, metadata: MetadataLike | None = None) -> None:
        """Send the response head now, with `metadata`; without this it goes out empty with the first message.

        It is done when this returns.

        Raises:
            UsageError: The head has been sent, or a name is reserved.
        """
        open_now(self._inner.send_initial_metadata, metadata)

    def set_compression(self, name: str | None) -> None:
        """Compress the messages sent from here on with `name` ("gzip", "deflate"); None or "identity": do not.

        What the client does not accept is sent as it is. The encoding is announced in the head; once the head has
        gone, this only turns that encoding on and off.

        Raises:
            UsageError: Not an encoding this library knows, or the head has gone and announced another one.
        """
        call(self._inner.set_compression, name)

    def disable_next_message_compression(self) -> None:
        """Send the next message uncompressed, whatever the compression of the call is."""
        call(self._inner.disable_next_message_compression)

    def abort(
        self, code: StatusCode | int | str, message: str = "", details: Sequence[object] = ()
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
        AsyncContext.abort(self._inner, code, message, details)
