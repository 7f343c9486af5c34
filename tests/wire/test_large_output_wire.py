"""A large output goes to the transport in parts, as they are: what is said, and what no transport can be asked to take."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from support.wire_support import (
    DATA,
    END_STREAM,
    LINKS,
    SETTINGS,
    Link,
    client_and_raw_server,
    frame,
    message,
)
from wirelane.net import vectored
from wirelane.transport.base import RequestHead
from wirelane.transport.memory import MemoryTransport

# Frames of 64 KiB and windows of 1 MiB; so much more for the connection.
WIDE = frame(SETTINGS, 0, 0, b"\0\5\0\1\0\0" + b"\0\4\0\x10\0\0") + frame(8, 0, 0, (2**20).to_bytes(4, "big"))


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("last", [None, b""], ids=["half-close", "an empty message"])
@pytest.mark.parametrize("joins", [True, False], ids=["joined", "in parts"])
async def test_what_ends_a_large_output_arrives(
    link: Link, last: bytes | None, joins: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectored, "_WRITELINES_NEVER_PAUSES", joins)
    payload = bytes(index % 251 for index in range(60_000))
    async with client_and_raw_server(link, greeting=WIDE) as (client, raw):
        stream = await client.open(RequestHead("/test.Echo/Call", "test"))
        for _ in range(3):
            await stream.send(payload)
        if last is not None:
            await stream.send(last)
        await stream.end()
        body, heard = b"", await raw.next(DATA)
        while not heard.ends_stream:
            body, heard = body + heard.payload, await raw.next(DATA)
        assert body + heard.payload == message(payload) * 3 + (b"" if last is None else message(last))


async def test_no_part_of_a_large_output_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncio's writelines() would keep an empty one for ever, and the connection busy with it."""
    seen: list[list[int]] = []

    def writelines(self: MemoryTransport, parts: Iterable[bytes | memoryview]) -> None:
        given = list(parts)
        seen.append([len(part) for part in given])
        self.write(b"".join(given))

    monkeypatch.setattr(MemoryTransport, "writelines", writelines)
    monkeypatch.setattr(vectored, "_WRITELINES_NEVER_PAUSES", False)
    async with client_and_raw_server("memory", greeting=WIDE) as (client, raw):
        stream = await client.open(RequestHead("/test.Echo/Call", "test"))
        for _ in range(3):
            await stream.send(bytes(60_000))
        await stream.send(b"")
        await stream.end()
        while not (await raw.next(DATA)).flags & END_STREAM:
            pass
    assert seen
    assert all(size for sizes in seen for size in sizes)
