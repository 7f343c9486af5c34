"""socat on the other side: TCP, IPv6, Unix sockets and TLS both ways, half-close, resets, and large transfers."""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.outside_support import socat, socat_pem, socat_server
from support.programs import Program, needs, running
from support.tcp_support import served, until
from wirelane import TlsConfig, tcp
from wirelane.errors import ConnectionLost, EndOfStream, TlsError, WirelaneError

if TYPE_CHECKING:
    from conftest import Certificates

pytestmark = needs("socat")

LISTEN = "TCP4-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork"
MEBIBYTE = 1024 * 1024
BLOB = random.Random(5).randbytes(12 * MEBIBYTE + 7)
DIGEST = hashlib.sha256(BLOB).hexdigest()


@contextmanager
def tls_server(ca: Certificates, command: str, tmp_path: Path, *options: str) -> Iterator[Program]:
    pem = socat_pem(ca, tmp_path)
    listen = ",".join((LISTEN.replace("TCP4-", "OPENSSL-"), f"cert={pem}", f"cafile={ca.ca}", *options))
    with socat_server(listen, command) as server:
        yield server


async def digest_of(connection: tcp.Connection) -> str:
    digest = hashlib.sha256()
    async for chunk in connection:
        digest.update(chunk)
    return digest.hexdigest()


async def send_in_pieces(connection: tcp.Connection, blob: bytes) -> None:
    """Send in writes of uneven sizes, then half-close."""
    sizes = random.Random(7)
    view, start = memoryview(blob), 0
    while start < len(blob):
        size = sizes.choice((1, 17, 4096, 65_536, MEBIBYTE))
        await connection.send(view[start : start + size], timeout=20)
        start += size
    await connection.send_eof()


# -- our client


@pytest.mark.parametrize("family", ["IPv4", "IPv6", "unix"])
async def test_much_crosses_both_ways_at_once_and_each_end_closes_its_own(
    family: str, tmp_path: Path
) -> None:
    listen, host = {
        "IPv4": (LISTEN, "127.0.0.1"),
        "IPv6": ("TCP6-LISTEN:{port},bind=[::1],reuseaddr,fork", "::1"),
        # It listens at a port as well, which says when it is up.
        "unix": (LISTEN, "127.0.0.1"),
    }[family]
    with socat_server(listen, "EXEC:cat", host=host) as server:
        if family != "unix":
            await cross(server.address)
            return
        path = tmp_path / "sock"
        with running(("socat", f"UNIX-LISTEN:{path},fork", "EXEC:cat")):
            await until(lambda: listens(path))
            await cross(f"unix:{path}")


def listens(path: Path) -> bool:
    """The file is there before anybody listens at it."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


async def cross(address: str, **options: Any) -> None:
    async with tcp.connect(address, **options) as connection:
        _, digest = await asyncio.gather(send_in_pieces(connection, BLOB), digest_of(connection))
    assert digest == DIGEST


async def test_an_answer_comes_after_our_half_close() -> None:
    with socat_server(LISTEN, "EXEC:sha256sum") as server:
        async with tcp.connect(server.address) as connection:
            await send_in_pieces(connection, BLOB)
            assert (await connection.read_line(timeout=30)).split()[0] == DIGEST
            assert await connection.read() == b""


async def test_a_file_that_is_only_sent_is_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(BLOB)
    with socat_server(LISTEN, f"FILE:{tmp_path / 'blob'}", options=("-U",)) as server:
        async with tcp.connect(server.address) as connection:
            whole = await connection.read_until_eof(len(BLOB), timeout=30)
            assert hashlib.sha256(whole).hexdigest() == DIGEST
            with pytest.raises(EndOfStream):
                await connection.read_exactly(1)


async def test_a_shell_is_talked_to_by_its_prompt() -> None:
    with socat_server(LISTEN, r"SYSTEM:PS1=\'ready> \' exec sh -i,stderr") as server:
        async with tcp.connect(server.address) as connection:
            await connection.read_regex(rb"ready> $", timeout=20)
            for left, right in ((6, 7), (191, 7)):
                await connection.send_line(f"echo $(({left} * {right}))")
                answer = await connection.read_regex(rb"ready> $", timeout=20)
                assert answer == b"%d\nready> " % (left * right)
            await connection.send_line("exit")
            await connection.read_until_eof(timeout=20)


async def test_one_request_gets_what_comes_until_the_end() -> None:
    with socat_server(LISTEN, r"SYSTEM:read word; echo one $word; printf two") as server:
        reply = await tcp.request(server.address, "hello\n", marker=None, timeout=20)
    assert reply == b"one hello\ntwo"


@pytest.mark.parametrize("linger", [True, False])
async def test_a_reset_is_told_from_an_end(linger: bool) -> None:
    listen = LISTEN + (",linger=0,shut-close" if linger else "")
    with socat_server(listen, r"SYSTEM:printf \'whole\nhalf\'; read _", options=("-t0.1",)) as server:
        async with tcp.connect(server.address) as connection:
            assert await connection.read_line(timeout=20) == "whole"
            await until(lambda: connection.buffered == len(b"half"))
            await connection.send_line("now end")
            with pytest.raises(WirelaneError) as caught:
                await connection.read_line(timeout=20)
            assert isinstance(caught.value, ConnectionLost | EndOfStream)
            assert isinstance(caught.value, ConnectionLost) is linger
            assert caught.value.partial == b"half"
            assert await connection.read(4) == b"half"


async def test_a_server_that_is_killed_ends_the_stream_and_sending_fails_after_that() -> None:
    with socat_server(LISTEN.replace(",fork", ""), "EXEC:cat") as server:
        async with tcp.connect(server.address) as connection:
            await connection.send_line("hello")
            assert await connection.read_line(timeout=20) == "hello"
            server.kill()
            with pytest.raises((EndOfStream, ConnectionLost)):
                await connection.read_line(timeout=20)
            with pytest.raises(ConnectionLost):
                while True:
                    await connection.send_line("is anybody there?")


@pytest.mark.parametrize("version", ["TLS1.2", "TLS1.3"])
async def test_much_crosses_tls_both_ways_at_once(ca: Certificates, tmp_path: Path, version: str) -> None:
    versions = f"openssl-min-proto-version={version},openssl-max-proto-version={version}"
    with tls_server(ca, "EXEC:cat", tmp_path, "verify=0", versions) as server:
        async with tcp.connect(server.address, tls=TlsConfig(ca=ca.ca)) as connection:
            sending = asyncio.create_task(connection.send(BLOB, timeout=30))
            received = await connection.read_exactly(len(BLOB), timeout=30)
            await sending
            assert connection.cipher is not None
            assert connection.cipher[1] == version.replace("TLS", "TLSv")
    assert hashlib.sha256(received).hexdigest() == DIGEST


async def test_a_client_certificate_is_shown_to_a_server_that_wants_one(
    ca: Certificates, tmp_path: Path
) -> None:
    with tls_server(ca, "EXEC:cat", tmp_path, "verify=1") as server:
        mine = TlsConfig(ca=ca.ca, cert=ca.client_cert, key=ca.client_key)
        assert await tcp.request(server.address, "hello\n", tls=mine, timeout=20) == b"hello\n"
        with pytest.raises((TlsError, ConnectionLost), match="certificate"):
            await tcp.request(server.address, "hello\n", tls=TlsConfig(ca=ca.ca), timeout=20)


# -- our server


async def take(connection: tcp.Connection) -> None:
    """Answer with what was sent, as a digest, after its end."""
    await connection.send_line(await digest_of(connection))


async def echo(connection: tcp.Connection) -> None:
    async for chunk in connection:
        await connection.send(chunk)


async def sending(*words: str, send: bytes = BLOB) -> bytes:
    done = await asyncio.to_thread(socat, "-t20", *words, send=send)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("family", ["IPv4", "IPv6", "unix"])
async def test_socat_gets_its_answer_after_its_half_close(family: str, tmp_path: Path) -> None:
    listen_at = {"IPv4": "127.0.0.1:0", "IPv6": "[::1]:0", "unix": f"unix:{tmp_path / 'sock'}"}[family]
    async with served(take, listen_at=listen_at) as (_, address):
        peer = f"UNIX-CONNECT:{tmp_path / 'sock'}" if family == "unix" else f"TCP:{address}"
        assert await sending("-", peer) == DIGEST.encode() + b"\n"


async def test_socat_gets_all_of_its_own_back() -> None:
    async with served(echo) as (_, address):
        assert hashlib.sha256(await sending("-", f"TCP:{address}")).hexdigest() == DIGEST


async def test_socat_verifies_our_certificate_and_we_socats(ca: Certificates, tmp_path: Path) -> None:
    pem = tmp_path / "client.pem"
    pem.write_bytes(ca.client_key.read_bytes() + ca.client_cert.read_bytes())
    seen: list[object] = []

    async def name(connection: tcp.Connection) -> None:
        assert connection.peer_certificate is not None
        seen.append(connection.peer_certificate["subjectAltName"])
        await connection.send_line(await connection.read_line())

    tls = TlsConfig(cert=ca.server_cert, key=ca.server_key, ca=ca.ca)
    async with served(name, tls=tls) as (listening, _):
        peer = f"OPENSSL:localhost:{listening.port},pf=ip4,verify=1,cafile={ca.ca}"
        assert await sending("-", f"{peer},cert={pem},commonname=localhost", send=b"hello\n") == b"hello\n"
        refused = await asyncio.to_thread(
            socat, "-", f"{peer},cert={pem},commonname=other.test", send=b"hello\n"
        )
        assert refused.returncode == 1
        refused = await asyncio.to_thread(socat, "-", peer, send=b"hello\n")
        assert refused.stdout == b""
    # The client that found our name to be wrong may have been served before it went.
    assert set(seen) == {(("email", "client@example.test"),)}


async def test_socat_resets_and_the_handler_is_told() -> None:
    failures: list[WirelaneError] = []
    here: list[tcp.Connection] = []

    async def half(connection: tcp.Connection) -> None:
        here.append(connection)
        try:
            await connection.read_until_eof()
        except WirelaneError as failure:
            failures.append(failure)

    async with served(half) as (_, address):
        with running(("socat", "-", f"TCP:{address},linger=0"), stdin=True) as client:
            client.say(b"half")
            await until(lambda: bool(here) and here[0].buffered == len(b"half"))
            client.kill()
        await until(lambda: bool(failures))
    (failure,) = failures
    assert isinstance(failure, ConnectionLost)
    assert failure.partial == b"half"
