"""Services of typed messages on a wirelane server.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

import pytest

from support.server_support import DEMO_SERVICE, generate_demo
from twins_sync.server_support import failure, grpcio_client, listening
from wirelane.sync import grpc


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    return generate_demo(tmp_path_factory.mktemp("generated"))


def check_the_four_kinds(client):
    """Call One (n + 1), Down (n messages), Up (sum) and Both (n * 2 each)."""
    assert (client.unary_unary("One", {"n": 1}).reply())["n"] == 2
    assert [reply["n"] for reply in client.unary_stream("Down", {"n": 3}).replies()] == [1, 2, 3]
    assert (client.stream_unary("Up", [{"n": 1}, {"n": 2}]).reply())["n"] == 3
    assert [reply["n"] for reply in client.stream_stream("Both", [{"n": 1}, {"n": 2}]).replies()] == [
        2,
        4,
    ]


def typed_handlers(ask, answer):
    """Return {Method: function} for message classes of any library."""

    def one(request, context):
        return answer(n=request.n + 1)

    def down(request):
        for n in range(request.n):
            yield answer(n=n + 1)

    def up(requests):
        return answer(n=sum([request.n for request in requests]))

    def both(requests):
        for request in requests:
            yield answer(n=request.n * 2)

    kinds = {"One": grpc.Cardinality.UNARY, "Down": grpc.Cardinality.SERVER_STREAM}
    kinds |= {"Up": grpc.Cardinality.CLIENT_STREAM, "Both": grpc.Cardinality.BIDI_STREAM}
    functions = {"One": one, "Down": down, "Up": up, "Both": both}
    return {
        grpc.Method(f"{DEMO_SERVICE}/{name}", kind, ask, answer): functions[name]
        for name, kind in kinds.items()
    }


@pytest.mark.parametrize("library", ["pb2", "betterproto2"])
def test_handlers_of_typed_messages(generated, library):
    module = getattr(generated, library)
    server = grpc.Server([typed_handlers(module.Ask, module.Answer)])
    with listening(server) as at, grpcio_client(at) as client:
        check_the_four_kinds(client)


def test_schema_of_a_generated_module_gives_typed_messages_by_name(generated):
    server = grpc.Server(schema=generated.pb2)

    @server.method("Demo/One")
    def one(request):
        assert isinstance(request, generated.pb2.Ask)
        return generated.pb2.Answer(n=request.n + 1)

    with listening(server) as at, grpcio_client(at) as client:
        assert (client.unary_unary("One", {"n": 1}).reply())["n"] == 2


def test_an_object_may_give_its_methods(generated):
    handlers = typed_handlers(generated.pb2.Ask, generated.pb2.Answer)

    class Demo:
        def __methods__(self):
            return handlers

    with listening(grpc.Server([Demo()])) as at, grpcio_client(at) as client:
        check_the_four_kinds(client)


def test_typed_reply_of_another_type_is_internal_and_logged(generated, caplog):
    server = grpc.Server()

    @server.method(
        grpc.Method(f"{DEMO_SERVICE}/One", grpc.Cardinality.UNARY, generated.pb2.Ask, generated.pb2.Answer)
    )
    def one(request):
        return {"n": "no Answer at all", "x": object()}

    with listening(server) as at, grpcio_client(at) as client:
        assert (failure(client.unary_unary("One", {})))[0] == "INTERNAL"
    assert len(caplog.records) == 1
