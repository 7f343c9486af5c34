from __future__ import annotations

import pickle

import grpc
import pytest

from wirelane.status import StatusCode


def test_codes_have_the_numbers_and_names_of_grpcio():
    theirs = {code.name: code.value[0] for code in grpc.StatusCode}
    assert {code.name: int(code) for code in StatusCode} == theirs


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (5, StatusCode.NOT_FOUND),
        ("NOT_FOUND", StatusCode.NOT_FOUND),
        ("not_found", StatusCode.NOT_FOUND),
        (" Not Found ", StatusCode.NOT_FOUND),
        ("5", StatusCode.NOT_FOUND),
        ("canceled", StatusCode.CANCELLED),
        (StatusCode.ABORTED, StatusCode.ABORTED),
    ],
)
def test_of_takes_numbers_names_and_codes(value, code):
    assert StatusCode.of(value) is code


@pytest.mark.parametrize("number", [-1, 17, 2**40, "17", "9999999999"])
def test_a_number_that_grpc_does_not_define_is_unknown(number):
    assert StatusCode.of(number) is StatusCode.UNKNOWN


@pytest.mark.parametrize("name", ["", "NOPE", "٣", "1" * 11])
def test_a_name_that_grpc_does_not_define_is_an_error_that_lists_the_names(name):
    with pytest.raises(ValueError, match="UNAUTHENTICATED"):
        StatusCode.of(name)


def test_a_code_pickles_as_itself():
    assert pickle.loads(pickle.dumps(StatusCode.DATA_LOSS)) is StatusCode.DATA_LOSS
