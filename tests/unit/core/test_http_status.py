from __future__ import annotations

import pytest
from h2.errors import ErrorCodes

from wirelane.core.http_status import H2Error, h2_error_name, status_from_http, status_from_reset
from wirelane.status import StatusCode


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
        (H2Error.NO_ERROR, StatusCode.INTERNAL),
        (H2Error.PROTOCOL_ERROR, StatusCode.INTERNAL),
        (H2Error.INTERNAL_ERROR, StatusCode.INTERNAL),
        (H2Error.FLOW_CONTROL_ERROR, StatusCode.INTERNAL),
        (H2Error.SETTINGS_TIMEOUT, StatusCode.INTERNAL),
        (H2Error.STREAM_CLOSED, StatusCode.INTERNAL),
        (H2Error.FRAME_SIZE_ERROR, StatusCode.INTERNAL),
        (H2Error.REFUSED_STREAM, StatusCode.UNAVAILABLE),
        (H2Error.CANCEL, StatusCode.CANCELLED),
        (H2Error.COMPRESSION_ERROR, StatusCode.INTERNAL),
        (H2Error.CONNECT_ERROR, StatusCode.INTERNAL),
        (H2Error.ENHANCE_YOUR_CALM, StatusCode.RESOURCE_EXHAUSTED),
        (H2Error.INADEQUATE_SECURITY, StatusCode.PERMISSION_DENIED),
        (H2Error.HTTP_1_1_REQUIRED, StatusCode.INTERNAL),
        (0xE, StatusCode.UNKNOWN),
        (0xFFFFFFFF, StatusCode.UNKNOWN),
    ],
)
def test_a_reset_means_what_grpc_says_it_means(error, code):
    assert status_from_reset(int(error)) is code


def test_the_error_codes_are_those_of_http2():
    assert {error.name: int(error) for error in H2Error} == {error.name: int(error) for error in ErrorCodes}


def test_error_codes_have_names_and_others_a_number():
    assert h2_error_name(8) == "CANCEL"
    assert h2_error_name(0x1F) == "0x1f"
