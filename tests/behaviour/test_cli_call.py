"""`wirelane call`: what goes in, what is printed where, and the exit codes."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from support.cli_support import EVERYTHING, Served, running, serving, wirelane

ROOT = Path(__file__).resolve().parents[2]
PROTOS = ROOT / "protos" / "demo"


@pytest.fixture(scope="module")
def served():
    with serving() as server:
        yield server


def test_a_unary_call_prints_its_reply_and_nothing_else(served: Served) -> None:
    done = wirelane("call", served.grpc, "Summator/sum", "-d", '{"value1": 5, "value2": 3}')
    assert (done.code, done.out, done.err) == (0, '{\n  "value": 8.0\n}\n', "")


def test_a_method_may_be_written_with_a_dot_and_without_its_package(served: Served) -> None:
    assert wirelane("call", served.grpc, "Summator.sum", "--compact").out == "{}\n"
    assert wirelane("call", served.grpc, "Everything/Empty", "--compact").out == "{}\n"


def test_without_data_an_empty_message_is_sent(served: Served) -> None:
    done = wirelane("call", served.grpc, "Greeter/SayHello", "--compact")
    assert (done.code, done.out) == (0, '{"message":"Hello, world!"}\n')


def test_a_server_stream_prints_one_message_after_another(served: Served) -> None:
    done = wirelane("call", served.grpc, f"{EVERYTHING}/ServerStream", "-d", '{"count": 3}', "--compact")
    assert (done.code, done.out) == (0, '{"number":1}\n{"number":2}\n{"number":3}\n')


def test_a_client_stream_sends_every_document(served: Served) -> None:
    documents = '{"f_int32": 1} {"f_int32": 2}\n{"f_int32": 3}'
    done = wirelane("call", served.grpc, f"{EVERYTHING}/ClientStream", "-d", documents)
    assert done.code == 0
    assert json.loads(done.out) == {"count": 3, "last": {"f_int32": 3}}


def test_a_client_stream_without_data_sends_nothing(served: Served) -> None:
    assert wirelane("call", served.grpc, f"{EVERYTHING}/ClientStream", "--compact").out == "{}\n"


def test_a_bidi_stream_sends_every_document(served: Served) -> None:
    done = wirelane("call", served.grpc, f"{EVERYTHING}/BidiEcho", "-d", '{"f_bool": true}{}', "--compact")
    assert done.code == 0
    assert [json.loads(line)["number"] for line in done.out.splitlines()] == [1, 2]


def test_a_bidi_stream_answers_each_document_before_the_next_is_written(served: Served) -> None:
    with running("call", served.grpc, f"{EVERYTHING}/BidiEcho", "-d", "@-", "--compact") as call:
        for number, text in enumerate(
            ('{"f_int32":\n 7}', '{"f_string": "}{"} ', '{"f_item": {"tags": ["a"]}}'), 1
        ):
            call.write(text)
            line = call.line()
            assert line is not None
            assert json.loads(line) == {"number": number, "message": json.loads(text)}
        call.end_input()
        assert call.line() is None
        assert call.code() == 0


def test_a_mistake_in_the_middle_of_a_stream_ends_it_with_its_place(served: Served) -> None:
    with running("call", served.grpc, f"{EVERYTHING}/BidiEcho", "-d", "@-", "--compact") as call:
        call.write('{"f_int32": 1}\n')
        assert call.line() is not None
        call.write('{"f_int32": 2}\n  {"f_int32" 3}\n')
        assert call.code() == 2
        assert call.rest("err") == "error: <stdin>:3:14: no JSON: expected ':' delimiter\n"


def test_data_may_come_from_a_file(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text('\ufeff{"value1": 1,\n "value2": 2}', encoding="utf-8")
    done = wirelane("call", served.grpc, "Summator/sum", "-d", f"@{file}", "--compact")
    assert (done.code, done.out) == (0, '{"value":3.0}\n')


def test_a_large_file_is_sent_document_by_document(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "requests.json"
    file.write_text('{"f_string": "%s"}\n' % ("x" * 1000) * 2000)
    done = wirelane("call", served.grpc, f"{EVERYTHING}/ClientStream", "-d", f"@{file}", "--compact")
    assert done.code == 0, done.err
    assert json.loads(done.out)["count"] == 2000


def test_unary_data_may_come_from_standard_input(served: Served) -> None:
    done = wirelane("call", served.grpc, "Summator/sum", "-d", "@-", "--compact", stdin='{"value1": 4}')
    assert (done.code, done.out) == (0, '{"value":4.0}\n')


def test_json_follows_protobufs_mapping(served: Served) -> None:
    message = {
        "f_int64": "9007199254740993",
        "f_bytes": "AAH/",
        "f_enum": "GREEN",
        "int32_map": {"-1": "a"},
        "timestamp": "2026-01-31T12:00:00.500Z",
        "duration": "1.500s",
        "struct": {"free": [1.0, None]},
        "any": {"@type": "type.googleapis.com/wirelane.demo.Item", "name": "lamp"},
        "int32_wrapper": 7,
    }
    done = wirelane("call", served.grpc, f"{EVERYTHING}/Echo", "-d", json.dumps(message))
    assert done.code == 0, done.err
    assert json.loads(done.out) == message


def test_names_and_defaults_are_printed_as_asked(served: Served) -> None:
    arguments = ("call", served.grpc, f"{EVERYTHING}/Echo", "-d", '{"fInt32": 5, "f_item": {}}', "--compact")
    assert wirelane(*arguments).out == '{"f_int32":5,"f_item":{}}\n'
    assert wirelane(*arguments, "--json-names").out == '{"fInt32":5,"fItem":{}}\n'
    full = json.loads(wirelane(*arguments, "--emit-defaults").out)
    assert (full["f_int32"], full["f_bool"], full["f_item"]["price"], full["f_strings"]) == (
        5,
        False,
        0.0,
        [],
    )


def test_text_is_printed_as_utf8_and_what_a_terminal_obeys_is_escaped(served: Served) -> None:
    request = json.dumps({"name": "Zoë 語 \u009b31m \u202e \x1b"})
    done = wirelane("call", served.grpc, "Greeter/SayHello", "-d", request, "--compact")
    assert done.out == '{"message":"Hello, Zoë 語 \\u009b31m \\u202e \\u001b!"}\n'


def test_metadata_goes_where_each_option_says(served: Served) -> None:
    done = wirelane(
        "call", served.grpc, f"{EVERYTHING}/HeadersUnary", "--compact",
        "-H", "X-Both: 1", "-H", "x-both: 2", "-H", "x-raw-bin: AAE", "--rpc-header", "x-call: a: b", "--reflect-header", "x-other: c",
        "-H", "user-agent: tests/1",
    )  # fmt: skip
    assert done.code == 0, done.err
    seen = {name: entry["values"] for name, entry in json.loads(done.out)["metadata"].items()}
    assert seen.pop("user-agent")[0].startswith("tests/1 wirelane/")
    assert seen == {"x-both": ["1", "2"], "x-raw-bin": ["AAE="], "x-call": ["a: b"]}


def test_the_envelope_holds_headers_messages_trailers_and_status(served: Served) -> None:
    arguments = ("call", served.grpc, f"{EVERYTHING}/HeadersUnary", "-H", "x-a: 1", "--envelope")
    done = wirelane(*arguments)
    envelope = json.loads(done.out)
    assert list(envelope) == ["headers", "messages", "trailers", "status"]
    assert envelope["headers"] == {"x-a": ["1"]}
    assert envelope["messages"][0]["metadata"]["x-a"] == {"values": ["1"]}
    assert envelope["trailers"] == {"metadata-count": ["1"]}
    assert envelope["status"] == {"code": 0, "name": "OK", "message": "", "details": []}
    compact = wirelane(*arguments, "--compact").out
    assert compact.count("\n") == 1
    assert json.loads(compact) == envelope


def test_the_envelope_of_a_stream_holds_all_messages_and_that_of_none_an_empty_list(served: Served) -> None:
    for count in (0, 3):
        data = json.dumps({"count": count})
        done = wirelane("call", served.grpc, f"{EVERYTHING}/ServerStream", "-d", data, "--envelope")
        assert [message["number"] for message in json.loads(done.out)["messages"]] == list(
            range(1, count + 1)
        )


DETAIL = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "GONE", "metadata": {"user": "7"}}
RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retry_delay": "1.500s"}


def _failure(*details: object, code: int = 5, reason: str = "no such user") -> str:
    return json.dumps({"code": code, "reason": reason, "details": details})


def test_a_failed_call_prints_its_status_and_its_details_and_exits_with_64_and_the_code(
    served: Served,
) -> None:
    done = wirelane("call", served.grpc, f"{EVERYTHING}/SpecificError", "-d", _failure(DETAIL, RETRY))
    assert (done.code, done.out) == (69, "")
    first, _, rest = done.err.partition("\n")
    assert first == "ERROR NOT_FOUND (5): no such user"
    decoder = json.JSONDecoder()
    detail, end = decoder.raw_decode(rest)
    retry, _ = decoder.raw_decode(rest[end:].lstrip())
    assert (detail, retry) == (DETAIL, RETRY)


@pytest.mark.parametrize("code", [1, 2, 4, 12, 16])
def test_every_status_has_its_exit_code(served: Served, code: int) -> None:
    assert (
        wirelane("call", served.grpc, f"{EVERYTHING}/SpecificError", "-d", _failure(code=code)).code
        == 64 + code
    )


def test_the_envelope_of_a_failed_call_tells_its_status(served: Served) -> None:
    done = wirelane("call", served.grpc, f"{EVERYTHING}/SpecificError", "-d", _failure(DETAIL), "--envelope")
    assert done.code == 69
    status = {"code": 5, "name": "NOT_FOUND", "message": "no such user", "details": [DETAIL]}
    assert json.loads(done.out)["status"] == status


def test_a_message_from_the_server_cannot_write_to_the_terminal(served: Served) -> None:
    done = wirelane("call", served.grpc, f"{EVERYTHING}/SpecificError", "-d", _failure(reason="a\nb\x1b[2J"))
    assert done.err == "ERROR NOT_FOUND (5): a\\nb\\x1b[2J\n"


def test_the_deadline_is_max_time(served: Served) -> None:
    done = wirelane(
        "call", served.grpc, f"{EVERYTHING}/Sleep", "-d", '{"seconds": 40}', "--max-time", "500ms"
    )
    assert (done.code, done.out) == (68, "")
    assert done.err.startswith("ERROR DEADLINE_EXCEEDED (4): ")


def test_a_unary_call_without_a_reply_is_an_error(served: Served) -> None:
    done = wirelane("call", served.grpc, f"{EVERYTHING}/NoResponseUnary")
    assert done.code == 76
    assert done.err.startswith("ERROR UNIMPLEMENTED (12): ")


def test_verbose_tells_on_standard_error_and_hides_secrets(served: Served) -> None:
    done = wirelane(
        "call",
        served.grpc,
        f"{EVERYTHING}/HeadersUnary",
        "-v",
        "-H",
        "x-a: 1",
        "--rpc-header",
        "x-auth-token: abcdef",
    )
    assert done.code == 0
    json.loads(done.out)
    lines = done.err.splitlines()
    assert f"* {EVERYTHING}/HeadersUnary(google.protobuf.Empty) returns (wirelane.demo.HeadersReply)" in lines
    assert "> x-a: 1" in lines
    assert "> x-auth-token: <hidden, 6 characters>" in lines
    assert "< x-a: 1" in lines
    assert "< metadata-count: 2" in lines
    assert lines[-1].startswith("* OK: 1 sent, 1 received, in ")


def test_proto_files_replace_reflection(served: Served) -> None:
    done = wirelane(
        "call", served.grpc, "Summator/sum", "--proto", str(PROTOS / "summator.proto"), "--compact"
    )
    assert (done.code, done.out) == (0, "{}\n")
    both = ("--proto", "everything.proto", "--proto", "greeter.proto", "-I", str(PROTOS))
    assert wirelane("call", served.grpc, "Greeter/SayHello", *both).code == 0
    assert wirelane("call", served.grpc, f"{EVERYTHING}/Empty", *both).code == 0


def test_a_descriptor_set_replaces_reflection(served: Served, tmp_path: Path) -> None:
    from wirelane import Schema

    file = tmp_path / "demo.protoset"
    file.write_bytes(Schema.load(PROTOS).to_set())
    assert wirelane("call", served.grpc, "Greeter/SayHello", "--protoset", str(file)).code == 0


def test_tls_is_verified_by_the_given_authority(served: Served) -> None:
    done = wirelane(
        "call", served.tls, "Greeter/SayHello", "--cacert", str(served.ca), "-d", '{"name": "TLS"}'
    )
    assert json.loads(done.out) == {"message": "Hello, TLS!"}
    assert wirelane("call", f"grpcs://{served.tls}", "Greeter/SayHello", "--insecure").code == 0


def test_ctrl_c_ends_a_call_quietly(served: Served) -> None:
    with running("call", served.grpc, f"{EVERYTHING}/Sleep", "-d", '{"seconds": 40}', "-v") as call:
        call.until("returns")
        call.interrupt()
        assert call.code() == 130
        assert call.rest() == ""
        assert call.rest("err").strip() == ""


def test_ctrl_c_ends_a_call_that_waits_for_input(served: Served) -> None:
    with running("call", served.grpc, f"{EVERYTHING}/BidiEcho", "-d", "@-") as call:
        call.write("{}")
        assert call.line() is not None
        call.interrupt(signal.SIGINT)
        assert call.code() == 130
