"""Header blocks: what is remembered, what is refused."""

from __future__ import annotations

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirelane.http2.fields import field
from wirelane.http2.headers import (
    BlockKind,
    HeaderBlock,
    HeaderDecoder,
    HeaderEncoder,
    OversizedBlock,
)
from wirelane.http2.hpack import literal

REQUEST = ((b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a.B/c"), (b"x-token", b"t" * 40))
names = st.from_regex(rb"[a-z0-9_.-]{1,200}", fullmatch=True)
values = st.binary(max_size=400)


@given(st.lists(st.tuples(names, values), max_size=8))
def test_literals_of_any_size_are_read_by_another_implementation(fields: list[tuple[bytes, bytes]]) -> None:
    block = b"".join(literal(name, value) for name, value in fields)
    decoder = hpack.Decoder(max_header_list_size=10**6)
    assert [(bytes(n), bytes(v)) for n, v in decoder.decode(block, raw=True)] == fields


def test_a_repeated_head_becomes_the_same_indexed_octets() -> None:
    encoder = HeaderEncoder()
    first = encoder.encode(REQUEST)
    second, third = encoder.encode(REQUEST), encoder.encode(REQUEST)
    assert len(second) < len(first)
    assert second == third
    assert min(second) >= 0x80


@given(
    st.lists(
        st.tuples(
            st.sampled_from([REQUEST, REQUEST[:2], ((b":status", b"200"),)]),
            st.lists(st.tuples(names, values), max_size=3),
        ),
        max_size=12,
    )
)
def test_memory_never_changes_what_is_read(
    calls: list[tuple[tuple[tuple[bytes, bytes], ...], list[tuple[bytes, bytes]]]],
) -> None:
    encoder, theirs, ours = HeaderEncoder(), hpack.Decoder(max_header_list_size=10**6), HeaderDecoder(10**6)
    for stable, variable in calls:
        block = encoder.encode(stable, variable)
        expected = [*stable, *variable]
        assert [(bytes(n), bytes(v)) for n, v in theirs.decode(block, raw=True)] == expected
        assert ours.decode(block, BlockKind.TRAILERS).headers == expected


@given(st.lists(st.lists(st.tuples(names, st.binary(max_size=30)), max_size=5), max_size=20))
def test_our_memory_follows_a_table_that_another_encoder_changes(
    lists: list[list[tuple[bytes, bytes]]],
) -> None:
    theirs, ours = hpack.Encoder(), HeaderDecoder(10**6)
    for fields in lists:
        assert ours.decode(bytes(theirs.encode(fields)), BlockKind.TRAILERS).headers == fields
        assert ours.decode(bytes(theirs.encode(fields)), BlockKind.TRAILERS).headers == fields


def test_a_table_size_of_the_peer_is_obeyed() -> None:
    encoder, decoder = HeaderEncoder(), hpack.Decoder()
    decoder.decode(encoder.encode(REQUEST))
    decoder.max_allowed_table_size = 0
    encoder.set_table_size(0)
    for _ in range(3):
        assert len(list(decoder.decode(encoder.encode(REQUEST)))) == len(REQUEST)


def test_a_list_above_the_hard_limit_stops_the_decoder() -> None:
    block = hpack.Encoder().encode([(b"x", b"v" * 5000)])
    with pytest.raises(OversizedBlock):
        HeaderDecoder(4096).decode(bytes(block), BlockKind.TRAILERS)


@pytest.mark.parametrize(
    ("kind", "headers", "words"),
    [
        (BlockKind.REQUEST, [*REQUEST, (b":authority", b"x")], "after a regular"),
        (BlockKind.REQUEST, [REQUEST[0], *REQUEST], "twice"),
        (BlockKind.REQUEST, [(b":status", b"200"), *REQUEST], "unknown"),
        (BlockKind.REQUEST, REQUEST[:2], "without"),
        (BlockKind.RESPONSE, [(b":status", b"20")], "three digits"),
        (BlockKind.RESPONSE, [], "three digits"),
        (BlockKind.TRAILERS, [(b":status", b"200")], "in trailers"),
        (BlockKind.TRAILERS, [(b"Name", b"v")], "does not allow"),
        (BlockKind.TRAILERS, [(b"", b"v")], "does not allow"),
        (BlockKind.TRAILERS, [(b"na me", b"v")], "does not allow"),
        (BlockKind.TRAILERS, [(b"upgrade", b"h2c")], "connection-specific"),
        (BlockKind.TRAILERS, [(b"te", b"gzip")], "te with"),
        (BlockKind.TRAILERS, [(b"x", b"a\r\nb")], "control"),
        (BlockKind.RESPONSE, [(b":status", b" 20")], "white space"),
        (BlockKind.TRAILERS, [(b"content-length", b"1"), (b"content-length", b"2")], "differ"),
    ],
)
def test_malformed_lists_are_named(kind: BlockKind, headers: list[tuple[bytes, bytes]], words: str) -> None:
    error = HeaderBlock([field(*pair) for pair in headers], kind, 0).error
    assert error is not None
    assert words in error


def test_the_size_counts_32_octets_a_field() -> None:
    block = literal(b"ab", b"cde") + b"\x82" + literal(b"x", b"")
    assert HeaderDecoder(4096).decode(block, BlockKind.TRAILERS).size == 37 + (7 + 3 + 32) + 33


def test_a_row_of_known_fields_means_what_the_table_holds_now() -> None:
    """What such a row meant is remembered, and forgotten when the table changes."""
    decoder = HeaderDecoder(4096)
    for value in (b"1", b"2", b"2", b"3"):
        decoder.decode(b"\x40\x01a\x01" + value, BlockKind.TRAILERS)
        for new in (b"x", b"y"):
            block = b"\xbe\xbe" + literal(b"new", value + new) + b"\xbe"
            headers = decoder.decode(block, BlockKind.TRAILERS).headers
            assert headers == [(b"a", value), (b"a", value), (b"new", value + new), (b"a", value)]


def test_metadata_that_comes_again_with_the_same_key_is_indexed_and_remembered() -> None:
    """Also if the first block with it changed no table, so that it could have been remembered as it was."""
    encoder, metadata = HeaderEncoder(), ((b"x-trace", b"t" * 40),)
    for _ in range(2):
        encoder.encode(REQUEST)
    sizes = [len(encoder.encode(REQUEST, metadata, "with metadata")) for _ in range(4)]
    assert sizes[2:] == [len(encoder.encode(REQUEST)) + 1] * 2


def test_timeouts_push_nothing_out_of_the_table() -> None:
    encoder = HeaderEncoder()
    encoder.encode(REQUEST)
    head = encoder.encode(REQUEST)
    for number in range(300):
        for _ in range(2):
            block = encoder.encode(REQUEST, ((b"grpc-timeout", b"%dm" % number),))
            assert block.startswith(head)
