"""One call, from its first byte to its status: the code that runs a handler.

Contract: for each call the transport brings, `Call.start` creates one task; that task is the only one this module
ever cancels, when the client cancels, the connection is lost, the deadline passes or the server stops. Whatever the
handler does, the stream ends with exactly one status and the call leaves `CallOwner.calls`.

Where statuses come from (the library's own ones follow the gRPC status code document):

- the handler returns: OK; it raises `RpcError`: that status, with its details and metadata;
- it raises anything else: UNKNOWN with a constant text (what it says is for the log, not for strangers);
- no message or two where the method takes one: UNIMPLEMENTED; a message that does not parse, a reply that does not
  encode, a compressed message without an encoding: INTERNAL.

This is the hot path: a unary call costs one task, this object, and one write.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterable, AsyncIterator
from typing import TYPE_CHECKING, Any, Protocol, cast

from wirelane.codec.details import encode_status_details
from wirelane.core import compression
from wirelane.core.metadata import Metadata
from wirelane.errors import CodecError, LimitExceeded, RpcError, UsageError, rpc_error
from wirelane.grpc.context import current_deadline
from wirelane.grpc.packed import PackedMessages
from wirelane.grpc.server.context import Context
from wirelane.status import StatusCode
from wirelane.transport.base import CallEnded

if TYPE_CHECKING:
    import enum
    from collections import Counter
    from collections.abc import Awaitable, Sequence

    from wirelane.core.limits import Limits
    from wirelane.core.sampling import Sampler
    from wirelane.grpc.packed import Packed
    from wirelane.grpc.server.adapters import StreamAdapter
    from wirelane.grpc.server.router import Route
    from wirelane.transport.base import Part, ServerStream

__all__ = ["HANDLER_FAILED", "Call", "CallOwner", "Requests"]

logger = logging.getLogger("wirelane.grpc.server")

HANDLER_FAILED = "exception in the handler"
"""All a client learns of an exception that is not an RpcError."""


class CallOwner(Protocol):
    """What a call needs of the server it belongs to.

    Attributes:
        calls: Those whose handler runs.
        lingering: How many of them were cancelled and run on, by the identity of their connection's `Peer`. HTTP/2
            does not count them any more; without a count of our own, a client that opens and resets calls could
            have any number of handlers cleaning up at once (grpc-go's answer to CVE-2023-44487 is the same).
        log_sampler: Says which failures are logged: a client that provokes them must not fill the log.
    """

    calls: set[Call]
    lingering: Counter[int]
    log_sampler: Sampler
    limits: Limits
    compression: str | None


class Call:
    """One call being answered."""

    __slots__ = (
        "_announced",
        "_encoding",
        "_head_sent",
        "_lingers",
        "_owner",
        "_sending",
        "_task",
        "_timer",
        "cancelled",
        "request_compressed",
        "route",
        "skip_compression",
        "stream",
        "trailing",
    )

    def __init__(self, route: Route, stream: ServerStream, owner: CallOwner) -> None:
        self.route = route
        self.stream = stream
        self.cancelled = False
        self.trailing: Metadata | None = None
        self.skip_compression = False
        self.request_compressed = False
        self._owner = owner
        self._head_sent = False
        self._sending = False
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        # _encoding: how the next message is compressed; _announced: what the head said (meaningful once it is sent).
        self._encoding: str | None = None
        self._announced: str | None = None
        if owner.compression is not None:
            self.set_compression(owner.compression)

    # -- life ---------------------------------------------------------------------------------------------------

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run the handler in a task of its own, unless the deadline has passed or the client has too many running."""
        lingering = self._owner.lingering
        if lingering and lingering[id(self.stream.peer)] >= self._owner.limits.max_concurrent_streams:
            self.stream.finish(
                StatusCode.RESOURCE_EXHAUSTED, "too many cancelled calls of this connection still run"
            )
            return
        deadline = self.stream.deadline
        if deadline is not None:
            remaining = deadline.remaining()
            if remaining <= 0:
                self.stream.finish(
                    StatusCode.DEADLINE_EXCEEDED, "the deadline had passed when the call arrived"
                )
                return
            self._timer = loop.call_later(remaining, self._on_deadline)
        self._owner.calls.add(self)
        self._task = loop.create_task(self._run(), name=self.route.task_name)
        self.stream.add_cancel_callback(self._on_cancel)

    @property
    def task(self) -> asyncio.Task[None]:
        """The task that runs the handler."""
        assert self._task is not None  # set by start(), which is what makes a call known to anyone
        return self._task

    def stop(self, code: StatusCode, message: str) -> None:
        """End the call with this status now, and cancel its handler."""
        if self._sending:
            # A message is on its way out behind a closed window: a status would wait behind it for as long as the
            # client does not read. A reset does not.
            self.stream.reset()
        else:
            self.stream.finish(code, message, metadata=None)
        self._cancel()

    def _on_deadline(self) -> None:
        self._timer = None
        self.stop(StatusCode.DEADLINE_EXCEEDED, "deadline exceeded")

    def _on_cancel(self, _: ServerStream) -> None:
        self._cancel()

    def _cancel(self) -> None:
        task = self.task
        if self.cancelled or task.done():
            return
        self.cancelled = True
        self._lingers = False
        # A task that is cancelled before its first step runs none of its code, its `finally` included.
        task.add_done_callback(self._forget)
        task.cancel()
        task.get_loop().call_soon(self._linger)

    def _forget(self, _: asyncio.Task[None] | None = None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        calls = self._owner.calls
        if self in calls:
            calls.remove(self)
            if self.cancelled and self._lingers:
                lingering, key = self._owner.lingering, id(self.stream.peer)
                lingering[key] -= 1
                if not lingering[key]:
                    del lingering[key]

    def _linger(self) -> None:
        """Count a handler that runs on after the turn in which it could end.

        Were it counted at once, a client that cancels all its calls could not make others in the same octets. How many
        calls may be opened and reset in one turn is the business of the engine (`reset_burst`).
        """
        if self in self._owner.calls and not self.task.done():
            self._lingers = True
            self._owner.lingering[id(self.stream.peer)] += 1

    # -- running ------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        route = self.route
        stream = self.stream
        if stream.deadline is not current_deadline.get():
            current_deadline.set(stream.deadline)
        try:
            if route.adapter is not None:
                await self._run_stream_handler(route.adapter(self))
                return
            request: object
            if route.client_streaming:
                request = Requests(self)
            else:
                part = stream.receive_nowait() if stream.complete else None
                if part is not None and stream.exhausted:
                    request = self.decode(part)
                else:
                    request = await self.receive_only(part)
            result = route.handler(request, Context(self)) if route.takes_context else route.handler(request)
            if route.server_streaming:
                await self._send_all(result)
                self.finish_ok()
            else:
                self.finish_with(await cast("Awaitable[object]", result))
        except asyncio.CancelledError as error:
            if not self.cancelled:
                self._cancelled_by_others(error)
            raise
        except CallEnded:
            pass
        except RpcError as error:
            self._answer_error(error)
        except Exception as error:  # noqa: BLE001 - a handler may raise anything; it is answered and logged
            self._answer_exception(error)
        except BaseException:
            # SystemExit, KeyboardInterrupt: for the loop, not for us; the client still gets an answer.
            self.stream.finish(StatusCode.UNKNOWN, HANDLER_FAILED)
            raise
        finally:
            self._forget()

    async def _run_stream_handler(self, adapter: StreamAdapter) -> None:
        """Run a handler that drives the call through a stream object (services written for grpclib)."""
        await cast("Awaitable[object]", self.route.handler(adapter))
        adapter.close()

    async def _send_all(self, result: object) -> None:
        """Send what a streaming handler produces; its generator is closed here, whatever happens."""
        if not isinstance(result, AsyncIterable):
            result = await cast("Awaitable[object]", result)
            if not isinstance(result, AsyncIterable):
                raise TypeError(
                    f"a streaming handler must yield messages or return an async iterator, not {type(result).__name__}"
                )
        is_packed = isinstance(result, PackedMessages)
        if isinstance(result, PackedMessages):
            result.pack = self._pack
        messages: AsyncIterator[Any] = aiter(result)
        try:
            async for message in messages:
                packed: Packed = message if is_packed else self._pack(message)
                if not (self._head_sent and self.stream.send_nowait(*packed)):
                    await self._send_packed(*packed)
        finally:
            close = getattr(messages, "aclose", None)
            if close is not None:
                await close()

    def _cancelled_by_others(self, error: BaseException) -> None:
        """Answer for a handler that ended in a CancelledError which is not ours."""
        if self.task.cancelling():
            # Somebody shuts the loop down (asyncio.run does, at its end).
            self.stream.finish(StatusCode.UNAVAILABLE, "the server is shutting down")
        else:
            self._log(error, "cancelled itself")
            self.stream.finish(StatusCode.UNKNOWN, HANDLER_FAILED, metadata=self.trailing)

    # -- receiving ----------------------------------------------------------------------------------------------

    async def receive_only(self, part: Part | None = None) -> object:
        """Return the one request of a call that takes one; it is complete at the client's half-close.

        Args:
            part: The request, if it was received already.

        Raises:
            RpcError: UNIMPLEMENTED for none or several, INTERNAL if it does not parse, INVALID_ARGUMENT if a value in it
                is not accepted.
        """
        if part is None:
            if not self.stream.complete:
                await self.stream.completion()
            part = await self.receive_part()
        if part is None:
            raise RpcError(
                StatusCode.UNIMPLEMENTED, f"{self.route.name} takes one request, and none was sent"
            )
        if await self.receive_part() is not None:
            raise RpcError(
                StatusCode.UNIMPLEMENTED, f"{self.route.name} takes one request, and several were sent"
            )
        return self.decode(part)

    async def receive_part(self) -> Part | None:
        """Return the next message as it travelled; `CallEnded` becomes the RpcError a handler may see."""
        try:
            return await self.stream.receive()
        except CallEnded as ended:
            raise rpc_error(ended.ending.code, ended.ending.message) from ended

    def decode(self, part: Part) -> object:
        """Return the request in a part. Raises RpcError."""
        compressed, data = part
        self.request_compressed = compressed
        try:
            if compressed:
                data = self._decompress(data)
            try:
                return self.route.parse(data)
            except self.route.request.faults:
                return self.route.request.decode(data)
        except LimitExceeded as error:
            raise RpcError(StatusCode.RESOURCE_EXHAUSTED, f"the request is too large: {error}") from error
        except CodecError as error:
            # What is no message at all is the fault of a library; what is one, and has a wrong value in it, the caller's.
            wrong_value = error.path or isinstance(error.__cause__, ValueError)
            malformed = error.incomplete or not wrong_value
            code = StatusCode.INTERNAL if malformed else StatusCode.INVALID_ARGUMENT
            raise RpcError(code, f"cannot decode the request: {error}") from error

    def _decompress(self, data: bytes) -> bytes:
        encoding = self.stream.encoding
        if encoding is None or encoding == "identity":
            raise CodecError("the message says it is compressed, but the call has no grpc-encoding")
        return compression.decompress(encoding, data, self._owner.limits.max_receive_message)

    # -- sending ------------------------------------------------------------------------------------------------

    def set_compression(self, name: str | None) -> None:
        """Compress from here on with `name`, if the client accepts it (see `Context.set_compression`)."""
        if name is not None and name not in self.stream.accept_encoding:
            name = None
        if self._head_sent and name is not None and name != self._announced:
            raise UsageError(
                f"set_compression({name!r}) comes too late: the head has gone and announced "
                f"{self._announced or 'no compression'}"
            )
        self._encoding = name

    def trailing_metadata(self) -> Metadata:
        """Return the trailing metadata, made when first asked for."""
        trailing = self.trailing
        if trailing is None:
            trailing = self.trailing = Metadata()
        return trailing

    def send_head(self, metadata: Metadata) -> None:
        """Send the response head. Raises UsageError the second time."""
        if self._head_sent:
            raise UsageError(
                "the initial metadata has been sent already (it goes out with the first message)"
            )
        self.stream.send_head(metadata, encoding=self._encoding)
        self._head_sent = True
        self._announced = self._encoding

    async def send(self, message: object) -> None:
        """Send one message of a streaming reply, when flow control lets it. Raises CallEnded."""
        await self._send_packed(*self._pack(message))

    async def _send_packed(self, payload: bytes, compressed: bool) -> None:
        if not self._head_sent:
            self.send_head(Metadata())
        self._sending = True
        try:
            await self.stream.send(payload, compressed=compressed)
        finally:
            self._sending = False

    def finish_with(self, message: object) -> None:
        """Answer OK with one message: head, message and trailers in one piece."""
        payload, compressed = self._pack(message)
        if self._head_sent:
            self._finish(payload=payload, compressed=compressed)
        elif self._encoding is None and self.trailing is None:
            self.stream.answer(payload)
        else:
            self._finish(payload=payload, compressed=compressed, encoding=self._encoding)

    def finish_ok(self) -> None:
        """Answer OK after a stream of messages."""
        self._finish()

    def _finish(
        self, *, payload: bytes | None = None, compressed: bool = False, encoding: str | None = None
    ) -> None:
        try:
            self.stream.finish(
                StatusCode.OK,
                metadata=self.trailing,
                payload=payload,
                compressed=compressed,
                encoding=encoding,
            )
        except UsageError as error:
            self._log(error, "set trailing metadata that cannot be sent")
            self.stream.finish(StatusCode.INTERNAL, "the response metadata is invalid")

    def _pack(self, message: object) -> Packed:
        try:
            payload = self.route.encode(message)
        except Exception as error:
            self._log(error, "gave a reply that does not encode")
            raise RpcError(StatusCode.INTERNAL, f"cannot encode the reply of {self.route.name}") from error
        maximum = self._owner.limits.max_send_message
        if maximum is not None and len(payload) > maximum:
            raise RpcError(
                StatusCode.RESOURCE_EXHAUSTED,
                f"the reply is too large: {len(payload)} bytes, at most {maximum}",
            )
        encoding = self._encoding
        skip, self.skip_compression = self.skip_compression, False
        if encoding is None or skip:
            return payload, False
        return compression.compress(encoding, payload), True

    # -- failing ------------------------------------------------------------------------------------------------

    def answer_status(
        self, code: StatusCode, message: str, details: Sequence[object], metadata: Metadata | None
    ) -> None:
        """End the call with a status, its details, and the trailing metadata merged with `metadata`."""
        trailing = self.trailing
        if metadata:
            trailing = metadata if trailing is None else trailing.merged(metadata)
        # The status counts more than what came with it.
        blob: bytes | None = None
        try:
            blob = encode_status_details(code, message, details, self.route.schema) if details else None
        except CodecError as error:
            self._log(error, "gave error details that cannot be sent")
        try:
            try:
                self.stream.finish(code, message, metadata=trailing, details=blob)
            except LimitExceeded as error:
                self._log(error, "gave more error details than the client takes")
                self.stream.finish(code, message, metadata=trailing)
        except UsageError as error:
            self._log(error, "gave metadata that cannot be sent")
            self.stream.finish(code, message)

    def _answer_error(self, error: RpcError) -> None:
        if error.code is StatusCode.OK:
            self._log(error, "raised an RpcError with the code OK")
            self.stream.finish(StatusCode.UNKNOWN, HANDLER_FAILED, metadata=self.trailing)
            return
        # The status of a call this handler made itself is passed on; the metadata of that other server is not.
        metadata = None if error.from_peer else error.metadata
        self.answer_status(error.code, error.message, error.details, metadata)

    def _answer_exception(self, error: Exception) -> None:
        foreign = _grpclib_error(error)
        if foreign is not None:
            code, message, details = foreign
            self.answer_status(code, message, details, None)
            return
        self._log(error, "raised an exception")
        self.answer_status(StatusCode.UNKNOWN, HANDLER_FAILED, (), None)

    def _log(self, error: BaseException, what: str) -> None:
        name = self.route.name
        held = self._owner.log_sampler.admit(name)
        if held is not None:
            more = f" ({held} more of its failures were not logged)" if held else ""
            logger.error("the handler of %s %s%s", name, what, more, exc_info=error)

    def __repr__(self) -> str:
        state = "cancelled" if self.cancelled else "ended" if self.stream.ended else "running"
        return f"<Call {self.route.name} from {self.stream.peer} {state}>"


class Requests:
    """The requests of a client-streaming call, as the async iterator its handler takes.

    It receives only when asked, so that a handler that does not read holds the client back (flow control).
    Cancel-safe: a cancelled `anext()` loses no message. Raises `RpcError` for a message that does not parse.
    """

    __slots__ = ("_call", "_done", "_faults", "_parse", "_stream")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._stream = call.stream
        self._parse = call.route.parse
        self._faults: tuple[type[Exception], ...] = (CodecError, LimitExceeded, *call.route.request.faults)
        self._done = False

    def __aiter__(self) -> Requests:
        return self

    async def __anext__(self) -> object:
        part = self._stream.receive_nowait() or await self.next_part()
        if part is None:
            raise StopAsyncIteration
        compressed, data = part
        if not compressed:
            # As `Call.decode`, which says what is wrong: this is the path of every message of a stream.
            self._call.request_compressed = False
            try:
                return self._parse(data)
            except self._faults:
                pass
        return self._call.decode(part)

    @property
    def call(self) -> Call:
        """The call that they are of; its `decode` makes a request of a part."""
        return self._call

    async def next_part(self) -> Part | None:
        """Return the next request as it travelled; None when there are no more."""
        part = None if self._done else await self._call.receive_part()
        self._done = part is None
        return part

    def __repr__(self) -> str:
        return f"<Requests of {self._call.route.name}{' (all received)' if self._done else ''}>"


class _GrpclibError(Protocol):
    """The attributes of `grpclib.GRPCError`."""

    status: enum.Enum
    message: str | None
    details: object


def _grpclib_error(error: Exception) -> tuple[StatusCode, str, Sequence[object]] | None:
    """Return the status of a `grpclib.GRPCError`, without importing grpclib; None for anything else."""
    module = sys.modules.get("grpclib.exceptions")
    kind = getattr(module, "GRPCError", None)
    if kind is None or not isinstance(error, kind):
        return None
    found = cast("_GrpclibError", error)
    status = StatusCode.of(found.status.value)
    if status is StatusCode.OK:
        return StatusCode.UNKNOWN, HANDLER_FAILED, ()
    details = found.details
    return status, found.message or "", tuple(details) if isinstance(details, (list, tuple)) else ()
