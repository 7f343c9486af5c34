"""Dataclasses as messages: what they are in a .proto, and between them and bytes.

    @dataclass
    class Order:
        id: str
        quantity: int = 0

`specs` reads a class, `files` writes the .proto files of services made of such, `plans` tells the glue of
`wirelane.codec.glue` how objects and upb's messages become each other. A service written so is `wirelane.grpc.Service`.
"""

from __future__ import annotations

from wirelane.codec.dataclasses.files import MADE_FOR, MethodSpec, ServiceSpec, schema_files
from wirelane.codec.dataclasses.hints import MessageLike, is_message_type, strip
from wirelane.codec.dataclasses.options import Field, message
from wirelane.codec.dataclasses.specs import reach
from wirelane.codec.dataclasses.wrapped import schema_of, wrapping
from wirelane.core.names import is_identifier, pascal_case

__all__ = [
    "MADE_FOR",
    "Field",
    "MessageLike",
    "MethodSpec",
    "ServiceSpec",
    "is_identifier",
    "is_message_type",
    "message",
    "pascal_case",
    "reach",
    "schema_files",
    "schema_of",
    "strip",
    "wrapping",
]
