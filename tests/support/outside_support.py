"""Servers and clients of TLS and of plain streams that others wrote: openssl, stunnel, socat, each with settings of its own.

All are context managers that give a `Program` (see `support.programs`) which listens at a port of 127.0.0.1.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from support.namespaces import seeing
from support.programs import Program, path_of, running, serving

if TYPE_CHECKING:
    from conftest import Certificates
    from support.namespaces import Network

Words = Sequence[str | Path]


@contextmanager
def s_server(ca: Certificates, *arguments: str | Path, stdin: bool = False) -> Iterator[Program]:
    """Run `openssl s_server` with the server's certificate."""
    command: Words = (
        "openssl", "s_server", "-accept", "127.0.0.1:0",
        "-cert", ca.server_cert, "-cert_chain", ca.server_cert, "-key", ca.server_key, *arguments,
    )  # fmt: skip
    with running(command, stdin=stdin) as program:
        program.port = int(program.wait_for(r"ACCEPT \S*:(\d+)")[1])
        yield program


@contextmanager
def s_server_of(blob: bytes, *arguments: str | Path) -> Iterator[Program]:
    """Run `openssl s_server` with a certificate and key given as PEM."""

    def command(port: int, directory: Path) -> Words:
        pem = directory / "server.pem"
        pem.write_bytes(blob)
        return (
            "openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", pem, "-cert_chain", pem, "-key", pem,
            *arguments,
        )  # fmt: skip

    with serving(command) as program:
        yield program


def s_client(address: str, *arguments: str | Path, send: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run `openssl s_client` to its end; what it was given it sends, then it ends its stream.

    It blocks: where the server is in this process, run it in a thread.
    """
    return subprocess.run(
        [path_of("openssl"), "s_client", "-connect", address, *map(str, arguments)],
        input=send,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=30,
    )


@contextmanager
def socat_server(
    listen: str,
    command: str,
    *,
    host: str = "127.0.0.1",
    options: Sequence[str] = (),
    within: Network | None = None,
) -> Iterator[Program]:
    """Run socat: it listens as `listen` says ({port} and {directory} are filled in) and does `command` for each client."""

    def words(port: int, directory: Path) -> Words:
        return ("socat", *options, listen.format(port=port, directory=directory), command)

    with serving(words, host=host, within=within) as program:
        yield program


def socat_pem(ca: Certificates, directory: Path) -> Path:
    """Return a file with the server's key and certificates, as socat and stunnel like them."""
    pem = directory / "server.pem"
    pem.write_bytes(ca.server_key.read_bytes() + ca.server_cert.read_bytes())
    return pem


def socat(*words: str, send: bytes = b"", timeout: float = 30) -> subprocess.CompletedProcess[bytes]:
    """Run socat to its end. It blocks: where the other end is in this process, run it in a thread."""
    return subprocess.run(
        [path_of("socat"), *words], input=send, capture_output=True, check=False, timeout=timeout
    )


@contextmanager
def stunnel(
    service: str,
    *,
    hosts: Mapping[str, str] | None = None,
    also: Program | None = None,
    within: Network | None = None,
) -> Iterator[Program]:
    """Run stunnel with one service, whose lines {port} is filled into.

    With `hosts` it knows further names. `also` is a program whose log belongs to this one's.
    """

    def words(port: int, directory: Path) -> Words:
        config = directory / "stunnel.conf"
        lines = "foreground = yes\npid =\ndebug = info\nsyslog = no\n[service]\n" + service.format(port=port)
        config.write_text(re.sub(r"^ +", "", lines, flags=re.MULTILINE))
        return with_hosts(hosts, directory, ("stunnel", config))

    with serving(words, within=within) as program:
        program.also = also
        yield program


def hosts_file(hosts: Mapping[str, str]) -> str:
    """Return what /etc/hosts has to hold for these names, and for localhost."""
    return "".join(f"{address} {name}\n" for name, address in {"localhost": "127.0.0.1", **hosts}.items())


def with_hosts(hosts: Mapping[str, str] | None, directory: Path, command: Words) -> Words:
    """Return a command that knows these names, and has nobody to ask for others; as it is if they are None."""
    return command if hosts is None else seeing(names_of(hosts), directory, command)


def names_of(hosts: Mapping[str, str]) -> dict[str, str]:
    """Return the files of a system that knows these names, and has nobody to ask for others."""
    return {
        "/etc/hosts": hosts_file(hosts),
        "/etc/resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
    }
