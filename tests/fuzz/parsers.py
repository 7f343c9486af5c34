"""Fuzz targets for what reads inside the frames: header blocks, metadata, timeouts, status, messages, delimiters.

Each takes any octets and either gets a value that keeps its promises, or the documented error. Where software of others
reads the same format, it must agree; where a reader is fed in pieces, the cut must not matter.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from fractions import Fraction

import hpack

from wirelane.codec.details import decode_status_details
from wirelane.core.deadline import format_timeout, parse_timeout
from wirelane.core.delimiters import (
    Available,
    Exactly,
    Matching,
    ReadRule,
    TextLine,
    UntilEof,
    UpTo,
    text_markers,
)
from wirelane.core.framing import BATCH, PREFIX, MessageReader, frame_message
from wirelane.core.lengthprefix import ByteOrder, Frame, Prefix, length_prefix
from wirelane.core.limits import Limits
from wirelane.core.metadata import Metadata, from_headers, to_headers
from wirelane.core.percent import decode_message, encode_message
from wirelane.core.readbuffer import Markers, ReadBuffer
from wirelane.errors import CodecError, LimitExceeded, PeerError, UsageError
from wirelane.http2.fields import field
from wirelane.http2.headers import BlockKind, HeaderBlock, HeaderDecoder, HeaderEncoder, OversizedBlock
from wirelane.status import StatusCode
from wirelane.transport.base import Ending
from wirelane.transport.heads import check_response, copy_head, parse_ending, parse_request

__all__ = ["delimiters", "details", "header_blocks", "messages", "metadata", "timeout"]

LIMITS = Limits(max_header_list=4096, max_header_fields=20)
Pairs = list[tuple[bytes, bytes]]

# ------------------------------------------------------------------------------------------------------- HPACK

# The library's own default.
_HARD_LIMIT = 65_536
_KINDS = tuple(BlockKind)
_CONNECTION_SPECIFIC = {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}


def header_blocks(data: bytes) -> None:
    """Header blocks, each led by an octet of kind and an octet of length: as `hpack` reads them, judged by section 8.

    What was heard is said again, and must be heard the same, by `hpack` and by ourselves.
    """
    ours, theirs = HeaderDecoder(_HARD_LIMIT), hpack.Decoder(_HARD_LIMIT)
    echo = _Echo()
    for lead, block in _blocks(data):
        kind = _KINDS[lead % 3]
        heard, expected = _read_ours(ours, block, kind), _read_theirs(theirs, block)
        assert (heard is None) == (expected is None)
        if heard is None or expected is None:
            # The connection would be over.
            return
        assert heard.headers == expected
        assert heard.size == sum(len(name) + len(value) + 32 for name, value in expected) <= _HARD_LIMIT
        if heard.error is None:
            _check_list(heard, kind)
        _check_kept(ours)
        assert [one[0] for one in reversed(ours._decoder._table)] == [
            (bytes(name), bytes(value)) for name, value in theirs.header_table.dynamic_entries
        ]
        echo.say(expected, lead // 3)


def _check_kept(decoder: HeaderDecoder) -> None:
    """What a decoder keeps: a table of 4,096 octets, and of lists that come again 128 KiB in 512 blocks of each kind."""
    table = decoder._decoder
    assert table._size == sum(one[1] for one in table._table) <= 4096
    remembered = [block for kind in _KINDS for block in decoder.memory(kind).values()]
    assert sum(block.size for block in remembered) <= 128 * 1024
    assert all(len(decoder.memory(kind)) <= 512 for kind in _KINDS)
    assert len(decoder._seen) <= 64


class _Echo:
    """Our encoder, and two decoders of what it writes. The peer changes its table's size now and then."""

    def __init__(self) -> None:
        self._encoder = HeaderEncoder()
        self._theirs, self._ours = hpack.Decoder(_HARD_LIMIT), HeaderDecoder(_HARD_LIMIT)

    def say(self, fields: Pairs, lead: int) -> None:
        """Send fields, the first `lead % 4` of them as ones that repeat; a lead of 8 and above changes the table first."""
        if lead >= 8:
            self._theirs.max_allowed_table_size = lead * 50
            self._encoder.set_table_size(lead * 50)
        stable, variable = tuple(fields[: lead % 4]), tuple(fields[lead % 4 :])
        block = self._encoder.encode(stable, variable, (stable, variable) if lead & 4 else None)
        assert _read_theirs(self._theirs, block) == fields
        assert self._ours.decode(block, BlockKind.TRAILERS).headers == fields
        table = self._encoder._encoder
        assert table._size == sum(size for _, size in table._entries) <= table._maximum <= 4096
        assert len(table._index) == len(table._entries)
        assert len(table._seen) <= 64
        assert len(self._encoder._memory) <= 512


def _blocks(data: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position + 2 <= len(data):
        lead, length = data[position : position + 2]
        yield lead, data[position + 2 : position + 2 + length]
        position += 2 + length


def _read_ours(decoder: HeaderDecoder, block: bytes, kind: BlockKind) -> HeaderBlock | None:
    try:
        return decoder.decode(block, kind)
    except (hpack.HPACKError, OversizedBlock):
        return None


def _read_theirs(decoder: hpack.Decoder, block: bytes) -> Pairs | None:
    try:
        return [(bytes(name), bytes(value)) for name, value in decoder.decode(block, raw=True)]
    except hpack.HPACKError:
        return None


def _check_list(block: HeaderBlock, kind: BlockKind) -> None:
    """RFC 9113 sections 8.2 and 8.3, read anew: what a list without an error cannot hold."""
    names = [name for name, _ in block.headers]
    pseudo = [name for name in names if name.startswith(b":")]
    assert names[: len(pseudo)] == pseudo
    assert len(set(pseudo)) == len(pseudo)
    for name, value in block.headers:
        assert re.fullmatch(rb":?[!-9;-@\[-~]+", name)
        assert not set(value) & set(b"\0\r\n")
        assert name not in _CONNECTION_SPECIFIC
    fields = dict(block.headers)
    if kind is BlockKind.TRAILERS:
        assert not pseudo
    elif kind is BlockKind.RESPONSE:
        assert pseudo == [b":status"]
        assert block.status == int(fields[b":status"])
    elif fields[b":method"] == b"CONNECT":
        assert set(pseudo) == {b":method", b":authority"}
    else:
        assert (
            {b":method", b":scheme", b":path"}
            <= set(pseudo)
            <= {b":method", b":scheme", b":path", b":authority"}
        )
        assert fields[b":path"]
    if b"content-length" in fields:
        assert block.content_length == int(fields[b"content-length"]) >= 0


# ---------------------------------------------------------------------------------------------------- metadata

# Names that an input may name by their number: what gRPC itself says, and what comes close.
NAMES = (
    b":method", b":path", b":scheme", b":authority", b":status", b"content-type", b"te", b"user-agent", b"host",
    b"grpc-timeout", b"grpc-encoding", b"grpc-accept-encoding", b"grpc-status", b"grpc-message",
    b"grpc-status-details-bin", b"grpc-previous-rpc-attempts", b"grpc-trace-bin", b"x-bin", b"x", b"content-length",
    b"authorization", b"X-Upper", b"connection",
)  # fmt: skip

_OF_HTTP = _CONNECTION_SPECIFIC | {b"host", b"content-length", b"content-type", b"te"}
# Those of its own names that gRPC hands on.
_CENSUS = (b"grpc-previous-rpc-attempts", b"grpc-retry-pushback-ms", b"grpc-trace-bin", b"grpc-tags-bin")
# Padded, or not, or by half.
_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}={0,2}|[A-Za-z0-9+/]{3}=?)?")


def metadata(data: bytes) -> None:
    """A header list as (name, length of the value, value); a name is its number, or from 128 on its length and octets."""
    fields = list(_fields(data))
    _check_metadata(fields)
    for kind in _KINDS:
        block = HeaderBlock([field(*pair) for pair in fields], kind, 0)
        if block.error is None:
            _check_heads(block, kind)


def _fields(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    while position + 2 <= len(data):
        number = data[position]
        position += 1
        if number < 128:
            name = NAMES[number % len(NAMES)]
        else:
            name = data[position : position + number % 32]
            position += number % 32
        length = data[position] if position < len(data) else 0
        yield name, data[position + 1 : position + 1 + length]
        position += 1 + length


def _check_metadata(fields: Pairs) -> None:
    garbled = any(
        not _BASE64.fullmatch(part.strip(b" \t"))
        for name, value in fields
        if _is_ours(name) and name.endswith(b"-bin")
        for part in value.split(b",")
    )
    try:
        read = from_headers(fields)
    except PeerError:
        assert garbled
        return
    assert not garbled
    assert [name.encode() for name, _ in read.items() if not name.endswith("-bin")] == [
        name for name, _ in fields if _is_ours(name) and not name.endswith(b"-bin")
    ]
    _check_bounds(read, fields)
    try:
        sent = to_headers(read)
    except UsageError:
        # What a peer may say, a user may not always send on.
        return
    again = from_headers(sent)
    assert list(again) == list(read)
    assert [value.strip(" ") if isinstance(value, str) else value for _, value in read.items()] == [
        value for _, value in again.items()
    ]
    assert sum(len(name) + len(value) + 32 for name, value in sent) <= read.size


def _is_ours(name: bytes) -> bool:
    """Whether a field is metadata: a name that gRPC allows, and does not keep for itself or for HTTP."""
    kept_back = name.startswith(b"grpc-") and name not in _CENSUS
    return bool(re.fullmatch(rb"[0-9a-z_.-]+", name)) and not kept_back and name not in _OF_HTTP


def _check_bounds(read: Metadata, fields: Pairs) -> None:
    commas = sum(value.count(b",") for name, value in fields if name.endswith(b"-bin"))
    assert len(read) <= len(fields) + commas
    assert sum(len(value) for _, value in read.items()) <= sum(len(value) for _, value in fields)
    for name, value in read.items():
        assert re.fullmatch(r"[0-9a-z_.-]+", name)
        assert name not in ("content-type", "te", "host", "content-length")
        assert isinstance(value, bytes) == name.endswith("-bin")
    repr(read)


def _check_heads(block: HeaderBlock, kind: BlockKind) -> None:
    if kind is BlockKind.REQUEST:
        request = parse_request(block, LIMITS)
        assert not (request.refusal and request.http_status)
        assert request.timeout is None or 0 <= request.timeout < math.inf
        if not request.refusal and not request.http_status:
            # It can be made whenever somebody asks for it.
            assert len(request.copy_metadata()) <= LIMITS.max_header_fields
    else:
        if kind is BlockKind.RESPONSE:
            refusal = check_response(block, LIMITS)
            if refusal is None:
                assert len(copy_head(block).metadata) <= LIMITS.max_header_fields
            else:
                _check_ending(refusal)
        _check_ending(parse_ending(block, LIMITS))


def _check_ending(ending: Ending) -> None:
    assert isinstance(ending.code, StatusCode)
    ending.message.encode("utf-8")
    if ending.details is not None:
        decode_status_details(ending.details)
    if ending.metadata is not None:
        assert len(ending.metadata) <= LIMITS.max_header_fields


# --------------------------------------------------------------------------------------------- timeout, status

# Seconds in a unit, and eight digits of hours.
_UNITS = {
    b"H": Fraction(3600),
    b"M": Fraction(60),
    b"S": Fraction(1),
    b"m": Fraction(1, 10**3),
    b"u": Fraction(1, 10**6),
    b"n": Fraction(1, 10**9),
}
_LONGEST = 99_999_999 * 3600.0


def timeout(data: bytes) -> None:
    """A `grpc-timeout`; the same octets as a `grpc-message`, and eight of them as the seconds of a timeout to send."""
    try:
        seconds = parse_timeout(data)
    except ValueError as error:
        assert len(str(error)) < 256
        assert not re.fullmatch(rb"[0-9]{1,8}[HMSmun]", data)
    else:
        assert re.fullmatch(rb"[0-9]{1,8}[HMSmun]", data)
        assert seconds == float(int(data[:-1]) * _UNITS[data[-1:]])
        assert parse_timeout(data.decode("ascii")) == seconds
        assert parse_timeout(format_timeout(seconds)) >= seconds * (1 - 1e-15)
    if len(data) == 8:
        _check_sent(*struct.unpack("<d", data))
    text = decode_message(data)
    # An octet is a character at the most, U+FFFD for one that is no UTF-8.
    assert len(text) <= len(data)
    coded = encode_message(text)
    assert re.fullmatch(rb"([ -~]*)", coded)
    assert coded == coded.strip()
    assert decode_message(coded) == text


def _check_sent(seconds: float) -> None:
    """What is sent is never less than what is left, and more by one per cent or a nanosecond at most."""
    text = format_timeout(seconds)
    assert re.fullmatch(r"[0-9]{1,8}[HMSmun]", text)
    arrives = parse_timeout(text)
    if not seconds > 0:
        assert arrives == 1e-9
    elif seconds > _LONGEST:
        assert arrives == _LONGEST
    else:
        assert seconds * (1 - 1e-15) <= arrives <= seconds * 1.01 + 1e-9


def details(data: bytes) -> None:
    """The octets of `grpc-status-details-bin`: details, each with its type, or none."""
    for detail in decode_status_details(data):
        assert isinstance(detail["@type"], str)
        repr(detail)


# ---------------------------------------------------------------------------------------------------- messages


def messages(data: bytes) -> None:
    """Length-prefixed messages: a limit, a stride, whether to hold now and then, and the octets; cut and uncut agree."""
    if len(data) < 3:
        return
    limit, stride, hold = data[0] * 16, data[1] + 1, data[2]
    octets = data[3:]
    whole, cut = MessageReader(limit), MessageReader(limit)
    expected = _drain(whole, [octets], limit)
    pieces = [octets[start : start + stride] for start in range(0, len(octets), stride)]
    assert _drain(cut, pieces, limit, hold) == expected
    assert cut.pending == whole.pending
    assert cut.missing == whole.missing
    assert repr(cut)
    # What was read is written as it came, up to where a fault or a message that is not whole begins.
    written = b"".join(frame_message(payload, compressed) for compressed, payload in expected[0])
    assert octets.startswith(written)
    assert expected[1] or len(octets) == len(written) + whole.pending


def _drain(
    reader: MessageReader, pieces: list[bytes], limit: int, hold: int = 0
) -> tuple[list[tuple[bool, bytes]], str]:
    """Feed pieces and return all messages, and the fault, if there was one."""
    found: list[tuple[bool, bytes]] = []
    fault = ""
    for index, piece in enumerate(pieces):
        if hold and index % hold == hold - 1:
            reader.hold()
        try:
            found += reader.feed(piece)
        except (PeerError, LimitExceeded) as error:
            found += reader.completed
            fault = str(error)
            _check_fault(reader, fault)
            break
        assert reader.pending <= limit + PREFIX
        if not hold or index % 3 == 0:
            found += _more(reader)
    found += _more(reader)
    assert all(len(payload) <= limit for _, payload in found)
    return found, fault


def _more(reader: MessageReader) -> list[tuple[bool, bytes]]:
    found: list[tuple[bool, bytes]] = []
    while reader.holding:
        held, some = reader.held, reader.more()
        assert len(some) <= BATCH
        assert not reader.holding or reader.held < held
        found += some
    assert reader.held == 0
    return found


def _check_fault(reader: MessageReader, fault: str) -> None:
    """A reader that has failed says so again, and takes nothing."""
    pending = reader.pending
    for _ in range(2):
        try:
            reader.feed(b"\0\0\0\0\0")
        except (PeerError, LimitExceeded) as error:
            assert str(error) == fault
        else:
            raise AssertionError("a reader that failed goes on")
    assert reader.pending <= pending + 2 * PREFIX


# -------------------------------------------------------------------------------------------------- delimiters

_MARKERS = (b"\n", b"\r\n", b"\0", b"--", b"aab")
_PREFIXES: tuple[tuple[Prefix, ByteOrder, bool], ...] = (
    (1, "big", False),
    (2, "little", True),
    (4, "big", True),
    (8, "big", False),
    ("varint", "big", False),
)
_PATTERNS = (rb"\n", rb"a+b", rb"a$", rb"\bb\b", rb"\d+ ", rb"(?s)b.*a", rb"a(?=b)")


def delimiters(data: bytes) -> None:
    """What is read off a TCP stream: a stride, some reads of two octets each, and the stream; cut and uncut agree."""
    if len(data) < 2:
        return
    stride, count = data[0] + 1, data[1] % 16
    asked = [(data[at], data[at + 1]) for at in range(2, min(2 + 2 * count, len(data) - 1), 2)]
    stream = data[2 + 2 * count :]
    pieces = [stream[start : start + stride] for start in range(0, len(stream), stride)]
    assert _reads(asked, pieces, stream) == _reads(asked, [stream], stream)


def _rule(kind: int, size: int) -> ReadRule[bytes] | ReadRule[str]:
    choice, variant = kind % 8, kind >> 3
    marker = _MARKERS[variant % len(_MARKERS)]
    if choice == 0:
        return Exactly(size)
    if choice == 1:
        return UpTo(Markers.of(marker), size)
    if choice == 2:
        return UpTo(Markers.of(marker), size + 1, keep=bool(variant & 1), limit_name="max_bytes")
    if choice == 3:
        return UpTo(Markers.of([marker, *_MARKERS[:2]]), size + 1, keep=False, limit_name="max_bytes")
    if choice == 4:
        encoding = ("utf-8", "utf-16-le", "ascii", "utf-32-be")[variant % 4]
        return TextLine(
            text_markers("\n", encoding), size + 1, keep=False, encoding=encoding, errors="strict"
        )
    if choice == 5:
        return Matching(_PATTERNS[variant % len(_PATTERNS)], size + 1)
    if choice == 6:
        return UntilEof(size)
    if variant % 2:
        prefix, order, counts = _PREFIXES[(variant >> 1) % len(_PREFIXES)]
        return Frame(length_prefix(prefix, order, counts), size, limit_name="max_bytes")
    return UpTo(Markers.of(b"\n"), 4096, keep=False, limit_name="max_bytes")


def _reads(asked: list[tuple[int, int]], pieces: list[bytes], stream: bytes) -> list[object]:
    """Do the reads one after the other, as a connection does: more is read only while a rule demands it."""
    buffer, source, eof, came = ReadBuffer(), iter(pieces), False, 0
    outcomes: list[object] = []
    gone = 0
    longest = max(map(len, pieces), default=0)
    for kind, size in asked:
        rule = _rule(kind, size)
        while True:
            try:
                read: object = rule.take(buffer, eof)
            except (LimitExceeded, CodecError, PeerError) as error:
                read = str(error)
            if read is not None or eof:
                outcomes.append(read)
                break
            assert len(buffer) <= rule.demand + longest, "what is demanded is enough to answer"
            piece = next(source, None)
            eof = piece is None
            came += len(piece or b"")
            buffer.append(piece or b"")
        # Nothing is lost and nothing twice: what is left is the end of what came.
        gone = came - len(buffer)
        assert buffer.peek() == stream[gone:came]
    assert len(Available(64).take(buffer, True) or b"") == min(64, came - gone)
    return outcomes
