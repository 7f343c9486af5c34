"""`openssl s_client` against our server: what it verifies of us, STARTTLS, reload of certificates, and ends."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.outside_support import s_client
from support.programs import needs, running
from support.tcp_support import served, until
from wirelane import TlsConfig, tcp
from wirelane.errors import ConnectionLost, WirelaneError

if TYPE_CHECKING:
    from conftest import Certificates

pytestmark = needs("openssl")

VERSIONS = ("-tls1_2", "-tls1_3")


def serving(certificates: Certificates, **settings: Any) -> TlsConfig:
    return TlsConfig(cert=certificates.server_cert, key=certificates.server_key, **settings)


def verifying(ca: Certificates) -> tuple[str | Path, ...]:
    return (
        "-CAfile",
        ca.ca,
        "-verify_return_error",
        "-verify_hostname",
        "localhost",
        "-servername",
        "localhost",
    )


async def reverse(connection: tcp.Connection) -> None:
    async for line in connection.lines():
        await connection.send_line(line[::-1])


async def reverse_one(connection: tcp.Connection) -> None:
    await connection.send_line((await connection.read_line())[::-1])


async def asking(address: str, *arguments: str | Path, send: bytes = b"") -> tuple[int, bytes]:
    done = await asyncio.to_thread(s_client, address, *arguments, send=send)
    return done.returncode, done.stdout


@pytest.mark.parametrize("version", VERSIONS)
async def test_openssl_verifies_our_certificate_and_gets_its_answer(ca: Certificates, version: str) -> None:
    async with served(reverse_one, tls=serving(ca)) as (_, address):
        status, output = await asking(address, *verifying(ca), version, "-quiet", send=b"hello\n")
    assert status == 0, output
    assert output.endswith(b"olleh\n")


async def test_the_whole_chain_is_sent_and_the_name_is_checked(ca: Certificates) -> None:
    async with served(reverse, tls=serving(ca)) as (_, address):
        _, output = await asking(address, *verifying(ca))
        assert b"Verify return code: 0 (ok)" in output
        status, output = await asking(
            address, "-CAfile", ca.ca, "-verify_return_error", "-verify_hostname", "other.test"
        )
        assert status != 0
        assert b"ostname mismatch" in output


async def test_the_protocol_is_agreed_on(ca: Certificates) -> None:
    async with served(reverse, tls=serving(ca, alpn=("two", "one"))) as (_, address):
        _, output = await asking(address, "-alpn", "one,two")
        assert b"ALPN protocol: two" in output
        _, output = await asking(address)
        assert b"No ALPN negotiated" in output


@pytest.mark.parametrize("version", VERSIONS)
async def test_clients_have_to_show_a_certificate_of_the_authority(
    ca: Certificates, other_ca: Certificates, version: str
) -> None:
    seen: list[object] = []

    async def name(connection: tcp.Connection) -> None:
        assert connection.peer_certificate is not None
        seen.append(connection.peer_certificate["subjectAltName"])
        await reverse_one(connection)

    async with served(name, tls=serving(ca, ca=ca.ca)) as (_, address):
        for own in ((), ("-cert", other_ca.client_cert, "-key", other_ca.client_key)):
            _, output = await asking(address, version, "-quiet", *own, send=b"let me in\n")
            assert b"ni em tel" not in output
            assert b"alert" in output
        mine = ("-cert", ca.client_cert, "-key", ca.client_key)
        _, output = await asking(address, version, "-quiet", *mine, send=b"let me in\n")
        assert output.endswith(b"ni em tel\n")
    assert seen == [(("email", "client@example.test"),)]


async def test_a_server_that_wants_tls_1_3_refuses_1_2_and_goes_on(ca: Certificates) -> None:
    async with served(reverse_one, tls=serving(ca, min_version="1.3")) as (_, address):
        status, output = await asking(address, "-tls1_2", "-quiet", send=b"hello\n")
        assert status != 0
        assert b"protocol version" in output
        status, output = await asking(address, "-quiet", send=b"hello\n")
        assert output.endswith(b"olleh\n")


async def test_a_new_certificate_is_shown_without_a_restart_and_old_connections_go_on(
    ca: Certificates, tmp_path: Path
) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    shutil.copy(ca.server_cert, cert)
    shutil.copy(ca.server_key, key)
    async with (
        served(reverse, tls=TlsConfig(cert=cert, key=key)) as (_, address),
        tcp.connect(address, tls=TlsConfig(ca=ca.ca)) as old,
    ):
        _, before = await asking(address, *verifying(ca))
        renewed = ca.authority.issue_cert("localhost", "127.0.0.1", common_name="renewed")
        # As certificate robots do it: written beside, then moved over.
        for path, blob in (
            (key, renewed.private_key_pem.bytes()),
            (cert, renewed.cert_chain_pems[0].bytes()),
        ):
            path.with_suffix(".new").write_bytes(blob)
            path.with_suffix(".new").replace(path)
        _, after = await asking(address, *verifying(ca))
        assert b"CN = renewed" not in before
        assert b"CN = renewed" in after
        assert b"Verify return code: 0 (ok)" in after
        await old.send_line("still here")
        assert await old.read_line(timeout=20) == "ereh llits"


async def smtp(connection: tcp.Connection) -> None:
    """Speak as much SMTP as it takes to start TLS (RFC 3207), then greet anew."""
    await connection.send_line("220 here ESMTP", newline="\r\n")
    while (line := await connection.read_line(marker="\r\n")) != "STARTTLS":
        assert line.startswith("EHLO"), line
        await connection.send(b"250-here\r\n250 STARTTLS\r\n")
    await connection.send_line("220 go on", newline="\r\n")


async def imap(connection: tcp.Connection) -> None:
    await connection.send_line("* OK here", newline="\r\n")
    while "STARTTLS" not in (line := await connection.read_line(marker="\r\n")):
        assert "CAPABILITY" in line
        await connection.send(b"* CAPABILITY IMAP4rev1 STARTTLS\r\n%b OK\r\n" % line.split()[0].encode())
    await connection.send_line(f"{line.split()[0]} OK", newline="\r\n")


async def postgres(connection: tcp.Connection) -> None:
    assert await connection.read_exactly(8) == bytes.fromhex("00000008 04d2162f")
    await connection.send(b"S")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("talk", [smtp, imap, postgres])
async def test_tls_is_started_in_the_middle(
    ca: Certificates, talk: Callable[[tcp.Connection], Awaitable[None]], version: str
) -> None:
    async def handle(connection: tcp.Connection) -> None:
        await talk(connection)
        await connection.start_tls(serving(ca))
        assert connection.tls
        await reverse_one(connection)

    async with served(handle) as (_, address):
        status, output = await asking(
            address, "-starttls", talk.__name__, *verifying(ca), version, "-quiet", send=b"secret\n"
        )
    assert status == 0, output
    assert output.endswith(b"terces\n")


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_large_upload_that_ends_in_order_is_whole(ca: Certificates, version: str) -> None:
    # Without the letters that are commands of s_client, where they happen to begin what it reads.
    blob = b"".join(b"%d " % number for number in range(450_000))
    got: list[bytes] = []

    async def take(connection: tcp.Connection) -> None:
        got.append(hashlib.sha256(await connection.read_until_eof(timeout=30)).digest())

    async with served(take, tls=serving(ca)) as (_, address):
        status, output = await asking(address, version, "-quiet", "-no_ign_eof", send=blob)
        assert status == 0, output
        await until(lambda: bool(got))
    assert got == [hashlib.sha256(blob).digest()]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_client_that_is_killed_is_lost_and_no_end_of_the_stream(
    ca: Certificates, version: str
) -> None:
    failures: list[WirelaneError] = []
    buffered: list[tcp.Connection] = []

    async def take(connection: tcp.Connection) -> None:
        buffered.append(connection)
        try:
            await connection.read_until_eof()
        except WirelaneError as failure:
            failures.append(failure)

    async with served(take, tls=serving(ca)) as (_, address):
        with running(("openssl", "s_client", "-connect", address, version, "-quiet"), stdin=True) as client:
            client.say(b"half of")
            await until(lambda: bool(buffered) and buffered[0].buffered == len(b"half of"))
            client.kill()
            await until(lambda: bool(failures))
    (failure,) = failures
    assert isinstance(failure, ConnectionLost)
    assert failure.partial == b"half of"


async def test_a_client_may_change_keys_and_may_not_renegotiate(ca: Certificates) -> None:
    async with served(reverse, tls=serving(ca)) as (_, address):
        with running(("openssl", "s_client", "-connect", address, "-tls1_3", "-msg"), stdin=True) as client:
            for count in range(3):
                client.say(b"K\n")
                await until(lambda count=count: client.log.count("KeyUpdate") == 2 * count + 1)
                client.say(b"line %d\n" % count)
                await until(lambda count=count: f"{count} enil" in client.log)
                # Ours, which it asked for.
                await until(lambda count=count: client.log.count("KeyUpdate") == 2 * count + 2)
        with running(("openssl", "s_client", "-connect", address, "-tls1_2"), stdin=True) as client:
            client.say(b"first\n")
            await until(lambda: "tsrif" in client.log)
            client.say(b"R\n")
            await until(lambda: client.process.poll() is not None)
            assert "no renegotiation" in client.log
        _, output = await asking(address, "-quiet", "-no_ign_eof", send=b"next\n")
        assert b"CONNECTED" not in output


async def test_plaintext_and_nonsense_cost_the_server_nothing(ca: Certificates) -> None:
    async with served(reverse_one, tls=serving(ca)) as (_, address):
        for words in (
            b"hello\n",
            b"GET / HTTP/1.0\r\n\r\n",
            bytes(2000),
            b"\x16\x03\x01\xff\xff" + bytes(100),
        ):
            with pytest.raises(WirelaneError):
                await tcp.request(address, words, marker=b"never", timeout=20)
        _, output = await asking(address, "-quiet", send=b"hello\n")
        assert output.endswith(b"olleh\n")
