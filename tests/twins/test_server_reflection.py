"""Server reflection as grpcio's reflection client sees it (v1alpha), and v1 by its messages: written once, run with asyncio and without."""

from __future__ import annotations

import asyncio

import grpc as grpcio
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from support.buf_support import buf_classes
from support.server_support import ASK, DEMO, DEMO_SERVICE, generate_demo
from twins.server_support import demo_server, grpcio_client, listening
from wirelane import Schema, grpc

V1 = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
BUILTIN = {
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
}

SHOP = {
    "shop/shop.proto": """
        syntax = "proto2";
        package shop;
        import "shop/money.proto";
        import "google/protobuf/timestamp.proto";
        message Order {
          optional Money price = 1;
          optional google.protobuf.Timestamp at = 2;
          extensions 100 to 199;
        }
        service Shop { rpc Buy(Order) returns (Money); }
    """,
    "shop/money.proto": """
        syntax = "proto2";
        package shop;
        message Money { optional int64 units = 1; }
    """,
    "shop/gift.proto": """
        syntax = "proto2";
        package shop;
        import "shop/shop.proto";
        extend Order { optional string wrapping = 101; optional string card = 150; }
    """,
}


def shop_server():
    server = grpc.Server(schema=SHOP)

    @server.method("Shop/Buy")
    async def buy(request):
        return {}

    return server


async def in_thread(at, ask):
    """Run `ask(database)` with grpcio's reflection database, which blocks."""

    def work():
        with grpcio.insecure_channel(f"127.0.0.1:{at.port}") as channel:
            return ask(ProtoReflectionDescriptorDatabase(channel))

    return await asyncio.to_thread(work)


async def ask_v1(client, *requests):
    """Ask v1, whose messages have the same fields as those of v1alpha."""
    asked = [reflection_pb2.ServerReflectionRequest(**request) for request in requests]
    return await v1_call(client, asked).replies()


def v1_call(client, requests=None):
    kinds = (reflection_pb2.ServerReflectionRequest, reflection_pb2.ServerReflectionResponse)
    return client.other(V1, *kinds, requests)


def files_of(reply):
    """Return the names of the files in an answer."""
    protos = reply.file_descriptor_response.file_descriptor_proto
    return [descriptor_pb2.FileDescriptorProto.FromString(proto).name for proto in protos]


async def test_grpcio_lists_the_services():
    async with listening(shop_server()) as at:
        assert set(await in_thread(at, lambda database: database.get_services())) == BUILTIN | {"shop.Shop"}


async def test_grpcio_builds_the_messages_of_a_service():
    def ask(database):
        pool = descriptor_pool.DescriptorPool(database)
        service = pool.FindServiceByName("shop.Shop")
        order = service.methods_by_name["Buy"].input_type
        return [(field.name, field.message_type.full_name) for field in order.fields]

    async with listening(shop_server()) as at:
        fields = await in_thread(at, ask)
    assert fields == [("price", "shop.Money"), ("at", "google.protobuf.Timestamp")]


async def test_grpcio_finds_extensions():
    def ask(database):
        numbers = list(database.FindAllExtensionNumbers("shop.Order"))
        database.FindFileContainingExtension("shop.Order", 150)  # gives nothing back, but keeps the file
        return numbers, [field.name for field in database.FindFileByName("shop/gift.proto").extension]

    async with listening(shop_server()) as at:
        assert await in_thread(at, ask) == ([101, 150], ["wrapping", "card"])


async def test_builtin_services_describe_themselves():
    def ask(database):
        pool = descriptor_pool.DescriptorPool(database)
        return [pool.FindServiceByName(name).full_name for name in sorted(BUILTIN)]

    async with listening(grpc.Server()) as at:
        assert await in_thread(at, ask) == sorted(BUILTIN)


async def test_v1_answers_every_question():
    async with listening(shop_server()) as at, grpcio_client(at) as client:
        extension = reflection_pb2.ExtensionRequest(containing_type="shop.Order", extension_number=101)
        replies = await ask_v1(
            client,
            {"host": "here", "file_by_filename": "shop/money.proto"},
            {"file_containing_symbol": "shop.Shop.Buy"},
            {"file_containing_extension": extension},
            {"all_extension_numbers_of_type": "shop.Order"},
            {"list_services": "*"},
        )
    assert files_of(replies[0]) == ["shop/money.proto"]
    assert replies[0].valid_host == replies[0].original_request.host == "here"
    # What the stream was sent before is left out; the file asked for comes first.
    assert files_of(replies[1]) == ["shop/shop.proto", "google/protobuf/timestamp.proto"]
    assert files_of(replies[2]) == ["shop/gift.proto"]
    numbers = replies[3].all_extension_numbers_response
    assert (numbers.base_type_name, list(numbers.extension_number)) == ("shop.Order", [101, 150])
    assert {service.name for service in replies[4].list_services_response.service} == BUILTIN | {"shop.Shop"}


async def test_a_file_asked_for_twice_is_sent_twice():
    async with listening(shop_server()) as at, grpcio_client(at) as client:
        replies = await ask_v1(client, *[{"file_by_filename": "shop/money.proto"}] * 2)
    assert [files_of(reply) for reply in replies] == [["shop/money.proto"]] * 2


@pytest.mark.parametrize(
    "question",
    [
        {"file_by_filename": "no/such.proto"},
        {"file_containing_symbol": "no.such.Symbol"},
        {"file_containing_symbol": ""},
        {
            "file_containing_extension": reflection_pb2.ExtensionRequest(
                containing_type="shop.Order", extension_number=199
            )
        },
        {
            "file_containing_extension": reflection_pb2.ExtensionRequest(
                containing_type="no.such.Type", extension_number=1
            )
        },
        {"all_extension_numbers_of_type": "no.such.Type"},
    ],
)
async def test_what_is_not_known_is_a_not_found_answer_and_the_stream_goes_on(question):
    async with listening(shop_server()) as at, grpcio_client(at) as client:
        refused, answered = await ask_v1(client, question, {"list_services": ""})
    assert refused.error_response.error_code == grpcio.StatusCode.NOT_FOUND.value[0]
    assert refused.error_response.error_message
    assert answered.list_services_response.service


async def test_a_request_that_asks_nothing_is_an_invalid_argument_answer():
    async with listening(shop_server()) as at, grpcio_client(at) as client:
        (reply,) = await ask_v1(client, {"host": "here"})
    assert reply.error_response.error_code == grpcio.StatusCode.INVALID_ARGUMENT.value[0]


async def test_service_of_protobuf_classes_is_described(tmp_path_factory):
    generated = generate_demo(tmp_path_factory.mktemp("reflection"))
    server = grpc.Server()

    @server.method(
        grpc.Method(f"{DEMO_SERVICE}/One", grpc.Cardinality.UNARY, generated.pb2.Ask, generated.pb2.Answer)
    )
    async def one(request):
        return generated.pb2.Answer()

    def ask(database):
        pool = descriptor_pool.DescriptorPool(database)
        return pool.FindServiceByName(DEMO_SERVICE).methods_by_name["One"].input_type.full_name

    async with listening(server) as at:
        assert await in_thread(at, ask) == ASK


async def test_service_of_protobuf_py_classes_is_described_as_far_as_they_know():
    schema = Schema.load({"demo.proto": DEMO})
    classes = buf_classes(schema, "demo.proto")
    server = grpc.Server()

    @server.method(
        grpc.Method(f"{DEMO_SERVICE}/One", grpc.Cardinality.UNARY, classes["Ask"], classes["Answer"])
    )
    async def one(request):
        return classes["Answer"](n=request.n + 1)

    async with listening(server) as at:
        reply = await grpc.call(f"127.0.0.1:{at.port}", "Demo/One", {"n": 4}, schema="reflection")
    assert reply == {"n": 5, "text": "", "data": b""}


async def test_service_of_octets_is_listed_and_not_described():
    server = grpc.Server()

    @server.method(grpc.Method(f"{DEMO_SERVICE}/One", grpc.Cardinality.UNARY, bytes, bytes))
    async def one(request):
        return request

    async with listening(server) as at, grpcio_client(at) as client:
        listed, described = await ask_v1(
            client, {"list_services": ""}, {"file_containing_symbol": DEMO_SERVICE}
        )
    assert DEMO_SERVICE in {service.name for service in listed.list_services_response.service}
    assert described.error_response.error_code == grpcio.StatusCode.NOT_FOUND.value[0]


# -- several schemas on one server --------------------------------------------------------------------------------------


def version(number, *, package, message="Common"):
    """Two files; other versions of the first have the same name, and the message another field."""
    return Schema.load(
        {
            "common.proto": f'syntax = "proto3"; package {package}; message {message} {{ string v{number} = {number}; }}',
            f"service{number}.proto": f'syntax = "proto3"; package p{number}; import "common.proto"; '
            f"service S {{ rpc Echo({package}.{message}) returns ({package}.{message}); }}",
        }
    )


def serving(*schemas):
    """Return a server of the services of several schemas, by the classes of their messages."""
    server = grpc.Server()
    for schema in schemas:
        info = schema.find_method("S/Echo")
        kind = schema.message_class(info.input_type)

        @server.method(grpc.Method(info.full_name, info.cardinality, kind, kind))
        async def echo(request):
            return request

    return server


async def test_two_files_of_one_name_are_both_shown(caplog):
    server = serving(version(1, package="a"), version(2, package="b"))
    async with listening(server) as at:
        async with grpc.connect(f"127.0.0.1:{at.port}", schema="reflection") as channel:
            assert channel.schema.template("a.Common") == {"v1": ""}
            assert channel.schema.template("b.Common") == {"v2": ""}
            assert await channel.unary("p1.S/Echo", {"v1": "x"}) == {"v1": "x"}
            assert await channel.unary("p2.S/Echo", {"v2": "x"}) == {"v2": "x"}

        def ask(database):
            pool = descriptor_pool.DescriptorPool(database)
            return [
                pool.FindServiceByName(f"p{n}.S").methods_by_name["Echo"].input_type.file.name for n in (1, 2)
            ]

        assert await in_thread(at, ask) == ["common.proto", "common.2.proto"]
    assert not caplog.records


async def test_two_messages_of_one_name_are_told_of_and_each_service_is_shown_with_its_own(caplog):
    server = serving(version(1, package="a"), version(2, package="a"))
    async with listening(server) as at:
        assert "a.Common declared by 'common.proto' and otherwise by 'common.2.proto'" in caplog.text
        target = f"127.0.0.1:{at.port}"
        assert await grpc.call(target, "p1.S/Echo", {"v1": "x"}, schema="reflection") == {"v1": "x"}
        assert await grpc.call(target, "p2.S/Echo", {"v2": "x"}, schema="reflection") == {"v2": "x"}
        async with grpc.connect(target, schema="reflection") as channel:
            assert "p1.S" in channel.schema.services()
        assert "left out p2.S, whose files do not link" in caplog.text


async def test_one_file_in_several_schemas_is_one(caplog):
    server = serving(version(1, package="a"))
    same = version(1, package="a")
    kind = same.message_class("a.Common")

    @server.method(grpc.Method("other.S/Echo", grpc.Cardinality.UNARY, kind, kind))
    async def echo(request):
        return request

    async with listening(server) as at, grpcio_client(at) as client:
        (twice,) = await ask_v1(client, {"file_by_filename": "common.2.proto"})
        assert twice.error_response.error_code == grpcio.StatusCode.NOT_FOUND.value[0]
        assert files_of((await ask_v1(client, {"file_containing_symbol": "p1.S"}))[0]) == [
            "service1.proto",
            "common.proto",
        ]
    assert not caplog.records


async def test_what_imports_a_file_that_got_another_name_imports_it_by_that():
    chain = {
        "top.proto": 'syntax = "proto3"; package q; import "middle.proto"; service S { rpc Echo(a.Middle) returns (a.Middle); }',
        "middle.proto": 'syntax = "proto3"; package a; import "common.proto"; message Middle { b.Common c = 1; }',
        "common.proto": 'syntax = "proto3"; package b; message Common { string v2 = 2; }',
    }
    server = serving(version(1, package="a"), Schema.load(chain))
    async with listening(server) as at, grpcio_client(at) as client:
        (answer,) = await ask_v1(client, {"file_containing_symbol": "q.S"})
        assert files_of(answer) == ["top.proto", "middle.proto", "common.2.proto"]
        middle = descriptor_pb2.FileDescriptorProto.FromString(
            answer.file_descriptor_response.file_descriptor_proto[1]
        )
        assert list(middle.dependency) == ["common.2.proto"]
        assert await grpc.call(
            f"127.0.0.1:{at.port}", "q.S/Echo", {"c": {"v2": "x"}}, schema="reflection"
        ) == {"c": {"v2": "x"}}


async def test_handlers_added_while_the_server_runs_are_reflected():
    server = demo_server()

    async with listening(server) as at:
        assert set(await in_thread(at, lambda database: database.get_services())) == BUILTIN

        @server.method("Demo/One")
        async def one(request):
            return {}

        assert DEMO_SERVICE in set(await in_thread(at, lambda database: database.get_services()))


async def test_server_without_reflection_answers_unimplemented():
    async with listening(grpc.Server(reflection=False)) as at:
        with pytest.raises(grpcio.RpcError) as caught:
            await in_thread(at, lambda database: database.get_services())
    assert caught.value.code() is grpcio.StatusCode.UNIMPLEMENTED


async def test_reflection_stream_left_open_does_not_hold_a_drain_up():
    server = shop_server()
    async with listening(server) as at, grpcio_client(at) as client:
        call = v1_call(client)
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        reply = await call.read()
        assert isinstance(reply, reflection_pb2.ServerReflectionResponse)
        assert "shop.Shop" in {service.name for service in reply.list_services_response.service}
        assert (server.connections, server.calls) == (1, 1)
        await server.drain(3600)
        assert (server.connections, server.calls) == (0, 0)
        assert await call.code() is grpcio.StatusCode.UNAVAILABLE


async def test_types_of_error_details_are_known_whatever_the_schema():
    async with listening(shop_server()) as at, grpcio_client(at) as client:
        (answer,) = await ask_v1(client, {"file_containing_symbol": "google.rpc.ErrorInfo"})
    assert files_of(answer)[0] == "google/rpc/error_details.proto"
