"""A service written in Python whose messages are also those of betterproto2 and google.protobuf.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

# The classes are generated while the tests run, so no type checker knows them.
# mypy: disable-error-code="valid-type,attr-defined"

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from google.protobuf import timestamp_pb2

from support.server_support import generate_demo
from wirelane.sync import CodecError, grpc


def test_messages_of_other_libraries_go_in_and_come_out(tmp_path: Path) -> None:
    """betterproto2 and google.protobuf, as requests and replies and inside of dataclasses; reflection knows their files."""
    generated = generate_demo(tmp_path)
    ask, answer, google = generated.betterproto2.Ask, generated.betterproto2.Answer, timestamp_pb2.Timestamp

    @dataclass
    class Mixed:
        asks: list[ask]
        at: google
        answer: answer | None = None
        either: ask | google | None = None
        named: dict[str, google] = field(default_factory=dict)

    mixed = grpc.Service("mixed.v1.Mixer")

    @mixed.method
    def one(request: ask) -> answer:
        return answer(n=request.n + 1, text=request.text)

    @mixed.method
    def both(requests: Iterator[ask], context: grpc.Context) -> Iterator[answer]:
        for request in requests:
            yield answer(n=request.n)

    @mixed.method
    def mix(request: Mixed) -> Mixed:
        return request

    with (
        grpc.Server([mixed]).listen("127.0.0.1:0") as listening,
        grpc.connect(str(listening.address), schema="reflection") as channel,
    ):
        stub = mixed.stub(channel)
        assert stub.one(ask(n=1, text="x")) == answer(n=2, text="x")
        with stub.both([ask(n=1), ask(n=2)]) as replies:
            assert list(replies) == [answer(n=1), answer(n=2)]
        full = Mixed(
            [ask(n=1), ask()], google(seconds=5), answer(text="y"), google(nanos=1), {"a": google(seconds=2)}
        )
        assert stub.mix(full) == full
        assert stub.mix(Mixed([], google())) == Mixed([], google())
        with pytest.raises(CodecError, match=r"asks\[0\]: expected a \S+Ask, not"):
            stub.mix(Mixed([answer()], google()))
        assert (
            channel.schema.file_containing_symbol("wirelane.tests.server.Ask")
            == "wirelane/tests/server.proto"
        )
        assert channel.unary("mixed.v1.Mixer/One", {"n": 1, "text": "x"}) == {
            "n": 2,
            "text": "x",
            "data": b"",
        }
        reply = channel.unary("mixed.v1.Mixer/Mix", {"asks": [{"n": 1}], "answer": {"n": 3}, "ask": {"n": 4}})
        assert reply == {
            "asks": [{"n": 1, "text": "", "data": b""}],
            "at": datetime(1970, 1, 1, tzinfo=UTC),
            "answer": {"n": 3, "text": "", "data": b""},
            "ask": {"n": 4, "text": "", "data": b""},
            "named": {},
        }
