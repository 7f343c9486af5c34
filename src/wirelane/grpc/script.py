"""A conversation written down: what to send and what to wait for, in order.

messages = await channel.exchange(method, [grpc.Send(a), grpc.Receive(), grpc.Send(b), grpc.Receive(2)])
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wirelane.errors import EndOfStream, UsageError

if TYPE_CHECKING:
    from wirelane.grpc.streams import BidiStreamCall

__all__ = ["DoneSending", "Receive", "Send", "Step", "run_script"]


class Step:
    """What a script is made of: `Send`, `Receive` or `DoneSending`."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Send(Step):
    """Send `message`; `compress=False` sends it as it is although the call compresses."""

    message: Any = None
    compress: bool | None = None


@dataclass(frozen=True, slots=True)
class Receive(Step):
    """Wait for `count` messages, at most `timeout` seconds for each.

    Raises:
        UsageError: `count` is below 1.
    """

    count: int = 1
    timeout: float | None = None

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UsageError(f"count is a number of messages from 1 up, not {self.count!r}")


@dataclass(frozen=True, slots=True)
class DoneSending(Step):
    """Say that no more messages are sent (half-close)."""


async def run_script(
    stream: BidiStreamCall[Any, Any], script: Iterable[Step], *, rest: bool, into: list[Any]
) -> list[Any]:
    """Run the steps in order on an open call, then half-close; see `Channel.exchange`."""
    for number, step in enumerate(script, 1):
        if isinstance(step, Send):
            if not await stream.send(step.message, compress=step.compress):
                raise EndOfStream(f"step {number}, {step!r}: the server has already ended the call")
        elif isinstance(step, Receive):
            for _ in range(step.count):
                message = await stream.receive(timeout=step.timeout)
                if message is None:
                    raise EndOfStream(
                        f"step {number}, {step!r}: the server ended the call after {len(into)} messages"
                    )
                into.append(message)
        elif isinstance(step, DoneSending):
            await stream.done_sending()
        else:
            raise UsageError(f"step {number} is no grpc.Send, grpc.Receive or grpc.DoneSending: {step!r}")
    await stream.done_sending()
    if rest:
        # One by one, not by a comprehension: after an error, `into` holds what came before it.
        async for message in stream:
            into.append(message)  # noqa: PERF401
    return into
