"""The hex dump has the form of `hexdump -C`, and does not depend on how the bytes come."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wirelane.core.hexdump import HexDump


def dump(*pieces: bytes) -> str:
    made = HexDump()
    return "".join(made.lines(piece) for piece in pieces) + made.rest()


def test_its_form() -> None:
    assert dump(b"GET / HTTP/1.1\r\n\x00\xff") == (
        "00000000  47 45 54 20 2f 20 48 54  54 50 2f 31 2e 31 0d 0a  |GET / HTTP/1.1..|\n"
        "00000010  00 ff                                             |..|\n"
    )
    assert dump() == ""


@given(data=st.binary(max_size=100), cuts=st.lists(st.integers(0, 100), max_size=5))
def test_it_does_not_depend_on_the_pieces(data: bytes, cuts: list[int]) -> None:
    places = sorted({min(cut, len(data)) for cut in cuts})
    pieces = [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]
    assert dump(*pieces) == dump(data)
