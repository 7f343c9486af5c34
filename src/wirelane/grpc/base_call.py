"""What every kind of call shares above the wire: what it tells about itself, and how messages go in and come out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wirelane.core.compression import compress as compress_message
from wirelane.core.compression import decompress
from wirelane.core.metadata import Metadata
from wirelane.errors import CodecError, LimitExceeded, UsageError, rpc_error
from wirelane.grpc.opening import OK, OpenCall
from wirelane.status import StatusCode
from wirelane.transport.base import Ending

if TYPE_CHECKING:
    from wirelane.core.deadline import Deadline
    from wirelane.errors import Detail
    from wirelane.transport.base import ClientStream, Part

__all__ = ["BaseCall", "cancelled"]


def cancelled() -> Ending:
    """Return the ending of a call that the user cancelled, made for each: its metadata is the user's to change."""
    return Ending(StatusCode.CANCELLED, "the call was cancelled on this side")


class BaseCall(OpenCall):
    """One call. Its kinds add how messages go in and come out."""

    _received_compressed = False

    # What a user sees

    @property
    def deadline(self) -> Deadline | None:
        """When the call must be over, or None."""
        return self._deadline

    @property
    def status(self) -> StatusCode | None:
        """The status once the call has ended, else None."""
        ending = self._ending()
        return None if ending is None else ending.code

    @property
    def message(self) -> str:
        """The text that came with the status; empty before the end."""
        ending = self._ending()
        return "" if ending is None else ending.message

    @property
    def details(self) -> tuple[Detail, ...]:
        """The details that came with the status, as in `RpcError.details`."""
        ending = self._ending()
        return () if ending is None else self._details(ending)

    @property
    def trailing_metadata(self) -> Metadata | None:
        """The metadata that came with the status; None before the end."""
        ending = self._ending()
        return None if ending is None else ending.metadata

    @property
    def peer(self) -> str | None:
        """The address of the server; None before the call was sent."""
        return None if self._stream is None else str(self._stream.peer)

    @property
    def received_compressed(self) -> bool:
        """Whether the message received last travelled compressed; False before the first."""
        return self._received_compressed

    @property
    def attempts(self) -> int:
        """How many times the call was sent."""
        return self._attempts

    def cancel(self) -> None:
        """Cancel the call: whoever waits for it gets `RpcError` CANCELLED. Nothing happens once it has ended."""
        self._interrupt(cancelled())

    def __repr__(self) -> str:
        ending = self._ending()
        state = ending.code.name if ending is not None else "active" if self._began else "not started"
        return f"<{type(self).__name__} {self.method} {state}>"

    # Messages

    def _not_open(self) -> UsageError:
        return UsageError(
            f"the call of {self.method} is not open: use it in the block that opens it, `... as stream:`"
        )

    def _pack(self, message: object, compress: bool | None = None) -> tuple[bytes, bool]:
        """Encode and compress one message.

        Raises:
            CodecError: It does not encode.
            RpcError: RESOURCE_EXHAUSTED, it is longer than `max_send_message`.
            UsageError: It is to be compressed, and the call has no encoding; or the call is not open.
        """
        if self._bound is None:
            raise self._not_open()
        payload = self._bound.encode(message)
        encoding = self._encoding
        compressed = False
        if encoding is not None:
            # An empty message has nothing to gain; every library sends it as it is.
            if compress is not False and payload:
                payload, compressed = compress_message(encoding, payload), True
        elif compress:
            raise UsageError("compress=True needs a call with compression='gzip' or 'deflate'")
        limit = self._core.limits.max_send_message
        if limit is not None and len(payload) > limit:
            raise rpc_error(
                StatusCode.RESOURCE_EXHAUSTED,
                f"the message is {len(payload)} bytes long; max_send_message is {limit}",
                attempts=self._attempts,
            )
        return payload, compressed

    def _unpack(self, stream: ClientStream, part: Part) -> Any:
        """Decompress and decode one message; if that fails, so does the call."""
        bound = self._bound
        assert bound is not None
        compressed, payload = part
        self._received_compressed = compressed
        try:
            if compressed:
                payload = self._inflate(stream, payload)
            try:
                return bound.parse(payload)
            except bound.reply.faults:
                return bound.reply.decode(payload)
        except LimitExceeded as error:
            ending = Ending(
                StatusCode.RESOURCE_EXHAUSTED, f"a message from the server is too large: {error}", cause=error
            )
        except CodecError as error:
            ending = Ending(
                StatusCode.INTERNAL, f"a message from the server cannot be read: {error}", cause=error
            )
        raise self._break(stream, ending)

    def _inflate(self, stream: ClientStream, payload: bytes) -> bytes:
        head = stream.head
        if head is None or head.encoding is None:
            raise CodecError("it is compressed, but the server named no grpc-encoding")
        try:
            return decompress(head.encoding, payload, self._core.limits.max_receive_message)
        except UsageError as error:
            raise CodecError(f"it is compressed with {head.encoding!r}, which was not offered") from error

    async def _single_reply(self) -> Any:
        """Return the one reply of a method that does not stream replies.

        Raises:
            RpcError: The call failed, or the server sent no message, or two (UNIMPLEMENTED, as the specification
                of status codes has it for a break of cardinality).
        """
        stream = self._stream
        assert stream is not None
        part = self._part
        while part is None and (part := await stream.receive()) is None:
            if not await self._recover(stream):
                break
            stream = self._stream
            assert stream is not None
        # With the ending here already, which is the rule, nothing needs to be waited for.
        extra = None
        if part is not None:
            if stream.status is None:
                # Kept, for a wait that is cancelled and taken up again.
                self._part = part
                extra = await stream.receive()
            else:
                extra = stream.receive_nowait()
        if extra is not None:
            raise self._break(stream, _not_one("two messages"))
        if stream.status is not OK:
            ending = stream.ending
            assert ending is not None
            raise self._error(ending)
        if part is None:
            raise self._break(stream, _not_one("no message"))
        return self._unpack(stream, part)

    async def _initial_metadata(self) -> Metadata:
        stream = self._stream
        assert stream is not None
        while True:
            head = await stream.receive_head()
            if head is not None:
                return head.metadata
            if not await self._recover(stream):
                break
            stream = self._stream
            assert stream is not None
        ending = stream.ending
        assert ending is not None
        if ending.code is not OK:
            raise self._error(ending)
        return Metadata()


def _not_one(what: str) -> Ending:
    return Ending(
        StatusCode.UNIMPLEMENTED, f"the server sent {what} where the method answers with exactly one"
    )
