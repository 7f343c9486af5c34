"""What generated stubs do that only asynchronous ones can, and deprecation: all else of generated code at work is in tests/twins."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.codegen_support import LIBRARIES, PROTOS, CallsKit, calls_kit, files_of, imported
from support.server_support import listening
from wirelane import grpc


@pytest.fixture(scope="module", params=LIBRARIES)
def kit(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CallsKit]:
    with calls_kit(tmp_path_factory.mktemp("generated"), request.param, CallsKit) as made:
        yield made


async def test_a_unary_call_has_all_that_comes_with_the_reply(kit: CallsKit) -> None:
    class Calls(kit.base):  # type: ignore[misc, name-defined]
        async def one(self, request: Any, context: grpc.Context) -> Any:
            context.trailing_metadata["x-trailing"] = "t"
            return kit.answer(kit.read(request) + 1)

    async with (
        listening(grpc.Server([Calls()])) as served,
        grpc.connect(f"127.0.0.1:{served.port}") as channel,
    ):
        call = kit.stub(channel).one(kit.ask(4), timeout=30.0)
        assert kit.read(await call) == 5
        assert call.trailing_metadata.get("x-trailing") == "t"


async def test_what_is_deprecated_warns_where_it_is_called(tmp_path: Path) -> None:
    with imported(tmp_path, "calls_deprecated", files_of(PROTOS["awkward"])) as root:
        v1 = importlib.import_module(f"{root.__name__}.awkward.v1")
        channel = grpc.Channel("127.0.0.1:1")
        with pytest.warns(DeprecationWarning, match=r"awkward\.v1\.Awkward/Retired is deprecated") as caught:
            call = v1.AwkwardStub(channel).retired(v1.Nested())
        assert caught[0].filename == __file__
        call.close()
        with pytest.warns(DeprecationWarning, match=r"awkward\.v1\.Ancient is deprecated") as caught:
            v1.AncientStub(channel)
        assert caught[0].filename == __file__

        class Mine(v1.AncientStub):
            pass

        Mine(channel)
        v1.AncientBase()
        await channel.close()
