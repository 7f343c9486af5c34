"""What sending and closing are in an event loop: the order of tasks, cancellation, memory. The rest is in tests/twins."""

from __future__ import annotations

import asyncio
import gc
import pickle

import pytest

from support.tcp_support import Peer, pair, streams_server, turns, until
from wirelane import tcp
from wirelane.core.limits import Limits
from wirelane.errors import (
    ClosedError,
    ConnectionLost,
    EndOfStream,
    LimitExceeded,
    ReadTimeout,
    SendTimeout,
    UsageError,
)

SMALL = Limits(max_send_buffer=10_000, close_timeout=0.2)
# More than the kernel takes for a peer that does not read (tcp_wmem and tcp_rmem grow to 4 and 6 MiB by default).
TOO_MUCH = bytes(32 * 1024 * 1024)


async def stop_reading(peer: Peer) -> None:
    peer.pause()
    await turns(2)


async def test_messages_of_several_tasks_go_out_in_the_order_of_the_calls() -> None:
    async with pair(limits=SMALL) as (connection, peer):
        messages = [bytes([65 + index]) * (1_000_000 + index) for index in range(8)]
        sending = [asyncio.create_task(connection.send(message)) for message in messages]
        wanted = b"".join(messages)
        assert await peer.reader.readexactly(len(wanted)) == wanted
        await asyncio.gather(*sending)


async def test_aclose_is_close_by_the_name_that_contextlib_knows() -> None:
    async with pair() as (connection, _):
        await connection.aclose()
        assert connection.closed


async def test_sending_to_a_peer_that_never_reads_waits_in_bounded_memory() -> None:
    async with pair(limits=SMALL) as (connection, peer):
        await stop_reading(peer)
        sending = asyncio.create_task(connection.send(TOO_MUCH))
        await turns(50)
        transport = connection._protocol.transport
        assert transport is not None
        assert transport.get_write_buffer_size() < 10_000 + 2 * 256 * 1024
        assert not sending.done()
        sending.cancel()
        await asyncio.wait({sending})


async def test_a_send_that_never_had_its_turn_breaks_nothing() -> None:
    async with pair(limits=SMALL) as (connection, peer):
        await stop_reading(peer)
        first = asyncio.create_task(connection.send(TOO_MUCH))
        await turns(5)
        for timeout in (0, 0.01):
            with pytest.raises(SendTimeout) as caught:
                await connection.send(b"second", timeout=timeout)
            assert caught.value.unsent == 6
        third = asyncio.create_task(connection.send(b"third"))
        await turns(2)
        third.cancel()
        await asyncio.wait({third})
        last = asyncio.create_task(connection.send(b"last"))
        peer.resume()
        assert await peer.reader.readexactly(len(TOO_MUCH) + 4) == TOO_MUCH + b"last"
        await asyncio.gather(first, last)


async def test_a_send_cancelled_half_way_ends_sending() -> None:
    async with pair(limits=SMALL) as (connection, peer):
        await stop_reading(peer)
        sending = asyncio.create_task(connection.send(TOO_MUCH))
        waiting = asyncio.create_task(connection.send(b"next"))
        await turns(10)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        with pytest.raises(ClosedError, match="cancelled"):
            await waiting
        with pytest.raises(ClosedError, match="cancelled"):
            await connection.send(b"x")


@pytest.mark.parametrize("step", range(5))
async def test_a_turn_given_to_a_cancelled_sender_goes_to_the_next(step: int) -> None:
    async with pair(limits=SMALL) as (connection, peer):
        await stop_reading(peer)
        first, second, third = (asyncio.create_task(connection.send(TOO_MUCH)) for _ in range(3))
        await turns(10)
        first.cancel()
        await turns(step)
        second.cancel()
        outcomes = await asyncio.gather(first, second, third, return_exceptions=True)
        assert isinstance(outcomes[2], ClosedError)


# -- ends


async def test_linger_ends_when_the_peer_is_gone_and_may_be_cancelled() -> None:
    async with pair(limits=Limits(close_timeout=600)) as (connection, peer):
        peer.reset()
        await connection.close(linger=60)
    for step in range(6):
        async with pair(limits=Limits(close_timeout=600)) as (connection, peer):
            closing = asyncio.create_task(connection.close(linger=60))
            await turns(step)
            closing.cancel()
            await asyncio.wait({closing})
            assert closing.cancelled()
            await connection.close()


async def test_close_cancelled_cuts_at_once() -> None:
    limits = Limits(max_send_buffer=2 * len(TOO_MUCH), close_timeout=600)
    async with pair(limits=limits) as (connection, peer):
        await stop_reading(peer)
        await connection.send(TOO_MUCH)
        closing = asyncio.create_task(connection.close())
        await turns(3)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await connection.close()


async def test_connect_is_awaitable_and_a_context_manager_but_only_once() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())

    async with streams_server(echo) as address:
        connecting = tcp.connect(f"tcp://{address}")
        assert "Connecting" in repr(connecting)
        connection = await connecting
        await connection.send_line("hello")
        assert await connection.read_line() == "hello"
        await connection.close()
        with pytest.raises(UsageError, match="used"):
            await connecting


async def test_a_cancelled_connect_leaves_nothing_open() -> None:
    accepted: list[asyncio.StreamWriter] = []
    ended = cancelled = 0

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal ended
        accepted.append(writer)
        try:
            await reader.read()
        finally:
            ended += 1

    async with streams_server(hold) as address:
        for step in range(8):
            connecting = asyncio.ensure_future(tcp.connect(address).__aenter__())
            await turns(step)
            connecting.cancel()
            await asyncio.wait({connecting})
            if connecting.cancelled():
                cancelled += 1
            else:
                await connecting.result().close()
        # One more, behind which no other waits to be accepted.
        async with tcp.connect(address):
            await until(lambda: len(accepted) == ended + 1)
        await until(lambda: len(accepted) == ended)
        assert cancelled >= 2
    gc.collect()


@pytest.mark.parametrize(
    "error",
    [
        ReadTimeout("m", partial=b"p"),
        EndOfStream("m", partial=b"p"),
        ConnectionLost("m", partial=b"p"),
        LimitExceeded("m", limit="max_bytes", maximum=5, partial=b"p"),
        SendTimeout("m", unsent=5),
    ],
)
def test_errors_survive_pickling_with_what_they_carry(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
