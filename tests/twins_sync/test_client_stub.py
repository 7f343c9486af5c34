"""Stubs made of the schema, and calls without a channel.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

import pytest

from support.client_support import PROTO, SERVICE, free_port
from support.sync_support import BlockingNotes
from support.twins_sync_support import serving, silent
from twins_sync.grpc_support import grpcio_server, notes_channel
from wirelane.sync import ConnectError, DeadlineExceeded, RpcError, UsageError, grpc


def test_a_stub_calls_each_kind_in_its_form() -> None:
    with notes_channel() as channel:
        calls = channel.service(SERVICE)
        assert (calls.One({"n": 1}, timeout=10))["n"] == 1
        assert (calls.one({"n": 1}))["n"] == 1
        with calls.Down({"n": 2}) as stream:
            assert [message["n"] for message in stream] == [0, 1]
        assert (calls.up([{}, {}]))["n"] == 2
        with calls.up() as stream:
            assert (stream.finish())["n"] == 0
        with calls.both_ways([{"n": 5}]) as stream:
            assert [message["n"] for message in stream] == [5]


def test_a_stub_takes_what_every_call_takes() -> None:
    notes = BlockingNotes()
    with notes_channel(notes) as channel:
        channel.service("Calls").one(
            {}, timeout=5, metadata={"a": "b"}, compression="gzip", wait_for_ready=True
        )
        assert notes.metadata["a"] == "b"
        assert notes.timeouts[-1] is not None


def test_a_name_that_is_not_there_names_the_nearest() -> None:
    with notes_channel() as channel:
        calls = channel.service("Calls")
        with pytest.raises(AttributeError, match=r"Calls has no method 'Oen'; did you mean 'One'\?"):
            _ = calls.Oen
        with pytest.raises(AttributeError, match="it has One, Down, Up, BothWays"):
            _ = calls.something_else_entirely
        assert not hasattr(calls, "__wrapped__")
        with pytest.raises(UsageError, match="Calls"):
            channel.service("Cals")


def test_a_stub_shows_what_it_is() -> None:
    with notes_channel() as channel:
        calls = channel.service("Calls")
        assert {"One", "one", "Down", "BothWays", "both_ways"} <= set(dir(calls))
        assert repr(calls) == f"<service {SERVICE} on {channel!r}: One, Down, Up, BothWays>"
        assert "Channel grpc://127.0.0.1:" in repr(calls)
        note = "wirelane.tests.client.Note"
        assert repr(calls.BothWays) == f"<{SERVICE}/BothWays(stream {note}) returns (stream {note})>"
        assert calls.One.__doc__ == "Answers with the request."
        assert calls.Down.__doc__ == f"{SERVICE}/Down: server stream"
        assert calls.One is calls.One


@pytest.mark.parametrize(
    ("name", "alias"),
    [("GetURLById", "get_url_by_id"), ("sum", "sum"), ("Do2Things", "do2_things"), ("XY", "xy")],
)
def test_names_become_snake_case(name: str, alias: str) -> None:
    text = f'syntax = "proto3"; message M {{}} service S {{ rpc {name}(M) returns (M); }}'
    with grpcio_server() as port, grpc.connect(f"127.0.0.1:{port}", schema=text) as channel:
        assert alias in dir(channel.service("S"))


def test_the_name_in_the_proto_wins_over_an_alias() -> None:
    text = 'syntax = "proto3"; message M {} service S { rpc get(M) returns (M); rpc Get(M) returns (M); }'
    with grpcio_server() as port, grpc.connect(f"127.0.0.1:{port}", schema=text) as channel:
        stub = channel.service("S")
        assert (stub.get.info.name, stub.Get.info.name) == ("get", "Get")


def test_a_call_without_a_channel_is_of_any_kind() -> None:
    with grpcio_server() as port:
        target = f"127.0.0.1:{port}"
        assert (grpc.call(target, "Calls/One", {"n": 1}, schema=PROTO))["n"] == 1
        assert [m["n"] for m in grpc.call(target, "Calls/Down", {"n": 2}, schema=PROTO)] == [0, 1]
        assert (grpc.call(target, "Calls/Up", [{}, {}], schema=PROTO, timeout=10))["n"] == 2
        assert [m["n"] for m in grpc.call(target, "Calls/BothWays", [{"n": 3}], schema=PROTO)] == [3]
        with pytest.raises(RpcError, match="it failed"):
            grpc.call(target, "Calls/One", {"text": "fail"}, schema=PROTO)
        with pytest.raises(UsageError, match="no method"):
            grpc.call(target, "Calls/None", schema=PROTO)


def test_the_timeout_of_a_call_without_a_channel_is_for_everything() -> None:
    with grpcio_server() as port:
        with pytest.raises(DeadlineExceeded):
            grpc.call(f"127.0.0.1:{port}", "Calls/One", {"text": "hang"}, schema=PROTO, timeout=0.2)
    with serving(silent) as address:
        with pytest.raises(DeadlineExceeded, match="no connection"):
            grpc.call(address, "Calls/One", schema=PROTO, timeout=0.05)
    with pytest.raises(ConnectError):
        grpc.call(f"127.0.0.1:{free_port()}", "Calls/One", schema=PROTO)


def test_channel_call_gives_a_reply_or_a_list() -> None:
    with notes_channel() as channel:
        assert (channel.call("Calls/One", {"n": 2}))["n"] == 2
        assert [m["n"] for m in channel.call("Calls/Down", {"n": 2})] == [0, 1]
