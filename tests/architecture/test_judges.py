"""`make interop` cannot pass by accident: what was not run, was skipped or complained has failed."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from judges import conformance, h2spec
from judges.processes import Certificates, Finished, Judgement, Stalls, run, serving
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


ALL = sum(conformance.GROUPS["client"].values())
FAILURES = """FAILED: TLS Client Certs/HTTPVersion:2/TLS:true/unary:
\tno certificate
FAILED: Timeouts/HTTPVersion:2/TLS:false/(grpc server impl)/unary:
\texpecting an error but received none
\tand one more line

"""


@pytest.mark.parametrize(
    ("words", "status", "verdict"),
    [
        (f"Total cases: {ALL}\n{ALL} passed, 0 failed\n", 0, 0),
        (f"Total cases: {ALL}\n{ALL} passed, 0 failed\n", 1, 1),
        (f"Total cases: {ALL - 1}\n{ALL - 1} passed, 0 failed\n", 0, 1),
        (f"{FAILURES}Total cases: {ALL}\n{ALL - 2} passed, 2 failed\n", 1, 1),
        (f"{FAILURES}Total cases: {ALL}\n{ALL - 2} passed, 2 failed\n", 0, 1),
        ("Cannot run\n", 1, 1),
        ("", 0, 1),
    ],
)
def test_the_conformance_runner_must_have_passed_every_case_and_say_so(
    capsys: pytest.CaptureFixture[str], words: str, status: int, verdict: int
) -> None:
    report = Report()
    conformance.tell(report, "client", conformance.read(Finished(status, words)))
    assert report.finish() == verdict
    printed = capsys.readouterr().out
    assert ("and one more line" in printed) is ("one more" in words)


def test_failures_of_the_conformance_suite_are_told_in_their_groups(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = Report()
    words = f"{FAILURES}Total cases: {ALL}\n{ALL - 2} passed, 2 failed\n"
    conformance.tell(report, "client", conformance.read(Finished(1, words)))
    counts = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines() if "passed" in line]
    assert counts[2:] == [
        "Connect conformance our client with Connect, TLS with client certificates 1 passed, 1 FAILED",
        "Connect conformance our client with grpc-go, cleartext 173 passed, 1 FAILED",
    ]


@pytest.mark.parametrize("stands_still", [False, True])
def test_failures_are_judged_again_only_if_the_machine_stood_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stands_still: bool
) -> None:
    def total(mode: str) -> int:
        return sum(conformance.GROUPS[mode].values())

    first = f"{FAILURES}Total cases: $all\n$((all - 2)) passed, 2 failed"
    again = "Total cases: 2\n2 passed, 0 failed"
    text = f"""
case "$*" in *"--mode client"*) all={total("client")} ;; *) all={total("server")} ;; esac
case "$*" in *"--run @"*) cat <<X
{again}
X
exit 0 ;; esac
cat <<X
{first}
X
exit 1"""
    runner = script(tmp_path / "runner", text)
    monkeypatch.setattr(conformance, "STALL", -1.0 if stands_still else 1000.0)
    report = Report()
    conformance.judge(runner, tmp_path, report)
    assert report.finish() == (0 if stands_still else 1)
    assert ("2 cases run again" in capsys.readouterr().out) is stands_still


def test_a_machine_that_stands_still_is_noticed() -> None:
    switch = sys.getswitchinterval()
    with Stalls() as stalls:
        sys.setswitchinterval(100)  # nobody else runs while this thread is busy
        try:
            until = time.monotonic() + 0.3
            while time.monotonic() < until:
                pass
        finally:
            sys.setswitchinterval(switch)
        time.sleep(0.1)
    assert stalls.longest > 0.1
