"""From whatever names a schema to a request."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from google.protobuf.compiler import plugin_pb2

from wirelane.codegen.model import GOOGLE, make_request
from wirelane.core.limits import Limits
from wirelane.errors import SchemaError
from wirelane.schema import Descriptors, sources

__all__ = ["request_of_schema", "request_of_sources"]

# What every server with reflection has, and nobody asks for.
_BUILTIN: Final = ("grpc.reflection.", "grpc.health.")


def request_of_sources(
    given: Sequence[sources.OneSource], *, import_paths: Sequence[str | os.PathLike[str]] = ()
) -> plugin_pb2.CodeGeneratorRequest:
    """Return the request to generate code for what `Schema.load` takes. Blocks.

    Files are asked for that were named, or are in a directory or descriptor set that was; what they import comes along.

    Raises:
        SchemaError: Something is missing or does not compile.
        LimitExceeded: More bytes or files than the limits allow.
    """
    loaded = sources.load(list(given), import_paths=import_paths)
    files = Limits().max_schema_files
    limits = Limits(max_schema_bytes=max(len(loaded.data), 1), max_schema_files=max(files, len(loaded.data)))
    descriptors = Descriptors(loaded.data, origin=loaded.origin, limits=limits)
    return make_request(descriptors, loaded.entries)


def request_of_schema(schema: Descriptors) -> plugin_pb2.CodeGeneratorRequest:
    """Return the request to generate code for the services of a server, without reflection and health.

    Raises:
        SchemaError: It has no others.
    """
    services = [name for name in schema.services() if not name.startswith(_BUILTIN)]
    files = {schema.service_descriptor(name).file.name for name in services}
    wanted = sorted(name for name in files if not name.startswith(GOOGLE))
    if not wanted:
        raise SchemaError(f"{schema.origin} has no service to generate code for")
    return make_request(schema, wanted)
