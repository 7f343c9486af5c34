"""`protoc-gen-wirelane`: the generator as a plugin of protoc and buf.

A plugin reads a CodeGeneratorRequest from standard input and writes a CodeGeneratorResponse to standard output. What is
wrong with the .proto files or the options is told in the response, so that protoc says it in its own words; anything else
ends the plugin with a traceback, as protoc expects of a plugin with a defect.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Final

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.compiler import plugin_pb2

from wirelane.codegen.generate import generate
from wirelane.codegen.settings import Settings
from wirelane.errors import SchemaError, WirelaneError
from wirelane.schema import linking

__all__ = ["main", "respond"]

_Response = plugin_pb2.CodeGeneratorResponse
_FEATURES: Final = _Response.FEATURE_PROTO3_OPTIONAL | _Response.FEATURE_SUPPORTS_EDITIONS


def respond(request: plugin_pb2.CodeGeneratorRequest) -> plugin_pb2.CodeGeneratorResponse:
    """Answer a request; its parameter is what `--wirelane_opt` says."""
    response = _Response(
        supported_features=_FEATURES,
        minimum_edition=descriptor_pb2.EDITION_PROTO2,
        maximum_edition=_newest_edition(),
    )
    try:
        files = generate(request, Settings.of_parameter(request.parameter))
    except WirelaneError as error:
        response.error = str(error)
        return response
    for file in files:
        response.file.add(name=file.path, content=file.text)
    return response


@cache
def _newest_edition() -> int:
    """Return the newest edition whose features the protobuf runtime resolves: that is all that an edition is to us."""
    for edition in ("EDITION_2024", "EDITION_2023"):
        number = dict(descriptor_pb2.Edition.items()).get(edition, 0)
        file = descriptor_pb2.FileDescriptorProto(name="probe.proto", syntax="editions")
        file.edition = number  # type: ignore[assignment]
        try:
            linking.build(descriptor_pool.DescriptorPool(), file.name, file.SerializeToString())
        except SchemaError:
            continue
        return number
    return descriptor_pb2.EDITION_PROTO3


def main() -> None:
    """Be the plugin: one request in, one response out."""
    if sys.stdin.isatty():
        sys.exit(
            "protoc-gen-wirelane is run by protoc or buf, as in protoc --wirelane_out=DIR FILE.proto; "
            "`wirelane generate` needs neither"
        )
    request = plugin_pb2.CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
    sys.stdout.buffer.write(respond(request).SerializeToString(deterministic=True))
