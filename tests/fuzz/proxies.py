"""Fuzz target for what a proxy answers, HTTP and SOCKS alike: a tunnel, or the documented error, however it is cut."""

from __future__ import annotations

import asyncio
import re

from wirelane.core.target import HostPort
from wirelane.errors import ConnectionLost, LimitExceeded, PeerError
from wirelane.net.proxy.config import ProxyConfig
from wirelane.net.proxy.http_connect import MAX_HEAD, Answer, AnswerReader
from wirelane.net.proxy.socks import Refusal, socks_handshake
from wirelane.net.proxy.tunnel import Tunnel

__all__ = ["proxies"]

_SOCKS = (
    ProxyConfig("socks4://user@p"),
    ProxyConfig("socks5://p"),
    ProxyConfig("socks5://user:password@p"),
)
_TARGET = HostPort("target.test", 443)
# 1xx heads but 101, which is a refusal, are passed over.
_HEAD = re.compile(
    rb"(?s)(?:HTTP/1\.[01] 1(?!01[ \r\n])[^\n]*\n(?:[^\n]+\n)*?\r?\n)*(HTTP/1\.[01] (?:[2-9]|101).*?\n)(?:[^\n]+\n)*?\r?\n"
)


def proxies(data: bytes) -> None:
    """A proxy's answer: an octet of kind, a stride, and the stream; cut and uncut agree, and no octet is lost."""
    if len(data) < 2:
        return
    kind, stride, stream = data[0] % 4, data[1] + 1, data[2:]
    pieces = [stream[start : start + stride] for start in range(0, len(stream), stride)]
    if kind == 3:
        cut = _http(pieces)
        assert cut == _http([stream])
        _check_http(cut, stream)
        return
    proxy = _SOCKS[kind]
    loop = asyncio.new_event_loop()
    try:
        cut_socks = loop.run_until_complete(_socks(proxy, pieces))
        assert cut_socks == loop.run_until_complete(_socks(proxy, [stream]))
    finally:
        loop.close()
    assert stream.endswith(cut_socks[1])


def _http(pieces: list[bytes]) -> tuple[object, bytes]:
    """Return the outcome, and what follows the answer."""
    reader = AnswerReader()
    for number, piece in enumerate(pieces):
        try:
            answer = reader.feed(piece)
        except (PeerError, LimitExceeded) as error:
            return type(error), b""
        if answer is not None:
            return answer, reader.rest + b"".join(pieces[number + 1 :])
        assert len(reader.rest) <= MAX_HEAD
    return None, b""


def _check_http(outcome: tuple[object, bytes], stream: bytes) -> None:
    answer, rest = outcome
    if not isinstance(answer, Answer):
        return
    match = _HEAD.match(stream)
    assert match is not None
    assert stream[match.end() :] == rest
    assert match[1][9:12] == b"%d" % answer.status


async def _socks(proxy: ProxyConfig, pieces: list[bytes]) -> tuple[str, bytes]:
    """Return what came of it, and what is left for who speaks through the tunnel."""
    tunnel = Tunnel()
    handshake = asyncio.ensure_future(socks_handshake(tunnel, proxy, _TARGET, lambda step: None))
    for piece in pieces:
        await asyncio.sleep(0)
        tunnel.data_received(piece)
    tunnel.eof_received()
    try:
        await handshake
    except Refusal as error:
        return f"{error.step} {error.code} {error}", b""
    except (PeerError, ConnectionLost) as error:
        return type(error).__name__, b""
    left = bytearray()
    while True:
        try:
            left += await tunnel.read()
        except PeerError:
            return "tunnel", bytes(left)
