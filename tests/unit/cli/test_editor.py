"""Lines that are kept from one time to the next."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from wirelane.cli.editor import LineFile, history_path


def test_lines_come_back_in_order_but_those_that_begin_with_a_space(tmp_path: Path) -> None:
    lines = LineFile(tmp_path / "deep" / "lines")
    assert lines.load() == []
    for line in ("one", " password", "", "   ", "two\npasted", "zażółć \udcff"):
        lines.append(line)
    assert LineFile(tmp_path / "deep" / "lines").load() == ["one", "two pasted", "zażółć \udcff"]
    assert stat.S_IMODE((tmp_path / "deep" / "lines").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "deep").stat().st_mode) == 0o700


def test_a_long_file_is_made_short_again(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("".join(f"{number}\n" for number in range(2000)))
    assert len(LineFile(path).load()) == 1000
    assert len(path.read_text().splitlines()) == 2000
    LineFile(path).append("2000")
    assert LineFile(path).load()[-1] == "2000"
    assert path.read_text().splitlines() == [str(number) for number in range(1001, 2001)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["lines"]


def test_what_does_not_work_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = LineFile(tmp_path)  # a directory
    assert lines.load() == []
    lines.append("one")
    lines.append("two")
    assert capsys.readouterr().err.count("lines are not kept") == 1


def test_what_edits_lines_is_loaded_by_those_alone_who_type() -> None:
    program = "import sys, wirelane.cli.app, wirelane.cli.tcp, wirelane.cli.talk; print('prompt_toolkit' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=50
    )
    assert done.stdout == "False\n"


def test_where_lines_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WIRELANE_HISTORY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert history_path() == tmp_path / ".local" / "state" / "wirelane" / "tcp_history"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert history_path() == tmp_path / ".local" / "state" / "wirelane" / "tcp_history"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert history_path() == tmp_path / "state" / "wirelane" / "tcp_history"
    monkeypatch.setenv("WIRELANE_HISTORY", "~/lines")
    assert history_path() == tmp_path / "lines"
    monkeypatch.setenv("WIRELANE_HISTORY", "")
    assert history_path() is None
