"""Where clients come in: a socket that listens or, at the same address, refuses.

Contract: the address is this proxy's from `open` to `close`, also while it refuses. Running out of descriptors pauses
accepting and does not end it.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from wirelane.core.target import Address, HostPort, UnixPath
from wirelane.errors import ConnectError
from wirelane.net.connect import describe_os_error
from wirelane.net.resolve import Endpoint, resolve

__all__ = ["Listener"]

logger = logging.getLogger("wirelane.testing.faults")

_BACKLOG: Final = 128
_ACCEPTS_PER_TURN: Final = 64
_RETRY_ACCEPT: Final = 0.05
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Listener:
    """The listening side of a proxy.

    Args:
        address: Where; port 0 takes a free one.
        on_client: Called with each socket that was accepted, which is non-blocking.
    """

    def __init__(self, address: Address, on_client: Callable[[socket.socket], None]) -> None:
        self.address = address
        self._on_client = on_client
        self._endpoint: Endpoint | None = None
        self._sock: socket.socket | None = None
        self._listening = False
        self._retry: asyncio.TimerHandle | None = None

    async def open(self, *, refusing: bool) -> None:
        """Take the address.

        Raises:
            ConnectError: It cannot be listened at.
            ResolveError: The name has no address.
        """
        if isinstance(self.address, UnixPath):
            self._endpoint = Endpoint(socket.AF_UNIX, self.address.path)
        else:
            self._endpoint = (await resolve(self.address.host, self.address.port, passive=True))[0]
        self._bind()
        self.refuse(refusing)

    def _bind(self) -> None:
        assert self._endpoint is not None
        sock = socket.socket(self._endpoint.family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(self._endpoint.address)
        except OSError as error:
            sock.close()
            raise ConnectError(
                f"the fault proxy cannot listen at {self.address}: {describe_os_error(error)}",
                address=str(self.address),
                attempts=[(str(self.address), error)],
            ) from error
        name = sock.getsockname()
        self._endpoint = Endpoint(self._endpoint.family, name)
        if isinstance(self.address, HostPort):
            self.address = HostPort(name[0], name[1])
        self._sock = sock

    def refuse(self, refusing: bool) -> None:
        """Refuse clients from now on, or take them. A socket that is bound and does not listen refuses."""
        if self._endpoint is None or refusing is not self._listening:
            return
        if refusing:
            self._close()
            self._bind()
            return
        assert self._sock is not None
        self._sock.listen(_BACKLOG)
        self._listening = True
        asyncio.get_running_loop().add_reader(self._sock, self._accept)

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_PER_TURN):
            if self._sock is None or not self._listening:
                return
            try:
                client, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._pause(error)
                    return
                continue  # the client went away while it waited (accept(2))
            client.setblocking(False)
            self._on_client(client)

    def _pause(self, error: OSError) -> None:
        loop = asyncio.get_running_loop()
        assert self._sock is not None
        loop.remove_reader(self._sock)
        self._retry = loop.call_later(_RETRY_ACCEPT, loop.add_reader, self._sock, self._accept)
        logger.warning("accepting at %s pauses for %g s: %s", self.address, _RETRY_ACCEPT, error.strerror)

    def _close(self) -> None:
        if self._sock is None:
            return
        if self._retry is not None:
            self._retry.cancel()
        if self._listening:
            asyncio.get_running_loop().remove_reader(self._sock)
        self._listening = False
        self._sock.close()
        self._sock = None
        if isinstance(self.address, UnixPath) and not self.address.path.startswith("\0"):
            with suppress(FileNotFoundError):  # removed by hand: as it should be
                os.unlink(self.address.path)

    def close(self) -> None:
        """Give the address up. Idempotent."""
        self._close()
        self._endpoint = None
