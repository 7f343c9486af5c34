"""A proxy that does to connections what networks do, for tests of clients and servers of any protocol.

    from wirelane.testing import faults

    async with faults.FaultProxy("127.0.0.1:5432", seed=7, faults=[faults.Slicer(average=3)]) as proxy:
        await use(proxy.address)
        proxy.stall()

Faults are immutable values; the proxy takes them at the start and while it runs. Bytes are never changed, reordered or
invented: what arrives is always the beginning of what was sent. What is drawn at random follows from the seed.
"""

from __future__ import annotations

from wirelane.testing.faults.blocking import BlockingProxy
from wirelane.testing.faults.kinds import (
    Bandwidth,
    Cut,
    Direction,
    Down,
    Fault,
    HalfOpen,
    Latency,
    LimitData,
    Refuse,
    Reset,
    Slicer,
    SlowClose,
    Stall,
)
from wirelane.testing.faults.proxy import FaultProxy, ProxyConnection, ProxyStats

__all__ = [
    "Bandwidth",
    "BlockingProxy",
    "Cut",
    "Direction",
    "Down",
    "Fault",
    "FaultProxy",
    "HalfOpen",
    "Latency",
    "LimitData",
    "ProxyConnection",
    "ProxyStats",
    "Refuse",
    "Reset",
    "Slicer",
    "SlowClose",
    "Stall",
]
