"""The benchmarks run, and read their own figures rightly. No figure is judged here: that is for a quiet machine."""

from __future__ import annotations

import argparse
import io
import json
import re
import subprocess
import sys
import threading
from dataclasses import fields
from pathlib import Path

import pytest

from support.cost_support import ROOT

ASYNC_CASES = ("unary_both", "server_stream", "client_stream", "bidi_stream")
SYNC_CASES = ("sync_unary_1", "sync_unary_16", "sync_server_stream", "sync_client_stream", "sync_bidi_stream")


def outcome(*arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=150,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def run(*arguments: str) -> str:
    return outcome(*arguments).stdout


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the programs beside src/ importable."""
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("cases", "client", "server"),
    [
        (ASYNC_CASES, "wirelane, asyncio", "grpc.aio, asyncio"),
        (ASYNC_CASES, "grpc.aio, uvloop", "wirelane, uvloop"),
        (ASYNC_CASES, "grpclib", "grpclib"),
        (SYNC_CASES, "wirelane.sync", "wirelane.sync"),
        (SYNC_CASES, "wirelane.sync", "grpcio"),
        (SYNC_CASES, "grpcio", "wirelane, uvloop"),
        (SYNC_CASES, "wirelane, uvloop", "grpcio"),
    ],
)
def test_a_client_and_a_server_of_different_stacks_are_measured(
    cases: tuple[str, ...], client: str, server: str, tmp_path: Path
) -> None:
    file = tmp_path / "figures.json"
    chosen = [word for case in cases for word in ("--case", case)]
    run(
        *chosen,
        "--client",
        client,
        "--server",
        server,
        "--scale",
        "0.01",
        "--repeat",
        "1",
        "--json",
        str(file),
    )
    figures = json.loads(file.read_text(encoding="utf-8"))["figures"]
    assert [figure["case"] for figure in figures] == list(cases)
    for figure in figures:
        assert client in figure["client"]
        assert server in figure["server"]
        assert figure["per_second"] > 0
        assert figure["client_cpu"] > 0


@pytest.mark.timeout(180)
def test_calls_held_open_are_measured_in_memory_at_both_ends(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    run("--case", "held_10000", "--client", "wirelane, asyncio", "--server", "wirelane, asyncio",
        "--repeat", "1", "--json", str(file))  # fmt: skip
    (figure,) = json.loads(file.read_text(encoding="utf-8"))["figures"]
    if sys.platform == "linux":
        assert figure["client_memory"] > 0
        assert figure["server_memory"] > 0


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("cases", "client"),
    [
        (("tcp_echo",), ", asyncio"),
        (("tcp_lines", "tcp_blocks"), "wirelane TCP, asyncio"),
        (("sync_tcp_lines",), "TCP"),
    ],
)
def test_every_client_of_tcp_is_measured(
    cases: tuple[str, ...], client: str, tmp_path: Path, benchmarks: None
) -> None:
    from benchmarks.stacks import all_stacks, default_pairs
    from benchmarks.work import CASES

    file = tmp_path / "figures.json"
    chosen = [word for case in cases for word in ("--case", case)]
    # Of these clients, each has its own server; that both are named spares building the program in Go.
    names = ("--client", client, "--server", client)
    run(*chosen, *names, "--scale", "0.001", "--repeat", "1", "--json", str(file))
    figures = json.loads(file.read_text(encoding="utf-8"))["figures"]
    stacks = all_stacks(client, client)
    pairs = [(case, one.name) for case in cases for one, _ in default_pairs(CASES[case], stacks)]
    assert [(figure["case"], figure["client"]) for figure in figures] == [
        (case, name) for case, name in pairs if client in name
    ]
    assert {"wirelane TCP, asyncio", "wirelane.sync TCP"} & {figure["client"] for figure in figures}


def test_the_stacks_that_are_missing_are_no_rows_of_any_case(benchmarks: None) -> None:
    from benchmarks.stacks import Stack, default_pairs
    from benchmarks.work import CASES

    here, gone = (
        Stack("here", ("s",), ("c",)),
        Stack("grpc-go", ("s",), ("c",), missing="Go is not installed"),
    )
    for case in CASES.values():
        assert all(gone not in pair for pair in default_pairs(case, [here, gone]))


def test_ratios_are_taken_against_the_best_of_grpcaio_in_the_same_place(benchmarks: None) -> None:
    from benchmarks.figures import Figure, with_ratios

    figures = with_ratios(
        [
            Figure("unary_64", "wirelane, uvloop", "wirelane, uvloop", 8000, 10, 10),
            Figure("unary_64", "grpc.aio, asyncio", "grpc.aio, asyncio", 1000, 60, 60),
            Figure("unary_64", "grpc.aio, uvloop", "grpc.aio, uvloop", 2000, 50, 50),
            Figure("unary_64", "wirelane, uvloop", "grpc-go", 9000, 12, 5),
            Figure("unary_64", "grpc.aio, asyncio", "grpc-go", 3000, 48, 5),
            Figure("unary_64", "grpc-go", "wirelane, uvloop", 9000, 12, 8),
            Figure("unary_64", "grpc-go", "grpc.aio, uvloop", 3000, 48, 80),
        ]
    )
    found = [(figure.ratio, figure.cpu_ratio) for figure in figures]
    assert found == [(4, 0.2), (0.5, 1.2), (1, 1), (3, 0.25), (1, 1), (3, 0.1), (1, 1)]


def test_code_without_await_is_measured_at_both_ends_and_with_either_end_shared(benchmarks: None) -> None:
    from benchmarks.stacks import all_stacks, default_pairs
    from benchmarks.work import CASES

    # A name that is no part of "grpc-go", whose program would be built.
    stacks = all_stacks("wirelane", "wirelane")
    for name in SYNC_CASES:
        pairs = [(client.name, server.name) for client, server in default_pairs(CASES[name], stacks)]
        assert sorted(pairs) == [
            ("grpcio", "grpcio"),
            ("grpcio", "wirelane, uvloop"),
            ("wirelane, uvloop", "grpcio"),
            ("wirelane, uvloop", "wirelane.sync"),
            ("wirelane.sync", "grpcio"),
            ("wirelane.sync", "wirelane, uvloop"),
            ("wirelane.sync", "wirelane.sync"),
        ]


def test_ratios_of_code_without_await_are_taken_against_grpcio_in_the_same_place(benchmarks: None) -> None:
    from benchmarks.figures import Figure, with_ratios

    figures = with_ratios(
        [
            Figure("sync_unary_1", "wirelane.sync", "wirelane.sync", 3000, 100, 100),
            Figure("sync_unary_1", "grpcio", "grpcio", 2000, 200, 300),
            Figure("sync_unary_1", "wirelane.sync", "wirelane, uvloop", 4000, 90, 60),
            Figure("sync_unary_1", "grpcio", "wirelane, uvloop", 2500, 180, 60),
            Figure("sync_unary_1", "wirelane, uvloop", "wirelane.sync", 4500, 60, 80),
            Figure("sync_unary_1", "wirelane, uvloop", "grpcio", 1500, 60, 320),
            Figure("sync_unary_1", "wirelane.sync", "grpcio", 2500, 150, 310),
        ]
    )
    found = [(figure.ratio, figure.cpu_ratio) for figure in figures]
    assert found == [(1.5, 0.4), (1, 1), (1.6, 0.5), (1, 1), (3, 0.25), (1, 1), (1.25, 0.75)]


def test_lines_without_await_are_compared_with_those_on_uvloop(benchmarks: None) -> None:
    from benchmarks.figures import Figure, Results, with_ratios
    from benchmarks.targets import outcomes

    names = ("wirelane TCP, asyncio", "wirelane TCP, uvloop", "wirelane.sync TCP")
    figures = with_ratios(
        [
            Figure("sync_tcp_lines", name, name, speed, 0.25, 0.25)
            for name, speed in zip(names, (5, 4, 3), strict=True)
        ]
    )
    assert [figure.ratio for figure in figures] == [1.25, 1, 0.75]
    assert [(outcome.measured, outcome.met) for outcome in outcomes(Results(figures))] == [(0.75, True)]


def test_blocking_clients_of_one_server_are_held_to_their_cpu(benchmarks: None) -> None:
    from benchmarks.figures import Figure, Results
    from benchmarks.targets import outcomes

    found = outcomes(
        Results(
            [
                Figure("sync_unary_16", "wirelane.sync", "wirelane, uvloop", 5000, 60, 60),
                Figure("sync_unary_16", "grpcio", "wirelane, uvloop", 4000, 120, 60),
                Figure("sync_client_stream", "wirelane, uvloop", "wirelane.sync", 80_000, 1, 2),
                Figure("sync_client_stream", "wirelane, uvloop", "grpcio", 20_000, 1, 40),
            ]
        )
    )
    assert [(outcome.measured, outcome.met) for outcome in found] == [(0.5, True), (1.25, False), (4, False)]


def test_a_client_does_as_much_as_a_round_says_and_reports_the_last(
    benchmarks: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks import work

    monkeypatch.setattr(sys, "stdin", io.StringIO("\n\n"))
    monkeypatch.setattr(work, "TELLING", 0.0)
    warm_up, measured = work.rounds(work.Case("c", "a case", in_flight=16, warm=32))
    assert warm_up == 32
    assert measured % 16 == 0
    assert list(work.rounds(work.Case("h", "so many, and cold", operations=7))) == [7]
    ready, first, again, second = capsys.readouterr().out.splitlines()
    assert ready == again == "ready"
    assert [json.loads(report)["operations"] for report in (first, second)] == [measured, 7]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("end", ["client", "server"])
def test_a_profile_of_code_without_await_has_the_thread_of_the_loop(end: str) -> None:
    both = ("--client", "wirelane.sync", "--server", "wirelane.sync")
    shown = outcome("--case", "sync_unary_16", *both, "--scale", "0.01", "--profile", end).stderr
    # It waits there, which takes more time than anything else it does.
    assert "_portal.py" in shown
    assert "(_serve)" in shown


def test_a_profile_has_the_threads_that_began_since_they_were_watched(
    benchmarks: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks import profiling

    def asked_for() -> None:
        """Is called in a thread while the profile is on."""

    def in_a_thread() -> None:
        go_on.wait()
        asked_for()

    def afterwards() -> None:
        """Is not watched."""

    monkeypatch.setenv(profiling.VARIABLE, "client")
    monkeypatch.setattr(profiling, "FUNCTIONS", 10_000)
    go_on = threading.Event()
    profiling.watch_threads("client")
    threads = [threading.Thread(target=in_a_thread) for _ in range(3)]
    for thread in threads:
        thread.start()
    with profiling.asked("client"):
        go_on.set()
        for thread in threads:
            thread.join()
    late = threading.Thread(target=afterwards)
    late.start()
    late.join()
    shown = capsys.readouterr().err
    assert "(asked_for)" in shown
    assert "(afterwards)" not in shown
    assert threading.getprofile() is None


def test_cases_are_named_by_a_pattern(benchmarks: None) -> None:
    from benchmarks.__main__ import named_cases

    assert named_cases("sync_*") == [*SYNC_CASES, "sync_tcp_lines"]
    assert named_cases("unary_1") == ["unary_1"]
    with pytest.raises(argparse.ArgumentTypeError, match="'nothing'"):
        named_cases("nothing")


def test_a_target_is_met_missed_or_left_out(benchmarks: None) -> None:
    from benchmarks.figures import Figure, Results
    from benchmarks.targets import outcomes

    found = outcomes(
        Results(
            [
                Figure("unary_64", "wirelane, uvloop", "wirelane, uvloop", 8000, 10, 10),
                Figure("unary_64", "grpc.aio, uvloop", "grpc.aio, uvloop", 1000, 50, 50),
                Figure("unary_deadline", "wirelane, uvloop", "wirelane, uvloop", 6000, 20, 20),
            ]
        )
    )
    assert [(outcome.measured, outcome.met) for outcome in found] == [(8, True), (2, False)]


def test_the_best_run_counts_with_all_its_figures(benchmarks: None) -> None:
    from benchmarks.figures import Figure, best

    runs = [Figure("c", "a", "a", speed, cpu, None) for speed, cpu in ((1, 9), (3, 5), (2, 7))]
    assert best(runs) == Figure("c", "a", "a", 3, 5, None, runs=(1, 3, 2))


def test_the_program_in_go_knows_only_fields_that_a_case_has(benchmarks: None) -> None:
    from benchmarks.work import Case

    text = (ROOT / "benchmarks" / "peers" / "grpcgo" / "client.go").read_text(encoding="utf-8")
    known = set(re.findall(r'`json:"(\w+)"`', text))
    assert known
    assert known <= {field.name for field in fields(Case)}


@pytest.mark.timeout(180)
def test_every_codec_is_measured_with_every_message(tmp_path: Path, benchmarks: None) -> None:
    from benchmarks.codec_messages import MESSAGES

    file = tmp_path / "figures.json"
    shown = run("--case", "codecs", "--scale", "0.01", "--repeat", "1", "--json", str(file))
    found = json.loads(file.read_text(encoding="utf-8"))
    libraries = {figure["library"] for figure in found["codecs"]}
    assert libraries >= {
        "google.protobuf",
        "google.protobuf through wirelane",
        "json_format, dict",
        "json_format, JSON",
        "wirelane, dict",
        "wirelane, JSON",
        "raw bytes",
        "protobuf-py",
        "protobuf-py through wirelane",
        "dataclasses",
        "betterproto2",
        "betterproto2 through wirelane",
        "betterproto2, accelerated",
    }
    pairs = [(figure["message"], figure["library"]) for figure in found["codecs"]]
    assert sorted(pairs) == sorted((message, library) for message in MESSAGES for library in libraries)
    for figure in found["codecs"]:
        assert figure["encode"] > 0
        assert figure["decode"] > 0
        assert (figure["base"] is None) == (figure["encode_ratio"] is None)
    assert {target["title"] for target in found["targets"]} == {
        f"{library}: {way}, of {base}"
        for library, base in (
            ("wirelane, dict", "json_format, dict"),
            ("betterproto2 through wirelane", "betterproto2"),
            ("betterproto2, accelerated", "betterproto2"),
        )
        for way in ("encode", "decode")
    }
    assert "messages to bytes and back: Order" in shown


def test_every_library_has_the_same_message(benchmarks: None) -> None:
    from benchmarks.codec_messages import MESSAGES
    from benchmarks.codecs import SCHEMA, contestants

    for message, value in MESSAGES.items():
        same = SCHEMA.decode(f"bench.{message}", SCHEMA.encode(f"bench.{message}", value))
        assert same == value
        for each in contestants(message, {}):
            if each.library in {"wirelane, dict", "wirelane, JSON", "json_format, dict", "json_format, JSON"}:
                data = each.encode()
                assert isinstance(data, bytes)
                assert SCHEMA.decode(f"bench.{message}", data) == same, each.library
            each.decode()


def test_targets_of_codecs_are_about_one_message(benchmarks: None) -> None:
    from benchmarks.figures import CodecFigure
    from benchmarks.targets import codec_outcomes

    found = codec_outcomes(
        [
            CodecFigure("Order", "wirelane, dict", 1, 1, "json_format, dict", 8.0, 3.0),
            CodecFigure("Flat", "wirelane, dict", 1, 1, "json_format, dict", 1.0, 1.0),
            CodecFigure("Order", "raw bytes", 1, 1),
        ]
    )
    assert [(outcome.measured, outcome.met) for outcome in found] == [(8.0, True), (3.0, False)]
