"""gRPC's use of HTTP/2 header lists, both ways (gRPC over HTTP/2: requests, responses, trailers).

Parsing works on shared `HeaderBlock`s; what does not vary from call to call is remembered in the block's `memo`.
Metadata objects are never shared: a user may change the one that was received.
"""

from __future__ import annotations

import base64
import binascii
import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wirelane.core import compression
from wirelane.core.deadline import parse_timeout
from wirelane.core.fields import Fields
from wirelane.core.metadata import Metadata, from_headers, to_headers
from wirelane.core.percent import decode_message, encode_message
from wirelane.errors import PeerError
from wirelane.status import StatusCode
from wirelane.transport.base import Ending, RequestHead, ResponseHead
from wirelane.transport.codes import status_from_http

if TYPE_CHECKING:
    from wirelane.core.limits import Limits
    from wirelane.http2 import HeaderBlock, HeaderList

__all__ = [
    "OK_TRAILERS",
    "PLAIN_RESPONSE",
    "ParsedRequest",
    "check_response",
    "copy_head",
    "http_refusal",
    "parse_ending",
    "parse_request",
    "request_fields",
    "response_fields",
    "trailers",
]

Stable = tuple[tuple[bytes, bytes], ...]

_CONTENT_TYPE = b"application/grpc"
_ACCEPT = compression.accept_encoding().encode()
OK_TRAILERS = Fields([(b"grpc-status", b"0")])
# Encodings of a grpc-accept-encoding that are looked at: each is kept, and takes many times the octets it came in.
_MOST_ACCEPTED = 32


# Requests


def request_fields(head: RequestHead, scheme: bytes) -> Fields:
    """The fields of a request that repeat from call to call; timeout and metadata follow them."""
    fields = [
        (b":method", b"POST"),
        (b":scheme", scheme),
        (b":path", head.path.encode()),
        (b":authority", head.authority.encode()),
        (b"te", b"trailers"),
        (b"content-type", _CONTENT_TYPE),
        (b"user-agent", (head.user_agent or "wirelane").encode()),
        (b"grpc-accept-encoding", head.accept_encoding.encode()),
    ]
    if head.encoding:
        fields.append((b"grpc-encoding", head.encoding.encode()))
    return Fields(fields)


def _values(block: HeaderBlock) -> int:
    """Count the fields, and each value that a comma begins inside a -bin field: in the metadata it is one more."""
    count = len(block.headers)
    if block.binary:
        count += sum(value.count(b",") for name, value in block.headers if name[-4:] == b"-bin")
    return count


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """A request head. Exactly one of three: a call, a `refusal` with a gRPC status, an HTTP `http_status`.

    `metadata` is None where it was not made yet of the `headers`: see `copy_metadata`.
    """

    path: str = ""
    authority: str = ""
    metadata: Metadata | None = None
    timeout: float | None = None
    encoding: str | None = None
    accept_encoding: tuple[str, ...] = ()
    refusal: Ending | None = None
    http_status: int = 0
    headers: HeaderList = field(default_factory=list)

    def copy_metadata(self) -> Metadata:
        """Return the client's metadata; it is the caller's own."""
        return from_headers(self.headers) if self.metadata is None else self.metadata.copy()


def parse_request(block: HeaderBlock, limits: Limits) -> ParsedRequest:
    """Read a request head; the result is shared by all calls with the same block, its metadata to be copied."""
    memo = block.memo
    if not isinstance(memo, ParsedRequest):
        memo = block.memo = _parse_request(block, limits)
    return memo


def _parse_request(block: HeaderBlock, limits: Limits) -> ParsedRequest:
    fields = dict(block.headers)
    if block.size > limits.max_header_list or _values(block) > limits.max_header_fields:
        text = f"the request's header list is too large: {block.size} octets, {_values(block)} fields"
        path = fields[b":path"].decode("latin-1")
        return ParsedRequest(path, refusal=Ending(StatusCode.RESOURCE_EXHAUSTED, text))
    if fields[b":method"] != b"POST":
        return ParsedRequest(http_status=405)
    if not _is_grpc(fields.get(b"content-type", b"")):
        return ParsedRequest(http_status=415)
    path = fields[b":path"].decode("latin-1")
    accept = _accepted(fields.get(b"grpc-accept-encoding", b""))
    encoding = fields.get(b"grpc-encoding", b"identity").decode("latin-1")
    if encoding != "identity" and encoding not in compression.SUPPORTED:
        return ParsedRequest(path, refusal=_unsupported(encoding))
    metadata: Metadata | None = None
    try:
        timeout = parse_timeout(fields[b"grpc-timeout"]) if b"grpc-timeout" in fields else None
        if block.binary:
            # Only base64 can be wrong; the metadata of most calls is never looked at.
            metadata = from_headers(block.headers)
    except ValueError as error:
        return ParsedRequest(path, refusal=Ending(StatusCode.INTERNAL, f"bad grpc-timeout: {error}"))
    except PeerError as error:
        return ParsedRequest(path, refusal=Ending(StatusCode.INTERNAL, f"bad metadata: {error}"))
    return ParsedRequest(
        path,
        fields.get(b":authority", fields.get(b"host", b"")).decode("latin-1"),
        metadata,
        timeout,
        None if encoding == "identity" else encoding,
        accept,
        headers=block.headers,
    )


@functools.lru_cache(maxsize=64)
def _accepted(value: bytes) -> tuple[str, ...]:
    names = value.decode("latin-1").split(",", _MOST_ACCEPTED)[:_MOST_ACCEPTED]
    return tuple(name.strip() for name in names if name.strip())


def _unsupported(encoding: str) -> Ending:
    return Ending(
        StatusCode.UNIMPLEMENTED,
        f"grpc-encoding {encoding!r} is not supported; supported are {compression.accept_encoding()}",
    )


def _is_grpc(content_type: bytes) -> bool:
    """`application/grpc`, alone or with a proto subtype or parameters. Others (`grpc-web`, `grpc+json`) are not."""
    kind = content_type.split(b";", 1)[0].strip().lower()
    return kind in (b"application/grpc", b"application/grpc+proto")


def http_refusal(status: int) -> tuple[Stable, HeaderList]:
    """The head that refuses what is no gRPC request; grpc-status helps a client that only looks for it."""
    text = "only POST is served here" if status == 405 else "the content-type must be application/grpc"
    return (
        ((b":status", str(status).encode()), (b"content-type", _CONTENT_TYPE)),
        [(b"grpc-status", b"%d" % StatusCode.UNKNOWN), (b"grpc-message", text.encode())],
    )


# Responses


_RESPONSE: Stable = (
    (b":status", b"200"),
    (b"content-type", _CONTENT_TYPE),
    (b"grpc-accept-encoding", _ACCEPT),
)
PLAIN_RESPONSE = Fields(_RESPONSE)
_RESPONSES = {name: Fields((*_RESPONSE, (b"grpc-encoding", name.encode()))) for name in compression.SUPPORTED}


def response_fields(encoding: str | None) -> Fields:
    """The head of a response, without metadata."""
    return _RESPONSES[encoding] if encoding else PLAIN_RESPONSE


def trailers(
    code: StatusCode, message: str, metadata: Metadata | None, details: bytes | None
) -> tuple[Stable, HeaderList | None]:
    """Trailers: status, message, details, metadata."""
    if code == StatusCode.OK and not message and not metadata and details is None:
        return OK_TRAILERS, None
    fields: HeaderList = []
    if message:
        fields.append((b"grpc-message", encode_message(message)))
    if details is not None:
        fields.append((b"grpc-status-details-bin", base64.b64encode(details).rstrip(b"=")))
    if metadata:
        fields += to_headers(metadata)
    return ((b"grpc-status", b"%d" % code),), fields


def check_response(block: HeaderBlock, limits: Limits) -> Ending | None:
    """Return how the call ends because of a response head, if that is no gRPC answer; else None."""
    memo = block.memo
    if memo is None:
        memo = block.memo = _oversized(block, limits) or _parse_response(block)
    return memo if isinstance(memo, Ending) else None


def copy_head(block: HeaderBlock) -> ResponseHead:
    """Return the response head in a block that was checked; it is the caller's own."""
    memo = block.memo
    assert isinstance(memo, ResponseHead), "check_response comes first"
    return ResponseHead(memo.metadata.copy(), memo.encoding)


def _oversized(block: HeaderBlock, limits: Limits) -> Ending | None:
    if block.size <= limits.max_header_list and _values(block) <= limits.max_header_fields:
        return None
    return Ending(
        StatusCode.RESOURCE_EXHAUSTED,
        f"the server sent a header list of {block.size} octets in {_values(block)} fields; "
        f"allowed are {limits.max_header_list} (max_header_list) in {limits.max_header_fields} (max_header_fields)",
    )


def _parse_response(block: HeaderBlock) -> ResponseHead | Ending:
    fields = dict(block.headers)
    if block.status != 200 or not _is_grpc(fields.get(b"content-type", b"")):
        return _not_grpc(block.status, fields)
    encoding = fields.get(b"grpc-encoding", b"identity").decode("latin-1")
    if encoding != "identity" and encoding not in compression.SUPPORTED:
        return Ending(StatusCode.INTERNAL, f"the server compresses with {encoding!r}, which was not offered")
    try:
        metadata = from_headers(block.headers)
    except PeerError as error:
        return Ending(StatusCode.INTERNAL, f"bad metadata from the server: {error}")
    return ResponseHead(metadata, None if encoding == "identity" else encoding)


def parse_ending(block: HeaderBlock, limits: Limits) -> Ending:
    """Read trailers, or a response that is trailers alone. All calls with the same block share the result."""
    memo = block.ending_memo
    if not isinstance(memo, Ending):
        memo = block.ending_memo = _oversized(block, limits) or _parse_ending(block)
    return memo


def _parse_ending(block: HeaderBlock) -> Ending:
    fields = dict(block.headers)
    text = fields.get(b"grpc-status")
    if text is None:
        if block.status:
            return _not_grpc(block.status, fields)
        return Ending(StatusCode.UNKNOWN, "the server sent trailers without grpc-status")
    try:
        metadata = from_headers(block.headers)
    except PeerError as error:
        return Ending(StatusCode.INTERNAL, f"bad trailing metadata from the server: {error}")
    code = StatusCode.of(int(text)) if text.isdigit() and len(text) < 10 else StatusCode.UNKNOWN
    message = decode_message(fields.get(b"grpc-message", b""))
    if not text.isdigit():
        message = f"the server sent a grpc-status that is no number; its message: {message!r}"
    return Ending(code, message, metadata, _details(fields.get(b"grpc-status-details-bin")), from_peer=True)


def _details(value: bytes | None) -> bytes | None:
    if not value:
        return None
    try:
        return base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except binascii.Error:
        # Details are an extra: a status is not lost because they are garbled.
        return None


def _not_grpc(status: int, fields: dict[bytes, bytes]) -> Ending:
    """Map an HTTP answer to a status (gRPC: HTTP to gRPC status code mapping)."""
    content_type = fields.get(b"content-type", b"").decode("latin-1")
    if status != 200:
        text = f"the server answered with HTTP {status}"
        text += (
            f" and content-type {content_type!r}"
            if content_type and not _is_grpc(content_type.encode())
            else ""
        )
        return Ending(status_from_http(status), text)
    if content_type.startswith("application/grpc+"):
        return Ending(StatusCode.INTERNAL, f"the server answered with content-type {content_type!r}")
    if _is_grpc(content_type.encode()):
        return Ending(StatusCode.UNKNOWN, "the server ended the call without grpc-status")
    return Ending(
        StatusCode.UNKNOWN, f"the server is no gRPC server: it answered with content-type {content_type!r}"
    )
