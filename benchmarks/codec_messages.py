"""The messages that every codec gets, as dicts and as dataclasses; bench.proto declares them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

LAMP = {"id": "lamp-1", "price": 12.5, "qty": 2, "tags": ["light", "home"]}
MOMENT = datetime(2024, 2, 29, 12, 30, 15, 123_456, tzinfo=UTC)
MESSAGES: dict[str, dict[str, Any]] = {
    # The one of the targets; 286 bytes.
    "Order": {
        "id": "order-000123",
        "ts": 1_700_000_000_123,
        "kind": "KIND_SALE",
        "items": [
            {"id": f"item-{n}", "price": 9.99 + n, "qty": n + 1, "tags": ["red", "large"]} for n in range(4)
        ],
        "attrs": {"channel": "web", "region": "eu-central-1", "campaign": "spring"},
        "blob": bytes(range(32)),
        "note": "leave at the door",
        "card": "4111111111111111",
    },
    "Flat": {
        "name": "a name",
        "number": 2**40,
        "ratio": 0.25,
        "active": True,
        "text": "some text that is a little longer than a name",
        "small": -5,
        "unsigned": 7,
        "key": b"\x00\x01\x02\x03",
    },
    "Numbers": {"values": [n * 37 for n in range(100)]},
    "Labels": {
        "texts": {f"key-{n}": f"value-{n}" for n in range(20)},
        "counts": {f"count-{n}": n * 1000 for n in range(20)},
        "items": dict.fromkeys(range(5), LAMP),
    },
    "Times": {
        "created": MOMENT,
        "changed": MOMENT + timedelta(days=1),
        "spent": timedelta(hours=2, microseconds=5),
        "seen": [MOMENT + timedelta(minutes=n) for n in range(5)],
    },
}


@dataclass
class Item:
    id: str = ""
    price: float = 0.0
    qty: int = 0
    tags: list[str] = field(default_factory=list)


@dataclass
class Order:
    id: str
    ts: int
    kind: int
    items: list[Item]
    attrs: dict[str, str]
    blob: bytes
    note: str | None
    card: str


@dataclass
class Flat:
    name: str
    number: int
    ratio: float
    active: bool
    text: str
    small: int
    unsigned: int
    key: bytes


@dataclass
class Numbers:
    values: list[int]


@dataclass
class Labels:
    texts: dict[str, str]
    counts: dict[str, int]
    items: dict[int, Item]


@dataclass
class Times:
    created: datetime
    changed: datetime
    spent: timedelta
    seen: list[datetime]


DATACLASSES: dict[str, Any] = {kind.__name__: kind for kind in (Order, Flat, Numbers, Labels, Times)}


def as_dataclass(message: str) -> Any:
    """The message as a dataclass, which numbers its fields from 1: its bytes are others."""
    value = dict(MESSAGES[message])
    if message == "Order":
        value["kind"] = 1
        value["items"] = [Item(**item) for item in value["items"]]
    if message == "Labels":
        value["items"] = {key: Item(**item) for key, item in value["items"].items()}
    return DATACLASSES[message](**value)
