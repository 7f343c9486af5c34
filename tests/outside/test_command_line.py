"""`wirelane tcp` as one would use ncat: to servers that others wrote, with data from the line, a file or standard input."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

import pytest

from support.cli_support import wirelane
from support.outside_support import s_server, socat_pem, socat_server, stunnel
from support.programs import free_port, needs

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Certificates

pytestmark = needs("socat", "openssl", "stunnel")

LISTEN = "TCP4-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork"


def test_a_line_and_its_answer() -> None:
    with socat_server(LISTEN, "EXEC:cat") as server:
        done = wirelane("tcp", server.address, "-d", "Echo this!")
    assert (done.code, done.out) == (0, "Echo this!\n")


def test_standard_input_goes_to_the_socket_and_its_answer_to_standard_output() -> None:
    blob = "".join(f"{number}\n" for number in random.Random(3).choices(range(10**9), k=100_000))
    with socat_server(LISTEN, "EXEC:sha256sum") as server:
        done = wirelane("tcp", server.address, "-i", stdin=blob)
    assert done.code == 0, done
    assert done.out.split()[0] == hashlib.sha256(blob.encode()).hexdigest()


def test_a_file_goes_to_the_socket_and_the_answer_is_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "question").write_text("one\ntwo\n")
    with socat_server(LISTEN, r"SYSTEM:read a; read b; echo $b; printf %s $a") as server:
        done = wirelane("tcp", server.address, "-d", f"@{tmp_path / 'question'}", "--until-eof")
    assert (done.code, done.out) == (0, "two\none")


def test_an_answer_that_does_not_come_whole_is_shown_and_is_a_failure() -> None:
    with socat_server(LISTEN, r"SYSTEM:read a; printf half") as server:
        done = wirelane("tcp", server.address, "-d", "hello")
    assert (done.code, done.out) == (1, "half")
    assert done.err.startswith("error: ")


def test_nobody_there_is_a_failure_and_a_wrong_address_is_misuse() -> None:
    address = f"127.0.0.1:{free_port()}"
    wirelane("tcp", address, "-d", "hello").failed(1, address)
    assert wirelane("tcp", "nowhere", "-d", "hello").code == 2


def test_tls_is_verified_unless_that_is_not_wanted(ca: Certificates) -> None:
    with s_server(ca, "-rev") as server:
        address = f"tls://localhost:{server.port}"
        wirelane("tcp", address, "-d", "hello").failed(1, "certificate")
        for options in (("--cacert", str(ca.ca)), ("-k",)):
            done = wirelane("tcp", address, "-d", "hello", *options)
            assert (done.code, done.out) == (0, "olleh\n"), done
        wirelane("tcp", address, "-d", "x", "--cacert", str(ca.ca), "--server-name", "other.test").failed(
            1, "other.test"
        )


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_standard_input_goes_through_tls_with_a_certificate_of_our_own(
    ca: Certificates, tmp_path: Path, version: str
) -> None:
    with socat_server(LISTEN, "EXEC:sha256sum") as behind:
        pem = socat_pem(ca, tmp_path)
        service = f"connect = {behind.address}\ncert = {pem}\nCAfile = {ca.ca}\nverifyChain = yes\n"
        with stunnel("accept = 127.0.0.1:{port}\n" + service + f"sslVersion = {version}\n") as front:
            certificates = ("--cacert", ca.ca, "--cert", ca.client_cert, "--key", ca.client_key)
            done = wirelane("tcp", front.address, "-i", *map(str, certificates), stdin="to be digested")
            assert done.code == 0, done
            assert done.out.split()[0] == hashlib.sha256(b"to be digested").hexdigest()
            assert wirelane("tcp", front.address, "-i", "--cacert", str(ca.ca), stdin="x").code == 1
