"""A pool of connections: many tasks, few connections, and a server that is restarted in between.

python examples/tcp_pool.py                    against a small server that it starts itself
python examples/tcp_pool.py localhost:7 hello  against an echo service of yours
"""

from __future__ import annotations

import asyncio
import sys

from wirelane import ReadTimeout, WirelaneError, run, tcp


async def shout(connection: tcp.Connection) -> None:
    """Serve one client: answer each line in capitals, and `silence` with nothing; end when the server drains."""
    while await connection.more():
        line = await connection.read_line(timeout=5.0)
        if line != "silence":
            await connection.send_line(line.upper())


async def greet(connection: tcp.Connection) -> None:
    """Have a new connection say hello before anybody uses it, as other protocols log in."""
    await connection.send_line("hello")
    await connection.read_line()


async def still_there(connection: tcp.Connection) -> bool:
    """Ask an idle connection something that the server always answers."""
    await connection.send_line("ping")
    return await connection.read_line() == "PING"


async def many(pool: tcp.Pool) -> None:
    """Ask twenty questions at once."""
    answers = await asyncio.gather(*(pool.request(f"question {n}\n", timeout=5.0) for n in range(20)))
    print(f"{len(answers)} answers over {pool.size} connections or fewer, the last one: {answers[-1]!r}")


async def too_late(pool: tcp.Pool) -> None:
    """Give up on an answer. Its connection is not used again: the answer might still come, for somebody else."""
    try:
        async with pool.connection(timeout=1.0) as connection:
            await connection.send_line("silence")
            await connection.read_line(timeout=0.1)
    except ReadTimeout:
        print(f"no answer, so its connection was closed: {pool.stats.discarded} discarded")


async def with_our_own_server() -> None:
    """Show what a pool does, and that a restart of the server goes unnoticed."""
    server = tcp.Server(shout)
    async with server.listen("127.0.0.1:0") as listening:
        address = str(listening.address)
        pool = tcp.Pool(address, size=3, prepare=greet, check=still_there, check_after=10.0)
        await many(pool)
        await too_late(pool)
    async with server.listen(address), pool:
        reply = await pool.request("again\n")
        print(f"after a restart of the server, nobody noticed: {reply!r}")


async def main(arguments: list[str]) -> int:
    """Talk to the server that was named, or to one of our own."""
    try:
        if not arguments:
            await with_our_own_server()
            return 0
        async with tcp.Pool(arguments[0], size=2) as pool:
            for line in arguments[1:] or ["hello"]:
                reply = await pool.request(f"{line}\n")
                print(f"{line!r} -> {reply!r}")
    except WirelaneError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(run(main(sys.argv[1:])))
