"""What a client of TCP can rely on, one promise a test: first what everybody asks for, then what is seldom tried: written once, run with asyncio and without.

The other end is a plain one; where TLS or a proxy is in between, so it says.
"""

from __future__ import annotations

import hashlib
import pickle
import socket
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import pytest

from support.proxy_support import relay_proxy
from support.tcp_support import give_back, streams_server
from support.twins_support import echo, elsewhere, serving, sleep, start
from twins.tcp_support import came, one_by_one, pair
from wirelane import (
    ClosedError,
    CodecError,
    ConnectError,
    ConnectionLost,
    EndOfStream,
    LimitExceeded,
    ProxyConfig,
    ProxyError,
    ReadTimeout,
    ResolveError,
    SendTimeout,
    TlsConfig,
    TlsError,
    UsageError,
    WirelaneError,
    tcp,
)

if TYPE_CHECKING:
    from conftest import Certificates

GREETING = "Hello server!\n"
USERS = {"ann": "s3cret"}
SOON = 30.0


@pytest.fixture
async def echoing() -> AsyncIterator[str]:
    """Return the address of an echo."""
    with serving(echo) as address:
        yield address


@pytest.fixture
async def echoing_in_tls(ca: Certificates) -> AsyncIterator[str]:
    """Return the address of an echo that speaks TLS, by its name."""
    async with elsewhere(streams_server, give_back, ca.server_context()) as address:
        yield address.replace("127.0.0.1", "localhost")


async def test_a_connection_is_made_and_knows_both_of_its_ends(echoing: str) -> None:
    async with tcp.connect(echoing) as connection:
        assert isinstance(connection, tcp.Connection)
        assert str(connection.peer) == echoing
        assert str(connection.local).startswith("127.0.0.1:")
        assert echoing in repr(connection)
        assert not connection.closed


@pytest.mark.parametrize("verify", [True, False])
async def test_a_connection_is_made_in_tls_through_a_proxy_that_wants_a_password(
    echoing_in_tls: str, ca: Certificates, verify: bool
) -> None:
    tls = TlsConfig(ca=ca.ca) if verify else TlsConfig(verify=False)
    async with elsewhere(relay_proxy, "socks5", users=USERS) as proxy:
        async with tcp.connect(echoing_in_tls, tls=tls, proxy=proxy.url("ann:s3cret")) as connection:
            await connection.send_line("Echo this!")
            assert await connection.read_line(timeout=20) == "Echo this!"
            assert connection.tls
        assert proxy.targets == [echoing_in_tls]


async def test_closing_is_in_order_and_may_be_done_twice(ca: Certificates) -> None:
    async with pair() as (connection, peer):
        await connection.send(b"last words")
        await connection.close()
        await connection.close()
        assert connection.closed
        assert await peer.reader.read() == b"last words"
        for late in (
            lambda: connection.send(b"x"),
            connection.read,
            connection.read_line,
            connection.send_eof,
        ):
            with pytest.raises(ClosedError):
                await late()


async def test_a_connection_can_be_held_without_a_block(echoing: str) -> None:
    connection = await tcp.connect(echoing)
    try:
        await connection.send(b"abc")
        assert await connection.read_exactly(3, timeout=20) == b"abc"
    finally:
        await connection.close()


async def test_bytes_are_read_up_to_a_marker_and_with_it(echoing: str) -> None:
    async with tcp.connect(echoing) as connection:
        await connection.send(GREETING.encode())
        assert await connection.read(marker=b"\n", timeout=50) == GREETING.encode()


async def test_bytes_are_read_without_a_marker_as_they_come_and_not_later(echoing: str) -> None:
    """There is an answer: nobody waits for an hour."""
    async with tcp.connect(echoing) as connection:
        await connection.send(GREETING.encode())
        assert await connection.read(timeout=3600) == GREETING.encode()


async def test_a_line_is_sent_and_read_as_text(echoing: str) -> None:
    async with tcp.connect(echoing) as connection:
        await connection.send_line("Hello server!")
        assert await connection.read_line(timeout=50) == "Hello server!"
        await connection.send_line("exactly this", newline="")
        assert await connection.read_exactly(12, timeout=50) == b"exactly this"


async def test_one_request_is_one_answer(echoing: str) -> None:
    assert await tcp.request(echoing, "Echo this!\n") == b"Echo this!\n"
    assert await tcp.request(echoing, b"\x00\xff\n") == b"\x00\xff\n"


async def test_one_request_goes_in_tls_through_a_proxy(echoing_in_tls: str, ca: Certificates) -> None:
    async with elsewhere(relay_proxy, "socks5", users=USERS) as proxy:
        reply = await tcp.request(
            echoing_in_tls, "Echo this!\n", tls=TlsConfig(ca=ca.ca), proxy=proxy.url("ann:s3cret")
        )
        assert reply == b"Echo this!\n"
        assert proxy.connected == 1


async def test_a_request_whose_answer_is_the_whole_stream() -> None:
    def answer(client: socket.socket) -> None:
        client.sendall(b"one\n" + client.recv(100) + b"no newline at the end")

    with serving(answer) as address:
        assert await tcp.request(address, "two\n", marker=None) == b"one\ntwo\nno newline at the end"


def test_settings_are_values_that_show_no_secret() -> None:
    tls = TlsConfig(verify=False)
    assert "NOT VERIFIED" in repr(tls)
    proxy = ProxyConfig("socks5://127.0.0.1:1080", username="ann", password="s3cret")
    assert (proxy.kind, proxy.host, proxy.port) == ("socks5", "127.0.0.1", 1080)
    assert (proxy.username, proxy.password) == ("ann", "s3cret")
    assert ProxyConfig("socks5://ann:s3cret@127.0.0.1:1080") == proxy
    assert "s3cret" not in repr(proxy) + str(proxy)
    assert pickle.loads(pickle.dumps(proxy)) == proxy


@pytest.mark.parametrize(
    ("address", "options"),
    [
        ("no port", {}),
        ("localhost:99999", {}),
        ("localhost:1", {"proxy": "gopher://localhost:1"}),
        ("localhost:1", {"proxy": "localhost:1080"}),
        ("localhost:1", {"tls": "yes"}),
        ("localhost:1\r\nX: y", {"proxy": "http://localhost:1"}),
    ],
)
def test_settings_that_make_no_sense_are_refused_before_anything_happens(address: str, options) -> None:
    with pytest.raises(UsageError):
        tcp.connect(address, **options)


async def test_an_error_is_raised_once_and_the_connection_goes_on(echoing: str) -> None:
    async with tcp.connect(echoing) as connection:
        await connection.send(b"half a li")
        with pytest.raises(ReadTimeout) as caught:
            await connection.read_line(timeout=0.2)
        assert isinstance(caught.value, TimeoutError)
        await connection.send(b"ne\n")
        assert await connection.read_line(timeout=20) == "half a line"


async def test_nobody_there_and_no_such_name_are_different_errors() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(ConnectError) as refused:
        await tcp.connect(address)
    assert isinstance(refused.value, OSError)
    assert address in str(refused.value)
    assert [type(cause) for _, cause in refused.value.attempts] == [ConnectionRefusedError]
    with pytest.raises(ResolveError) as unknown:
        await tcp.connect("no-such-name.invalid:1")
    assert "no-such-name.invalid" in str(unknown.value)
    for error in (refused.value, unknown.value):
        assert isinstance(error, WirelaneError)
        assert str(pickle.loads(pickle.dumps(error))) == str(error)


async def test_a_timeout_is_for_the_whole_read_and_not_for_each_piece() -> None:
    async with pair() as (connection, peer):
        dripping = start(peer.drip, SOON)
        with pytest.raises(ReadTimeout) as caught:
            await connection.read_line(timeout=0.3)
        peer.quiet = True
        sent = await dripping.result()
        assert 0 < len(caught.value.partial) <= len(sent)
        # None of them is lost.
        assert await connection.read_exactly(len(sent), timeout=20) == sent


async def test_a_timeout_of_zero_takes_what_is_here() -> None:
    async with pair() as (connection, peer):
        for read in (lambda: connection.read(timeout=0), lambda: connection.read_line(timeout=0)):
            with pytest.raises(ReadTimeout):
                await read()
        await peer.say(b"here\nand more")
        await came(connection, 13)
        assert await connection.read_line(timeout=0) == "here"
        assert await connection.read(timeout=0) == b"and more"


async def test_a_size_is_exact_and_what_is_beyond_it_stays() -> None:
    async with pair() as (connection, peer):
        await peer.say(b"0123456789abcdef")
        assert await connection.read(max_bytes=10, timeout=20) == b"0123456789"
        assert await connection.read(max_bytes=6, timeout=20) == b"abcdef"


async def test_messages_that_come_together_are_read_one_by_one() -> None:
    async with pair() as (connection, peer):
        await peer.say(b"one\ntwo\nthree\nfo", b"ur\n")
        lines = [await connection.read_line(timeout=20) for _ in range(4)]
        assert lines == ["one", "two", "three", "four"]


@pytest.mark.parametrize("marker", [b"\r\n.\r\n", b"\x00", b"\xff\x00\xff", b"aab"])
async def test_a_marker_is_found_wherever_it_is_cut(marker: bytes) -> None:
    message = b"aa\xff text \r\n. " + marker
    for at in range(1, len(message) + 3):
        stream = message + b"next" + marker
        async with pair() as (connection, peer):
            await one_by_one(connection, peer, stream[:at], stream[at:])
            assert await connection.read(marker=marker, timeout=20) == message
            assert await connection.read(marker=marker, keep_marker=False, timeout=20) == b"next"


async def test_of_several_markers_the_first_to_end_counts() -> None:
    async with pair() as (connection, peer):
        await peer.say(b"a;b\nc\r\nd")
        markers = (b"\r\n", b"\n", b";")
        read = [await connection.read(marker=markers, keep_marker=False, timeout=20) for _ in range(3)]
        assert read == [b"a", b"b", b"c"]


async def test_size_and_marker_together_end_at_what_comes_first() -> None:
    async with pair() as (connection, peer):
        await peer.say(b"ab\nabcdef\n")
        assert await connection.read(max_bytes=4, marker=b"\n", timeout=20) == b"ab\n"
        assert await connection.read(max_bytes=4, marker=b"\n", timeout=20) == b"abcd"
        assert await connection.read(max_bytes=4, marker=b"\n", timeout=20) == b"ef\n"


async def test_a_stream_without_a_marker_is_bounded_and_the_peer_has_to_wait() -> None:
    async with pair() as (connection, peer):
        flooding = start(peer.flood, b"x" * 65_536)
        with pytest.raises(LimitExceeded) as caught:
            await connection.read_line(max_bytes=100_000, timeout=20)
        assert caught.value.maximum == 100_000
        assert set(caught.value.partial) == set(b"x")
        assert not flooding.done()
        connection.abort()
        await flooding.result()


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "cp1251", "koi8-r", "utf-16"]
)
async def test_lines_are_sent_and_read_in_any_encoding(echoing: str, encoding: str) -> None:
    async with tcp.connect(echoing) as connection:
        # In UTF-16 the octets of a line feed are also halves of these: U+0A0A, U+0D0A.
        for text in (
            "Привет, сервер!",
            "" if encoding in {"cp1251", "koi8-r"} else "\u0a0a\u0d0a\u0a00",
            "x",
        ):
            await connection.send_line(text, encoding=encoding)
            assert await connection.read_line(encoding=encoding, timeout=20) == text


async def test_a_marker_is_looked_for_in_the_encoding_of_the_line() -> None:
    async with pair() as (connection, peer):
        await peer.say("один¶два¶".encode("utf-16-le"))
        assert await connection.read_line("utf-16-le", marker="¶", timeout=20) == "один"
        assert await connection.read_line("utf-16-le", marker="¶", timeout=20) == "два"


async def test_what_is_no_text_stays_and_can_be_read_as_bytes() -> None:
    async with pair() as (connection, peer):
        await peer.say(b"\xff\xfe no utf-8\nnext\n")
        with pytest.raises(CodecError):
            await connection.read_line(timeout=20)
        assert await connection.read(marker=b"\n", timeout=20) == b"\xff\xfe no utf-8\n"
        assert await connection.read_line(timeout=20) == "next"
        with pytest.raises(CodecError):
            await connection.send_line("Привет", encoding="ascii")


async def test_an_end_a_loss_and_a_timeout_are_told_apart() -> None:
    async def read_after(act: Callable[[Any], object]) -> WirelaneError:
        async with pair() as (connection, peer):
            await peer.say(b"part")
            await came(connection, 4)
            act(peer)
            with pytest.raises(WirelaneError) as caught:
                await connection.read_line(timeout=0.3)
            assert caught.value.partial == b"part"  # type: ignore[attr-defined]
            assert await connection.read(4) == b"part"
            return caught.value

    assert type(await read_after(lambda peer: peer.writer.write_eof())) is EndOfStream
    assert type(await read_after(lambda peer: peer.reset())) is ConnectionLost
    assert type(await read_after(lambda peer: None)) is ReadTimeout


async def test_a_half_close_is_an_end_for_the_peer_and_not_for_us() -> None:
    async with pair() as (connection, peer):
        await connection.send(b"the question")
        await connection.send_eof()
        assert await peer.reader.read() == b"the question"
        await peer.say(b"the ", b"answer")
        peer.writer.write_eof()
        assert await connection.read_until_eof(timeout=20) == b"the answer"
        with pytest.raises(UsageError):
            await connection.send(b"one more thing")


async def test_sending_to_a_peer_that_has_gone_fails_and_does_not_fall_silent() -> None:
    async with pair() as (connection, peer):
        peer.reset()
        with pytest.raises(ConnectionLost):
            while True:
                await connection.send(b"is anybody there?", timeout=20)
                await sleep(0)


async def test_sending_to_a_peer_that_does_not_read_ends_in_time() -> None:
    async with pair() as (connection, _):
        with pytest.raises(SendTimeout) as caught:
            await connection.send(bytes(50_000_000), timeout=0.3)
        assert 0 < caught.value.unsent < 50_000_000
        connection.abort()


async def test_a_large_message_is_sent_whole(echoing: str) -> None:
    blob = b"".join(b"%d," % number for number in range(700_000))
    async with tcp.connect(echoing) as connection:
        sending = start(connection.send, blob, timeout=30)
        received = await connection.read_exactly(len(blob), timeout=30)
        await sending.result()
    assert hashlib.sha256(received).digest() == hashlib.sha256(blob).digest()


@pytest.mark.parametrize("kind", ["http", "socks4", "socks5"])
async def test_every_kind_of_proxy_brings_the_first_words_of_the_server(kind: str) -> None:
    def greet(client: socket.socket) -> None:
        client.sendall(b"220 first\r\n")
        echo(client)

    with serving(greet) as address:
        async with elsewhere(relay_proxy, kind) as proxy:
            async with tcp.connect(address, proxy=proxy.url()) as connection:
                assert await connection.read_line(marker="\r\n", timeout=20) == "220 first"
                await connection.send_line("and then")
                assert await connection.read_line(timeout=20) == "and then"
            assert proxy.targets == [address]


@pytest.mark.parametrize(("kind", "code"), [("http", 407), ("socks5", 1)])
async def test_a_proxy_that_refuses_is_an_error_of_its_own(echoing: str, kind: str, code: int) -> None:
    async with elsewhere(relay_proxy, kind, users=USERS) as proxy:
        with pytest.raises(ProxyError) as caught:
            await tcp.connect(echoing, proxy=proxy.url("ann:wrong"))
        assert proxy.targets == []
    assert (caught.value.kind, caught.value.step, caught.value.code) == (kind, "authentication", code)
    assert "wrong" not in str(caught.value) + repr(caught.value)


async def test_a_certificate_is_verified_by_the_name_that_was_asked_for(
    echoing_in_tls: str, ca: Certificates, other_ca: Certificates
) -> None:
    async with tcp.connect(echoing_in_tls, tls=TlsConfig(ca=ca.ca)) as connection:
        assert connection.peer_certificate is not None
    with pytest.raises(TlsError, match="certificate"):
        await tcp.connect(echoing_in_tls, tls=TlsConfig(ca=other_ca.ca))
    with pytest.raises(TlsError, match="certificate"):
        await tcp.connect(echoing_in_tls, tls=True)
    with pytest.raises(TlsError, match=r"other\.test"):
        await tcp.connect(echoing_in_tls, tls=TlsConfig(ca=ca.ca), server_name="other.test")
