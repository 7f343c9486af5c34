"""`wirelane serve`: it tells where it listens, serves, and drains when it is told to stop."""

from __future__ import annotations

import json
import re
import shlex
import signal

import pytest

from support.cli_support import EVERYTHING, running, serving, wirelane

PORTS = ("--port", "0", "--tls-port", "0", "--tcp-port", "0")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_0(number: signal.Signals) -> None:
    with running("serve", *PORTS) as server:
        server.until("Ctrl-C ends it")
        server.interrupt(number)
        assert server.code() == 0
        assert server.rest("err").splitlines()[-1] == "stopped"
        assert server.rest() == ""


def test_a_call_in_flight_may_finish_when_it_stops() -> None:
    with running("serve", *PORTS) as server:
        address = server.until(r"^gRPC +(\S+)")[1]
        server.until("Ctrl-C ends it")
        with running("call", address, f"{EVERYTHING}/BidiEcho", "-d", "@-", "--compact") as call:
            call.write("{}")
            assert call.line() is not None
            server.interrupt()
            server.until("stopping")
            call.write('{"f_bool": true}')
            assert json.loads(call.line() or "")["number"] == 2
            call.end_input()
            assert call.code() == 0
        assert server.code() == 0


def test_a_second_signal_ends_it_at_once() -> None:
    with running("serve", *PORTS) as server:
        address = server.until(r"^gRPC +(\S+)")[1]
        server.until("Ctrl-C ends it")
        with running("call", address, f"{EVERYTHING}/BidiEcho", "-d", "@-", "--compact") as call:
            call.write("{}")
            assert call.line() is not None
            server.interrupt()
            server.until("stopping")
            server.interrupt()
            assert server.code() == 0
            assert call.code() == 64 + 14


def test_the_commands_it_suggests_work() -> None:
    with running("serve", *PORTS) as server:
        server.until("Try, in another terminal")
        suggested = []
        while line := (server.line("err") or "").strip():
            suggested.append(shlex.split(line))
        assert len(suggested) == 6
        for words in suggested:
            assert words[0] == "wirelane"
            done = wirelane(*words[1:])
            assert (done.code, bool(done.out)) == (0, True), (words, done)


def test_its_own_certificate_is_gone_when_it_has_stopped() -> None:
    with serving() as served:
        assert served.ca.is_file()
    assert not served.ca.parent.exists()


def test_clients_must_show_a_certificate_if_asked(ca) -> None:
    files = ("--cert", str(ca.server_cert), "--key", str(ca.server_key), "--cacert", str(ca.ca))
    with serving(*files) as served:
        without = wirelane("call", served.tls, "Greeter/SayHello", "--cacert", str(ca.ca))
        assert without.code == 1, without
        assert "--cert FILE --key FILE" in without.err
        shown = ("--cert", str(ca.client_cert), "--key", str(ca.client_key))
        assert wirelane("call", served.tls, "Greeter/SayHello", "--cacert", str(ca.ca), *shown).code == 0


def test_verbose_tells_of_every_call() -> None:
    with serving("-v") as served:
        wirelane("call", served.grpc, "Summator/sum")
        assert re.search(r"Summator/sum OK in \d+\.\d ms", served.process.until("Summator/sum").string)
        wirelane("call", served.grpc, f"{EVERYTHING}/SpecificError", "-d", '{"code": 5}')
        assert "NOT_FOUND" in served.process.until("SpecificError").string
        wirelane("call", served.grpc, f"{EVERYTHING}/ServerStream", "-d", '{"count": 2}')
        assert " OK " in served.process.until("ServerStream").string


def test_random_errors_are_errors() -> None:
    with serving() as served:
        code = wirelane("call", served.grpc, f"{EVERYTHING}/RandomError").code
        assert 65 <= code <= 80


def test_the_index_names_every_method_that_is_there() -> None:
    with serving() as served:
        index = json.loads(wirelane("call", served.grpc, f"{EVERYTHING}/Index").out)
        named = {endpoint["method"] for endpoint in index["endpoints"]}
        listed = set(wirelane("list", served.grpc, EVERYTHING).out.splitlines())
        assert named == listed - {f"{EVERYTHING}/Index"}
