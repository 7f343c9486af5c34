"""Typed messages of every library where the schema was loaded at run time: as requests, and as replies of a handler: written once, run with asyncio and without."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from support.better_support import compile_better
from support.codec_support import SAMPLES
from wirelane import grpc


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """What betterproto2's compiler makes of typed.proto."""
    return compile_better(tmp_path_factory.mktemp("better"), "better_by_schema_in_calls")


async def test_typed_requests_and_replies_pass_where_the_schema_is_a_file(
    typed: ModuleType, tmp_path: Path
) -> None:
    server = grpc.Server(schema=SAMPLES / "typed.proto")

    @server.method("typed.v1.Typed/Echo")
    async def echo(request: dict[str, Any], context: Any) -> Any:
        assert request["f_string"] == "in"
        return typed.Everything(f_string="out", r_leaf=[typed.Leaf("x", 1)])

    method = grpc.Method("typed.v1.Typed/Echo", grpc.Cardinality.UNARY, typed.Everything, typed.Everything)
    async with (
        server.listen("127.0.0.1:0") as listening,
        grpc.connect(f"127.0.0.1:{listening.port}", schema="reflection") as channel,
    ):
        request = typed.Everything(f_string="in")
        reply = await channel.unary("typed.v1.Typed/Echo", request)
        assert (reply["f_string"], reply["r_leaf"]) == ("out", [{"text": "x", "number": 1}])
        # Who wants the reply typed names the types.
        answer = await channel.unary(method, request)
        assert answer == typed.Everything(f_string="out", r_leaf=[typed.Leaf("x", 1)])
