"""`wirelane list` and `wirelane describe`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.cli_support import EVERYTHING, Served, serving, wirelane

PROTOS = str(Path(__file__).resolve().parents[2] / "protos" / "demo")


@pytest.fixture(scope="module")
def served():
    with serving() as server:
        yield server


def test_the_services_of_a_server_are_listed_one_per_line(served: Served) -> None:
    done = wirelane("list", served.grpc)
    assert (done.code, done.err) == (0, "")
    assert {"Greeter", "Summator", EVERYTHING, "grpc.health.v1.Health"} <= set(done.out.splitlines())


def test_the_methods_of_a_service_are_listed_as_call_takes_them(served: Served) -> None:
    done = wirelane("list", served.grpc, "Everything")
    assert f"{EVERYTHING}/BidiEcho" in done.out.splitlines()
    assert all(line.startswith(f"{EVERYTHING}/") for line in done.out.splitlines())


def test_files_are_listed_without_a_server() -> None:
    assert wirelane("list", "--proto", PROTOS).out.splitlines() == ["Greeter", "Summator", EVERYTHING]
    assert wirelane("list", "--proto", f"{PROTOS}/greeter.proto", "Greeter").out == "Greeter/SayHello\n"


def test_with_files_an_address_is_not_needed_and_not_used() -> None:
    assert (
        wirelane("list", "--proto", f"{PROTOS}/greeter.proto", "localhost:1", "Greeter").out
        == "Greeter/SayHello\n"
    )


def test_a_service_that_is_not_there_is_answered_with_the_nearest(served: Served) -> None:
    wirelane("list", served.grpc, "Greter").failed(2, '"Greeter"')


@pytest.mark.parametrize("verb", ["list", "describe"])
def test_without_a_server_and_without_files_there_is_nothing_to_look_at(verb: str) -> None:
    wirelane(verb).failed(2, "HOST:PORT")


def test_a_method_is_described_with_its_messages(served: Served) -> None:
    done = wirelane("describe", served.grpc, "Summator/sum")
    assert (done.code, done.err) == (0, "")
    for text in ("rpc sum(SumRequest) returns (SumReply);", "float value1 = 1;", "message SumReply {"):
        assert text in done.out


def test_what_is_described_is_proto_with_comments(served: Served) -> None:
    done = wirelane("describe", served.grpc, "wirelane.demo.AllKinds")
    assert "// A tree of itself." in done.out
    assert "map<int32, string> int32_map = 31;" in done.out
    assert "oneof choice {" in done.out


def test_without_a_symbol_all_services_are_described() -> None:
    done = wirelane("describe", "--proto", PROTOS)
    assert done.out.count("\nservice ") == 3


def test_a_template_can_be_sent_as_it_is(served: Served) -> None:
    for name in (f"{EVERYTHING}/Echo", "wirelane.demo.AllKinds"):
        done = wirelane("describe", served.grpc, name, "--template")
        assert done.code == 0, done.err
        assert "f_int64" in json.loads(done.out)
        reply = wirelane("call", served.grpc, f"{EVERYTHING}/Echo", "-d", done.out)
        assert reply.code == 0, reply.err


def test_json_describes_the_same(served: Served) -> None:
    service = json.loads(wirelane("describe", served.grpc, EVERYTHING, "--json").out)
    methods = {method["name"]: method["cardinality"] for method in service["methods"]}
    assert (methods["Echo"], methods["BidiEcho"]) == ("unary", "bidi_stream")
    everything = json.loads(wirelane("describe", "--proto", PROTOS, "--json", "--compact").out)
    assert [each["name"] for each in everything] == ["Greeter", "Summator", EVERYTHING]


def test_a_symbol_that_is_not_there_is_answered_with_the_nearest(served: Served) -> None:
    wirelane("describe", served.grpc, "wirelane.demo.AllKind").failed(2, '"wirelane.demo.AllKinds"')


def test_a_template_needs_a_symbol(served: Served) -> None:
    wirelane("describe", served.grpc, "--template").failed(2, "--template")
    wirelane("describe", served.grpc, "Summator/sum", "--template", "--json").failed(2, "--template")


def test_too_many_words_are_an_error(served: Served) -> None:
    wirelane("list", served.grpc, "Greeter", "more").failed(2, "'more'")
    wirelane("list", "--proto", PROTOS, "Greeter", "more").failed(2, "no address")


def test_reflection_over_tls(served: Served) -> None:
    done = wirelane("list", served.tls, "--cacert", str(served.ca))
    assert "Greeter" in done.out.splitlines()
