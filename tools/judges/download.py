"""A client that downloads for so long that its windows grow: does the server hold the PINGs that measure against it?

    python tools/judges/download.py --server_port=PORT [--ca_file=FILE --server_host_override=NAME]

Servers forgive a few PINGs in five minutes in which they sent nothing (gRFC A8), and send a client away for more. This one
sends hundreds, each when DATA has come. Exit status 0: it got everything over its first connection.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from wirelane import Limits, TlsConfig
from wirelane.grpc import Channel, ChannelOptions
from wirelane.http2.flow import Flow
from wirelane.testing.interop.server import SERVICE, interop_schema
from wirelane.transport.client import H2ClientConnection

_SIZES = (50, 20_000, 3_000, 271_828) * 50


async def download(channel: Channel) -> Flow:
    """Streams and single answers, large and small; returns the windows they came through."""
    request = {"response_parameters": [{"size": size} for size in _SIZES]}
    for _ in range(5):
        replies = await channel.collect(f"{SERVICE}/StreamingOutputCall", request)
        assert [len(reply["payload"]["body"]) for reply in replies] == list(_SIZES)
        for _ in range(100):
            await channel.unary(f"{SERVICE}/EmptyCall", {})
            reply = await channel.unary(f"{SERVICE}/UnaryCall", {"response_size": 31_415})
            assert len(reply["payload"]["body"]) == 31_415
    (connection,) = channel._connector.connections
    assert isinstance(connection, H2ClientConnection)
    return connection.engine.flow


async def main() -> int:
    parser = argparse.ArgumentParser(description="Download for so long that windows grow.")
    parser.add_argument("--server_port", required=True)
    parser.add_argument("--ca_file")
    parser.add_argument("--server_host_override")
    arguments, _ = parser.parse_known_args()
    # Windows that may grow without end are measured without end.
    limits = Limits(initial_window=20_000, max_window=2**30)
    tls = TlsConfig(ca=arguments.ca_file) if arguments.ca_file else None
    options = ChannelOptions(server_name=arguments.server_host_override if tls else None)
    target = f"127.0.0.1:{arguments.server_port}"
    async with Channel(target, schema=interop_schema(), tls=tls, limits=limits, options=options) as channel:
        flow = await download(channel)
        if channel.stats.connects != 1:
            print(f"the server sent the client away: {channel.stats}")
            return 1
        if flow.target <= limits.initial_window:
            print(f"nothing was measured: {flow}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
