"""A client and a server on a network that misbehaves: the fault proxy between them, one fault after the other.

python examples/fault_proxy.py
"""

from __future__ import annotations

import sys

from wirelane import ConnectionLost, ReadTimeout, run, tcp
from wirelane.testing import faults


async def shout(connection: tcp.Connection) -> None:
    """Serve one client: answer each line in capitals."""
    async for line in connection.lines():
        await connection.send_line(line.upper())


async def sliced(address: str) -> None:
    """What a reader sees does not depend on how the network cuts it."""
    async with (
        faults.FaultProxy(address, seed=7, faults=[faults.Slicer(average=1, direction="both")]) as proxy,
        tcp.connect(proxy.address) as connection,
    ):
        await connection.send_line("byte by byte")
        print(f"sliced: {await connection.read_line(timeout=5.0)!r}")


async def stalled(address: str) -> None:
    """A timeout loses nothing."""
    async with faults.FaultProxy(address) as proxy, tcp.connect(proxy.address) as connection:
        proxy.add(faults.Stall(after_bytes=4))
        await connection.send_line("patience")
        try:
            await connection.read_line(timeout=0.1)
        except ReadTimeout as error:
            print(f"stalled: {error.partial!r} had come")
        proxy.resume()
        print(f"resumed: {await connection.read_line(timeout=5.0)!r}")


async def reset(address: str) -> None:
    """A reset is an error that shows what came before it."""
    async with (
        faults.FaultProxy(address, faults=[faults.Reset(after_bytes=5)]) as proxy,
        tcp.connect(proxy.address) as connection,
    ):
        await connection.send_line("half a line")
        try:
            await connection.read_line(timeout=5.0)
        except ConnectionLost as error:
            print(f"reset: {error}, after {error.partial!r}")


async def main() -> int:
    """Show the three against a server of our own."""
    async with tcp.Server(shout).listen("127.0.0.1:0") as listening:
        address = str(listening.address)
        await sliced(address)
        await stalled(address)
        await reset(address)
    return 0


if __name__ == "__main__":
    sys.exit(run(main()))
