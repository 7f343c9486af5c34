"""`make interop` cannot pass by accident: what was not run, was skipped or complained has failed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from judges import h2spec
from judges.processes import Certificates, Judgement, run, serving
from judges.programs import find_go
from judges.report import Report

REPORT = """<testsuites>
  <testsuite package="generic/1" tests="44" skipped="{skipped}" failures="{failures}" errors="0"/>
  <testsuite package="http2/6.1" tests="{http2}" skipped="0" failures="0" errors="0"/>
  <testsuite package="hpack/2.3" tests="7" skipped="0" failures="0" errors="0"/>
</testsuites>"""


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_no_go_and_a_go_that_is_too_old_are_told(tmp_path: Path) -> None:
    assert find_go([None, str(tmp_path / "none")]) == (None, "Go 1.25 or newer is not on this machine")
    old = script(tmp_path / "old", "echo go1.19.8")
    broken = script(tmp_path / "broken", "exit 1")
    go, words = find_go([str(broken), str(old)])
    assert go is None
    assert words.endswith(f"only {broken}: does not run")
    new = script(tmp_path / "new", "echo go1.26.1")
    assert find_go([str(old), str(new)]) == (new, "go1.26.1")


@pytest.mark.parametrize(
    ("skipped", "failures", "http2", "status"), [(0, 0, 95, 0), (1, 0, 95, 1), (0, 1, 95, 1), (0, 0, 94, 1)]
)
def test_a_case_that_is_skipped_failed_or_missing_fails_h2spec(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], skipped: int, failures: int, http2: int, status: int
) -> None:
    found = REPORT.format(skipped=skipped, failures=failures, http2=http2)
    while_ = 'while [ "$1" != -j ]; do shift; done'
    fake = script(tmp_path / "h2spec", f"{while_}\ncat >\"$2\" <<'X'\n{found}\nX\necho its words")
    report = Report()
    h2spec.judge(fake, Certificates.issue(tmp_path), report)
    assert report.finish() == status
    assert ("its words" in capsys.readouterr().out) is bool(status)


def test_a_judge_that_ran_nothing_has_not_passed() -> None:
    assert Report().finish() == 1
    report = Report()
    report.group("someone", "nothing", passed=0)
    assert report.finish() == 1


def test_a_server_of_ours_that_complains_or_ends_badly_is_judged_for_it() -> None:
    quiet = "import time; print('port 1', flush=True); time.sleep(60)"
    with pytest.raises(Judgement, match="ended with status -15"):
        with serving([sys.executable, "-c", quiet], r"port (\d+)", drains=True) as port:
            assert port == 1
    with pytest.raises(Judgement, match="did not say where it listens"):
        with serving([sys.executable, "-c", "print('no')"], r"port (\d+)", drains=True):
            pytest.fail("it is not there")


def test_a_program_that_does_not_end_is_stopped_and_has_failed() -> None:
    done = run([sys.executable, "-c", "import time; print('here', flush=True); time.sleep(60)"], seconds=2)
    assert done.status == -1
    assert "here" in done.words
    assert "it was not over after 2 s" in done.words
