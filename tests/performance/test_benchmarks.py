"""The benchmarks run, and read their own figures rightly. No figure is judged here: that is for a quiet machine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from support.cost_support import ROOT


def run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=150,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the programs beside src/ importable."""
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("client", "server"),
    [
        ("wirelane, asyncio", "grpc.aio, asyncio"),
        ("grpc.aio, uvloop", "wirelane, uvloop"),
        ("grpclib", "grpclib"),
    ],
)
def test_a_client_and_a_server_of_different_stacks_are_measured(
    client: str, server: str, tmp_path: Path
) -> None:
    file = tmp_path / "figures.json"
    cases = ("unary_both", "server_stream", "client_stream", "bidi_stream")
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
    [(("tcp_echo",), ", asyncio"), (("tcp_lines", "tcp_blocks"), "wirelane TCP, asyncio")],
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
    assert "wirelane TCP, asyncio" in {figure["client"] for figure in figures}


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
