"""stunnel in between: TLS taken off for a server behind it, put on for a client before it, and STARTTLS of mail and databases."""

from __future__ import annotations

import asyncio
import hashlib
import random
from typing import TYPE_CHECKING

import pytest

from support.outside_support import socat_pem, stunnel
from support.programs import needs
from support.tcp_support import served, streams_server, until
from wirelane import TlsConfig, tcp
from wirelane.errors import ConnectionLost, TlsError, WirelaneError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from conftest import Certificates
    from support.programs import Program

pytestmark = needs("stunnel")

BLOB = random.Random(11).randbytes(5_000_003)


@pytest.fixture
def pem(ca: Certificates, tmp_path: Path) -> Path:
    return socat_pem(ca, tmp_path)


def in_front_of(behind: str, pem: Path, *lines: str) -> AbstractContextManager[Program]:
    return stunnel(
        "\n".join(("accept = 127.0.0.1:{port}", f"connect = {behind}", f"cert = {pem}", *lines, ""))
    )


def towards(address: str, *lines: str) -> AbstractContextManager[Program]:
    return stunnel(
        "\n".join(("client = yes", "accept = 127.0.0.1:{port}", f"connect = {address}", *lines, ""))
    )


async def echo(connection: tcp.Connection) -> None:
    async for chunk in connection:
        await connection.send(chunk)


async def digest_after_the_end(connection: tcp.Connection) -> None:
    digest = hashlib.sha256()
    async for chunk in connection:
        digest.update(chunk)
    await connection.send_line(digest.hexdigest())


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
async def test_a_client_of_ours_reaches_a_plain_server_through_it(
    ca: Certificates, pem: Path, version: str
) -> None:
    async with served(echo) as (_, behind):
        with in_front_of(behind, pem, f"sslVersion = {version}") as front:
            async with tcp.connect(f"tls://localhost:{front.port}", tls=TlsConfig(ca=ca.ca)) as connection:
                assert connection.cipher is not None
                assert connection.cipher[1] == version
                sending = asyncio.create_task(connection.send(BLOB, timeout=30))
                assert await connection.read_exactly(len(BLOB), timeout=30) == BLOB
                await sending


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
async def test_a_half_close_goes_through_it_and_the_answer_comes_back(
    ca: Certificates, pem: Path, version: str
) -> None:
    async with served(digest_after_the_end) as (_, behind):
        with in_front_of(behind, pem, f"sslVersion = {version}") as front:
            async with tcp.connect(front.address, tls=TlsConfig(ca=ca.ca)) as connection:
                await connection.send(BLOB, timeout=30)
                await connection.send_eof()
                answer = await connection.read_until_eof(timeout=30)
    assert answer.decode() == hashlib.sha256(BLOB).hexdigest() + "\n"


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
async def test_a_plain_client_reaches_our_server_through_it_and_it_verifies_us(
    ca: Certificates, version: str
) -> None:
    tls = TlsConfig(cert=ca.server_cert, key=ca.server_key)
    async with served(echo, tls=tls) as (_, address):
        checks = ("verifyChain = yes", f"CAfile = {ca.ca}", f"sslVersion = {version}")
        with towards(address, *checks, "checkHost = localhost", "sni = localhost") as front:
            assert await tcp.request(front.address, "hello\n", timeout=20) == b"hello\n"
            async with tcp.connect(front.address) as connection:
                sending = asyncio.create_task(connection.send(BLOB, timeout=30))
                assert await connection.read_exactly(len(BLOB), timeout=30) == BLOB
                await sending
        with towards(address, *checks, "checkHost = other.test") as front:
            with pytest.raises(WirelaneError):
                await tcp.request(front.address, "hello\n", timeout=20)
            front.wait_for("Subject checks failed")


async def test_it_is_killed_and_that_is_no_end_in_order(ca: Certificates, pem: Path) -> None:
    async with served(echo) as (_, behind):
        with in_front_of(behind, pem) as front:
            async with tcp.connect(front.address, tls=TlsConfig(ca=ca.ca)) as connection:
                await connection.send(b"whole\nhalf")
                assert await connection.read_line(timeout=20) == "whole"
                await until(lambda: connection.buffered == len(b"half"))
                front.kill()
                with pytest.raises(ConnectionLost) as caught:
                    await connection.read_line(timeout=20)
                assert caught.value.partial == b"half"


async def postgres(connection: tcp.Connection) -> None:
    """Ask for TLS as PostgreSQL's clients do."""
    await connection.send(bytes.fromhex("00000008 04d2162f"))
    assert await connection.read_exactly(1, timeout=20) == b"S"


async def smtp(connection: tcp.Connection) -> None:
    greeting = await connection.read_line(marker="\r\n", timeout=20)
    assert greeting.startswith("220 "), greeting
    await connection.send_line("EHLO here", newline="\r\n")
    while (await connection.read_line(marker="\r\n", timeout=20))[3] == "-":
        pass
    await connection.send_line("STARTTLS", newline="\r\n")
    assert (await connection.read_line(marker="\r\n", timeout=20)).startswith("220")


async def pop3(connection: tcp.Connection) -> None:
    assert (await connection.read_line(marker="\r\n", timeout=20)).startswith("+OK")
    await connection.send_line("STLS", newline="\r\n")
    assert (await connection.read_line(marker="\r\n", timeout=20)).startswith("+OK")


GREETINGS = {"smtp": b"220 here ESMTP\r\n", "pop3": b"+OK here\r\n", "pgsql": b""}


@pytest.mark.parametrize(("protocol", "talk"), [("smtp", smtp), ("pop3", pop3), ("pgsql", postgres)])
async def test_our_client_starts_tls_in_the_middle(
    ca: Certificates, other_ca: Certificates, pem: Path, protocol: str, talk
) -> None:
    async def greet_and_echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GREETINGS[protocol])
        while line := await reader.readline():
            writer.write(line)

    async with streams_server(greet_and_echo) as behind:
        with in_front_of(behind, pem, f"protocol = {protocol}") as front:
            async with tcp.connect(front.address) as connection:
                await talk(connection)
                assert not connection.tls
                await connection.start_tls(TlsConfig(ca=ca.ca), server_name="localhost")
                assert connection.tls
                await connection.send_line("secret")
                assert await connection.read_line(timeout=20) == "secret"
            async with tcp.connect(front.address) as connection:
                await talk(connection)
                with pytest.raises(TlsError, match="certificate"):
                    await connection.start_tls(TlsConfig(ca=other_ca.ca))


@pytest.mark.parametrize("protocol", ["smtp", "pgsql"])
async def test_it_starts_tls_in_the_middle_of_our_server(ca: Certificates, protocol: str) -> None:
    async def handle(connection: tcp.Connection) -> None:
        if protocol == "smtp":
            await connection.send_line("220 here ESMTP", newline="\r\n")
            while (await connection.read_line(marker="\r\n")) != "STARTTLS":
                await connection.send(b"250-here\r\n250 STARTTLS\r\n")
            await connection.send_line("220 go on", newline="\r\n")
        else:
            assert await connection.read_exactly(8) == bytes.fromhex("00000008 04d2162f")
            await connection.send(b"S")
        await connection.start_tls(TlsConfig(cert=ca.server_cert, key=ca.server_key))
        await echo(connection)

    async with served(handle) as (_, address):
        with towards(address, f"protocol = {protocol}", "verifyChain = yes", f"CAfile = {ca.ca}") as front:
            async with tcp.connect(front.address) as connection:
                await connection.send_line("secret")
                line = await connection.read_line(timeout=20)
                if protocol == "smtp":  # the greeting goes through as it came
                    assert line == "220 here ESMTP\r"
                    line = await connection.read_line(timeout=20)
                assert line == "secret"
