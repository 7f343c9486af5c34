"""A client for line protocols: send lines, read the answers, with deadlines.

    python examples/tcp_line_client.py                          against a small server that it starts itself
    python examples/tcp_line_client.py localhost:7 hello world  against an echo service of yours

With a server of its own it also shows what happens when an answer is late, and that nothing is lost then.
"""

from __future__ import annotations

import asyncio
import sys

from wirelane import ReadTimeout, WirelaneError, run, tcp


async def shout(connection: tcp.Connection) -> None:
    """Serve one client: answer each line in capitals, and `wait` in two pieces with a pause between them."""
    async for line in connection.lines():
        if line == "wait":
            await connection.send(b"WA")
            await asyncio.sleep(0.3)
            await connection.send_line("IT")
        else:
            await connection.send_line(line.upper())


async def talk(address: str, lines: list[str]) -> None:
    """Send each line, and print its answer."""
    async with tcp.connect(address, connect_timeout=5.0) as connection:
        print(f"connected to {connection.peer}")
        for line in lines:
            await connection.send_line(line)
            print(f"  {line!r} -> {await connection.read_line(timeout=5.0)!r}")


async def late(address: str) -> None:
    """Ask for an answer that takes longer than we want to wait, twice."""
    async with tcp.connect(address) as connection:
        await connection.send_line("wait")
        try:
            await connection.read_line(timeout=0.1)
        except ReadTimeout as error:
            print(f"  too late: {error.partial!r} had come, and is kept for the next read")
        print(f"  'wait' -> {await connection.read_line(timeout=5.0)!r}")


async def main(arguments: list[str]) -> int:
    """Talk to the server that was named, or to one of our own."""
    try:
        if arguments:
            await talk(arguments[0], arguments[1:] or ["hello"])
            return 0
        async with tcp.Server(shout).listen("127.0.0.1:0") as listening:
            address = str(listening.address)
            print(f"started a server at {address}")
            await talk(address, ["hello", "world"])
            await late(address)
            reply = await tcp.request(address, "again\n")
            print(f"  one request on a connection of its own -> {reply!r}")
        print("the server has stopped")
    except WirelaneError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(run(main(sys.argv[1:])))
