"""Schemas: .proto sources in any form to descriptors, and what descriptors say.

`sources.load` turns whatever names a schema into a descriptor set, by way of protoc in a child process;
`Descriptors` links one and answers questions about it. Nothing here knows about calls, and nothing is async: what
reads files or runs the compiler blocks, and belongs in a thread.
"""

from __future__ import annotations

from wirelane.schema.pool import Descriptors, MethodInfo
from wirelane.schema.sources import LoadedSet, load

__all__ = ["Descriptors", "LoadedSet", "MethodInfo", "load"]
