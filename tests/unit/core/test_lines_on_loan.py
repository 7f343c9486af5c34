"""Lines on loan, taken by one thread while another does something else with the buffer: each byte is read once, and in order."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress

import pytest

from wirelane.core.delimiters import line_rule
from wirelane.core.readbuffer import Markers, ReadBuffer

STREAM = b"".join(b"line %d\n" % number for number in range(100))
ROUNDS = 500


@pytest.fixture
def _threads_take_turns_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


ACTS: dict[str, Callable[[ReadBuffer], object]] = {
    "len": len,
    "peek": lambda buffer: buffer.peek(5),
    "size": lambda buffer: buffer.size,
    "repr": repr,
    "unread": lambda buffer: buffer.unread(b""),
    "more": lambda buffer: buffer.append(b""),
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.usefixtures("_threads_take_turns_often")
def test_a_thread_that_takes_lines_and_one_that_looks_do_not_disturb_each_other(act: str) -> None:
    """As `wirelane.sync` has it: the loop's thread lends, others take what was lent."""
    rule = line_rule("\n", "utf-8", 65536, False, "strict")
    lent: deque[str] = deque()
    taken: list[str] = []
    round_, over = threading.Barrier(2, timeout=30), threading.Barrier(2, timeout=30)

    def take() -> None:
        for _ in range(ROUNDS):
            round_.wait()
            with suppress(IndexError):
                while True:
                    taken.append(lent.pop())
            over.wait()

    reader = threading.Thread(target=take)
    reader.start()
    for _ in range(ROUNDS):
        buffer = ReadBuffer()
        buffer.append(STREAM)
        lent = rule.lend(buffer)
        taken.clear()
        round_.wait()
        ACTS[act](buffer)
        over.wait()
        assert "".join(f"{line}\n" for line in taken).encode() + buffer.peek() == STREAM
    reader.join()


def test_what_is_taken_while_the_rest_is_called_back_is_the_beginning() -> None:
    """However the two interleave: here a line is taken at each moment at which the buffer counts."""
    buffer, taken, lent = ReadBuffer(), [], deque[str]()

    def cut(data: bytes) -> list[str]:
        return data.decode().split("\n")[:-1]

    def measure(lines: Collection[str]) -> int:
        size = sum(len(line) + 1 for line in lines)
        with suppress(IndexError):
            taken.append(lent.pop())
        return size

    buffer.append(STREAM)
    for _ in range(20):
        lent = buffer.lend_lines(Markers.of(b"\n"), 65536, cut, measure)
        taken.append(lent.pop())
        len(buffer)
        assert "".join(f"{line}\n" for line in taken).encode() + buffer.peek() == STREAM
    assert len(taken) >= 20


def test_looking_at_how_much_there_is_takes_no_line_back() -> None:
    """`size` tells what `len` would, and leaves on loan what is on loan."""
    rule = line_rule("\n", "utf-8", 65536, False, "strict")
    buffer = ReadBuffer()
    assert buffer.size == 0
    buffer.append(STREAM)
    lent = rule.lend(buffer)
    held = len(lent)
    assert lent.pop() == "line 0"
    assert buffer.size == len(STREAM) - len("line 0\n")
    assert repr(buffer) == f"<ReadBuffer {buffer.size} bytes>"
    assert len(lent) == held - 1
    assert len(buffer) == len(STREAM) - len("line 0\n")
    assert not lent
