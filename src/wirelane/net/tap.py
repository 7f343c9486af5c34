"""What stands between a protocol and its transport while a trace listens; without one, nothing does.

It is put in above TLS, so that what is logged can be read. It changes nothing: calls and errors go through as they
are, in both directions, and what a transport or a protocol can or cannot do stays so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from wirelane.net.connect import describe_os_error
from wirelane.net.tlslayer import address_text
from wirelane.net.trace import Conversation, Data, Describe, Trace

__all__ = ["Tap", "TappedTransport", "connecting", "tap_of", "tapped"]


def tapped(
    protocol: asyncio.BaseProtocol, trace: Trace | None, describe: Describe | None = None
) -> asyncio.Protocol:
    """Return what to give to the transport of an accepted connection in place of `protocol`: itself, without a trace."""
    if trace is None:
        return cast("asyncio.Protocol", protocol)
    return Tap(protocol, trace, describe)


@contextmanager
def connecting(
    trace: Trace | None, address: object, describe: Describe | None = None, *, via: Iterable[object] = ()
) -> Iterator[Callable[[asyncio.BaseProtocol], asyncio.Protocol]]:
    """Log that somebody connects, and how that fails; gives what makes of a protocol what the transport gets.

    Args:
        trace: None: log nothing, put nothing in between.
        address: Where to, which is how the connection is called in the trace.
        describe: For connections whose octets are frames.
        via: The proxies on the way, as they may be shown.
    """
    if trace is None:
        yield _as_it_is
        return
    conversation = trace.conversation(str(address), describe)
    way = ", ".join(map(str, via))
    conversation.event(f"connecting through {way}" if way else "connecting")
    try:
        yield lambda protocol: Tap(protocol, trace, conversation=conversation)
    except BaseException as error:
        cancelled = isinstance(error, asyncio.CancelledError)
        conversation.end(f"not connected: {'cancelled' if cancelled else str(error) or type(error).__name__}")
        raise


def _as_it_is(protocol: asyncio.BaseProtocol) -> asyncio.Protocol:
    return cast("asyncio.Protocol", protocol)


def tap_of(transport: asyncio.BaseTransport) -> Tap | None:
    """Return the tap that a transport belongs to."""
    return transport.tap if isinstance(transport, TappedTransport) else None


class Tap(asyncio.Protocol):
    """The protocol that the transport sees. `protocol` is who is meant."""

    def __init__(
        self,
        protocol: asyncio.BaseProtocol,
        trace: Trace,
        describe: Describe | None = None,
        *,
        conversation: Conversation | None = None,
    ) -> None:
        self.protocol = protocol
        self.trace = trace
        self._wire: asyncio.Transport | None = None
        self._describe = describe
        self._conversation = conversation

    @property
    def conversation(self) -> Conversation:
        """What is logged of this connection, which is there from `connection_made` on."""
        assert self._conversation is not None
        return self._conversation

    @property
    def wire(self) -> asyncio.Transport:
        """The transport below, which is there from `connection_made` on."""
        assert self._wire is not None
        return self._wire

    def over(self, layer: asyncio.Transport) -> TappedTransport:
        """Go on above another layer: TLS was put in between."""
        self._wire = layer
        self._tell_of_tls(layer)
        return TappedTransport(self)

    # -- what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's.
        self._wire = cast("asyncio.Transport", transport)
        if self._conversation is None:
            peer = address_text(transport.get_extra_info("peername"))
            self._conversation = self.trace.conversation(peer, self._describe)
            self._conversation.event("accepted")
        else:
            peer, local = (address_text(transport.get_extra_info(name)) for name in ("peername", "sockname"))
            self._conversation.event(f"connected to {peer} from {local}")
        self._tell_of_tls(transport)
        self.protocol.connection_made(TappedTransport(self))

    def data_received(self, data: bytes) -> None:
        self.conversation.received(data)
        protocol = self.protocol
        if isinstance(protocol, asyncio.BufferedProtocol):
            _fill(protocol, data)
        else:
            cast("asyncio.Protocol", protocol).data_received(data)

    def eof_received(self) -> bool | None:
        self.conversation.event("the peer ended its stream")
        return cast("asyncio.Protocol", self.protocol).eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.conversation.end("closed" if exc is None else f"lost: {describe_os_error(exc)}")
        self.protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        self.protocol.pause_writing()

    def resume_writing(self) -> None:
        self.protocol.resume_writing()

    def _tell_of_tls(self, transport: asyncio.BaseTransport) -> None:
        cipher = transport.get_extra_info("cipher")
        if cipher:
            alpn = transport.get_extra_info("alpn")
            self.conversation.event(f"TLS: {cipher[1]}, {cipher[0]}{f', ALPN {alpn}' if alpn else ''}")


class TappedTransport(asyncio.Transport):
    """The transport that the protocol sees."""

    def __init__(self, tap: Tap) -> None:
        super().__init__()
        self.tap = tap

    @property
    def wire(self) -> asyncio.Transport:
        """The transport that is meant."""
        return self.tap.wire

    # -- what is logged

    def write(self, data: Data) -> None:
        dropped = self.wire.is_closing()
        self.wire.write(data)
        if not dropped:
            self.tap.conversation.sent((data,))

    def writelines(self, list_of_data: Iterable[Data]) -> None:
        parts = list(list_of_data)
        dropped = self.wire.is_closing()
        self.wire.writelines(parts)
        if not dropped:
            self.tap.conversation.sent(parts)

    def write_eof(self) -> None:
        self.wire.write_eof()
        self.tap.conversation.event("this side ended its stream")

    def close(self) -> None:
        if not self.wire.is_closing():
            self.tap.conversation.event("closing")
        self.wire.close()

    def abort(self) -> None:
        if not self.wire.is_closing():
            self.tap.conversation.event("cut by this side")
        self.wire.abort()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what the transport knows; "trace" is the `Trace`."""
        return self.tap.trace if name == "trace" else self.wire.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.tap.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.tap.protocol

    # -- what is not

    def is_closing(self) -> bool:
        return self.wire.is_closing()

    def can_write_eof(self) -> bool:
        return self.wire.can_write_eof()

    def is_reading(self) -> bool:
        return self.wire.is_reading()

    def pause_reading(self) -> None:
        self.wire.pause_reading()

    def resume_reading(self) -> None:
        self.wire.resume_reading()

    def get_write_buffer_size(self) -> int:
        return self.wire.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self.wire.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.wire.set_write_buffer_limits(high, low)

    def __repr__(self) -> str:
        return f"<TappedTransport {self.wire!r}>"


def _fill(protocol: asyncio.BufferedProtocol, data: bytes) -> None:
    """Give data to a protocol that reads into a buffer of its own, as event loops do."""
    rest = memoryview(data)
    while rest:
        buffer = memoryview(protocol.get_buffer(len(rest))).cast("B")
        size = min(len(buffer), len(rest))
        if not size:
            raise RuntimeError("get_buffer() returned an empty buffer")
        buffer[:size] = rest[:size]
        del buffer  # a bytearray cannot be resized while somebody looks at it
        protocol.buffer_updated(size)
        rest = rest[size:]
