"""For the interoperability tests: transports, our ends in this process, and our programs as child processes."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wirelane.grpc import Channel
from wirelane.net.tls import TlsConfig
from wirelane.testing.interop.cases import CASES
from wirelane.testing.interop.server import interop_schema, make_server

if TYPE_CHECKING:
    from conftest import Certificates

TRANSPORTS = ("h2c", "tls", "mtls")
COMPRESSION = [name for name in CASES if "compressed" in name]
CORE = [name for name in CASES if name not in COMPRESSION and name != "concurrent_large_unary"]
NAMES = [*CORE, *COMPRESSION]

# What travels compressed in each case: (flags of the requests, flags of the replies) of each of its calls.
FLAGS: dict[str, list[tuple[list[bool], list[bool]]]] = {
    "client_compressed_unary": [([False], []), ([True], [False]), ([False], [False])],
    "client_compressed_streaming": [([False], []), ([True, False], [False])],
    "server_compressed_unary": [([False], [True]), ([False], [False])],
    "server_compressed_streaming": [([False], [True, False])],
}


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback address ::1")


def only_for(ca: Certificates, directory: Path, name: str) -> Certificates:
    """The same authority, with a server whose certificate is for one name alone."""
    leaf = ca.authority.issue_cert(name)
    cert, key = directory / "only.pem", directory / "only.key"
    leaf.private_key_pem.write_to_path(key)
    for blob in leaf.cert_chain_pems:
        blob.write_to_path(cert, append=True)
    return replace(ca, server_cert=cert, server_key=key)


def client_tls(ca: Certificates, transport: str) -> TlsConfig | bool:
    if transport == "h2c":
        return False
    mutual = transport == "mtls"
    return TlsConfig(ca=ca.ca, cert=ca.client_cert if mutual else None, key=ca.client_key if mutual else None)


def server_tls(ca: Certificates, transport: str) -> TlsConfig | None:
    if transport == "h2c":
        return None
    return TlsConfig(cert=ca.server_cert, key=ca.server_key, ca=ca.ca if transport == "mtls" else None)


def interop_channel(ca: Certificates, transport: str, port: int) -> Channel:
    return Channel(f"127.0.0.1:{port}", schema=interop_schema(), tls=client_tls(ca, transport), timeout=30)


@asynccontextmanager
async def wirelane_interop_server(
    ca: Certificates, transport: str, address: str = "127.0.0.1:0"
) -> AsyncIterator[int]:
    """Run our server in this process; gives the port (0 for a unix socket), and checks that nothing of it is left."""
    server = make_server(server_tls(ca, transport))
    async with server.listen(address, grace=5.0) as listening:
        yield 0 if address.startswith("unix:") else listening.port
    assert (server.calls, server.connections) == (0, 0), repr(server)


# ------------------------------------------------------------------------------------------------------ programs


@dataclass(frozen=True)
class Finished:
    """How a program ended."""

    status: int
    out: str
    err: str


def program(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "wirelane.testing.interop", *arguments]


async def run_program(*arguments: str, seconds: float = 50.0) -> Finished:
    """Run one of the programs to its end."""
    process = await asyncio.create_subprocess_exec(
        *program(*arguments), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(seconds):
            out, err = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return Finished(process.returncode, out.decode(), err.decode())


@asynccontextmanager
async def server_program(*arguments: str) -> AsyncIterator[int]:
    """Run the server's program; gives its port. At the end SIGTERM must end it with status 0, and in silence."""
    process = await asyncio.create_subprocess_exec(
        *program("server", "--port", "0", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            first = (await process.stdout.readline()).decode()
        assert first.startswith("listening on port "), first
        yield int(first.rpartition(" ")[2])
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            out, err = await process.communicate()
    except BaseException:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()
        raise
    assert (process.returncode, out, err) == (0, b"", b"")


def client_flags(ca: Certificates, transport: str, port: int, cases: Sequence[str] | str) -> list[str]:
    names = cases if isinstance(cases, str) else ",".join(cases)
    flags = ["--server_host=127.0.0.1", f"--server_port={port}", f"--test_case={names}"]
    if names == "all":
        # A soak may take as long as this machine needs.
        flags += ["--soak_per_iteration_max_acceptable_latency_ms=30000", "--soak_overall_timeout_seconds=40"]
    if transport != "h2c":
        flags += ["--use_tls=true", "--use_test_ca=true", f"--ca_file={ca.ca}"]
    if transport == "mtls":
        flags += [f"--tls_cert_file={ca.client_cert}", f"--tls_key_file={ca.client_key}"]
    return flags


def server_flags(ca: Certificates, transport: str) -> list[str]:
    flags = []
    if transport != "h2c":
        flags += ["--use_tls", f"--tls_cert_file={ca.server_cert}", f"--tls_key_file={ca.server_key}"]
    if transport == "mtls":
        flags.append(f"--tls_client_ca_file={ca.ca}")
    return flags


def passed(names: Sequence[str]) -> str:
    """What the client's program says when all these cases pass."""
    return "".join(f"{name}: passed\n" for name in names)
