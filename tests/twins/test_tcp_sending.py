"""Sending, half-close, close and what a connection says about itself, against a plain peer: written once, run with asyncio and without."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

import pytest

from support.tcp_support import echo_at
from support.twins_support import elsewhere, gather, sleep, start, until
from twins.tcp_support import came, pair
from wirelane import (
    ClosedError,
    CodecError,
    ConnectError,
    ConnectionLost,
    Limits,
    SendTimeout,
    UsageError,
    tcp,
)

SMALL = Limits(max_send_buffer=10_000, close_timeout=0.2)
# More than the kernel takes for a peer that does not read (tcp_wmem and tcp_rmem grow to 4 and 6 MiB by default).
TOO_MUCH = bytes(32 * 1024 * 1024)


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
        sending = start(connection.send, data)
        assert await peer.reader.readexactly(1) == b"a"
        data[:] = b"b" * len(data)
        assert await peer.reader.readexactly(len(data) - 1) == b"a" * (len(data) - 1)
        await sending.result()


async def test_messages_that_are_sent_at_the_same_time_go_out_whole() -> None:
    async with pair(limits=SMALL) as (connection, peer):
        messages = [bytes([65 + index]) * (1_000_000 + index) for index in range(8)]
        sending = [start(connection.send, message) for message in messages]
        arrived = await peer.reader.readexactly(sum(map(len, messages)))
        await gather(*sending)
        while messages:
            (first,) = (message for message in messages if message[0] == arrived[0])
            assert arrived.startswith(first)
            arrived = arrived[len(first) :]
            messages.remove(first)


async def test_a_send_timeout_tells_what_is_left_and_ends_sending_but_not_reading() -> None:
    async with pair(limits=SMALL) as (connection, peer):
        peer.pause()
        with pytest.raises(SendTimeout) as caught:
            await connection.send(TOO_MUCH, timeout=0.05)
        assert 0 < caught.value.unsent < len(TOO_MUCH)
        assert isinstance(caught.value, TimeoutError)
        for attempt in (
            lambda: connection.send(b"x"),
            lambda: connection.send_line("x"),
            connection.send_eof,
        ):
            with pytest.raises(ClosedError, match="timed out"):
                await attempt()
        peer.writer.write(b"still here\n")
        assert await connection.read_line() == "still here"


async def test_sending_to_a_peer_that_reset_is_lost_and_what_it_said_stays() -> None:
    async with pair(limits=SMALL) as (connection, peer):
        await peer.say(b"goodbye\n")
        await came(connection, 8)
        peer.reset()
        with suppress(ConnectionLost):  # the first one after a reset may meet it, or still seem to work
            await connection.send(b"x")
        await until(lambda: "LOST" in repr(connection))
        with pytest.raises(ConnectionLost):
            await connection.send(b"x")
        assert await connection.read_line() == "goodbye"


async def test_a_reset_wakes_a_sender_and_those_behind_it() -> None:
    async with pair(limits=SMALL) as (connection, peer):
        sending = [start(connection.send, TOO_MUCH) for _ in range(3)]
        await peer.reader.readexactly(1)
        await sleep(0.02)  # the others wait behind it by now, or hear the same when they come
        peer.reset()
        for outcome in await gather(*sending, return_exceptions=True):
            assert isinstance(outcome, ConnectionLost)


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
        reading = start(peer.reader.read)
        await connection.close()
        await connection.close()
        assert len(await reading.result()) == 7_000_000
        with pytest.raises(ClosedError):
            await connection.send(b"x")


async def test_close_cuts_a_connection_that_does_not_end() -> None:
    limits = Limits(max_send_buffer=2 * len(TOO_MUCH), close_timeout=0.2)
    async with pair(limits=limits) as (connection, peer):
        peer.pause()
        await connection.send(TOO_MUCH)
        await connection.close()
        assert connection.closed
        peer.resume()
        with pytest.raises(ConnectionError):
            await peer.reader.readexactly(len(TOO_MUCH))


async def test_close_after_half_a_message_is_no_orderly_end() -> None:
    async with pair(limits=Limits(max_send_buffer=10_000, close_timeout=600)) as (connection, peer):
        peer.pause()
        with pytest.raises(SendTimeout):
            await connection.send(TOO_MUCH, timeout=0)
        await connection.close()
        peer.resume()
        with pytest.raises(ConnectionError):
            await peer.reader.read(-1)


async def test_close_in_the_middle_of_a_message_of_another_is_no_orderly_end() -> None:
    async with pair(limits=Limits(max_send_buffer=10_000, close_timeout=600)) as (connection, peer):
        sending = start(connection.send, TOO_MUCH)
        await peer.reader.readexactly(1)
        await connection.close()
        with pytest.raises(ClosedError):
            await sending.result()
        with pytest.raises(ConnectionError):
            await peer.reader.read(-1)


async def test_linger_waits_until_the_peer_has_read_all_and_drops_what_it_sends() -> None:
    async with pair(limits=Limits(read_buffer=10_000, close_timeout=600)) as (connection, peer):
        blob = bytes(1_000_000)
        talking = start(peer.say, *[blob] * 8)
        await until(lambda: connection.buffered >= 10_000)
        await connection.send(b"goodbye")
        closing = start(connection.close, linger=60)
        await talking.result()
        assert not closing.done()
        assert await peer.reader.read() == b"goodbye"
        await sleep(0.01)
        assert not closing.done()
        peer.writer.close()
        await closing.result()
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
        peer.pause()
        await connection.send(TOO_MUCH)
        await connection.close(linger=0)
        peer.resume()
        with pytest.raises(ConnectionError):
            await peer.reader.read(-1)


@pytest.mark.parametrize("linger", [-1, "1", float("nan")])
async def test_a_linger_that_is_no_time_is_refused(linger: float) -> None:
    async with pair() as (connection, _):
        with pytest.raises(UsageError, match="linger"):
            await connection.close(linger)
        assert not connection.closed


async def test_closing_wakes_a_sender() -> None:
    async with pair(limits=SMALL) as (connection, peer):
        sending = start(connection.send, TOO_MUCH)
        await peer.reader.readexactly(1)
        connection.abort()
        with pytest.raises(ClosedError):
            await sending.result()


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


async def test_a_connection_shows_its_ends_and_its_state() -> None:
    async with pair() as (connection, peer):
        sock = peer.writer.get_extra_info("socket")
        assert str(connection.peer) == "{}:{}".format(*sock.getsockname())
        assert str(connection.local) == "{}:{}".format(*sock.getpeername())
        assert (connection.tls, connection.cipher, connection.peer_certificate) == (False, None, None)
        await peer.say(b"abc")
        await came(connection, 3)
        assert repr(connection).endswith(f"Connection {connection.peer} OPEN, 3 bytes unread>")
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
    async with elsewhere(echo_at, path), tcp.connect(f"unix:{path}") as connection:
        assert str(connection.peer) == f"unix:{path}"
        assert str(path) in repr(connection)
        await connection.send(b"over a path")
        await connection.send_eof()
        assert await connection.read_until_eof() == b"over a path"
