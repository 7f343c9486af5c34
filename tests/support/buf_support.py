"""Messages of protobuf-py for any schema: its classes are made of descriptors, as its generated modules make them."""

from __future__ import annotations

from typing import Any

from protobuf._codegen import file_desc

from wirelane.codec import Schema

__all__ = ["buf_classes"]


def buf_classes(schema: Schema, file: str) -> dict[str, Any]:
    """Return the classes of the messages that a file of a schema declares, by their names."""
    made: dict[str, Any] = {}
    for name in schema.files():
        dependencies = [made[needed] for needed in schema.file_proto(name).dependency]
        made[name] = file_desc(schema.file_bytes(name), dependencies, {})
    return {message.name: message.type for message in made[file].messages}
