"""Stubs made of the schema, and calls without a channel: written once, run with asyncio and without."""

from __future__ import annotations

import pytest

from support.client_support import PROTO, SERVICE, free_port
from support.sync_support import BlockingNotes
from support.twins_support import serving, silent
from twins.grpc_support import grpcio_server, notes_channel
from wirelane import ConnectError, DeadlineExceeded, RpcError, UsageError, grpc


async def test_a_stub_calls_each_kind_in_its_form() -> None:
    async with notes_channel() as channel:
        calls = channel.service(SERVICE)
        assert (await calls.One({"n": 1}, timeout=10))["n"] == 1
        assert (await calls.one({"n": 1}))["n"] == 1
        async with calls.Down({"n": 2}) as stream:
            assert [message["n"] async for message in stream] == [0, 1]
        assert (await calls.up([{}, {}]))["n"] == 2
        async with calls.up() as stream:
            assert (await stream.finish())["n"] == 0
        async with calls.both_ways([{"n": 5}]) as stream:
            assert [message["n"] async for message in stream] == [5]


async def test_a_stub_takes_what_every_call_takes() -> None:
    notes = BlockingNotes()
    async with notes_channel(notes) as channel:
        await channel.service("Calls").one(
            {}, timeout=5, metadata={"a": "b"}, compression="gzip", wait_for_ready=True
        )
        assert notes.metadata["a"] == "b"
        assert notes.timeouts[-1] is not None


async def test_a_name_that_is_not_there_names_the_nearest() -> None:
    async with notes_channel() as channel:
        calls = channel.service("Calls")
        with pytest.raises(AttributeError, match=r"Calls has no method 'Oen'; did you mean 'One'\?"):
            _ = calls.Oen
        with pytest.raises(AttributeError, match="it has One, Down, Up, BothWays"):
            _ = calls.something_else_entirely
        assert not hasattr(calls, "__wrapped__")
        with pytest.raises(UsageError, match="Calls"):
            channel.service("Cals")


async def test_a_stub_shows_what_it_is() -> None:
    async with notes_channel() as channel:
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
async def test_names_become_snake_case(name: str, alias: str) -> None:
    text = f'syntax = "proto3"; message M {{}} service S {{ rpc {name}(M) returns (M); }}'
    async with grpcio_server() as port, grpc.connect(f"127.0.0.1:{port}", schema=text) as channel:
        assert alias in dir(channel.service("S"))


async def test_the_name_in_the_proto_wins_over_an_alias() -> None:
    text = 'syntax = "proto3"; message M {} service S { rpc get(M) returns (M); rpc Get(M) returns (M); }'
    async with grpcio_server() as port, grpc.connect(f"127.0.0.1:{port}", schema=text) as channel:
        stub = channel.service("S")
        assert (stub.get.info.name, stub.Get.info.name) == ("get", "Get")


async def test_a_call_without_a_channel_is_of_any_kind() -> None:
    async with grpcio_server() as port:
        target = f"127.0.0.1:{port}"
        assert (await grpc.call(target, "Calls/One", {"n": 1}, schema=PROTO))["n"] == 1
        assert [m["n"] for m in await grpc.call(target, "Calls/Down", {"n": 2}, schema=PROTO)] == [0, 1]
        assert (await grpc.call(target, "Calls/Up", [{}, {}], schema=PROTO, timeout=10))["n"] == 2
        assert [m["n"] for m in await grpc.call(target, "Calls/BothWays", [{"n": 3}], schema=PROTO)] == [3]
        with pytest.raises(RpcError, match="it failed"):
            await grpc.call(target, "Calls/One", {"text": "fail"}, schema=PROTO)
        with pytest.raises(UsageError, match="no method"):
            await grpc.call(target, "Calls/None", schema=PROTO)


async def test_the_timeout_of_a_call_without_a_channel_is_for_everything() -> None:
    async with grpcio_server() as port:
        with pytest.raises(DeadlineExceeded):
            await grpc.call(f"127.0.0.1:{port}", "Calls/One", {"text": "hang"}, schema=PROTO, timeout=0.2)
    with serving(silent) as address:
        with pytest.raises(DeadlineExceeded, match="no connection"):
            await grpc.call(address, "Calls/One", schema=PROTO, timeout=0.05)
    with pytest.raises(ConnectError):
        await grpc.call(f"127.0.0.1:{free_port()}", "Calls/One", schema=PROTO)


async def test_channel_call_gives_a_reply_or_a_list() -> None:
    async with notes_channel() as channel:
        assert (await channel.call("Calls/One", {"n": 2}))["n"] == 2
        assert [m["n"] for m in await channel.call("Calls/Down", {"n": 2})] == [0, 1]
