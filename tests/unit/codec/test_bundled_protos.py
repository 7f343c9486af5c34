"""The .proto files that ship with wirelane: in step with their sources, and the same as everybody else's."""

from __future__ import annotations

import subprocess
import sys

import pytest
from google.protobuf import descriptor_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from support.codec_support import ROOT, demo
from wirelane import protos

OTHERS = {
    ("health", "grpc.health.v1"): health_pb2,
    ("reflection", "grpc.reflection.v1alpha"): reflection_pb2,
    ("reflection", "grpc.reflection.v1"): reflection_pb2,
    ("rpc", "google/rpc/status.proto"): status_pb2,
    ("rpc", "google/rpc/code.proto"): code_pb2,
    ("rpc", "google/rpc/error_details.proto"): error_details_pb2,
}


def facts(file: descriptor_pb2.FileDescriptorProto) -> dict[str, tuple]:
    """Full name, without the package, of every element to what goes over the wire."""
    prefix = f".{file.package}."
    found: dict[str, tuple] = {}

    def walk(message: descriptor_pb2.DescriptorProto, path: str) -> None:
        for field in message.field:
            oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""
            kind = field.type_name.removeprefix(prefix)
            found[f"{path}.{field.name}"] = (field.number, field.type, field.label, kind, oneof)
        for inner in message.nested_type:
            walk(inner, f"{path}.{inner.name}")
        for enum in message.enum_type:
            found[f"{path}.{enum.name}"] = tuple(sorted((value.number, value.name) for value in enum.value))

    for message in file.message_type:
        walk(message, message.name)
    for enum in file.enum_type:
        found[enum.name] = tuple(sorted((value.number, value.name) for value in enum.value))
    for service in file.service:
        for method in service.method:
            types = method.input_type.removeprefix(prefix), method.output_type.removeprefix(prefix)
            found[f"{service.name}/{method.name}"] = (
                *types,
                method.client_streaming,
                method.server_streaming,
            )
    return found


@pytest.mark.parametrize(("name", "which"), OTHERS)
def test_our_protos_say_the_same_as_those_of_google(name: protos.SetName, which: str) -> None:
    files = descriptor_pb2.FileDescriptorSet.FromString(protos.descriptor_set(name)).file
    (ours,) = [file for file in files if which in (file.name, file.package)]
    theirs = descriptor_pb2.FileDescriptorProto()
    OTHERS[name, which].DESCRIPTOR.CopyToProto(theirs)
    assert facts(ours) == facts(theirs)


def test_the_compiled_descriptors_are_in_step_with_the_sources() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "make_protos.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_demo_methods_have_the_names_that_users_type() -> None:
    for name in ("Summator/sum", "Greeter/SayHello", "wirelane.demo.Everything/Echo"):
        assert demo().find_method(name).path == f"/{name}"


def test_the_demo_has_a_field_of_every_scalar_kind() -> None:
    fields = demo().message_descriptor("wirelane.demo.AllKinds").fields
    scalars = set(range(1, 19)) - {10, 11, 14}  # all but group, message and enum
    assert scalars <= {field.type for field in fields if not field.is_repeated}


def test_the_demo_keeps_its_comments_and_the_rest_has_none() -> None:
    assert "value1 + value2" in demo().find_method("Summator/sum").comment
    for name in ("health", "reflection", "rpc"):
        files = descriptor_pb2.FileDescriptorSet.FromString(protos.descriptor_set(name)).file
        assert not any(file.HasField("source_code_info") for file in files)


def test_asking_for_a_set_registers_nothing_in_the_default_pool() -> None:
    program = """
from google.protobuf import descriptor_pool
from wirelane import codec, protos
for name in ("health", "reflection", "rpc", "demo"):
    codec.Schema.from_set(protos.descriptor_set(name))
codec.encode_status_details(5, "x", [{"@type": "google.rpc.ErrorInfo"}])
for name in ("grpc/health/v1/health.proto", "google/rpc/status.proto", "summator.proto", "types.proto"):
    try:
        descriptor_pool.Default().FindFileByName(name)
    except KeyError:
        continue
    print(name)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == ""
