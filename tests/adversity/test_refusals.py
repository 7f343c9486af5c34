"""What is refused is counted, every time, and told once: a line for each connection, however much it was refused."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from benchmarks.attacks.attacker import (
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    Attacker,
    Fields,
    frame,
    message,
    request,
)
from benchmarks.attacks.rows import answers_not_read, odd

from support.interop_support import server_tls
from support.server_support import listening, until
from wirelane import Limits, grpc

if TYPE_CHECKING:
    from conftest import Certificates

MANY = 20
SPAN = 5.0
ECHO = grpc.Method("attack.Victim/Echo", grpc.Cardinality.UNARY, bytes, bytes)
HANG = grpc.Method("attack.Victim/Hang", grpc.Cardinality.UNARY, bytes, bytes)
NO_WINDOW = b"\0\4\0\0\0\0"


def flood(port: int) -> None:
    """Refused are thousands of frames; what is counted is the connection that they ended."""
    with Attacker(port) as attacker:
        attacker.send(frame(PING, 0, 0, bytes(8)) * 5000)
        attacker.until_closed()


def calls(fields: Fields, settings: bytes = b"") -> Callable[[int], None]:
    """Many calls that are each refused, on one connection."""

    def run(port: int) -> None:
        with Attacker(port, settings) as attacker:
            attacker.send(*(attacker.call(stream, fields, message(b"x")) for stream in odd(MANY)))
            for stream in odd(MANY):
                attacker.answer(stream)

    return run


def above_the_limit(port: int) -> None:
    """One call that hangs takes the only place; many more find none."""
    with Attacker(port) as attacker:
        attacker.send(attacker.call(1, request("Hang")))
        attacker.send(*(attacker.call(stream, request("Hang")) for stream in odd(MANY, 3)))
        for stream in odd(MANY, 3):
            attacker.answer(stream)


def long_lists(port: int) -> None:
    with Attacker(port) as attacker:
        fields = request(extra=[("a", "b")])
        attacker.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, attacker.block(fields)))
        block = attacker.block(fields)
        long = block + block[-1:] * 200
        attacker.send(*(frame(HEADERS, END_HEADERS | END_STREAM, stream, long) for stream in odd(MANY, 3)))
        for stream in odd(MANY, 3):
            attacker.answer(stream)


def connections(octets: bytes) -> Callable[[int], None]:
    """Many connections that say this, one after the other, until the server closes them."""

    def run(port: int) -> None:
        for _ in range(MANY):
            with Attacker(port, None) as attacker:
                attacker.send(octets)
                while attacker.socket.recv(65_536):
                    pass

    return run


def full(port: int) -> None:
    with Attacker(port) as first:
        first.settle()
        connections(b"")(port)


@dataclass(frozen=True)
class Refused:
    """One kind.

    Attributes:
        provoke: A function of the port.
        counts: All that is counted of it.
        says: What its line in the log says.
        limits: Of the server.
        tls: Whether it asks for TLS.
    """

    provoke: Callable[[int], object]
    counts: Mapping[str, int]
    says: str
    limits: Mapping[str, Any] = field(default_factory=dict)
    tls: bool = False


KINDS = {
    "connections": Refused(flood, {"connections": 1}, "connections 1; the peer broke HTTP/2: too_many_pings"),
    "streams_refused": Refused(
        above_the_limit,
        {"streams_refused": MANY},
        f"streams_refused {MANY}",
        {"max_concurrent_streams": 1},
    ),
    "streams_broken": Refused(
        calls(request(extra=[("connection", "close")])), {"streams_broken": MANY}, f"streams_broken {MANY}"
    ),
    "header_lists": Refused(long_lists, {"header_lists": MANY, "requests": MANY}, f"header_lists {MANY}, "),
    "requests": Refused(calls(request(extra=[("x-bin", "!!")])), {"requests": MANY}, f"requests {MANY}"),
    "strangers": Refused(connections(b"EHLO somewhere\r\n"), {"strangers": MANY}, "other than HTTP/2"),
    "slow": Refused(connections(b"PRI"), {"slow": MANY}, "no HTTP/2 preface", {"handshake_timeout": 0.02}),
    "deaf": Refused(answers_not_read, {"deaf": 1}, "does not read the answers"),
    "answers_unread": Refused(
        calls(request(), NO_WINDOW),
        {"answers_unread": MANY},
        f"answers_unread {MANY}",
        {"flush_timeout": 0.05},
    ),
    "handshakes": Refused(
        connections(b"EHLO somewhere\r\n"), {"handshakes": MANY}, "speaks plaintext", tls=True
    ),
    "rejected": Refused(full, {"rejected": MANY}, "is full (max_connections=1)", {"max_connections": 1}),
    "rejected_peers": Refused(
        full,
        {"rejected_peers": MANY},
        "(max_connections_per_peer=1)",
        {"max_connections_per_peer": 1},
    ),
}


def make_server(limits: Limits, **options: Any) -> grpc.Server:
    server = grpc.Server(limits=limits, **options)

    @server.method(ECHO)
    async def echo(payload: bytes) -> bytes:
        return payload

    @server.method(HANG)
    async def hang(payload: bytes) -> bytes:
        await asyncio.Event().wait()
        return payload

    return server


def told(caplog: pytest.LogCaptureFixture, says: str) -> list[logging.LogRecord]:
    return [record for record in caplog.records if says in record.getMessage()]


def spans(began: float) -> int:
    """How many spans of the log there were: one, where nothing is slow."""
    return 1 + int((time.monotonic() - began) / SPAN)


@pytest.mark.parametrize("kind", KINDS)
async def test_each_refusal_is_counted_and_told_once(
    kind: str, caplog: pytest.LogCaptureFixture, ca: Certificates
) -> None:
    """Twenty times on one connection, or on twenty where a connection can have it but once."""
    refused = KINDS[kind]
    caplog.set_level(logging.INFO, "wirelane")
    server = make_server(Limits(**refused.limits), tls=server_tls(ca, "tls") if refused.tls else None)
    began = time.monotonic()
    async with listening(server, grace=0.0) as at:
        await asyncio.to_thread(refused.provoke, at.port)
        await until(lambda: not server.connections)
        assert dict(server.stats.refusals) == refused.counts
    assert 1 <= len(told(caplog, refused.says)) <= spans(began)
    # Nor in other words.
    quiet = {"wirelane.transport", "wirelane.net", "wirelane.grpc.server"}
    lines = [
        record
        for record in caplog.records
        if record.name in quiet and not re.match("listening on|stopped|stopping", record.getMessage())
    ]
    assert len(lines) <= spans(began), [record.getMessage() for record in lines]


def test_every_kind_that_is_documented_is_tested() -> None:
    security = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
    table = security.split("| kind | what was refused |", 1)[1].split("\n\n", 1)[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(KINDS)


async def test_each_connection_has_a_line_of_its_own_up_to_the_burst(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Forty that are refused something, and lines for three in five seconds; all are counted."""
    caplog.set_level(logging.INFO, "wirelane.transport")
    server = make_server(Limits(log_burst=3))
    began = time.monotonic()
    async with listening(server) as at:
        for _ in range(40):
            await asyncio.to_thread(calls(request(extra=[("x-bin", "!!")])), at.port)
        await until(lambda: not server.connections)
        assert dict(server.stats.refusals) == {"requests": 40 * MANY}
    assert 3 <= len(told(caplog, f"requests {MANY}")) <= 3 * spans(began)
