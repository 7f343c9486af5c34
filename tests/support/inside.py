"""What is run inside of a network that a test has made: `python -m support.inside LOOP SCENARIO ARGUMENTS`.

A scenario is a coroutine function; what it returns, or which error it raised, is printed as JSON after "result". One that
waits for the test says "ready" and goes on when a line comes.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from wirelane import grpc, tcp
from wirelane.errors import WirelaneError
from wirelane.net.options import SocketOptions


def described(error: BaseException) -> dict[str, Any]:
    """Return what there is to know about an error, attempts included."""
    fields = ("kind", "step", "code", "host", "address", "errno")
    return {
        "error": type(error).__name__,
        "text": str(error),
        "attempts": [(where, type(cause).__name__) for where, cause in getattr(error, "attempts", ())],
        **{name: getattr(error, name) for name in fields if getattr(error, name, None) is not None},
    }


async def told() -> None:
    """Say that all is ready, and wait for a line."""
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


async def connect(address: str, timeout: str, *proxies: str) -> dict[str, Any]:
    """Connect, and say how long it took and with whom."""
    began = time.monotonic()
    async with tcp.connect(address, connect_timeout=float(timeout), proxy=proxies or None) as connection:
        took = time.monotonic() - began
        return {"peer": str(connection.peer), "took": took}


async def connect_grpc(address: str, timeout: str, *proxies: str) -> dict[str, Any]:
    """Connect a channel."""
    from support.client_support import note_schema
    from wirelane import Limits

    limits = Limits(connect_timeout=float(timeout))
    async with grpc.connect(address, schema=note_schema(), proxy=proxies or None, limits=limits):
        return {}


async def connect_beside(port: str, address: str, timeout: str) -> dict[str, Any]:
    """Listen at a port of every address of IPv4 here, and connect to a name."""

    async def greet(connection: tcp.Connection) -> None:
        await connection.send_line(str(connection.local))

    async with tcp.Server(greet).listen(f"0.0.0.0:{port}"):
        began = time.monotonic()
        async with tcp.connect(f"{address}:{port}", connect_timeout=float(timeout)) as connection:
            took = time.monotonic() - began
            return {
                "peer": str(connection.peer),
                "server": await connection.read_line(timeout=20),
                "took": took,
            }


async def request_each(port: str, *urls: str) -> dict[str, Any]:
    """Ask a server on every interface by a name that only proxies know, through each of these."""
    name = "only-the-proxy.test"

    async def answer(connection: tcp.Connection) -> None:
        await connection.send_line(await connection.read_line())

    async with tcp.Server(answer).listen(f"0.0.0.0:{port}"):
        return {
            url.partition(":")[0]: (
                await tcp.request(f"{name}:{port}", "hello\n", proxy=url, timeout=20)
            ).decode()
            for url in urls
        }


async def cut(address: str, way: str) -> dict[str, Any]:
    """Talk to an echo; then the cable is cut, and this end sends, or only waits."""
    options = (
        SocketOptions(user_timeout=1.0) if way == "send" else SocketOptions(keepalive=1, user_timeout=1.0)
    )
    async with tcp.connect(address, options=options) as connection:
        await connection.send_line("before")
        assert await connection.read_line(timeout=20) == "before"
        await told()
        if way == "send":
            await connection.send_line("after")
        try:
            await connection.read_line(timeout=30)
        finally:
            connection.abort()
    return {}


def main() -> None:
    """Run what the arguments say."""
    loop, scenario, *arguments = sys.argv[1:]
    factory = asyncio.new_event_loop
    if loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        try:
            result = runner.run(globals()[scenario](*arguments))
        except WirelaneError as error:
            result = described(error)
    print("result", json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
