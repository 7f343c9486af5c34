"""Messages that are broken, too large or compressed, as grpcio's client and raw calls see the answers of a server: written once, run with asyncio and without."""

from __future__ import annotations

import grpc as grpcio
import pytest

from support.twins_support import Event
from twins.server_support import (
    answering,
    demo_server,
    ended,
    failure,
    grpcio_client,
    listening,
    raw_call,
    raw_client,
)
from wirelane import Limits, UsageError
from wirelane.core import compression

# -- broken requests --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 2])
async def test_unary_call_needs_exactly_one_message(count):
    async def one(request):
        raise AssertionError("must not run")

    async with listening(answering(One=one)) as at, grpcio_client(at) as client:
        code, text = await failure(client.stream_unary("One", [{"n": 1}] * count))
    assert code == "UNIMPLEMENTED"
    assert "one request" in text


async def test_request_that_does_not_parse_is_internal_and_not_logged(caplog):
    async def one(request):
        raise AssertionError("must not run")

    async with listening(answering(One=one)) as at, grpcio_client(at) as client:
        code, text = await failure(client.unary_unary("One", b"\x08"))
    assert code == "INTERNAL"
    assert text.startswith("cannot decode the request")
    assert not caplog.records


async def test_broken_message_inside_a_request_stream_is_internal():
    async def up(requests):
        return {"n": len([request async for request in requests])}

    async with listening(answering(Up=up)) as at, grpcio_client(at) as client:
        assert (await failure(client.stream_unary("Up", [{"n": 1}, b"\x08"])))[0] == "INTERNAL"


async def test_request_above_the_limit_is_resource_exhausted():
    async def one(request):
        raise AssertionError("must not run")

    async def up(requests):
        async for _ in requests:
            pass
        raise AssertionError("must not get here")

    server = answering(One=one, Up=up, options={"limits": Limits(max_receive_message=1000)})
    async with listening(server) as at, grpcio_client(at) as client:
        assert (await failure(client.unary_unary("One", {"data": bytes(2000)})))[0] == "RESOURCE_EXHAUSTED"
        requests = [{"n": 1}, {"data": bytes(2000)}]
        assert (await failure(client.stream_unary("Up", requests)))[0] == "RESOURCE_EXHAUSTED"


async def test_request_that_inflates_above_the_limit_is_resource_exhausted():
    async def one(request):
        raise AssertionError("must not run")

    server = answering(One=one, options={"limits": Limits(max_receive_message=10_000)})
    async with listening(server) as at, grpcio_client(at) as client:
        call = client.unary_unary("One", {"data": bytes(100_000)}, compression=grpcio.Compression.Gzip)
        assert (await failure(call))[0] == "RESOURCE_EXHAUSTED"


async def test_compressed_flag_without_an_encoding_is_internal():
    async def one(request):
        raise AssertionError("must not run")

    async with listening(answering(One=one)) as at, raw_client(at) as connection:
        stream = await raw_call(connection, "One")
        await stream.send(compression.compress("gzip", b"\x08\x05"), compressed=True, end=True)
        code, text = await ended(stream)
    assert (code, "grpc-encoding" in text) == ("INTERNAL", True)


async def test_corrupt_compressed_message_is_internal():
    async def one(request):
        raise AssertionError("must not run")

    async with listening(answering(One=one)) as at, raw_client(at) as connection:
        stream = await raw_call(connection, "One", encoding="gzip")
        await stream.send(b"this is no gzip", compressed=True, end=True)
        assert (await ended(stream))[0] == "INTERNAL"


async def test_unknown_encoding_is_unimplemented():
    async def one(request):
        raise AssertionError("must not run")

    async with listening(answering(One=one)) as at, raw_client(at) as connection:
        stream = await raw_call(connection, "One", encoding="snappy")
        assert (await ended(stream))[0] == "UNIMPLEMENTED"


# -- replies ----------------------------------------------------------------------------------------------------


async def test_reply_that_does_not_encode_is_internal_and_logged(caplog):
    async def one(request):
        return {"no_such_field": 1}

    async def down(request):
        yield {"n": "no number"}

    async with listening(answering(One=one, Down=down)) as at, grpcio_client(at) as client:
        code, text = await failure(client.unary_unary("One", {}))
        assert (code, "no_such_field" in text) == ("INTERNAL", False)
        assert (await failure(client.unary_stream("Down", {})))[0] == "INTERNAL"
    assert len(caplog.records) == 2


async def test_streaming_handler_that_returns_no_stream_is_unknown_and_logged(caplog):
    async def down(request):
        return {"n": 1}

    async with listening(answering(Down=down)) as at, grpcio_client(at) as client:
        assert (await failure(client.unary_stream("Down", {})))[0] == "UNKNOWN"
    assert len(caplog.records) == 1


async def test_reply_above_max_send_message_is_resource_exhausted():
    async def one(request):
        return {"data": bytes(2000)}

    async with (
        listening(answering(One=one, options={"limits": Limits(max_send_message=1000)})) as at,
        grpcio_client(at) as client,
    ):
        assert (await failure(client.unary_unary("One", {})))[0] == "RESOURCE_EXHAUSTED"


async def test_generator_is_closed_when_the_client_had_enough():
    closed = Event()

    async def down(request):
        try:
            while True:
                yield {"n": 1}
        finally:
            closed.set()

    async with listening(answering(Down=down)) as at, grpcio_client(at) as client:
        call = client.unary_stream("Down", {})
        await call.read()
        call.cancel()
        await closed.wait()


# -- compression ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", [grpcio.Compression.Gzip, grpcio.Compression.Deflate])
async def test_compressed_requests_are_read(algorithm):
    async def up(requests):
        return {"n": sum([len(request["data"]) async for request in requests])}

    async with listening(answering(Up=up)) as at, grpcio_client(at) as client:
        call = client.stream_unary("Up", [{"data": bytes(50_000)}] * 2, compression=algorithm)
        assert (await call.reply())["n"] == 100_000


@pytest.mark.parametrize("name", ["gzip", "deflate"])
async def test_replies_are_compressed_where_server_and_client_agree(name):
    async def one(request):
        return {"data": bytes(50_000)}

    async def down(request):
        yield {"data": bytes(50_000)}
        yield {"data": bytes(50_000)}

    server = answering(One=one, Down=down, options={"compression": name})
    async with listening(server) as at, raw_client(at) as connection:
        for method, count in (("One", 1), ("Down", 2)):
            stream = await raw_call(connection, method)
            await stream.send(b"", end=True)
            for _ in range(count):
                compressed, data = await stream.receive()
                assert compressed
                assert len(data) < 1000 < len(compression.decompress(name, data, 100_000))
            assert stream.head is not None
            assert stream.head.encoding == name
            assert await ended(stream) == ("OK", "")
        plain = await raw_call(connection, "One", accept_encoding="identity")
        await plain.send(b"", end=True)
        compressed, data = await plain.receive()
        assert not compressed
        assert len(data) > 50_000
        assert await ended(plain) == ("OK", "")
    async with listening(server) as at, grpcio_client(at) as client:
        assert len((await client.unary_unary("One", {}).reply())["data"]) == 50_000


async def test_context_turns_compression_on_and_off_between_messages():
    refused = []

    async def down(request, context):
        context.set_compression("gzip")
        yield {"n": 1}
        context.disable_next_message_compression()
        yield {"n": 2}
        yield {"n": 3}
        context.set_compression(None)
        yield {"n": 4}
        with pytest.raises(UsageError) as caught:
            context.set_compression("deflate")
        refused.append(str(caught.value))
        context.set_compression("gzip")
        yield {"n": 5}

    async with listening(answering(Down=down)) as at, raw_client(at) as connection:
        stream = await raw_call(connection, "Down")
        await stream.send(b"", end=True)
        flags = [(await stream.receive())[0] for _ in range(5)]
        assert await ended(stream) == ("OK", "")
    assert flags == [True, False, True, False, True]
    assert "gzip" in refused[0]


async def test_unknown_compression_is_refused_where_it_is_set():
    with pytest.raises(UsageError, match="snappy"):
        demo_server(compression="snappy")
    refused = []

    async def one(request, context):
        with pytest.raises(UsageError) as caught:
            context.set_compression("snappy")
        refused.append(str(caught.value))
        return {}

    async with listening(answering(One=one)) as at, grpcio_client(at) as client:
        await client.unary_unary("One", {}).reply()
    assert "gzip" in refused[0]
