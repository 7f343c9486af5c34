"""A call of any kind, cancelled at each of its awaits, on either side, loses nothing: no stream, no task, no octet of a
window; and the connection goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from support.cancel_acts import KINDS, Acts, Waiting
from support.cancel_support import (
    MOMENTS,
    MOST_STEPS,
    Moment,
    World,
    cancelled_at,
    interrupted_at,
    stepped_handlers,
    world_of,
)
from support.wire_support import LINKS, Link
from wirelane import Limits, RpcError, StatusCode, grpc

Act = Callable[[grpc.Channel], Awaitable[Any]]

# A message of three windows: both ends wait for flow control inside of each.
NARROW = Limits(initial_window=2_000, connection_window=65_535)
SIZE = 6_000
# The connection's window is the narrow one, for both streams of a pair of calls.
SHARED = Limits(initial_window=200_000, connection_window=65_535)
SHARED_SIZE = 150_000
# Only one message at a time is lent what it needs beyond its window.
SCARCE = Limits(initial_window=2_000, max_window=5_000, connection_window=65_535)

FOUR = ["unary", "server_stream", "client_stream", "bidi"]
# How a call ends whose connection is lost; where nothing of it had left, it is sent again.
LOST = (StatusCode.UNAVAILABLE, StatusCode.CANCELLED)

# Turns in which a call that waits for ever comes to its last wait, and some.
TURNS = 40


async def sweep(world: World, act: Act, moment: Moment) -> int:
    """Cancel the act at each of its waits; how many there were."""
    for step in range(MOST_STEPS):
        reached = await cancelled_at(step, moment, lambda: act(world.channel))
        try:
            await world.check()
        except AssertionError as error:
            error.add_note(f"after a cancellation at step {step}")
            raise
        if not reached:
            return step
    raise AssertionError("it never came to an end")


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("link", LINKS)
async def test_a_client_cancelled_at_any_await_loses_nothing(
    link: Link, kind: str, moment: Moment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with world_of(link, monkeypatch, limits=NARROW, message=SIZE, deadlines=True) as world:
        steps = await sweep(world, getattr(Acts(SIZE), kind), moment)
        assert steps >= (4 if moment == "in a turn" else 1)
    assert not caplog.records


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("kind", ["unary", "server_stream", "client_stream", "bidi", "two_at_once"])
async def test_a_client_cancelled_while_the_connections_window_is_shut_loses_nothing(
    kind: str, moment: Moment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with world_of("memory", monkeypatch, limits=SHARED, message=SHARED_SIZE) as world:
        assert await sweep(world, getattr(Acts(SHARED_SIZE), kind), moment) >= 1
    assert not caplog.records


@pytest.mark.parametrize("kind", ["unary", "client_stream", "bidi", "collect"])
@pytest.mark.parametrize("link", LINKS)
async def test_a_call_that_waits_for_ever_is_over_when_it_is_cancelled(
    link: Link, kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with world_of(link, monkeypatch, limits=NARROW, message=SIZE) as world:
        waiting = Waiting(SIZE)
        for step in range(TURNS):
            assert await cancelled_at(step, "in a turn", lambda: waiting.call(kind, world.channel))
            assert waiting.left_open == 0, "the requests are closed before the call is left"
            await world.check()
        assert world.started > TURNS
    assert not caplog.records


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("kind", FOUR)
@pytest.mark.parametrize("link", LINKS)
async def test_a_handler_cancelled_at_any_await_answers_and_loses_nothing(
    link: Link, kind: str, moment: Moment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with world_of(link, monkeypatch, limits=NARROW, message=SIZE) as world:
        act = getattr(Acts(SIZE), kind)
        for step in range(MOST_STEPS):
            with stepped_handlers(step, None, moment) as found:
                try:
                    await act(world.channel)
                except RpcError as error:
                    # What somebody else cancels is told as a server that goes away.
                    assert error.code is StatusCode.UNAVAILABLE, error
                    assert found[0].reached
            await world.check()
            if not found[0].reached:
                break
        assert step >= 1
    assert not caplog.records


@pytest.mark.parametrize("kind", FOUR)
@pytest.mark.parametrize("link", LINKS)
async def test_a_client_that_leaves_at_any_await_of_the_handler_ends_it(
    link: Link, kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with world_of(link, monkeypatch, limits=NARROW, message=SIZE) as world:
        act = getattr(Acts(SIZE), kind)
        for step in range(MOST_STEPS):
            task = asyncio.ensure_future(act(world.channel))
            with stepped_handlers(step, task.cancel, "in a turn") as found:
                await asyncio.wait((task,))
            if not task.cancelled():
                task.result()
            await world.check()
            if not found[0].reached:
                break
        assert step >= 1
    assert not caplog.records


@pytest.mark.parametrize("kind", ["unary", "server_stream", "client_stream", "bidi", "collect"])
async def test_a_call_cancelled_while_others_wait_for_the_same_octets_leaves_them_to_these(
    kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with world_of("memory", monkeypatch, limits=SCARCE, message=SIZE) as world:
        act = getattr(Acts(SIZE), kind)
        for step in range(MOST_STEPS):
            cancelled = asyncio.create_task(cancelled_at(step, "in a turn", lambda: act(world.channel)))
            others = [asyncio.create_task(act(world.channel)) for _ in range(2)]
            done = await asyncio.gather(*others)
            reached = await cancelled
            assert done[0] == done[1]
            await world.check()
            if not reached:
                break
        assert step >= 4
    assert not caplog.records


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "two_at_once"])
@pytest.mark.parametrize("link", LINKS)
async def test_a_deadline_that_passes_at_any_await_of_the_client_ends_the_call_and_nothing_else(
    link: Link, kind: str, moment: Moment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    late = 0
    async with world_of(link, monkeypatch, limits=NARROW, message=SIZE, deadlines=True) as world:
        act = getattr(Acts(SIZE), kind)
        for step in range(MOST_STEPS):
            task, stepped = await interrupted_at(
                step, moment, lambda: act(world.channel), lambda: world.deadlines.expire("client")
            )
            error = task.exception()
            if error is not None:
                assert isinstance(error, RpcError), error
                assert error.code is StatusCode.DEADLINE_EXCEEDED, error
                late += 1
            await world.check()
            if not stepped.reached:
                break
        # One that passes as a call wakes may find it done.
        assert late >= 1 or moment == "as it wakes"
    assert not caplog.records


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("kind", FOUR)
@pytest.mark.parametrize("link", LINKS)
async def test_a_deadline_that_passes_at_any_await_of_the_handler_ends_the_call_and_nothing_else(
    link: Link, kind: str, moment: Moment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    late = 0
    async with world_of(link, monkeypatch, limits=NARROW, message=SIZE, deadlines=True) as world:
        act = getattr(Acts(SIZE), kind)
        for step in range(MOST_STEPS):
            with stepped_handlers(step, lambda: world.deadlines.expire("server"), moment) as found:
                try:
                    await act(world.channel)
                except RpcError as error:
                    # A server that waits for a window resets; the client, whose own clock says nothing, is told so.
                    reset = (StatusCode.CANCELLED, "the server reset the call with CANCEL")
                    assert error.code is StatusCode.DEADLINE_EXCEEDED or (error.code, error.message) == reset
                    late += 1
            await world.check()
            if not found[0].reached:
                break
        # One that passes as a call wakes may find it done.
        assert late >= 1 or moment == "as it wakes"
    assert not caplog.records


@pytest.mark.parametrize("end", ["client", "server"])
@pytest.mark.parametrize("kind", FOUR)
@pytest.mark.parametrize("link", LINKS)
async def test_a_connection_lost_at_any_await_of_the_client_leaves_nothing(
    link: Link, kind: str, end: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lost = 0
    async with world_of(link, monkeypatch, limits=NARROW, message=SIZE, deadlines=True) as world:
        act = getattr(Acts(SIZE), kind)
        for step in range(MOST_STEPS):
            connection = world.client if end == "client" else world.accepted
            task, stepped = await interrupted_at(
                step, "in a turn", lambda: act(world.channel), connection.abort
            )
            error = task.exception()
            if error is not None:
                assert isinstance(error, RpcError), error
                assert error.code in LOST, error
                lost += 1
            if not stepped.reached:
                break
            await world.check_lost()
        assert lost >= 1
    assert not caplog.records


@pytest.mark.parametrize("end", ["client", "server"])
@pytest.mark.parametrize("kind", FOUR)
@pytest.mark.parametrize("link", LINKS)
async def test_a_connection_lost_at_any_await_of_the_handler_leaves_nothing(
    link: Link, kind: str, end: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lost = 0
    async with world_of(link, monkeypatch, limits=NARROW, message=SIZE, deadlines=True) as world:
        act = getattr(Acts(SIZE), kind)
        for step in range(MOST_STEPS):
            connection = world.client if end == "client" else world.accepted
            with stepped_handlers(step, connection.abort, "in a turn") as found:
                try:
                    await act(world.channel)
                except RpcError as error:
                    assert error.code in LOST, error
                    lost += 1
            if not found[0].reached:
                break
            await world.check_lost()
        assert lost >= 1
    assert not caplog.records
