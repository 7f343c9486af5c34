"""What a failure of HTTP means for a call that got no status of its own.

Tables: grpc/grpc doc/http-grpc-status-mapping.md, and "HTTP2 Transport Mapping" of gRPC over HTTP/2.
"""

from __future__ import annotations

from wirelane.http2 import ErrorCode
from wirelane.status import StatusCode

__all__ = ["status_from_http", "status_from_reset"]

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
    ErrorCode.REFUSED_STREAM: StatusCode.UNAVAILABLE,
    ErrorCode.CANCEL: StatusCode.CANCELLED,
    ErrorCode.ENHANCE_YOUR_CALM: StatusCode.RESOURCE_EXHAUSTED,
    ErrorCode.INADEQUATE_SECURITY: StatusCode.PERMISSION_DENIED,
}
_RESETS = {int(error): _FROM_RESET.get(error, StatusCode.INTERNAL) for error in ErrorCode}


def status_from_http(status: int) -> StatusCode:
    """Return the code for an HTTP response without grpc-status; UNKNOWN for every other one, 200 included."""
    return _FROM_HTTP.get(status, StatusCode.UNKNOWN)


def status_from_reset(error: int) -> StatusCode:
    """Return the code for a reset with this HTTP/2 error code; UNKNOWN for one that HTTP/2 does not have."""
    return _RESETS.get(error, StatusCode.UNKNOWN)
