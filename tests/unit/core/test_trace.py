"""Entries of a trace: bounded in number and size, and safe to print."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirelane.core.trace import FORMATS, Ring, TraceEntry, printable

WHEN = 1_767_225_600.25


def entry(data: bytes = b"", **changes) -> TraceEntry:
    given = {
        "time": WHEN,
        "connection": 1,
        "peer": "host:1",
        "direction": "sent",
        "size": len(data),
        "data": data,
    }
    return TraceEntry(**{**given, **changes})


def test_a_ring_keeps_the_last_of_a_number() -> None:
    ring = Ring(3, 1000)
    for number in range(5):
        ring.add(entry(connection=number))
    assert [each.connection for each in ring.last()] == [2, 3, 4]
    assert [each.connection for each in ring.last(2)] == [3, 4]
    assert ring.last(0) == []
    assert (len(ring), ring.dropped) == (3, 2)
    ring.clear()
    assert (ring.last(), ring.dropped) == ([], 2)


@given(sizes=st.lists(st.integers(0, 60), max_size=30), count=st.integers(1, 8), most=st.integers(0, 100))
def test_a_ring_never_holds_more_than_it_may_and_drops_no_more_than_it_must(
    sizes: list[int], count: int, most: int
) -> None:
    ring = Ring(count, most)
    for size in sizes:
        ring.add(entry(bytes(size)))
        kept = [len(each.data) for each in ring.last()]
        assert len(kept) <= count
        assert sum(kept) <= most
    wanted: list[int] = []
    for size in reversed(sizes):
        if len(wanted) == count or sum(wanted) + size > most:
            break
        wanted.insert(0, size)
    assert [len(each.data) for each in ring.last()] == wanted
    assert ring.dropped == len(sizes) - len(wanted)


def test_text_of_events_and_frames_counts_against_the_size() -> None:
    ring = Ring(10, 10)
    ring.add(entry(direction="event", text="123456"))
    ring.add(entry(frames=("12", "345")))
    assert [each.weight for each in ring.last()] == [5]


def test_an_entry_is_one_line_of_text() -> None:
    line = FORMATS["text"](entry("Echo é this!\r\n".encode()))
    assert line.endswith(" #1 host:1 sent 15 bytes: Echo é this!\\r\\n\n")
    assert FORMATS["text"](entry(direction="event", text="closed")).endswith(" #1 host:1 closed\n")
    assert str(entry(b"x")).endswith("#1 host:1 sent 1 byte: x")


def test_what_was_cut_says_how_much_there_was() -> None:
    cut = entry(b"abc", size=70_000, direction="received")
    assert FORMATS["text"](cut).endswith(" received 70000 bytes, the first 3: abc\n")
    assert FORMATS["hex"](cut).splitlines()[0].endswith(" received 70000 bytes, the first 3")


def test_hex_is_a_dump_of_its_own_for_each_entry() -> None:
    head, first, second = FORMATS["hex"](entry(bytes(range(20)))).splitlines()
    assert head.endswith("sent 20 bytes")
    assert first.startswith("00000000  00 01 02")
    assert second.startswith("00000010  10 11 12 13 ")


def test_frames_are_told_in_place_of_their_octets_and_above_them_in_hex() -> None:
    framed = entry(b"\x00\x01", frames=("PING stream 0, 8 octets", "DATA stream 1, 3 octets"))
    assert FORMATS["text"](framed).endswith(
        " sent 2 bytes: PING stream 0, 8 octets; DATA stream 1, 3 octets\n"
    )
    assert FORMATS["hex"](framed).splitlines()[1:3] == [
        "  PING stream 0, 8 octets",
        "  DATA stream 1, 3 octets",
    ]


def test_json_is_an_object_in_a_line() -> None:
    line = FORMATS["json"](entry(b"a\n\xff", frames=("one",)))
    assert line.count("\n") == 1
    assert json.loads(line) == {
        "time": "2026-01-01T00:00:00.250000+00:00",
        "connection": 1,
        "peer": "host:1",
        "direction": "sent",
        "size": 3,
        "hex": "610aff",
        "frames": ["one"],
    }
    event = json.loads(FORMATS["json"](entry(direction="event", text="lost: é")))
    assert (event["direction"], event["text"]) == ("event", "lost: é")
    assert "hex" not in event


def test_repr_shows_sizes_and_no_data() -> None:
    shown = repr(entry(b"password", frames=("secret",)))
    assert "8 bytes" in shown
    assert "password" not in shown
    assert "secret" not in shown


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"\x1b[2J\x07", r"\x1b[2J\x07"),
        (b"\\n\n", r"\\n\n"),
        (b"\xff\xc3", r"\xff\xc3"),
        ("a\u202eb\u2028".encode(), r"a\u202eb\u2028"),
        ("żółw \u4f60".encode(), "żółw \u4f60"),
        (b"\0", r"\0"),
        ("\x9b1m", r"\x9b1m"),
    ],
)
def test_nothing_that_came_acts_on_a_terminal(data: bytes | str, shown: str) -> None:
    assert printable(data) == shown


@given(
    data=st.binary(max_size=60),
    form=st.sampled_from(["text", "json"]),
    direction=st.sampled_from(["sent", "event"]),
)
def test_whatever_comes_is_one_printable_line(data: bytes, form: str, direction: str) -> None:
    told = entry(data, direction=direction, text=data.decode("latin-1"), peer=data.decode("latin-1"))
    line = FORMATS[form](told)
    assert line.splitlines() == [line[:-1]]
    line.encode()
    assert line[:-1].isprintable() or not any(
        ord(each) < 0x20 or 0x7F <= ord(each) < 0xA0 for each in line[:-1]
    )
