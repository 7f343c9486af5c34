"""The tap between a protocol and its transport lets everything through as it is, and logs it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support.net_support import LOOPBACK, Accepting, Authority, Recorder, ended
from wirelane import ConnectError, Trace
from wirelane.net import dial, listen, start_tls
from wirelane.net.tap import Tap, TappedTransport, connecting, tap_of, tapped


def told(trace: Trace) -> list[str]:
    return [each.text or f"{each.direction} {each.data!r}" for each in trace.entries()]


class Ends:
    """A traced protocol, and the one at the other end."""

    def __init__(self, here: Recorder, there: Recorder, trace: Trace) -> None:
        self.here, self.there, self.trace = here, there, trace

    @property
    def transport(self) -> TappedTransport:
        return self.here.transport


@pytest.fixture
async def make():
    """Connect a traced protocol to one that is not."""
    open_: list[Any] = []

    async def connect(here: Any = None, tls: Authority | None = None) -> Ends:
        here = Recorder(keep_open=True) if here is None else here
        accepting = Accepting(lambda: Recorder(keep_open=True))
        listening = await listen(accepting, LOOPBACK, tls=None if tls is None else tls.server())
        trace = Trace()
        with connecting(trace, listening.address) as tap:
            await dial(lambda: tap(here), listening.address, tls=None if tls is None else tls.client())
        there = await accepting.one()
        listening.close()
        await listening.wait_closed()
        open_.append((here, there))
        return Ends(here, there, trace)

    yield connect
    for here, there in open_:
        await ended(*(each for each in (here, there) if isinstance(each, Recorder)))


async def test_what_is_said_and_what_happens_is_logged(make) -> None:
    ends = await make()
    peer = f"127.0.0.1:{ends.transport.get_extra_info('peername')[1]}"
    local = f"127.0.0.1:{ends.transport.get_extra_info('sockname')[1]}"
    ends.transport.write(b"one")
    ends.transport.writelines([b"two", bytearray(b"three"), memoryview(b"four")])
    assert await ends.there.until_received(15) == b"onetwothreefour"
    ends.there.transport.write(b"answer")
    assert await ends.here.until_received(6) == b"answer"
    ends.transport.write_eof()
    await ends.there.until(lambda r: r.ended)
    ends.there.transport.write_eof()
    await ends.here.until(lambda r: r.ended)
    ends.transport.close()
    await ends.here.until_lost()
    assert told(ends.trace) == [
        "connecting",
        f"connected to {peer} from {local}",
        "sent b'one'",
        "sent b'twothreefour'",
        "received b'answer'",
        "this side ended its stream",
        "the peer ended its stream",
        "closing",
        "closed",
    ]
    assert {each.peer for each in ends.trace.entries()} == {peer}


async def test_over_tls_it_is_the_plain_text(make) -> None:
    ends = await make(tls=Authority())
    ends.transport.write(b"secret")
    assert await ends.there.until_received(6) == b"secret"
    assert told(ends.trace)[2:] == [
        f"TLS: TLSv1.3, {ends.transport.get_extra_info('cipher')[0]}",
        "sent b'secret'",
    ]


async def test_tls_that_starts_later_goes_below_the_tap(make) -> None:
    authority = Authority()
    ends = await make()
    ends.transport.write(b"STARTTLS")
    await ends.there.until_received(8)
    here, there = await asyncio.gather(
        start_tls(ends.transport, ends.here, authority.client(), server_name="localhost"),
        start_tls(ends.there.transport, ends.there, authority.server(), server_side=True),
    )
    assert isinstance(here, TappedTransport)
    assert here.get_extra_info("tls_version") == "TLSv1.3"
    ends.here.transport, ends.there.transport = here, there
    here.write(b"inside")
    assert (await ends.there.until_received(14)).endswith(b"inside")
    there.write(b"answer")
    await ends.here.until_received(6)
    after = told(ends.trace)[2:]
    assert after == [
        "sent b'STARTTLS'",
        f"TLS: TLSv1.3, {here.get_extra_info('cipher')[0]}",
        "sent b'inside'",
        "received b'answer'",
    ]


async def test_tls_that_fails_is_told_as_the_loss(make) -> None:
    ends = await make()
    task = asyncio.create_task(
        start_tls(ends.transport, ends.here, Authority().client(), server_name="localhost")
    )
    await ends.there.until(lambda r: r.received)
    ends.there.transport.write(b"what did you say?\n")
    with pytest.raises(Exception, match="speaks plaintext"):
        await task
    await ends.here.until_lost()
    assert told(ends.trace)[-1].startswith("lost: ")
    assert "speaks plaintext" in told(ends.trace)[-1]


async def test_a_loss_says_why(make) -> None:
    ends = await make()
    ends.there.transport.get_extra_info("socket").setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER: reset
    ends.there.transport.abort()
    assert isinstance(await ends.here.until_lost(), ConnectionResetError)
    assert told(ends.trace)[-1] == "lost: connection reset by peer"


async def test_cutting_is_told_and_what_is_written_afterwards_is_not(make) -> None:
    ends = await make()
    ends.transport.abort()
    ends.transport.abort()
    ends.transport.close()
    ends.transport.write(b"nobody hears it")
    ends.transport.writelines([b"nor this"])
    await ends.here.until_lost()
    assert told(ends.trace)[2:] == ["cut by this side", "closed"]


async def test_a_connection_that_is_not_made_says_why() -> None:
    trace = Trace()
    accepting = await listen(Recorder, LOOPBACK)
    accepting.close()
    await accepting.wait_closed()
    with pytest.raises(ConnectError), connecting(trace, accepting.address) as tap:
        await dial(lambda: tap(Recorder()), accepting.address)
    assert told(trace) == [
        "connecting",
        f"not connected: cannot connect to {accepting.address}: connection refused",
    ]


async def test_a_connection_that_is_cancelled_says_so() -> None:
    trace = Trace()

    async def connect() -> None:
        with connecting(trace, "host:1"):
            await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(connect())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told(trace) == ["connecting", "not connected: cancelled"]


async def test_a_listener_logs_each_of_its_clients_by_its_address() -> None:
    trace = Trace()
    accepting = Accepting()
    async with await listen(lambda: tapped(accepting(), trace), LOOPBACK) as listening:
        one, first = await dial(Recorder, listening.address)
        two, second = await dial(Recorder, listening.address)
        one.write(b"1")
        two.write(b"2")
        servers = [await accepting.one(), await accepting.one()]
        for each in servers:
            await each.until_received(1)
        ports = [each.get_extra_info("sockname")[1] for each in (one, two)]
        await ended(first, second, *servers)
    said = {(each.peer, each.data) for each in trace.entries() if each.direction == "received"}
    assert said == {(f"127.0.0.1:{port}", data) for port, data in zip(ports, (b"1", b"2"), strict=True)}
    assert told(trace).count("accepted") == told(trace).count("closed") == 2


async def test_flow_control_goes_through_in_both_directions(make) -> None:
    ends = await make()
    ends.transport.set_write_buffer_limits(high=1000, low=10)
    assert ends.transport.get_write_buffer_limits() == (10, 1000)
    ends.there.transport.pause_reading()
    for _ in range(400):
        ends.transport.write(bytes(65536))
        if "pause" in ends.here.events:
            break
    assert ends.transport.get_write_buffer_size() > 1000
    ends.there.transport.resume_reading()
    await ends.here.until(lambda r: "resume" in r.events)
    ends.transport.pause_reading()
    assert not ends.transport.is_reading()
    ends.there.transport.write(b"later")
    await asyncio.sleep(0.01)
    assert ends.here.received == b""
    ends.transport.resume_reading()
    assert await ends.here.until_received(5) == b"later"


async def test_a_transport_behind_a_tap_tells_what_the_real_one_does(make) -> None:
    ends = await make()
    wire = ends.transport.wire
    assert ends.transport.can_write_eof() is wire.can_write_eof() is True
    assert ends.transport.is_closing() is False
    assert ends.transport.get_extra_info("trace") is ends.trace
    assert ends.transport.get_extra_info("no such thing", "default") == "default"
    assert ends.transport.get_protocol() is ends.here
    assert tap_of(ends.transport) is ends.transport.tap
    assert tap_of(wire) is None
    other = Recorder(keep_open=True)
    ends.transport.set_protocol(other)
    ends.there.transport.write(b"for the other")
    assert await other.until_received(13) == b"for the other"
    ends.transport.set_protocol(ends.here)


class Buffered(asyncio.BufferedProtocol):
    """A protocol with a small buffer of its own."""

    def __init__(self) -> None:
        self.buffer = bytearray(4)
        self.received = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.received += self.buffer[:nbytes]
        self.buffer = self.buffer[:] if nbytes == 4 else bytearray(4)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.done.set_result(None)


async def test_a_protocol_with_a_buffer_of_its_own_gets_its_data_in_it(make) -> None:
    here = Buffered()
    ends = await make(here)
    ends.there.transport.write(b"more than four")
    ends.there.transport.close()
    await here.done
    assert here.received == b"more than four"
    assert "received b'more than four'" in told(ends.trace)


async def test_a_protocol_that_fails_fails_as_without_a_tap(make) -> None:
    def fail(recorder: Recorder, data: bytes) -> None:
        raise ValueError("a fault of the protocol")

    seen: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context))
    ends = await make(Recorder(fail))
    ends.there.transport.write(b"x")
    await ends.here.until_lost()
    assert [str(each["exception"]) for each in seen] == ["a fault of the protocol"]
    assert told(ends.trace)[-1] == "lost: a fault of the protocol"


async def test_errors_of_the_transport_come_through(make) -> None:
    ends = await make()
    ends.transport.write_eof()
    with pytest.raises(RuntimeError):
        ends.transport.write(b"after the end")
    assert told(ends.trace)[-1] == "this side ended its stream"
    with pytest.raises((TypeError, RuntimeError)):
        ends.transport.write("text")


def test_without_a_trace_there_is_no_tap() -> None:
    protocol = Recorder()
    assert tapped(protocol, None) is protocol
    with connecting(None, "host:1") as tap:
        assert tap(protocol) is protocol
    assert isinstance(tapped(protocol, Trace()), Tap)
