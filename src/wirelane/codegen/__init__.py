"""Code for .proto files: messages, and typed stubs and bases of their services.

`request_of_sources` and `request_of_schema` make a request of whatever names a schema, in the form in which protoc gives it
to plugins; `generate` makes files of a request; `compare` and `write` tell how a directory differs from them, and make it
what it should be. `plugin.main` is `protoc-gen-wirelane`.

Nothing that is generated names a version, a time or a machine, and everything is written in one order: the same .proto
files give the same octets.
"""

from __future__ import annotations

from wirelane.codegen.generate import GeneratedFile, generate
from wirelane.codegen.inputs import request_of_schema, request_of_sources
from wirelane.codegen.model import make_request
from wirelane.codegen.settings import Messages, Settings
from wirelane.codegen.tree import Changes, compare, write

__all__ = [
    "Changes",
    "GeneratedFile",
    "Messages",
    "Settings",
    "compare",
    "generate",
    "make_request",
    "request_of_schema",
    "request_of_sources",
    "write",
]
