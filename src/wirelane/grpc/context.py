"""What the code of one call inherits from the call that runs it.

The server sets `current_deadline` in the task of each call before the handler runs; a client call made inside that
handler reads it and never outlives it (deadline propagation). Tasks that the handler starts inherit the value, as
every context variable. A call without a deadline sets None, so that nothing leaks in from where the server started.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wirelane.core.deadline import Deadline

__all__ = ["current_deadline"]

current_deadline: ContextVar[Deadline | None] = ContextVar("wirelane_current_deadline", default=None)
"""The deadline of the call whose handler is running; None outside of handlers and in calls without one."""
