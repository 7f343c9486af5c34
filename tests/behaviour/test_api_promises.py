"""What somebody who forgets to await meets. Other habits are in tests/twins."""

from __future__ import annotations

import pytest

from wirelane import grpc, tcp


async def test_using_connect_as_if_it_were_the_channel_says_what_to_write() -> None:
    connecting = grpc.connect("localhost:1")
    with pytest.raises(AttributeError, match="async with grpc.connect"):
        connecting.unary("Demo/One", {})  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    connecting.close()
    with pytest.raises(AttributeError, match="async with tcp.connect"):
        tcp.connect("localhost:1").read()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
