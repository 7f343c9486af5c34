"""Sockets: the addresses of a target tried in turn until one answers (RFC 8305, Happy Eyeballs)."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from wirelane.core.target import Address, HostPort, UnixPath
from wirelane.errors import ConnectError, UsageError, WirelaneError
from wirelane.net.options import SocketOptions
from wirelane.net.resolve import Endpoint, interleave, resolve

__all__ = ["ATTEMPT_DELAY", "Dialing", "connect", "describe_os_error"]

ATTEMPT_DELAY = 0.25
"""Seconds before the next address is tried beside the last one (RFC 8305 section 5, gRFC A61)."""

_UNDER_WAY = (errno.EINPROGRESS, errno.EINTR, errno.EWOULDBLOCK)


@dataclass(slots=True)
class Dialing:
    """How far one `dial` has come; what its errors are made of.

    Attributes:
        options: Of the socket.
        step: "resolve", "connect" or "TLS handshake".
        attempts: The addresses that failed, and how.
        trying: The addresses that have not answered yet.
        connected: The address that answered.
        heard: It has sent something in the handshake.
        late: Makes the error of a proxy that takes too long, while it is a proxy that is waited for.
    """

    address: Address
    options: SocketOptions = field(default_factory=SocketOptions)
    step: str = "resolve"
    attempts: list[tuple[str, BaseException]] = field(default_factory=list)
    trying: list[str] = field(default_factory=list)
    connected: Endpoint | None = None
    heard: bool = False
    late: Callable[[float], WirelaneError] | None = None

    def failed(self) -> ConnectError:
        said = [(where, describe_os_error(exc)) for where, exc in self.attempts]
        if len(said) == 1 and said[0][0] == str(self.address):
            text = f"cannot connect to {self.address}: {said[0][1]}"
        else:
            text = (
                f"cannot connect to {self.address} ({'; '.join(f'{where}: {what}' for where, what in said)})"
            )
        error = ConnectError(text, address=str(self.address), attempts=self.attempts)
        error.__cause__ = self.attempts[-1][1] if self.attempts else None
        return error

    def timed_out(self, seconds: float) -> WirelaneError:
        if self.late is not None:
            return self.late(seconds)
        limit = f"{seconds:g} s"
        attempts = self.attempts + [(where, TimeoutError("no answer in time")) for where in self.trying]
        match self.step:
            case "resolve":
                what = f"resolving the name took longer than {limit}"
            case "connect":
                said = "; ".join(f"{where}: {describe_os_error(exc)}" for where, exc in attempts)
                what = f"no connection within {limit} ({said})"
            case _:
                where = self.connected or f"{self.address} through the proxy"
                what = f"connected to {where}, but the TLS handshake was not over within {limit}"
                if not self.heard:
                    what += "; the server sent nothing: check that this port speaks TLS"
        return ConnectError(
            f"cannot connect to {self.address}: {what}", address=str(self.address), attempts=attempts
        )


async def connect(dialing: Dialing) -> socket.socket:
    """Return a connected, non-blocking socket. Cancel-safe: no socket is left.

    Raises:
        ResolveError: The name has no address.
        ConnectError: No address answered.
    """
    address = dialing.address
    if isinstance(address, UnixPath):
        endpoints = [Endpoint(socket.AF_UNIX, address.path)]
    elif isinstance(address, HostPort):
        endpoints = interleave(await resolve(address.host, address.port))
    else:
        raise UsageError(f"cannot dial a {type(address).__name__}; parse_target() makes addresses of text")
    dialing.step = "connect"
    race = _Race(dialing)
    try:
        await race.run(endpoints)
        if race.winner is None:
            raise dialing.failed()
    except BaseException:
        # The winner may have come in while the others were being stopped.
        if race.winner is not None:
            race.winner.close()
        raise
    return race.winner


class _Race:
    """The attempts of one dial: started one after the other, the first to connect is the winner."""

    def __init__(self, dialing: Dialing) -> None:
        self.winner: socket.socket | None = None
        self._dialing = dialing

    async def run(self, endpoints: Sequence[Endpoint]) -> None:
        if len(endpoints) == 1:
            await self._attempt(endpoints[0])
            return
        waiting = list(reversed(endpoints))
        running: set[asyncio.Task[None]] = set()
        try:
            while self.winner is None and (waiting or running):
                if waiting:
                    running.add(asyncio.create_task(self._attempt(waiting.pop())))
                done, running = await asyncio.wait(
                    running,
                    timeout=ATTEMPT_DELAY if waiting else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for task in done:
                    task.result()
        finally:
            for task in running:
                task.cancel()
            if running:
                await asyncio.wait(running)  # each closes its socket as it is cancelled

    async def _attempt(self, endpoint: Endpoint) -> None:
        dialing = self._dialing
        where = str(endpoint)
        dialing.trying.append(where)
        try:
            sock = socket.socket(endpoint.family, socket.SOCK_STREAM)
        except OSError as exc:  # the family is not supported here, or no descriptor is left
            self._failed(where, exc)
            return
        try:
            sock.setblocking(False)
            dialing.options.apply(sock)
            _bind(sock, dialing.options)
            await _connected(sock, endpoint)
            _refuse_self(sock, endpoint)
        except OSError as exc:
            sock.close()
            self._failed(where, exc)
            return
        except BaseException:
            sock.close()
            raise
        if self.winner is None:
            self.winner = sock
            dialing.connected = endpoint
        else:
            sock.close()

    def _failed(self, where: str, exc: OSError) -> None:
        self._dialing.trying.remove(where)
        self._dialing.attempts.append((where, exc))


async def _connected(sock: socket.socket, endpoint: Endpoint) -> None:
    """Connect to an address that needs no looking up, as `loop.sock_connect` does.

    uvloop's own looks it up nevertheless: without its scope, and in threads of libuv. A forked child has none of these threads, and
    waits for them when it ends: for ever, or until it crashes (libuv issue 4443).
    """
    loop = asyncio.get_running_loop()
    if endpoint.family == socket.AF_UNIX or sys.platform == "win32":
        await loop.sock_connect(sock, endpoint.address)
        return
    code = sock.connect_ex(endpoint.address)
    if code in _UNDER_WAY:
        writable = loop.create_future()
        loop.add_writer(sock, _settle, writable)
        try:
            await writable
        finally:
            loop.remove_writer(sock)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))


def _settle(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _bind(sock: socket.socket, options: SocketOptions) -> None:
    address = options.bind_address
    if address is None or sock.family == socket.AF_UNIX:
        return
    if (":" in address[0]) != (sock.family == socket.AF_INET6):
        raise OSError(errno.EAFNOSUPPORT, "the local address is of the other family")
    sock.bind(address)


def _refuse_self(sock: socket.socket, endpoint: Endpoint) -> None:
    """Refuse a connection of a socket with itself.

    That is what TCP makes of connecting to a free local port, if the system happens to choose the same one for
    this end (simultaneous open, RFC 9293 section 3.5).
    """
    if endpoint.family == socket.AF_UNIX:
        return
    try:
        itself = sock.getsockname() == sock.getpeername()
    except OSError as exc:
        if exc.errno != errno.ENOTCONN:
            raise
        # It was accepted, and is gone already.
        raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)) from exc
    if itself:
        raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))


def describe_os_error(exc: BaseException) -> str:
    """Return "connection refused" and the like."""
    if isinstance(exc, OSError) and exc.errno and exc.errno > 0:
        text = os.strerror(exc.errno)
        return text[:1].lower() + text[1:] if not text[:2].isupper() else text
    return str(exc) or type(exc).__name__
