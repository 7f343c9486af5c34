"""What a hostile server or descriptor set puts into names and comments stays out of the code."""

from __future__ import annotations

import ast
from typing import Any

import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.compiler import plugin_pb2

from support.codegen_support import texts_of
from wirelane import SchemaError, WirelaneError
from wirelane.codegen import Messages, Settings, generate

EVIL = "\n\nimport os; os.abort()  # \"\"\" ''' \\"
MESSAGES = [Messages.BETTERPROTO2, Messages.PROTOBUF, Messages.NONE]


def request_of(file: descriptor_pb2.FileDescriptorProto) -> plugin_pb2.CodeGeneratorRequest:
    return plugin_pb2.CodeGeneratorRequest(file_to_generate=[file.name], proto_file=[file])


def plain_file(name: str = "evil.proto") -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name=name, package="evil", syntax="proto3")
    message = file.message_type.add(name="M")
    message.field.add(name="f", number=1, type=5, label=1)
    enum = file.enum_type.add(name="E")
    enum.value.add(name="V", number=0)
    service = file.service.add(name="S")
    service.method.add(name="Do", input_type=".evil.M", output_type=".evil.M")
    return file


def calls_in(text: str) -> set[str]:
    """The names of everything that a module calls or imports."""
    nodes = list(ast.walk(ast.parse(text)))
    imported = {
        alias.name for node in nodes if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names
    }
    return imported | {ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)}


@pytest.mark.parametrize("messages", MESSAGES)
def test_comments_are_only_ever_text(messages: Messages) -> None:
    file = plain_file()
    for path in ([4, 0], [4, 0, 2, 0], [5, 0], [5, 0, 2, 0], [6, 0], [6, 0, 2, 0]):
        file.source_code_info.location.add(path=path, span=[0, 0, 0], leading_comments=EVIL)
    made = generate(request_of(file), Settings(messages=messages))
    clean = generate(request_of(plain_file()), Settings(messages=messages))
    for one, other in zip(made, clean, strict=True):
        if not one.path.endswith("py.typed"):
            assert calls_in(one.text) == calls_in(other.text), one.path


@pytest.mark.parametrize("messages", MESSAGES)
@pytest.mark.parametrize(
    "name", ["../up.proto", "/etc/abs.proto", "a/../../b.proto", "line\nimport os.proto", "a\\b.proto", ""]
)
def test_names_of_files_that_lead_elsewhere_are_refused(messages: Messages, name: str) -> None:
    with pytest.raises(SchemaError):
        generate(request_of(plain_file(name)), Settings(messages=messages))


@pytest.mark.parametrize("name", ["--out=x.proto", "@file.proto", "-I.proto"])
def test_a_name_that_protoc_would_take_for_an_option_is_refused(name: str) -> None:
    with pytest.raises(SchemaError, match="for an option|is no name"):
        generate(request_of(plain_file(name)), Settings(messages=Messages.PROTOBUF))


@pytest.mark.parametrize("messages", MESSAGES)
@pytest.mark.parametrize("what", ["package", "message", "field", "enum", "value", "service", "method"])
def test_names_that_are_none_are_refused(messages: Messages, what: str) -> None:
    file = plain_file()
    evil = "x = 1\nimport os"
    if what == "package":
        file.package = evil
    else:
        named: dict[str, Any] = {
            "message": file.message_type[0],
            "field": file.message_type[0].field[0],
            "enum": file.enum_type[0],
            "value": file.enum_type[0].value[0],
            "service": file.service[0],
            "method": file.service[0].method[0],
        }
        named[what].name = evil
    with pytest.raises(WirelaneError):
        generate(request_of(file), Settings(messages=messages))


@pytest.mark.parametrize("messages", MESSAGES)
def test_a_strange_but_possible_name_of_a_file_is_only_ever_text(messages: Messages) -> None:
    name = 'it\'s "odd" # {0} %s.proto'
    if messages is Messages.PROTOBUF:
        with pytest.raises(SchemaError, match="is no name"):
            generate(request_of(plain_file(name)), Settings(messages=messages))
        return
    for file in generate(request_of(plain_file(name)), Settings(messages=messages)):
        ast.parse(file.text)


def test_a_package_called_like_a_module_of_ours_hides_nothing() -> None:
    source = """
        syntax = "proto3"; package grpc.typing;
        message message_pool { int32 datetime = 1; }
        service wirelane { rpc abc(message_pool) returns (message_pool); rpc Grpc(message_pool) returns (message_pool); }
    """
    for messages in MESSAGES:
        texts = texts_of(source, messages)
        for text in texts.values():
            ast.parse(text)
        stubs = [text for text in texts.values() if "class wirelaneStub" in text]
        assert stubs, messages
        # The modules that the code needs keep names that the package and its messages do not take.
        assert all(
            "from wirelane import grpc" in text or "from wirelane.sync import grpc" in text for text in stubs
        )
