from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest

from wirelane.core.compression import SUPPORTED, accept_encoding, choose, compress, decompress
from wirelane.errors import CodecError, LimitExceeded, UsageError

TEXT = b"the same words, the same words, the same words" * 50
PACKED = ["gzip", "deflate"]


@pytest.mark.parametrize("name", SUPPORTED)
@pytest.mark.parametrize("data", [b"", b"x", TEXT])
def test_what_was_compressed_comes_back(name, data):
    assert decompress(name, compress(name, data), len(data)) == data


@pytest.mark.parametrize("name", PACKED)
def test_repeating_text_becomes_shorter(name):
    assert len(compress(name, TEXT)) < len(TEXT) / 10


def test_gzip_and_deflate_are_what_other_programs_mean_by_them():
    assert gzip.decompress(compress("gzip", TEXT)) == TEXT
    assert decompress("gzip", gzip.compress(TEXT), len(TEXT)) == TEXT
    assert zlib.decompress(compress("deflate", TEXT)) == TEXT
    assert decompress("deflate", zlib.compress(TEXT), len(TEXT)) == TEXT


@pytest.mark.parametrize("name", SUPPORTED)
def test_the_limit_is_the_longest_result_that_passes(name):
    data = compress(name, TEXT)
    assert decompress(name, data, len(TEXT)) == TEXT
    with pytest.raises(LimitExceeded) as caught:
        decompress(name, data, len(TEXT) - 1)
    assert (caught.value.limit, caught.value.maximum) == ("max_receive_message", len(TEXT) - 1)


@pytest.mark.parametrize("name", SUPPORTED)
def test_a_limit_of_nothing_lets_nothing_pass(name):
    assert decompress(name, compress(name, b""), 0) == b""
    with pytest.raises(LimitExceeded):
        decompress(name, compress(name, b"x"), 0)


@pytest.mark.parametrize("name", PACKED)
def test_a_bomb_is_refused_before_it_takes_memory(name):
    bits = {"gzip": 31, "deflate": 15}[name]
    packer = zlib.compressobj(9, wbits=bits)
    bomb = b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(64)), packer.flush()])
    assert len(bomb) < 100_000
    tracemalloc.start()
    try:
        with pytest.raises(LimitExceeded):
            decompress(name, bomb, 1 << 20)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20


def test_a_bomb_in_many_members_is_refused_as_well():
    bomb = gzip.compress(bytes(1 << 16)) * 100
    with pytest.raises(LimitExceeded):
        decompress("gzip", bomb, 1 << 20)


def test_a_gzip_message_may_have_several_members():
    data = gzip.compress(b"ab") + gzip.compress(b"") + gzip.compress(b"c" * 100_000, compresslevel=0)
    assert decompress("gzip", data + gzip.compress(b"d"), 1 << 20) == b"ab" + b"c" * 100_000 + b"d"


def test_a_message_of_very_many_members_is_refused():
    # With no end to them, this one would copy some 400 GB on its way to an empty result.
    with pytest.raises(CodecError, match="members"):
        decompress("gzip", gzip.compress(b"") * 200_000, 1 << 20)


def test_as_many_members_as_a_large_blocked_file_has_are_read():
    assert decompress("gzip", gzip.compress(b"x" * 1000) * 1024, 1 << 20) == b"x" * 1024 * 1000


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("junk", [b"\0", b"junk", b"\x1f\x8b"])
def test_bytes_behind_the_end_are_an_error(name, junk):
    with pytest.raises(CodecError, match=name):
        decompress(name, compress(name, TEXT) + junk, 1 << 20)


def test_deflate_has_only_one_member():
    with pytest.raises(CodecError, match="behind its end"):
        decompress("deflate", zlib.compress(b"a") * 2, 100)


@pytest.mark.parametrize("name", PACKED)
def test_a_message_that_ends_too_early_is_an_error_wherever_it_was_cut(name):
    data = compress(name, b"some words and some words")
    for end in range(len(data)):
        with pytest.raises(CodecError, match="too early"):
            decompress(name, data[:end], 1 << 20)


@pytest.mark.parametrize("name", PACKED)
def test_a_corrupt_message_is_an_error(name):
    data = bytearray(compress(name, TEXT))
    data[-3] ^= 0xFF  # the checksum
    for corrupt in (bytes(data), b"not compressed at all", b"\0" * 50):
        with pytest.raises(CodecError, match=f"no valid {name}"):
            decompress(name, corrupt, 1 << 20)


@pytest.mark.parametrize("name", ["br", "", "GZIP", "zstd"])
def test_an_unknown_encoding_is_refused_with_those_that_are_known(name):
    with pytest.raises(UsageError, match="identity, gzip, deflate"):
        compress(name, b"")
    with pytest.raises(UsageError, match="identity, gzip, deflate"):
        decompress(name, b"", 1)


def test_what_is_accepted_is_what_is_supported():
    assert {*accept_encoding().split(","), "identity"} == set(SUPPORTED)


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        (None, "identity"),
        ("", "identity"),
        ("identity", "identity"),
        ("br,zstd", "identity"),
        ("gzip", "gzip"),
        ("identity,deflate,gzip", "gzip"),
        ("identity, Deflate", "deflate"),
    ],
)
def test_the_best_encoding_that_both_know_is_chosen(accepted, chosen):
    assert choose(accepted) == chosen
