"""Listening sockets: every address of a name on one port, and Unix sockets that clean up after themselves."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterable
from dataclasses import dataclass, replace

from wirelane.core.target import Address, HostPort, UnixPath
from wirelane.errors import ConnectError, UsageError
from wirelane.net.connect import describe_os_error
from wirelane.net.resolve import Endpoint, resolve

__all__ = ["Bound", "bind"]

_NOT_HERE = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
_SAME_PORT_TRIES = 16
_IN_USE_HINT = "another process listens there; port 0 picks a free port"


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """A listening socket, and what to clean up with it."""

    sock: socket.socket
    address: Address
    file: tuple[int, int] | None = None
    """Device and inode of the socket file that is ours to remove."""

    def close(self) -> None:
        """Close the socket, and remove its file unless somebody has put another one there."""
        self.sock.close()
        if self.file is None or not isinstance(self.address, UnixPath):
            return
        try:
            state = os.stat(self.address.path)
            if (state.st_dev, state.st_ino) == self.file:
                os.unlink(self.address.path)
        except FileNotFoundError:
            pass  # removed by hand: as it should be


async def bind(address: Address, *, backlog: int, reuse_port: bool = False) -> list[Bound]:
    """Return sockets that listen at every address that `address` stands for.

    Raises:
        ConnectError: One of them cannot be listened at. A family that this machine does not have is left out.
        ResolveError: The name has no address.
    """
    if isinstance(address, UnixPath):
        return [_bind_unix(address, backlog)]
    if not isinstance(address, HostPort):
        raise UsageError(
            f"cannot listen at a {type(address).__name__}; parse_listen() makes addresses of text"
        )
    endpoints = await resolve(address.host, address.port, passive=True)
    for _ in range(_SAME_PORT_TRIES):
        try:
            return _bind_all(address, endpoints, backlog, reuse_port)
        except ConnectError as exc:
            # Port 0: the port chosen for the first address may be taken at the next one.
            if address.port or exc.errno != errno.EADDRINUSE or len(endpoints) == 1:
                raise
    raise ConnectError(
        f"cannot listen at {address}: found no port that is free at every address", address=str(address)
    )


def _bind_all(
    address: HostPort, endpoints: Iterable[Endpoint], backlog: int, reuse_port: bool
) -> list[Bound]:
    bound: list[Bound] = []
    port = address.port
    failures: list[tuple[str, OSError]] = []
    try:
        for endpoint in endpoints:
            endpoint = _with_port(endpoint, port)
            try:
                sock = _bind_one(endpoint, backlog, reuse_port, dual=address.host == "::")
            except OSError as exc:
                failures.append((str(endpoint), exc))
                if exc.errno in _NOT_HERE:
                    continue
                raise _cannot(address, failures[-1:]) from exc
            port = sock.getsockname()[1]
            bound.append(Bound(sock, _with_port(endpoint, port).target))
        if not bound:
            raise _cannot(address, failures) from failures[-1][1]
    except BaseException:
        for one in bound:
            one.close()
        raise
    return bound


def _with_port(endpoint: Endpoint, port: int) -> Endpoint:
    assert not isinstance(endpoint.address, str)
    return replace(endpoint, address=(endpoint.address[0], port, *endpoint.address[2:]))


def _bind_one(endpoint: Endpoint, backlog: int, reuse_port: bool, *, dual: bool) -> socket.socket:
    sock = socket.socket(endpoint.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        # Without it a restarted server waits a minute for the old connections' TIME_WAIT.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if endpoint.family == socket.AF_INET6:
            # "[::]" alone means both families, as in other gRPC servers; beside an IPv4 socket only its own.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not dual)
        sock.bind(endpoint.address)
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def _bind_unix(address: UnixPath, backlog: int) -> Bound:
    named = not address.path.startswith("\0")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if named:
            _remove_stale(address)
        sock.bind(address.path)
        file = None
        if named:
            state = os.stat(address.path)
            file = (state.st_dev, state.st_ino)
        sock.listen(backlog)
    except OSError as exc:
        sock.close()
        raise _cannot(address, [(str(address), exc)]) from exc
    except BaseException:
        sock.close()
        raise
    return Bound(sock, address, file)


def _remove_stale(address: UnixPath) -> None:
    """Remove a socket file that nobody listens at; leave everything else for bind() to stumble over."""
    try:
        if not stat.S_ISSOCK(os.stat(address.path).st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(address.path)
        except ConnectionRefusedError:
            os.unlink(address.path)
        except BlockingIOError:
            pass  # its queue is full: somebody listens


def _cannot(address: Address, failures: list[tuple[str, OSError]]) -> ConnectError:
    said = "; ".join(
        describe_os_error(exc) if where == str(address) else f"{where}: {describe_os_error(exc)}"
        for where, exc in failures
    )
    in_use = _IN_USE_HINT if isinstance(address, HostPort) else _IN_USE_HINT.partition(";")[0]
    hint = f" ({in_use})" if failures[-1][1].errno == errno.EADDRINUSE else ""
    return ConnectError(f"cannot listen at {address}: {said}{hint}", address=str(address), attempts=failures)
