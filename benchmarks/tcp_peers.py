"""TCP clients beside each other, against one server that is none of them: lines, blocks, echo, idle connections.

`MODULE LOOP serve` and `MODULE LOOP WHO PORT CASE`; the server, and a client that blocks, have no use for LOOP. A client says in its first line what it wants:

- `lines N`: N lines of 64 bytes;
- `blocks N SIZE`: so many bytes;
- `echo`: all that it sends, as it comes.

One that says nothing is held open.
"""

from __future__ import annotations

import asyncio
import selectors
import socket
import sys
import threading
from collections.abc import Awaitable, Callable

from benchmarks import profiling, work
from wirelane import tcp
from wirelane.sync import tcp as sync_tcp

LINE = b"x" * 63 + b"\n"
LINES = LINE * 1000
BLOCK = bytes(256 * 1024)
# Connections that are made at once, of those that are held: fewer than wait for a server to accept them.
AT_ONCE = 50
# The client that blocks.
BLOCKING = "wirelane.sync"


# -- the server


def _answer(connection: socket.socket) -> None:
    """Do what the first line asks for. In a thread: there is no event loop in this server."""
    connection.setblocking(True)
    with connection, connection.makefile("rb", buffering=0) as asked:
        what, *numbers = asked.readline().decode().split()
        if what == "echo":
            while data := connection.recv(65536):
                connection.sendall(data)
            return
        piece, size = (LINES, len(LINE)) if what == "lines" else (BLOCK, int(numbers[1]))
        left = int(numbers[0]) * size
        while left > 0:
            connection.sendall(piece[:left])
            left -= len(piece)


def serve() -> None:
    """Accept connections, and give each a thread once it says what it wants."""
    work.allow_many_files()
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    work.announce(listener.getsockname()[1])
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                ready = key.fileobj
                assert isinstance(ready, socket.socket)
                if ready is listener:
                    connection, _ = listener.accept()
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    selector.register(connection, selectors.EVENT_READ)
                    continue
                selector.unregister(ready)
                if ready.recv(1, socket.MSG_PEEK):
                    threading.Thread(target=_answer, args=(ready,), daemon=True).start()
                else:
                    ready.close()


# -- what clients do, each with the means of its library


async def stream_reader(port: int, case: work.Case, count: int) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(_asked(case, count))
    done = count
    if case.kind == "tcp_lines":
        done = 0
        while await reader.readline():
            done += 1
    elif case.kind == "tcp_blocks":
        for _ in range(count):
            await reader.readexactly(case.payload)
    else:
        message = bytes(case.payload)
        for _ in range(count):
            writer.write(message)
            await writer.drain()
            await reader.readexactly(case.payload)
    writer.close()
    await writer.wait_closed()
    return done


async def anyio_stream(port: int, case: work.Case, count: int) -> int:
    import anyio
    from anyio.streams.buffered import BufferedByteReceiveStream

    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(_asked(case, count))
        buffered = BufferedByteReceiveStream(stream)
        if case.kind == "tcp_lines":
            for _ in range(count):
                await buffered.receive_until(b"\n", 65536)
        elif case.kind == "tcp_blocks":
            for _ in range(count):
                await buffered.receive_exactly(case.payload)
        else:
            message = bytes(case.payload)
            for _ in range(count):
                await stream.send(message)
                await buffered.receive_exactly(case.payload)
    return count


class _Pings(asyncio.Protocol):
    """The least that an echo client can be: the answer to a message is the next one, with nobody woken in between."""

    def __init__(self, case: work.Case, count: int) -> None:
        self._first = _asked(case, count)
        self._message = bytes(case.payload)
        self._size = case.payload
        self._left = count
        self._came = 0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        transport.write(self._first)  # type: ignore[attr-defined]
        transport.write(self._message)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._came += len(data)
        if self._came < self._size:
            return
        self._came -= self._size
        self._left -= 1
        if self._left:
            self._transport.write(self._message)  # type: ignore[attr-defined]
        else:
            self.done.set_result(None)


async def bare_protocol(port: int, case: work.Case, count: int) -> int:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_connection(lambda: _Pings(case, count), "127.0.0.1", port)
    await protocol.done
    transport.close()
    return count


async def wirelane_tcp(port: int, case: work.Case, count: int) -> int:
    done = count
    async with tcp.connect(f"127.0.0.1:{port}") as connection:
        await connection.send(_asked(case, count))
        if case.kind == "tcp_lines":
            done = 0
            async for _ in connection.lines():
                done += 1
        elif case.kind == "tcp_blocks":
            for _ in range(count):
                await connection.read_exactly(case.payload)
        else:
            message = bytes(case.payload)
            for _ in range(count):
                await connection.send(message)
                await connection.read_exactly(case.payload)
    return done


async def wirelane_marker(port: int, case: work.Case, count: int) -> int:
    async with tcp.connect(f"127.0.0.1:{port}") as connection:
        await connection.send(_asked(case, count))
        for _ in range(count):
            await connection.read(marker=b"\n")
    return count


CLIENTS: dict[str, Callable[[int, work.Case, int], Awaitable[int]]] = {
    "streams": stream_reader,
    "anyio": anyio_stream,
    "bare": bare_protocol,
    "wirelane": wirelane_tcp,
    "wirelane.marker": wirelane_marker,
}


async def _open(who: str, port: int) -> object:
    """Open one connection; what is returned keeps it open."""
    if who == "streams":
        return await asyncio.open_connection("127.0.0.1", port)
    if who == "anyio":
        import anyio

        return await anyio.connect_tcp("127.0.0.1", port)
    if who == "bare":
        return await asyncio.get_running_loop().create_connection(asyncio.Protocol, "127.0.0.1", port)
    return await tcp.connect(f"127.0.0.1:{port}")


async def hold(who: str, port: int, case: work.Case) -> None:
    """Hold connections open on which nothing happens, until the parent has measured."""
    work.allow_many_files()
    held = [await _open(who, port) for _ in range(AT_ONCE)]

    for count in work.rounds(case):
        while len(held) < AT_ONCE + count:
            held.extend(await asyncio.gather(*(_open(who, port) for _ in range(AT_ONCE))))
        work.mark("held")


def _asked(case: work.Case, count: int) -> bytes:
    what = {"tcp_lines": f"lines {count}", "tcp_blocks": f"blocks {count} {case.payload}"}
    return f"{what.get(case.kind, 'echo')}\n".encode()


async def client(who: str, port: int, case: work.Case) -> None:
    if case.kind == "tcp_idle":
        await hold(who, port, case)
        return
    for count in work.rounds(case):
        work.check_count(case, await CLIENTS[who](port, case, count), count)


def blocking_client(port: int, case: work.Case) -> None:
    """wirelane.sync: lines, read without await."""
    profiling.watch_threads("client")
    for count in work.rounds(case):
        with sync_tcp.connect(f"127.0.0.1:{port}") as connection:
            connection.send(_asked(case, count))
            done = 0
            for _ in connection.lines():
                done += 1
        work.check_count(case, done, count)


if __name__ == "__main__":
    loop, what, *rest = sys.argv[1:]
    if what == "serve":
        serve()
    elif what == BLOCKING:
        blocking_client(int(rest[0]), work.case_of(rest[1]))
    else:
        work.run(client(what, int(rest[0]), work.case_of(rest[1])), loop)
