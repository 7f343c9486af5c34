"""`Trace`: what it keeps, what it writes, and that nothing that is wrong with its file reaches anybody."""

from __future__ import annotations

import io
import json
import logging
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from wirelane import Trace, TraceEntry, UsageError
from wirelane.net.trace import Conversation


def talk(trace: Trace, *said: bytes, peer: str = "host:1") -> None:
    """Log a connection from its beginning to its end."""
    conversation = trace.conversation(peer)
    for data in said:
        conversation.sent((data,))
        conversation.received(data.upper())
    conversation.end("closed")


def shown(trace: Trace) -> list[tuple[str, int, bytes, str]]:
    return [(each.direction, each.size, each.data, each.text) for each in trace.entries()]


def test_entries_are_kept_in_order_with_their_connection() -> None:
    trace = Trace()
    talk(trace, b"one")
    talk(trace, b"two", peer="other:2")
    assert shown(trace)[:3] == [
        ("sent", 3, b"one", ""),
        ("received", 3, b"ONE", ""),
        ("event", 0, b"", "closed"),
    ]
    assert [(each.connection, each.peer) for each in trace.entries()] == [(1, "host:1")] * 3 + [
        (2, "other:2")
    ] * 3
    times = [each.time for each in trace.entries()]
    assert times == sorted(times)
    assert len(trace.entries(2)) == 2
    assert trace.text(1).endswith("#2 other:2 closed\n")
    assert json.loads(trace.text(1, format="json"))["text"] == "closed"
    trace.clear()
    assert (trace.entries(), trace.dropped) == ([], 0)


def test_what_is_kept_is_bounded_and_the_size_is_the_true_one() -> None:
    trace = Trace(max_entries=3, max_bytes=10, max_data=6)
    talk(trace, b"x" * 1000, b"y" * 1000)
    assert shown(trace) == [("event", 0, b"", "closed")]
    assert trace.dropped == 4
    assert "2000 bytes sent, 2000 received" in repr(trace)


def test_parts_of_one_write_are_one_entry() -> None:
    trace = Trace(max_data=5)
    conversation = trace.conversation("host:1")
    conversation.sent([b"abc", bytearray(b"def"), memoryview(b"ghi")])
    conversation.sent([memoryview(b"\1\0\2\0").cast("H")])
    conversation.end("closed")
    assert shown(trace)[:2] == [("sent", 9, b"abcde", ""), ("sent", 4, b"\1\0\2\0", "")]


def test_what_was_written_may_change_afterwards() -> None:
    trace, data = Trace(), bytearray(b"before")
    conversation = trace.conversation("host:1")
    conversation.sent([data])
    conversation.received(data)
    data[:] = b"after!"
    conversation.end("closed")
    assert [each.data for each in trace.entries(3)[:2]] == [b"before", b"before"]


def test_a_file_gets_every_line_as_it_comes_and_is_closed_with_the_last_connection(tmp_path: Path) -> None:
    path = tmp_path / "log"
    trace = Trace(file=path, max_entries=0)
    assert not path.exists()
    first, second = trace.conversation("a:1"), trace.conversation("b:2")
    first.sent([b"one\n"])
    assert path.read_text().endswith(r"#1 a:1 sent 4 bytes: one\n" + "\n")
    first.end("closed")
    second.received(b"two\n")
    second.end("closed")
    assert [line.split(" ", 2)[2] for line in path.read_text().splitlines()] == [
        r"#1 a:1 sent 4 bytes: one\n",
        "#1 a:1 closed",
        r"#2 b:2 received 4 bytes: two\n",
        "#2 b:2 closed",
    ]
    assert not [fd for fd in os.listdir("/proc/self/fd") if _leads_to(fd, path)]
    assert trace.entries() == []
    talk(trace, b"three")  # opened once more, and appended
    assert len(path.read_text().splitlines()) == 7
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def _leads_to(fd: str, path: Path) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{fd}") == str(path)
    except OSError:
        return False


def test_a_file_object_is_written_and_left_open() -> None:
    file = io.StringIO()
    talk(Trace(file=file, format="hex"), b"abc")
    assert "00000000  61 62 63" in file.getvalue()
    assert not file.closed


def test_a_function_may_be_the_format() -> None:
    file = io.StringIO()
    trace = Trace(file=file, format=lambda entry: f"{entry.direction[0]}{entry.size}.")
    talk(trace, b"abc")
    assert file.getvalue() == "s3.r3.e0."
    assert trace.text() == "s3.r3.e0."


@pytest.mark.parametrize("kind", ["missing directory", "full", "closed", "raises", "format raises"])
def test_a_file_that_fails_is_told_once_and_harms_nothing(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Raises:
        def write(self, text: str) -> object:
            raise KeyError("not today")

    def fails(entry: TraceEntry) -> str:
        raise KeyError("no format")

    closed = io.StringIO()
    closed.close()
    file: Any = {
        "missing directory": tmp_path / "none" / "log",
        "full": "/dev/full",
        "closed": closed,
        "raises": Raises(),
        "format raises": io.StringIO(),
    }[kind]
    trace = Trace(file=file, format=fails if kind == "format raises" else "text")
    with caplog.at_level(logging.WARNING, "wirelane.trace"):
        talk(trace, b"one", b"two")
    assert len(caplog.records) == 1
    assert "goes on without it" in caplog.records[0].getMessage()
    assert trace.file_error is not None
    assert len(trace.entries()) == 5
    assert "failed" in repr(trace)


def test_threads_may_write_and_read_at_once() -> None:
    file = io.StringIO()
    trace = Trace(file=file, max_entries=50)

    def write() -> None:
        for _ in range(200):
            talk(trace, b"x")

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert len(trace.entries()) <= 50
        repr(trace)
    for thread in threads:
        thread.join()
    lines = file.getvalue().splitlines()
    assert len(lines) == 4 * 200 * 3
    assert all(line.endswith((": x", ": X", " closed")) for line in lines)
    assert {each.connection for each in trace.entries()} <= set(range(1, 801))
    assert trace.dropped == 2400 - 50


def test_repr_shows_sizes_and_no_secret(tmp_path: Path) -> None:
    trace = Trace(file=tmp_path / "log")
    talk(trace, b"password")
    assert repr(trace) == (
        f"<Trace 3 entries, 8 bytes sent, 8 received, on 1 connection, {str(tmp_path / 'log')!r}>"
    )


def test_the_end_is_logged_once() -> None:
    trace = Trace()
    conversation: Conversation = trace.conversation("host:1")
    conversation.end("lost")
    conversation.end("closed")
    assert [each.text for each in trace.entries()] == ["lost"]


def test_what_may_be_given_as_trace(tmp_path: Path) -> None:
    given = Trace()
    assert Trace.of(None) is None
    assert Trace.of(False) is None
    assert Trace.of(given) is given
    assert isinstance(Trace.of(True), Trace)
    made = Trace.of(str(tmp_path / "log"))
    assert made is not None
    talk(made, b"x")
    assert (tmp_path / "log").exists()
    with pytest.raises(UsageError, match=r"trace must be True, a path or a Trace\(...\), not 7"):
        Trace.of(7)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"format": "yaml"}, "format is one of text, hex, json"),
        ({"max_entries": -1}, "max_entries"),
        ({"max_bytes": 1.5}, "max_bytes"),
        ({"max_data": True}, "max_data"),
        ({"file": 7}, "file must be a path"),
        ({"file": io.BytesIO()}, "opened for text"),
    ],
)
def test_settings_that_cannot_be_are_named(arguments: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Trace(**arguments)
    with pytest.raises(UsageError, match="last"):
        Trace().entries(-1)
    with pytest.raises(UsageError, match="format"):
        Trace().text(format="xml")  # type: ignore[arg-type]
