"""Properties of the parsers of core: what goes out comes back, however the network cut it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirelane.core.compression import SUPPORTED, compress, decompress
from wirelane.core.deadline import format_timeout, parse_timeout
from wirelane.core.framing import BATCH, MessageReader, frame_message
from wirelane.core.metadata import Metadata, from_headers, to_headers
from wirelane.core.percent import decode_message, encode_message
from wirelane.core.target import HostPort, parse_listen, parse_target
from wirelane.errors import CodecError, LimitExceeded, PeerError, UsageError, WirelaneError

LIMIT = 3000
Parts = list[tuple[bool, bytes]]

# Around the size below which the reader gathers pieces, and above the limit.
payloads = st.one_of(
    st.binary(max_size=20), st.integers(0, LIMIT + 20).map(lambda size: bytes(n % 251 for n in range(size)))
)
parts = st.lists(st.tuples(st.booleans(), payloads), max_size=6)


def _cut(data: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted({*(cut % (len(data) + 1) for cut in cuts), len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _read(pieces: list[bytes]) -> tuple[Parts, str | None, int]:
    """Return the messages, the fault and what is pending; on the way check what holds after every piece."""
    reader = MessageReader(LIMIT)
    received: Parts = []
    given = 0
    for piece in pieces:
        try:
            received += reader.feed(piece)
        except WirelaneError as error:
            return received + reader.completed, f"{type(error).__name__}: {error}", 0
        given += len(piece)
        assert reader.pending == given - sum(len(payload) + 5 for _, payload in received)
    return received, None, reader.pending


@given(parts, st.binary(max_size=9), st.lists(st.integers(0, 20_000), max_size=12))
def test_messages_do_not_depend_on_how_the_network_cut_them(messages, tail, cuts):
    data = b"".join(frame_message(payload, flag) for flag, payload in messages) + tail
    whole = _read([data])
    assert whole == _read([data[n : n + 1] for n in range(len(data))])
    assert whole == _read(_cut(data, cuts))


def _read_holding(pieces: list[bytes], turns: list[str]) -> tuple[Parts, str | None, int]:
    """As `_read`, with a reader that is told to hold, and asked for more, in between."""
    reader = MessageReader(LIMIT)
    received: Parts = []
    fault = None
    for number, piece in enumerate(pieces):
        turn = turns[number % len(turns)]
        if turn == "hold":
            reader.hold()
        elif turn == "take":
            received += reader.more()
        pending, held = reader.pending, reader.held
        try:
            found = reader.feed(piece)
        except WirelaneError as error:
            received += reader.completed
            fault = f"{type(error).__name__}: {error}"
            break
        assert not (found and held)
        received += found
        assert reader.pending + reader.held == pending + held + len(piece) - sum(len(m) + 5 for _, m in found)
        assert reader.holding or not reader.held
        if reader.pending:
            assert 0 < reader.missing <= LIMIT + 5
    while more := reader.more():
        received += more
    assert (reader.holding, reader.held) == (False, 0)
    return received, fault, 0 if fault else reader.pending


turns = st.lists(st.sampled_from(["hold", "take", "go on"]), min_size=1, max_size=5)


@given(parts, st.binary(max_size=9), st.lists(st.integers(0, 20_000), max_size=12), turns)
def test_messages_that_are_held_are_the_same(messages, tail, cuts, turns):
    data = b"".join(frame_message(payload, flag) for flag, payload in messages) + tail
    assert _read_holding(_cut(data, cuts), turns) == _read([data])


@given(st.integers(0, 3000), st.integers(0, 9), st.lists(st.integers(0, 60_000), max_size=5), turns)
def test_messages_are_cut_so_many_at_once_and_none_is_lost(count, size, cuts, turns):
    messages = [(False, bytes([n % 251]) * (n % (size + 1))) for n in range(count)]
    data = b"".join(frame_message(payload) for _, payload in messages)
    reader = MessageReader(LIMIT)
    assert len(reader.feed(data)) == min(count, BATCH)
    assert _read_holding(_cut(data, cuts), turns) == (messages, None, 0)


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=12))
def test_noise_does_not_depend_on_how_the_network_cut_it(data, cuts):
    assert _read([data]) == _read([data[n : n + 1] for n in range(len(data))]) == _read(_cut(data, cuts))


@given(st.lists(st.tuples(st.booleans(), payloads.filter(lambda payload: len(payload) <= LIMIT)), max_size=6))
def test_messages_come_back_as_they_were_sent(messages):
    data = b"".join(frame_message(payload, flag) for flag, payload in messages)
    assert _read([data]) == (messages, None, 0)


# No name of the protocol starts with an x.
text_names = (
    st.text("abcdefghijklmnopqrstuvwxyz0123456789_.-", max_size=80)
    .map("x{}".format)
    .filter(lambda name: not name.endswith("-bin"))
)
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)).map(lambda text: text.strip(" "))
pairs = st.lists(
    st.one_of(st.tuples(text_names, values), st.tuples(text_names.map("{}-bin".format), st.binary())),
    max_size=12,
)


@given(pairs)
def test_metadata_comes_back_as_it_was_sent(entries):
    metadata = Metadata(entries)
    headers = to_headers(metadata)
    back = from_headers(headers)
    assert back.items() == metadata.items() == entries
    assert metadata.size == sum(len(name) + len(value) + 32 for name, value in headers)


@given(st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=20))))
def test_a_received_header_list_is_metadata_or_the_peers_fault(headers):
    try:
        metadata = from_headers(headers)
    except PeerError:
        assert any(name.endswith(b"-bin") for name, _ in headers)
        return
    assert {name.encode() for name in metadata} <= {name for name, _ in headers}


@given(st.sampled_from([*"xX", "x-bin"]), st.one_of(st.text(), st.binary()))
def test_metadata_that_was_accepted_can_be_sent(name, value):
    try:
        metadata = Metadata({name: value})
    except UsageError:
        return
    ((sent_name, sent),) = to_headers(metadata)
    assert sent_name.islower()
    assert all(0x20 <= byte <= 0x7E for byte in sent)


class MetadataModel:
    """What Metadata means, in the plainest way: a list of pairs, looked through every time."""

    def __init__(self) -> None:
        self.pairs: list[tuple[str, str]] = []

    def set(self, name: str, value: str) -> None:
        index = next((n for n, pair in enumerate(self.pairs) if pair[0] == name), len(self.pairs))
        before = self.pairs[:index]
        after = [pair for pair in self.pairs[index:] if pair[0] != name]
        self.pairs = [*before, (name, value), *after]


@given(st.lists(st.tuples(st.sampled_from(["add", "set", "del", "merge"]), st.sampled_from("aAbBc"), values)))
def test_metadata_behaves_as_a_list_of_pairs(steps):
    metadata, model = Metadata(), MetadataModel()
    for step, name, value in steps:
        lowered = name.lower()
        others = [pair for pair in model.pairs if pair[0] != lowered]
        if step == "add":
            metadata.add(name, value)
            model.pairs.append((lowered, value))
        elif step == "set":
            metadata[name] = value
            model.set(lowered, value)
        elif step == "del":
            metadata.pop(name)
            model.pairs = others
        else:
            metadata = metadata.merged({name: [value, value]})
            model.pairs = [*others, (lowered, value), (lowered, value)]
        assert metadata.items() == model.pairs
        assert metadata.get_all(name) == [found for key, found in model.pairs if key == lowered]
        assert list(metadata) == list(dict(model.pairs))


@given(st.floats(min_value=0, max_value=1e12, exclude_min=True))
def test_a_timeout_is_never_shortened_and_hardly_lengthened(seconds):
    text = format_timeout(seconds)
    assert 2 <= len(text) <= 9
    back = parse_timeout(text)
    if seconds < 99_999_999 * 3600:
        # One unit in the last place: a product of a fraction is not exact.
        assert back >= seconds * (1 - 1e-15)
        assert back <= seconds * 1.01 + 1.1e-9


@given(st.one_of(st.text(max_size=12), st.from_regex(r"\A[0-9]{1,9}[HMSmunx]\Z")))
def test_a_timeout_is_a_finite_time_or_a_value_error(text):
    try:
        seconds = parse_timeout(text)
    except ValueError:
        return
    assert math.isfinite(seconds)
    assert seconds >= 0
    assert parse_timeout(text.encode()) == seconds


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_status_message_comes_back_as_it_was_sent(message):
    encoded = encode_message(message)
    assert decode_message(encoded) == message
    assert all(0x20 <= byte <= 0x7E for byte in encoded)
    assert encoded == encoded.strip()


@given(st.text())
def test_every_text_can_be_a_status_message(message):
    assert encode_message(message).isascii()


@given(st.one_of(st.binary(), st.lists(st.sampled_from([b"%", b"4", b"g", b"\xe2", b"%E2"])).map(b"".join)))
def test_every_status_message_can_be_read(data):
    message = decode_message(data)
    assert message.encode("utf-8").decode("utf-8") == message


@given(st.sampled_from(SUPPORTED), st.binary(max_size=300), st.integers(1, 400))
def test_inflating_gives_the_message_or_keeps_to_the_limit(name, unit, times):
    data = unit * times
    packed = compress(name, data)
    assert decompress(name, packed, len(data)) == data
    if data:
        with pytest.raises(LimitExceeded):
            decompress(name, packed, len(data) - 1)


@given(st.sampled_from(["gzip", "deflate"]), st.binary(max_size=60), st.binary(max_size=60), st.data())
def test_damaged_messages_are_errors_and_never_longer_than_the_limit(name, data, other, draw):
    packed = bytearray(compress(name, data) + draw.draw(st.sampled_from([b"", compress(name, other), other])))
    index = draw.draw(st.integers(0, len(packed) - 1))
    packed[index] ^= draw.draw(st.integers(0, 255))
    try:
        result = decompress(name, bytes(packed), 100)
    except (CodecError, LimitExceeded):
        return
    assert len(result) <= 100


hosts = st.one_of(
    st.from_regex(r"\A[a-z0-9_]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z]{1,10}){0,3}\Z"),
    st.ip_addresses().map(str),
)


@given(
    hosts,
    st.integers(1, 65_535),
    st.sampled_from(["", "dns:///", "grpc://", "grpcs://", "http://", "static:///"]),
)
def test_an_address_comes_back_as_it_was_written(host, port, scheme):
    address = HostPort(host, port)
    target = parse_target(scheme + str(address))
    assert target.addresses == (address,)
    assert target.tls is {"grpcs://": True, "grpc://": False, "http://": False}.get(scheme)
    assert parse_listen(str(address)) == address


address_noise = st.one_of(
    st.text(max_size=30),
    st.lists(
        st.sampled_from(
            [
                "dns:",
                "unix:",
                "static:",
                "https:",
                "//",
                "/",
                ":",
                "@",
                "[",
                "]",
                "::1",
                "%",
                ",",
                "a",
                "80",
                "é",
            ]
        ),
        max_size=8,
    ).map("".join),
)


@given(address_noise, st.sampled_from(["grpc", "tcp"]))
def test_every_text_is_a_target_or_a_usage_error(text, kind):
    try:
        target = parse_target(text, kind=kind, default_port=1)
    except UsageError:
        return
    assert target.addresses
    assert target.authority.isascii()
    assert not set(target.authority) & set(" @/?#,%\r\n")
