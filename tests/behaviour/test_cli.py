"""The command as a whole: verbs, help, completion, and what it needs to be there."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

import wirelane as package
from support.cli_support import EVERYTHING, Served, environment, serving, wirelane
from wirelane.cli import main
from wirelane.cli.app import VERBS


@pytest.fixture(scope="module")
def served():
    with serving() as server:
        yield server


def test_version_is_printed() -> None:
    done = wirelane("--version")
    assert (done.code, done.out, done.err) == (0, f"wirelane {package.__version__}\n", "")


def test_version_loads_neither_asyncio_nor_protobuf() -> None:
    program = (
        "import sys; from wirelane.cli import main\n"
        "try: main(['--version'])\n"
        "except SystemExit: print(sorted({'asyncio', 'ssl', 'google', 'rich', 'uvloop'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_without_a_verb_the_help_is_shown_as_an_error() -> None:
    done = wirelane()
    assert done.code == 2
    assert done.out == ""
    assert all(verb in done.err for verb in VERBS)


def test_the_help_lists_the_verbs_and_what_they_do() -> None:
    done = wirelane("--help")
    assert done.code == 0
    for verb, (_, text) in VERBS.items():
        assert verb in done.out
        assert text in done.out
    for later in ("load", "ui"):
        assert f"\n  {later} " not in done.out


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_shows_its_examples_as_they_are_typed(verb: str) -> None:
    done = wirelane(verb, "--help")
    assert done.code == 0
    examples = done.out.partition("\nExamples:\n")[2].splitlines()
    assert f"wirelane {verb}" in examples[0]
    # Nothing was wrapped.
    command = main.get_command(click.Context(main), verb)
    assert command is not None
    assert command.epilog is not None
    assert command.epilog.strip("\n") in done.out


@pytest.mark.parametrize(
    ("typed", "hint"),
    [("cal", "did you mean 'call'?"), ("lst", "did you mean 'list'?"), ("xyzzy", "there are call,")],
)
def test_a_verb_that_is_not_there_is_answered_with_the_nearest(typed: str, hint: str) -> None:
    wirelane(typed).failed(2, hint)


def test_an_option_that_is_not_there_is_named() -> None:
    done = wirelane("call", "localhost:1", "a/b", "--compat")
    done.failed(2, "--compat")
    assert "--compact" in done.err


def test_a_missing_argument_is_named() -> None:
    wirelane("call", "localhost:1").failed(2, "PKG.SERVICE/METHOD")


def test_without_click_the_command_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'click':\n"
        "            raise ModuleNotFoundError('No module named click', name='click')\n"
        "sys.meta_path.insert(0, Missing())\n"
    )
    done = wirelane("--version", env=environment(PYTHONPATH=str(tmp_path)))
    assert (done.code, done.out) == (2, "")
    assert done.err == "wirelane: the command line needs more packages: pip install 'wirelane[cli]'\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(shell: str) -> None:
    done = wirelane("completion", shell)
    assert done.code == 0
    assert "_WIRELANE_COMPLETE" in done.out


def _completed(*words: str) -> list[str]:
    env = environment(
        _WIRELANE_COMPLETE="bash_complete",
        COMP_WORDS=" ".join(("wirelane", *words)),
        COMP_CWORD=str(len(words)),
    )
    done = wirelane(env=env)
    return [line.partition(",")[2] for line in done.out.splitlines() if line]


def test_verbs_and_options_are_completed() -> None:
    assert _completed("de") == ["describe", "demo"]
    assert _completed("call", "--pro") == ["--proto", "--protoset", "--proxy"]


def test_methods_are_completed_by_asking_the_server(served: Served) -> None:
    assert _completed("call", served.grpc, "Summ") == ["Summator/sum"]
    assert f"{EVERYTHING}/BidiEcho" in _completed("call", served.grpc, "wirelane.demo.Ever")
    assert "Greeter" in _completed("describe", served.grpc, "G")


def test_completion_keeps_silent_about_a_server_that_is_not_there(unused_tcp_port: int) -> None:
    assert _completed("call", f"127.0.0.1:{unused_tcp_port}", "S") == []


def test_broken_pipes_end_the_command_without_a_word(served: Served) -> None:
    arguments = ["call", served.grpc, f"{EVERYTHING}/ServerStream", "-d", '{"count": 100000}', "--compact"]
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "wirelane", *arguments],
        stdout=writer,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    os.close(writer)
    assert os.read(reader, 10).startswith(b"{")
    os.close(reader)
    _, err = process.communicate(timeout=50)
    assert (process.returncode, err) == (1, b"")


def test_streams_that_are_closed_are_no_traceback(served: Served) -> None:
    line = shlex.join([sys.executable, "-m", "wirelane", "call", served.grpc, "Summator/sum"])
    for closed in (">&-", "2>&-", "<&-", ">&- 2>&- <&-"):
        done = subprocess.run(
            ["sh", "-c", f"{line} {closed}"], capture_output=True, text=True, check=False, env=environment()
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_what_the_locale_cannot_show_is_escaped(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "a.proto"
    file.write_text('syntax = "proto3";\n// Größe\nmessage M {}\n', encoding="utf-8")
    env = environment(PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    done = wirelane("describe", "--proto", str(file), "M", env=env)
    assert done.code == 0, done.err
    assert "Gr\\xf6\\xdfe" in done.out


def test_an_output_that_was_closed_from_the_start_is_no_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "wirelane", "--help"],
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
        env=environment(),
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")
