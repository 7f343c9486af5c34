"""A wirelane channel on a wirelane server, what only both ends together show.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

import pytest

from support.server_support import DEMO_SERVICE, demo_schema
from support.twins_sync_support import Event, gather, start, until
from twins_sync.server_support import demo_server, listening
from wirelane.sync import RpcError, StatusCode, grpc


def connect(at, **options):
    return grpc.connect(f"127.0.0.1:{at.port}", **{"schema": demo_schema(), **options})


def counting_server():
    """Return a server with one handler of each kind."""
    server = demo_server()

    @server.method("Demo/One")
    def one(request):
        return {"n": request["n"] + 1}

    @server.method("Demo/Down")
    def down(request):
        for n in range(request["n"]):
            yield {"n": n + 1}

    @server.method("Demo/Up")
    def up(requests):
        return {"n": sum([request["n"] for request in requests])}

    @server.method("Demo/Both")
    def both(requests):
        for request in requests:
            yield {"n": request["n"] * 2}

    return server


@pytest.mark.parametrize("schema", ["given", "reflection"])
def test_the_four_kinds(schema):
    source = demo_schema() if schema == "given" else "reflection"
    with listening(counting_server()) as at, connect(at, schema=source) as channel:
        assert (channel.unary(f"{DEMO_SERVICE}/One", {"n": 1}))["n"] == 2
        assert [reply["n"] for reply in channel.collect("Demo/Down", {"n": 3})] == [1, 2, 3]
        assert (channel.client_stream("Demo/Up", [{"n": 1}, {"n": 2}]))["n"] == 3
        with channel.bidi_stream("Demo/Both") as stream:
            for n in (1, 2):
                stream.send({"n": n})
                assert (stream.receive())["n"] == n * 2
            stream.done_sending()
            assert stream.receive() is None


def test_details_and_trailing_metadata_of_an_error_arrive():
    detail = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "GONE", "domain": "users"}
    server = demo_server()

    @server.method("Demo/One")
    def one(request, context):
        context.trailing_metadata["x-trailer"] = "yes"
        context.abort(StatusCode.NOT_FOUND, "no such user", details=[detail])

    with listening(server) as at, connect(at) as channel:
        with pytest.raises(RpcError) as caught:
            channel.unary("Demo/One", {"n": 1})
    error = caught.value
    assert (error.code, error.message, error.from_peer) == (StatusCode.NOT_FOUND, "no such user", True)
    assert error.details[0]["reason"] == "GONE"
    assert error.metadata is not None
    assert error.metadata["x-trailer"] == "yes"


def test_a_call_made_inside_a_handler_inherits_the_deadline_of_the_handlers_call():
    seen = []
    back = demo_server()

    @back.method("Demo/One")
    def last(request, context):
        seen.append(context.time_remaining())
        return {"n": 1}

    with listening(back) as back_at, connect(back_at) as inner:
        front = demo_server()

        @front.method("Demo/One")
        def first(request):
            return inner.unary("Demo/One", request)

        with listening(front) as at, connect(at) as channel:
            channel.unary("Demo/One", {"n": 1}, timeout=50)
            channel.unary("Demo/One", {"n": 1})
    assert 0 < seen[0] <= 50
    assert seen[1] is None


def test_calls_on_a_channel_survive_a_restart_of_the_server():
    server = counting_server()
    with listening(server) as at:
        channel = connect(at)
        assert (channel.unary("Demo/One", {"n": 1}))["n"] == 2
    with channel, listening(server, f"127.0.0.1:{at.port}"):
        assert (channel.unary("Demo/One", {"n": 2}, timeout=20, wait_for_ready=True))["n"] == 3


def test_no_call_is_lost_while_servers_take_turns_behind_one_address():
    server = counting_server()
    done = 0
    with listening(server) as at:
        channel = connect(at)
        stop = Event()

        def keep_calling():
            nonlocal done
            while not stop.is_set():
                channel.unary("Demo/One", {"n": 1}, timeout=20, wait_for_ready=True)
                done += 1

        callers = [start(keep_calling) for _ in range(8)]
        until(lambda: done > 50)
    for _ in range(3):
        before = done
        with listening(server, f"127.0.0.1:{at.port}"):
            until(lambda before=before: done > before + 50)
            if _ == 2:
                stop.set()
                gather(*callers)
    channel.close()


def test_handler_that_never_reads_may_answer_at_once():
    server = demo_server()

    @server.method("Demo/Up")
    def up(requests):
        return {"n": 7}

    @server.method("Demo/Both")
    def both(requests):
        yield {"n": 7}

    # Not against grpc.aio: its client fails with INTERNAL when the answer overtakes what it still sends.
    with listening(server) as at, connect(at) as channel:
        for _ in range(20):
            reply = channel.client_stream("Demo/Up", [{"n": 1}] * 10)
            assert reply["n"] == 7
            replies = channel.collect("Demo/Both", [{"n": 1}] * 10)
            assert [reply["n"] for reply in replies] == [7]
