"""proto2 and editions: required fields, groups, extensions, closed enums, explicit presence."""

from __future__ import annotations

import pytest

from support.codec_support import echo, sample
from wirelane.errors import CodecError

RECORD = "legacy.Record"


def test_groups_go_in_and_out_by_their_lower_case_names() -> None:
    value = {"line": [{"text": "a"}, {}], "header": {"title": "t"}}
    assert echo(value, sample("legacy"), RECORD) == value


def test_extensions_go_in_and_out_by_their_full_names_in_brackets() -> None:
    value = {
        "id": 5,
        "[legacy.mark]": 7,
        "[legacy.numbers]": [1, 2**40],
        "[legacy.Marks.nested_mark]": "deep",
        "[legacy.extra]": {"name": "x"},
        "[legacy.extras]": [{"name": "y", "count": 1}],
    }
    assert echo(value, sample("legacy"), RECORD) == value


def test_extensions_that_are_not_set_do_not_come_out() -> None:
    schema = sample("legacy")
    assert schema.decode(RECORD, schema.encode(RECORD, {"id": 1})) == {
        "id": 1,
        "parts": [],
        "by_name": {},
        "line": [],
    }


@pytest.mark.parametrize(
    ("value", "path", "text"),
    [
        ({"[legacy.mrk]": 1}, "[legacy.mrk]", 'did you mean "[legacy.mark]"'),
        ({"[legacy.mark]": "x"}, "[legacy.mark]", "expected an int"),
        ({"[legacy.numbers]": [1, "x"]}, "[legacy.numbers][1]", "expected an int"),
        ({"part": {"[legacy.mark]": 1, "name": "x"}}, "part[legacy.mark]", "has no field"),
    ],
)
def test_wrong_extensions_are_refused_with_their_path(value: dict, path: str, text: str) -> None:
    with pytest.raises(CodecError) as caught:
        sample("legacy").encode(RECORD, value)
    assert caught.value.path == path
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"part": {}}, "part.name"),
        ({"parts": [{"name": "x"}, {"count": 1}]}, "parts[1].name"),
        ({"[legacy.extra]": {}}, "extra.name"),
    ],
)
def test_a_missing_required_field_is_refused_with_its_path(value: dict, path: str) -> None:
    with pytest.raises(CodecError, match="required field") as caught:
        sample("legacy").encode(RECORD, value)
    assert caught.value.path == path


def test_bytes_without_a_required_field_are_refused() -> None:
    with pytest.raises(CodecError, match="required field") as caught:
        sample("legacy").decode("legacy.Part", b"\x10\x05")
    assert caught.value.path == "name"


def test_a_missing_required_field_inside_an_any_is_refused() -> None:
    with pytest.raises(CodecError, match="required field") as caught:
        sample("legacy").encode("google.protobuf.Any", {"@type": "legacy.Part", "count": 1})
    assert caught.value.path == "name"


def test_proto2_scalars_have_presence_so_their_defaults_do_not_come_out() -> None:
    schema = sample("legacy")
    assert schema.decode("legacy.Part", schema.encode("legacy.Part", {"name": "x"})) == {"name": "x"}
    assert echo({"name": "x", "count": 0}, schema, "legacy.Part") == {"name": "x", "count": 0}


def test_a_closed_enum_refuses_numbers_that_it_does_not_have() -> None:
    for schema, message, field in (("legacy", RECORD, "grade"), ("edition", "edition.Sample", "closed")):
        with pytest.raises(CodecError, match="closed") as caught:
            sample(schema).encode(message, {field: 77})
        assert caught.value.path == field


def test_editions_say_field_by_field_what_has_presence() -> None:
    schema = sample("edition")
    assert schema.decode("edition.Sample", b"") == {"implicit_number": 0}
    value = {"explicit_number": 0, "implicit_number": 5, "delimited": {"text": "x"}, "closed": "ONE"}
    assert echo(value, schema, "edition.Sample") == value
