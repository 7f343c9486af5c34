"""TLS from the start and from the middle (STARTTLS), against a plain peer, openssl, and ourselves: written once, run with asyncio and without."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING

import pytest

from support.outside_support import s_server
from support.programs import needs, running
from support.tcp_support import hold, streams_server, upgrade_to
from support.twins_support import Event, elsewhere, start, until
from support.twins_support import serving as blocking
from twins.tcp_support import came, pair, reads, served
from wirelane import (
    BusyError,
    ClosedError,
    ConnectionLost,
    EndOfStream,
    Limits,
    TlsConfig,
    TlsError,
    UsageError,
    WirelaneError,
    tcp,
)

if TYPE_CHECKING:
    from conftest import Certificates


def trusting(ca: Certificates, **options: str) -> TlsConfig:
    return TlsConfig(ca=ca.ca, **options)  # type: ignore[arg-type]


def serving(ca: Certificates) -> TlsConfig:
    return TlsConfig(cert=ca.server_cert, key=ca.server_key)


@pytest.mark.parametrize(("offered", "agreed"), [(("c", "b"), "b"), ((), None)])
async def test_both_ends_see_the_protocol_that_they_agreed_on(
    ca: Certificates, offered: tuple[str, ...], agreed: str | None
) -> None:
    seen: list[str | None] = []

    async def handle(connection: tcp.Connection) -> None:
        seen.append(connection.alpn)
        await connection.send_line("seen")

    both = TlsConfig(cert=ca.server_cert, key=ca.server_key, alpn=("a", "b"))
    async with tcp.Server(handle, tls=both).listen("127.0.0.1:0") as listening:
        mine = TlsConfig(ca=ca.ca, alpn=offered)
        async with tcp.connect(f"127.0.0.1:{listening.port}", tls=mine) as connection:
            assert connection.alpn == agreed
            assert await connection.read_line(timeout=10) == "seen"
    assert seen == [agreed]


async def test_a_verified_connection_shows_its_certificate_and_cipher(ca: Certificates) -> None:
    async with pair(server_tls=ca.server_context(), tls=trusting(ca)) as (connection, peer):
        await connection.send_line("secret")
        assert await peer.reader.readline() == b"secret\n"
        assert connection.tls
        assert connection.cipher is not None
        assert connection.cipher[1].startswith("TLSv1.")
        assert connection.peer_certificate is not None
        assert ("DNS", "localhost") in connection.peer_certificate["subjectAltName"]  # type: ignore[operator]
        assert "TLS" in repr(connection)


async def test_the_tls_scheme_turns_tls_on_and_an_unknown_authority_is_refused(ca: Certificates) -> None:
    async with elsewhere(streams_server, hold, ca.server_context()) as address:
        with pytest.raises(TlsError, match="certificate"):
            await tcp.connect(f"tls://{address}")
        async with tcp.connect(f"tls://{address}", tls=trusting(ca)) as connection:
            assert connection.tls


async def test_a_wrong_name_is_refused_unless_server_name_says_otherwise(ca: Certificates) -> None:
    async with pair(server_tls=ca.server_context(), tls=trusting(ca), server_name="example.test") as (
        connection,
        _,
    ):
        assert connection.tls
    with pytest.raises(TlsError):
        async with pair(server_tls=ca.server_context(), tls=trusting(ca), server_name="other.test"):
            pass


async def test_close_notify_is_the_end_of_the_stream(ca: Certificates) -> None:
    async with pair(server_tls=ca.server_context(), tls=trusting(ca)) as (connection, peer):
        await peer.say(b"all of it")
        peer.writer.close()
        assert await connection.read_until_eof() == b"all of it"
        with pytest.raises(EndOfStream):
            await connection.read_exactly(1)


async def test_an_end_without_close_notify_is_a_lost_connection_and_keeps_the_bytes(ca: Certificates) -> None:
    async with pair(server_tls=ca.server_context(), tls=trusting(ca)) as (connection, peer):
        await peer.say(b"one\npart")
        await came(connection, 8)
        peer.cut()
        assert await connection.read_line() == "one"
        for read in (connection.read_line, connection.read_until_eof, lambda: connection.read_exactly(9)):
            with pytest.raises(ConnectionLost, match="close_notify") as caught:
                await read()
            assert caught.value.partial == b"part"
        assert await connection.read() == b"part"


async def test_much_data_crosses_tls_with_a_small_buffer(ca: Certificates) -> None:
    limits = Limits(read_buffer=1000, max_send_buffer=1000)
    blob = bytes(range(256)) * 4000
    async with pair(server_tls=ca.server_context(), tls=trusting(ca), limits=limits) as (connection, peer):
        sending = start(connection.send, blob)
        assert await peer.reader.readexactly(len(blob)) == blob
        await sending.result()
        talking = start(peer.say, blob)
        received = bytearray()
        while len(received) < len(blob):
            received += await connection.read()
        assert bytes(received) == blob
        await talking.result()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_half_close_over_tls_lets_the_answer_come(ca: Certificates, version: ssl.TLSVersion) -> None:
    async def answer(connection: tcp.Connection) -> None:
        question = await connection.read_until_eof()
        await connection.send(question[::-1])

    context = ca.client_context()
    context.maximum_version = version
    async with (
        served(answer, tls=serving(ca)) as (_, address),
        tcp.connect(address, tls=context) as connection,
    ):
        await connection.send(b"abc")
        await connection.send_eof()
        assert await connection.read_until_eof() == b"cba"


async def test_a_server_sees_the_certificate_of_its_client(ca: Certificates) -> None:
    async def name(connection: tcp.Connection) -> None:
        assert connection.peer_certificate is not None
        await connection.send_line(str(connection.peer_certificate["subjectAltName"]))

    tls = TlsConfig(ca=ca.ca, cert=ca.server_cert, key=ca.server_key)
    mine = TlsConfig(ca=ca.ca, cert=ca.client_cert, key=ca.client_key)
    async with served(name, tls=tls) as (_, address):
        async with tcp.connect(address, tls=mine) as connection:
            assert "client@example.test" in await connection.read_line()
        with pytest.raises((TlsError, ConnectionLost)):
            async with tcp.connect(address, tls=trusting(ca)) as connection:
                await connection.read_line()


@needs("openssl")
async def test_s_server_answers_line_by_line(ca: Certificates) -> None:
    with s_server(ca, "-rev") as server:
        async with tcp.connect(server.address, tls=trusting(ca)) as connection:
            for word in ("hello", "world"):
                await connection.send_line(word)
                assert await connection.read_line() == word[::-1]


@needs("openssl")
async def test_s_server_of_a_foreign_authority_is_refused(ca: Certificates, other_ca: Certificates) -> None:
    with s_server(other_ca, "-rev") as server:
        with pytest.raises(TlsError):
            await tcp.connect(server.address, tls=trusting(ca))
        async with tcp.connect(server.address, tls=trusting(other_ca)) as connection:
            await connection.send_line("ok")
            assert await connection.read_line() == "ko"


@needs("openssl")
async def test_s_server_killed_in_the_middle_is_a_truncation(ca: Certificates) -> None:
    with s_server(ca, stdin=True) as server:
        async with tcp.connect(server.address, tls=trusting(ca)) as connection:
            server.say(b"all of\nthis but")
            await came(connection, 15)
            server.kill()
            assert await connection.read_line() == "all of"
            with pytest.raises(ConnectionLost) as caught:
                await connection.read_until_eof()
            assert caught.value.partial == b"this but"


@needs("openssl")
async def test_s_client_speaks_with_our_server(ca: Certificates) -> None:
    async def shout(connection: tcp.Connection) -> None:
        async for line in connection.lines():
            await connection.send_line(line.upper())

    async with served(shout, tls=serving(ca)) as (_, address):
        options = ("-connect", address, "-CAfile", str(ca.ca), "-verify_return_error", "-quiet")
        with running(("openssl", "s_client", *options), stdin=True) as client:
            client.say(b"hello\n")
            await until(lambda: "HELLO\n" in client.log)


@needs("openssl")
async def test_s_client_starts_tls_on_our_server_in_the_middle(ca: Certificates) -> None:
    async def mail(connection: tcp.Connection) -> None:
        await connection.send_line("220 ready", newline="\r\n")
        assert (await connection.read_line(marker="\r\n")).startswith("EHLO")
        await connection.send(b"250-here\r\n250 STARTTLS\r\n")
        assert await connection.read_line(marker="\r\n") == "STARTTLS"
        await connection.send_line("220 go ahead", newline="\r\n")
        await connection.start_tls(serving(ca))
        assert connection.tls
        await connection.send_line("in secret: " + await connection.read_line())

    async with served(mail) as (_, address):
        options = (
            "-connect",
            address,
            "-starttls",
            "smtp",
            "-CAfile",
            str(ca.ca),
            "-verify_return_error",
            "-quiet",
        )
        with running(("openssl", "s_client", *options), stdin=True) as client:
            client.say(b"hello\n")
            await until(lambda: "in secret: hello\n" in client.log)


async def test_start_tls_with_a_server_of_the_standard_library(ca: Certificates) -> None:
    upgrade = upgrade_to(ca.server_context())
    async with elsewhere(streams_server, upgrade) as address, tcp.connect(address) as connection:
        await connection.send_line("STARTTLS")
        assert await connection.read_line() == "go"
        assert not connection.tls
        await connection.start_tls(trusting(ca))
        assert connection.tls
        assert connection.peer_certificate
        await connection.send_line("hello")
        assert [await connection.read_line(), await connection.read_line()] == ["welcome", "hello"]
        with pytest.raises(UsageError, match="already"):
            await connection.start_tls(trusting(ca))


async def test_a_handshake_that_began_before_start_tls_was_called_is_not_lost(ca: Certificates) -> None:
    async def slow(connection: tcp.Connection) -> None:
        await connection.read_line()
        await connection.send_line("go")
        await until(lambda: connection.buffered > 0)  # the ClientHello, read as if it were data
        await connection.start_tls(serving(ca))
        await connection.send_line((await connection.read_line())[::-1])

    async with served(slow) as (_, address), tcp.connect(address) as connection:
        await connection.send_line("STARTTLS")
        await connection.read_line()
        await connection.start_tls(trusting(ca))
        await connection.send_line("abc")
        assert await connection.read_line() == "cba"


async def test_commands_slipped_in_before_tls_make_the_handshake_fail(ca: Certificates) -> None:
    outcomes: list[BaseException] = []
    over = Event()

    async def victim(connection: tcp.Connection) -> None:
        assert await connection.read_line() == "STARTTLS"
        try:
            await connection.start_tls(serving(ca))
        except WirelaneError as error:
            outcomes.append(error)
            with pytest.raises(ClosedError):
                await connection.read_line()
        over.set()

    async with served(victim) as (_, address), tcp.connect(address) as connection:
        await connection.send(b"STARTTLS\nRSET\nMAIL FROM:<attacker@example.test>\n")
        await over.wait()
        assert [type(outcome) for outcome in outcomes] == [TlsError]


async def test_start_tls_with_an_untrusted_server_closes_the_connection(
    ca: Certificates, other_ca: Certificates
) -> None:
    async def upgrade(connection: tcp.Connection) -> None:
        with pytest.raises((TlsError, ConnectionLost)):
            await connection.start_tls(serving(other_ca))

    async with served(upgrade) as (_, address), tcp.connect(address) as connection:
        with pytest.raises(TlsError):
            await connection.start_tls(trusting(ca))
        with pytest.raises(ClosedError):
            await connection.send(b"in the clear?")


async def test_start_tls_is_refused_while_others_read_or_after_the_end(ca: Certificates) -> None:
    async with pair() as (connection, peer):
        reading = start(connection.read_line)
        await reads(connection)
        with pytest.raises(BusyError):
            await connection.start_tls(trusting(ca))
        peer.writer.write_eof()
        with pytest.raises(EndOfStream):
            await reading.result()
        with pytest.raises(EndOfStream):
            await connection.start_tls(trusting(ca))
        with pytest.raises(UsageError):
            await connection.start_tls(False)


async def test_start_tls_with_blocking_sockets_of_the_standard_library(ca: Certificates) -> None:
    """A server and a client that wrap their sockets in the middle, as programs without an event loop do."""

    def upgrade(client: socket.socket) -> None:
        assert client.recv(100) == b"STARTTLS\n"
        client.sendall(b"go\n")
        with ca.server_context().wrap_socket(client, server_side=True) as secured:
            while data := secured.recv(65_536):
                secured.sendall(data[::-1])

    with blocking(upgrade) as address:
        async with tcp.connect(address.replace("127.0.0.1", "localhost")) as connection:
            await connection.send_line("STARTTLS")
            assert await connection.read_line(timeout=20) == "go"
            await connection.start_tls(trusting(ca))
            assert connection.tls
            await connection.send(b"abc")
            assert await connection.read_exactly(3, timeout=20) == b"cba"


async def test_a_blocking_client_of_the_standard_library_starts_tls_with_our_server(ca: Certificates) -> None:
    async def upgrade(connection: tcp.Connection) -> None:
        await connection.read_line()
        await connection.send_line("go")
        await connection.start_tls(serving(ca))
        await connection.send_line((await connection.read_line())[::-1])

    def ask(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
            plain.sendall(b"STARTTLS\n")
            assert plain.recv(100) == b"go\n"
            with ca.client_context().wrap_socket(plain, server_hostname="localhost") as secured:
                secured.sendall(b"abc\n")
                return secured.recv(100)

    async with served(upgrade) as (listening, _):
        assert await asyncio.to_thread(ask, listening.port) == b"cba\n"
