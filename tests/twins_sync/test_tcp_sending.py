"""Sending, half-close, close and what a connection says about itself, against a plain peer.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

import pytest

from support.tcp_support import echo_at
from support.twins_sync_support import elsewhere, gather, sleep, start, until
from twins_sync.tcp_support import came, pair
from wirelane.sync import (
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


def test_what_is_sent_arrives_in_order() -> None:
    with pair() as (connection, peer):
        connection.send(b"one ")
        connection.send(bytearray(b"two "))
        connection.send(memoryview(b"three "))
        connection.send_line("vier ü")
        connection.send_line("", newline="\r\n")
        wanted = "one two three vier ü\n\r\n".encode()
        assert peer.reader.readexactly(len(wanted)) == wanted


def test_send_line_writes_text_and_newline_in_its_encoding() -> None:
    with pair() as (connection, peer):
        connection.send_line("ab", "utf-16-be")
        assert peer.reader.readexactly(6) == b"\x00a\x00b\x00\n"
        with pytest.raises(CodecError):
            connection.send_line("→", "ascii")
        with pytest.raises(UsageError):
            connection.send_line("a", "no-such-encoding")


@pytest.mark.parametrize("data", ["text", 5, None])
def test_only_bytes_are_sent(data: bytes) -> None:
    with pair() as (connection, _):
        with pytest.raises(UsageError, match="bytes"):
            connection.send(data)


def test_a_changed_bytearray_does_not_change_what_was_sent() -> None:
    with pair() as (connection, peer):
        data = bytearray(b"a" * 4_000_000)
        sending = start(connection.send, data)
        assert peer.reader.readexactly(1) == b"a"
        data[:] = b"b" * len(data)
        assert peer.reader.readexactly(len(data) - 1) == b"a" * (len(data) - 1)
        sending.result()


def test_messages_that_are_sent_at_the_same_time_go_out_whole() -> None:
    with pair(limits=SMALL) as (connection, peer):
        messages = [bytes([65 + index]) * (1_000_000 + index) for index in range(8)]
        sending = [start(connection.send, message) for message in messages]
        arrived = peer.reader.readexactly(sum(map(len, messages)))
        gather(*sending)
        while messages:
            (first,) = (message for message in messages if message[0] == arrived[0])
            assert arrived.startswith(first)
            arrived = arrived[len(first) :]
            messages.remove(first)


def test_a_send_timeout_tells_what_is_left_and_ends_sending_but_not_reading() -> None:
    with pair(limits=SMALL) as (connection, peer):
        peer.pause()
        with pytest.raises(SendTimeout) as caught:
            connection.send(TOO_MUCH, timeout=0.05)
        assert 0 < caught.value.unsent < len(TOO_MUCH)
        assert isinstance(caught.value, TimeoutError)
        for attempt in (
            lambda: connection.send(b"x"),
            lambda: connection.send_line("x"),
            connection.send_eof,
        ):
            with pytest.raises(ClosedError, match="timed out"):
                attempt()
        peer.writer.write(b"still here\n")
        assert connection.read_line() == "still here"


def test_sending_to_a_peer_that_reset_is_lost_and_what_it_said_stays() -> None:
    with pair(limits=SMALL) as (connection, peer):
        peer.say(b"goodbye\n")
        came(connection, 8)
        peer.reset()
        with suppress(ConnectionLost):  # the first one after a reset may meet it, or still seem to work
            connection.send(b"x")
        until(lambda: "LOST" in repr(connection))
        with pytest.raises(ConnectionLost):
            connection.send(b"x")
        assert connection.read_line() == "goodbye"


def test_a_reset_wakes_a_sender_and_those_behind_it() -> None:
    with pair(limits=SMALL) as (connection, peer):
        sending = [start(connection.send, TOO_MUCH) for _ in range(3)]
        peer.reader.readexactly(1)
        sleep(0.02)  # the others wait behind it by now, or hear the same when they come
        peer.reset()
        for outcome in gather(*sending, return_exceptions=True):
            assert isinstance(outcome, ConnectionLost)


def test_send_eof_ends_one_direction_and_the_answer_still_comes() -> None:
    with pair() as (connection, peer):
        connection.send(b"question")
        connection.send_eof()
        connection.send_eof()
        assert peer.reader.read() == b"question"
        peer.say(b"answer")
        assert connection.read() == b"answer"
        with pytest.raises(UsageError, match="send_eof"):
            connection.send(b"more")


def test_after_the_end_of_the_peer_sending_goes_on() -> None:
    with pair() as (connection, peer):
        peer.writer.write_eof()
        assert connection.read() == b""
        connection.send(b"you may still hear this")
        connection.close()
        assert peer.reader.read() == b"you may still hear this"


def test_close_sends_what_is_buffered_first_and_may_be_repeated() -> None:
    with pair(limits=Limits(max_send_buffer=8_000_000)) as (connection, peer):
        connection.send(b"z" * 7_000_000)
        reading = start(peer.reader.read)
        connection.close()
        connection.close()
        assert len(reading.result()) == 7_000_000
        with pytest.raises(ClosedError):
            connection.send(b"x")


def test_close_cuts_a_connection_that_does_not_end() -> None:
    limits = Limits(max_send_buffer=2 * len(TOO_MUCH), close_timeout=0.2)
    with pair(limits=limits) as (connection, peer):
        peer.pause()
        connection.send(TOO_MUCH)
        connection.close()
        assert connection.closed
        peer.resume()
        with pytest.raises(ConnectionError):
            peer.reader.readexactly(len(TOO_MUCH))


def test_close_after_half_a_message_is_no_orderly_end() -> None:
    with pair(limits=Limits(max_send_buffer=10_000, close_timeout=600)) as (connection, peer):
        peer.pause()
        with pytest.raises(SendTimeout):
            connection.send(TOO_MUCH, timeout=0)
        connection.close()
        peer.resume()
        with pytest.raises(ConnectionError):
            peer.reader.read(-1)


def test_close_in_the_middle_of_a_message_of_another_is_no_orderly_end() -> None:
    with pair(limits=Limits(max_send_buffer=10_000, close_timeout=600)) as (connection, peer):
        sending = start(connection.send, TOO_MUCH)
        peer.reader.readexactly(1)
        connection.close()
        with pytest.raises(ClosedError):
            sending.result()
        with pytest.raises(ConnectionError):
            peer.reader.read(-1)


def test_linger_waits_until_the_peer_has_read_all_and_drops_what_it_sends() -> None:
    with pair(limits=Limits(read_buffer=10_000, close_timeout=600)) as (connection, peer):
        blob = bytes(1_000_000)
        talking = start(peer.say, *[blob] * 8)
        until(lambda: connection.buffered >= 10_000)
        connection.send(b"goodbye")
        closing = start(connection.close, linger=60)
        talking.result()
        assert not closing.done()
        assert peer.reader.read() == b"goodbye"
        sleep(0.01)
        assert not closing.done()
        peer.writer.close()
        closing.result()
        assert connection.closed


def test_linger_is_bounded_and_then_the_connection_is_cut() -> None:
    with pair(limits=Limits(close_timeout=600)) as (connection, peer):
        connection.send(b"goodbye")
        connection.close(linger=0.05)
        connection.close(linger=0.05)
        with pytest.raises(ConnectionError):
            while True:
                peer.say(b"are you there?")


def test_linger_zero_cuts_at_once() -> None:
    with pair(limits=Limits(max_send_buffer=2 * len(TOO_MUCH), close_timeout=600)) as (
        connection,
        peer,
    ):
        peer.pause()
        connection.send(TOO_MUCH)
        connection.close(linger=0)
        peer.resume()
        with pytest.raises(ConnectionError):
            peer.reader.read(-1)


@pytest.mark.parametrize("linger", [-1, "1", float("nan")])
def test_a_linger_that_is_no_time_is_refused(linger: float) -> None:
    with pair() as (connection, _):
        with pytest.raises(UsageError, match="linger"):
            connection.close(linger)
        assert not connection.closed


def test_closing_wakes_a_sender() -> None:
    with pair(limits=SMALL) as (connection, peer):
        sending = start(connection.send, TOO_MUCH)
        peer.reader.readexactly(1)
        connection.abort()
        with pytest.raises(ClosedError):
            sending.result()


def test_connecting_fails_with_one_error_that_names_the_address() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    with pytest.raises(ConnectError, match=address):
        tcp.connect(address)


@pytest.mark.parametrize("address", ["", "no-port", "http://host:1", "h:99999999", "host:0"])
def test_an_address_that_is_none_is_refused_before_any_io(address: str) -> None:
    with pytest.raises(UsageError):
        tcp.connect(address)


def test_tls_asked_for_and_refused_at_once_is_a_contradiction() -> None:
    with pytest.raises(UsageError, match="TLS"):
        tcp.connect("tls://localhost:1", tls=False)


def test_a_connection_shows_its_ends_and_its_state() -> None:
    with pair() as (connection, peer):
        sock = peer.writer.get_extra_info("socket")
        assert str(connection.peer) == "{}:{}".format(*sock.getsockname())
        assert str(connection.local) == "{}:{}".format(*sock.getpeername())
        assert (connection.tls, connection.cipher, connection.peer_certificate) == (False, None, None)
        peer.say(b"abc")
        came(connection, 3)
        assert repr(connection).endswith(f"Connection {connection.peer} OPEN, 3 bytes unread>")
        connection.send_eof()
        assert "HALF-CLOSED" in repr(connection)
        peer.writer.write_eof()
        until(lambda: "ENDED" in repr(connection))
        connection.close()
        assert "CLOSED" in repr(connection)


def test_a_lost_connection_says_so() -> None:
    with pair() as (connection, peer):
        peer.reset()
        until(lambda: "LOST" in repr(connection))


def test_unix_sockets_work_as_tcp_does(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with elsewhere(echo_at, path), tcp.connect(f"unix:{path}") as connection:
        assert str(connection.peer) == f"unix:{path}"
        assert str(path) in repr(connection)
        connection.send(b"over a path")
        connection.send_eof()
        assert connection.read_until_eof() == b"over a path"
