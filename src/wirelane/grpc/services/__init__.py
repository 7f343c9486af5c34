"""The services every server has unless it is told otherwise: health and reflection.

They are ordinary services: handlers on runtime schemas, answered by the same code as any other.
"""

from __future__ import annotations

from wirelane.grpc.services.health import Health, ServingStatus
from wirelane.grpc.services.reflection import Reflection

__all__ = ["Health", "Reflection", "ServingStatus"]
