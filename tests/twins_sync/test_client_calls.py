"""The four kinds of calls, against grpcio's server.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

import math

import pytest

from support.client_support import NOTE, PROTO, SERVICE
from support.sync_support import BlockingNotes
from support.twins_sync_support import gather, start
from twins_sync.grpc_support import grpcio_server, notes_channel
from wirelane.sync import CodecError, Metadata, RpcError, StatusCode, UsageError, codec, grpc


def test_a_unary_call_gives_the_reply() -> None:
    with notes_channel() as channel:
        assert channel.unary("Calls/One", {"n": 3, "text": "x"}) == {"n": 3, "text": "x", "data": b""}


@pytest.mark.parametrize("name", [f"{SERVICE}/One", f"/{SERVICE}/One", f"{SERVICE}.One", "Calls/One"])
def test_a_method_is_named_in_any_form(name: str) -> None:
    with notes_channel() as channel:
        assert (channel.unary(name, {"n": 1}))["n"] == 1


def test_a_request_of_none_is_an_empty_message() -> None:
    with notes_channel() as channel:
        assert channel.unary("Calls/One") == {"n": 0, "text": "", "data": b""}


def test_a_failed_call_raises_all_that_the_server_said() -> None:
    with notes_channel() as channel:
        with pytest.raises(RpcError) as raised:
            channel.unary("Calls/One", {"text": "fail"})
        error = raised.value
        assert (error.code, error.message) == (StatusCode.FAILED_PRECONDITION, "it failed, käse")
        assert error.metadata == Metadata([("why", "because"), ("raw-bin", b"\x00\xff")])
        assert (error.from_peer, error.attempts) == (True, 1)
        assert error.peer is not None
        assert error.peer.startswith("127.0.0.1:")


def test_an_unknown_method_is_unimplemented_by_the_server() -> None:
    method = grpc.Method("no.Such/Thing", grpc.Cardinality.UNARY, bytes, bytes)
    with notes_channel() as channel:
        with pytest.raises(RpcError) as raised:
            channel.unary(method, b"")
        assert (raised.value.code, raised.value.from_peer) == (StatusCode.UNIMPLEMENTED, True)


def test_metadata_of_the_channel_and_of_the_call_are_joined() -> None:
    notes = BlockingNotes()
    with notes_channel(notes, metadata={"a": "channel", "b": "channel"}) as channel:
        channel.unary("Calls/One", metadata=[("b", "call"), ("c-bin", b"\x01")])
        assert notes.metadata.items() >= {"a": "channel", "b": "call", "c-bin": b"\x01"}.items()
        channel.metadata["a"] = "changed"
        channel.unary("Calls/One")
        assert (notes.metadata["a"], notes.metadata["b"]) == ("changed", "channel")
        channel.metadata = {"d": "assigned"}
        channel.unary("Calls/One")
        assert notes.metadata["d"] == "assigned"
        assert "a" not in notes.metadata


def test_the_user_agent_has_the_applications_name_in_front() -> None:
    notes = BlockingNotes()
    with notes_channel(notes, options=grpc.ChannelOptions(user_agent="shop/2.1")) as channel:
        channel.unary("Calls/One")
        assert notes.metadata["user-agent"].startswith("shop/2.1 wirelane/")


def test_reserved_metadata_is_refused_before_anything_is_sent() -> None:
    with notes_channel() as channel:
        with pytest.raises(UsageError, match="grpc-status"):
            channel.unary("Calls/One", metadata={"grpc-status": "0"})
        assert channel.stats.active == 0


@pytest.mark.parametrize("compression", ["gzip", "deflate"])
def test_messages_are_compressed_both_ways(compression: str) -> None:
    import grpc as grpcio

    with (
        grpcio_server(compression=grpcio.Compression.Gzip) as port,
        grpc.connect(f"127.0.0.1:{port}", schema=PROTO, compression=compression) as channel,
    ):
        text = "x" * 10_000
        assert (channel.unary("Calls/One", {"text": text}))["text"] == text
        with channel.bidi_stream("Calls/BothWays") as stream:
            for compress in (None, False, True):
                stream.send({"text": text}, compress=compress)
                assert (stream.receive())["text"] == text
        assert (channel.unary("Calls/One", {"text": "y"}, compression="identity"))["text"] == "y"


def test_an_unknown_compression_is_refused() -> None:
    with notes_channel() as channel:
        with pytest.raises(UsageError, match="zstd"):
            channel.unary("Calls/One", compression="zstd")
        with channel.bidi_stream("Calls/BothWays") as stream:
            with pytest.raises(UsageError, match="compress=True needs"):
                stream.send({}, compress=True)


def test_a_request_that_does_not_encode_raises_before_anything_is_sent() -> None:
    notes = BlockingNotes()
    with notes_channel(notes) as channel:
        with pytest.raises(CodecError, match="nn"):
            channel.unary("Calls/One", {"nn": 1})
        with pytest.raises(CodecError):
            with channel.server_stream("Calls/Down", {"n": "many"}):
                pass
        with pytest.raises(CodecError):
            channel.client_stream("Calls/Up", [{"n": 1}, {"n": 2**40}])
        assert notes.timeouts in ([], [None]), "at most the stream was opened"


def test_a_message_above_max_send_message_is_not_sent() -> None:
    from wirelane.sync import Limits

    with notes_channel(limits=Limits(max_send_message=100)) as channel:
        with pytest.raises(RpcError, match="max_send_message") as raised:
            channel.unary("Calls/One", {"data": b"x" * 200})
        assert (raised.value.code, raised.value.from_peer) == (StatusCode.RESOURCE_EXHAUSTED, False)


def test_a_server_stream_gives_every_message() -> None:
    with notes_channel() as channel:
        with channel.server_stream("Calls/Down", {"n": 1000, "text": "t"}) as stream:
            assert [message["n"] for message in stream] == list(range(1000))
            assert stream.receive() is None, "the end stays the end"
            assert stream.status is StatusCode.OK


def test_a_server_stream_that_fails_gives_its_messages_first() -> None:
    with notes_channel() as channel:
        with channel.server_stream("Calls/Down", {"n": 2, "text": "fail"}) as stream:
            assert [(stream.receive())["n"] for _ in range(2)] == [0, 1]
            for _ in range(2):
                with pytest.raises(RpcError, match="DATA_LOSS: it broke"):
                    stream.receive()


def test_a_client_stream_by_hand() -> None:
    with notes_channel() as channel:
        with channel.client_stream("Calls/Up") as stream:
            for number in range(5):
                assert stream.send({"n": number})
            assert (stream.finish())["n"] == 5
            assert stream.status is StatusCode.OK


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_client_stream_from_an_iterable(asynchronous: bool) -> None:
    def messages():
        for number in range(300):
            yield {"n": number}

    with notes_channel() as channel:
        source = messages() if asynchronous else ({"n": number} for number in range(300))
        assert (channel.client_stream("Calls/Up", source))["n"] == 300
        assert (channel.client_stream("Calls/Up", []))["n"] == 0


def test_a_bidi_stream_in_turns() -> None:
    with notes_channel() as channel:
        with channel.bidi_stream("Calls/BothWays") as stream:
            for number in range(3):
                stream.send({"n": number})
                assert (stream.receive())["n"] == number
            stream.done_sending()
            assert stream.receive() is None


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_bidi_stream_from_an_iterable(asynchronous: bool) -> None:
    def messages():
        for number in range(300):
            yield {"n": number}

    with notes_channel() as channel:
        source = messages() if asynchronous else [{"n": number} for number in range(300)]
        with channel.bidi_stream("Calls/BothWays", source) as stream:
            assert [message["n"] for message in stream] == list(range(300))


def test_one_sends_while_another_receives() -> None:
    with notes_channel() as channel:
        with channel.bidi_stream("Calls/BothWays") as stream:

            def send() -> None:
                for number in range(500):
                    stream.send({"n": number, "data": b"x" * 1000})
                stream.done_sending()

            sender = start(send)
            assert [message["n"] for message in stream] == list(range(500))
            sender.result()


def test_a_message_larger_than_the_window_goes_through_both_ways() -> None:
    from wirelane.sync import Limits

    limits = Limits(max_receive_message=32 * 2**20)
    with (
        grpcio_server(settings=(("grpc.max_receive_message_length", -1),)) as port,
        grpc.connect(f"127.0.0.1:{port}", schema=PROTO, limits=limits) as channel,
    ):
        data = bytes(10 * 2**20)
        assert (channel.unary("Calls/One", {"data": data}, timeout=30))["data"] == data


def test_many_calls_share_one_connection() -> None:
    with notes_channel() as channel:
        replies = gather(*(start(channel.unary, "Calls/One", {"n": n}) for n in range(300)))
        assert [reply["n"] for reply in replies] == list(range(300))
        assert (channel.stats.connects, channel.stats.succeeded) == (1, 300)


@pytest.mark.parametrize(
    ("form", "method", "right"),
    [
        ("unary", "Calls/Down", "server_stream"),
        ("server_stream", "Calls/One", "unary"),
        ("client_stream", "Calls/BothWays", "bidi_stream"),
        ("bidi_stream", "Calls/Up", "client_stream"),
    ],
)
def test_the_wrong_form_of_a_call_says_the_right_one(form: str, method: str, right: str) -> None:
    with notes_channel() as channel:
        with pytest.raises(UsageError, match=f"channel.{right}"):
            if form == "unary":
                channel.unary(method)
            else:
                with getattr(channel, form)(method):
                    pass


def test_a_stream_is_used_once_and_inside_its_block() -> None:
    with notes_channel() as channel:
        stream = channel.server_stream("Calls/Down", {"n": 1})
        with pytest.raises(UsageError, match="not open"):
            stream.receive()
        with pytest.raises(UsageError, match="not open"):
            for _ in stream:
                pass
        with stream:
            pass
        with pytest.raises(UsageError, match="used already"):
            with stream:
                pass


def test_a_name_without_a_schema_says_what_to_pass() -> None:
    with grpcio_server() as port, grpc.connect(f"127.0.0.1:{port}") as channel:
        with pytest.raises(UsageError, match="schema="):
            channel.unary("Calls/One", {})
        with pytest.raises(UsageError, match="no schema"):
            _ = channel.schema


def test_a_method_with_types_needs_no_schema() -> None:
    from google.protobuf import wrappers_pb2

    method = grpc.Method(
        f"{SERVICE}.One", grpc.Cardinality.UNARY, wrappers_pb2.Int32Value, wrappers_pb2.Int32Value
    )
    assert method.path == f"/{SERVICE}/One"
    with grpcio_server() as port, grpc.connect(f"127.0.0.1:{port}") as channel:
        reply = channel.unary(method, wrappers_pb2.Int32Value(value=7))
        assert reply.value == 7


def test_a_method_of_the_schema_may_be_given_itself() -> None:
    with notes_channel() as channel:
        info = channel.schema.find_method("Calls/One")
        assert (channel.unary(info, {"n": 4}))["n"] == 4


def test_bytes_travel_as_they_are() -> None:
    schema_note = codec.Schema.load(PROTO).encode(NOTE, {"n": 9})
    method = grpc.Method(f"{SERVICE}/One", grpc.Cardinality.UNARY, bytes, bytes)
    with notes_channel() as channel:
        assert channel.unary(method, schema_note) == schema_note


def test_a_timeout_that_is_none_is_refused() -> None:
    for timeout in (-1, math.nan, "soon"):
        with pytest.raises(UsageError, match="timeout"):
            grpc.Channel("127.0.0.1:1", timeout=timeout)  # type: ignore[arg-type]
