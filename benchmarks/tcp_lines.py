"""64-byte lines over TCP: wirelane beside asyncio's streams. `MODULE LOOP serve` and `MODULE LOOP WHO PORT CASE`."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading

from benchmarks import work
from wirelane import tcp

LINE = b"x" * 63 + b"\n"
BLOCK = LINE * 1000


def serve() -> None:
    """Send lines to whoever connects, as many as its first line asks for. A thread each: no loop of ours in it."""

    def send(connection: socket.socket) -> None:
        with connection:
            left = int(connection.makefile("rb").readline())
            while left > 0:
                connection.sendall(BLOCK[: left * 64])
                left -= 1000

    listener = socket.create_server(("127.0.0.1", 0))
    work.announce(listener.getsockname()[1])
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=send, args=(connection,), daemon=True).start()


async def asyncio_lines(port: int, lines: int) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"%d\n" % lines)
    count = 0
    while await reader.readline():
        count += 1
    writer.close()
    await writer.wait_closed()
    return count


async def wirelane_lines(port: int, lines: int) -> int:
    count = 0
    async with tcp.connect(f"127.0.0.1:{port}") as connection:
        await connection.send_line(str(lines))
        async for _ in connection.lines():
            count += 1
    return count


async def wirelane_read(port: int, lines: int) -> int:
    async with tcp.connect(f"127.0.0.1:{port}") as connection:
        await connection.send_line(str(lines))
        for _ in range(lines):
            await connection.read(marker=b"\n")
    return lines


CLIENTS = {"asyncio": asyncio_lines, "wirelane.lines": wirelane_lines, "wirelane.read": wirelane_read}


async def client(who: str, port: int, case: work.Case) -> None:
    read = CLIENTS[who]
    await read(port, case.warm)

    async def run() -> None:
        count = await read(port, case.operations)
        assert count == case.operations, f"{count} of {case.operations} lines"

    await work.report(run, case.operations)


if __name__ == "__main__":
    loop, what, *rest = sys.argv[1:]
    if what == "serve":
        serve()
    else:
        work.run(client(what, int(rest[0]), work.case_of(rest[1])), loop)
