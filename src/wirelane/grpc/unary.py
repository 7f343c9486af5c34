"""The unary call: one request, one reply.

The hot path: no task, no timer without a deadline, and one wait, for the reply.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Coroutine, Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from wirelane.core.method import Cardinality
from wirelane.errors import BusyError, UsageError
from wirelane.grpc.awaiting import AwaitableCall
from wirelane.grpc.base_call import BaseCall
from wirelane.grpc.opening import OK

if TYPE_CHECKING:
    from types import TracebackType

    from wirelane.core.metadata import Metadata, MetadataLike
    from wirelane.grpc.core import ChannelCore
    from wirelane.grpc.methods import MethodLike
    from wirelane.transport.base import ClientStream

__all__ = ["UnaryCall"]

Res = TypeVar("Res")


class UnaryCall(BaseCall, AwaitableCall[Res], Generic[Res]):
    """A unary call: `reply = await call`.

    It is sent when it is first awaited, or asked for its initial metadata; its deadline runs from when it was made. A
    task that is cancelled while it awaits the call cancels the call on the server too. Awaited again, it gives the
    same reply or error.
    """

    _awaited = False
    _reply: Res

    def __init__(
        self,
        core: ChannelCore,
        method: MethodLike,
        request: object,
        timeout: float | None,
        metadata: MetadataLike | None,
        compression: str | None,
        wait_for_ready: bool | None,
    ) -> None:
        super().__init__(core, method, request, timeout, metadata, compression, wait_for_ready)
        # Made now, so that Python warns of a call that nobody awaits.
        self._coro: Coroutine[Any, Any, Res] | None = self._run()

    def _coroutine(self) -> Coroutine[Any, Any, Res]:
        self._awaited = True
        coro = self._coro
        if coro is None:
            coro = self._coro = self._again()
        return coro

    def throw(self, kind: Any, value: Any = None, traceback: TracebackType | None = None, /) -> Any:
        """Raise inside the call; for event loops. A call that was opened and never awaited is let go of."""
        self._leave_if_unstarted()
        return super().throw(kind, value, traceback)

    def close(self) -> None:
        """End the coroutine behind the call; for event loops. Likewise."""
        self._leave_if_unstarted()
        super().close()

    def _leave_if_unstarted(self) -> None:
        if self._coro is not None and inspect.getcoroutinestate(self._coro) == inspect.CORO_CREATED:
            self._drop()

    def __await__(self) -> Generator[Any, Any, Res]:
        coro = self._coro
        if self._awaited or coro is None:
            return self._again().__await__()
        self._awaited = True
        return coro.__await__()

    async def initial_metadata(self) -> Metadata:
        """Return what the server sends before its reply, sending the call if it has not been.

        Cancelled before anybody awaits the call, it cancels the call.

        Raises:
            RpcError: The call ended without initial metadata, and with an error.
        """
        try:
            await self._opened()
            return await self._initial_metadata()
        except BaseException:
            if not self._awaited:
                self._give_up()
            raise

    def cancel(self) -> None:
        """Cancel the call: whoever awaits it gets `RpcError` CANCELLED. Nothing happens once it has ended."""
        super().cancel()
        if not self._awaited:
            self._give_up()

    def _give_up(self) -> None:
        """End a call that nobody awaits; whoever still does gets its ending."""
        self._awaited = True
        if self._coro is not None:
            self._coro.close()
            self._coro = None
        self._drop()

    async def _run(self) -> Res:
        try:
            stream = self._stream
            if stream is None:
                stream = (None if self._task is not None else self._start_now()) or await self._opened()
            if not stream.complete:
                await stream.completion()
            part = self._part = self._part or stream.receive_nowait()
            reply: Res
            if part is not None and stream.status is OK and stream.exhausted:
                reply = self._unpack(stream, part)
            else:
                reply = await self._single_reply()
        except BaseException:
            self._drop()
            raise
        self._settle()
        self._reply = reply
        return reply

    async def _opened(self) -> ClientStream:
        """Send the call, unless it was."""
        while (stream := self._stream) is None:
            if self._task is not None:
                await asyncio.wait((self._task,))
            else:
                await self._start()
        return stream

    def _start_now(self) -> ClientStream | None:
        """Send the call in one step; None if it has to wait for something, which is `_start`'s business."""
        if not self._began:
            self._begin()
        elif self._local is not None:
            raise self._error(self._local)
        if self._replay is not None:
            return self._open_now(*self._replay)  # it was tried before: a request is encoded once
        bound = self._core.bind(self._method)
        if bound is None:
            return None
        self._bound = bound
        if bound.cardinality is not Cardinality.UNARY:
            bound.require(Cardinality.UNARY)
        payload, compressed = self._pack(self._given)
        return self._open_now(payload, compressed, True)

    def _send_now(self) -> asyncio.Future[None] | None:
        """Send the call in one step, for whoever has no task, and return what is done when the reply is here.

        Then one `send(None)` gives the reply, unless the call has to be made again. None: awaiting has to wait for more.

        Raises:
            What awaiting the call would.
        """
        try:
            stream = self._start_now()
        except BaseException:
            self._give_up()
            raise
        return None if stream is None or stream.complete else stream.completion()

    async def _start(self) -> None:
        if not self._began:
            self._begin()
        elif self._local is not None:
            raise self._error(self._local)
        if self._replay is None:
            (await self._bind()).require(Cardinality.UNARY)
            self._replay = (*self._pack(self._given), True)
        await self._open(*self._replay)

    async def _again(self) -> Res:
        """The reply or error of a call that was awaited before."""
        if not self._settled and self._began:
            raise BusyError(f"this call of {self.method} is being waited for already; one waits at a time")
        ending = self._ending()
        if ending is None:
            raise UsageError(f"this call of {self.method} failed before it was sent; make a new one")
        if not hasattr(self, "_reply"):
            raise self._error(ending)
        return self._reply
