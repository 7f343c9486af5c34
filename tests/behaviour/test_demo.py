"""`wirelane demo`: the tour shows everything, checks everything, and fails when something is not as it should be."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from support.cli_support import PATIENCE, command, environment, wirelane
from wirelane.cli.demo import tour as tours
from wirelane.cli.demo.steps import GRPC_STEPS, SECURITY_STEPS, StepFailed, Tour, expect, title_of
from wirelane.cli.demo.tcp_steps import BURSTS, TCP_STEPS

ROOT = Path(__file__).resolve().parents[2]
STEPS = (*GRPC_STEPS, *SECURITY_STEPS, *TCP_STEPS)


def test_the_tour_makes_every_stop_and_ends_well() -> None:
    done = wirelane("demo")
    assert (done.code, done.err) == (0, ""), done
    for step in STEPS:
        assert re.search(rf"^  ✓ {re.escape(title_of(step))} +\d+\.\d ms$", done.out, re.MULTILINE), title_of(
            step
        )
    assert '{"value1": 5, "value2": 3} → {"value": 8.0}' in done.out
    assert "everything.proto imports types.proto" in done.out
    assert "DEADLINE_EXCEEDED" in done.out
    assert "b'no newline'" in done.out
    for name, _ in BURSTS:
        assert re.search(rf"^    {re.escape(name)} +[\d,]+$", done.out, re.MULTILINE), name
    assert f"All {len(STEPS) + 1} steps gave what they should." in done.out


def test_piped_output_is_plain_text_without_trailing_blanks() -> None:
    out = wirelane("demo").out
    assert "\x1b" not in out
    assert [line for line in out.splitlines() if line != line.rstrip()] == []
    assert max(map(len, out.splitlines())) <= 125


def _on_a_terminal(**variables: str) -> str:
    parent, child = pty.openpty()
    process = subprocess.Popen(
        command("demo"),
        stdin=child,
        stdout=child,
        stderr=child,
        env=environment(TERM="xterm-256color", **variables),
    )
    os.close(child)
    shown = b""
    try:
        while data := os.read(parent, 65536):
            shown += data
    except OSError:  # how Linux tells that the other side of a terminal is closed
        pass
    finally:
        os.close(parent)
    assert process.wait(PATIENCE) == 0, shown
    return shown.decode()


def test_on_a_terminal_there_are_colours_unless_no_color_is_set() -> None:
    assert "\x1b[" in _on_a_terminal()
    assert "\x1b[" not in _on_a_terminal(NO_COLOR="1")


def test_where_only_ascii_can_be_printed_it_is_ascii() -> None:
    done = wirelane("demo", env=environment(PYTHONUTF8="0", PYTHONIOENCODING="ascii"))
    assert done.code == 0
    assert done.out.isascii()
    assert "ok Unary call" in done.out


async def test_a_step_that_fails_is_named_and_the_exit_code_is_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def wrong(tour: Tour) -> list[str]:
        """Something that does not hold."""
        expect("1 + 1", 1 + 1, 3)
        return []

    async def broken(tour: Tour) -> list[str]:
        """Something that raises."""
        raise ConnectionResetError("gone")

    async def right(tour: Tour) -> list[str]:
        """Something after it."""
        return ["it goes on"]

    monkeypatch.setattr(tours, "_CHAPTERS", (("Chapter", (wrong, broken, right)),))
    monkeypatch.setattr(tours, "BURSTS", ())
    assert await tours.take_tour() == 1
    shown = capsys.readouterr()
    assert "✗ Something that does not hold" in shown.out
    assert "1 + 1 should be 3, and is 2" in shown.out
    assert "ConnectionResetError: gone" in shown.out
    assert "✓ Something after it" in shown.out
    assert shown.err.startswith(
        "error: 2 of 4 steps failed: Something that does not hold; Something that raises"
    )


async def test_a_burst_with_a_wrong_result_fails_the_tour(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def wrong(tour: Tour) -> tuple[int, float]:
        raise StepFailed("a wrong sum")

    monkeypatch.setattr(tours, "_CHAPTERS", ())
    monkeypatch.setattr(tours, "BURSTS", (("wrong sums", wrong),))
    assert await tours.take_tour() == 1
    assert "wrong sums: StepFailed: a wrong sum" in capsys.readouterr().out


def test_every_step_has_a_title_of_its_own() -> None:
    titles = [title_of(step) for step in STEPS]
    assert all(titles)
    assert len(set(titles)) == len(titles)


def test_an_installed_wheel_has_what_the_tour_needs(tmp_path: Path) -> None:
    program = "import hatchling.build, sys; print(hatchling.build.build_wheel(sys.argv[1]))"
    built = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    installed = tmp_path / "site"
    with zipfile.ZipFile(tmp_path / built.stdout.split()[-1]) as archive:
        archive.extractall(installed)
    ours = "import wirelane, sys; from wirelane.cli import main; print(wirelane.__file__); main(['demo'])"
    done = subprocess.run(
        [sys.executable, "-c", ours],
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(installed)),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert done.stdout.startswith(str(installed))
    assert "everything.proto imports types.proto" in done.stdout
