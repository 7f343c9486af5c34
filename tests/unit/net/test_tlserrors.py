from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirelane.net.tlserrors import explain, plaintext, wrong_name

SETTINGS = bytes.fromhex("000006 04 00 00000000 000300000064")


@pytest.mark.parametrize(
    ("first", "from_server", "said"),
    [
        (b"\x16\x03\x03\x00\x7a", True, None),
        (b"\x15\x03\x01\x00\x02", True, None),
        (b"\x16\x03\x01\x02\x00", False, None),
        (SETTINGS, True, "HTTP/2 without TLS"),
        (bytes.fromhex("000000 04 00 00000000"), True, "HTTP/2 without TLS"),
        (b"HTTP/1.0 400 Bad Request\r\nx: y", True, "'HTTP/1.0 400 Bad Request'"),
        (b"PRI * HTTP/2.0\r\n\r\n", False, "HTTP/2 without TLS"),
        (b"PRI *", False, "HTTP/2 without TLS"),
        (b"PRINT", False, "'PRINT'"),
        (b"GET /", False, "HTTP/1 without TLS"),
        (b"OPTIONS * HTTP/1.1\r\n", False, "HTTP/1 without TLS"),
        (b"x" * 50, True, "'" + "x" * 40 + "'..."),
        (b"\x80\x01" * 20, True, "'" + r"\x80\x01" * 8 + "'..."),
        (b"", False, "''"),
    ],
)
def test_peer_is_recognised_by_its_first_bytes(first, from_server, said):
    assert plaintext(first, from_server=from_server) == said


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_shown_short_and_printable(first, from_server):
    said = plaintext(first, from_server=from_server)
    assert said is None or (said.isprintable() and len(said) < 80)


@given(st.binary(min_size=3, max_size=40), st.booleans())
def test_whether_it_is_tls_is_seen_in_the_first_two_bytes(rest, from_server):
    assert plaintext(b"\x16\x03" + rest, from_server=from_server) is None


def ssl_error(text: str) -> ssl.SSLError:
    """Return an error as OpenSSL's newer ones come out of Python: without a name."""
    error = ssl.SSLError(1, text)
    error.reason = None  # type: ignore[assignment]
    return error


def test_unknown_problem_keeps_the_words_of_openssl():
    error = explain(ssl_error("[SSL] strange new thing (_ssl.c:1)"), peer="h:1", name="h", server_side=False)
    assert str(error) == "the server at h:1 sent what is no proper TLS (strange new thing)"
    assert (error.host, error.step) == ("h", "handshake")


def test_alert_without_a_name_in_python_is_understood():
    exc = ssl_error("[SSL] tlsv13 alert certificate required (_ssl.c:2580)")
    error = explain(exc, peer="h:1", name="h", server_side=False, established=True)
    assert "requires a client certificate" in str(error)
    assert error.step == "after the handshake"


def test_many_names_are_counted():
    names = [f"{number}.example" for number in range(9)]
    assert "but for 0.example, 1.example, 2.example, 3.example, 4.example and 4 more" in str(
        wrong_name(who="the server at h:1", name="h", presented=names)
    )
