"""On whose behalf a function runs that is no task's own: what a thread calls belongs to the task that waits for that thread."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

__all__ = ["BEHALF"]

BEHALF: Final[ContextVar[object | None]] = ContextVar("wirelane.behalf", default=None)
"""The task that waits for this thread to end; None where no task does."""
