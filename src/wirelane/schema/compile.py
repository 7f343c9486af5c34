"""Texts in memory to descriptors: `sources.load` for callers that have nothing but texts, and want bytes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from wirelane.core.limits import Limits
from wirelane.schema.sources import load

__all__ = ["compile_sources"]


def compile_sources(
    sources: Mapping[str, str],
    *,
    import_paths: Sequence[str | os.PathLike[str]] = (),
    limits: Limits | None = None,
    timeout: float | None = None,
) -> bytes:
    """Compile texts, given by import name, to a serialized FileDescriptorSet with source information.

    Args:
        sources: Import names to .proto texts, in any order.
        import_paths: Directories to search for imports that are not in `sources`.
        limits: Bounds on sizes, numbers, memory and time.
        timeout: Seconds for all of it; `limits.schema_timeout` if None.

    Raises:
        SchemaError: A text does not compile, or an import is missing.
        LimitExceeded: More bytes or files than `limits` allows.
    """
    return load(dict(sources), import_paths=import_paths, limits=limits, cache=False, timeout=timeout).data
