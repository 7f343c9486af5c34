from __future__ import annotations

import tracemalloc

import pytest

from wirelane.core.framing import BATCH, MessageReader, frame_message
from wirelane.errors import LimitExceeded, PeerError


def test_a_message_travels_behind_its_flag_and_length():
    assert frame_message(b"abc") == b"\0\0\0\0\x03abc"
    assert frame_message(b"abc", True) == b"\1\0\0\0\x03abc"
    assert frame_message(b"") == b"\0\0\0\0\0"


def test_one_whole_message_comes_out_at_once():
    reader = MessageReader(100)
    assert reader.feed(frame_message(b"abc")) == [(False, b"abc")]
    assert reader.feed(frame_message(b"", True)) == [(True, b"")]
    assert reader.pending == 0


def test_several_messages_in_one_piece_come_out_in_order():
    reader = MessageReader(100)
    data = frame_message(b"a") + frame_message(b"") + frame_message(b"ccc", True)
    assert reader.feed(data) == [(False, b"a"), (False, b""), (True, b"ccc")]


def test_pending_counts_every_byte_of_the_message_that_is_not_whole():
    reader = MessageReader(100)
    data = frame_message(b"abcd")
    seen = []
    for byte in data[:-1]:
        assert reader.feed(bytes([byte])) == []
        seen.append(reader.pending)
    assert seen == list(range(1, len(data)))
    assert reader.feed(data[-1:] + b"\0") == [(False, b"abcd")]
    assert reader.pending == 1


def test_messages_that_are_held_take_the_space_of_their_bytes():
    data = frame_message(b"") * 13_000
    reader = MessageReader(100)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept = reader.feed(data)
        for _ in range(9):
            assert reader.feed(data) == []
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(kept) == BATCH
    # As objects they would take 64 bytes and more each.
    assert taken < BATCH * 100 + 2 * 10 * len(data)
    assert repr(reader) == f"<MessageReader {650_000 - 5 * BATCH} bytes of messages held, 0 bytes pending>"


def test_a_fault_behind_messages_that_are_held_comes_at_once_and_they_are_given_out():
    reader = MessageReader(10)
    reader.hold()
    with pytest.raises(PeerError):
        reader.feed(frame_message(b"one") + frame_message(b"two") + b"\7" + bytes(9))
    with pytest.raises(PeerError):
        reader.feed(frame_message(b"three"))
    assert reader.more() == [(False, b"one"), (False, b"two")]
    assert reader.more() == []
    with pytest.raises(PeerError):
        reader.feed(frame_message(b"three"))


def test_a_fault_behind_many_messages_loses_none_of_them():
    reader = MessageReader(10)
    data = frame_message(b"x") * (BATCH + 5) + b"\0\0\0\0\xff"
    with pytest.raises(LimitExceeded):
        reader.feed(data)
    assert reader.completed + reader.more() == [(False, b"x")] * (BATCH + 5)


def test_a_message_that_began_before_holding_goes_on():
    reader = MessageReader(100)
    data = frame_message(b"abcdefgh", True)
    assert reader.feed(data[:7]) == []
    reader.hold()
    reader.hold()
    assert (reader.pending, reader.missing) == (7, 6)
    assert reader.feed(data[7:] + data[:3]) == []
    assert (reader.held, reader.pending, reader.missing) == (13, 3, 2)
    assert reader.more() == [(True, b"abcdefgh")]
    assert (reader.holding, reader.pending, reader.missing) == (False, 3, 2)
    assert reader.feed(data[3:]) == [(True, b"abcdefgh")]


def test_empty_pieces_change_nothing():
    reader = MessageReader(100)
    assert reader.feed(b"") == []
    assert reader.feed(b"\0\0") == []
    assert reader.feed(b"") == []
    assert reader.feed(b"\0\0\1") == []
    assert reader.feed(b"") == []
    assert reader.pending == 5
    assert reader.feed(b"x") == [(False, b"x")]


def test_payloads_are_bytes_and_whole_pieces_are_not_copied_twice():
    reader = MessageReader(10_000)
    payload = bytes(5000)
    assert reader.feed(frame_message(payload)[:5]) == []
    ((_, received),) = reader.feed(payload)
    assert received is payload


def test_the_limit_is_the_longest_message_that_passes():
    reader = MessageReader(3)
    assert reader.feed(frame_message(b"abc")) == [(False, b"abc")]
    with pytest.raises(LimitExceeded) as caught:
        reader.feed(frame_message(b"abcd"))
    assert (caught.value.limit, caught.value.maximum, caught.value.seen) == ("max_receive_message", 3, 4)


def test_a_limit_is_checked_on_the_prefix_alone():
    with pytest.raises(LimitExceeded):
        MessageReader(4 * 1024 * 1024).feed(b"\0\xff\xff\xff\xff")


@pytest.mark.parametrize("flag", [2, 0x80, 0xFF])
def test_a_flag_that_does_not_exist_is_the_peers_fault(flag):
    with pytest.raises(PeerError, match=f"flag {flag}"):
        MessageReader(100).feed(bytes([flag]) + b"\0\0\0\0")


@pytest.mark.parametrize("cut", range(17))
def test_what_came_whole_before_a_fault_is_kept_for_the_reader(cut):
    data = frame_message(b"a") + frame_message(b"b") + b"\xff\0\0\0\0"
    reader = MessageReader(100)
    received = reader.feed(data[:cut])
    with pytest.raises(PeerError):
        reader.feed(data[cut:])
    assert received + reader.completed == [(False, b"a"), (False, b"b")]


def test_a_reader_that_failed_goes_on_failing():
    reader = MessageReader(3)
    for data in (b"\0\0\0\0\x09", frame_message(b"a"), b"", b"x"):
        with pytest.raises(LimitExceeded):
            reader.feed(data)
    assert reader.pending == 0


def test_a_message_in_tiny_pieces_costs_little_more_than_its_bytes():
    size = 400_000
    reader = MessageReader(size)
    reader.feed(frame_message(bytes(size))[:5])
    pieces = [bytes([n % 256, 1, 2, 3]) for n in range(size // 4 - 1)]
    tracemalloc.start()
    try:
        for piece in pieces:
            reader.feed(piece)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 2 * size
    assert reader.feed(b"last") == [(False, b"".join([*pieces, b"last"]))]


def test_an_announced_message_takes_no_memory_before_it_comes():
    tracemalloc.start()
    try:
        reader = MessageReader(2**32 - 1)
        reader.feed(b"\0\xff\xff\xff\xff")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10_000


def test_repr_shows_what_is_awaited():
    reader = MessageReader(100)
    reader.feed(b"\0\0")
    assert repr(reader) == "<MessageReader 2 bytes pending>"
    reader.feed(b"\0\0\x09ab")
    assert repr(reader) == "<MessageReader 2 of 9 bytes of a message>"
    failed = MessageReader(1)
    with pytest.raises(LimitExceeded):
        failed.feed(b"\0\0\0\0\x09")
    assert "failed" in repr(failed)
