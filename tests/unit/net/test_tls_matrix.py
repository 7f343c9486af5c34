"""Every way a TLS handshake goes well or wrong, seen from both ends."""

from __future__ import annotations

import asyncio
import logging
import ssl
import subprocess

import pytest

from support.net_support import (
    LOOPBACK,
    Accepting,
    Authority,
    Recorder,
    echo,
    ended,
    openssl_server,
    raw_server,
    settle,
    split_pem,
)
from wirelane.core.target import HostPort, UnixPath
from wirelane.errors import ConnectError, ConnectionLost, TlsError
from wirelane.net import TlsConfig, dial, listen


async def refused(
    server: TlsConfig, client: TlsConfig | ssl.SSLContext, host: str = "localhost", **options
) -> TlsError:
    """Dial a server of ours that must not be accepted."""
    async with await listen(echo, LOOPBACK, tls=server) as listening:
        with pytest.raises(TlsError) as caught:
            await dial(
                Recorder, HostPort("127.0.0.1", listening.port), tls=client, server_name=host, **options
            )
        await settle()
    return caught.value


async def accepted(
    server: TlsConfig, client: TlsConfig | ssl.SSLContext, name: str | None = "localhost"
) -> Recorder:
    """Dial a server of ours, and have one echo of it."""
    async with await listen(echo, LOOPBACK, tls=server) as listening:
        transport, recorder = await dial(Recorder, listening.address, tls=client, server_name=name)
        transport.write(b"ping")
        assert await recorder.until_received(4) == b"ping"
        await ended(recorder)
        return recorder


async def test_certificate_of_a_trusted_ca_for_the_right_name_is_accepted(authority):
    recorder = await accepted(authority.server(), authority.client())
    assert recorder.transport.get_extra_info("tls_version") == "TLSv1.3"
    assert ("DNS", "localhost") in recorder.transport.get_extra_info("peercert")["subjectAltName"]
    assert recorder.transport.get_extra_info("cipher")[1] == "TLSv1.3"
    assert isinstance(recorder.transport.get_extra_info("ssl_object"), ssl.SSLObject)


async def test_certificate_of_an_authority_in_a_directory_of_hashed_names_is_accepted(
    authority, stranger, tmp_path
):
    """What `openssl rehash` makes: OpenSSL looks for the issuer by its name, and only when it is needed."""
    (tmp_path / "one.pem").write_bytes(authority.pem)
    subprocess.run(["openssl", "rehash", str(tmp_path)], check=True)
    for link in tmp_path.iterdir():
        if link.is_symlink():
            link.unlink()
            link.write_bytes(authority.pem)
    (tmp_path / "one.pem").unlink()
    await accepted(authority.server(), TlsConfig(ca=tmp_path))
    assert "not trusted here" in str(await refused(stranger.server(), TlsConfig(ca=tmp_path)))


async def test_ip_address_is_accepted_if_the_certificate_names_it(authority):
    await accepted(authority.server("127.0.0.1"), authority.client(), None)


async def test_ip_address_that_the_certificate_does_not_name_is_refused(authority):
    error = await refused(authority.server("localhost"), authority.client(), "127.0.0.1")
    assert "is not for '127.0.0.1' but for localhost" in str(error)
    assert "IP address as a subject alternative name" in str(error)


async def test_certificate_of_an_unknown_ca_is_refused(authority, stranger):
    error = await refused(stranger.server(), authority.client())
    assert "signed by a CA that is not trusted here" in str(error)
    assert (error.host, error.step) == ("localhost", "verify certificate")
    assert "ca=" in (error.hint or "")


async def test_self_signed_certificate_is_refused_and_accepted_as_its_own_ca(authority, tmp_path):
    blob = await self_signed(tmp_path)
    server = TlsConfig(cert=blob)
    assert "is self-signed and not trusted here" in str(await refused(server, authority.client()))
    await accepted(server, TlsConfig(ca=split_pem(blob)[1]))


async def self_signed(directory) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"),
        *("-keyout", str(directory / "self.key"), "-out", str(directory / "self.crt")),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await process.wait() == 0
    return (directory / "self.key").read_bytes() + (directory / "self.crt").read_bytes()


async def test_expired_certificate_is_refused(authority):
    error = await refused(TlsConfig(cert=authority.expired("localhost")), authority.client())
    assert "has expired" in str(error)


async def test_certificate_of_the_future_is_refused(authority):
    error = await refused(TlsConfig(cert=authority.not_yet_valid("localhost")), authority.client())
    assert "is not valid yet" in str(error)
    assert "clock" in str(error)


async def test_wrong_name_is_refused_saying_what_was_asked_and_what_is_there(authority):
    error = await refused(authority.server("a.example", "b.example"), authority.client(), "localhost")
    assert "is not for 'localhost' but for a.example, b.example" in str(error)
    assert "server_name='a.example'" in (error.hint or "")
    assert isinstance(error.__cause__, ssl.SSLCertVerificationError)


async def test_wrong_name_shows_no_client_certificate_when_it_asks_for_the_names(authority, stranger):
    server = authority.server("a.example", ca=authority.pem)
    client = authority.client(cert=authority.issue("client@example.com"))
    error = await refused(server, client)
    # TLS 1.3: the names come before the server learns that there is no client certificate.
    assert "but for a.example" in str(error)


async def test_wrong_name_with_a_context_of_the_user_is_refused(authority):
    context = ssl.create_default_context(cadata=authority.pem.decode())
    error = await refused(authority.server("a.example"), context)
    assert "is not for 'localhost'" in str(error)


async def test_server_name_of_the_config_is_checked_instead_of_the_host(authority):
    await accepted(authority.server("a.example"), authority.client(server_name="a.example"), "localhost")


async def test_name_with_a_trailing_dot_is_the_same_name(authority):
    await accepted(authority.server("localhost"), authority.client(), "localhost.")


async def test_wildcard_certificate_is_accepted(authority):
    await accepted(authority.server("*.a.example"), authority.client(), "x.a.example")


async def test_unverified_client_accepts_anything(stranger):
    server = TlsConfig(cert=stranger.expired("elsewhere.example"))
    recorder = await accepted(server, TlsConfig(verify=False))
    assert recorder.transport.get_extra_info("peercert") == {}


async def test_context_of_the_user_is_used_as_it_is(authority):
    context = ssl.create_default_context(cadata=authority.pem.decode())
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    recorder = await accepted(authority.server(), context)
    assert recorder.transport.get_extra_info("tls_version") == "TLSv1.2"
    assert recorder.transport.get_extra_info("sslcontext") is context


async def test_server_without_the_wanted_version_is_refused(authority, tmp_path):
    async with openssl_server(tmp_path, authority.issue("localhost"), "-tls1_2") as (address, _):
        with pytest.raises(TlsError, match="refused the TLS versions offered") as caught:
            await dial(Recorder, address, tls=authority.client(min_version="1.3"), server_name="localhost")
        assert caught.value.step == "handshake"


async def test_client_without_the_wanted_version_is_refused_and_told(authority):
    context = ssl.create_default_context(cadata=authority.pem.decode())
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    error = await refused(authority.server(min_version="1.3"), context)
    assert "refused the TLS versions offered" in str(error)


# ---------------------------------------------------------------------- mutual TLS


@pytest.mark.parametrize("min_version", ["1.2", "1.3"])
async def test_client_certificate_of_the_right_ca_is_accepted_and_visible(authority, min_version):
    accepting = Accepting(echo)
    server = authority.server(ca=authority.pem, min_version=min_version)
    client = authority.client(cert=authority.issue("client@example.com"))
    async with await listen(accepting, LOOPBACK, tls=server) as listening:
        _, recorder = await dial(Recorder, listening.address, tls=client)
        one = await accepting.one()
        assert ("email", "client@example.com") in one.transport.get_extra_info("peercert")["subjectAltName"]
        await ended(recorder)
        await one.until_lost()


async def test_missing_client_certificate_is_told_at_the_first_read(authority, caplog):
    caplog.set_level(logging.INFO, "wirelane.net")
    accepting = Accepting(echo)
    async with await listen(accepting, LOOPBACK, tls=authority.server(ca=authority.pem)) as listening:
        # In TLS 1.3 the client is done before the server has seen that there is no certificate.
        transport, recorder = await dial(Recorder, listening.address, tls=authority.client())
        transport.write(b"first words")
        error = await recorder.until_lost()
        assert "client certificate" in str(error)
        assert isinstance(error, TlsError)
        assert "cert=" in (error.hint or "")
        assert not accepting.made
        assert listening.failed_handshakes == 1
        await settle()
    assert "showed no certificate, and one is required" in caplog.text


async def test_missing_client_certificate_fails_the_dial_in_tls12(authority):
    context = ssl.create_default_context(cadata=authority.pem.decode())
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    error = await refused(authority.server(ca=authority.pem), context)
    assert "client certificate" in str(error)


@pytest.mark.parametrize("kind", ["wrong CA", "expired"])
async def test_refused_client_certificate_is_told_at_the_first_read(authority, stranger, kind):
    blob = stranger.issue("client@example.com") if kind == "wrong CA" else authority.expired("c@example.com")
    async with await listen(echo, LOOPBACK, tls=authority.server(ca=authority.pem)) as listening:
        _, recorder = await dial(Recorder, listening.address, tls=authority.client(cert=blob))
        error = await recorder.until_lost()
        assert isinstance(error, TlsError)
        assert "certificate of this client" in str(error)
        await settle()


async def test_server_says_that_the_client_does_not_trust_it(authority, stranger, caplog):
    caplog.set_level(logging.INFO, "wirelane.net")
    await refused(stranger.server(), authority.client())
    assert "does not trust the CA of the certificate of this server" in caplog.text


# ---------------------------------------------------------------------- ALPN


async def test_agreed_protocol_is_known_at_both_ends(authority):
    accepting = Accepting()
    async with await listen(
        accepting, LOOPBACK, tls=authority.server(), alpn=("h2", "http/1.1")
    ) as listening:
        transport, recorder = await dial(
            Recorder, listening.address, tls=authority.client(), alpn=("h2", "grpc-exp")
        )
        one = await accepting.one()
        assert transport.get_extra_info("alpn") == one.transport.get_extra_info("alpn") == "h2"
        await ended(recorder, one)


async def test_server_without_alpn_is_refused_unless_it_need_not_agree(authority):
    error = await refused(authority.server(), authority.client(), alpn=("h2",))
    assert "did not agree to h2 (ALPN)" in str(error)
    assert error.step == "ALPN"
    async with await listen(echo, LOOPBACK, tls=authority.server()) as listening:
        transport, recorder = await dial(
            Recorder, listening.address, tls=authority.client(), alpn=("h2",), alpn_required=False
        )
        assert transport.get_extra_info("alpn") is None
        await ended(recorder)


async def test_server_that_refuses_the_offered_protocols_is_told_so(authority, tmp_path):
    async with openssl_server(tmp_path, authority.issue("localhost"), "-alpn", "http/1.1") as (address, _):
        with pytest.raises(TlsError, match="ALPN"):
            await dial(Recorder, address, tls=authority.client(), server_name="localhost", alpn=("h2",))


async def test_alpn_of_the_config_is_offered_instead_of_the_callers(authority):
    async with await listen(echo, LOOPBACK, tls=authority.server(alpn=("mine",)), alpn=("h2",)) as listening:
        transport, recorder = await dial(
            Recorder, listening.address, tls=authority.client(alpn=("mine",)), alpn=("h2",)
        )
        assert transport.get_extra_info("alpn") == "mine"
        await ended(recorder)
        transport, recorder = await dial(
            Recorder, listening.address, tls=authority.client(alpn=()), alpn=("h2",)
        )
        assert transport.get_extra_info("alpn") is None
        await ended(recorder)


async def test_context_of_the_user_gets_the_callers_alpn(authority):
    context = ssl.create_default_context(cadata=authority.pem.decode())
    async with await listen(echo, LOOPBACK, tls=authority.server(), alpn=("h2",)) as listening:
        transport, recorder = await dial(Recorder, listening.address, tls=context, alpn=("h2",))
        assert transport.get_extra_info("alpn") == "h2"
        await ended(recorder)


# ---------------------------------------------------------------------- no TLS at the other end


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
            "answered with 'HTTP/1.1 400 Bad Request'",
        ),
        (bytes.fromhex("000012 04 00 00000000") + bytes(18), "answered with HTTP/2 without TLS"),
        (b"220 mail.example ESMTP ready\r\n", "answered with '220 mail.example ESMTP ready'"),
        (b"\x00\x01\x02\xffbinary", r"answered with '\x00\x01\x02\xff"),
        (b"hi", "answered with 'hi'"),
    ],
    ids=["http1", "http2", "smtp", "binary", "short"],
)
async def test_plaintext_server_is_recognised(authority, answer, said):
    async def talk(sock):
        loop = asyncio.get_running_loop()
        await loop.sock_recv(sock, 65536)
        await loop.sock_sendall(sock, answer)

    async with raw_server(talk) as address:
        with pytest.raises(TlsError) as caught:
            await dial(Recorder, address, tls=authority.client())
    assert f"the server at {address} speaks plaintext (it {said}" in str(caught.value)
    assert caught.value.hint == "connect without TLS"


async def test_server_that_closes_in_the_handshake_is_told(authority):
    async def talk(sock):
        await asyncio.get_running_loop().sock_recv(sock, 65536)

    async with raw_server(talk) as address:
        with pytest.raises(TlsError, match="closed the connection during the TLS handshake") as caught:
            await dial(Recorder, address, tls=authority.client())
    assert "without TLS" in (caught.value.hint or "")


async def test_server_that_resets_in_the_handshake_is_told(authority):
    async def talk(sock):
        sock.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER, 0 s
        await asyncio.get_running_loop().sock_recv(sock, 65536)

    async with raw_server(talk) as address:
        with pytest.raises(TlsError, match="(reset|closed) the connection during the TLS handshake"):
            await dial(Recorder, address, tls=authority.client())


async def test_server_that_says_nothing_times_out_in_the_handshake(authority):
    done = asyncio.Event()

    async def talk(sock):
        await done.wait()

    async with raw_server(talk) as address:
        with pytest.raises(ConnectError) as caught:
            await dial(Recorder, address, tls=authority.client(), connect_timeout=0.05)
        done.set()
    assert str(caught.value) == (
        f"cannot connect to {address}: connected to {address}, but the TLS handshake was not over within 0.05 s; "
        "the server sent nothing: check that this port speaks TLS"
    )


async def test_garbage_after_a_tls_header_is_a_tls_error(authority):
    async def talk(sock):
        loop = asyncio.get_running_loop()
        await loop.sock_recv(sock, 65536)
        await loop.sock_sendall(sock, b"\x16\x03\x03\x00\x05hello" * 3)

    async with raw_server(talk) as address:
        with pytest.raises(TlsError, match="sent what is no proper TLS"):
            await dial(Recorder, address, tls=authority.client())


@pytest.mark.parametrize(
    ("hello", "said"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1 without TLS"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/2 without TLS"),
        (b"EHLO somewhere\r\n", "'EHLO somewhere'"),
        (b"\xff\x00\xff\x00\xff\x00", r"'\xff\x00\xff\x00\xff\x00'"),
    ],
)
async def test_plaintext_client_is_closed_and_logged_once(authority, caplog, hello, said):
    caplog.set_level(logging.INFO, "wirelane.net")
    accepting = Accepting()
    async with await listen(accepting, LOOPBACK, tls=authority.server()) as listening:
        for _ in range(3):
            transport, recorder = await dial(Recorder, listening.address)
            mine = transport.get_extra_info("sockname")[1]
            transport.write(hello)
            await recorder.until_lost()
            # The alert by which a client knows that it should have spoken TLS.
            assert recorder.received == b"\x15\x03\x01\x00\x02\x02\x0a"
        assert listening.failed_handshakes == 3
        assert not accepting.made
        await settle()
        assert listening.connections == 0
    assert caplog.text.count("speaks plaintext") == 1
    assert f"speaks plaintext (it sent {said}), not TLS" in caplog.text
    assert "the client at 127.0.0.1:" in caplog.text
    assert mine > 0


# ---------------------------------------------------------------------- OpenSSL at the other end


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_talks_to_an_openssl_server(authority, tmp_path, version):
    async with openssl_server(tmp_path, authority.issue("localhost"), version, "-rev") as (address, _):
        transport, recorder = await dial(Recorder, address, tls=authority.client(), server_name="localhost")
        transport.write(b"stressed\n")
        assert await recorder.until_received(9) == b"desserts\n"
        await ended(recorder)


async def test_tls12_only_server_is_accepted_by_default(authority, tmp_path):
    async with openssl_server(tmp_path, authority.issue("localhost"), "-tls1_2") as (address, _):
        transport, recorder = await dial(Recorder, address, tls=authority.client(), server_name="localhost")
        assert transport.get_extra_info("tls_version") == "TLSv1.2"
        await ended(recorder)


async def test_old_tls_server_is_refused(authority, tmp_path):
    arguments = ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
    async with openssl_server(tmp_path, authority.issue("localhost"), *arguments) as (address, _):
        with pytest.raises(TlsError, match=r"TLS version"):
            await dial(Recorder, address, tls=authority.client(), server_name="localhost")


async def test_tls_over_a_unix_socket_checks_localhost(authority, tmp_path):
    path = UnixPath(str(tmp_path / "sock"))
    async with await listen(echo, path, tls=authority.server("localhost")):
        transport, recorder = await dial(Recorder, path, tls=authority.client())
        transport.write(b"hello")
        assert await recorder.until_received(5) == b"hello"
        await ended(recorder)
    async with await listen(echo, path, tls=authority.server("elsewhere.example")):
        with pytest.raises(TlsError, match="is not for 'localhost' but for elsewhere"):
            await dial(Recorder, path, tls=authority.client())
        await settle()


async def test_reset_right_after_the_handshake_hints_at_a_client_certificate(authority):
    def reset(self: Recorder) -> None:
        self.transport.abort()

    class Rude(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            sock = transport.get_extra_info("socket")
            sock.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER, 0 s
            transport.abort()

    async with await listen(Rude, LOOPBACK, tls=authority.server()) as listening:
        _, recorder = await dial(Recorder, listening.address, tls=authority.client())
        error = await recorder.until_lost()
        assert isinstance(error, ConnectionLost)
        assert "right after the TLS handshake; it may require a client certificate" in str(error)


def test_authority_makes_what_it_says():
    key, chain = split_pem(Authority().issue("x.example"))
    assert key.count(b"BEGIN") == 1
    assert chain.count(b"BEGIN CERTIFICATE") >= 1
