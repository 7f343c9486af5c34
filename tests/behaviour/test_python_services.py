"""Calls of a service written in Python as objects, which only the asynchronous stub makes; all else is in tests/twins."""

from __future__ import annotations

from wirelane import grpc

sums = grpc.Service("sums.v1.Sums")


@sums.method
async def add(a: int, b: int = 1, *, context: grpc.Context, by: float | None = None) -> float:
    """Add two numbers."""
    context.trailing_metadata["x-by"] = repr(by)
    return a + b if by is None else (a + b) * by


async def test_a_unary_call_of_a_stub_has_its_metadata() -> None:
    """Awaiting it gives the reply."""
    async with (
        grpc.Server([sums]).listen("127.0.0.1:0") as listening,
        grpc.Channel(str(listening.address)) as channel,
    ):
        call = sums.stub(channel).add(2, b=3, by=0.5)
        assert await call == 2.5
        assert call.trailing_metadata["x-by"] == "0.5"
