"""SOCKS 4, 4a and 5: python-socks makes the requests and reads the replies, on our stream.

Its public `Proxy` connects by a `forward` proxy's `connect`, which returns a stream with `write`, `read_exactly` and
`close`: here that is the stream to the proxy, which is there already. It reads no octet beyond its replies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

from wirelane.core.target import HostPort
from wirelane.errors import PeerError
from wirelane.net.proxy.config import ProxyConfig

if TYPE_CHECKING:
    from wirelane.net.proxy.tunnel import Tunnel

__all__ = ["Refusal", "socks_handshake"]

# python-socks wants a number; the time is kept by who dials.
_NO_TIMEOUT: Final = 10.0**6

# RFC 1928 section 6; the SOCKS 4 protocol has its own.
_REPLIES: Final[dict[int, str]] = {
    1: "general SOCKS server failure",
    2: "connection not allowed by ruleset",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "TTL expired",
    7: "command not supported",
    8: "address type not supported",
    0x5B: "request rejected or failed",
    0x5C: "request rejected: the proxy cannot reach identd on this machine",
    0x5D: "request rejected: identd names another user",
}
_GREETING: Final = "greeting"
_AUTHENTICATION: Final = "authentication"
_CONNECT: Final = "CONNECT"


class Refusal(PeerError):
    """What a SOCKS proxy said instead of yes.

    Attributes:
        step: "greeting", "authentication" or "CONNECT".
        code: Of the reply; None if it was none.
    """

    def __init__(self, message: str, *, step: str, code: int | None = None) -> None:
        super().__init__(message)
        self.step = step
        self.code = code


class _Conversation:
    """The stream that python-socks sees. It takes note of which step this is, and of the reply to it."""

    def __init__(self, tunnel: Tunnel, proxy: ProxyConfig, at: Callable[[str], None]) -> None:
        self._tunnel = tunnel
        self._proxy = proxy
        self._at = at
        self.version = 4 if proxy.kind.startswith("socks4") else 5
        self.reply = b""
        self._begin(_GREETING if self.version == 5 else _CONNECT)

    def _begin(self, step: str) -> None:
        self.step = step
        self._at(step)

    async def connect(self, **_: object) -> _Conversation:
        return self

    async def write(self, data: bytes) -> None:
        if self.reply:  # the second request, or the third
            self._begin(_AUTHENTICATION if data[0] == 1 else _CONNECT)
            self.reply = b""
        await self._tunnel.write(data)

    async def read_exactly(self, n: int) -> bytes:
        data = await self._tunnel.read_exactly(n)
        self.reply += data
        return data

    async def close(self) -> None:
        """Nothing: the tunnel is its owner's to close."""

    def refusal(self, said: object) -> Refusal:
        """Return what this reply says, and what to make of it."""
        reply, step = self.reply, self.step
        if len(reply) < 2:
            return Refusal(str(said), step=step)
        version, code = reply[0], reply[1]
        if version != {_GREETING: 5, _AUTHENTICATION: 1}.get(step, 5 if self.version == 5 else 0):
            # What follows the first two may be the user, given back.
            shown = bytes(reply[: 8 if self._proxy.username is None else 2])
            text = f"it answered with {shown!r}, which is no SOCKS {self.version}; is it a SOCKS proxy?"
            return Refusal(text, step=step)
        if step == _GREETING and code == 0xFF:
            return Refusal(
                "it accepts none of the ways to authenticate that were offered",
                step=_AUTHENTICATION,
                code=code,
            )
        if step == _AUTHENTICATION:
            return Refusal("it refused the user and password", step=step, code=code)
        if step == _CONNECT and code in _REPLIES:
            return Refusal(_REPLIES[code], step=step, code=code)
        if step == _CONNECT and code not in {0, 0x5A}:
            return Refusal(f"it answered with the unknown code {code}", step=step, code=code)
        return Refusal(f"it broke the protocol: {said}", step=step)


async def socks_handshake(
    tunnel: Tunnel, proxy: ProxyConfig, target: HostPort, at: Callable[[str], None]
) -> None:
    """Ask for a tunnel to `target`, whose host is a name only if the proxy resolves names; `at` is told each step.

    Raises:
        Refusal: The proxy refused, or is no such proxy.
        PeerError, ConnectionLost: It went away.
    """
    from python_socks import ProxyError as SocksError
    from python_socks import ProxyType
    from python_socks.async_.asyncio.v2 import Proxy

    conversation = _Conversation(tunnel, proxy, at)
    client = Proxy(
        ProxyType.SOCKS4 if conversation.version == 4 else ProxyType.SOCKS5,
        proxy.host,
        proxy.port,
        username=proxy.username,
        password=proxy.password,
        rdns=True,
        forward=cast(Any, conversation),
    )
    try:
        await client.connect(target.host, target.port, timeout=_NO_TIMEOUT)
    except SocksError as exc:
        raise conversation.refusal(exc) from None
    except (PeerError, OSError):
        raise
    except ValueError as exc:  # a bound address that cannot be read
        raise conversation.refusal(f"malformed reply ({type(exc).__name__})") from None
