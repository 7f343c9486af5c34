"""What both conformance programs share: the messages of the runner on stdin and stdout, and headers as it writes them.

The .proto files are not ours: they are loaded at run time from the module that the runner was built from.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from wirelane import Metadata, Schema

__all__ = [
    "PACKAGE",
    "SERVICE",
    "Message",
    "any_of",
    "delimited",
    "header_list",
    "load_schema",
    "metadata_of",
    "size_of",
]

PACKAGE = "connectrpc.conformance.v1"
SERVICE = f"{PACKAGE}.ConformanceService"

Message = dict[str, Any]


def load_schema(module: str) -> Schema:
    """The schema of the conformance tests, of the Go module at this directory."""
    return Schema.load(Path(module) / "proto")


def size_of(prefix: bytes) -> int:
    """The size of the message that follows its four octets of length."""
    return int.from_bytes(prefix, "big")


def delimited(data: bytes) -> bytes:
    """A message with its length in front."""
    return len(data).to_bytes(4, "big") + data


def any_of(name: str, message: Message) -> Message:
    """A message of the package as the content of a google.protobuf.Any."""
    return {"@type": f"type.googleapis.com/{PACKAGE}.{name}", **message}


def header_list(metadata: Metadata | None) -> list[Message]:
    """Metadata as Header messages; binary values are base64 in them."""
    values: dict[str, list[str]] = {}
    for name, value in metadata.items() if metadata is not None else ():
        text = value if isinstance(value, str) else base64.b64encode(value).decode().rstrip("=")
        values.setdefault(name, []).append(text)
    return [{"name": name, "value": texts} for name, texts in values.items()]


def metadata_of(headers: Iterable[Message]) -> Metadata:
    """Header messages as metadata."""
    metadata = Metadata()
    for header in headers:
        name = header["name"].lower()
        for text in header["value"]:
            binary = name.endswith("-bin")
            metadata.add(name, base64.b64decode(text + "=" * (-len(text) % 4)) if binary else text)
    return metadata
