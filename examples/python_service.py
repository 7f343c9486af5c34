"""A service without a .proto: functions and dataclasses, of which the .proto is made.

python examples/python_service.py                   serves, calls itself, shows the .proto, and ends
python examples/python_service.py 127.0.0.1:50051   serves until Ctrl-C; then try in another terminal:

    wirelane describe 127.0.0.1:50051 shop.v1.Orders
    wirelane call 127.0.0.1:50051 shop.v1.Orders/Add -d '{"item": "lamp", "count": 2}'
    wirelane describe --service examples.python_service:orders --proto-out -
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum

import wirelane
from wirelane import StatusCode, grpc

orders = grpc.Service("shop.v1.Orders", doc="What people have ordered.")


class Status(Enum):
    OPEN = "open"
    SENT = "sent"


@dataclass
class Order:
    """One order."""

    id: int
    items: dict[str, int] = field(default_factory=dict)
    status: Status = Status.OPEN
    sent_at: datetime | None = None


@dataclass
class Query:
    status: Status | None = None


class Shop:
    def __init__(self) -> None:
        self.orders = [Order(1, {"shade": 1}, Status.SENT, datetime(2026, 1, 31, tzinfo=UTC))]

    # Plain parameters are the fields of a request, AddRequest.
    @orders.method
    async def add(self, item: str, count: int = 1) -> Order:
        """Order something."""
        order = Order(len(self.orders) + 1, {item: count})
        self.orders.append(order)
        return order

    # One parameter that is a dataclass is the request itself.
    @orders.method
    async def find(self, query: Query) -> AsyncIterator[Order]:
        """Find all orders that are open, or sent, or both."""
        for order in self.orders:
            if query.status in (None, order.status):
                yield order

    @orders.method
    async def send(self, id: int, context: grpc.Context) -> Order:  # noqa: A002
        """Send an order on its way."""
        if not 1 <= id <= len(self.orders):
            context.abort(StatusCode.NOT_FOUND, f"there is no order {id}")
        order = self.orders[id - 1]
        order.status, order.sent_at = Status.SENT, datetime.now(UTC)
        return order


server = grpc.Server([orders.bind(Shop())])


async def try_it() -> None:
    async with server.listen("127.0.0.1:0") as listening, grpc.connect(str(listening.address)) as channel:
        # Calls look like those of the functions, and need no schema.
        shop = orders.stub(channel)
        order = await shop.add("lamp", count=2, timeout=5.0)
        print(order.items)
        async with shop.find(Query(Status.OPEN)) as found:
            print([each.id async for each in found])
        print((await shop.send(order.id)).status)
    print(orders.proto_text())


if __name__ == "__main__":
    # serve() ends at Ctrl-C or SIGTERM: calls in flight may finish.
    wirelane.run(server.serve(sys.argv[1]) if len(sys.argv) > 1 else try_it())
