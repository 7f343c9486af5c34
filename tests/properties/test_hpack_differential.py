"""Our HPACK and that of the `hpack` library: each reads what the other writes, and both judge any octets alike."""

from __future__ import annotations

from typing import Any

import hpack
from hypothesis import example, given, settings
from hypothesis import strategies as st

from support.http2_support import EXAMPLES, Pairs
from wirelane.http2.headers import BlockKind, HeaderDecoder, HeaderEncoder, OversizedBlock
from wirelane.http2.hpack import HpackDecoder

NAMES = st.sampled_from(
    [b":path", b":status", b"a", b"bb", b"grpc-status", b"authorization", b"cookie", b"n" * 200]
)
VALUES = st.one_of(
    st.sampled_from([b"", b"1", b"200", b"/", b"v" * 300, b"v" * 1100, b"v" * 5000]), st.binary(max_size=20)
)
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=6)
# Blocks of few kinds that come again and again, as those of calls do.
BLOCKS = st.one_of(FIELDS, st.sampled_from([[(b"a", b"1")], [(b"a", b"2")], [(b"bb", b"x"), (b"a", b"1")]]))
SIZES = st.lists(st.sampled_from([0, 40, 100, 500, 4096, 65_536]), min_size=1, max_size=3)
STEPS = st.lists(st.tuples(BLOCKS, BLOCKS, st.booleans()) | SIZES, min_size=5, max_size=40)


@settings(max_examples=150 * EXAMPLES, deadline=None)
@given(STEPS)
def test_hpack_reads_what_we_write(steps: list[Any]) -> None:
    encoder, decoder = HeaderEncoder(), hpack.Decoder()
    for step in steps:
        if isinstance(step, list):
            for size in step:
                encoder.set_table_size(size)
                decoder.max_allowed_table_size = size
            continue
        stable, variable, keyed = step
        key = (tuple(stable), tuple(variable)) if keyed else None
        block = encoder.encode(tuple(stable), variable, key)
        heard = [(bytes(name), bytes(value)) for name, value in decoder.decode(block, raw=True)]
        assert heard == [*stable, *variable]


@settings(max_examples=150 * EXAMPLES, deadline=None)
@given(st.lists(st.tuples(BLOCKS, st.booleans(), st.booleans()) | SIZES, min_size=5, max_size=40))
def test_we_read_what_hpack_writes(steps: list[Any]) -> None:
    encoder, decoder = hpack.Encoder(), HeaderDecoder(1 << 20)
    for step in steps:
        if isinstance(step, list):
            for size in step:
                # The same size twice makes the library forget to announce any.
                if min(size, 4096) != encoder.header_table_size:
                    encoder.header_table_size = min(size, 4096)
            continue
        fields, huffman, twice = step
        for _ in range(1 + twice):
            block = bytes(encoder.encode(fields, huffman=huffman))
            for kind in BlockKind:
                if decoder.memory(kind).get(block) is not None:
                    # What is remembered is what the octets mean now.
                    assert decoder.memory(kind)[block].headers == fields
            # Sizes, if the block holds any field, count as section 6.5.2 of RFC 9113 says.
            heard = decoder.decode(block, BlockKind.TRAILERS)
            assert heard.headers == fields
            assert heard.size == sum(len(name) + len(value) + 32 for name, value in fields)


def theirs(decoder: hpack.Decoder, block: bytes) -> Pairs | None:
    """What the library makes of a block; None: it is not HPACK."""
    try:
        return [(bytes(name), bytes(value)) for name, value in decoder.decode(block, raw=True)]
    except hpack.HPACKError:
        return None


def ours(decoder: HpackDecoder, block: bytes) -> Pairs | None:
    try:
        return [one[0] for one in decoder.decode(block)]
    except hpack.HPACKError:
        return None


PIECES = st.one_of(
    st.sampled_from(
        [b"\x82", b"\x88", b"\xbe", b"\xbf", b"\xc0", b"\x80", b"\xff\x00", b"\xff\x80\x01"]
    ),  # indexed
    st.sampled_from([b"\x20", b"\x3f\x09", b"\x3f\xe1\x1f", b"\x3f\xe2\x1f", b"\x3f"]),  # size updates
    st.sampled_from(
        [
            b"\x40\x01a\x011",
            b"\x41\x011",
            b"\x7f\x00\x012",
            b"\x00\x01a\x00",
            b"\x10\x01b\x7f\x01" + bytes(128),
        ]
    ),
    st.sampled_from(
        [
            b"\x40\x81\x1f\x81\x1f",
            b"\x40\x82\x1c\xff\x00",
            b"\x00\x81\xff\x00",
            b"\x40\x84\xff\xff\xff\xff\x00",
        ]
    ),
    st.binary(max_size=6),
)


@settings(max_examples=400 * EXAMPLES, deadline=None)
@given(st.lists(st.lists(PIECES, max_size=5).map(b"".join), max_size=8))
@example([b"\x3f\x09\x3f\xe1\x1f\x82", b"\x82\x20"])
def test_both_judge_any_octets_alike(blocks: list[bytes]) -> None:
    their_decoder, our_decoder = hpack.Decoder(), HpackDecoder(65_536)
    for block in blocks:
        expected, heard = theirs(their_decoder, block), ours(our_decoder, block)
        assert heard == expected, block
        if heard is None:
            # The connection would be over.
            return


def test_integers_longer_than_any_length_are_refused_by_both() -> None:
    for block in (b"\x7f" + b"\xff" * 20, b"\xff" + b"\x80" * 20 + b"\x01", b"\x00\x7f" + b"\xff" * 9):
        assert theirs(hpack.Decoder(), block) is ours(HpackDecoder(65_536), block) is None


@settings(max_examples=100 * EXAMPLES, deadline=None)
@given(st.lists(st.tuples(NAMES, VALUES), min_size=1, max_size=40), st.integers(1, 20_000))
def test_a_list_is_refused_exactly_when_it_is_above_the_hard_limit(fields: Pairs, limit: int) -> None:
    block = bytes(hpack.Encoder().encode(fields))
    size = sum(len(name) + len(value) + 32 for name, value in fields)
    try:
        HpackDecoder(limit).decode(block)
    except OversizedBlock:
        assert size > limit
    else:
        assert size <= limit
