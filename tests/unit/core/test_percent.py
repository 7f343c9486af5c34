from __future__ import annotations

import pytest

from wirelane.core.percent import decode_message, encode_message


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("", b""),
        ("no such user", b"no such user"),
        ("100%", b"100%25"),
        ("a\r\nb", b"a%0D%0Ab"),
        ("\x7f~", b"%7F~"),
        ("ü", b"%C3%BC"),
        ("\u263a\U0001f608", b"%E2%98%BA%F0%9F%98%88"),
        ("  x y ", b"%20%20x y%20"),
        ("  ", b"%20%20"),
        ("a \n", b"a %0A"),
        ("\ud800", b"?"),
    ],
)
def test_a_text_is_escaped_utf8(text, encoded):
    assert encode_message(text) == encoded


def test_the_message_of_the_interop_suite_survives():
    message = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n"
    assert decode_message(encode_message(message)) == message


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b"plain", "plain"),
        (b"%41%6a%6A", "Ajj"),
        (b"100%", "100%"),
        (b"%4", "%4"),
        (b"%zz%41", "%zzA"),
        (b"%%41", "%A"),
        (b"%2541", "%41"),
        (b"%FF", "\ufffd"),
        (b"\xc3\xbc", "ü"),
        (b"\xff", "\ufffd"),
    ],
)
def test_decoding_makes_the_best_of_what_came(data, text):
    assert decode_message(data) == text
