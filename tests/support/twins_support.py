"""What the tests that exist with and without `await` share: servers in threads of their own, which know nothing of our loops."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from support.client_support import SERVICE

ONE, DOWN, UP, BOTH = (f"{SERVICE}/{name}" for name in ("One", "Down", "Up", "BothWays"))

Handler = Callable[[socket.socket], None]


@contextlib.contextmanager
def serving(handler: Handler) -> Iterator[str]:
    """A server of blocking sockets, a thread for each connection; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(16) as pool:

        def handle(client: socket.socket) -> None:
            with client, contextlib.suppress(ConnectionError):
                handler(client)

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                pool.submit(handle, client)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def echo(client: socket.socket) -> None:
    """Send back what comes."""
    while data := client.recv(65536):
        client.sendall(data)


def saying(data: bytes) -> Handler:
    """A handler that sends and closes."""
    return lambda client: client.sendall(data)
