"""What a failure of HTTP means for a call that got no status of its own.

Tables: grpc/grpc doc/http-grpc-status-mapping.md, and "HTTP2 Transport Mapping" of gRPC over HTTP/2.
"""

from __future__ import annotations

from enum import IntEnum

from wirelane.status import StatusCode

__all__ = ["H2Error", "h2_error_name", "status_from_http", "status_from_reset"]


class H2Error(IntEnum):
    """The error codes of HTTP/2 (RFC 9113, section 7)."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC
    HTTP_1_1_REQUIRED = 0xD


# 431 is not among them: C-core, grpc-go and the Connect conformance suite have UNKNOWN for it.
_FROM_HTTP = {
    400: StatusCode.INTERNAL,
    401: StatusCode.UNAUTHENTICATED,
    403: StatusCode.PERMISSION_DENIED,
    404: StatusCode.UNIMPLEMENTED,
    429: StatusCode.UNAVAILABLE,
    502: StatusCode.UNAVAILABLE,
    503: StatusCode.UNAVAILABLE,
    504: StatusCode.UNAVAILABLE,
}
# All that is not listed is INTERNAL. The specification leaves out STREAM_CLOSED ("there is no open stream")
# and HTTP_1_1_REQUIRED; peers send them all the same, and grpc-go reads them as INTERNAL.
_FROM_RESET = {
    H2Error.REFUSED_STREAM: StatusCode.UNAVAILABLE,
    H2Error.CANCEL: StatusCode.CANCELLED,
    H2Error.ENHANCE_YOUR_CALM: StatusCode.RESOURCE_EXHAUSTED,
    H2Error.INADEQUATE_SECURITY: StatusCode.PERMISSION_DENIED,
}
_RESETS = {int(error): _FROM_RESET.get(error, StatusCode.INTERNAL) for error in H2Error}


def status_from_http(status: int) -> StatusCode:
    """Return the code for an HTTP response without grpc-status; UNKNOWN for every other one, 200 included."""
    return _FROM_HTTP.get(status, StatusCode.UNKNOWN)


def status_from_reset(error: int) -> StatusCode:
    """Return the code for a reset with this HTTP/2 error code; UNKNOWN for one that HTTP/2 does not have."""
    return _RESETS.get(error, StatusCode.UNKNOWN)


def h2_error_name(error: int) -> str:
    """Return the name of an HTTP/2 error code, "0x1f" for one that has none."""
    try:
        return H2Error(error).name
    except ValueError:
        return f"0x{error:x}"
