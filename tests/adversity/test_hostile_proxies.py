"""Proxies that refuse, talk nonsense, fall silent or cut their answers anywhere, met by TCP connections and gRPC channels alike.

In every case the error is a ProxyError that says which proxy, which step and which code, no user or password is shown
anywhere, and nobody goes to the target directly.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import pickle
import traceback
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol
from urllib.parse import quote

import pytest

from support.client_support import SERVICE, grpcio_server, note_schema
from support.hostile_proxies import (
    ENDLESS,
    GRANTED,
    HostileProxy,
    Script,
    Tripwire,
    Visit,
    hostile_proxy,
    http_answer,
    http_answer_then_end,
    http_answer_then_reset,
    http_endless,
    http_granting,
    socks4,
    socks4_reply,
    socks5,
    socks5_reply,
    socks5_request,
)
from wirelane import Limits, grpc, tcp
from wirelane.errors import EndOfStream, ProxyError

USER, PASSWORD = "alice.in.chains", "s3cr3t:p@ss/word"
SECRETS = (
    USER,
    PASSWORD,
    quote(PASSWORD, safe=""),
    base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode(),
)
REPLY = socks5_reply(0)


class Open(Protocol):
    """Opens a connection of one of our products through a proxy, and closes it."""

    async def __call__(self, target: str, proxy: str, timeout: float = 20.0) -> None: ...


async def open_tcp(target: str, proxy: str, timeout: float = 20.0) -> None:
    async with tcp.connect(target, proxy=proxy, connect_timeout=timeout):
        pass


async def open_grpc(target: str, proxy: str, timeout: float = 20.0) -> None:
    limits = Limits(connect_timeout=timeout)
    async with grpc.connect(target, schema=note_schema(), proxy=proxy, limits=limits):
        pass


@pytest.fixture(params=[open_tcp, open_grpc], ids=["tcp", "grpc"])
def opens(request: pytest.FixtureRequest) -> Open:
    """Return each of the two ways."""
    way: Open = request.param
    return way


def url(kind: str, proxy: HostileProxy) -> str:
    """Return the URL of a proxy, with whom to be there where the kind knows that."""
    userinfo = {"socks4": USER, "socks4a": USER}.get(kind, f"{USER}:{quote(PASSWORD, safe='')}")
    return f"{kind}://{userinfo}@{proxy.address}"


def assert_no_secret(text: str | bytes, where: str) -> None:
    for secret in SECRETS:
        assert (secret.encode() if isinstance(text, bytes) else secret) not in text, where


async def refused(
    opens: Open,
    kind: str,
    script: Script,
    caplog: pytest.LogCaptureFixture,
    *,
    timeout: float = 20.0,
) -> ProxyError:
    """Return the ProxyError that a script leads to, after all that holds of every one."""
    caplog.set_level(logging.DEBUG)
    async with Tripwire() as target, hostile_proxy(script) as proxy:
        with pytest.raises(ProxyError) as caught:
            await opens(target.address, url(kind, proxy), timeout)
    error = caught.value
    assert target.visits == 0
    assert len(proxy.heard) >= 1
    assert (error.kind, error.host) == (kind, proxy.address)
    assert proxy.address in str(error)
    copy = pickle.loads(pickle.dumps(error))
    assert [getattr(copy, name) for name in ("kind", "step", "code", "host", "hint", "message")] == [
        getattr(error, name) for name in ("kind", "step", "code", "host", "hint", "message")
    ]
    assert_no_secret(str(error), "str")
    assert_no_secret(repr(error), "repr")
    assert_no_secret(pickle.dumps(error), "pickle")
    assert_no_secret("".join(traceback.format_exception(error)), "traceback")
    assert_no_secret(caplog.text, "log")
    return error


# -- HTTP: refusals


class Case(NamedTuple):
    """An answer, and what becomes of it."""

    answer: bytes
    step: str
    code: int | None
    says: str = ""


BASIC = b"Proxy-Authenticate: Basic realm=here\r\n"
REFUSALS = {
    "407": Case(b"HTTP/1.1 407 Who are you\r\n" + BASIC + b"\r\n", "authentication", 407, "user"),
    "407 without a challenge": Case(b"HTTP/1.1 407 Denied\r\n\r\n", "authentication", 407),
    "407 for Digest": Case(
        b'HTTP/1.1 407 X\r\nProxy-Authenticate: Digest realm="x"\r\n\r\n', "authentication", 407, "digest"
    ),
    "502": Case(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\noops", "CONNECT", 502, "502"),
    "503": Case(b"HTTP/1.0 503 Service Unavailable\r\n\r\n", "CONNECT", 503, "503"),
    "403": Case(b"HTTP/1.1 403 Forbidden\r\n\r\n", "CONNECT", 403, "403"),
    "a redirect": Case(
        b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.test/\r\n\r\n", "CONNECT", 302, "302"
    ),
    "304": Case(b"HTTP/1.1 304 Not Modified\r\n\r\n", "CONNECT", 304, "304"),
    "100, then 502": Case(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 502 Bad Gateway\r\n\r\n", "CONNECT", 502, "502"
    ),
    "SSH": Case(b"SSH-2.0 200 hi\r\n\r\n", "CONNECT", None, "SSH-2.0"),
    "SMTP": Case(b"220 mail.test ESMTP\r\n", "CONNECT", None, "220"),
    "an HTTP/2 preface": Case(b"\0\0\0\4\0\0\0\0\0", "CONNECT", None),
    "HTTP/2 in words": Case(b"HTTP/2.0 200 OK\r\n\r\n", "CONNECT", None),
    "HTTP/1.2": Case(b"HTTP/1.2 200 OK\r\n\r\n", "CONNECT", None),
    "four digits": Case(b"HTTP/1.1 2000 OK\r\n\r\n", "CONNECT", None),
    "two digits": Case(b"HTTP/1.1 20 OK\r\n\r\n", "CONNECT", None),
    "no status": Case(b"HTTP/1.1 OK\r\n\r\n", "CONNECT", None),
    "a sign": Case(b"HTTP/1.1 +200 OK\r\n\r\n", "CONNECT", None),
    "two blanks": Case(b"HTTP/1.1  200 OK\r\n\r\n", "CONNECT", None),
    "lower case": Case(b"http/1.1 200 OK\r\n\r\n", "CONNECT", None),
    "a blank line first": Case(b"\r\nHTTP/1.1 200 OK\r\n\r\n", "CONNECT", None),
    "zeros": Case(b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n", "CONNECT", None),
    "a carriage return within": Case(b"HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n", "CONNECT", None),
    "a header without a colon": Case(b"HTTP/1.1 200 OK\r\nwhatever\r\n\r\n", "CONNECT", None),
    "a folded header": Case(b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", "CONNECT", None),
    "200 header lines": Case(
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "CONNECT", None, "100 lines"
    ),
    "TLS": Case(b"\x15\x03\x01\x00\x02\x02\x46", "CONNECT", None),
    "SOCKS": Case(b"\x05\x00", "CONNECT", None),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_an_http_answer_that_is_no_yes_is_a_typed_refusal(
    opens: Open, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    case = REFUSALS[name]
    error = await refused(opens, "http", http_answer(case.answer), caplog)
    assert (error.step, error.code) == (case.step, case.code)
    assert case.says in str(error)


@pytest.mark.parametrize(
    ("beginning", "piece"),
    [
        (b"HTTP/1.1 200 ", b"A" * 65_536),
        (b"", b"B" * 65_536),
        (b"HTTP/1.1 200 OK\r\n", b"X-Padding: yyyyyyyyyyyyyyyyyyyy\r\n" * 1000),
        (b"HTTP/1.1 200 OK\r\nX: ", b"y" * 65_536),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 1000),
        (b"", b"\r\n" * 1000),
    ],
    ids=["status line", "no line", "header lines", "one header", "100s", "103s", "empty lines"],
)
async def test_an_http_answer_without_end_is_given_up(
    opens: Open, beginning: bytes, piece: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    sent: list[int] = []
    error = await refused(opens, "http", http_endless(beginning, piece, sent), caplog)
    assert (error.step, error.code) == ("CONNECT", None)
    # What the system's buffers hold, not what there was.
    assert all(count < ENDLESS for count in sent)


@pytest.mark.parametrize("answer", [b"", b"H", b"HTTP/1.1 200 OK\r\n", GRANTED[:-1]])
@pytest.mark.parametrize("end", [http_answer_then_end, http_answer_then_reset])
async def test_an_http_proxy_that_goes_away_within_its_answer_is_refused(
    opens: Open, answer: bytes, end: Callable[[bytes], Script], caplog: pytest.LogCaptureFixture
) -> None:
    error = await refused(opens, "http", end(answer), caplog)
    assert (error.step, error.code) == ("CONNECT", None)


async def test_an_http_proxy_that_falls_silent_is_given_up_in_time(caplog: pytest.LogCaptureFixture) -> None:
    errors = await asyncio.gather(
        *(
            refused(opens, "http", http_answer(answer), caplog, timeout=1.0)
            for opens in (open_tcp, open_grpc)
            for answer in (b"", b"HTTP/1.1 200 OK\r\nX: ")
        )
    )
    for error in errors:
        assert (error.step, error.code) == ("CONNECT", None)
        assert "1 s" in str(error)


async def test_a_proxy_that_gives_back_what_it_is_told_does_not_get_it_shown(
    opens: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """As an echo server does, or a proxy that says in its answer what it did not like."""

    def giving_back(before: bytes, after: bytes, header: bytes) -> Script:
        async def script(visit: Visit) -> None:
            head = await visit.until(b"\r\n\r\n")
            (line,) = (line for line in head.split(b"\r\n") if line.startswith(header))
            await visit.say(before + line + after)
            await visit.until_left()

        return script

    name = b"Proxy-Authorization"
    for before, after in (
        (b"", b"\r\n\r\n"),
        (b"HTTP/1.1 407 not this: ", b"\r\n\r\n"),
        (b"HTTP/1.1 400 ", b"\r\n\r\n"),
        (b"HTTP/1.1 407 no\r\nProxy-Authenticate: ", b"\r\n\r\n"),
        (b"HTTP/1.1 407 no\r\nProxy-Authenticate:", b"\r\n\r\n"),
        (b"HTTP/1.1 200 yes\r\n(", b"\r\n\r\n"),
    ):
        error = await refused(opens, "http", giving_back(before, after, name), caplog)
        assert base64.b64encode(USER.encode())[:12].decode().lower() not in str(error).lower()


async def test_half_a_line_of_what_a_proxy_was_told_is_not_shown_either(
    opens: Open, caplog: pytest.LogCaptureFixture
) -> None:
    async def script(visit: Visit) -> None:
        head = await visit.until(b"\r\n\r\n")
        _, _, secret = head.partition(b"Basic ")
        await visit.say(b"you said " + secret[:20])
        await visit.until_left()

    error = await refused(opens, "http", script, caplog)
    assert base64.b64encode(USER.encode())[:12].decode() not in str(error)


# -- HTTP: yes


def whole(answer: bytes) -> list[bytes]:
    return [answer]


def byte_by_byte(answer: bytes) -> list[bytes]:
    return [answer[at : at + 1] for at in range(len(answer))]


def halves_at(at: int) -> Callable[[bytes], list[bytes]]:
    return lambda answer: [answer[:at], answer[at:]]


YES = {
    "200": b"HTTP/1.1 200 Connection established\r\n\r\n",
    "200 of HTTP/1.0 with headers": b"HTTP/1.0 200 OK\r\nVia: 1.1 squid\r\nServer:x\r\n\r\n",
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "no reason": b"HTTP/1.1 200\r\n\r\n",
    "an empty reason": b"HTTP/1.1 200 \r\n\r\n",
    "a length that means nothing": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "100 before": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    "103 before, twice": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 2 + b"HTTP/1.1 200 OK\r\n\r\n",
    "line feeds alone": b"HTTP/1.1 200 OK\nVia: x\n\n",
}
BANNER = b"220 the server speaks first\r\nHTTP/1.1 502 and means nothing by it\r\n\r\n"


async def banner_through(script: Script, kind: str) -> bytes:
    """Return what a connection through a proxy says by itself; that what is sent comes back is seen to."""
    async with Tripwire() as target, hostile_proxy(script) as proxy:
        async with tcp.connect(target.address, proxy=url(kind, proxy), connect_timeout=20) as connection:
            banner = await connection.read_exactly(len(BANNER), timeout=20)
            await connection.send(b"and this comes back\n")
            assert await connection.read_line(timeout=20) == "and this comes back"
            assert str(connection.peer) == target.address
    assert target.visits == 0
    return banner


@pytest.mark.parametrize("name", YES)
@pytest.mark.parametrize("cut", [whole, byte_by_byte])
async def test_what_follows_a_yes_of_http_is_the_servers_however_it_is_cut(
    name: str, cut: Callable[[bytes], list[bytes]]
) -> None:
    assert await banner_through(http_granting(YES[name] + BANNER, cut), "http") == BANNER


async def test_a_yes_may_be_cut_in_two_anywhere() -> None:
    answer = b"HTTP/1.1 103 E\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nC: d\r\n\r\n" + BANNER[:5]
    for at in range(1, len(answer)):

        def cut(_: bytes, at: int = at) -> list[bytes]:
            return [*halves_at(at)(answer), BANNER[5:]]

        assert await banner_through(http_granting(b"", cut), "http") == BANNER


@pytest.mark.parametrize("kind", ["http", "socks4", "socks5"])
async def test_a_server_that_ends_at_once_is_read_to_its_end(kind: str) -> None:
    """The answer, all that the server said, and the end of the stream are here before anybody has read a byte."""

    async def script(visit: Visit) -> None:
        if kind == "http":
            await visit.until(b"\r\n\r\n")
            await visit.say(GRANTED + BANNER)
        elif kind == "socks4":
            await visit.exactly(8)
            await visit.until(b"\0")
            await visit.say(socks4_reply(0x5A) + BANNER)
        else:
            await visit.exactly((await visit.exactly(2))[1])
            await visit.say(b"\x05\x00")
            await socks5_request(visit)
            await visit.say(REPLY + BANNER)

    async with Tripwire() as target, hostile_proxy(script) as proxy:
        async with tcp.connect(target.address, proxy=url(kind, proxy)) as connection:
            assert await connection.read_until_eof(timeout=20) == BANNER
            with pytest.raises(EndOfStream):
                await connection.read_exactly(1)
    assert target.visits == 0


# -- SOCKS 5


@pytest.mark.parametrize("method", [b"\x04\x00", b"HT", b"\x00\x00", b"\x05\xff", b"\x05\x01", b"\x05\x80"])
async def test_a_greeting_that_chooses_nothing_we_know_is_refused(
    opens: Open, method: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    error = await refused(opens, "socks5", socks5(method=method), caplog)
    if method == b"\x05\xff":
        assert (error.step, error.code) == ("authentication", 0xFF)
    else:
        assert (error.step, error.code) == ("greeting", None)


async def test_a_proxy_may_not_choose_a_password_that_was_not_offered(opens: Open) -> None:
    async with Tripwire() as target, hostile_proxy(socks5(method=b"\x05\x02", auth=b"\x01\x00")) as proxy:
        with pytest.raises(ProxyError) as caught:
            await opens(target.address, f"socks5://{proxy.address}")
    assert target.visits == 0
    assert caught.value.step == "greeting"


@pytest.mark.parametrize(("auth", "code"), [(b"\x01\x01", 1), (b"\x01\xff", 0xFF), (b"\x05\x00", None)])
async def test_a_refused_password_is_a_step_of_its_own(
    opens: Open, auth: bytes, code: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    error = await refused(opens, "socks5", socks5(method=b"\x05\x02", auth=auth), caplog)
    assert (error.step, error.code) == ("authentication", code)


SOCKS5_REPLIES = {
    1: "general SOCKS server failure",
    2: "not allowed",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "TTL expired",
    7: "command not supported",
    8: "address type not supported",
    9: "9",
    0x7F: "127",
    0xFF: "255",
}


@pytest.mark.parametrize("code", SOCKS5_REPLIES)
@pytest.mark.parametrize("kind", ["socks5", "socks5h"])
async def test_every_reply_code_of_socks_5_is_told(
    opens: Open, kind: str, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    error = await refused(opens, kind, socks5(pieces=(socks5_reply(code),)), caplog)
    assert (error.step, error.code) == ("CONNECT", code)
    assert SOCKS5_REPLIES[code].lower() in str(error).lower()


@pytest.mark.parametrize(
    "reply",
    [
        b"\x04\x00\x00\x01\0\0\0\0\0\0",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"\x05\x00\x00\x09\0\0\0\0\0\0",
        b"\x05\x00\x00\x03\x02\xff\xfe\x12\x34",
    ],
    ids=["version 4", "HTTP", "an address of no kind", "a name that is no text"],
)
async def test_a_reply_that_is_none_of_socks_5_is_refused(
    opens: Open, reply: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    error = await refused(opens, "socks5", socks5(pieces=(reply,)), caplog)
    assert (error.step, error.code) == ("CONNECT", None)


BOUND = {
    "IPv4": b"\x01\x7f\x00\x00\x01\x12\x34",
    "IPv6": b"\x04" + bytes(15) + b"\x01\x12\x34",
    "a name": b"\x03\x09localhost\x12\x34",
    "an empty name": b"\x03\x00\x12\x34",
    "the longest name": b"\x03\xff" + b"n" * 255 + b"\x12\x34",
}


@pytest.mark.parametrize("bound", BOUND)
@pytest.mark.parametrize("cut", [whole, byte_by_byte])
async def test_a_yes_of_socks_5_is_read_to_its_last_byte_and_no_further(
    bound: str, cut: Callable[[bytes], list[bytes]]
) -> None:
    pieces = tuple(cut(socks5_reply(0, BOUND[bound]) + BANNER))
    for method, auth in ((b"\x05\x00", None), (b"\x05\x02", b"\x01\x00")):
        assert await banner_through(socks5(method=method, auth=auth, pieces=pieces), "socks5") == BANNER


@pytest.mark.parametrize("cut", [whole, byte_by_byte])
async def test_all_answers_of_socks_5_may_come_before_they_are_asked_for(
    cut: Callable[[bytes], list[bytes]],
) -> None:
    async def script(visit: Visit) -> None:
        await visit.exactly((await visit.exactly(2))[1])
        await visit.say(*cut(b"\x05\x00" + REPLY + BANNER))
        await socks5_request(visit)
        await visit.echo()

    assert await banner_through(script, "socks5") == BANNER


def socks5_truncated(count: int, end: Callable[[Visit], Awaitable[None]]) -> Script:
    """Say so many bytes of all the answers, and end."""

    async def script(visit: Visit) -> None:
        left = count
        for answer in (b"\x05\x02", b"\x01\x00", REPLY):
            if answer == b"\x05\x02":
                await visit.exactly((await visit.exactly(2))[1])
            elif answer == b"\x01\x00":
                await visit.exactly((await visit.exactly(2))[1])
                await visit.exactly((await visit.exactly(1))[0])
            else:
                await socks5_request(visit)
            await visit.say(answer[:left])
            left -= len(answer)
            if left < 0:
                await end(visit)
                return

    return script


async def leave(_: Visit) -> None:
    pass


async def reset(visit: Visit) -> None:
    visit.reset()


async def stall(visit: Visit) -> None:
    await visit.until_left()


STEPS = ["greeting"] * 2 + ["authentication"] * 2 + ["CONNECT"] * len(REPLY)


@pytest.mark.parametrize("count", range(len(STEPS)))
@pytest.mark.parametrize("end", [leave, reset])
async def test_a_socks_5_proxy_that_goes_away_is_refused_with_its_step(
    count: int, end: Callable[[Visit], Awaitable[None]], caplog: pytest.LogCaptureFixture
) -> None:
    error = await refused(open_tcp, "socks5", socks5_truncated(count, end), caplog)
    assert error.code is None
    assert error.step == STEPS[count]


async def test_a_socks_5_proxy_that_falls_silent_is_given_up_in_time_with_its_step(
    caplog: pytest.LogCaptureFixture,
) -> None:
    counts = (0, 1, 2, 4, 7)
    for opens in (open_tcp, open_grpc):
        errors = await asyncio.gather(
            *(
                refused(opens, "socks5", socks5_truncated(count, stall), caplog, timeout=1.0)
                for count in counts
            )
        )
        assert [(error.step, error.code) for error in errors] == [(STEPS[count], None) for count in counts]


# -- SOCKS 4


@pytest.mark.parametrize("kind", ["socks4", "socks4a"])
@pytest.mark.parametrize(
    ("code", "says"), [(0x5B, "rejected"), (0x5C, "identd"), (0x5D, "identd"), (0x60, "96")]
)
async def test_every_reply_code_of_socks_4_is_told(
    opens: Open, kind: str, code: int, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    error = await refused(opens, kind, socks4(socks4_reply(code)), caplog)
    assert (error.step, error.code) == ("CONNECT", code)
    assert says in str(error)


@pytest.mark.parametrize(
    "reply", [socks4_reply(0x5A, version=5), USER.encode()[:8] + b"x", b"HTTP/1.1", b"\x05\x00" + bytes(6)]
)
async def test_a_reply_that_is_none_of_socks_4_is_refused(
    opens: Open, reply: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    error = await refused(opens, "socks4", socks4(reply), caplog)
    assert (error.step, error.code) == ("CONNECT", None)
    assert USER[:8] not in str(error)


@pytest.mark.parametrize("kind", ["socks4", "socks4a"])
@pytest.mark.parametrize("cut", [whole, byte_by_byte])
async def test_a_yes_of_socks_4_is_read_to_its_last_byte_and_no_further(
    kind: str, cut: Callable[[bytes], list[bytes]]
) -> None:
    # Where the proxy bound its socket is nobody's business, and some proxies put anything there.
    for rest in (bytes(6), b"\xff" * 6):
        answer = b"\x00\x5a" + rest + BANNER
        assert await banner_through(socks4(*cut(answer)), kind) == BANNER


@pytest.mark.parametrize("count", range(8))
async def test_a_socks_4_proxy_that_goes_away_is_refused(
    count: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def script(visit: Visit) -> None:
        await visit.exactly(8)
        await visit.until(b"\0")
        await visit.say(socks4_reply(0x5A)[:count])

    error = await refused(open_tcp, "socks4", script, caplog)
    assert (error.step, error.code) == ("CONNECT", None)


# -- gRPC


@pytest.mark.parametrize("kind", ["http", "socks4", "socks5"])
async def test_the_first_frames_of_a_grpc_server_may_come_with_the_answer(kind: str) -> None:
    """grpcio speaks first: its SETTINGS are in the segment that grants the tunnel."""
    async with grpcio_server() as port:

        async def script(visit: Visit) -> None:
            if kind == "http":
                await visit.until(b"\r\n\r\n")
                answer = GRANTED
            elif kind == "socks4":
                await visit.exactly(8)
                await visit.until(b"\0")
                answer = socks4_reply(0x5A)
            else:
                await visit.exactly((await visit.exactly(2))[1])
                await visit.say(b"\x05\x00")
                await socks5_request(visit)
                answer = REPLY
            await visit.join(("127.0.0.1", port), answer)

        async with hostile_proxy(script) as proxy:
            address = f"127.0.0.1:{port}"
            async with grpc.connect(address, schema=note_schema(), proxy=url(kind, proxy)) as channel:
                replies = await asyncio.gather(
                    *(channel.unary(f"{SERVICE}/One", {"text": str(count)}) for count in range(20))
                )
    assert len(replies) == 20
