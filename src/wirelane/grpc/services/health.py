"""grpc.health.v1: whether a service takes calls (gRPC health checking protocol, gRFC A17).

Contract: `Check` answers the present status and NOT_FOUND for a name it does not know; `Watch` sends the present
status and then each change, SERVICE_UNKNOWN while the name is not known; `List` answers all of them. The empty name
is the server as a whole. Each service with a handler is known, and SERVING, from its registration.

A watcher that reads slowly gets the newest status, not a backlog.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncIterator, Mapping
from functools import cache
from typing import cast

from wirelane.codec import Schema
from wirelane.errors import RpcError, UsageError
from wirelane.grpc.services.base import BuiltinMethod
from wirelane.protos import descriptor_set
from wirelane.status import StatusCode

__all__ = ["SERVICE", "Health", "ServingStatus"]

SERVICE = "grpc.health.v1.Health"
"""Its name."""

_MAX_LISTED = 100
"""How many services List answers for; more are RESOURCE_EXHAUSTED, as the protocol says and grpc-go does."""


class ServingStatus(enum.IntEnum):
    """The statuses of grpc.health.v1.HealthCheckResponse."""

    UNKNOWN = 0
    SERVING = 1
    NOT_SERVING = 2
    SERVICE_UNKNOWN = 3

    @classmethod
    def of(cls, value: ServingStatus | int | str | bool) -> ServingStatus:
        """Return a status from itself, its number, its name, or True (SERVING) and False (NOT_SERVING).

        Raises:
            UsageError: There is no such status.
        """
        if isinstance(value, bool):
            return cls.SERVING if value else cls.NOT_SERVING
        try:
            return cls[value.upper()] if isinstance(value, str) else cls(value)
        except (KeyError, ValueError):
            raise UsageError(
                f"{value!r} is no serving status; there are {', '.join(cls.__members__)}"
            ) from None


@cache
def _schema() -> Schema:
    return Schema.from_set(descriptor_set("health"), origin="wirelane's health protocol")


class Health:
    """What the health service answers from. Use it from the event loop of the server."""

    def __init__(self) -> None:
        self._statuses: dict[str, ServingStatus] = {"": ServingStatus.SERVING}
        self._shut_down = False
        # Who waits for a change, by service.
        self._watchers: dict[str, set[asyncio.Event]] = {}

    def set(self, service: str, status: ServingStatus | int | str | bool) -> None:
        """Set the status of a service ("" for the server as a whole), and tell those who watch it.

        While the server drains everything is NOT_SERVING; what is set then counts if it listens again.

        Raises:
            UsageError: There is no such status, or it is SERVICE_UNKNOWN, which `clear` stands for.
        """
        serving = ServingStatus.of(status)
        if serving is ServingStatus.SERVICE_UNKNOWN:
            raise UsageError(
                f"SERVICE_UNKNOWN is what watchers of an unknown service see; clear({service!r}) makes it so"
            )
        self._statuses[service] = serving
        self._tell(service)

    def add(self, service: str) -> None:
        """Make a service known, as SERVING, unless it is."""
        if service not in self._statuses:
            self.set(service, ServingStatus.SERVING)

    def clear(self, service: str) -> None:
        """Forget a service. Its watchers see SERVICE_UNKNOWN."""
        if self._statuses.pop(service, None) is not None:
            self._tell(service)

    def get(self, service: str = "") -> ServingStatus | None:
        """Return the status that clients see now; None if the service is not known."""
        status = self._statuses.get(service)
        if status is not None and self._shut_down:
            return ServingStatus.NOT_SERVING
        return status

    def shutdown(self) -> None:
        """Answer NOT_SERVING for everything: the server is draining."""
        self._change(shut_down=True)

    def resume(self) -> None:
        """Answer what was set: the server listens."""
        self._change(shut_down=False)

    def _change(self, *, shut_down: bool) -> None:
        if shut_down is not self._shut_down:
            self._shut_down = shut_down
            for service in self._watchers:
                self._tell(service)

    def _tell(self, service: str) -> None:
        for event in self._watchers.get(service, ()):
            event.set()

    def _forget_watchers(self) -> None:
        """Let go of who waits in the loop of a parent process."""
        self._watchers = {}

    # -- the service --------------------------------------------------------------------------------------------

    @property
    def schema(self) -> Schema:
        """Where its messages are described."""
        return _schema()

    def methods(self) -> list[BuiltinMethod]:
        """Return the methods of the service."""
        return [
            BuiltinMethod(f"{SERVICE}/Check", self._check),
            BuiltinMethod(f"{SERVICE}/List", self._list),
            BuiltinMethod(f"{SERVICE}/Watch", self._watch, background=True),
        ]

    async def _check(self, request: Mapping[str, object]) -> dict[str, object]:
        service = _service_of(request)
        status = self.get(service)
        if status is None:
            raise RpcError(StatusCode.NOT_FOUND, f"unknown service {service[:200]!r}")
        return {"status": status.name}

    async def _list(self, request: Mapping[str, object]) -> dict[str, object]:
        if len(self._statuses) > _MAX_LISTED:
            raise RpcError(StatusCode.RESOURCE_EXHAUSTED, f"more than {_MAX_LISTED} services")
        return {
            "statuses": {
                name: {"status": cast("ServingStatus", self.get(name)).name} for name in self._statuses
            }
        }

    async def _watch(self, request: Mapping[str, object]) -> AsyncIterator[dict[str, object]]:
        service = _service_of(request)
        changed = asyncio.Event()
        watchers = self._watchers.setdefault(service, set())
        watchers.add(changed)
        last: ServingStatus | None = None
        try:
            while True:
                changed.clear()
                known = self.get(service)
                status = ServingStatus.SERVICE_UNKNOWN if known is None else known
                if status is not last:
                    last = status
                    yield {"status": status.name}
                await changed.wait()
        finally:
            watchers.discard(changed)
            if not watchers and self._watchers.get(service) is watchers:
                del self._watchers[service]

    def __repr__(self) -> str:
        shown = ", ".join(f"{name or '(server)'}={status.name}" for name, status in self._statuses.items())
        return f"<Health {'shut down, ' if self._shut_down else ''}{shown}>"


def _service_of(request: Mapping[str, object]) -> str:
    return str(request.get("service", ""))
