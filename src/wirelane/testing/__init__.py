"""What users need to test their own services, and what we put other stacks to the test with: `faults`, `interop`."""

from __future__ import annotations

__all__: list[str] = []
