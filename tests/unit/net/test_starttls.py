from __future__ import annotations

import asyncio

import pytest

from support.net_support import (
    LOOPBACK,
    Accepting,
    Recorder,
    descriptors,
    descriptors_back,
    ended,
    openssl_server,
    settle,
    sweep,
)
from wirelane.core.target import HostPort
from wirelane.errors import ClosedError, ConnectionLost, TlsError, UsageError
from wirelane.net import dial, listen, start_tls


class Plain:
    """A plaintext connection with a recorder at both ends."""

    async def __aenter__(self) -> Plain:
        self.before = descriptors()
        accepting = Accepting()
        self.listening = await listen(accepting, LOOPBACK)
        _, self.client = await dial(Recorder, self.listening.address)
        self.server = await accepting.one()
        return self

    async def __aexit__(self, *_) -> None:
        await ended(self.client, self.server)
        self.listening.close()
        await self.listening.wait_closed()
        await descriptors_back(self.before)

    async def serve_tls(self, tls, **options) -> None:
        self.server.transport = await start_tls(
            self.server.transport, self.server, tls, server_side=True, **options
        )

    async def serving(self, tls) -> asyncio.Task[None]:
        """Let the server be ready for the handshake, before the client begins it."""
        task = asyncio.create_task(self.serve_tls(tls))
        await settle()
        return task

    async def ask_tls(self, tls, name: str | None = "localhost", **options) -> None:
        self.client.transport = await start_tls(
            self.client.transport, self.client, tls, server_name=name, **options
        )

    async def both(self, authority, **options) -> None:
        await asyncio.gather(
            self.serve_tls(authority.server(), **options), self.ask_tls(authority.client(), **options)
        )


async def test_running_connection_goes_on_in_tls(authority):
    async with Plain() as plain:
        plain.client.transport.write(b"STARTTLS\n")
        await plain.server.until_received(9)
        await plain.both(authority)
        plain.client.transport.write(b"secret")
        assert await plain.server.until_received(15) == b"STARTTLS\nsecret"
        plain.server.transport.write(b"answer")
        assert await plain.client.until_received(6) == b"answer"
        assert plain.client.events.count("made") == 1
        assert plain.client.transport.get_extra_info("tls_version") == "TLSv1.3"
        plain.client.transport.close()
        assert await plain.server.until_lost() is None
        assert plain.server.ended


async def test_alpn_is_negotiated(authority):
    async with Plain() as plain:
        await plain.both(authority, alpn=("x", "y"))
        assert plain.client.transport.get_extra_info("alpn") == "x"


async def test_missing_alpn_is_refused(authority):
    async with Plain() as plain:
        serving = await plain.serving(authority.server())
        with pytest.raises(TlsError, match="did not agree to x"):
            await plain.ask_tls(authority.client(), alpn=("x",))
        await serving


async def test_first_words_in_tls_reach_the_new_transport(authority):
    transports = []

    def note(self: Recorder, data: bytes) -> None:
        transports.append(self.transport)

    async with Plain() as plain:
        plain.client.on_data = note

        async def serve() -> None:
            await plain.serve_tls(authority.server())
            plain.server.transport.write(b"banner")

        serving = asyncio.create_task(serve())
        await settle()
        await plain.ask_tls(authority.client())
        await plain.client.until_received(6)
        await serving
        assert transports == [plain.client.transport]
        assert "TlsTransport" in repr(transports[0])


async def test_bytes_that_came_with_the_command_begin_the_handshake(authority):
    async with Plain() as plain:
        asking = asyncio.create_task(plain.ask_tls(authority.client()))
        await plain.server.until_received(100)
        await plain.serve_tls(authority.server(), received=bytes(plain.server.received))
        await asking
        plain.server.received.clear()
        plain.client.transport.write(b"secret")
        assert await plain.server.until_received(6) == b"secret"


async def test_plaintext_slipped_in_before_tls_fails_the_handshake(authority):
    async with Plain() as plain:
        with pytest.raises(TlsError, match="speaks plaintext"):
            await plain.serve_tls(authority.server(), received=b"DELETE everything\n")
        assert isinstance(await plain.server.until_lost(), TlsError)
        assert not plain.server.received


async def test_paused_connection_starts_tls(authority):
    async with Plain() as plain:
        plain.client.transport.pause_reading()
        await plain.both(authority)
        plain.server.transport.write(b"x")
        assert await plain.client.until_received(1) == b"x"


async def test_name_defaults_to_the_address_of_the_peer(authority):
    async with Plain() as plain:
        serving = await plain.serving(authority.server("127.0.0.1"))
        await plain.ask_tls(authority.client(), None)
        await serving
    async with Plain() as plain:
        serving = await plain.serving(authority.server("elsewhere.example"))
        with pytest.raises(TlsError, match=r"is not for '127\.0\.0\.1'"):
            await plain.ask_tls(authority.client(), None)
        with pytest.raises(TlsError, match="does not trust|refused the certificate|broke off"):
            await serving


async def test_failure_closes_the_connection_and_tells_the_protocol(authority, stranger):
    async with Plain() as plain:
        serving = await plain.serving(stranger.server())
        with pytest.raises(TlsError, match="not trusted") as caught:
            await plain.ask_tls(authority.client())
        assert await plain.client.until_lost() is caught.value
        with pytest.raises(TlsError, match="does not trust the CA of the certificate of this server"):
            await serving


async def test_handshake_that_takes_too_long_fails(authority):
    async with Plain() as plain:
        with pytest.raises(TlsError, match=r"did not finish the TLS handshake within 0\.02 s"):
            await plain.ask_tls(authority.client(), timeout=0.02)
        assert isinstance(await plain.client.until_lost(), TlsError)
        await plain.server.until_lost()


async def test_closed_connection_cannot_start_tls(authority):
    async with Plain() as plain:
        plain.client.transport.close()
        with pytest.raises(ClosedError, match="cannot start TLS: the connection is closed"):
            await plain.ask_tls(authority.client())


async def test_impossible_name_leaves_the_connection_as_it_was(authority):
    async with Plain() as plain:
        with pytest.raises(UsageError, match="TLS cannot check the name"):
            await plain.ask_tls(authority.client(), "..")
        plain.client.transport.write(b"still plain")
        assert await plain.server.until_received(11) == b"still plain"


async def test_tls_inside_tls(authority, stranger):
    async with Plain() as plain:
        await plain.both(authority)
        outer = plain.client.transport
        await plain.both(stranger)
        assert plain.client.transport is not outer
        plain.client.transport.write(b"x" * 100_000)
        assert await plain.server.until_received(100_000) == b"x" * 100_000
        plain.client.transport.close()
        assert await plain.server.until_lost() is None


async def test_waiting_writer_is_woken_after_the_change(authority):
    async with Plain() as plain:
        plain.server.transport.pause_reading()
        plain.client.transport.write(b"x" * (8 << 20))
        assert "pause" in plain.client.events
        plain.server.transport.resume_reading()
        asking = asyncio.create_task(plain.ask_tls(authority.client()))
        # All of the plaintext goes first, so the server knows where TLS begins.
        await plain.server.until(lambda r: len(r.received) > 8 << 20)
        hello = bytes(plain.server.received[8 << 20 :])
        await plain.serve_tls(authority.server(), received=hello)
        await asking
        assert "resume" in plain.client.events


async def test_cancelled_start_tls_leaves_no_socket(authority):
    async def go():
        accepting = Accepting()
        async with await listen(accepting, LOOPBACK) as listening:
            _, client = await dial(Recorder, listening.address)
            try:
                server = await accepting.one()
                serving = asyncio.create_task(
                    start_tls(server.transport, server, authority.server(), server_side=True)
                )
                try:
                    await settle(2)
                    return await start_tls(
                        client.transport, client, authority.client(), server_name="localhost"
                    )
                finally:
                    client.transport.abort()
                    server.transport.abort()
                    await asyncio.gather(serving, return_exceptions=True)
            finally:
                client.transport.abort()
                for one in accepting.made:
                    if one.transport is not None:
                        one.transport.abort()

    assert await sweep(go, lambda transport: transport.abort()) >= 3


async def test_smtp_server_of_openssl_is_not_needed_to_see_truncation(authority, tmp_path):
    async with openssl_server(tmp_path, authority.issue("localhost")) as (address, process):
        _, client = await dial(Recorder, HostPort(address.host, address.port))
        client.transport = await start_tls(
            client.transport, client, authority.client(), server_name="localhost"
        )
        process.kill()
        assert isinstance(await client.until_lost(), ConnectionLost | ConnectionResetError)
        await settle()
