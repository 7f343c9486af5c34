"""The interoperability programs: flags as the official ones take them, what they print, how they exit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.client_support import free_port
from support.interop_support import run_program, server_program, wirelane_interop_server
from wirelane.grpc import Server
from wirelane.testing.interop.cases import CASES

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Certificates

SPELLINGS = {
    "python": "--use_tls=true --use_test_ca=true --ca_file={ca} --server_host_override=example.test",
    "apart": "--use_tls true --use_test_ca true --ca_file {ca} --server_host_override example.test",
    "go": "-use_tls -use_test_ca -ca_file {ca} -server_host_override=example.test",
    "go, with =": "-use_tls=true -use_test_ca=true -ca_file={ca} -server_host_override example.test",
    "c++": "--use_tls --use_test_ca --ca_file={ca} --server_host_override=example.test",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_the_client_takes_the_flags_of_every_official_program(ca: Certificates, spelling: str) -> None:
    flags = SPELLINGS[spelling].format(ca=ca.ca).split()
    dashes = "-" if spelling.startswith("go") else "--"
    async with wirelane_interop_server(ca, "tls") as port:
        where = [f"{dashes}server_host=127.0.0.1", f"{dashes}server_port={port}"]
        done = await run_program("client", *where, *flags, f"{dashes}test_case", "empty_unary")
    assert (done.status, done.err) == (0, "empty_unary: passed\n")


@pytest.mark.parametrize(
    "flags",
    [
        "-use_tls -tls_cert_file={c} -tls_key_file={k}",
        "--use_tls true --tls_cert_file {c} --tls_key_file {k}",
    ],
    ids=["go", "apart"],
)
async def test_the_server_takes_the_flags_of_every_official_program(ca: Certificates, flags: str) -> None:
    given = flags.format(c=ca.server_cert, k=ca.server_key).split()
    async with server_program(*given) as port:
        done = await run_program(
            "client", f"--server_port={port}", "--use_tls", f"--ca_file={ca.ca}", "--test_case=ping_pong"
        )
    assert (done.status, done.err) == (0, "ping_pong: passed\n")


async def test_the_default_is_plaintext_on_localhost_and_the_case_large_unary() -> None:
    async with server_program("--use_tls=false") as port:
        done = await run_program("client", "--server_port", str(port))
    assert (done.status, done.out, done.err) == (0, "", "large_unary: passed\n")


async def test_the_override_is_the_name_in_the_certificate_and_a_wrong_one_fails(ca: Certificates) -> None:
    async with wirelane_interop_server(ca, "tls") as port:
        done = await run_program(
            "client",
            f"--server_port={port}",
            "--use_tls",
            f"--ca_file={ca.ca}",
            "--server_host_override=foo.test.google.fr",
            "--test_case=empty_unary",
        )
    assert done.status == 1
    assert done.err.count("\n") == 1
    assert "foo.test.google.fr" in done.err


async def test_a_case_that_fails_is_named_the_others_run_and_the_status_is_1() -> None:
    # It has none of the service: UNIMPLEMENTED is what one of the cases wants, and the others do not.
    async with Server().listen("127.0.0.1:0") as listening:
        done = await run_program(
            "client",
            f"--server_port={listening.port}",
            "--test_case=empty_unary,unimplemented_service,ping_pong",
        )
    lines = done.err.splitlines()
    assert done.status == 1
    assert lines[0].startswith("empty_unary: FAILED: RpcError: UNIMPLEMENTED: ")
    assert lines[1] == "unimplemented_service: passed"
    assert lines[2].startswith("ping_pong: FAILED: RpcError: UNIMPLEMENTED: ")
    assert len(lines) == 3


async def test_without_a_server_the_client_says_so_in_one_line_and_the_status_is_1() -> None:
    port = free_port()
    done = await run_program("client", "--server_host=127.0.0.1", f"--server_port={port}", "--test_case=all")
    assert done.status == 1
    assert done.err.count("\n") == 1
    assert f"127.0.0.1:{port}" in done.err


MISUSES = {
    "no such case": (
        "client --test_case=jwt_token_creds",
        "unknown test case 'jwt_token_creds'; known are empty_unary, ",
    ),
    "no such flag": ("client --use_alts=true", "unrecognized arguments: --use_alts=true"),
    "not true or false": ("client --use_tls=maybe", "true or false, not 'maybe'"),
    "the official CA": ("client --use_tls --use_test_ca", "--use_test_ca needs --ca_file"),
    "no certificate": ("server --port=0 --use_tls", "--use_tls needs --tls_cert_file and --tls_key_file"),
    "no program": ("", "the following arguments are required: mode"),
}


@pytest.mark.parametrize("misuse", MISUSES)
async def test_wrong_flags_are_explained_and_the_status_is_2(misuse: str) -> None:
    arguments, text = MISUSES[misuse]
    done = await run_program(*arguments.split())
    assert done.status == 2
    assert done.out == ""
    assert text in done.err


async def test_a_server_that_cannot_start_says_why_in_one_line_and_the_status_is_1(
    ca: Certificates, tmp_path: Path
) -> None:
    async with wirelane_interop_server(ca, "h2c") as port:
        taken = await run_program("server", f"--port={port}")
    missing = await run_program(
        "server",
        "--port=0",
        "--use_tls",
        f"--tls_cert_file={tmp_path / 'no.pem'}",
        f"--tls_key_file={ca.server_key}",
    )
    for done, text in ((taken, f"{port}"), (missing, "no.pem")):
        assert (done.status, done.out) == (1, "")
        assert done.err.count("\n") == 1
        assert text in done.err


async def test_help_names_every_case() -> None:
    done = await run_program("client", "--help")
    assert done.status == 0
    flowing = "".join(done.out.split())
    assert all(name in flowing for name in CASES)
