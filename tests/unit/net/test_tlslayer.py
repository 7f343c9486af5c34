"""The transport of our TLS: what a protocol above it can rely on."""

from __future__ import annotations

import asyncio
import socket
import ssl

import pytest

from support.net_support import (
    LOOPBACK,
    Accepting,
    Recorder,
    context_pair,
    echo,
    ended,
    openssl_server,
    raw_server,
    read_until,
    settle,
)
from wirelane.errors import ClosedError, ConnectionLost, TlsError, UsageError
from wirelane.net import dial, listen
from wirelane.net.tlslayer import TlsTransport

MEGABYTE = 1 << 20


class Pair:
    """A TLS connection of our own with a recorder at both ends."""

    def __init__(self, authority, make=Recorder, client_make=Recorder, **settings) -> None:
        self.accepting = Accepting(make)
        self.client_make = client_make
        self.tls = authority.server(**settings)
        self.client_tls = authority.client()

    async def __aenter__(self) -> Pair:
        self.listening = await listen(self.accepting, LOOPBACK, tls=self.tls)
        self.transport, self.client = await dial(
            self.client_make, self.listening.address, tls=self.client_tls
        )
        self.server = await self.accepting.one()
        return self

    async def __aexit__(self, *_) -> None:
        await ended(self.client, self.server)
        self.listening.close()
        await self.listening.wait_closed()


class BareServer:
    """The other end by the standard library's blocking-free SSLObject on a bare socket: it does what it is told."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self.sock = sock
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.loop = asyncio.get_running_loop()

    async def flush(self) -> None:
        if self.outgoing.pending:
            await self.loop.sock_sendall(self.sock, self.outgoing.read())

    async def step(self, action, *arguments):
        while True:
            try:
                result = action(*arguments)
            except ssl.SSLWantReadError:
                await self.flush()
                data = await self.loop.sock_recv(self.sock, 65536)
                if not data:
                    raise EOFError from None
                self.incoming.write(data)
            else:
                await self.flush()
                return result

    async def handshake(self) -> BareServer:
        await self.step(self.tls.do_handshake)
        return self

    async def write(self, data: bytes) -> None:
        await self.step(self.tls.write, data)

    async def read(self) -> bytes:
        return await self.step(self.tls.read, 65536)

    async def close_notify(self) -> None:
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        await self.flush()


def bare(authority, talk, **limits):
    """Serve one client with `talk(BareServer)` after the handshake; return (server, the client's context)."""
    client, server = context_pair(authority, **limits)

    async def serve(sock):
        await talk(await BareServer(sock, server).handshake())

    return raw_server(serve), client


# ---------------------------------------------------------------------- bytes


@pytest.mark.parametrize("size", [1, 16384, 16385, 100_000, MEGABYTE])
async def test_bytes_of_any_size_arrive_whole(authority, size):
    data = bytes(range(256)) * (size // 256 + 1)
    async with Pair(authority, echo) as pair:
        pair.transport.write(data[:size])
        assert await pair.client.until_received(size) == data[:size]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_any_kind_of_bytes_is_taken(authority, kind):
    async with Pair(authority) as pair:
        pair.transport.write(kind(b"one "))
        pair.transport.writelines([kind(b"two "), kind(b"three")])
        pair.transport.write(b"")
        assert await pair.server.until_received(13) == b"one two three"


async def test_bytes_cut_anywhere_decrypt_the_same(authority):
    async def talk(server):
        server.tls.write(b"hello ")
        server.tls.write(b"world")
        data = server.outgoing.read()
        for index in range(len(data)):
            await server.loop.sock_sendall(server.sock, data[index : index + 1])
            await asyncio.sleep(0)
        await server.close_notify()

    serving, context = bare(authority, talk)
    async with serving as address:
        _, recorder = await dial(Recorder, address, tls=context)
        assert await recorder.until_lost() is None
        assert recorder.received == b"hello world"


async def test_first_bytes_of_the_server_come_after_connection_made(authority):
    async def talk(server):
        await server.write(b"banner")
        await server.close_notify()

    serving, context = bare(authority, talk)
    async with serving as address:
        _, recorder = await dial(Recorder, address, tls=context)
        await recorder.until_lost()
        assert recorder.events == ["made", "data", "eof", "lost"]
        assert recorder.received == b"banner"


async def test_one_piece_is_delivered_for_what_came_at_once(authority):
    async def talk(server):
        for _ in range(10):
            server.tls.write(b"x" * 100)
        await server.flush()
        await server.close_notify()

    serving, context = bare(authority, talk)
    async with serving as address:
        _, recorder = await dial(Recorder, address, tls=context)
        await recorder.until_lost()
        assert len(recorder.received) == 1000
        assert len(recorder.pieces) < 10


# ---------------------------------------------------------------------- ends


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_end_without_close_notify_is_a_lost_connection(authority, version):
    async def talk(server):
        await server.write(b"half of it")

    serving, context = bare(authority, talk, maximum_version=version)
    async with serving as address:
        _, recorder = await dial(Recorder, address, tls=context)
        error = await recorder.until_lost()
        assert isinstance(error, ConnectionLost)
        assert f"the server at {address} broke the connection" in str(error)
        assert "TLS stream ended without close_notify" in str(error)
        assert recorder.received == b"half of it"
        assert not recorder.ended


async def test_end_without_close_notify_is_seen_with_any_context_of_the_user(authority):
    async def talk(server):
        await server.write(b"half of it")

    serving, context = bare(authority, talk)
    context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF
    async with serving as address:
        _, recorder = await dial(Recorder, address, tls=context)
        assert isinstance(await recorder.until_lost(), ConnectionLost)
        assert not recorder.ended


async def test_record_cut_in_the_middle_is_a_lost_connection(authority):
    async def talk(server):
        server.tls.write(b"x" * 1000)
        await server.loop.sock_sendall(server.sock, server.outgoing.read()[:500])

    serving, context = bare(authority, talk)
    async with serving as address:
        _, recorder = await dial(Recorder, address, tls=context)
        assert isinstance(await recorder.until_lost(), ConnectionLost)
        assert not recorder.received


async def test_reset_is_told_as_it_came(authority):
    async def talk(server):
        await server.write(b"x")
        await server.read()
        server.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    serving, context = bare(authority, talk)
    async with serving as address:
        transport, recorder = await dial(Recorder, address, tls=context)
        await recorder.until_received(1)
        transport.write(b"go")
        assert isinstance(await recorder.until_lost(), ConnectionResetError)


async def test_close_notify_ends_both_sides_cleanly(authority):
    async with Pair(authority) as pair:
        pair.transport.write(b"last words")
        pair.transport.close()
        assert pair.transport.is_closing()
        assert await pair.client.until_lost() is None
        assert await pair.server.until_lost() is None
        assert pair.server.events == ["made", "data", "eof", "lost"]
        assert pair.server.received == b"last words"
        pair.transport.close()
        pair.transport.write(b"into nothing")
        pair.transport.abort()


async def test_close_sends_close_notify_before_fin(authority):
    seen = asyncio.get_running_loop().create_future()

    async def talk(server):
        try:
            seen.set_result(await server.read())
        except ssl.SSLZeroReturnError:
            seen.set_result(b"")

    serving, context = bare(authority, talk)
    async with serving as address:
        transport, recorder = await dial(Recorder, address, tls=context)
        transport.close()
        assert await seen == b""
        await recorder.until_lost()


async def test_everything_written_before_close_arrives(authority):
    async with Pair(authority) as pair:
        pair.transport.write(b"x" * (4 * MEGABYTE))
        pair.transport.close()
        await pair.server.until_lost()
        assert len(pair.server.received) == 4 * MEGABYTE
        assert pair.server.error is None


async def test_close_is_bounded_in_time_if_the_peer_does_not_read(authority, monkeypatch):
    stop = asyncio.Event()

    async def talk(server):
        await stop.wait()

    serving, context = bare(authority, talk)
    async with serving as address:
        transport, recorder = await dial(Recorder, address, tls=context)
        assert isinstance(transport, TlsTransport)
        transport._close_timeout = 0.05
        transport.write(b"x" * (20 * MEGABYTE))
        assert transport.get_write_buffer_size() > 0
        transport.close()
        assert await recorder.until_lost() is None
        stop.set()


async def test_abort_cuts_without_close_notify(authority):
    async with Pair(authority) as pair:
        pair.transport.abort()
        assert await pair.client.until_lost() is None
        assert isinstance(await pair.server.until_lost(), ConnectionLost | ConnectionResetError)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_half_close_lets_the_other_side_go_on(authority, version):
    def answer(self: Recorder, data: bytes) -> None:
        pass

    class Answers(Recorder):
        def eof_received(self) -> bool:
            super().eof_received()
            self.transport.write(b"answer to " + self.received)
            return True

    client = authority.client()
    if version == "1.2":
        client, _ = context_pair(authority, maximum_version=ssl.TLSVersion.TLSv1_2)
    accepting = Accepting(Answers)
    async with await listen(accepting, LOOPBACK, tls=authority.server()) as listening:
        transport, recorder = await dial(Recorder, listening.address, tls=client)
        assert transport.can_write_eof()
        transport.write(b"question")
        transport.write_eof()
        transport.write_eof()
        assert await recorder.until_received(18) == b"answer to question"
        with pytest.raises(UsageError, match="write_eof"):
            transport.write(b"more")
        assert not recorder.lost
        server = await accepting.one()
        server.transport.close()
        await recorder.until_lost()
        assert recorder.error is None
        assert recorder.ended


async def test_half_close_in_the_middle_of_a_stream_loses_nothing(authority):
    total = 3 * MEGABYTE

    async def talk(server):
        await server.write(b"x" * total)
        with pytest.raises(ssl.SSLZeroReturnError):
            if not await server.read():
                raise ssl.SSLZeroReturnError
        await server.close_notify()

    serving, context = bare(authority, talk)
    async with serving as address:
        transport, recorder = await dial(Recorder, address, tls=context)
        await recorder.until_received(1000)
        transport.write_eof()
        assert await recorder.until_lost() is None
        assert len(recorder.received) == total


async def test_data_after_the_peers_end_is_ignored(authority):
    async def talk(server):
        await server.write(b"real")
        await server.close_notify()
        await server.loop.sock_sendall(server.sock, b"\x17\x03\x03\x00\x10" + b"forged record!!!")

    serving, context = bare(authority, talk)
    async with serving as address:
        _, recorder = await dial(lambda: Recorder(keep_open=True), address, tls=context)
        await recorder.until(lambda r: r.ended)
        await settle()
        assert recorder.received == b"real"
        await ended(recorder)
        assert recorder.error is None


async def test_forged_record_is_a_tls_error_and_is_answered_with_an_alert(authority):
    told = asyncio.get_running_loop().create_future()

    async def talk(server):
        await server.loop.sock_sendall(server.sock, b"\x17\x03\x03\x00\x20" + b"x" * 32)
        try:
            await server.read()
        except ssl.SSLError as exc:
            told.set_result(exc)

    serving, context = bare(authority, talk)
    async with serving as address:
        _, recorder = await dial(Recorder, address, tls=context)
        error = await recorder.until_lost()
        assert isinstance(error, TlsError)
        assert error.step == "after the handshake"
        assert "ALERT" in ((await told).reason or "")


# ---------------------------------------------------------------------- flow control


async def test_nothing_is_delivered_while_reading_is_paused(authority):
    async with Pair(authority) as pair:
        pair.server.transport.pause_reading()
        pair.server.transport.pause_reading()
        assert not pair.server.transport.is_reading()
        pair.transport.write(b"x" * 100_000)
        await settle(200)
        assert not pair.server.received
        pair.server.transport.resume_reading()
        assert not pair.server.received, "never inside resume_reading"
        assert pair.server.transport.is_reading()
        assert await pair.server.until_received(100_000) == b"x" * 100_000


async def test_pausing_after_each_piece_loses_nothing(authority):
    loop = asyncio.get_running_loop()

    def slow(self: Recorder, data: bytes) -> None:
        self.transport.pause_reading()
        loop.call_soon(loop.call_soon, self.transport.resume_reading)

    data = bytes(range(256)) * 4 * 1024
    async with Pair(authority, lambda: Recorder(slow)) as pair:
        pair.transport.write(data)
        assert await pair.server.until_received(len(data)) == data


async def test_paused_reader_holds_the_peer_back(authority):
    total = 16 * MEGABYTE
    async with Pair(authority) as pair:
        pair.server.transport.pause_reading()
        pair.transport.write(b"x" * total)
        assert "pause" in pair.client.events
        while (left := pair.transport.get_write_buffer_size()) != (await turn(pair.transport)):
            pass
        # What does not wait here is in the kernel's two buffers, no more than some megabytes.
        assert left > total // 2
        pair.server.transport.resume_reading()
        await pair.server.until_received(total)
        assert "resume" in pair.client.events
        await pair.client.until(lambda r: pair.transport.get_write_buffer_size() == 0)


async def turn(transport) -> int:
    await settle(100)
    return int(transport.get_write_buffer_size())


async def test_end_waits_for_a_paused_reader(authority):
    async with Pair(authority) as pair:
        pair.server.transport.pause_reading()
        pair.transport.write(b"last words")
        pair.transport.close()
        await settle(100)
        assert pair.server.events == ["made"]
        pair.server.transport.resume_reading()
        await pair.server.until_lost()
        assert pair.server.events == ["made", "data", "eof", "lost"]


async def test_reading_paused_and_closed_ends(authority):
    async with Pair(authority) as pair:
        pair.server.transport.pause_reading()
        pair.transport.write(b"unread")
        await settle(100)
        pair.server.transport.close()
        assert await pair.server.until_lost() is None
        pair.server.transport.resume_reading()
        assert not pair.server.received


async def test_write_buffer_limits_are_those_of_the_transport_below(authority):
    async with Pair(authority) as pair:
        pair.transport.set_write_buffer_limits(high=1000, low=10)
        assert pair.transport.get_write_buffer_limits() == (10, 1000)
        assert pair.transport.get_write_buffer_size() == 0


# ---------------------------------------------------------------------- mistakes


async def test_protocol_that_raises_loses_its_connection(authority, loop_errors):
    def broken(self: Recorder, data: bytes) -> None:
        raise ZeroDivisionError

    async with Pair(authority, lambda: Recorder(broken)) as pair:
        pair.transport.write(b"x")
        assert isinstance(await pair.server.until_lost(), ZeroDivisionError)
        await pair.client.until_lost()
        assert any(isinstance(one["exception"], ZeroDivisionError) for one in loop_errors)
        loop_errors.clear()


async def test_protocol_that_raises_when_it_resumes_loses_its_connection(authority, loop_errors):
    def broken(self: Recorder, data: bytes) -> None:
        raise ZeroDivisionError

    async with Pair(authority, lambda: Recorder(broken)) as pair:
        pair.server.transport.pause_reading()
        pair.transport.write(b"x")
        await settle(100)
        pair.server.transport.resume_reading()
        assert isinstance(await pair.server.until_lost(), ZeroDivisionError)
        await pair.client.until_lost()
        assert any(isinstance(one["exception"], ZeroDivisionError) for one in loop_errors)
        loop_errors.clear()


async def test_state_is_shown(authority):
    async with Pair(authority) as pair:
        assert repr(pair.transport) == f"<TlsTransport client of {pair.listening.address} open TLSv1.3>"
        mine: object = pair.client
        assert pair.transport.get_protocol() is mine
        with pytest.raises(UsageError, match="TLS needs an asyncio.Protocol, not BaseProtocol"):
            pair.transport.set_protocol(asyncio.BaseProtocol())
        pair.transport.close()
        assert "closing" in repr(pair.transport)
        await pair.client.until_lost()
        assert "closed" in repr(pair.transport)
        with pytest.raises(ClosedError):
            pair.transport.get_protocol()
        assert pair.transport.get_extra_info("no such thing", "default") == "default"


async def test_protocol_can_be_replaced(authority):
    async with Pair(authority) as pair:
        other = Recorder()
        pair.server.transport.set_protocol(other)
        pair.transport.write(b"hello")
        assert await other.until_received(5) == b"hello"
        pair.server.transport.set_protocol(pair.server)


async def test_renegotiation_is_refused_by_our_contexts(authority, tmp_path):
    arguments = ("-tls1_2", "-legacy_renegotiation")
    async with openssl_server(tmp_path, authority.issue("localhost"), *arguments) as (address, process):
        transport, recorder = await dial(Recorder, address, tls=authority.client(), server_name="localhost")
        assert process.stdin is not None
        transport.write(b"are you there\n")
        await read_until(process, b"are you there")
        process.stdin.write(b"r\n")
        # OpenSSL's client answers with a warning, and its server gives up.
        assert isinstance(await recorder.until_lost(), TlsError | ConnectionLost | ConnectionResetError)
