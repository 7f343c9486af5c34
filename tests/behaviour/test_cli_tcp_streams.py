"""`wirelane tcp` in pipes and with files: what is sent, what is printed where, in which encoding, and when it ends."""

from __future__ import annotations

import shlex
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from support.cli_support import PATIENCE, Served, command, environment, running, serving, wirelane
from wirelane import Limits


@pytest.fixture(scope="module")
def served():
    with serving() as server:
        yield server


class Heard:
    """A server for one connection: what it was told, to the end, and what it answers before or after that."""

    def __init__(self, answer: Callable[[socket.socket], None] | None) -> None:
        self.data = b""
        self._answer = answer

    def serve(self, connection: socket.socket) -> None:
        if self._answer is not None:
            self._answer(connection)
        with suppress(ConnectionResetError):  # by those who give up
            while piece := connection.recv(65536):
                self.data += piece


@contextmanager
def hearing(answer: Callable[[socket.socket], None] | None = None) -> Iterator[tuple[str, Heard]]:
    """Run a server that hears one connection out."""
    heard = Heard(answer)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                heard.serve(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}", heard
        finally:
            thread.join(50)


def says(data: bytes) -> Callable[[socket.socket], None]:
    return lambda connection: connection.sendall(data)


def test_a_pipe_is_sent_to_its_end_and_all_that_comes_is_printed(served: Served) -> None:
    done = wirelane("tcp", served.tcp, stdin="one\ntwo\nthree")
    assert (done.code, done.out, done.err) == (0, "one\ntwo\nthree", "")


def test_a_file_is_sent_like_a_pipe(served: Served, tmp_path: Path) -> None:
    data = bytes(range(256)) * 4000
    (tmp_path / "in").write_bytes(data)
    with (tmp_path / "in").open("rb") as file:
        done = subprocess.run(
            command("tcp", served.tcp),
            stdin=file,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
            env=environment(),
        )
    assert (done.returncode, done.stdout == data) == (0, True)


def test_an_empty_pipe_says_nothing_and_hears_the_banner() -> None:
    with hearing(says(b"220 ready\n221 bye\n")) as (address, heard):
        done = wirelane("tcp", address)
    assert (done.code, done.out, heard.data) == (0, "220 ready\n221 bye\n", b"")


def test_without_input_one_line_is_read() -> None:
    with hearing(says(b"220 ready\n221 bye\n")) as (address, _):
        done = subprocess.run(
            command("tcp", address),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
            env=environment(),
        )
    assert (done.returncode, done.stdout) == (0, b"220 ready\n")


def test_a_pipe_is_left_alone_by_whoever_says_what_to_send_or_where_the_reply_ends(served: Served) -> None:
    assert wirelane("tcp", served.tcp, "-d", "given", stdin="piped\n").out == "given\n"
    with hearing(says(b"a;b;")) as (address, heard):
        assert wirelane("tcp", address, "--marker", ";", stdin="piped\n").out == "a;"
    assert heard.data == b""


def test_crlf_is_what_follows_text_and_what_newlines_of_input_become() -> None:
    for arguments, stdin, sent in (
        (["-d", "x"], "", b"x\r\n"),
        (["-e", "-d", r"HEAD / HTTP/1.0\n\n"], "", b"HEAD / HTTP/1.0\r\n\r\n"),
        (["-d", "@-"], "a\nb\r\nc", b"a\r\nb\r\nc"),
        ([], "a\n\nb\r\n", b"a\r\n\r\nb\r\n"),
        (["-i"], "a\n", b"a\r\n"),
    ):
        with hearing(says(b"ok\n")) as (address, heard):
            assert wirelane("tcp", address, "--crlf", *arguments, stdin=stdin).out == "ok\n"
        assert heard.data == sent, arguments


def test_crlf_mends_files_too(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"a\nb\r\n")
    with hearing(says(b"ok\n")) as (address, heard):
        assert wirelane("tcp", address, "-C", "-d", f"@{tmp_path / 'in'}").out == "ok\n"
    assert heard.data == b"a\r\nb\r\n"


def test_an_encoding_is_that_of_text_markers_and_the_reply() -> None:
    for encoding in ("cp1250", "utf-16-le", "utf-8"):
        with hearing(says("zażółć; gęślą".encode(encoding))) as (address, heard):
            done = wirelane(
                "tcp", address, "--encoding", encoding, "-e", "-d", "ź\\u0119\\n", "--marker", "ć;"
            )
        assert (done.code, done.out) == (0, "zażółć;"), encoding
        assert heard.data == "źę\n".encode(encoding)


def test_an_encoding_of_two_bytes_finds_markers_at_whole_characters() -> None:
    # U+0A41 and U+4100: the octets between them are those of a newline.
    text = "\u0a41\u4100"
    octets = text.encode("utf-16-be") + "\n".encode("utf-16-be")
    misleading = "\u4100\u0a00".encode("utf-16-be")
    assert b"\x00\x0a" in misleading
    with hearing(says(misleading + octets)) as (address, _):
        done = wirelane("tcp", address, "--encoding", "utf-16-be", "-d", "x")
    assert (done.code, done.out) == (0, f"\u4100\u0a00{text}\n")


@pytest.mark.parametrize("order", ["", "-le", "-be"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_byte_order_mark_may_be_there_or_not(encoding: str, order: str) -> None:
    said = ("\ufeffzażółć\n" if order else "zażółć\n").encode(encoding + order)
    unmarked = "zażółć\n".encode(f"{encoding}-{sys.byteorder[0]}e")
    for reply in (said, unmarked):
        with hearing(says(reply)) as (address, _):
            done = wirelane("tcp", address, "--encoding", encoding, "-d", "x", "--max-bytes", str(len(reply)))
        assert (done.code, done.out, done.err) == (0, "zażółć\n", "")
    with hearing(says(unmarked)) as (address, heard):
        done = wirelane("tcp", address, "--encoding", encoding, "-d", "ą")
    assert (done.code, done.out, done.err) == (0, "zażółć\n", "")
    assert heard.data == "ą\n".encode(encoding)


def test_what_is_not_text_in_the_encoding_is_shown() -> None:
    with hearing(says(b"caf\xe9\n")) as (address, _):
        done = wirelane("tcp", address, "--encoding", "utf-8", "-d", "x")
    assert (done.code, done.out) == (0, "caf\\xe9\n")
    with hearing(says(b"caf\xe9\n")) as (address, _):
        done = wirelane("tcp", address, "--encoding", "utf-8", "-d", "x", "--hex")
    assert "63 61 66 e9 0a" in done.out


def test_a_character_cut_by_the_network_is_whole_when_it_is_printed() -> None:
    def answer(connection: socket.socket) -> None:
        for octet in "żółw".encode():
            connection.send(bytes((octet,)))
        connection.shutdown(socket.SHUT_WR)

    with hearing(answer) as (address, _):
        done = wirelane("tcp", address, "--encoding", "utf-8", "-d", "x", "--until-eof")
    assert (done.code, done.out) == (0, "żółw")


def test_output_goes_to_a_file(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "out"
    file.write_text("what was there before, and longer")
    done = wirelane("tcp", served.tcp, "-d", "to the file", "-o", str(file))
    assert (done.code, done.out, done.err) == (0, "", "")
    assert file.read_text() == "to the file\n"
    assert wirelane("tcp", served.tcp, "-d", "x", "-o", "-").out == "x\n"
    wirelane("tcp", served.tcp, "-d", "hex", "--hex", "-o", str(file))
    assert file.read_text().startswith("00000000  68 65 78 0a ")


def test_a_file_is_not_touched_when_there_is_no_connection(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    kept, none = tmp_path / "kept", tmp_path / "none"
    kept.write_text("precious")
    for file in (kept, none):
        wirelane("tcp", address, "-d", "x", "-o", str(file)).failed(1, "cannot connect")
    assert kept.read_text() == "precious"
    assert not none.exists()


def test_what_came_of_a_reply_that_is_not_whole_is_in_the_file(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "out"
    done = wirelane(
        "tcp", served.tcp, "-d", "partial", "--newline", "", "--timeout", "300ms", "-o", str(file)
    )
    assert done.code == 1
    assert file.read_text() == "partial"


def test_silence_ends_it(served: Served) -> None:
    done = wirelane(
        "tcp", served.tcp, "-d", "no newline", "--newline", "", "--idle", "200ms", "--timeout", "40"
    )
    assert (done.code, done.out) == (1, "no newline")
    assert "0.2 s" in done.err
    assert done.err.count("\n") == 1
    with running("tcp", served.tcp, "-i", "--idle", "300ms") as talk:
        talk.write("x\n")
        assert talk.line() == "x\n"
        assert talk.code() == 1
        assert "0.3 s" in talk.rest("err")


def test_hex_and_verbose_show_what_is_said_in_both_directions(served: Served) -> None:
    done = wirelane("tcp", served.tcp, "-d", "Echo this!", "--hex", "-v")
    dump = "00000000  45 63 68 6f 20 74 68 69  73 21 0a                 |Echo this!.|\n"
    assert (done.code, done.out) == (0, dump)
    lines = done.err.splitlines(keepends=True)
    assert done.err.count(dump) == 2
    sent, received = (place for place, line in enumerate(lines) if line == dump)
    assert lines[sent - 1].startswith("> ")
    assert lines[sent - 1].endswith(" 11 bytes\n")
    assert lines[received - 1].startswith("< ")
    assert any(line.startswith("* ") and line.endswith(" closed\n") for line in lines)
    assert all(line[0] in "*><0" for line in lines)


def test_the_conversation_is_shown_above_tls(served: Served, ca) -> None:
    context = ca.server_context()

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection.dup(), server_side=True) as secure:
            secure.sendall(secure.recv(100))
            secure.unwrap()

    with hearing(answer) as (address, _):
        done = wirelane("tcp", address, "-d", "secret", "--cacert", str(ca.ca), "--hex", "-v")
    assert done.code == 0
    assert done.err.count("|secret.|") == 2
    assert "TLS: TLSv1.3" in done.err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--encoding", "klingon"], "--encoding"),
        (["--encoding", "hex"], "--encoding"),
        (["--encoding", "ascii", "-d", "ż"], "cannot be written in ascii"),
        (["--encoding", "ascii", "--marker", "ż"], "--marker"),
        (["--encoding", "utf-8", "--marker", r"\u12"], "needs its digits"),
        (["--encoding", "utf-8", "--marker", r"\U00ffffff"], "is no character"),
        (["--crlf", "--newline", "x"], "--newline"),
        (["--crlf", "--encoding", "utf-16-le"], "--crlf"),
        (["--idle", "0"], "--idle"),
        (["-o", "/no/such/directory/file"], "there is no directory"),
        (["-o", "/"], "it is a directory"),
    ],
)
def test_options_that_make_no_sense(served: Served, arguments: list[str], problem: str) -> None:
    wirelane("tcp", served.tcp, *arguments).failed(2, problem)


@pytest.mark.parametrize(
    ("ends", "code"), [(["--until-eof", "--idle", "0.5"], 1), (["--max-bytes", "25500000"], 0)]
)
def test_a_reply_that_comes_while_a_file_is_sent_is_read(
    served: Served, tmp_path: Path, ends: list[str], code: int
) -> None:
    """A server that answers as it goes reads no more before its answers are read."""
    sent = tmp_path / "sent"
    sent.write_bytes(bytes(range(1, 256)) * 100_000)
    got = tmp_path / "got"
    done = wirelane("tcp", served.tcp, "-d", f"@{sent}", *ends, "--timeout", "40", "-o", str(got))
    assert done.code == code
    silent = f"error: {served.tcp}: the peer was silent for 0.5 s (--idle) before what was asked for came\n"
    assert done.err == (silent if code else "")
    assert got.read_bytes() == sent.read_bytes()


def test_a_line_that_is_too_long_is_an_error_that_says_what_to_do(served: Served, tmp_path: Path) -> None:
    sent = tmp_path / "sent"
    sent.write_bytes(b"a" * 200_000 + b"\n")
    done = wirelane("tcp", served.tcp, "-d", f"@{sent}")
    assert (done.code, set(done.out)) == (1, {"a"})
    assert "no end within 65536 bytes; give --marker and a larger --max-bytes, or --until-eof" in done.err
    done = wirelane("tcp", served.tcp, "-d", f"@{sent}", "--marker", r"\n", "--max-bytes", "300000")
    assert (done.code, done.out) == (0, sent.read_text())


def test_interactive_does_without_standard_input(served: Served) -> None:
    line = shlex.join([*command(), "tcp", served.tcp, "-i", "-d", "last"])
    done = subprocess.run(
        ["sh", "-c", f"{line} <&-"], capture_output=True, text=True, check=False, env=environment()
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "last\n", "")


def test_what_came_is_printed_although_not_all_could_be_sent(tmp_path: Path) -> None:
    """A file may take longer than the timeout, which is for its pieces and for the reply."""
    over = threading.Event()

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"too large\n")
        over.wait(50)

    sent = tmp_path / "sent"
    sent.write_bytes(bytes(20_000_000))
    with hearing(answer) as (address, _):
        done = wirelane("tcp", address, "-d", f"@{sent}", "--timeout", "0.3")
        over.set()
    assert (done.code, done.out) == (1, "too large\n")
    assert "the peer does not read: nothing more of what is sent has left for 0.3 s" in done.err


def test_ctrl_c_does_not_wait_for_a_peer_that_does_not_read(tmp_path: Path) -> None:
    """Not even for as long as closing in order may take."""
    over = threading.Event()
    sent = tmp_path / "sent"
    sent.write_bytes(bytes(20_000_000))

    def never_read(connection: socket.socket) -> None:
        connection.sendall(b"welcome\n")
        over.wait(50)

    with hearing(never_read) as (address, _), running("tcp", address, "-i", "-d", f"@{sent}") as process:
        assert process.line() == "welcome\n"
        began = time.monotonic()
        process.interrupt()
        assert process.code() == 130
        took = time.monotonic() - began
        over.set()
    assert took < Limits().close_timeout


def test_a_disk_that_is_full_is_an_error(served: Served) -> None:
    done = wirelane("tcp", served.tcp, "-d", "x", "-o", "/dev/full")
    assert done.code == 1
    assert "/dev/full: No space left" in done.err
    assert done.err.count("\n") == 1


def test_help_teaches_every_use() -> None:
    text = wirelane("tcp", "--help").out
    for word in (
        "--crlf",
        "--encoding",
        "--idle",
        "-o, --output",
        "--no-history",
        "@request.bin",
        "130",
        "--proxy",
    ):
        assert word in text
