"""What is asked of a server's reflection, and when; and what becomes of answers that servers get wrong.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc as grpcio
import pytest
from google.protobuf import descriptor_pb2

from support.cli_support import wirelane
from support.client_support import PROTO, SERVICE, grpcio_server
from support.reflection_support import (
    CHAIN,
    TWO,
    TWO_WHERE,
    WHERE,
    Answer,
    Habits,
    Question,
    answering,
    files_of,
    reflecting,
)
from support.twins_sync_support import Event, elsewhere, gather, start, there
from wirelane.codec import Schema
from wirelane.sync import CodecError, Limits, PeerError, RpcError, SchemaError, StatusCode, UsageError, grpc

FileProto = descriptor_pb2.FileDescriptorProto

NOTES = {SERVICE: next(iter(files_of(PROTO)))}


def error(code: int = 5, text: str = "not here") -> dict[str, Any]:
    return {"error_response": {"error_code": code, "error_message": text}}


def files(*contents: bytes) -> dict[str, Any]:
    return {"file_descriptor_response": {"file_descriptor_proto": list(contents)}}


def changed(answer: Answer, **instead: Callable[[Any], dict[str, Any] | None]) -> Answer:
    """Answer one kind of question otherwise; None as before."""

    def other(question: Question) -> dict[str, Any] | None:
        for kind, make in instead.items():
            if kind in question and (made := make(question[kind])) is not None:
                return made
        return answer(question)

    return other


def reflected(answer: Answer, symbol: str | None = None, **options: Any) -> tuple[Schema, list[Question]]:
    habits = Habits(answer)
    with elsewhere(reflecting, habits) as port:
        schema = grpc.reflect(f"127.0.0.1:{port}", symbol, **options)
    return schema, habits.questions


# -- only what is needed ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("symbol", ["p.One/Do", "/p.One/Do", "p.One"])
def test_of_one_service_only_its_file_and_what_that_imports_are_asked_for(symbol: str) -> None:
    schema, questions = reflected(answering(files_of(TWO), TWO_WHERE), symbol)
    assert questions == [{"file_containing_symbol": "p.One"}, {"file_by_filename": "base.proto"}]
    assert schema.services() == ["p.One"]
    assert schema.encode("p.Base", {"text": "x"}) == b"\x0a\x01x"


@pytest.mark.parametrize("symbol", ["Two", "Two/Do"])
def test_a_service_without_its_package_is_looked_up_in_the_list(symbol: str) -> None:
    schema, questions = reflected(answering(files_of(TWO), TWO_WHERE), symbol)
    assert questions[:2] == [{"list_services": "*"}, {"file_containing_symbol": "p.Two"}]
    assert schema.services() == ["p.Three", "p.Two"]
    assert schema.find_method("Two/Do").output_type == "p.More"


def test_a_method_may_be_written_with_a_dot() -> None:
    schema, _ = reflected(answering(files_of(TWO), TWO_WHERE), "p.Two.Do")
    assert schema.find_method("p.Two.Do").full_name == "p.Two/Do"


def test_a_message_that_no_service_needs_is_found_by_its_full_name() -> None:
    contents = files_of(
        {**TWO, "lone.proto": 'syntax = "proto3"; package p; message Lone { Deep d = 1; message Deep {} }'}
    )
    schema, _ = reflected(answering(contents, {**TWO_WHERE, "p.Lone.Deep": "lone.proto"}), "p.Lone.Deep")
    assert schema.files() == ["lone.proto"]


def test_the_end_of_a_messages_name_is_looked_for_in_everything() -> None:
    schema, _ = reflected(answering(files_of(TWO), TWO_WHERE), "More")
    assert schema.find_symbol("More") == ("message", "p.More")


def test_a_service_that_the_server_does_not_have_is_a_mistake_that_names_the_nearest() -> None:
    with elsewhere(reflecting, Habits(answering(files_of(TWO), TWO_WHERE))) as port:
        with pytest.raises(UsageError, match=r'no service "p\.Tow".*did you mean "p\.Two"'):
            grpc.call(f"127.0.0.1:{port}", "p.Tow/Do", schema="reflection")


def test_a_name_that_several_services_end_with_is_not_guessed() -> None:
    contents = files_of(
        {
            "x.proto": 'syntax = "proto3"; package a.x; message M {} service S { rpc R(M) returns (M); }',
            "y.proto": 'syntax = "proto3"; package a.y; message M {} service S { rpc R(M) returns (M); }',
        }
    )
    with pytest.raises(UsageError, match=r"may be any of a\.x\.S, a\.y\.S"):
        reflected(answering(contents, {"a.x.S": "x.proto", "a.y.S": "y.proto"}), "S/R")


def test_calls_ask_for_what_their_methods_need_and_connecting_for_the_rest() -> None:
    contents = {**files_of(PROTO), **files_of(TWO)}
    habits = Habits(answering(contents, {**NOTES, **TWO_WHERE}))
    with (
        elsewhere(reflecting, habits) as port,
        grpc.Channel(f"127.0.0.1:{port}", schema="reflection") as channel,
    ):
        replies = gather(*(start(channel.unary, f"{SERVICE}/One", {"n": n}) for n in range(3)))
        assert [reply["n"] for reply in replies] == [0, 1, 2]
        assert habits.questions == [{"file_containing_symbol": SERVICE}]
        with pytest.raises(UsageError, match="not loaded yet"):
            _ = channel.schema
        with pytest.raises(RpcError) as raised:
            channel.unary("p.One/Do", {"text": "x"})
        assert raised.value.code is StatusCode.UNIMPLEMENTED
        before = len(habits.questions)
        channel.connect()
        assert channel.schema.services() == sorted((SERVICE, *TWO_WHERE))
        asked = habits.questions[before:]
        assert asked == [
            {"list_services": "*"},
            {"file_containing_symbol": "p.Two"},
            {"file_by_filename": "more.proto"},
        ]
        channel.unary(f"{SERVICE}/One", {})
        assert len(habits.questions) == before + 3


def test_a_call_without_a_channel_asks_for_what_its_method_needs() -> None:
    contents = {**files_of(PROTO), **files_of(TWO)}
    habits = Habits(answering(contents, {**NOTES, **TWO_WHERE}))
    with elsewhere(reflecting, habits) as port:
        reply = grpc.call(f"127.0.0.1:{port}", f"{SERVICE}/One", {"n": 7}, schema="reflection")
    assert reply["n"] == 7
    assert habits.questions == [{"file_containing_symbol": SERVICE}]


def test_a_channel_with_a_schema_of_its_own_can_ask_too() -> None:
    habits = Habits(answering(files_of(TWO), TWO_WHERE))
    with (
        elsewhere(reflecting, habits) as port,
        grpc.connect(f"127.0.0.1:{port}", schema=PROTO) as channel,
    ):
        assert (channel.reflect("p.One")).services() == ["p.One"]
        assert channel.reflect("p.One/Do") is channel.reflect("p.One")
        assert channel.schema.services() == [SERVICE]
        assert len(habits.questions) == 2


def test_a_channel_that_is_closed_while_it_asks_ends_the_call() -> None:
    asked = Event()

    @there
    class Mute(Habits):
        async def info(self, requests: Any, context: Any) -> AsyncIterator[dict[str, Any]]:
            asked.set()
            await asyncio.Event().wait()
            yield {}

    with elsewhere(reflecting, Mute(lambda _: None)) as port:
        channel = grpc.Channel(f"127.0.0.1:{port}", schema="reflection")
        call = start(channel.unary, f"{SERVICE}/One")
        asked.wait()
        channel.close()
        with pytest.raises(RpcError) as raised:
            call.result()
        assert raised.value.code is StatusCode.CANCELLED


def test_the_timeout_holds_for_everything() -> None:
    @there
    class Mute(Habits):
        async def info(self, requests: Any, context: Any) -> AsyncIterator[dict[str, Any]]:
            await asyncio.Event().wait()
            yield {}

    with elsewhere(reflecting, Mute(lambda _: None)) as port:
        with pytest.raises(TimeoutError):
            grpc.reflect(f"127.0.0.1:{port}", timeout=0.05)


# -- extensions -------------------------------------------------------------------------------------------------------

EXTENDED = {
    "order.proto": 'syntax = "proto2"; package shop; message Order { optional string id = 1; extensions 100 to 199; }'
    "service Shop { rpc Buy(Order) returns (Order); }",
    "gift.proto": 'syntax = "proto2"; package shop; import "order.proto"; import "paper.proto";'
    "extend Order { optional Paper wrapping = 101; }",
    "paper.proto": 'syntax = "proto2"; package shop; message Paper { optional string colour = 1; extensions 5; }',
    "print.proto": 'syntax = "proto2"; package shop; import "paper.proto"; extend Paper { optional string print = 5; }',
}
EXTENDING = {("shop.Order", 101): "gift.proto", ("shop.Paper", 5): "print.proto"}


def extension_answers(contents: dict[str, bytes]) -> Answer:
    return changed(
        answering(contents, {"shop.Shop": "order.proto"}),
        all_extension_numbers_of_type=lambda message: {
            "all_extension_numbers_response": {
                "base_type_name": message,
                "extension_number": [number for kind, number in EXTENDING if kind == message],
            }
        },
        file_containing_extension=lambda asked: files(
            contents[EXTENDING[asked["containing_type"], asked["extension_number"]]]
        ),
    )


@pytest.mark.parametrize("symbol", [None, "shop.Shop/Buy"])
def test_extensions_of_the_messages_that_are_needed_are_asked_for(symbol: str | None) -> None:
    schema, _ = reflected(extension_answers(files_of(EXTENDED)), symbol)
    order = {"id": "1", "[shop.wrapping]": {"colour": "red", "[shop.print]": "stars"}}
    data = schema.encode("shop.Order", order)
    assert schema.decode("shop.Order", data) == order


def test_a_server_that_does_not_answer_questions_about_extensions_does_without() -> None:
    schema, questions = reflected(answering(files_of(EXTENDED), {"shop.Shop": "order.proto"}))
    assert questions[-1] == {"all_extension_numbers_of_type": "shop.Order"}
    assert schema.files() == ["order.proto"]
    with pytest.raises(CodecError):
        schema.encode("shop.Order", {"[shop.wrapping]": {}})


# -- versions ---------------------------------------------------------------------------------------------------------


@there
class Denied(Habits):
    """A service that is not to be spoken to."""

    code = grpcio.StatusCode.PERMISSION_DENIED

    async def info(self, requests: Any, context: Any) -> AsyncIterator[dict[str, Any]]:
        await context.abort(self.code, "not this way")
        yield {}


@pytest.mark.parametrize(
    "code", [grpcio.StatusCode.PERMISSION_DENIED, grpcio.StatusCode.INTERNAL, grpcio.StatusCode.UNIMPLEMENTED]
)
def test_where_v1_fails_at_first_the_older_one_is_tried(code: grpcio.StatusCode) -> None:
    newer, older = Denied(lambda _: None), Habits(answering(files_of(CHAIN), WHERE), version="v1alpha")
    newer.code = code
    with elsewhere(grpcio_server, handlers=newer.handlers() + older.handlers()) as port:
        assert (grpc.reflect(f"127.0.0.1:{port}")).services() == ["p.A", "p.A2"]


def test_what_v1_says_is_told_where_there_is_no_older_one() -> None:
    with elsewhere(reflecting, Denied(lambda _: None)) as port:
        with pytest.raises(RpcError, match="not this way") as raised:
            grpc.reflect(f"127.0.0.1:{port}")
    assert raised.value.code is StatusCode.PERMISSION_DENIED


def test_who_is_not_let_in_does_not_try_other_doors() -> None:
    newer, older = Denied(lambda _: None), Habits(answering(files_of(CHAIN), WHERE), version="v1alpha")
    newer.code = grpcio.StatusCode.UNAUTHENTICATED
    with elsewhere(grpcio_server, handlers=newer.handlers() + older.handlers()) as port:
        with pytest.raises(RpcError) as raised:
            grpc.reflect(f"127.0.0.1:{port}")
    assert (raised.value.code, older.streams) == (StatusCode.UNAUTHENTICATED, 0)


def test_a_server_that_forgets_v1_is_asked_on_in_v1alpha() -> None:
    @there
    class Forgetful(Habits):
        async def info(self, requests: Any, context: Any) -> AsyncIterator[dict[str, Any]]:
            if self.streams:
                await context.abort(grpcio.StatusCode.UNIMPLEMENTED, "never heard of it")
            async for reply in super().info(requests, context):
                yield reply

    answer = answering(files_of(CHAIN), WHERE)
    newer, older = Forgetful(answer, per_stream=1), Habits(answer, version="v1alpha")
    with elsewhere(grpcio_server, handlers=newer.handlers() + older.handlers()) as port:
        assert (grpc.reflect(f"127.0.0.1:{port}")).services() == ["p.A", "p.A2"]
    assert (newer.streams, older.streams) == (1, 1)
    assert newer.questions + older.questions == [
        {"list_services": "*"},
        {"file_containing_symbol": "p.A"},
        {"file_by_filename": "b.proto"},
        {"file_by_filename": "c.proto"},
    ]


# -- broken servers ---------------------------------------------------------------------------------------------------


@there
class Stammering(Habits):
    """Says everything twice, with the question that it belongs to."""

    async def info(self, requests: Any, context: Any) -> AsyncIterator[dict[str, Any]]:
        async for request in requests:
            question = {key: value for key, value in request.items() if key != "host" and value}
            for _ in range(2):
                yield {"original_request": request, **(self._answer(question) or {})}


def test_answers_to_earlier_questions_are_passed_over() -> None:
    with elsewhere(reflecting, Stammering(answering(files_of(CHAIN), WHERE))) as port:
        schema = grpc.reflect(f"127.0.0.1:{port}")
    assert schema.template("p.B") == {"c": {"text": ""}}


def test_endless_answers_to_other_questions_come_to_an_end() -> None:
    @there
    class Endless(Habits):
        async def info(self, requests: Any, context: Any) -> AsyncIterator[dict[str, Any]]:
            first = await anext(requests)
            while True:
                yield {"original_request": first, **(self._answer({"list_services": "*"}) or {})}

    with elsewhere(reflecting, Endless(answering({}, WHERE))) as port:
        with pytest.raises(PeerError, match="other questions"):
            grpc.reflect(f"127.0.0.1:{port}")


def test_a_giant_answer_is_refused_by_a_limit_that_is_named() -> None:
    big = FileProto(name="a.proto", package="x" * 70_000).SerializeToString()
    answer = changed(answering({}, WHERE), file_containing_symbol=lambda _: files(big))
    with pytest.raises(RpcError, match="max_receive_message") as raised:
        reflected(answer, limits=Limits(max_receive_message=65_536))
    assert raised.value.code is StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("used", [False, True])
def test_an_import_that_the_server_does_not_have_matters_if_something_in_it_is_needed(
    used: bool, caplog: pytest.LogCaptureFixture
) -> None:
    text = {
        "a.proto": f'syntax = "proto3"; package p; import "gone.proto"; message M {{ {"Gone" if used else "string"} g = 1; }}'
        "service A { rpc R(M) returns (M); }",
        "gone.proto": 'syntax = "proto3"; package p; message Gone {}',
    }
    contents = files_of(text)
    del contents["gone.proto"]
    answer = answering(contents, {"p.A": "a.proto"})
    if used:
        with pytest.raises(
            SchemaError, match=r"does not have 'gone\.proto', which a\.proto imports, nor p\.Gone"
        ):
            reflected(answer)
        return
    with caplog.at_level(logging.WARNING, "wirelane.grpc"):
        schema, _ = reflected(answer)
    assert schema.decode("p.M", b"\x0a\x01x") == {"g": "x"}
    assert "gone.proto" in caplog.text


def test_a_file_that_nobody_has_by_the_name_it_is_imported_by_is_found_by_what_is_in_it() -> None:
    contents = files_of(CHAIN)
    renamed = FileProto.FromString(contents.pop("c.proto"))
    renamed.name = "api/c.proto"
    answer = changed(
        answering(contents, WHERE),
        file_containing_symbol=lambda symbol: files(renamed.SerializeToString()) if symbol == "p.C" else None,
    )
    schema, questions = reflected(answer)
    assert questions[-1] == {"file_containing_symbol": "p.C"}
    assert schema.template("p.B") == {"c": {"text": ""}}
    assert schema.file_containing_symbol("p.C") == "api/c.proto"


def test_one_file_under_two_names_is_one() -> None:
    contents = files_of(
        {
            "a.proto": 'syntax = "proto3"; package p; import "c.proto"; service A { rpc R(C) returns (C); }',
            "c.proto": 'syntax = "proto3"; package p; message C { string text = 1; }',
        }
    )
    other = FileProto.FromString(contents["a.proto"])
    other.name, other.dependency[0], other.service[0].name = "b.proto", "api/c.proto", "B"
    twin = FileProto.FromString(contents["c.proto"])
    twin.name = "api/c.proto"
    contents |= {"b.proto": other.SerializeToString(), "api/c.proto": twin.SerializeToString()}
    schema, _ = reflected(answering(contents, {"p.A": "a.proto", "p.B": "b.proto"}))
    assert schema.services() == ["p.A", "p.B"]
    assert schema.template("p.C") == {"text": ""}


def test_descriptor_proto_of_another_age_and_under_another_name_does_no_harm() -> None:
    """As servers with gogo/protobuf have it: gogo.proto imports "descriptor.proto"."""
    old = FileProto()
    descriptor_pb2.DESCRIPTOR.CopyToProto(old)
    for message in old.message_type:
        del message.reserved_range[:]
        if message.name == "FieldOptions":
            del message.field[-3:]
    old.name = "descriptor.proto"
    options = FileProto(
        name="gogo.proto", package="gogoproto", syntax="proto2", dependency=["descriptor.proto"]
    )
    options.extension.add(
        name="nullable", number=65001, label=1, type=8, extendee=".google.protobuf.FieldOptions"
    )
    main = FileProto.FromString(
        files_of(
            'syntax = "proto3"; package p; message M { string a = 1; } service S { rpc R(M) returns (M); }'
        )["main.proto"]
    )
    main.dependency.extend(["gogo.proto", "google/protobuf/descriptor.proto"])
    contents = {file.name: file.SerializeToString() for file in (old, options, main)}
    schema, _ = reflected(answering(contents, {"p.S": "main.proto"}))
    assert schema.find_symbol("gogoproto.nullable") == ("extension", "gogoproto.nullable")
    assert schema.decode("p.M", b"\x0a\x01x") == {"a": "x"}


def test_a_server_may_have_well_known_files_of_another_age() -> None:
    contents = files_of(
        {
            "m.proto": 'syntax = "proto3"; package p; import "google/protobuf/descriptor.proto";'
            "message M { google.protobuf.FieldOptions o = 1; } service S { rpc R(M) returns (M); }"
        }
    )
    old = FileProto()
    descriptor_pb2.DESCRIPTOR.CopyToProto(old)
    kept = next(message for message in old.message_type if message.name == "FieldOptions")
    del kept.field[-3:]
    answer = changed(
        answering(contents, {"p.S": "m.proto"}),
        file_containing_symbol=lambda _: files(contents["m.proto"], old.SerializeToString()),
    )
    schema, _ = reflected(answer)
    assert len(schema.message_descriptor("google.protobuf.FieldOptions").fields) == len(kept.field)
    assert schema.decode("p.M", schema.encode("p.M", {"o": {"deprecated": True}}))["o"]["deprecated"] is True


def test_services_whose_files_contradict_each_other_are_left_out_of_the_whole(
    caplog: pytest.LogCaptureFixture,
) -> None:
    contents = files_of(TWO)
    broken = FileProto.FromString(contents["one.proto"])
    broken.service[0].method[0].input_type = ".p.Nowhere"
    contents["one.proto"] = broken.SerializeToString()
    with caplog.at_level(logging.WARNING, "wirelane.grpc"):
        schema, _ = reflected(answering(contents, TWO_WHERE))
    assert schema.services() == ["p.Three", "p.Two"]
    assert "p.One" in caplog.text
    with pytest.raises(SchemaError, match="Nowhere"):
        reflected(answering(contents, TWO_WHERE), "p.One/Do")


def test_a_service_whose_file_does_not_declare_it_is_not_described() -> None:
    contents = files_of(TWO)
    with pytest.raises(SchemaError, match="does not declare it"):
        reflected(answering(contents, {"p.Ghost": "base.proto"}))
    with pytest.raises(SchemaError, match=r"lists the service p\.Ghost.*does not declare it"):
        reflected(answering(contents, {"p.Ghost": "base.proto"}), "p.Ghost/Do")


def test_a_server_that_only_lists_its_services_is_told_of_as_such() -> None:
    answer = changed(
        answering({}, TWO_WHERE),
        file_containing_symbol=lambda _: error(12, "only lists"),
        file_by_filename=lambda _: error(12, "only lists"),
    )
    with pytest.raises(SchemaError, match=r"describes none of its services.*only lists"):
        reflected(answer)
    with pytest.raises(SchemaError, match=r"p\.One.*only lists"):
        reflected(answer, "p.One")
    with elsewhere(reflecting, Habits(answer)) as port:
        done = wirelane("list", f"127.0.0.1:{port}")
    assert (done.code, done.out.split()) == (0, ["p.One", "p.Three", "p.Two"])


def test_services_that_are_listed_twice_or_without_a_name_count_once_or_not_at_all() -> None:
    answer = changed(
        answering(files_of(TWO), TWO_WHERE),
        list_services=lambda _: {
            "list_services_response": {
                "service": [{"name": name} for name in ("p.One", "", "p.One", ".p.Two")]
            }
        },
    )
    schema, questions = reflected(answer)
    assert schema.services() == ["p.One", "p.Three", "p.Two"]
    assert sum("file_containing_symbol" in question for question in questions) == 2
