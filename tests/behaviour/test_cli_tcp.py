"""`wirelane tcp`: what is sent, when the reply ends, and what is printed."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from support.cli_support import Served, peer, running, serving, wirelane


@pytest.fixture(scope="module")
def served():
    with serving() as server:
        yield server


def test_text_is_sent_as_a_line_and_a_line_is_printed(served: Served) -> None:
    done = wirelane("tcp", served.tcp, "-d", "Echo this!")
    assert (done.code, done.out, done.err) == (0, "Echo this!\n", "")


def test_a_marker_ends_the_reply(served: Served) -> None:
    assert wirelane("tcp", served.tcp, "-d", "one;two", "--marker", ";").out == "one;"
    assert wirelane("tcp", served.tcp, "-d", "one;two|", "--marker", "|", "--marker", ";").out == "one;"
    assert wirelane("tcp", served.tcp, "-e", "-d", r"a\x00b", "--marker", r"\x00").out == "a\0"


def test_a_size_ends_the_reply(served: Served) -> None:
    assert wirelane("tcp", served.tcp, "-d", "0123456789", "--max-bytes", "4").out == "0123"
    assert (
        wirelane("tcp", served.tcp, "-d", "01\n3456789", "--max-bytes", "4", "--marker", r"\n").out == "01\n"
    )


def test_a_timeout_prints_what_had_come(served: Served) -> None:
    done = wirelane("tcp", served.tcp, "-d", "partial", "--newline", "", "--timeout", "300ms")
    assert (done.code, done.out) == (1, "partial")
    assert done.err.count("\n") == 1
    assert "0.3 s" in done.err


def test_the_newline_after_text_can_be_another_or_none() -> None:
    seen: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        seen.append(connection.recv(100))
        connection.sendall(b"ok\n")

    for option, sent in ((r"\r\n", b"x\r\n"), ("", b"x")):
        with peer(answer) as address:
            assert wirelane("tcp", address, "-d", "x", "--newline", option).out == "ok\n"
        assert seen.pop() == sent


def test_until_eof_prints_all_of_it() -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(b"one\ntwo\nthree")

    with peer(answer) as address:
        done = wirelane("tcp", address, "-d", "x", "--until-eof")
    assert (done.code, done.out, done.err) == (0, "one\ntwo\nthree", "")


def test_a_peer_that_closes_too_early_is_an_error_and_what_came_is_printed() -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(b"half a li")

    with peer(answer) as address:
        done = wirelane("tcp", address, "-d", "x")
    assert (done.code, done.out) == (1, "half a li")
    assert done.err.startswith("error: ")


def test_bytes_are_printed_as_they_come_and_as_a_hex_dump_if_asked(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_bytes(bytes(range(20)))
    done = wirelane("tcp", served.tcp, "-d", f"@{file}", "--max-bytes", "20")
    assert done.out.encode() == bytes(range(20))
    dump = wirelane("tcp", served.tcp, "-d", f"@{file}", "--max-bytes", "20", "--hex").out
    assert dump == (
        "00000000  00 01 02 03 04 05 06 07  08 09 0a 0b 0c 0d 0e 0f  |................|\n"
        "00000010  10 11 12 13                                       |....|\n"
    )


def test_data_may_come_from_standard_input(served: Served) -> None:
    assert wirelane("tcp", served.tcp, "-d", "@-", stdin="from stdin\n").out == "from stdin\n"


def test_interactive_sends_and_prints_at_once(served: Served) -> None:
    with running("tcp", served.tcp, "-i") as talk:
        for text in ("one\n", "two\n"):
            talk.write(text)
            assert talk.line() == text
        talk.end_input()
        assert talk.line() is None
        assert talk.code() == 0


def test_interactive_ends_when_the_peer_does() -> None:
    with (
        peer(lambda connection: connection.sendall(b"bye\n")) as address,
        running("tcp", address, "-i") as talk,
    ):
        assert talk.line() == "bye\n"
        assert talk.code() == 0


def test_ctrl_c_ends_it_quietly(served: Served) -> None:
    with running("tcp", served.tcp, "-i") as talk:
        talk.write("x\n")
        assert talk.line() == "x\n"
        talk.interrupt()
        assert talk.code() == 130
        assert talk.rest("err").strip() == ""


def test_verbose_tells_of_the_connection(served: Served) -> None:
    done = wirelane("tcp", served.tcp, "-d", "x", "-v")
    first, last = done.err.splitlines()
    assert first.startswith(f"* connected to {served.tcp} from 127.0.0.1:")
    assert last.startswith("* 2 bytes sent, 2 received, in ")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--marker", ""], "--marker"),
        (["--marker", r"\x0"], "--marker"),
        (["--until-eof", "--marker", "x"], "--until-eof"),
        (["-i", "--max-bytes", "3"], "-i"),
        (["-i", "-d", "@-"], "-d @-"),
        (["--max-bytes", "0"], "'--max-bytes'"),
        (["-d", "@/no/such/file"], "No such file"),
        (["--cacert", "/no/such.pem"], "--cacert"),
    ],
)
def test_options_that_make_no_sense(served: Served, arguments: list[str], problem: str) -> None:
    wirelane("tcp", served.tcp, *arguments).failed(2, problem)


def test_an_address_that_is_none() -> None:
    wirelane("tcp", "nowhere").failed(2, "no address")


def test_tls_to_a_plaintext_server(served: Served) -> None:
    wirelane("tcp", f"tls://{served.tcp}", "-d", "x").failed(1, "--plaintext")


def test_tls_with_a_certificate_authority(ca) -> None:
    context = ca.server_context()

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            secure.sendall(secure.recv(100))
            secure.unwrap()

    with peer(answer) as address:
        done = wirelane("tcp", address, "-d", "over TLS", "--cacert", str(ca.ca), "-v")
    assert (done.code, done.out) == (0, "over TLS\n")
    assert "TLSv1.3" in done.err
