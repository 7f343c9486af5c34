"""A schema inside a Python module, as generated code has it."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from wirelane.codec.schema import Schema
from wirelane.core.limits import Limits

__all__ = ["EmbeddedSchema"]


class EmbeddedSchema:
    """A schema that is text until it is asked for: calling this object gives it, the same one each time.

    Args:
        files: Import names to serialized FileDescriptorProtos in base64. Well-known files may be left out.
    """

    __slots__ = ("_files", "_schema")

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files
        self._schema: Schema | None = None

    def __call__(self) -> Schema:
        """Return the schema.

        Raises:
            SchemaError: The files do not link.
        """
        # Made twice by two threads it is the same but for its identity, and one of them is dropped.
        if self._schema is None:
            files = [FileDescriptorProto.FromString(base64.b64decode(text)) for text in self._files.values()]
            content = FileDescriptorSet(file=files)
            # It is in this process already: refusing it would protect nothing.
            limits = Limits(max_schema_bytes=max(content.ByteSize(), 1), max_schema_files=max(len(files), 1))
            self._schema = Schema(content, origin="generated code", limits=limits)
        return self._schema

    def __repr__(self) -> str:
        return f"<EmbeddedSchema of {', '.join(self._files)}>"
