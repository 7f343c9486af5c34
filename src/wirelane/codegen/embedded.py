"""The schema that goes into generated code, as a module of its own.

Services are served with it, so that reflection tells what the .proto files say, comments and options included: classes
of messages cannot, and a service may be in a file without any. It is text until somebody asks.
"""

from __future__ import annotations

import base64
from typing import Final

from google.protobuf import descriptor_pb2

from wirelane.codegen.model import Model
from wirelane.codegen.text import HEADER, comment_line, literal

__all__ = ["MODULE", "NAME", "write_schema"]

MODULE: Final = "_schema"
"""The module at the root of the tree."""

NAME: Final = "schema"
"""What the schema is called in it."""

_COLUMNS: Final = 76


def write_schema(model: Model) -> str:
    """Return the text of the module with the schema of everything that was generated."""
    lines = [
        HEADER,
        comment_line(f"Source: {', '.join(model.embedded)}"),
        "",
        "from __future__ import annotations",
        "",
        "from wirelane.codec import EmbeddedSchema",
        "",
        f"{NAME} = EmbeddedSchema(",
        "    {",
    ]
    for name in model.embedded:
        text = base64.b64encode(_content(model, name)).decode("ascii")
        pieces = [text[at : at + _COLUMNS] for at in range(0, len(text), _COLUMNS)]
        if len(pieces) == 1 and len(name) + len(text) < _COLUMNS:
            lines.append(f"        {literal(name)}: {literal(text)},")
        else:
            lines += [
                f"        {literal(name)}: (",
                *(f'            "{piece}"' for piece in pieces),
                "        ),",
            ]
    return "\n".join([*lines, "    }", ")", ""])


def _content(model: Model, name: str) -> bytes:
    """Return a serialized file with its comments, and without the positions of what has none."""
    file = descriptor_pb2.FileDescriptorProto()
    file.CopyFrom(model.descriptors.file_proto(name))
    said = [
        location
        for location in file.source_code_info.location
        if location.leading_comments or location.trailing_comments or location.leading_detached_comments
    ]
    kept = descriptor_pb2.SourceCodeInfo(location=said)
    file.ClearField("source_code_info")
    if said:
        file.source_code_info.CopyFrom(kept)
    return file.SerializeToString(deterministic=True)
