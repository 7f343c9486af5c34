"""The answer of an HTTP proxy: read however it is cut, an octet at a time if need be, and not an octet further."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirelane import ProxyConfig
from wirelane.core.target import HostPort
from wirelane.errors import LimitExceeded, PeerError
from wirelane.net.proxy.http_connect import MAX_HEAD, MAX_LINES, Answer, AnswerReader, connect_request

ANSWERS = [
    (b"HTTP/1.1 200 OK\r\n\r\n", Answer(200, "OK")),
    (b"HTTP/1.0 200 Connection established\r\nProxy-Agent: x\r\n\r\n", Answer(200, "Connection established")),
    (b"HTTP/1.1 204\r\n\r\n", Answer(204, "")),
    (b"HTTP/1.1 200 \r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", Answer(200, "")),
    (b"HTTP/1.1 200 OK\n\n", Answer(200, "OK")),
    (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        Answer(200, "OK"),
    ),
    (
        b'HTTP/1.1 407 No\r\nProxy-Authenticate: NTLM\r\nProxy-Authenticate: Basic realm="x"\r\n\r\n',
        Answer(407, "No", ("ntlm", "basic")),
    ),
    (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", Answer(101, "Switching")),
    (b"HTTP/1.1 302 Found\r\nLocation: http://x/\r\n\r\n", Answer(302, "Found")),
]


@pytest.mark.parametrize(("octets", "expected"), ANSWERS)
@given(cuts=st.lists(st.integers(0, 300), max_size=8), rest=st.binary(max_size=20))
def test_an_answer_is_the_same_however_it_is_cut(octets: bytes, expected: Answer, cuts, rest: bytes) -> None:
    stream = octets + rest
    reader = AnswerReader()
    edges = [0, *sorted({min(cut, len(stream)) for cut in cuts}), len(stream)]
    answer, fed = None, 0
    for start, end in itertools.pairwise(edges):
        answer = reader.feed(stream[start:end])
        fed = end
        if answer is not None:
            break
    assert answer == expected
    assert reader.rest + stream[fed:] == rest


@pytest.mark.parametrize(("octets", "expected"), ANSWERS)
def test_an_answer_is_known_with_its_last_octet_and_not_before(octets: bytes, expected: Answer) -> None:
    reader = AnswerReader()
    assert [reader.feed(octets[i : i + 1]) for i in range(len(octets) - 1)] == [None] * (len(octets) - 1)
    assert reader.feed(octets[-1:]) == expected
    assert reader.rest == b""


@pytest.mark.parametrize(
    "octets",
    [
        b"SSH-2.0 200 hi\r\n",
        b"SSH-2.0-OpenSSH",
        b"\x05\x00",
        b"\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"http/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 O\rK\r\n\r\n",
        b"HTTP/1.1 200 O\0K\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n folded: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n: x\r\n\r\n",
    ],
)
def test_what_is_no_answer_is_refused(octets: bytes) -> None:
    with pytest.raises(PeerError):
        AnswerReader().feed(octets)


@pytest.mark.parametrize("piece", [1, 100, 10**6])
@pytest.mark.parametrize(
    "octets",
    [
        b"HTTP/1.1 200 " + b"x" * 5_000_000,
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1_000_000,
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * 5_000_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 100_000,
    ],
)
def test_an_answer_without_end_is_given_up_within_its_bounds(octets: bytes, piece: int) -> None:
    reader = AnswerReader()
    taken = 0
    with pytest.raises(LimitExceeded):
        while taken < len(octets):
            reader.feed(octets[taken : taken + piece])
            taken += piece
    assert taken <= MAX_HEAD


def test_as_many_lines_as_are_allowed_are_read() -> None:
    fields = MAX_LINES - 2  # beside the status and the empty line
    assert AnswerReader().feed(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * fields + b"\r\n") == Answer(200, "OK")
    with pytest.raises(LimitExceeded, match=str(MAX_LINES)):
        AnswerReader().feed(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * (fields + 1) + b"\r\n")


def test_a_request_names_the_target_and_who_asks() -> None:
    proxy = ProxyConfig("http://Aladdin:open%20sesame@p:1", headers={"X-Team": "blue"})
    lines = connect_request(proxy, HostPort("::1", 443)).split(b"\r\n")
    assert lines[:2] == [b"CONNECT [::1]:443 HTTP/1.1", b"Host: [::1]:443"]
    assert b"Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==" in lines  # RFC 7617 section 2
    assert b"X-Team: blue" in lines
    assert lines[-2:] == [b"", b""]


def test_an_authorization_of_ones_own_replaces_basic() -> None:
    proxy = ProxyConfig("http://a:b@p:1", headers={"Proxy-Authorization": "Bearer x"})
    request = connect_request(proxy, HostPort("h.test", 1))
    assert request.count(b"Proxy-Authorization") == 1
    assert b"Bearer x" in request


def test_a_secret_header_that_is_given_back_without_its_scheme_is_not_shown() -> None:
    proxy = ProxyConfig("http://p:1", headers={"Proxy-Authorization": "Bearer c0ffee"})
    answer = AnswerReader(proxy).feed(b"HTTP/1.1 407 c0ffee is wrong\r\n\r\n")
    assert answer is not None
    assert "c0ffee" not in answer.reason
