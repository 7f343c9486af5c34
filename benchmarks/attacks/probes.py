"""What single requests and frames get, right or wrong: one each, as rows like those of the attacks."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.attacks.attacker import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    Attacker,
    Fields,
    frame,
    message,
    request,
)
from benchmarks.attacks.rows import Attack, odd


def probe(
    extra: Fields | None = None, body: bytes = message(b"x"), method: str = "Echo"
) -> Callable[[int], str]:
    """One call; what ends it."""

    def run(port: int) -> str:
        with Attacker(port) as attacker:
            attacker.send(attacker.call(1, request(method, extra), body))
            return attacker.answer(1)

    return run


def said(*frames: bytes) -> Callable[[int], str]:
    """Frames of no call, then a call; what that gets, or the end of the connection."""

    def run(port: int) -> str:
        with Attacker(port) as attacker:
            attacker.send(*frames, attacker.call(1, request(), message(b"x")))
            return attacker.answer(1)

    return run


def raw_octets(port: int) -> str:
    """Octets above ASCII, no UTF-8, in metadata."""
    with Attacker(port) as attacker:
        block = attacker.block(request()) + b"\x00\x05x-raw\x02\xff\xfe"
        attacker.send(frame(HEADERS, END_HEADERS, 1, block), frame(DATA, END_STREAM, 1, message(b"x")))
        return attacker.answer(1)


def no_method(port: int) -> str:
    """A request without :method."""
    with Attacker(port) as attacker:
        attacker.send(attacker.call(1, request()[1:], message(b"x")))
        return attacker.answer(1)


def split_message(port: int) -> str:
    """An empty DATA frame inside a message."""
    with Attacker(port) as attacker:
        attacker.send(
            attacker.call(1, request(), message(b"abc")[:6], end=False),
            frame(DATA, 0, 1),
            frame(DATA, END_STREAM, 1, b"bc"),
        )
        return attacker.answer(1)


def streams_above_the_limit(port: int) -> str:
    """150 calls at once, of which 100 are allowed."""
    with Attacker(port) as attacker:
        attacker.send(*(attacker.call(stream, request("Hang")) for stream in odd(150)))
        end = attacker.settle()
        return f"{end}, {attacker.count('RST_STREAM REFUSED_STREAM')} x RST_STREAM REFUSED_STREAM"


def spoken(octets: bytes) -> Callable[[int], str]:
    """Octets instead of a preface."""

    def run(port: int) -> str:
        with Attacker(port, None) as attacker:
            attacker.send(octets)
            return attacker.until_closed()

    return run


def http1(port: int) -> str:
    """HTTP/1.1."""
    with Attacker(port, None) as attacker:
        attacker.send(b"GET / HTTP/1.1\r\nhost: victim\r\n\r\n")
        # An HTTP/1.1 answer is no frame: it is read as raw octets.
        while attacker.hear() is not None:
            pass
        return "HTTP/1.1 400" if b"HTTP/1.1 400 " in attacker.raw else "something else"


PROBES = (
    Attack("unknown frame type", said(frame(0x77, 0x12, 0, b"x")), "grpc-status 0", "RFC 9113 5.5"),
    Attack("ALTSVC", said(frame(0xA, 0, 0, b"\0\0x")), "grpc-status 0", "RFC 7838 4"),
    Attack(
        "PUSH_PROMISE", said(frame(5, END_HEADERS, 1, b"\0\0\0\2")), "GOAWAY PROTOCOL_ERROR", "RFC 9113 8.4"
    ),
    Attack("empty DATA inside a message", split_message, "grpc-status 0"),
    Attack("gzip flag without encoding", probe(body=message(b"x", 1)), "grpc-status 13"),
    Attack("octets above ASCII in metadata", raw_octets, "grpc-status 0"),
    Attack("CRLF in metadata", probe([("x", "a\r\nb: c")]), "RST_STREAM PROTOCOL_ERROR", "CVE-2025-57804"),
    Attack("NUL in metadata", probe([("x", "a\0b")]), "RST_STREAM PROTOCOL_ERROR", "RFC 9113 8.2.1"),
    Attack("bad -bin", probe([("x-bin", "!!")]), "grpc-status 13", "CVE-2023-32732"),
    Attack("no :method", no_method, "RST_STREAM PROTOCOL_ERROR", "RFC 9113 8.3.1"),
    Attack("grpc-timeout of 400 digits", probe([("grpc-timeout", "9" * 400 + "S")]), "grpc-status 13"),
    Attack("grpc-timeout of 0", probe([("grpc-timeout", "0n")]), "grpc-status 4"),
    Attack(
        "content-length that lies",
        probe([("content-length", "3")]),
        "RST_STREAM PROTOCOL_ERROR",
        "RFC 9113 8.1.1",
    ),
    Attack("message cut short", probe(body=message(b"abc")[:-1]), "grpc-status 13"),
    Attack("unary without message", probe(body=b""), "grpc-status 12"),
    Attack("unary with two messages", probe(body=message(b"a") * 2), "grpc-status 12"),
    Attack("message flag of 7", probe(body=message(b"a", 7)), "grpc-status 13"),
    Attack(
        "150 calls at once",
        streams_above_the_limit,
        "alive, 50 x RST_STREAM REFUSED_STREAM",
        "RFC 9113 5.1.2",
        most_begun=100,
    ),
    Attack("HTTP/1.1", http1, "HTTP/1.1 400"),
    Attack("TLS on a port without it", spoken(b"\x16\x03\x01\x02\0\1\0\1\xfc\3\3"), "closed"),
    Attack("something else", spoken(b"EHLO somewhere\r\n"), "closed"),
)
