"""The seam: what the layers above need of an HTTP/2 transport, written down in one place.

A call is a stream of parts: a head, messages, an ending. The layers above never see frames, header lists or
HTTP statuses: whatever goes wrong below (a reset, a lost connection, a peer that is no gRPC server) arrives
as the `Ending` of the call, with its status already chosen. What the transport does not do: encode messages,
compress them, keep deadlines, retry.

Two rules hold for every implementation:

- Waiting methods are cancel-safe: a cancelled `receive` loses no message. One task may wait in `receive` while
  another waits in `send`; two tasks in the same one get `BusyError`.
- `cancel`, `finish`, `reset`, `drain` and `abort` are synchronous: they put the state right at once and wake
  every waiter; nobody's task is ever cancelled from below.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from wirelane.core.metadata import Metadata
from wirelane.status import StatusCode

if TYPE_CHECKING:
    from asyncio import Future

    from wirelane.core.deadline import Deadline
    from wirelane.transport.places import CallQueue

__all__ = [
    "CallEnded",
    "CallHandler",
    "ClientConnection",
    "ClientStream",
    "Ending",
    "Part",
    "Peer",
    "RequestHead",
    "ResponseHead",
    "ServerConnection",
    "ServerStream",
    "Unavailable",
]

Part = tuple[bool, bytes]
"""One message as it travelled: (compressed flag, payload)."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end: its address as text, and its verified TLS certificate if it showed one."""

    address: str
    certificate: dict[str, object] | None = None
    tls: bool = False

    def __str__(self) -> str:
        return self.address


@dataclass(slots=True, eq=False)
class RequestHead:
    """What opens a call. `deadline` becomes `grpc-timeout` at the moment the head is sent.

    Not to be changed once it is made; not frozen, because that costs more than the rest of it.
    """

    path: str
    authority: str
    metadata: Metadata = field(default_factory=Metadata)
    deadline: Deadline | None = None
    encoding: str | None = None
    accept_encoding: str = "gzip,deflate"
    user_agent: str | None = None


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """The server's first answer: initial metadata, and how its messages are compressed."""

    metadata: Metadata
    encoding: str | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call ended.

    Attributes:
        details: The raw `grpc-status-details-bin` value, if there was one.
        from_peer: The peer sent this status; otherwise this end made it up from what happened.
        unprocessed: The peer certainly did not act on the call (it never left, REFUSED_STREAM, above the last
            stream of a GOAWAY), so that it may be sent again (gRFC A6, transparent retries).
        refused: It was this call alone (REFUSED_STREAM): the connection goes on, and may refuse it again.
        cause: The exception behind it, for chaining.
    """

    code: StatusCode
    message: str = ""
    metadata: Metadata = field(default_factory=Metadata)
    details: bytes | None = None
    from_peer: bool = False
    unprocessed: bool = False
    refused: bool = False
    cause: BaseException | None = None


class CallEnded(Exception):
    """Raised by `send` when the call is over; the reason is the stream's `ending`. Never reaches a user."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.code.name, ending.message)
        self.ending = ending


class Unavailable(Exception):
    """Raised by `open` when the connection takes no more calls (draining, closed); open it on another one."""


class ClientStream(Protocol):
    """One call seen from the client."""

    @property
    def head(self) -> ResponseHead | None: ...

    @property
    def ending(self) -> Ending | None:
        """Set once the call has ended, although messages may still wait to be received."""
        ...

    @property
    def status(self) -> StatusCode | None:
        """The code of `ending`, which costs less to ask for."""
        ...

    @property
    def peer(self) -> Peer: ...

    async def receive_head(self) -> ResponseHead | None:
        """Return the response head; None if the call ended without one (then `ending` is set)."""
        ...

    async def receive(self) -> Part | None:
        """Return the next message, or None when all were given and the call has ended (then `ending` is set)."""
        ...

    def receive_nowait(self) -> Part | None:
        """Return a message that is already here, else None."""
        ...

    @property
    def complete(self) -> bool:
        """Whether the call has ended, or more than one message is here: what a call with one reply waits for."""
        ...

    @property
    def exhausted(self) -> bool:
        """Whether the call has ended, and every message was given out."""
        ...

    @property
    def dropped(self) -> bool:
        """Whether this end has ended the call, so that no message is given out any more, whatever has come."""
        ...

    def completion(self) -> Future[None]:
        """Return what to wait for until the stream is `complete`; a wait may be cancelled and begun again.

        Raises BusyError while another task waits for it.
        """
        ...

    def send_nowait(self, payload: bytes, compressed: bool) -> bool:
        """Send one message and return True, if nothing has to be waited for; else do nothing: `send` tells why."""
        ...

    async def send(self, payload: bytes, *, compressed: bool = False, end: bool = False) -> None:
        """Send one message; returns when flow control has taken it whole. Raises CallEnded, UsageError after end."""
        ...

    async def end(self) -> None:
        """Half-close: no more messages will be sent. Idempotent; quiet if the call has ended."""
        ...

    def cancel(self, ending: Ending) -> None:
        """Reset the stream with CANCEL and make `ending` its ending. Nothing happens if it has ended already."""
        ...

    def discard(self) -> bool:
        """After the ending: drop the messages that were not taken; whether there were any."""
        ...

    def add_done_callback(self, callback: Callable[[ClientStream], None]) -> None:
        """Call back, synchronously, when the ending is set; at once if it is."""
        ...


class ClientConnection(Protocol):
    """One established connection to a server.

    Attributes:
        queue: Where calls wait for a place; shared by connections that `CallQueue.add` joined.
        reserved: Calls that were given a place and have not opened their stream yet; the queue's to count.
    """

    queue: CallQueue
    reserved: int

    @property
    def available(self) -> bool:
        """Whether new calls may be opened here (not draining, not closed)."""
        ...

    @property
    def room(self) -> bool:
        """Whether a call can be opened here now: available, and below the peer's MAX_CONCURRENT_STREAMS."""
        ...

    @property
    def active(self) -> int:
        """Calls that have not ended."""
        ...

    @property
    def opened(self) -> int:
        """Calls opened so far."""
        ...

    @property
    def peer(self) -> Peer: ...

    async def open(
        self, head: RequestHead, payload: bytes | None = None, *, compressed: bool = False, end: bool = False
    ) -> ClientStream:
        """Open a call, with its first message if there is one already (HEADERS+DATA leave as one piece).

        Waits, first come first served, while the peer's MAX_CONCURRENT_STREAMS is reached; opens on the connection of
        the queue that has a place first. Does not wait for flow control: what the window does not take yet goes out
        later, before what `send` is given. Raises Unavailable. Cancelled while it waits: nothing was sent.
        """
        ...

    def open_nowait(
        self, head: RequestHead, payload: bytes | None = None, *, compressed: bool = False, end: bool = False
    ) -> ClientStream | None:
        """As `open`, but None where that would wait."""
        ...

    def add_close_callback(self, callback: Callable[[ClientConnection], None]) -> None:
        """Call back once when the connection becomes unavailable (GOAWAY, loss, close)."""
        ...

    async def close(self) -> None:
        """Take no more calls, end those in flight as CANCELLED, say GOAWAY, close the socket. Bounded in time."""
        ...

    def abort(self) -> None: ...


class ServerStream(Protocol):
    """One call seen from the server. Its path and metadata are already validated."""

    @property
    def path(self) -> str: ...

    @property
    def metadata(self) -> Metadata: ...

    @property
    def deadline(self) -> Deadline | None: ...

    @property
    def encoding(self) -> str | None:
        """The client's grpc-encoding; None for identity."""
        ...

    @property
    def accept_encoding(self) -> tuple[str, ...]: ...

    @property
    def authority(self) -> str: ...

    @property
    def peer(self) -> Peer: ...

    @property
    def ended(self) -> bool:
        """Nothing more can be sent: finished, reset, or the connection is lost."""
        ...

    @property
    def cancelled(self) -> bool:
        """It ended because the client reset it or the connection was lost."""
        ...

    def receive_nowait(self) -> Part | None:
        """Return a message that is already here, else None."""
        ...

    @property
    def complete(self) -> bool:
        """Whether the client has said everything, or sent more than one message, or the call has ended."""
        ...

    @property
    def exhausted(self) -> bool:
        """Whether the client has said everything, and every message was given out."""
        ...

    @property
    def dropped(self) -> bool:
        """Whether the call has ended before that, so that no message is given out any more, whatever has come."""
        ...

    def completion(self) -> Future[None]:
        """Return what to wait for until the stream is `complete`, as `ClientStream.completion`."""
        ...

    async def receive(self) -> Part | None:
        """Return the next message; None at the client's half-close.

        Raises CallEnded after a reset or a loss, when this end finished the call before everything was received,
        and when the client broke a rule of gRPC and was answered (a message above the limit: RESOURCE_EXHAUSTED).
        """
        ...

    def send_head(self, metadata: Metadata, *, encoding: str | None = None) -> None:
        """Send the response head. Once; quiet after the end; UsageError the second time."""
        ...

    def send_nowait(self, payload: bytes, compressed: bool) -> bool:
        """Send one message and return True, if nothing has to be waited for; else do nothing. Needs the head sent."""
        ...

    async def send(self, payload: bytes, *, compressed: bool = False) -> None:
        """Send one message (and an empty head before it if none went); waits for flow control. Raises CallEnded."""
        ...

    def finish(
        self,
        code: StatusCode,
        message: str = "",
        *,
        metadata: Metadata | None = None,
        details: bytes | None = None,
        payload: bytes | None = None,
        compressed: bool = False,
        encoding: str | None = None,
        head: Metadata | None = None,
    ) -> None:
        """End the call: [head] [one message] trailers, as one piece, or trailers alone.

        `payload`, `head` and `encoding` let a unary answer leave in one write. Does not wait: what flow control
        does not take goes out later, then the trailers. Quiet if the call has ended.
        """
        ...

    def answer(self, payload: bytes) -> None:
        """As `finish` with OK and one message, as it is: what most calls end with."""
        ...

    def reset(self) -> None:
        """Reset the stream (CANCEL) without a status. Quiet if the call has ended."""
        ...

    def refuse(self) -> None:
        """Reset the stream (REFUSED_STREAM): nobody has looked at the call, and the client may send it again."""
        ...

    def add_cancel_callback(self, callback: Callable[[ServerStream], None]) -> None:
        """Call back, synchronously and once, when the client resets the call or the connection is lost."""
        ...


CallHandler = Callable[["ServerStream"], None]
"""What a server connection calls, synchronously, for each new call. It must finish or reset the stream in the end."""


class ServerConnection(Protocol):
    """One accepted connection."""

    @property
    def active(self) -> int: ...

    @property
    def peer(self) -> Peer: ...

    def drain(self, *, final: bool = False) -> None:
        """Send GOAWAY; calls in flight go on; the connection closes when the last has ended.

        Calls that cross the GOAWAY on their way are taken. With `final` they are not any more: the client is told
        which was the last, so that it may send the others again.
        """
        ...

    def abort(self) -> None:
        """Reset what is in flight and close at once."""
        ...

    async def wait_closed(self) -> None: ...
