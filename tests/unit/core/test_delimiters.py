"""When a read ends, and what it leaves behind."""

from __future__ import annotations

import re

import pytest

from wirelane.core.delimiters import (
    Available,
    Exactly,
    Matching,
    ReadRule,
    UntilEof,
    UpTo,
    encode_text,
    line_rule,
    text_markers,
)
from wirelane.core.readbuffer import Markers, ReadBuffer
from wirelane.errors import CodecError, LimitExceeded, UsageError


def filled(*pieces: bytes) -> ReadBuffer:
    buffer = ReadBuffer()
    for piece in pieces:
        buffer.append(piece)
    return buffer


def up_to(
    marker: bytes | tuple[bytes, ...], size: int = 1000, *, keep: bool = True, limit: bool = True
) -> UpTo:
    return UpTo(Markers.of(marker), size, keep=keep, limit_name="max_bytes" if limit else None)


# -- the buffer


def test_taking_leaves_the_rest_in_order() -> None:
    buffer = filled(b"abc", b"def")
    assert buffer.take(4) == b"abcd"
    buffer.append(b"gh")
    assert (buffer.peek(), len(buffer)) == (b"efgh", 4)


def test_unread_bytes_come_first_whether_they_fit_the_gap_or_not() -> None:
    buffer = filled(b"abcdef")
    buffer.take(2)
    buffer.unread(b"xy")
    assert buffer.peek() == b"xycdef"
    buffer.take(1)
    buffer.unread(b"a long text")
    assert buffer.peek() == b"a long textycdef"


def test_a_large_buffer_is_compacted_without_losing_a_byte() -> None:
    buffer = ReadBuffer()
    seen = bytearray()
    blob = bytes(range(256)) * 64
    for _ in range(64):
        buffer.append(blob)
        seen += buffer.take(len(blob) - 100)
    seen += buffer.take(len(buffer))
    assert bytes(seen) == blob * 64


def test_a_search_goes_on_where_the_last_one_ended() -> None:
    buffer = filled(b"x" * 1000)
    rule = up_to(b"\r\n", 5000)
    assert rule.take(buffer, False) is None
    assert buffer.scanned == 1000
    buffer.append(b"\r")
    assert rule.take(buffer, False) is None
    buffer.append(b"\nrest")
    assert rule.take(buffer, False) == b"x" * 1000 + b"\r\n"
    assert buffer.peek() == b"rest"


def test_a_search_for_another_marker_starts_at_the_front() -> None:
    buffer = filled(b"a;b")
    assert up_to(b"\n").take(buffer, False) is None
    assert up_to(b";").take(buffer, False) == b"a;"


def test_taking_in_the_middle_keeps_what_the_search_knows() -> None:
    buffer = filled(b"x" * 100)
    assert up_to(b"\n").take(buffer, False) is None
    buffer.take(40)
    assert buffer.scanned == 60


def test_undo_puts_back_the_last_line() -> None:
    buffer = filled(b"one\ntwo\nthree\nfour\n")
    rule = up_to(b"\n", keep=False)
    for line in (b"one", b"two", b"three"):
        assert rule.take(buffer, False) == line
        buffer.undo()
        assert rule.take(buffer, False) == line
    assert buffer.peek() == b"four\n"


def test_lines_cut_ahead_are_dropped_when_another_rule_reads() -> None:
    buffer = filled(b"1\n2\n3\n4\n5\n")
    rule = up_to(b"\n", keep=False)
    assert [rule.take(buffer, False) for _ in range(3)] == [b"1", b"2", b"3"]
    assert buffer.take(1) == b"4"
    assert rule.take(buffer, False) == b""
    buffer.unread(b"x\ny")
    assert [rule.take(buffer, False) for _ in range(2)] == [b"x", b"y5"]


def test_a_line_cut_ahead_still_obeys_a_smaller_limit() -> None:
    buffer = filled(b"1\n2\n3\n45678\n")
    rule = up_to(b"\n")
    for _ in range(3):
        rule.take(buffer, False)
    with pytest.raises(LimitExceeded):
        up_to(b"\n", 5).take(buffer, False)
    assert rule.take(buffer, False) == b"45678\n"


# -- markers


@pytest.mark.parametrize("cut", range(1, 9))
def test_a_marker_split_at_any_offset_is_found(cut: int) -> None:
    data = b"ab<END>cd"
    buffer = ReadBuffer()
    rule = up_to(b"<END>")
    results = []
    for piece in (data[:cut], data[cut:]):
        buffer.append(piece)
        results.append(rule.take(buffer, False))
    assert [result for result in results if result] == [b"ab<END>"]
    assert buffer.peek() == b"cd"


@pytest.mark.parametrize(
    ("data", "markers", "expected"),
    [
        (b"aaab", b"aab", b"aaab"),
        (b"abababc", b"ababc", b"abababc"),
        (b"x\r\ny", (b"\n", b"\r\n"), b"x\r\n"),
        (b"abcd", (b"bcd", b"c"), b"abc"),
        (b"abcd", (b"abcd", b"d", b"bcd"), b"abcd"),
    ],
)
def test_the_marker_that_ends_first_counts(
    data: bytes, markers: bytes | tuple[bytes, ...], expected: bytes
) -> None:
    assert up_to(markers).take(filled(data), False) == expected


def test_of_markers_that_end_together_the_longest_is_dropped() -> None:
    buffer = filled(b"one\r\ntwo\nthree\r\n")
    rule = up_to((b"\n", b"\r\n"), keep=False)
    assert [rule.take(buffer, False) for _ in range(3)] == [b"one", b"two", b"three"]


def test_a_size_ends_the_read_where_no_marker_does() -> None:
    buffer = filled(b"abcdef\n")
    rule = up_to(b"\n", 4, limit=False)
    assert [rule.take(buffer, False), rule.take(buffer, False)] == [b"abcd", b"ef\n"]


def test_a_marker_across_the_size_does_not_count_in_one_piece() -> None:
    buffer = filled(b"abc\r\n")
    rule = up_to(b"\r\n", 4, limit=False)
    assert rule.take(buffer, False) == b"abc\r"
    assert rule.take(buffer, False) is None
    assert buffer.peek() == b"\n"


def test_a_limit_keeps_every_byte_and_shows_them() -> None:
    buffer = filled(b"abcdefgh\n")
    with pytest.raises(LimitExceeded) as caught:
        up_to(b"\n", 5).take(buffer, False)
    assert (caught.value.limit, caught.value.maximum, caught.value.partial) == ("max_bytes", 5, b"abcde")
    assert buffer.peek() == b"abcdefgh\n"
    assert up_to(b"\n", 9).take(buffer, False) == b"abcdefgh\n"


@pytest.mark.parametrize("marker", [b"", (), (b"a", b""), "text", ("text",), (1, 2)])
def test_what_is_no_marker_is_refused(marker: object) -> None:
    with pytest.raises(UsageError, match="marker"):
        Markers.of(marker)  # type: ignore[arg-type]


# -- the other rules


def test_exactly_waits_for_the_last_byte() -> None:
    buffer = filled(b"abc")
    assert Exactly(4).take(buffer, False) is None
    buffer.append(b"de")
    assert Exactly(4).take(buffer, False) == b"abcd"
    assert Exactly(0).take(buffer, False) == b""


def test_available_takes_what_is_there_up_to_its_limit_and_nothing_only_at_the_end() -> None:
    buffer = filled(b"abcdef")
    rule = Available(4)
    assert [rule.take(buffer, False) for _ in range(3)] == [b"abcd", b"ef", None]
    assert rule.take(buffer, True) == b""


def test_until_eof_takes_a_stream_of_its_limit_and_refuses_one_byte_more() -> None:
    buffer = filled(b"abcd")
    assert UntilEof(4).take(buffer, False) is None
    assert UntilEof(4).take(filled(b"abcd"), True) == b"abcd"
    buffer.append(b"e")
    with pytest.raises(LimitExceeded) as caught:
        UntilEof(4).take(buffer, True)
    assert (caught.value.partial, buffer.peek()) == (b"abcd", b"abcde")


@pytest.mark.parametrize(
    "make",
    [
        lambda: Exactly(-1),
        lambda: up_to(b"\n", 0),
        lambda: up_to(b"\n", -1, limit=False),
        lambda: UntilEof(-1),
        lambda: Matching(rb"a", 0),
        lambda: Matching(b"(", 10),
        lambda: Matching(re.compile("text"), 10),  # type: ignore[arg-type]
    ],
)
def test_sizes_and_patterns_that_cannot_be_are_refused(make: object) -> None:
    with pytest.raises(UsageError):
        make()  # type: ignore[operator]


# -- regular expressions


@pytest.mark.parametrize(
    ("pattern", "data", "expected"),
    [
        (rb"\d+", b"ab123\n", b"ab1"),
        (rb"\d+\n", b"ab123\ncd", b"ab123\n"),
        (rb"[$#] $", b"login ok\n$ ", b"login ok\n$ "),
        (rb"foo(?=bar)", b"foofoobarbaz", b"foofoo"),
        (rb"abc|ab", b"abcd", b"ab"),
        (rb"(?s)\A.*?<END>", b"1\n2<END>3<END>", b"1\n2<END>"),
        (rb"(?i)error|OK", b"...Error OK", b"...Error"),
        (rb"a\b", b"ab a c", b"a"),
    ],
)
def test_a_pattern_ends_where_it_first_matches_byte_by_byte(
    pattern: bytes, data: bytes, expected: bytes
) -> None:
    whole = filled(data)
    assert Matching(pattern, 100).take(whole, False) == expected
    assert whole.peek() == data[len(expected) :]
    dripping, rule, found = ReadBuffer(), Matching(pattern, 100), None
    for at in range(len(data)):
        dripping.append(data[at : at + 1])
        found = rule.take(dripping, False)
        if found is not None:
            break
    assert found == expected


def test_a_pattern_without_a_match_stops_at_its_window() -> None:
    buffer = filled(b"x" * 20)
    with pytest.raises(LimitExceeded) as caught:
        Matching(rb"y", 10).take(buffer, False)
    assert (caught.value.limit, caught.value.partial, len(buffer)) == ("window", b"x" * 10, 20)


def test_what_was_read_before_is_no_context_for_a_pattern() -> None:
    buffer = filled(b"abc\nabc")
    buffer.take(4)
    assert Matching(rb"\Aabc", 100).take(buffer, False) == b"abc"


# -- text


def lines(
    data: bytes, encoding: str, marker: str | tuple[str, ...] = "\n", *, keep: bool = False
) -> list[str]:
    rule: ReadRule[str] = line_rule(marker, encoding, 1000, keep, "strict")
    buffer, found = ReadBuffer(), []
    for at in range(len(data)):
        buffer.append(data[at : at + 1])
        while (line := rule.take(buffer, False)) is not None:
            found.append(line)
    return found


@pytest.mark.parametrize(
    "encoding", ["utf-8", "latin-1", "cp1251", "utf-16-le", "utf-16-be", "utf-32-le", "cp037"]
)
def test_lines_are_cut_at_the_marker_of_their_encoding(encoding: str) -> None:
    assert lines("eins\nzwei\n".encode(encoding), encoding) == ["eins", "zwei"]
    assert lines("eins\nzwei\n".encode(encoding), encoding, keep=True) == ["eins\n", "zwei\n"]


def test_a_marker_between_two_code_units_is_none() -> None:
    # U+0A41 U+0042 in big endian: 0a 41 00 42; U+0141 U+0A00: 01 41 0a 00, and little endian has 0a 00 across.
    text = "\u0a00\u0a42\u000a\u4100\u0a0a\u000a"
    for encoding in ("utf-16-le", "utf-16-be"):
        assert lines(text.encode(encoding), encoding) == ["\u0a00\u0a42", "\u4100\u0a0a"]


def test_alignment_counts_from_the_first_unread_byte() -> None:
    buffer = filled(b"\x0a\x00\x0a")
    rule = line_rule("\n", "utf-16-be", 100, False, "strict")
    assert rule.take(buffer, False) is None
    buffer.take(1)
    assert rule.take(buffer, False) == ""


def test_a_byte_order_mark_is_no_part_of_the_marker() -> None:
    assert text_markers("\n", "utf-8-sig").values == (b"\n",)
    assert len(text_markers("\n", "utf-16").values[0]) == 2


def test_a_line_that_is_not_text_stays_unread() -> None:
    buffer = filled(b"good\nbad\xff\nnext\n")
    rule = line_rule("\n", "utf-8", 100, False, "strict")
    assert rule.take(buffer, False) == "good"
    for _ in range(2):
        with pytest.raises(CodecError, match="not text"):
            rule.take(buffer, False)
    assert up_to(b"\n").take(buffer, False) == b"bad\xff\n"
    assert rule.take(buffer, False) == "next"


@pytest.mark.parametrize("errors", ["replace", "ignore", "surrogateescape"])
def test_an_error_handler_makes_any_line_text(errors: str) -> None:
    rule = line_rule("\n", "utf-8", 100, False, errors)
    assert rule.take(filled(b"bad\xff\n"), False) == b"bad\xff".decode("utf-8", errors)


@pytest.mark.parametrize(
    ("marker", "encoding"),
    [("\n", "no-such"), ("\n", "hex"), ("→", "ascii"), ("", "utf-8"), (b"\n", "utf-8")],
)
def test_markers_that_an_encoding_does_not_have_are_refused(marker: str, encoding: str) -> None:
    with pytest.raises(UsageError):
        text_markers(marker if isinstance(marker, str) else (marker,), encoding)


def test_text_that_an_encoding_does_not_have_cannot_be_sent() -> None:
    with pytest.raises(CodecError):
        encode_text("→", "latin-1")
    with pytest.raises(UsageError):
        encode_text("a", "no-such")
