"""Values and arithmetic of both protocols, without I/O: no asyncio, socket, ssl, threading or protobuf.

Every module is imported by its own name; nothing is loaded from here.
"""

from __future__ import annotations

__all__: list[str] = []
