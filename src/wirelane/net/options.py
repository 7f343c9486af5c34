"""`SocketOptions`: what few connections need to change about their socket."""

from __future__ import annotations

import ipaddress
import math
import socket
from dataclasses import dataclass

from wirelane.errors import UsageError

__all__ = ["SocketOptions"]


_MOST_INT = 2**31 - 1  # the options of sockets are C ints
_MOST_KEEPALIVE = 32_767  # MAX_TCP_KEEPIDLE of Linux
_MOST_USER_TIMEOUT = _MOST_INT // 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketOptions:
    """Settings of a connection's socket. Those of TCP do nothing to a Unix socket.

    Attributes:
        local_address: The IP address of this end, with a port as in "192.0.2.1:4000" or "[2001:db8::1]:4000" if that
            matters; None: the system chooses. Addresses of the other family are not tried then.
        nodelay: Send at once, without waiting for more to send along (TCP_NODELAY; Nagle's algorithm is off).
        keepalive: Have the system probe a silent peer: True at its own pace (Linux: after two hours), or the seconds of
            silence before the first probe, at most 32,767; then as many seconds between probes as a tenth of that, at
            least 1, and five of them. False: never.
        user_timeout: Seconds that what was sent may stay unacknowledged before the connection is cut (TCP_USER_TIMEOUT, RFC
            5482); None: what the system allows.
        receive_buffer: Bytes of the system's buffer for what comes (SO_RCVBUF); None: it sizes it itself, which is
            faster on most networks.
        send_buffer: The same for what is sent (SO_SNDBUF).

    Raises:
        UsageError: A value is out of range; the error names the field.
    """

    local_address: str | None = None
    nodelay: bool = True
    keepalive: bool | float = True
    user_timeout: float | None = None
    receive_buffer: int | None = None
    send_buffer: int | None = None

    def __post_init__(self) -> None:
        self.bind_address  # noqa: B018 - raises if it is none
        if not isinstance(self.nodelay, bool):
            raise UsageError(f"nodelay is True or False, not {self.nodelay!r}")
        if not isinstance(self.keepalive, bool):
            _check_seconds("keepalive", self.keepalive, _MOST_KEEPALIVE)
        if self.user_timeout is not None:
            _check_seconds("user_timeout", self.user_timeout, _MOST_USER_TIMEOUT)
        for name in ("receive_buffer", "send_buffer"):
            size = getattr(self, name)
            if size is None:
                continue
            if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= _MOST_INT:
                raise UsageError(f"{name} is a number of bytes from 1 to {_MOST_INT}, or None; not {size!r}")

    @property
    def bind_address(self) -> tuple[str, int] | None:
        """`local_address` as host and port, 0 for any."""
        text = self.local_address
        if text is None:
            return None
        host, port = str(text), "0"
        if host.startswith("["):
            host, _, rest = host[1:].partition("]")
            port = rest.removeprefix(":") or "0"
        elif host.count(":") == 1:
            host, _, port = host.partition(":")
        try:
            ipaddress.ip_address(host)
            number = int(port) if port.isascii() and port.isdigit() else -1
        except ValueError:
            number = -1
        if not 0 <= number <= 65_535:
            raise UsageError(
                f"local_address is an IP address of this machine, as in '192.0.2.1' or '192.0.2.1:4000', not {text!r}"
            )
        return host, number

    def apply(self, sock: socket.socket) -> None:
        """Set all of it but the address. Raises OSError if the system refuses."""
        for name, option in (("receive_buffer", socket.SO_RCVBUF), ("send_buffer", socket.SO_SNDBUF)):
            if (size := getattr(self, name)) is not None:
                sock.setsockopt(socket.SOL_SOCKET, option, size)
        if sock.family not in {socket.AF_INET, socket.AF_INET6}:
            return
        if self.nodelay:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.keepalive is not False:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self.keepalive is not True:
                _probe(sock, self.keepalive)
        if self.user_timeout is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, round(self.user_timeout * 1000))
            )


def _probe(sock: socket.socket, silence: float) -> None:
    first = max(1, math.ceil(silence))
    between = max(1, math.ceil(silence / 10))
    for name, value in (("TCP_KEEPIDLE", first), ("TCP_KEEPINTVL", between), ("TCP_KEEPCNT", 5)):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _check_seconds(name: str, value: object, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
        raise UsageError(f"{name} is a number of seconds above 0, at most {most}, not {value!r}")
