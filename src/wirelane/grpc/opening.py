"""A call and the wire: opening, the deadline, interrupting, opening again, ending.

The life of a call: `_begin` counts it and starts its clock; `_open` opens the stream, in one step where it can, and
otherwise waits for a connection or a free stream; `_recover` opens it anew if the server certainly did not act
on it (gRFC A6, transparent retry); `_settle` ends it, whatever happened, exactly once.

How a call is interrupted: a deadline or `cancel()` gives the stream an ending, which wakes whoever waits on it; while
there is no stream yet, the wait runs in a task of the call's own, and that task is cancelled. The task of the caller is
never touched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from wirelane.codec.details import decode_status_details
from wirelane.errors import RpcError, rpc_error
from wirelane.grpc.awaiting import Resumed
from wirelane.grpc.core import check_encoding
from wirelane.status import StatusCode
from wirelane.transport.base import Ending, RequestHead, Unavailable

if TYPE_CHECKING:
    from wirelane.core.deadline import Deadline
    from wirelane.core.metadata import MetadataLike
    from wirelane.errors import Detail
    from wirelane.grpc.core import ChannelCore
    from wirelane.grpc.methods import BoundMethod, MethodLike
    from wirelane.transport.base import ClientConnection, ClientStream, Part

__all__ = ["OK", "OpenCall"]

T = TypeVar("T")

OK = StatusCode.OK

# Connections in a row that did not take the call: a server that greets and sends away for ever is a failure.
_MOST_TURNED_AWAY = 8


def _left() -> Ending:
    # Made for each call: its metadata is the user's, who may change it.
    return Ending(StatusCode.CANCELLED, "the call was left before its end")


class OpenCall:
    """A call as far as it has to do with the wire, not with messages."""

    # Class attributes are the values of a call that has just been made: the hot path sets only what differs.
    _bound: BoundMethod | None = None
    _stream: ClientStream | None = None
    # What ended the call on this side, where the stream could not be told, or said otherwise.
    _local: Ending | None = None
    _task: asyncio.Task[Any] | None = None
    _timer: asyncio.TimerHandle | None = None
    _began = False
    _settled = False
    # How often the server certainly did not act on the call: connections that took none or went away (gRFC A6: sent
    # again as often as it takes), and the stream refused (sent again once).
    _turned_away = 0
    _refused = False
    # The request as it may be sent again: (payload, compressed, end). None: nothing was sent, or too much.
    _replay: tuple[bytes | None, bool, bool] | None = None
    _attempts = 0
    # The only reply, while its trailers are waited for.
    _part: Part | None = None

    def __init__(
        self,
        core: ChannelCore,
        method: MethodLike,
        given: Any,
        timeout: float | None,
        metadata: MetadataLike | None,
        compression: str | None,
        wait_for_ready: bool | None,
    ) -> None:
        self._core = core
        self._method = method
        # What the call was given to send: the request, or the messages of a stream, or nothing yet.
        self._given = given
        self._deadline: Deadline | None = core.deadline(timeout)
        self._metadata = core.merged(metadata) if metadata else None
        self._encoding = core.encoding if compression is None else check_encoding(compression)
        self._wait_for_ready = core.wait_for_ready if wait_for_ready is None else wait_for_ready

    @property
    def method(self) -> str:
        """The method called, as "pkg.Service/Method"."""
        if self._bound is not None:
            return self._bound.name
        name = self._method if isinstance(self._method, str) else self._method.path
        return name.removeprefix("/")

    # Beginning

    def _begin(self) -> None:
        """Count the call and start its clock.

        Raises:
            RpcError: It was cancelled, or its deadline passed, before it began.
            ClosedError: The channel is closed.
        """
        core = self._core
        loop = core.connector.running_loop()
        self._began = True
        core.started += 1
        if self._local is not None:
            raise self._error(self._local)
        deadline = self._deadline
        if deadline is not None:
            left = deadline.remaining()
            if left <= 0:
                self._local = self._too_late()
                raise self._error(self._local)
            self._timer = loop.call_later(left, self._expire)

    def _expire(self) -> None:
        self._timer = None
        self._interrupt(self._too_late())

    def _too_late(self) -> Ending:
        text = f"the deadline of {self.method} passed before the call ended"
        return Ending(StatusCode.DEADLINE_EXCEEDED, text)

    def _interrupt(self, ending: Ending) -> None:
        """End the call from this side, wherever it stands."""
        task = self._task
        if task is not None and not task.done():
            self._local = ending
            task.cancel()
        elif self._stream is not None:
            self._stream.cancel(ending)
            if self._local is None and self._recoverable(self._stream):
                # It has ended, but not for who waits: without this the call would be sent again.
                self._local = ending
        elif self._local is None:
            self._local = ending

    def _drop(self) -> None:
        """Let go of the call after a failure or an early leave: nothing of it stays."""
        self._settle()
        self._interrupt(_left())

    def _settle(self) -> None:
        """Take the call out of the books. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._began and not self._settled:
            self._settled = True
            stream = self._stream
            if self._local is None and stream is not None and stream.status is OK:
                self._core.succeeded += 1
            else:
                self._core.failed += 1

    # Opening

    async def _bind(self) -> BoundMethod:
        """Find the method; waits for the schema if it must still be loaded."""
        bound = self._core.bind(self._method)
        if bound is None:
            bound = await self._in_own_task(self._core.bind_ready(self._method, self._wait_for_ready))
        self._bound = bound
        return bound

    def _head(self) -> RequestHead:
        core, bound, encoding = self._core, self._bound, self._encoding
        assert bound is not None
        if self._deadline is None and self._metadata is None:
            head = bound.heads.get(encoding)
            # Methods are bound per channel, so authority, user agent and the metadata object are the same.
            if head is None:
                head = RequestHead(
                    bound.path, core.authority, core.metadata, None, encoding, user_agent=core.user_agent
                )
                bound.heads[encoding] = head
            return head
        metadata = core.metadata if self._metadata is None else self._metadata
        return RequestHead(
            bound.path, core.authority, metadata, self._deadline, encoding, user_agent=core.user_agent
        )

    def _open_now(self, payload: bytes | None, compressed: bool, end: bool) -> ClientStream | None:
        """Open the stream and remember how to do it again; None if that has to wait, which is `_open`'s business.

        Raises:
            RpcError: The call was interrupted before.
            UsageError: The metadata cannot be sent.
        """
        if self._local is not None:
            raise self._error(self._local)
        self._replay = (payload, compressed, end)
        connection = self._core.connector.current
        if connection is None:
            return None
        try:
            stream = connection.open_nowait(self._head(), payload, compressed=compressed, end=end)
        except Unavailable:
            self._core.connector.drop(connection)
            return None
        if stream is not None:
            self._attempts += 1
            self._stream = stream
        return stream

    async def _open(self, payload: bytes | None, compressed: bool, end: bool) -> ClientStream:
        """Open the stream, waiting for what it needs.

        Raises:
            RpcError: There is no connection, or the call was interrupted meanwhile.
            UsageError: The metadata cannot be sent.
        """
        stream = self._open_now(payload, compressed, end)
        if stream is not None:
            return stream
        resumed: Resumed | None = None
        connection = self._core.connector.current
        if connection is not None:
            # Started by hand, so that the call has its place in the queue for a free stream before others come.
            opening = connection.open(self._head(), payload, compressed=compressed, end=end)
            try:
                resumed = Resumed(opening, opening.send(None))
            except StopIteration as opened:
                self._attempts += 1
                done: ClientStream = opened.value
                self._stream = done
                return done
            except Unavailable:
                self._core.connector.drop(connection)
        work = self._open_later(connection, resumed, payload, compressed, end)
        return await self._in_own_task(work, None if resumed is None else resumed.close)

    async def _open_later(
        self,
        connection: ClientConnection | None,
        resumed: Resumed | None,
        payload: bytes | None,
        compressed: bool,
        end: bool,
    ) -> ClientStream:
        """Wait for a connection and a free stream, as often as it takes."""
        connector = self._core.connector
        while True:
            try:
                if resumed is None or connection is None:
                    connection = await self._connection()
                    stream = await connection.open(self._head(), payload, compressed=compressed, end=end)
                else:
                    stream = await resumed
            except Unavailable as away:
                assert connection is not None
                connector.drop(connection)
                resumed = None
                self._turned_away += 1
                if self._turned_away > _MOST_TURNED_AWAY:
                    self._local = Ending(
                        StatusCode.UNAVAILABLE, f"the server takes no calls: {away}", cause=away
                    )
                    raise self._error(self._local) from away
            else:
                self._attempts += 1
                self._stream = stream
                return stream

    async def _connection(self) -> ClientConnection:
        try:
            return await self._core.connection(self._wait_for_ready)
        except RpcError as error:
            self._local = Ending(error.code, error.message, cause=error.__cause__)
            raise self._error(self._local) from error.__cause__

    async def _in_own_task(self, work: Coroutine[Any, Any, T], after: Callable[[], None] | None = None) -> T:
        """Wait for something in a task of our own, so that the wait can be ended without touching the caller's."""
        task = self._task = asyncio.get_running_loop().create_task(work)
        if after is not None:
            task.add_done_callback(lambda _: after())
        try:
            await asyncio.wait((task,))
        except BaseException:
            task.add_done_callback(self._undo)
            task.cancel()
            raise
        finally:
            self._task = None
        if task.cancelled() and self._local is not None:
            raise self._error(self._local)
        result: T = task.result()
        return result

    def _undo(self, task: asyncio.Task[Any]) -> None:
        """Take back what a task did after its caller had left."""
        if not task.cancelled() and task.exception() is None and self._stream is not None:
            self._stream.cancel(_left())

    async def _recover(self, stream: ClientStream) -> bool:
        """After `stream` has ended: open the call again if nobody can have acted on it. False: it is over.

        Raises:
            RpcError: It cannot be opened again.
        """
        if self._stream is not stream:
            return True
        task = self._task
        if task is not None:
            # Another task of the user is at it.
            await asyncio.wait((task,))
            return self._stream is not stream
        if self._replay is None or not self._recoverable(stream):
            return False
        ending = stream.ending
        assert ending is not None
        if ending.refused:
            self._refused = True
        else:
            self._turned_away += 1
        await self._open(*self._replay)
        return True

    def _recoverable(self, stream: ClientStream) -> bool:
        """Whether `stream` ended so that the call may be sent again (gRFC A6, transparent retries).

        A server that answered has acted on it.
        """
        if stream.status is OK or self._settled or self._replay is None:
            return False
        ending = stream.ending
        if ending is None or not ending.unprocessed or stream.head is not None:
            return False
        return not self._refused if ending.refused else self._turned_away < _MOST_TURNED_AWAY

    # Endings

    def _ending(self) -> Ending | None:
        if self._local is not None:
            return self._local
        return None if self._stream is None else self._stream.ending

    def _break(self, stream: ClientStream, ending: Ending) -> RpcError:
        """End the call because of what the server sent; return the error to raise."""
        self._local = ending
        stream.cancel(ending)
        return self._error(ending)

    def _details(self, ending: Ending) -> tuple[Detail, ...]:
        if not ending.details:
            return ()
        schema = None if self._bound is None else self._bound.schema
        return decode_status_details(ending.details, schema or self._core.schema, code=ending.code)

    def _error(self, ending: Ending) -> RpcError:
        stream = self._stream
        head = None if stream is None else stream.head
        error = rpc_error(
            ending.code,
            ending.message,
            details=self._details(ending),
            metadata=ending.metadata,
            initial_metadata=None if head is None else head.metadata,
            from_peer=ending.from_peer,
            attempts=self._attempts,
            peer=None if stream is None else str(stream.peer),
        )
        error.__cause__ = ending.cause
        return error
