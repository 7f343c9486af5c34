"""google.rpc.Status in the trailer: details both ways, against Google's own messages."""

from __future__ import annotations

from datetime import timedelta

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2

from support.codec_support import demo
from wirelane.codec import decode_status_details, encode_status_details
from wirelane.errors import CodecError

PREFIX = "type.googleapis.com/"
VIOLATION = {"field": "name", "description": "is empty", "reason": "EMPTY"}


def test_details_arrive_as_google_would_read_them() -> None:
    data = encode_status_details(
        3,
        "no",
        [{"@type": "google.rpc.BadRequest", "field_violations": [VIOLATION]}, {"@type": "google.rpc.Help"}],
    )
    status = status_pb2.Status.FromString(data)
    assert (status.code, status.message) == (3, "no")
    request = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(request)
    assert request.field_violations[0].reason == "EMPTY"
    assert status.details[1].type_url == PREFIX + "google.rpc.Help"


def test_details_of_google_come_in_as_dicts() -> None:
    status = status_pb2.Status(code=8, message="later")
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromTimedelta(timedelta(seconds=2))
    status.details.add().Pack(info)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason="QUOTA", metadata={"limit": "5"}))
    assert decode_status_details(status.SerializeToString()) == (
        {"@type": PREFIX + "google.rpc.RetryInfo", "retry_delay": timedelta(seconds=2)},
        {
            "@type": PREFIX + "google.rpc.ErrorInfo",
            "reason": "QUOTA",
            "domain": "",
            "metadata": {"limit": "5"},
        },
    )


def test_what_was_decoded_encodes_to_the_same_again() -> None:
    data = encode_status_details(
        5, "x", [{"@type": "google.rpc.ErrorInfo", "reason": "A"}, {"@type": "a.B", "value": b"1"}]
    )
    assert encode_status_details(5, "x", decode_status_details(data)) == data


def test_messages_are_accepted_as_details_packed_or_not() -> None:
    info = error_details_pb2.ErrorInfo(reason="A")
    packed = AnyMessage()
    packed.Pack(info)
    first, second = decode_status_details(encode_status_details(5, "x", [info, packed]))
    assert first == second
    assert first["reason"] == "A"


def test_types_of_the_schema_are_known_with_it_and_bytes_without() -> None:
    data = encode_status_details(5, "x", [{"@type": "wirelane.demo.Item", "name": "x"}], demo())
    assert decode_status_details(data, demo())[0]["name"] == "x"
    assert decode_status_details(data) == ({"@type": PREFIX + "wirelane.demo.Item", "value": b"\x0a\x01x"},)


@pytest.mark.parametrize(
    ("detail", "path"),
    [
        ({"@type": "google.rpc.ErrorInfo", "reasn": "A"}, "details[1].reasn"),
        (
            {"@type": "google.rpc.BadRequest", "field_violations": [{"field": 5}]},
            "details[1].field_violations[0].field",
        ),
        ({"reason": "A"}, "details[1]"),
        ("text", "details[1]"),
    ],
)
def test_a_wrong_detail_is_refused_with_its_path(detail: dict, path: str) -> None:
    with pytest.raises(CodecError) as caught:
        encode_status_details(5, "x", [{"@type": "google.rpc.Help"}, detail])
    assert caught.value.path == path


def test_bytes_that_are_no_status_have_no_details() -> None:
    assert decode_status_details(b"\xff\xff") == ()
    assert decode_status_details(b"") == ()


def test_a_detail_that_does_not_parse_is_its_bytes_and_the_others_stay() -> None:
    status = status_pb2.Status(code=5)
    status.details.add(type_url=PREFIX + "google.rpc.ErrorInfo", value=b"\xff")
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason="A"))
    first, second = decode_status_details(status.SerializeToString())
    assert first == {"@type": PREFIX + "google.rpc.ErrorInfo", "value": b"\xff"}
    assert second["reason"] == "A"


def test_a_detail_without_a_type_has_none_and_what_reads_types_goes_on() -> None:
    status = status_pb2.Status(code=5)
    status.details.add()
    status.details.add(value=b"x")
    assert decode_status_details(status.SerializeToString()) == (
        {"@type": "", "value": b""},
        {"@type": "", "value": b"x"},
    )


def test_a_message_that_utf8_cannot_hold_does_not_lose_the_status() -> None:
    status = status_pb2.Status.FromString(encode_status_details(5, "a\ud800b", []))
    assert (status.code, status.message) == (5, "a?b")
