"""A server of services of several kinds, for grpcurl to find by reflection and to call.

    python tests/conformance/reflected.py [--tls-cert FILE --tls-key FILE] [--port PORT]

One of a .proto with extensions, one of message classes whose file has the name of that of the first, and one written in
Python. The first line printed is `listening on port 12345`.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from wirelane import Schema, TlsConfig, grpc
from wirelane.net.signals import stop_signals

SHOP = {
    "shop.proto": """
        // What is sold.
        syntax = "proto2";
        package shop;
        import "common.proto";
        message Order {
          required string id = 1;
          optional Money price = 2;
          extensions 100 to 199;
        }
        // Sells.
        service Shop {
          rpc Buy(Order) returns (Order);
          rpc Watch(Order) returns (stream Order);
          rpc Total(stream Order) returns (Money);
          rpc Haggle(stream Order) returns (stream Money);
        }
    """,
    "common.proto": 'syntax = "proto2"; package shop; message Money { optional int64 units = 1; }',
    "gift.proto": """
        syntax = "proto2"; package shop; import "shop.proto";
        extend Order { optional string wrapping = 101; }
        message Trouble { optional string what = 1; }
    """,
}
OTHER = {
    "other.proto": 'syntax = "proto3"; package other; import "common.proto"; service Echo { rpc Say(Word) returns (Word); }',
    "common.proto": 'syntax = "proto3"; package other; message Word { string text = 1; }',
}


@dataclass
class Question:
    """What is asked."""

    text: str


@dataclass
class Answer:
    length: int


python = grpc.Service("python.v1.Counter", doc="Counts letters.")


@python.method
async def count(request: Question) -> Answer:
    """Count them."""
    return Answer(len(request.text))


def make_server(tls: TlsConfig | None) -> grpc.Server:
    server = grpc.Server([python], schema=SHOP, tls=tls)
    word: Any = Schema.load(OTHER).message_class("other.Word")

    @server.method(grpc.Method("other.Echo/Say", grpc.Cardinality.UNARY, word, word))
    async def say(request: Any) -> Any:
        return request

    @server.method("Shop/Buy")
    async def buy(request: Any, context: grpc.Context) -> Any:
        if request["id"] == "gone":
            details = [
                {"@type": "shop.Trouble", "what": "sold"},
                {"@type": "google.rpc.ErrorInfo", "reason": "GONE"},
            ]
            context.abort("NOT_FOUND", "no such thing", details=details)
        return request

    @server.method("Shop/Watch")
    async def watch(request: Any) -> AsyncIterator[Any]:
        for number in range(3):
            yield {"id": f"{request['id']}-{number}"}

    @server.method("Shop/Total")
    async def total(requests: AsyncIterator[Any]) -> Any:
        return {"units": sum([order["price"]["units"] async for order in requests])}

    @server.method("Shop/Haggle")
    async def haggle(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for order in requests:
            yield {"units": order["price"]["units"] - 1}

    return server


async def main() -> None:
    parser = argparse.ArgumentParser(description="Serve services of several kinds.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tls-cert")
    parser.add_argument("--tls-key")
    options = parser.parse_args()
    tls = TlsConfig(cert=options.tls_cert, key=options.tls_key) if options.tls_cert else None
    with stop_signals() as signals:
        async with make_server(tls).listen(f"127.0.0.1:{options.port}") as listening:
            print(f"listening on port {listening.port}", flush=True)
            await signals.stopped.wait()


if __name__ == "__main__":
    asyncio.run(main())
