"""Several pieces of bytes as one write: uncopied where that is worth it, and where the transport can be trusted with it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

__all__ = ["WORTH_A_BUFFER", "write_parts"]

WORTH_A_BUFFER = 4096
"""Octets for each part, from which on the system takes the parts uncopied sooner than they are joined."""

# asyncio's own of these does not tell who writes to stop (CVE-2024-12254).
_NEVER_PAUSES = (((3, 12), (3, 12, 9)), ((3, 13), (3, 13, 2)))  # from, and mended in
_WRITELINES_NEVER_PAUSES = any(since <= sys.version_info < mended for since, mended in _NEVER_PAUSES)


def write_parts(transport: asyncio.Transport, parts: Iterable[bytes | memoryview]) -> None:
    """Give parts to a transport as one write; they should have `WORTH_A_BUFFER` octets each, taken together."""
    if _WRITELINES_NEVER_PAUSES:
        transport.write(b"".join(parts))
    else:
        # asyncio's own, since it was mended, would wait for ever for an empty part at the end to leave.
        transport.writelines([part for part in parts if part])
