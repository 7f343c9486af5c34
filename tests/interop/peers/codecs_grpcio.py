"""grpcio with its own generated messages, for test_codecs: `codecs_grpcio.py server` or `codecs_grpcio.py client TARGET SERVICE`.

The messages are compiled from tests/protos/wire.proto by grpcio-tools, and made here by hand; nothing of wirelane is
imported. The server prints its port, and ends with its input; a request that is not the one that is expected fails the
call. The client makes a call of each kind, and says what was wrong on standard error, with exit status 1.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc

COUNT = 3

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "protos"))
pb2: Any = grpc.protos("wire.proto")

LAMP = {"name": "lamp", "price": 12.5, "tags": ["a", "b"]}
SAMPLES: dict[str, Any] = {
    "Orders": pb2.Order(
        id="order-1",
        number=-(2**62),
        level=pb2.LEVEL_HIGH,
        items=[pb2.Item(**LAMP), pb2.Item(name="käse")],
        labels={"colour": "red", "": "empty"},
        by_number={-5: pb2.Item(**LAMP)},
        blob=b"\x00\xff",
        note="",
        cash=-7,
        at={"seconds": 1_700_000_000, "nanos": 123_456_000},
        took={"seconds": -90},
        deltas=[-1, 0, 2**31 - 1],
        weight=0.1,
        large=2**64 - 1,
        paid=True,
    ),
    "Plains": pb2.Plain(
        id="plain-1",
        number=-(2**62),
        items=[pb2.Item(**LAMP), pb2.Item(name="käse")],
        counts={"a": 1, "": -(2**63)},
        blob=b"\x00\xff",
        note="",
        weight=0.1,
        paid=True,
    ),
}


class Handler:
    """The four methods of one service."""

    def __init__(self, sample: Any) -> None:
        self._sample = sample

    def _check(self, request: Any, context: grpc.ServicerContext) -> None:
        if request != self._sample:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"not what was expected: {request}")

    def one(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._check(request, context)
        return self._sample

    def down(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        self._check(request, context)
        for _ in range(COUNT):
            yield self._sample

    def up(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Any:
        count = 0
        for request in requests:
            self._check(request, context)
            count += 1
        if count != COUNT:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{count} requests")
        return self._sample

    def both(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        for request in requests:
            self._check(request, context)
            yield self._sample

    def handlers(self, service: str) -> grpc.GenericRpcHandler:
        kind = type(self._sample)
        codec = {
            "request_deserializer": kind.FromString,
            "response_serializer": kind.SerializeToString,
        }
        methods = {
            "One": grpc.unary_unary_rpc_method_handler(self.one, **codec),
            "Down": grpc.unary_stream_rpc_method_handler(self.down, **codec),
            "Up": grpc.stream_unary_rpc_method_handler(self.up, **codec),
            "Both": grpc.stream_stream_rpc_method_handler(self.both, **codec),
        }
        return grpc.method_handlers_generic_handler(f"wire.v1.{service}", methods)


def serve() -> None:
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers([Handler(sample).handlers(name) for name, sample in SAMPLES.items()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(None).wait()


def call(target: str, service: str) -> None:
    sample = SAMPLES[service]
    codec = {
        "request_serializer": type(sample).SerializeToString,
        "response_deserializer": type(sample).FromString,
    }
    path = f"/wire.v1.{service}/"
    with grpc.insecure_channel(target) as channel:
        several = [sample] * COUNT
        replies = {
            "One": [channel.unary_unary(path + "One", **codec)(sample)],
            "Down": list(channel.unary_stream(path + "Down", **codec)(sample)),
            "Up": [channel.stream_unary(path + "Up", **codec)(iter(several))],
            "Both": list(channel.stream_stream(path + "Both", **codec)(iter(several))),
        }
    for name, found in replies.items():
        expected = several if name in ("Down", "Both") else [sample]
        if found != expected:
            sys.exit(f"{name} answered {found}")


if __name__ == "__main__":
    if sys.argv[1] == "server":
        serve()
    else:
        call(*sys.argv[2:])
