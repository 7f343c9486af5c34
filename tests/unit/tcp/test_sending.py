"""Sending, half-close, close and what a connection says about itself: real sockets, a plain asyncio peer."""

from __future__ import annotations

import asyncio
import gc
import pickle
import socket
from pathlib import Path

import pytest

from support.tcp_support import Peer, pair, streams_server, turns, until
from wirelane import tcp
from wirelane.core.limits import Limits
from wirelane.core.target import HostPort, UnixPath
from wirelane.errors import (
    ClosedError,
    CodecError,
    ConnectError,
    ConnectionLost,
    EndOfStream,
    LimitExceeded,
    ReadTimeout,
    SendTimeout,
    UsageError,
)

SMALL = Limits(max_send_buffer=10_000, close_timeout=0.2)
# More than the kernel takes for a peer that does not read (tcp_wmem and tcp_rmem grow to 4 and 6 MiB by default).
TOO_MUCH = bytes(32 * 1024 * 1024)


async def stop_reading(peer: Peer) -> None:
    peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await turns(2)


async def test_what_is_sent_arrives_in_order() -> None:
    async with pair() as (connection, peer):
        await connection.send(b"one ")
        await connection.send(bytearray(b"two "))
        await connection.send(memoryview(b"three "))
        await connection.send_line("vier ü")
        await connection.send_line("", newline="\r\n")
        wanted = "one two three vier ü\n\r\n".encode()
        assert await peer.reader.readexactly(len(wanted)) == wanted


async def test_send_line_writes_text_and_newline_in_its_encoding() -> None:
    async with pair() as (connection, peer):
        await connection.send_line("ab", "utf-16-be")
        assert await peer.reader.readexactly(6) == b"\x00a\x00b\x00\n"
        with pytest.raises(CodecError):
            await connection.send_line("→", "ascii")
        with pytest.raises(UsageError):
            await connection.send_line("a", "no-such-encoding")


@pytest.mark.parametrize("data", ["text", 5, None])
async def test_only_bytes_are_sent(data: bytes) -> None:
    async with pair() as (connection, _):
        with pytest.raises(UsageError, match="bytes"):
            await connection.send(data)


async def test_a_changed_bytearray_does_not_change_what_was_sent() -> None:
    async with pair() as (connection, peer):
        data = bytearray(b"a" * 4_000_000)
        sending = asyncio.create_task(connection.send(data))
        await turns(2)
        data[:] = b"b" * len(data)
        assert await peer.reader.readexactly(len(data)) == b"a" * len(data)
        await sending


async def test_messages_of_several_tasks_go_out_whole_and_in_the_order_of_the_calls() -> None:
    async with pair(limits=SMALL) as (connection, peer):
        messages = [bytes([65 + index]) * (1_000_000 + index) for index in range(8)]
        sending = [asyncio.create_task(connection.send(message)) for message in messages]
        wanted = b"".join(messages)
        assert await peer.reader.readexactly(len(wanted)) == wanted
        await asyncio.gather(*sending)


async def test_sending_to_a_peer_that_never_reads_waits_in_bounded_memory() -> None:
    async with pair(limits=SMALL) as (connection, peer):
        await stop_reading(peer)
        sending = asyncio.create_task(connection.send(TOO_MUCH))
        await turns(50)
        transport = connection._protocol.transport
        assert transport is not None
        assert transport.get_write_buffer_size() < 10_000 + 2 * 256 * 1024
        assert not sending.done()
        sending.cancel()
        await asyncio.wait({sending})


async def test_a_send_timeout_tells_what_is_left_and_ends_sending_but_not_reading() -> None:
    async with pair(limits=SMALL) as (connection, peer):
        await stop_reading(peer)
        with pytest.raises(SendTimeout) as caught:
            await connection.send(TOO_MUCH, timeout=0.05)
        assert 0 < caught.value.unsent < len(TOO_MUCH)
        assert isinstance(caught.value, TimeoutError)
        for attempt in (connection.send(b"x"), connection.send_line("x"), connection.send_eof()):
            with pytest.raises(ClosedError, match="timed out"):
                await attempt
        peer.writer.write(b"still here\n")
        assert await connection.read_line() == "still here"


async def test_a_send_that_never_had_its_turn_breaks_nothing() -> None:
    async with pair(limits=SMALL) as (connection, peer):
        await stop_reading(peer)
        first = asyncio.create_task(connection.send(TOO_MUCH))
        await turns(5)
        for timeout in (0, 0.01):
            with pytest.raises(SendTimeout) as caught:
                await connection.send(b"second", timeout=timeout)
            assert caught.value.unsent == 6
        third = asyncio.create_task(connection.send(b"third"))
        await turns(2)
        third.cancel()
        await asyncio.wait({third})
        last = asyncio.create_task(connection.send(b"last"))
        peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert await peer.reader.readexactly(len(TOO_MUCH) + 4) == TOO_MUCH + b"last"
        await asyncio.gather(first, last)


async def test_a_send_cancelled_half_way_ends_sending() -> None:
    async with pair(limits=SMALL) as (connection, peer):
        await stop_reading(peer)
        sending = asyncio.create_task(connection.send(TOO_MUCH))
        waiting = asyncio.create_task(connection.send(b"next"))
        await turns(10)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        with pytest.raises(ClosedError, match="cancelled"):
            await waiting
        with pytest.raises(ClosedError, match="cancelled"):
            await connection.send(b"x")


@pytest.mark.parametrize("step", range(5))
async def test_a_turn_given_to_a_cancelled_sender_goes_to_the_next(step: int) -> None:
    async with pair(limits=SMALL) as (connection, peer):
        await stop_reading(peer)
        first, second, third = (asyncio.create_task(connection.send(TOO_MUCH)) for _ in range(3))
        await turns(10)
        first.cancel()
        await turns(step)
        second.cancel()
        outcomes = await asyncio.gather(first, second, third, return_exceptions=True)
        assert isinstance(outcomes[2], ClosedError)


async def test_sending_to_a_peer_that_reset_is_lost_and_what_it_said_stays() -> None:
    async with pair(limits=SMALL) as (connection, peer):
        await peer.say(b"goodbye\n")
        await until(lambda: connection.buffered == 8)
        peer.reset()
        await connection.send(b"x")  # the first one after a reset may still seem to work
        await until(lambda: "LOST" in repr(connection))
        with pytest.raises(ConnectionLost):
            await connection.send(b"x")
        assert await connection.read_line() == "goodbye"


async def test_a_reset_wakes_a_sender_and_those_behind_it() -> None:
    async with pair(limits=SMALL) as (connection, peer):
        await stop_reading(peer)
        sending = [asyncio.create_task(connection.send(TOO_MUCH)) for _ in range(3)]
        await turns(5)
        peer.reset()
        for outcome in await asyncio.gather(*sending, return_exceptions=True):
            assert isinstance(outcome, ConnectionLost)


# -- ends


async def test_send_eof_ends_one_direction_and_the_answer_still_comes() -> None:
    async with pair() as (connection, peer):
        await connection.send(b"question")
        await connection.send_eof()
        await connection.send_eof()
        assert await peer.reader.read() == b"question"
        await peer.say(b"answer")
        assert await connection.read() == b"answer"
        with pytest.raises(UsageError, match="send_eof"):
            await connection.send(b"more")


async def test_after_the_end_of_the_peer_sending_goes_on() -> None:
    async with pair() as (connection, peer):
        peer.writer.write_eof()
        assert await connection.read() == b""
        await connection.send(b"you may still hear this")
        await connection.close()
        assert await peer.reader.read() == b"you may still hear this"


async def test_close_sends_what_is_buffered_first_and_may_be_repeated() -> None:
    async with pair(limits=Limits(max_send_buffer=8_000_000)) as (connection, peer):
        await connection.send(b"z" * 7_000_000)
        reading = asyncio.create_task(peer.reader.read())
        await connection.close()
        await connection.aclose()
        assert len(await reading) == 7_000_000
        with pytest.raises(ClosedError):
            await connection.send(b"x")


async def test_close_cuts_a_connection_that_does_not_end() -> None:
    limits = Limits(max_send_buffer=2 * len(TOO_MUCH), close_timeout=0.2)
    async with pair(limits=limits) as (connection, peer):
        await stop_reading(peer)
        await connection.send(TOO_MUCH)
        await connection.close()
        assert connection.closed
        peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
        with pytest.raises(ConnectionError):
            await peer.reader.readexactly(len(TOO_MUCH))


async def test_close_after_half_a_message_is_no_orderly_end() -> None:
    async with pair(limits=Limits(max_send_buffer=10_000, close_timeout=600)) as (connection, peer):
        await stop_reading(peer)
        with pytest.raises(SendTimeout):
            await connection.send(TOO_MUCH, timeout=0)
        await connection.close()
        peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
        with pytest.raises(ConnectionError):
            await peer.reader.read(-1)


async def test_close_in_the_middle_of_a_message_of_another_task_is_no_orderly_end() -> None:
    async with pair(limits=Limits(max_send_buffer=10_000, close_timeout=600)) as (connection, peer):
        await stop_reading(peer)
        sending = asyncio.create_task(connection.send(TOO_MUCH))
        await turns(5)
        await connection.close()
        with pytest.raises(ClosedError):
            await sending
        peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
        with pytest.raises(ConnectionError):
            await peer.reader.read(-1)


async def test_linger_waits_until_the_peer_has_read_all_and_drops_what_it_sends() -> None:
    async with pair(limits=Limits(read_buffer=10_000, close_timeout=600)) as (connection, peer):
        blob = bytes(1_000_000)
        talking = asyncio.create_task(peer.say(*[blob] * 8))
        await until(lambda: connection.buffered >= 10_000)
        await connection.send(b"goodbye")
        closing = asyncio.create_task(connection.close(linger=60))
        await talking
        assert not closing.done()
        assert await peer.reader.read() == b"goodbye"
        await turns(10)
        assert not closing.done()
        peer.writer.close()
        await closing
        assert connection.closed


async def test_linger_is_bounded_and_then_the_connection_is_cut() -> None:
    async with pair(limits=Limits(close_timeout=600)) as (connection, peer):
        await connection.send(b"goodbye")
        await connection.close(linger=0.05)
        await connection.close(linger=0.05)
        with pytest.raises(ConnectionError):
            while True:
                await peer.say(b"are you there?")


async def test_linger_zero_cuts_at_once() -> None:
    async with pair(limits=Limits(max_send_buffer=2 * len(TOO_MUCH), close_timeout=600)) as (
        connection,
        peer,
    ):
        await stop_reading(peer)
        await connection.send(TOO_MUCH)
        await connection.close(linger=0)
        peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
        with pytest.raises(ConnectionError):
            await peer.reader.read(-1)


async def test_linger_ends_when_the_peer_is_gone_and_may_be_cancelled() -> None:
    async with pair(limits=Limits(close_timeout=600)) as (connection, peer):
        peer.reset()
        await connection.close(linger=60)
    for step in range(6):
        async with pair(limits=Limits(close_timeout=600)) as (connection, peer):
            closing = asyncio.create_task(connection.close(linger=60))
            await turns(step)
            closing.cancel()
            await asyncio.wait({closing})
            assert closing.cancelled()
            await connection.close()


@pytest.mark.parametrize("linger", [-1, "1", float("nan")])
async def test_a_linger_that_is_no_time_is_refused(linger: float) -> None:
    async with pair() as (connection, _):
        with pytest.raises(UsageError, match="linger"):
            await connection.close(linger)
        assert not connection.closed


async def test_close_cancelled_cuts_at_once() -> None:
    limits = Limits(max_send_buffer=2 * len(TOO_MUCH), close_timeout=600)
    async with pair(limits=limits) as (connection, peer):
        await stop_reading(peer)
        await connection.send(TOO_MUCH)
        closing = asyncio.create_task(connection.close())
        await turns(3)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await connection.close()


async def test_closing_wakes_a_sender() -> None:
    async with pair(limits=SMALL) as (connection, peer):
        await stop_reading(peer)
        sending = asyncio.create_task(connection.send(TOO_MUCH))
        await turns(5)
        connection.abort()
        with pytest.raises(ClosedError):
            await sending


async def test_connect_is_awaitable_and_a_context_manager_but_only_once() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())

    async with streams_server(echo) as address:
        connecting = tcp.connect(f"tcp://{address}")
        assert "Connecting" in repr(connecting)
        connection = await connecting
        await connection.send_line("hello")
        assert await connection.read_line() == "hello"
        await connection.close()
        with pytest.raises(UsageError, match="used"):
            await connecting


async def test_connecting_fails_with_one_error_that_names_the_address() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    with pytest.raises(ConnectError, match=address):
        await tcp.connect(address)


@pytest.mark.parametrize("address", ["", "no-port", "http://host:1", "h:99999999", "host:0"])
def test_an_address_that_is_none_is_refused_before_any_io(address: str) -> None:
    with pytest.raises(UsageError):
        tcp.connect(address)


def test_tls_asked_for_and_refused_at_once_is_a_contradiction() -> None:
    with pytest.raises(UsageError, match="TLS"):
        tcp.connect("tls://localhost:1", tls=False)


async def test_a_cancelled_connect_leaves_nothing_open() -> None:
    accepted: list[asyncio.StreamWriter] = []
    ended = cancelled = 0

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal ended
        accepted.append(writer)
        try:
            await reader.read()
        finally:
            ended += 1

    async with streams_server(hold) as address:
        for step in range(8):
            connecting = asyncio.ensure_future(tcp.connect(address).__aenter__())
            await turns(step)
            connecting.cancel()
            await asyncio.wait({connecting})
            if connecting.cancelled():
                cancelled += 1
            else:
                await connecting.result().close()
        # One more, behind which no other waits to be accepted.
        async with tcp.connect(address):
            await until(lambda: len(accepted) == ended + 1)
        await until(lambda: len(accepted) == ended)
        assert cancelled >= 2
    gc.collect()


async def test_a_connection_shows_its_ends_and_its_state() -> None:
    async with pair() as (connection, peer):
        sock = peer.writer.get_extra_info("socket")
        assert connection.peer == HostPort(*sock.getsockname())
        assert connection.local == HostPort(*sock.getpeername())
        assert (connection.tls, connection.cipher, connection.peer_certificate) == (False, None, None)
        await peer.say(b"abc")
        await until(lambda: connection.buffered == 3)
        assert repr(connection) == f"<Connection {connection.peer} OPEN, 3 bytes unread>"
        await connection.send_eof()
        assert "HALF-CLOSED" in repr(connection)
        peer.writer.write_eof()
        await until(lambda: "ENDED" in repr(connection))
        await connection.close()
        assert "CLOSED" in repr(connection)


async def test_a_lost_connection_says_so() -> None:
    async with pair() as (connection, peer):
        peer.reset()
        await until(lambda: "LOST" in repr(connection))


async def test_unix_sockets_work_as_tcp_does(tmp_path: Path) -> None:
    path = tmp_path / "s"

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read())
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(echo, path)
    async with server, tcp.connect(f"unix:{path}") as connection:
        assert connection.peer == UnixPath(str(path))
        assert str(path) in repr(connection)
        await connection.send(b"over a path")
        await connection.send_eof()
        assert await connection.read_until_eof() == b"over a path"


@pytest.mark.parametrize(
    "error",
    [
        ReadTimeout("m", partial=b"p"),
        EndOfStream("m", partial=b"p"),
        ConnectionLost("m", partial=b"p"),
        LimitExceeded("m", limit="max_bytes", maximum=5, partial=b"p"),
        SendTimeout("m", unsent=5),
    ],
)
def test_errors_survive_pickling_with_what_they_carry(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
