"""What is printed is JSON that a terminal shows and does not obey."""

from __future__ import annotations

import io
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirelane import Metadata, RpcError, SchemaError, StatusCode, TlsError, UsageError
from wirelane.cli.details import details_json
from wirelane.cli.errors import exit_code, explain, one_line, report
from wirelane.cli.output import EnvelopePrinter, json_text, metadata_json
from wirelane.cli.style import coloured

UTF8 = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")


@given(st.text())
def test_any_text_survives_and_nothing_in_it_is_obeyed(text: str) -> None:
    for compact in (True, False):
        printed = json_text({"text": text}, compact=compact, file=UTF8)
        assert json.loads(printed) == {"text": text}
        assert not any(0x7F <= ord(character) <= 0x9F for character in printed)
        assert not {"\x1b", "\u202e", "\u2066", "\u2028"} & set(printed)


def test_where_the_output_is_not_utf8_the_json_is_ascii() -> None:
    printed = json_text("é", compact=True, file=io.TextIOWrapper(io.BytesIO(), encoding="latin-1"))
    assert printed == '"\\u00e9"'


def test_metadata_is_a_list_for_every_name_with_binary_values_in_base64() -> None:
    metadata = Metadata([("a", "1"), ("b-bin", b"\x00\x01"), ("a", "2")])
    assert metadata_json(metadata) == {"a": ["1", "2"], "b-bin": ["AAE="]}
    assert metadata_json(None) == {}


def test_details_of_known_types_are_json_and_those_of_unknown_types_base64() -> None:
    known = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "X"}
    unknown = {"@type": "type.googleapis.com/no.Such", "value": b"\x00\x01"}
    assert details_json((known, unknown), None) == [known, {**unknown, "value": "AAE="}]


@pytest.mark.parametrize("compact", [True, False])
@pytest.mark.parametrize("messages", [[], [{}], [{"a": 1}, {"b": [2, 3]}, "text"]])
def test_the_pieces_of_an_envelope_make_one_json_object(
    capsys: pytest.CaptureFixture[str], compact: bool, messages: list[object]
) -> None:
    out = EnvelopePrinter(compact=compact)
    out.headers(Metadata({"h": "1"}))
    for message in messages:
        out.message(message)
    out.ended(StatusCode.OK, "", (), Metadata({"t": "2"}))
    printed = capsys.readouterr().out
    assert json.loads(printed) == {
        "headers": {"h": ["1"]},
        "messages": messages,
        "trailers": {"t": ["2"]},
        "status": {"code": 0, "name": "OK", "message": "", "details": []},
    }
    if compact:
        assert printed.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), 2),
        (SchemaError("x"), 2),
        (TlsError("x"), 1),
        (OSError("x"), 1),
        (RpcError(StatusCode.NOT_FOUND), 69),
        (RpcError(StatusCode.UNAUTHENTICATED), 80),
    ],
)
def test_exit_codes(error: Exception, code: int) -> None:
    assert exit_code(error) == code


@given(st.text())
def test_an_error_is_one_line(text: str) -> None:
    assert len(one_line(text).splitlines()) <= 1
    assert "\x1b" not in one_line(text)


def test_remedies_are_told_as_options() -> None:
    error = TlsError(
        "not trusted", hint="give the CA that signed it: TlsConfig(ca=...), or the option --cacert"
    )
    assert explain(error) == "not trusted; give the CA that signed it: --cacert FILE"
    assert "TlsConfig" not in explain(
        TlsError("x", hint="say which name: TlsConfig(server_name='a.example')")
    )


def test_a_fault_of_ours_says_so_and_how_to_see_more(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(KeyError("x")) == 1
    assert capsys.readouterr().err == (
        "error: this is a fault of wirelane itself: KeyError: 'x' (WIRELANE_DEBUG=1 shows where)\n"
    )


@pytest.mark.parametrize(
    ("variables", "expected"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_colours_follow_the_environment_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: bool
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert coloured(sys.stdout) is expected
