"""What messages larger than their windows are lent: from one stock, in order, and always enough for one of them."""

from __future__ import annotations

import pytest

from support.wire_support import DATA, END_STREAM, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame
from wirelane.core.limits import Limits
from wirelane.http2 import Connection, HeaderBlock, Stream

HEAD = ((b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a/b"))
WINDOW, STOCK = 1000, 10_000


class Waiting(Stream):
    """A stream whose reader waits for a message of `size` octets."""

    def __init__(self, connection: Connection, size: int) -> None:
        super().__init__(connection)
        self.size = size
        self.ahead = 0

    def ask(self) -> int:
        ahead = self.make_room(self.size)
        self.ahead += ahead
        return ahead

    def on_room(self) -> None:
        self.ask()


class Client:
    def __init__(self) -> None:
        limits = Limits(initial_window=WINDOW, max_window=STOCK, connection_window=65_535)
        self.engine = Connection(client=True, owner=self, limits=limits)
        self.engine.start()
        self.engine.receive(frame(SETTINGS, 0, 0))
        self.engine.take()

    def output_ready(self) -> None: ...
    def stream_closed(self, stream: Stream) -> None: ...
    def settings_changed(self) -> None: ...
    def input_waits(self) -> None: ...
    def goaway_received(self, code: int, reason: str) -> None: ...
    def engine_ended(self, code: int, reason: str) -> None: ...

    def stream_requested(self, block: HeaderBlock) -> Stream | None:
        return None

    def waiting(self, size: int) -> Waiting:
        stream = Waiting(self.engine, size)
        self.engine.open(stream, HEAD, None)
        stream.ask()
        return stream

    def reset(self, stream: Stream) -> None:
        self.engine.receive(frame(RST_STREAM, 0, stream.id, bytes(4)))


def test_a_message_is_lent_what_its_window_lacks_and_the_server_is_told() -> None:
    client = Client()
    stream = client.waiting(7000)
    assert stream.ahead == 6000
    assert stream.recv_window == 7000
    assert client.engine.flow.stock == STOCK - 6000
    update = frame(WINDOW_UPDATE, 0, stream.id, (6000).to_bytes(4, "big"))
    assert update in b"".join(bytes(piece) for piece in client.engine.take())


def test_what_the_stock_does_not_hold_is_waited_for_in_order() -> None:
    client = Client()
    first, second, third = client.waiting(7000), client.waiting(6000), client.waiting(2000)
    # There would be enough for the third, but the second was there before it.
    assert (first.ahead, second.ahead, third.ahead) == (6000, 0, 0)
    client.engine.flow.repay(first)
    assert (second.ahead, third.ahead) == (5000, 1000)
    assert client.engine.flow.stock == STOCK - 6000


@pytest.mark.parametrize("size", [20_000, 1_000_000])
def test_one_message_is_let_through_whatever_the_stock(size: int) -> None:
    client = Client()
    first, second = client.waiting(size), client.waiting(size)
    assert (first.ahead, second.ahead) == (size - WINDOW, 0)
    client.engine.flow.repay(first)
    assert second.ahead == size - WINDOW


def test_a_stream_that_ends_gives_its_loan_and_its_place_back() -> None:
    client = Client()
    first, second, third = client.waiting(11_000), client.waiting(6000), client.waiting(7000)
    client.reset(second)
    client.reset(first)
    assert third.ahead == 6000
    client.reset(third)
    assert client.engine.flow.stock == STOCK
    assert client.engine.flow.loans == {}


def test_a_stream_that_waits_no_more_lets_the_next_have_its_turn() -> None:
    client = Client()
    first, second, third = client.waiting(11_000), client.waiting(6000), client.waiting(7000)
    second.size = 0
    client.engine.flow.repay(first)
    assert (second.ahead, third.ahead) == (0, 6000)


def test_the_length_of_a_message_may_always_be_read_however_it_is_padded() -> None:
    client = Client()
    client.waiting(11_000)
    stream = client.waiting(WINDOW + 261)
    assert stream.ahead == 261


def test_data_that_was_lent_for_is_taken_whole() -> None:
    client = Client()
    stream = client.waiting(5000)
    client.engine.receive(frame(1, 4, stream.id, b"\x88"))
    client.engine.receive(frame(DATA, 0, stream.id, bytes(4999)) + frame(DATA, END_STREAM, stream.id, b"x"))
    assert stream.remote_closed
    assert not client.engine.ended
