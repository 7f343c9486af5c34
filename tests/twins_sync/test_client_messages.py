"""Messages that have come and were not taken yet, many at once.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support.client_support import DOWN, Handler
from support.twins_sync_support import there, until
from twins_sync.grpc_support import wire_channel
from wirelane.sync import DeadlineExceeded, Metadata, ReadTimeout, RpcError, StatusCode, grpc
from wirelane.transport.base import ServerStream

MESSAGES = [b"message %d" % n for n in range(100)]


@there
async def all_and_no_more(stream: ServerStream) -> None:
    """Sends all, every third compressed, and does not end the call."""
    stream.send_head(Metadata(), encoding="gzip")
    for n, message in enumerate(MESSAGES):
        compressed = n % 3 == 0
        await stream.send(gzip.compress(message) if compressed else message, compressed=compressed)
    await stream.receive()
    await stream.receive()


@there
async def all_and_ok(stream: ServerStream) -> None:
    """Sends all, and ends the call well."""
    for message in MESSAGES:
        await stream.send(message)
    stream.finish(StatusCode.OK)


@there
async def one_that_is_wrong(stream: ServerStream) -> None:
    """Sends thirty, one that says that it is compressed and is not, and more."""
    stream.send_head(Metadata(), encoding="gzip")
    for n, message in enumerate(MESSAGES):
        await stream.send(message, compressed=n == 30)
    await stream.receive()
    await stream.receive()


@contextmanager
def reading(handler: Handler, timeout: float | None = None) -> Iterator[grpc.ServerStreamCall[bytes]]:
    """A call of which the first message was read; by then, others have come."""
    with wire_channel(handler) as channel:
        with channel.server_stream(DOWN, b"", timeout=timeout) as stream:
            assert stream.receive() == MESSAGES[0]
            yield stream


def test_each_message_tells_how_it_travelled() -> None:
    """`received_compressed` is of the message received last, not of those that have come since."""
    with reading(all_and_no_more) as stream:
        flags = [stream.received_compressed]
        for message in MESSAGES[1:]:
            assert stream.receive() == message
            flags.append(stream.received_compressed)
    assert flags == [n % 3 == 0 for n in range(len(MESSAGES))]


def test_a_deadline_that_passes_between_two_messages_ends_the_call() -> None:
    """The next `receive` raises, although there were messages to give."""
    with reading(all_and_no_more, timeout=0.5) as stream:
        assert stream.receive() == MESSAGES[1]
        until(lambda: stream.status is not None)
        for _ in range(2):
            with pytest.raises(DeadlineExceeded):
                stream.receive()
    assert stream.status is StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("handler", [all_and_no_more, all_and_ok])
def test_cancelling_drops_what_was_not_received(handler: Handler) -> None:
    """Also when the call has ended well on the wire: who cancels it has not seen that."""
    with reading(handler) as stream:
        stream.cancel()
        for _ in range(2):
            with pytest.raises(RpcError) as failed:
                stream.receive()
            assert failed.value.code is StatusCode.CANCELLED


def test_what_has_come_is_given_although_the_call_has_ended() -> None:
    """In order, and then the end, again and again."""
    with reading(all_and_ok) as stream:
        assert list(stream) == MESSAGES[1:]
        assert stream.receive() is None
        assert stream.receive(timeout=0) is None


def test_a_message_that_cannot_be_read_is_told_at_its_place() -> None:
    """Those before it were given, and the call goes on until it is its turn."""
    with reading(one_that_is_wrong) as stream:
        for n in range(1, 30):
            assert stream.receive() == MESSAGES[n]
        assert stream.status is None
        with pytest.raises(RpcError, match="cannot be read") as failed:
            stream.receive()
        assert failed.value.code is StatusCode.INTERNAL
        assert stream.status is StatusCode.INTERNAL
        with pytest.raises(RpcError):
            stream.receive()


def test_a_timeout_is_for_what_has_not_come() -> None:
    """What is there is given whatever the timeout; after it, the call goes on."""
    with reading(all_and_no_more) as stream:
        for message in MESSAGES[1:]:
            assert stream.receive(timeout=20) == message
        with pytest.raises(ReadTimeout):
            stream.receive(timeout=0)
        assert stream.status is None
