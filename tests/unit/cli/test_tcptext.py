r"""Text of the command line as bytes: newlines, \xHH, encodings, CR before LF."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirelane import UsageError
from wirelane.cli.tcptext import Crlf, TextOptions


def test_text_is_a_line_of_the_bytes_that_were_typed() -> None:
    assert TextOptions().payload("żaba", escapes=False) == "żaba\n".encode()
    assert TextOptions(newline=r"\r\n").payload("x", escapes=False) == b"x\r\n"
    assert TextOptions(newline="").payload("x", escapes=False) == b"x"
    assert TextOptions(crlf=True).payload("x", escapes=False) == b"x\r\n"
    assert (
        TextOptions().payload("\udcff", escapes=False) == b"\xff\n"
    )  # how Python has bytes that are no UTF-8


def test_escapes_are_bytes_without_an_encoding_and_characters_with_one() -> None:
    assert TextOptions().payload(r"\xff\n", escapes=True) == b"\xff\n"
    assert TextOptions("utf-8").payload(r"\xff\n", escapes=True) == "ÿ\n".encode()
    assert TextOptions("utf-16-le").payload(r"a\u0142\0\\\q", escapes=True) == "ał\0\\\\q".encode("utf-16-le")
    assert TextOptions("utf-8").payload(r"ł\U0001f40d\\x41", escapes=True) == "ł🐍\\x41".encode()


def test_a_byte_order_mark_comes_once_and_never_in_markers() -> None:
    assert TextOptions("utf-16").payload("ab", escapes=False) == "ab\n".encode("utf-16")
    assert TextOptions("utf-16").marker(r"\n") == "\n"
    assert TextOptions().marker(r"\r\n") == b"\r\n"


@given(
    data=st.lists(st.sampled_from([b"\r", b"\n", b"a", b"\r\n"]), max_size=12).map(b"".join),
    cuts=st.lists(st.integers(0, 12), max_size=6),
)
def test_every_lf_has_one_cr_before_it_however_the_bytes_come(data: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    crlf = Crlf()
    pieces = [crlf.feed(b"")]
    pieces += [crlf.feed(data[start:end]) for start, end in pairwise(places)]
    assert b"".join(pieces) == re.sub(rb"(?<!\r)\n", b"\r\n", data)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"encoding": "nonsense"}, "--encoding"),
        ({"encoding": "base64"}, "--encoding"),
        ({"crlf": True, "newline": "x"}, "--newline"),
        ({"crlf": True, "encoding": "utf-32"}, "--crlf"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        TextOptions(**options)


def test_text_that_cannot_be_is_refused() -> None:
    for text in (r"\x0", r"\u12", r"\U1234567"):
        with pytest.raises(UsageError, match="needs its digits"):
            TextOptions("utf-8").payload(text, escapes=True)
    with pytest.raises(UsageError, match="is no character"):
        TextOptions("utf-8").payload(r"\UFFFFFFFF", escapes=True)
    with pytest.raises(UsageError, match="cannot be written in latin-1"):
        TextOptions("latin-1").line("ł")
    with pytest.raises(UsageError, match="--marker"):
        TextOptions("latin-1").marker("ł")
    with pytest.raises(UsageError, match="must not be empty"):
        TextOptions().marker("")
