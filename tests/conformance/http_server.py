"""A server that answers any HTTP/2 request with a small body, on the engine and the transport that serve gRPC.

    python tests/conformance/http_server.py [--tls-cert FILE --tls-key FILE] [--port PORT]

h2spec judges HTTP/2 alone: it sends GET and POST without gRPC's headers, and wants answers with DATA in them. A gRPC
server refuses such a request before its body has come, which would hide from h2spec what it came to see. So the one
thing changed here is which stream object a request gets. The first line printed is `listening on port 12345`.
"""

from __future__ import annotations

import argparse
import asyncio

from wirelane.core.limits import Limits
from wirelane.core.target import HostPort
from wirelane.http2 import HeaderBlock, Stream
from wirelane.net.listen import listen
from wirelane.net.signals import stop_signals
from wirelane.net.tls import TlsConfig
from wirelane.transport.server import H2ServerConnection
from wirelane.transport.serving import Serving

HEAD = ((b":status", b"200"), (b"content-type", b"text/plain"))
BODY = b"Hello, judge. This is wirelane."


class Page(Stream):
    """One request for a page: read to its end, then answered."""

    __slots__ = ()

    def on_headers(self, block: HeaderBlock, end_stream: bool) -> None:
        if end_stream:
            self._answer()

    def on_data(self, data: bytes, end_stream: bool) -> None:
        self.return_window(len(data))
        if end_stream:
            self._answer()

    def _answer(self) -> None:
        self.connection.send_headers(self, HEAD)
        self.connection.send(self, BODY, end_stream=True)


class PageConnection(H2ServerConnection):
    """A server's connection on which every request is for a page."""

    def stream_requested(self, block: HeaderBlock) -> Stream:
        return Page(self.engine)


async def serve(port: int, tls: TlsConfig | None) -> None:
    """Serve until SIGTERM or SIGINT."""
    limits = Limits()
    serving = Serving(limits)

    def factory() -> PageConnection:
        return PageConnection(limits, _no_call, serving=serving)

    with stop_signals() as signals:
        async with await listen(factory, HostPort("127.0.0.1", port), tls=tls, alpn=("h2",)) as listening:
            address = listening.addresses[0]
            assert isinstance(address, HostPort)
            print(f"listening on port {address.port}", flush=True)
            await signals.stopped.wait()
        await asyncio.gather(*(connection.close() for connection in serving.connections))


def _no_call(stream: object) -> None:
    raise AssertionError(f"no request becomes a call here: {stream!r}")


def main() -> None:
    parser = argparse.ArgumentParser(description="an HTTP/2 server for h2spec")
    parser.add_argument("--port", type=int, default=0, help="0 (the default): a free one")
    parser.add_argument("--tls-cert", help="certificate chain, PEM; without it, cleartext")
    parser.add_argument("--tls-key", help="private key, PEM")
    arguments = parser.parse_args()
    tls = TlsConfig(cert=arguments.tls_cert, key=arguments.tls_key) if arguments.tls_cert else None
    asyncio.run(serve(arguments.port, tls))


if __name__ == "__main__":
    main()
