"""A server's certificate is replaced while it serves, as the `openssl` command line sees it: written once, run with asyncio and without."""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.programs import Program, needs, running
from support.twins_support import until
from twins.tcp_support import served
from wirelane import TlsConfig, tcp

if TYPE_CHECKING:
    from conftest import Certificates

pytestmark = needs("openssl")


async def shout(connection: tcp.Connection) -> None:
    async for line in connection.lines():
        await connection.send_line(line.upper())


class Talk:
    """An `openssl s_client` that is connected, and the certificate that it was shown."""

    def __init__(self, program: Program) -> None:
        self.shown = program.log[program.log.index("-----BEGIN") : program.log.index("-----END")]
        self._program = program

    async def ask(self, word: str) -> str:
        """Say a line, and wait until a line comes that says it in capitals."""
        self._program.say(f"{word}\n".encode())
        await until(lambda: f"\n{word.upper()}\n" in self._program.log)
        return word.upper()


@asynccontextmanager
async def s_client(address: str, ca: Path) -> AsyncIterator[Talk]:
    """Connect, verify the server, and note its certificate."""
    options = ("-connect", address, "-CAfile", str(ca), "-verify_return_error", "-servername", "localhost")
    with running(("openssl", "s_client", *options), stdin=True) as program:
        await until(lambda: "Verify return code" in program.log)
        yield Talk(program)


def write(cert: Any, files: tuple[Path, Path], *, parts: str = "both") -> str:
    """Put a certificate and its key where the server looks; return the certificate."""
    if parts in ("both", "cert"):
        files[0].write_bytes(b"".join(blob.bytes() for blob in cert.cert_chain_pems))
    if parts in ("both", "key"):
        files[1].write_bytes(cert.private_key_pem.bytes())
    text: str = cert.cert_chain_pems[0].bytes().decode()
    return text[text.index("-----BEGIN") : text.index("-----END")]


async def test_a_renewed_certificate_is_shown_to_new_clients_and_disturbs_no_old_ones(
    ca: Certificates, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Files are renewed one after the other: between the two, key and certificate do not fit, and the old ones stay."""
    files = tmp_path / "cert.pem", tmp_path / "key.pem"
    first, second = (ca.authority.issue_cert("localhost") for _ in range(2))
    old = write(first, files)
    with caplog.at_level(logging.INFO, "wirelane.net"):
        async with served(shout, tls=TlsConfig(cert=files[0], key=files[1])) as (_, address):
            async with s_client(address, ca.ca) as early:
                assert early.shown == old
                new = write(second, files, parts="cert")
                for _ in range(2):
                    async with s_client(address, ca.ca) as between:
                        assert between.shown == old
                        assert await between.ask("between") == "BETWEEN"
                write(second, files, parts="key")
                async with s_client(address, ca.ca) as late:
                    assert late.shown == new
                    assert await late.ask("late") == "LATE"
                assert await early.ask("early") == "EARLY"
    told = [record for record in caplog.records if "the old ones stay" in record.message]
    assert [record.levelname for record in told] == ["INFO"]


async def test_a_certificate_in_memory_and_a_context_stay_what_they_are(
    ca: Certificates, tmp_path: Path
) -> None:
    files = tmp_path / "cert.pem", tmp_path / "key.pem"
    first, second = (ca.authority.issue_cert("localhost") for _ in range(2))
    old = write(first, files)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*files)
    for tls in (TlsConfig(cert=files[0].read_bytes(), key=files[1].read_bytes()), context):
        async with served(shout, tls=tls) as (_, address):
            write(second, files)
            async with s_client(address, ca.ca) as client:
                assert client.shown == old
        write(first, files)
