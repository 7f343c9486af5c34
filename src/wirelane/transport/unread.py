"""Answers that are finished, and of which the client takes nothing: it opens no window for them.

No handler waits for them any more, and no deadline of a handler ends them, but each holds its octets and one of the calls
that a client may have at once. So they are given up: at the deadline of the call, as grpc-go does, and without one when
nothing was taken for `flush_timeout`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wirelane.http2 import ErrorCode

if TYPE_CHECKING:
    import asyncio

    from wirelane.core.deadline import Deadline
    from wirelane.http2 import Stream
    from wirelane.transport.server import H2ServerConnection

__all__ = ["UnreadAnswers"]


class UnreadAnswers:
    """The answers of one connection that wait for a window, each with the timer that gives it up."""

    def __init__(self, owner: H2ServerConnection) -> None:
        self._owner = owner
        self._timers: dict[Stream, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._timers)

    def watch(self, stream: Stream, deadline: Deadline | None) -> None:
        """This stream's answer waits."""
        seconds = self._owner.limits.flush_timeout
        if deadline is not None:
            seconds = min(seconds, deadline.remaining())
        self._timers[stream] = self._owner.loop.call_later(
            seconds, self._look, stream, deadline, stream.unsent
        )

    def forget(self, stream: Stream) -> None:
        """It waits no longer: it has left, or never will."""
        timer = self._timers.pop(stream, None)
        if timer is not None:
            timer.cancel()

    def _look(self, stream: Stream, deadline: Deadline | None, before: int) -> None:
        del self._timers[stream]
        if stream.unsent < before and (deadline is None or deadline.remaining() > 0):
            self.watch(stream, deadline)
            return
        self._owner.refused("answers_unread")
        self._owner.engine.reset(stream, ErrorCode.CANCEL, tell=False)
