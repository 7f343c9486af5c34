"""What each program in examples/ shows when it is run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.cli_support import environment, serving, wirelane

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def _run(name: str, *arguments: str) -> str:
    """Run an example to its end; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
        env=environment(),
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_runs_by_itself(path: Path) -> None:
    assert _run(path.name)


def test_the_client_shows_replies_and_an_error() -> None:
    assert _run("grpc_client.py") == (
        "5 + 3 = 8.0\n"
        "0.5 + 0.25 = 0.75\n"
        "there is no division: UNIMPLEMENTED: method 'divide' of service 'Summator' is not implemented here\n"
    )


def test_the_client_calls_a_server_that_it_is_given() -> None:
    with serving() as served:
        assert _run("grpc_client.py", served.grpc).startswith("5 + 3 = 8.0\n")


def test_the_server_greets() -> None:
    assert _run("grpc_server.py") == "Hello, newcomer!\n"


def test_the_server_serves_at_the_address_that_it_is_given() -> None:
    import signal
    import socket

    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{holder.getsockname()[1]}"
    process = subprocess.Popen([sys.executable, str(EXAMPLES / "grpc_server.py"), address], env=environment())
    try:
        _wait_for(address)
        done = wirelane("call", address, "Greeter/SayHello", "-d", '{"name": "you"}', "--compact")
        assert done.out == '{"message":"Hello, you!"}\n'
        assert wirelane("call", address, "Greeter/SayHello").code == 64 + 3
        process.send_signal(signal.SIGTERM)
        assert process.wait(50) == 0
    finally:
        process.kill()
        process.wait()


def _wait_for(address: str) -> None:
    """Try to connect until somebody listens."""
    import socket
    import time

    host, _, port = address.rpartition(":")
    ends = time.monotonic() + 50
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
            return
        except ConnectionRefusedError:
            assert time.monotonic() < ends, "it never listened"


def test_generated_code_makes_typed_calls_and_is_described() -> None:
    lines = _run("generated_code.py").splitlines()
    assert lines[0] == "5 + 3 = 8.0"
    assert "// Answers value1 + value2." in [line.strip() for line in lines]


def test_generated_code_calls_a_server_that_it_is_given() -> None:
    with serving() as served:
        assert _run("generated_code.py", served.grpc) == "5 + 3 = 8.0\n"


def test_the_fault_proxy_shows_three_faults() -> None:
    *others, reset = _run("fault_proxy.py").splitlines()
    assert others == [
        "sliced: 'BYTE BY BYTE'",
        "stalled: b'PATI' had come",
        "resumed: 'PATIENCE'",
    ]
    assert re.fullmatch(
        r"reset: 127\.0\.0\.1:\d+: connection lost: connection reset by peer, after b'HALF '", reset
    )


def test_the_chat_is_a_conversation() -> None:
    lines = _run("bidi_chat.py").splitlines()
    assert lines[0] == "{'name': 'echo', 'text': 'welcome!'}"
    assert [line.rpartition(" said ")[2] for line in lines[1:]] == [
        "'is anybody there?'\"}",
        "'one'\"}",
        "'two'\"}",
    ]


def test_the_pool_answers_all_and_survives_a_restart() -> None:
    lines = _run("tcp_pool.py").splitlines()
    assert lines == [
        "20 answers over 3 connections or fewer, the last one: b'QUESTION 19\\n'",
        "no answer, so its connection was closed: 1 discarded",
        "after a restart of the server, nobody noticed: b'AGAIN\\n'",
    ]


def test_the_pool_talks_to_a_server_that_it_is_given() -> None:
    with serving() as served:
        assert _run("tcp_pool.py", served.tcp, "one", "two") == "'one' -> b'one\\n'\n'two' -> b'two\\n'\n"


def test_the_service_without_a_proto_calls_itself_and_shows_its_proto() -> None:
    lines = _run("python_service.py").splitlines()
    assert lines[:4] == ["{'lamp': 2}", "[2]", "Status.SENT", 'syntax = "proto3";']
    assert "  rpc Add(AddRequest) returns (Order);" in lines
