"""`wirelane tcp -i` on a terminal: lines with editing and history, replies above what is typed."""

from __future__ import annotations

import os
import socket
import stat
import sys
import termios
import threading
from pathlib import Path

import pytest

from support.cli_support import Served, peer, serving
from support.terminal_support import Terminal, terminal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX's")

UP, LEFT, BACKSPACE, CTRL_C, CTRL_D = "\x1b[A", "\x1b[D", "\x7f", "\x03", "\x04"


@pytest.fixture(scope="module")
def served():
    with serving() as server:
        yield server


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WIRELANE_HISTORY", str(tmp_path / "lines"))
    return tmp_path / "lines"


def restored(seen: Terminal) -> bool:
    """Whether the terminal echoes and gathers lines again, as shells expect it."""
    wanted = termios.ECHO | termios.ICANON | termios.ISIG
    return seen.modes() & wanted == wanted


def test_lines_are_edited_sent_and_answered_above(served: Served, history: Path) -> None:
    with terminal("tcp", served.tcp, "-i") as seen:
        seen.until(">")
        seen.type(f"helo{LEFT}l\r")
        seen.until("> hello\r\n")
        seen.until("hello\r\n")
        seen.type(f"wrong{BACKSPACE * 5}right\r")
        seen.until("> right\r\n")
        seen.until("right\r\n")
        seen.type(CTRL_D)
        assert seen.code() == 0
        assert restored(seen)


def test_what_comes_while_a_line_is_typed_is_printed_above_it(history: Path) -> None:
    asked, go_on = threading.Event(), threading.Event()
    said: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        asked.wait(50)
        connection.sendall(b"news\r\n")
        go_on.wait(50)
        said.append(connection.recv(100))

    with peer(answer) as address, terminal("tcp", address, "-i") as seen:
        seen.until(">")
        seen.type("half a l")
        seen.until("half a l")
        asked.set()
        seen.until("news\r\n")
        seen.until("half a l")  # drawn again, below
        seen.type("ine\r")
        seen.until("> half a line\r\n")
        go_on.set()
        assert seen.code() == 0
    assert said == [b"half a line\n"]


def test_the_beginning_of_a_line_is_the_prompt(history: Path) -> None:
    said: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"welcome\nlogin: ")
        said.append(connection.recv(100))
        connection.sendall(b"password: ")
        said.append(connection.recv(100))
        connection.sendall(b"no\nbye")

    with peer(answer) as address, terminal("tcp", address, "-i") as seen:
        seen.until("welcome\r\n")
        seen.until("login:")
        seen.type("me\r")
        seen.until("login: me\r\n")
        seen.until("password:")
        seen.type("secret\r")
        seen.until("password: secret\r\n")
        assert seen.code() == 0
        assert seen.text.endswith("bye\r\n")  # which may have been drawn as a prompt before
        assert "no\r\n" in seen.text
        assert restored(seen)
    assert said == [b"me\n", b"secret\n"]


def test_ctrl_d_half_closes_and_what_comes_then_is_printed_as_it_comes(history: Path) -> None:
    go_on = threading.Event()

    def answer(connection: socket.socket) -> None:
        while connection.recv(100):
            pass
        connection.sendall(b"after the end: ")
        go_on.wait(50)
        connection.sendall(b"all of it\n")

    with peer(answer) as address, terminal("tcp", address, "-i") as seen:
        seen.until(">")
        seen.type(f"x\r{CTRL_D}")
        seen.until("after the end:")
        go_on.set()
        seen.until("all of it\r\n")
        assert seen.code() == 0


@pytest.mark.parametrize("typed", ["", "half a line"])
def test_ctrl_c_ends_it_with_130_and_the_terminal_is_as_before(
    served: Served, history: Path, typed: str
) -> None:
    with terminal("tcp", served.tcp, "-i") as seen:
        seen.until(">")
        seen.type(typed + CTRL_C)
        assert seen.code() == 130
        assert "Traceback" not in seen.text
        assert "error" not in seen.text
        assert restored(seen)


def test_ctrl_c_after_ctrl_d_ends_it_too(history: Path) -> None:
    over = threading.Event()

    def answer(connection: socket.socket) -> None:
        while connection.recv(100):
            pass
        connection.sendall(b"still here\n")
        over.wait(50)

    with peer(answer) as address, terminal("tcp", address, "-i") as seen:
        seen.until(">")
        seen.type(CTRL_D)
        seen.until("still here")
        seen.type(CTRL_C)
        assert seen.code() == 130
        assert "Traceback" not in seen.text
        over.set()


def test_lines_are_kept_for_the_next_time_for_their_owner_alone(served: Served, history: Path) -> None:
    for lines in (["first", " secret", "second"], ["third"]):
        with terminal("tcp", served.tcp, "-i") as seen:
            seen.until(">")
            for line in lines:
                seen.type(f"{line}\r")
                seen.until(f"> {line}\r\n")
                seen.until(f"{line}\r\n")
            seen.type(CTRL_D)
            assert seen.code() == 0
    assert history.read_text() == "first\nsecond\nthird\n"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    with terminal("tcp", served.tcp, "-i") as seen:
        seen.until(">")
        seen.type(UP * 2)
        seen.until("second")
        seen.type("\r")
        seen.until("> second\r\n")
        seen.until("second\r\n")
        seen.type(CTRL_C)
        assert seen.code() == 130


@pytest.mark.parametrize(("option", "named"), [(["--no-history"], None), ([], "")])
def test_history_can_be_switched_off(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: list[str], named: str | None
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    if named is not None:
        monkeypatch.setenv("WIRELANE_HISTORY", named)
    with terminal("tcp", served.tcp, "-i", *option) as seen:
        seen.until(">")
        seen.type("not kept\r")
        seen.until("> not kept\r\n")
        seen.until("not kept\r\n")
        seen.type(UP)
        seen.type(CTRL_C)
        assert seen.code() == 130
    assert list(tmp_path.iterdir()) == []


def test_history_goes_to_the_state_of_the_user(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WIRELANE_HISTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with terminal("tcp", served.tcp, "-i") as seen:
        seen.until(">")
        seen.type("kept\r")
        seen.until("> kept\r\n")
        seen.until("kept\r\n")
        seen.type(CTRL_D)
        assert seen.code() == 0
    assert (tmp_path / "wirelane" / "tcp_history").read_text() == "kept\n"


def test_a_history_that_cannot_be_kept_is_told_once_and_harms_nothing(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("WIRELANE_HISTORY", str(tmp_path / "file" / "lines"))
    with terminal("tcp", served.tcp, "-i") as seen:
        seen.until(">")
        for line in ("one", "two"):
            seen.type(f"{line}\r")
            seen.until(f"> {line}\r\n")
            seen.until(f"{line}\r\n")
        seen.type(CTRL_D)
        assert seen.code() == 0
        assert seen.text.count("lines are not kept") == 1


def test_what_a_peer_sends_is_shown_and_not_obeyed(history: Path) -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(b"\x1b]0;title\x07\x1b[2J\ttab \xff\nstays\n")
        connection.recv(100)

    with peer(answer) as address, terminal("tcp", address, "-i") as seen:
        seen.until("stays")
        seen.until(">")
        seen.type(CTRL_D)
        assert seen.code() == 0
        assert r"\x1b]0;title\x07\x1b[2J" in seen.raw
        assert r"\xff" in seen.raw
        assert "\x1b[2J" not in seen.raw


def test_newlines_and_encodings_are_those_of_the_options(history: Path) -> None:
    said: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        said.append(connection.recv(100))
        connection.sendall("żółw\r\n".encode("cp1250"))
        connection.recv(100)

    options = ("--encoding", "cp1250", "--crlf")
    with peer(answer) as address, terminal("tcp", address, "-i", *options) as seen:
        seen.until(">")
        seen.type("日本\r")
        seen.until("error: the text cannot be written in cp1250")
        seen.type("zażółć\r")
        seen.until("żółw\r\n")
        seen.type(CTRL_D)
        assert seen.code() == 0
    assert said == ["zażółć\r\n".encode("cp1250")]


def test_verbose_and_hex_show_both_directions_above_the_line(served: Served, history: Path) -> None:
    with terminal("tcp", served.tcp, "-i", "--hex", "-v") as seen:
        seen.until("* connected to")
        seen.until(">")
        seen.type("hi there\r")
        seen.until("68 69 20 74 68 65 72 65")
        seen.until("68 69 20 74 68 65 72 65")
        seen.type(CTRL_D)
        assert seen.code() == 0
        assert "9 bytes sent, 9 received" in seen.text


def test_output_to_a_file_leaves_the_terminal_to_what_is_typed(
    served: Served, history: Path, tmp_path: Path
) -> None:
    file = tmp_path / "out"
    with terminal("tcp", served.tcp, "-i", "-o", str(file)) as seen:
        seen.until(">")
        seen.type("to the file\r")
        seen.until("> to the file\r\n")
        seen.type(CTRL_D)
        assert seen.code() == 0
        assert seen.text.count("to the file\r\n") == 1
    assert file.read_text() == "to the file\n"


def test_without_prompt_toolkit_there_are_plain_lines_and_a_note(served: Served, tmp_path: Path) -> None:
    (tmp_path / "prompt_toolkit.py").write_text(
        "raise ModuleNotFoundError('No module named prompt_toolkit', name='prompt_toolkit')"
    )
    with terminal("tcp", served.tcp, "-i", env={"PYTHONPATH": str(tmp_path)}) as seen:
        seen.until("(pip install 'wirelane[cli]')\r\n")
        seen.type("hello\n")
        seen.until("hello\r\nhello\r\n")
        seen.type(CTRL_D)
        assert seen.code() == 0
        assert restored(seen)


def test_a_dumb_terminal_is_used_as_it_is(served: Served) -> None:
    with terminal("tcp", served.tcp, "-i", env={"TERM": "dumb"}) as seen:
        seen.type("hello\n")
        seen.until("hello\r\nhello\r\n")
        seen.type(CTRL_D)
        assert seen.code() == 0
        assert "\x1b" not in seen.raw


def test_a_server_that_is_not_there_is_one_line_and_no_prompt(history: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    with terminal("tcp", address, "-i") as seen:
        assert seen.code() == 1
        assert seen.text.startswith("error: cannot connect to")
        assert restored(seen)
    assert not os.path.exists(history)
