"""Our client against `openssl s_server`: what it verifies, what it shows, and how a TLS stream may end."""

from __future__ import annotations

import datetime
import hashlib
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.outside_support import s_server, s_server_of
from support.programs import needs, path_of
from support.tcp_support import until
from wirelane import TlsConfig, tcp
from wirelane.errors import ConnectionLost, EndOfStream, LimitExceeded, TlsError

if TYPE_CHECKING:
    from conftest import Certificates

pytestmark = needs("openssl")

VERSIONS = {"TLSv1.2": "-tls1_2", "TLSv1.3": "-tls1_3"}


def trusting(ca: Certificates, **settings: Any) -> TlsConfig:
    return TlsConfig(ca=ca.ca, **settings)


def names(connection: tcp.Connection) -> list[str]:
    assert connection.peer_certificate is not None
    alternatives: Any = connection.peer_certificate["subjectAltName"]
    return [value for _, value in alternatives]


@pytest.mark.parametrize("version", VERSIONS)
async def test_lines_cross_and_the_cipher_tells_the_version(ca: Certificates, version: str) -> None:
    with s_server(ca, "-rev", VERSIONS[version]) as server:
        async with tcp.connect(f"tls://{server.address}", tls=trusting(ca)) as connection:
            for word in ("hello", "wörld", "x" * 10_000):
                await connection.send_line(word)
                line = await connection.read(marker=b"\n", timeout=20)
                assert line == word.encode()[::-1] + b"\n"
            assert connection.cipher is not None
            assert connection.cipher[1] == version
            assert "localhost" in names(connection)


async def test_the_server_is_asked_for_the_name_and_answers_with_its_certificate(
    ca: Certificates, tmp_path: Path
) -> None:
    second = tmp_path / "second.pem"
    second.write_bytes(ca.authority.issue_cert("second.test").private_key_and_cert_chain_pem.bytes())
    with s_server(ca, "-rev", "-servername", "second.test", "-cert2", second, "-key2", second) as server:
        for asked, shown in (("second.test", {"second.test"}), ("localhost", {"localhost", "example.test"})):
            async with tcp.connect(server.address, tls=trusting(ca), server_name=asked) as connection:
                assert shown <= set(names(connection))


async def test_a_certificate_for_other_names_is_refused_and_they_are_named(ca: Certificates) -> None:
    with s_server_of(
        ca.authority.issue_cert("other.test").private_key_and_cert_chain_pem.bytes(), "-rev"
    ) as server:
        with pytest.raises(TlsError, match=r"other\.test") as caught:
            await tcp.connect(server.address, tls=trusting(ca), server_name="wanted.test")
        assert "wanted.test" in str(caught.value)
        async with tcp.connect(server.address, tls=trusting(ca, server_name="other.test")) as connection:
            assert names(connection) == ["other.test"]


async def test_a_certificate_without_the_address_is_refused_for_the_address(ca: Certificates) -> None:
    with s_server_of(
        ca.authority.issue_cert("localhost").private_key_and_cert_chain_pem.bytes(), "-rev"
    ) as server:
        with pytest.raises(TlsError, match="localhost"):
            await tcp.connect(f"127.0.0.1:{server.port}", tls=trusting(ca))
        async with tcp.connect(f"localhost:{server.port}", tls=trusting(ca)) as connection:
            assert connection.tls


async def test_an_unknown_authority_is_refused_and_accepted_only_when_told_so(
    ca: Certificates, other_ca: Certificates
) -> None:
    with s_server(other_ca, "-rev") as server:
        for tls in (trusting(ca), True):
            with pytest.raises(TlsError, match=r"certificate|authority"):
                await tcp.connect(server.address, tls=tls)
        careless = TlsConfig(verify=False)
        assert "NOT VERIFIED" in repr(careless)
        async with tcp.connect(server.address, tls=careless) as connection:
            await connection.send_line("abc")
            assert await connection.read_line(timeout=20) == "cba"


@pytest.mark.parametrize(("begins", "ends", "said"), [(-30, -1, "expired"), (1, 30, "not valid yet")])
async def test_a_certificate_out_of_its_time_is_refused(
    ca: Certificates, begins: int, ends: int, said: str
) -> None:
    now = datetime.datetime.now(datetime.UTC)
    leaf = ca.authority.issue_cert(
        "localhost",
        "127.0.0.1",
        not_before=now + datetime.timedelta(days=begins),
        not_after=now + datetime.timedelta(days=ends),
    )
    with s_server_of(leaf.private_key_and_cert_chain_pem.bytes(), "-rev") as server:
        with pytest.raises(TlsError, match=said):
            await tcp.connect(server.address, tls=trusting(ca))


@pytest.fixture
def locked_key(ca: Certificates, tmp_path: Path) -> Path:
    """Return the client's key, encrypted by openssl with the password `sesame`."""
    locked = tmp_path / "locked.pem"
    command = ["rsa" if b"RSA" in ca.client_key.read_bytes() else "ec", "-aes256", "-passout", "pass:sesame"]
    subprocess.run(
        [path_of("openssl"), *command, "-in", ca.client_key, "-out", locked],
        check=True,
        capture_output=True,
        timeout=20,
    )
    assert b"ENCRYPTED" in locked.read_bytes()
    return locked


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_client_certificate_with_an_encrypted_key_lets_us_in(
    ca: Certificates, locked_key: Path, version: str
) -> None:
    with s_server(
        ca, "-rev", "-CAfile", ca.ca, "-Verify", "2", "-verify_return_error", VERSIONS[version]
    ) as server:
        mine = trusting(ca, cert=ca.client_cert, key=locked_key, key_password="sesame")
        async with tcp.connect(server.address, tls=mine) as connection:
            await connection.send_line("abc")
            assert await connection.read_line(timeout=20) == "cba"


@pytest.mark.parametrize("version", VERSIONS)
async def test_without_a_client_certificate_the_refusal_is_an_error_of_its_own(
    ca: Certificates, version: str
) -> None:
    with s_server(
        ca, "-rev", "-CAfile", ca.ca, "-Verify", "2", "-verify_return_error", VERSIONS[version]
    ) as server:
        # TLS 1.3 is done for the client before the server has seen that there is no certificate (RFC 8446, 4.4.2).
        with pytest.raises((TlsError, ConnectionLost), match="certificate"):
            async with tcp.connect(server.address, tls=trusting(ca)) as connection:
                await connection.read_line(timeout=20)


async def test_a_protocol_is_agreed_on_and_a_server_that_has_none_of_ours_is_refused(
    ca: Certificates,
) -> None:
    with s_server(ca, "-alpn", "one,two", stdin=True) as server:
        async with tcp.connect(server.address, tls=trusting(ca, alpn=("two", "three"))):
            server.wait_for(r"ALPN protocols selected: two\n")
        with pytest.raises(TlsError):
            await tcp.connect(server.address, tls=trusting(ca, alpn=("three",)))


async def test_a_server_without_tls_1_3_is_refused_when_that_is_the_least(ca: Certificates) -> None:
    with s_server(ca, "-rev", "-no_tls1_3") as server:
        with pytest.raises(TlsError, match=r"1\.3|version"):
            await tcp.connect(server.address, tls=trusting(ca, min_version="1.3"))
        async with tcp.connect(server.address, tls=trusting(ca)) as connection:
            assert connection.cipher is not None
            assert connection.cipher[1] == "TLSv1.2"


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_answer_that_ends_with_close_notify_is_whole(ca: Certificates, version: str) -> None:
    with s_server(ca, "-www", VERSIONS[version]) as server:
        async with tcp.connect(server.address, tls=trusting(ca)) as connection:
            await connection.send(b"GET / HTTP/1.0\r\n\r\n")
            page = await connection.read_until_eof(timeout=20)
    assert page.startswith(b"HTTP/1.0 200 ok\r\n")
    assert re.search(rb"Protocol *: " + version.encode(), page)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_large_file_arrives_octet_by_octet(ca: Certificates, version: str, tmp_path: Path) -> None:
    blob = bytes(range(251)) * 40_000
    with s_server(ca, "-HTTP", VERSIONS[version]) as server:
        (server.directory / "blob").write_bytes(blob)
        async with tcp.connect(server.address, tls=trusting(ca)) as connection:
            # -HTTP sends the file as it is: it has headers of its own, or none.
            await connection.send(b"GET /blob HTTP/1.0\r\n\r\n")
            digest, count = hashlib.sha256(), 0
            async for chunk in connection:
                digest.update(chunk)
                count += len(chunk)
    assert (count, digest.digest()) == (len(blob), hashlib.sha256(blob).digest())


async def test_an_answer_larger_than_the_limit_is_refused_and_what_came_is_kept(ca: Certificates) -> None:
    blob = b"0123456789" * 50_000
    with s_server(ca, "-HTTP") as server:
        (server.directory / "blob").write_bytes(blob)
        async with tcp.connect(server.address, tls=trusting(ca)) as connection:
            await connection.send(b"GET /blob HTTP/1.0\r\n\r\n")
            with pytest.raises(LimitExceeded) as caught:
                await connection.read_until_eof(100_000, timeout=20)
            assert caught.value.partial == blob[: len(caught.value.partial)]
            kept = await connection.read_exactly(100_000, timeout=20)
            assert kept == blob[:100_000]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_server_that_is_killed_in_mid_answer_is_no_end_of_the_stream(
    ca: Certificates, version: str
) -> None:
    with s_server(ca, VERSIONS[version], stdin=True) as server:
        async with tcp.connect(server.address, tls=trusting(ca)) as connection:
            server.say(b"one line\nand half of ano")
            assert await connection.read_line(timeout=20) == "one line"
            await until(lambda: connection.buffered == len(b"and half of ano"))
            server.kill()
            for read in (connection.read_until_eof(timeout=20), connection.read_line(timeout=20)):
                with pytest.raises(ConnectionLost) as caught:
                    await read
                assert caught.value.partial == b"and half of ano"
            assert await connection.read() == b"and half of ano"


async def test_keys_are_changed_in_the_middle_of_a_stream(ca: Certificates) -> None:
    key_update = r"TLS 1\.3, Handshake \[length \d+\], KeyUpdate"
    with s_server(ca, "-tls1_3", "-msg", stdin=True) as server:
        async with tcp.connect(server.address, tls=trusting(ca)) as connection:
            for count in range(3):
                server.say(b"before %d\n" % count)
                assert await connection.read_line(timeout=20) == f"before {count}"
                server.say(b"K\n")  # a KeyUpdate that asks for ours in turn (RFC 8446 section 4.6.3)
                server.wait_for(rf"(?s)(>>> {key_update}.*){{{count + 1}}}")
                server.say(b"after %d\n" % count)
                assert await connection.read_line(timeout=20) == f"after {count}"
                await connection.send_line(f"and back {count}")
                server.wait_for(rf"(?s)(<<< {key_update}.*){{{count + 1}}}and back {count}")


async def test_a_server_that_renegotiates_does_not_get_us_to(ca: Certificates) -> None:
    with s_server(ca, "-tls1_2", "-legacy_renegotiation", stdin=True) as server:
        async with tcp.connect(server.address, tls=trusting(ca)) as connection:
            server.say(b"before\n")
            assert await connection.read_line(timeout=20) == "before"
            server.say(b"r\n")  # HelloRequest
            with pytest.raises(ConnectionLost):
                await connection.read_line(timeout=20)
        server.wait_for("no renegotiation")


@pytest.mark.parametrize("version", VERSIONS)
async def test_our_close_is_seen_as_an_end_in_order(ca: Certificates, version: str) -> None:
    with s_server(ca, VERSIONS[version], "-msg", stdin=True) as server:
        async with tcp.connect(server.address, tls=trusting(ca)) as connection:
            await connection.send_line("the last words")
        server.wait_for("the last words")
        server.wait_for(r"<<< TLS 1\.[23], Alert \[length 0002\], warning close_notify")


async def test_ten_connections_resume_their_sessions_or_not_and_all_work(ca: Certificates) -> None:
    tls = trusting(ca)
    with s_server(ca, "-rev", "-num_tickets", "4") as server:
        for count in range(10):
            async with tcp.connect(server.address, tls=tls) as connection:
                await connection.send_line(f"{count}!")
                assert await connection.read_line(timeout=20) == f"!{count}"


async def test_plaintext_to_a_port_of_tls_is_answered_at_once(ca: Certificates) -> None:
    with s_server(ca, "-www") as server:
        # OpenSSL answers plaintext with an alert and an end, or a reset that overtakes them: no waiting until time is up.
        with pytest.raises((EndOfStream, ConnectionLost)):
            await tcp.request(server.address, b"GET / HTTP/1.0\r\n\r\n", marker=b"\n\n", timeout=20)
