from __future__ import annotations

import pytest
from h2.errors import ErrorCodes

from wirelane.http2 import ErrorCode
from wirelane.status import StatusCode
from wirelane.transport.codes import status_from_http, status_from_reset


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, StatusCode.INTERNAL),
        (401, StatusCode.UNAUTHENTICATED),
        (403, StatusCode.PERMISSION_DENIED),
        (404, StatusCode.UNIMPLEMENTED),
        (429, StatusCode.UNAVAILABLE),
        (431, StatusCode.UNKNOWN),
        (502, StatusCode.UNAVAILABLE),
        (503, StatusCode.UNAVAILABLE),
        (504, StatusCode.UNAVAILABLE),
        (200, StatusCode.UNKNOWN),
        (302, StatusCode.UNKNOWN),
        (500, StatusCode.UNKNOWN),
        (999, StatusCode.UNKNOWN),
        (-1, StatusCode.UNKNOWN),
    ],
)
def test_an_http_status_means_what_grpc_says_it_means(status, code):
    assert status_from_http(status) is code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ErrorCode.NO_ERROR, StatusCode.INTERNAL),
        (ErrorCode.PROTOCOL_ERROR, StatusCode.INTERNAL),
        (ErrorCode.INTERNAL_ERROR, StatusCode.INTERNAL),
        (ErrorCode.FLOW_CONTROL_ERROR, StatusCode.INTERNAL),
        (ErrorCode.SETTINGS_TIMEOUT, StatusCode.INTERNAL),
        (ErrorCode.STREAM_CLOSED, StatusCode.INTERNAL),
        (ErrorCode.FRAME_SIZE_ERROR, StatusCode.INTERNAL),
        (ErrorCode.REFUSED_STREAM, StatusCode.UNAVAILABLE),
        (ErrorCode.CANCEL, StatusCode.CANCELLED),
        (ErrorCode.COMPRESSION_ERROR, StatusCode.INTERNAL),
        (ErrorCode.CONNECT_ERROR, StatusCode.INTERNAL),
        (ErrorCode.ENHANCE_YOUR_CALM, StatusCode.RESOURCE_EXHAUSTED),
        (ErrorCode.INADEQUATE_SECURITY, StatusCode.PERMISSION_DENIED),
        (ErrorCode.HTTP_1_1_REQUIRED, StatusCode.INTERNAL),
        (0xE, StatusCode.UNKNOWN),
        (0xFFFFFFFF, StatusCode.UNKNOWN),
    ],
)
def test_a_reset_means_what_grpc_says_it_means(error, code):
    assert status_from_reset(int(error)) is code


def test_the_error_codes_are_those_of_http2():
    assert {error.name: int(error) for error in ErrorCode} == {error.name: int(error) for error in ErrorCodes}


def test_error_codes_have_names_and_others_a_number():
    assert ErrorCode.text(8) == "CANCEL"
    assert ErrorCode.text(0x1F) == "error 0x1f"
