"""The demo server: gRPC, gRPC over TLS, and a TCP echo, each on a port of its own.

`async with DemoServer(...) as server` has them all listening; leaving the block drains them. Without a certificate of
yours, one is made for localhost by an authority that is made along with it, and whose certificate is on `ca_file`.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from wirelane import grpc, tcp
from wirelane.cli.demo.services import handlers
from wirelane.codec import Schema
from wirelane.core.target import HostPort
from wirelane.errors import ConnectionLost, SchemaError
from wirelane.net.tls import TlsConfig

if TYPE_CHECKING:
    from types import TracebackType

    from wirelane.core.target import Address

__all__ = ["DemoAddresses", "DemoServer", "proto_directory"]

logger = logging.getLogger("wirelane.demo")

_NAMES: Final = ("localhost", "127.0.0.1", "::1")


def proto_directory() -> Path:
    """Return the directory of the demo's .proto files: in the repository, or what the wheel brought along.

    Raises:
        SchemaError: They are in neither place.
    """
    here = Path(__file__).resolve()
    for directory in (here.parents[4] / "protos" / "demo", here.parent / "protos"):
        if (directory / "everything.proto").is_file():
            return directory
    raise SchemaError("the .proto files of the demo were not installed along with wirelane")


@dataclass(frozen=True, slots=True)
class DemoAddresses:
    """Where the demo server listens.

    Attributes:
        grpc: Plaintext.
        tls: The same services over TLS; None without that port.
        tcp: A TCP port that sends back whatever it gets; None without it.
    """

    grpc: Address
    tls: Address | None
    tcp: Address | None


@dataclass(slots=True)
class DemoServer:
    """The servers behind `wirelane serve` and `wirelane demo`.

    Args:
        host: The host to listen at.
        port: The gRPC port; 0 picks a free one, here and below.
        tls_port: The port of gRPC over TLS; None: without.
        tcp_port: The port of the TCP echo; None: without.
        cert: A certificate (file) for TLS, with `key`; None: one is made.
        key: Its private key (file).
        client_ca: Certificates (file) that clients of the TLS port must be signed by; None: clients need none.

    Attributes:
        ca_file: What to trust to verify the TLS port; None with a certificate of yours.
    """

    host: str = "127.0.0.1"
    port: int = 0
    tls_port: int | None = 0
    tcp_port: int | None = 0
    cert: str | None = None
    key: str | None = None
    client_ca: str | None = None
    ca_file: Path | None = field(default=None, init=False)
    _addresses: DemoAddresses | None = field(default=None, init=False)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack, init=False)
    _servers: list[grpc.Server | tcp.Server] = field(default_factory=list, init=False)

    @property
    def addresses(self) -> DemoAddresses:
        """Where it listens; known once it does."""
        assert self._addresses is not None
        return self._addresses

    async def __aenter__(self) -> Self:
        schema = await asyncio.to_thread(Schema.load, proto_directory())
        async with AsyncExitStack() as stack:
            plain = await self._listen_grpc(stack, schema, self.port, None)
            secure = None
            if self.tls_port is not None:
                tls = await asyncio.to_thread(self._certificate, stack)
                secure = await self._listen_grpc(stack, schema, self.tls_port, tls)
            _echo = None
            if self.tcp_port is not None:
                _echo = await self._listen_tcp(stack, self.tcp_port)
            self._addresses = DemoAddresses(plain, secure, _echo)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, traceback)

    def abort(self) -> None:
        """Cut every connection now; leaving the block then takes no time."""
        for server in self._servers:
            server.abort()

    async def _listen_grpc(
        self, stack: AsyncExitStack, schema: Schema, port: int, tls: TlsConfig | None
    ) -> Address:
        server = grpc.Server([handlers()], schema=schema, tls=tls)
        self._servers.append(server)
        listening = await stack.enter_async_context(server.listen(HostPort(self.host, port)))
        return listening.address

    async def _listen_tcp(self, stack: AsyncExitStack, port: int) -> Address:
        server = tcp.Server(_echo)
        self._servers.append(server)
        # Nobody is told that the server stops, and clients may stay silent for hours: no grace for them.
        listening = await stack.enter_async_context(server.listen(HostPort(self.host, port), grace=0))
        return listening.address

    def _certificate(self, stack: AsyncExitStack) -> TlsConfig:
        if self.cert is not None:
            return TlsConfig(cert=self.cert, key=self.key, ca=self.client_ca)
        import trustme

        authority = trustme.CA(organization_name="wirelane demo")
        names: list[str] = [*_NAMES]
        if self.host and self.host not in names:
            names.append(self.host)
        leaf = authority.issue_cert(*names, common_name="localhost")
        directory = Path(tempfile.mkdtemp(prefix="wirelane-demo-"))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        self.ca_file = directory / "ca.pem"
        self.ca_file.write_bytes(authority.cert_pem.bytes())
        chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
        return TlsConfig(cert=chain, key=leaf.private_key_pem.bytes(), ca=self.client_ca)


async def _echo(connection: tcp.Connection) -> None:
    """Send back whatever comes, until the client has no more."""
    received = 0
    try:
        async for chunk in connection:
            received += len(chunk)
            await connection.send(chunk)
    except ConnectionLost:
        logger.debug("%s left without a word", connection.peer)
    finally:
        logger.info("TCP %s: echoed %d bytes", connection.peer, received)
