"""Frames as lines: what hyperframe writes is told by its names, however it is cut."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hyperframe import frame as frames
from hypothesis import given
from hypothesis import strategies as st

from wirelane.http2.describe import FrameLines
from wirelane.http2.frames import PREFACE


class Raw(bytes):
    """A frame that hyperframe has no class for."""

    def serialize(self) -> bytes:
        return self


TOLD: list[tuple[Any, str]] = [
    (frames.DataFrame(1, b"abc", flags=["END_STREAM"]), "DATA stream 1 END_STREAM, 3 octets"),
    (frames.DataFrame(1, b"abc", pad_length=2, flags=["PADDED"]), "DATA stream 1 PADDED, 6 octets"),
    (frames.HeadersFrame(3, b"\x88", flags=["END_HEADERS"]), "HEADERS stream 3 END_HEADERS, 1 octets"),
    (frames.HeadersFrame(3, b"\x88", flags=["PRIORITY"]), "HEADERS stream 3 PRIORITY, 6 octets"),
    (frames.ContinuationFrame(3, b"\x88", flags=["END_HEADERS"]), "CONTINUATION stream 3 END_HEADERS, 1 octets"),
    (frames.PriorityFrame(5), "PRIORITY stream 5, 5 octets"),
    (frames.RstStreamFrame(5, 8), "RST_STREAM stream 5 CANCEL, 4 octets"),
    (frames.RstStreamFrame(5, 0x4D2), "RST_STREAM stream 5 error 0x4d2, 4 octets"),
    (frames.SettingsFrame(0, {3: 100}), "SETTINGS stream 0, 6 octets"),
    (frames.SettingsFrame(0, flags=["ACK"]), "SETTINGS stream 0 ACK, 0 octets"),
    (frames.PushPromiseFrame(1, 2, b"\x88", flags=["END_HEADERS"]), "PUSH_PROMISE stream 1 END_HEADERS, 5 octets"),
    (frames.PingFrame(0, b"12345678", flags=["ACK"]), "PING stream 0 ACK, 8 octets"),
    (frames.GoAwayFrame(0, 7, 11, b"bye"), "GOAWAY stream 0 last 7 ENHANCE_YOUR_CALM, 11 octets"),
    (frames.WindowUpdateFrame(1, 4096), "WINDOW_UPDATE stream 1 +4096, 4 octets"),
    (Raw(b"\x00\x00\x02\xee\x81\x00\x00\x00\x09xy"), "unknown frame 0xee stream 9 flags 0x81, 2 octets"),
]  # fmt: skip
LINES = [line for _, line in TOLD]
WIRE = b"".join(frame.serialize() for frame, _ in TOLD)


@pytest.mark.parametrize(("frame", "line"), TOLD, ids=LINES)
def test_a_frame_is_told_by_its_names(frame: frames.Frame | Raw, line: str) -> None:
    assert FrameLines().feed(frame.serialize()) == (line,)


def test_a_client_begins_with_the_preface() -> None:
    assert FrameLines().feed(PREFACE + WIRE) == ("preface", *LINES)
    assert FrameLines().feed(WIRE) == tuple(LINES)


@given(cuts=st.lists(st.integers(0, len(PREFACE + WIRE)), max_size=20))
def test_frames_are_told_once_however_they_are_cut(cuts: list[int]) -> None:
    data = PREFACE + WIRE
    lines = FrameLines()
    places = sorted({0, *cuts, len(data)})
    told = [line for start, end in pairwise(places) for line in lines.feed(data[start:end])]
    assert [
        line for line in told if not line.startswith("more of ") and line != "part of the head of a frame"
    ] == ["preface", *LINES]


def test_a_piece_without_a_head_says_what_it_belongs_to() -> None:
    lines = FrameLines()
    data = frames.DataFrame(1, bytes(100)).serialize()
    assert lines.feed(data[:50]) == ("DATA stream 1, 100 octets",)
    assert lines.feed(data[50:]) == ("more of DATA stream 1, 100 octets",)
    assert lines.feed(data[:5]) == ("part of the head of a frame",)
    assert lines.feed(b"") == ()


def test_a_flood_of_frames_makes_no_flood_of_lines() -> None:
    told = FrameLines().feed(frames.PingFrame(0, bytes(8)).serialize() * 5000)
    assert len(told) == 101
    assert told[-1] == "and 4900 more frames"


def test_truncated_codes_are_left_out() -> None:
    assert FrameLines().feed(b"\x00\x00\x02\x03\x00\x00\x00\x00\x01\x00\x08") == (
        "RST_STREAM stream 1, 2 octets",
    )


@given(data=st.binary(max_size=300))
def test_what_is_no_http2_is_told_too(data: bytes) -> None:
    lines = FrameLines()
    assert bool(lines.feed(data)) is bool(data)
    assert all(line.isascii() and line.isprintable() for line in lines.feed(data + PREFACE))
