"""Calls to a wirelane server as grpcio's client sees them: the four kinds, metadata, statuses.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

import logging

import grpc as grpcio
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from support.server_support import DEMO_SERVICE
from support.twins_sync_support import Event
from twins_sync.server_support import answering, demo_server, failure, grpcio_client, listening
from wirelane.grpc.context import current_deadline
from wirelane.sync import DeadlineExceeded, Limits, RpcError, StatusCode, UsageError

# -- the four kinds ---------------------------------------------------------------------------------------------


def test_unary_request_and_reply_are_dicts():
    def one(request, context):
        assert request["n"] == 5
        return {"n": request["n"] + 1, "text": context.method}

    with listening(answering(One=one)) as at, grpcio_client(at) as client:
        reply = client.unary_unary("One", {"n": 5}).reply()
    assert (reply["n"], reply["text"]) == (6, f"{DEMO_SERVICE}/One")


def test_handler_may_take_the_request_alone_and_return_none_for_an_empty_reply():
    def one(request):
        return None

    with listening(answering(One=one)) as at, grpcio_client(at) as client:
        assert (client.unary_unary("One", {"n": 5}).reply()).get("n", 0) == 0


def test_server_stream_handler_is_a_generator():
    def down(request, context):
        for n in range(request["n"]):
            yield {"n": n}

    with listening(answering(Down=down)) as at, grpcio_client(at) as client:
        replies = [reply["n"] for reply in client.unary_stream("Down", {"n": 300}).replies()]
    assert replies == list(range(300))


def test_server_stream_of_nothing_is_ok():
    def down(request):
        return
        yield

    with listening(answering(Down=down)) as at, grpcio_client(at) as client:
        call = client.unary_stream("Down", {})
        assert call.replies() == []
        assert call.code() is grpcio.StatusCode.OK


def test_server_stream_handler_may_return_an_iterator():
    def numbers(count):
        for n in range(count):
            yield {"n": n + 1}

    def down(request):
        return numbers(request["n"])

    with listening(answering(Down=down)) as at, grpcio_client(at) as client:
        assert [reply["n"] for reply in client.unary_stream("Down", {"n": 3}).replies()] == [1, 2, 3]


def test_client_stream_handler_takes_an_iterator():
    def up(requests, context):
        return {"n": sum([request["n"] for request in requests])}

    with listening(answering(Up=up)) as at, grpcio_client(at) as client:
        assert (client.stream_unary("Up", [{"n": 1}, {"n": 2}, {"n": 3}]).reply())["n"] == 6


def test_bidi_handler_answers_while_requests_come():
    def both(requests, context):
        for request in requests:
            yield {"n": request["n"] * 2}

    with listening(answering(Both=both)) as at, grpcio_client(at) as client:
        call = client.stream_stream("Both")
        for n in (1, 2, 3):
            call.write({"n": n})
            assert (call.read())["n"] == n * 2
        call.done_writing()
        assert call.read() is None


def test_messages_larger_than_the_windows_go_through_in_both_directions():
    limits = Limits(initial_window=20_000, connection_window=65_535)

    def both(requests):
        for request in requests:
            yield {"data": request["data"] * 2}

    with listening(answering(Both=both, options={"limits": limits})) as at, grpcio_client(at) as client:
        call = client.stream_stream("Both", [{"data": bytes(400_000)}] * 3)
        assert [len(reply["data"]) for reply in call.replies()] == [800_000] * 3


def test_many_calls_at_once_on_one_connection():
    def one(request):
        return {"n": request["n"]}

    with listening(answering(One=one)) as at, grpcio_client(at) as client:
        calls = [client.unary_unary("One", {"n": n}) for n in range(1, 301)]
        replies = [call.reply() for call in calls]
    assert [reply["n"] for reply in replies] == list(range(1, 301))


# -- metadata ---------------------------------------------------------------------------------------------------


def test_metadata_travels_both_ways():
    def one(request, context):
        context.send_initial_metadata({"x-initial": "hello", "x-initial-bin": b"\x00\xff"})
        for value in context.metadata.get_all("x-many"):
            context.trailing_metadata.add("x-many-back", value)
        context.trailing_metadata["x-trailer-bin"] = context.metadata["x-ask-bin"]
        return {}

    with listening(answering(One=one)) as at, grpcio_client(at) as client:
        call = client.unary_unary(
            "One", {}, metadata=(("x-many", "1"), ("x-many", "2"), ("x-ask-bin", b"\xab\xab"))
        )
        call.reply()
        initial, trailing = call.initial_metadata(), call.trailing_metadata()
    assert (initial["x-initial"], initial["x-initial-bin"]) == ("hello", b"\x00\xff")
    assert (trailing.get_all("x-many-back"), trailing["x-trailer-bin"]) == (["1", "2"], b"\xab\xab")


def test_initial_metadata_arrives_before_the_first_message():
    release = Event()

    def down(request, context):
        context.send_initial_metadata({"x-early": "yes"})
        release.wait()
        yield {"n": 1}

    with listening(answering(Down=down)) as at, grpcio_client(at) as client:
        call = client.unary_stream("Down", {})
        assert (call.initial_metadata())["x-early"] == "yes"
        release.set()
        assert [reply["n"] for reply in call.replies()] == [1]


def test_initial_metadata_is_sent_once():
    refused = []

    def down(request, context):
        yield {"n": 1}
        with pytest.raises(UsageError) as caught:
            context.send_initial_metadata({"x": "late"})
        refused.append(str(caught.value))

    with listening(answering(Down=down)) as at, grpcio_client(at) as client:
        assert len(client.unary_stream("Down", {}).replies()) == 1
    assert "already" in refused[0]


def test_reserved_trailing_metadata_is_internal_and_logged(caplog):
    def one(request, context):
        context.trailing_metadata["grpc-status"] = "0"
        return {}

    with listening(answering(One=one)) as at, grpcio_client(at) as client:
        assert (failure(client.unary_unary("One", {})))[0] == "INTERNAL"
    assert len(caplog.records) == 1


def test_context_knows_peer_authority_and_deadline():
    seen = {}

    def one(request, context):
        seen.update(
            peer=str(context.peer),
            authority=context.authority,
            left=context.time_remaining(),
            repr=repr(context),
        )
        seen["inherited"] = current_deadline.get() == context.deadline
        return {}

    with listening(answering(One=one)) as at, grpcio_client(at) as client:
        client.unary_unary("One", {}, timeout=30).reply()
        authority = f"127.0.0.1:{at.port}"
    assert seen["peer"].startswith("127.0.0.1:")
    assert seen["authority"] == authority
    assert 0 < seen["left"] < 31  # grpcio rounds up what it sends
    assert seen["inherited"]
    assert f"Context {DEMO_SERVICE}/One from 127.0.0.1:" in seen["repr"]


def test_call_without_a_deadline_inherits_none_from_where_the_server_was_started(caplog):
    seen = []

    def one(request, context):
        seen.append((current_deadline.get(), context.deadline, context.time_remaining()))
        return {}

    with listening(answering(One=one)) as at, grpcio_client(at) as client:
        client.unary_unary("One", {}).reply()
    assert seen == [(None, None, None)]


# -- statuses ---------------------------------------------------------------------------------------------------


def test_rpc_error_of_a_handler_is_the_status_of_the_call_with_details_and_metadata():
    def one(request, context):
        context.trailing_metadata["x-both"] = "context"
        context.trailing_metadata["x-context"] = "kept"
        raise RpcError(
            StatusCode.NOT_FOUND,
            "no such user: ☺",
            details=[
                {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "GONE", "domain": "users"}
            ],
            metadata=context.metadata.copy().merged({"x-both": "error"}),
        )

    server = demo_server()

    @server.method("Demo/One")
    def handler(request, context):
        context.metadata.clear()
        return one(request, context)

    with listening(server) as at, grpcio_client(at) as client:
        error = client.unary_unary("One", {}).error()
    assert (error.code(), error.details()) == (grpcio.StatusCode.NOT_FOUND, "no such user: ☺")
    trailing = dict(error.trailing_metadata())
    assert (trailing["x-both"], trailing["x-context"]) == ("error", "kept")
    status = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == ("GONE", "users")


def test_abort_ends_the_call():
    def one(request, context):
        context.abort(StatusCode.ABORTED if request["n"] == 1 else "FAILED_PRECONDITION", "plain")

    with listening(answering(One=one)) as at, grpcio_client(at) as client:
        assert failure(client.unary_unary("One", {"n": 1})) == ("ABORTED", "plain")
        assert failure(client.unary_unary("One", {"n": 2})) == ("FAILED_PRECONDITION", "plain")


def test_status_after_messages_of_a_stream():
    def down(request, context):
        yield {"n": 1}
        context.abort(StatusCode.DATA_LOSS, "half of it is gone")

    with listening(answering(Down=down)) as at, grpcio_client(at) as client:
        call = client.unary_stream("Down", {})
        assert (call.read())["n"] == 1
        assert failure(call) == ("DATA_LOSS", "half of it is gone")


def test_exception_is_unknown_without_its_text_and_logged_once_with_traceback(caplog):
    def one(request):
        raise ValueError("the password is hunter2")

    with listening(answering(One=one)) as at, grpcio_client(at) as client:
        code, text = failure(client.unary_unary("One", {}))
    assert code == "UNKNOWN"
    assert "hunter2" not in text
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("wirelane.grpc.server", logging.ERROR)
    assert f"{DEMO_SERVICE}/One" in record.getMessage()
    assert record.exc_info is not None
    assert "hunter2" in str(record.exc_info[1])


def test_timeout_error_of_a_handler_is_an_ordinary_exception(caplog):
    def one(request):
        raise TimeoutError("the backend was too slow")

    with listening(answering(One=one)) as at, grpcio_client(at) as client:
        assert (failure(client.unary_unary("One", {})))[0] == "UNKNOWN"
    assert len(caplog.records) == 1


def test_deadline_exceeded_of_a_call_made_inside_a_handler_is_passed_on():
    def one(request):
        raise DeadlineExceeded("the backend was too slow", from_peer=True)

    with listening(answering(One=one)) as at, grpcio_client(at) as client:
        assert failure(client.unary_unary("One", {})) == (
            "DEADLINE_EXCEEDED",
            "the backend was too slow",
        )


def test_metadata_of_another_servers_error_is_not_passed_on():
    def one(request, context):
        error = RpcError(
            StatusCode.NOT_FOUND, "there", from_peer=True, metadata=context.metadata.merged({"x-s": "1"})
        )
        raise error

    with listening(answering(One=one)) as at, grpcio_client(at) as client:
        error = client.unary_unary("One", {}).error()
    assert "x-s" not in dict(error.trailing_metadata())


def test_rpc_error_with_ok_is_unknown_and_logged(caplog):
    def one(request):
        raise RpcError(StatusCode.OK, "fine")

    with listening(answering(One=one)) as at, grpcio_client(at) as client:
        assert (failure(client.unary_unary("One", {})))[0] == "UNKNOWN"
    assert len(caplog.records) == 1


def test_details_that_cannot_be_encoded_do_not_hide_the_status(caplog):
    def one(request, context):
        context.abort(
            StatusCode.NOT_FOUND, "gone", details=[{"@type": "type.googleapis.com/no.such.Type", "x": 1}]
        )

    with listening(answering(One=one)) as at, grpcio_client(at) as client:
        assert failure(client.unary_unary("One", {})) == ("NOT_FOUND", "gone")
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/no.such.Service/One", "no.such.Service"),
        (f"/{DEMO_SERVICE}/Nothing", "Nothing"),
        (f"/{DEMO_SERVICE}/Empty", "Empty"),
    ],
)
def test_what_has_no_handler_is_unimplemented_and_named(path, named):
    def one(request):
        return {}

    with listening(answering(One=one)) as at, grpcio_client(at) as client:
        code, text = failure(client.unary_unary(path, {}))
    assert code == "UNIMPLEMENTED"
    assert named in text
