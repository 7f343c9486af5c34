"""Texts of options become values, or errors that name them."""

from __future__ import annotations

import click
import pytest

from wirelane import UsageError
from wirelane.cli.options import ConnectionOptions, Seconds, parse_headers
from wirelane.cli.tcptext import unescape


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2", 2.0),
        ("2.5", 2.5),
        (".5", 0.5),
        ("500ms", 0.5),
        ("3s", 3.0),
        ("2m", 120.0),
        ("1h", 3600.0),
        (" 1 ", 1.0),
    ],
)
def test_times_are_seconds_or_have_a_unit(text: str, seconds: float) -> None:
    assert Seconds().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "-1", "soon", "1d", "1e3", "inf", "nan", "1 s s", "1" * 20])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no time"):
        Seconds().convert(text, None, None)


def test_headers_are_split_at_the_first_colon_and_binary_ones_decoded() -> None:
    given = ["X-A:  b: c ", "x-empty:", "x-raw-bin: AAE=", "x-raw-bin: AAE"]
    assert parse_headers(given, "-H") == [
        ("x-a", "b: c"),
        ("x-empty", ""),
        ("x-raw-bin", b"\x00\x01"),
        ("x-raw-bin", b"\x00\x01"),
    ]


@pytest.mark.parametrize("text", ["", "nocolon", ": value", "x-bin: *", "x-bin: A"])
def test_what_is_no_header_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="^--rpc-header"):
        parse_headers([text], "--rpc-header")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"\n", b"\n"),
        (r"\r\n", b"\r\n"),
        (r"\x00\xff", b"\0\xff"),
        (r"\0", b"\0"),
        (r"\\", b"\\"),
        ("é", "é".encode()),
    ],
)
def test_escapes(text: str, value: bytes) -> None:
    assert unescape(text, "--marker") == value


@pytest.mark.parametrize("text", [r"\x", r"\x1", "end\\"])
def test_what_is_no_escape_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--marker"):
        unescape(text, "--marker")


@pytest.mark.parametrize(
    ("given", "expected", "shown"),
    [
        ((), None, ""),
        (("env",), "env", " (proxy: env)"),
        (("socks5://a:secret@p:1",), "socks5://a:secret@p:1", " (proxy: socks5://p:1)"),
        (("http://n", "socks5://f"), ("http://n", "socks5://f"), " (proxy: http://n:80, socks5://f:1080)"),
    ],
)
def test_proxies_are_named_without_who_asks(given: tuple[str, ...], expected: object, shown: str) -> None:
    options = ConnectionOptions(
        plaintext=False,
        tls=False,
        insecure=False,
        cacert=None,
        cert=None,
        key=None,
        server_name=None,
        proxy=given,
        local_address=None,
        connect_timeout=1.0,
    )
    assert options.proxies() == expected
    assert options.way() == shown
