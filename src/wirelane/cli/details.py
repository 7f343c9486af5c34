"""Error details as JSON; those of types that nobody has described yet, by what the server tells of them."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from wirelane.errors import Detail, WirelaneError

if TYPE_CHECKING:
    from wirelane.cli.session import Session
    from wirelane.codec import Schema
    from wirelane.grpc import Channel

__all__ = ["ask_for_details", "details_json"]


def details_json(details: Iterable[Detail], schema: Schema | None) -> list[object]:
    """Return error details in their JSON form; one that has none, as its type and base64."""
    if schema is None:
        from wirelane import protos
        from wirelane.codec import Schema as SchemaClass

        schema = SchemaClass.from_set(protos.descriptor_set("rpc"), origin="google.rpc")
    return [_detail_json(detail, schema) for detail in details]


def _detail_json(detail: Detail, schema: Schema) -> object:
    try:
        return schema.to_json("google.protobuf.Any", dict(detail))
    except WirelaneError:
        return {name: _plain(value) for name, value in detail.items()}


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


async def ask_for_details(
    details: Iterable[Detail], schema: Schema, session: Session, channel: Channel
) -> list[object]:
    """Return error details in their JSON form; where there are no files, the server is asked for unknown types.

    Messages that only travel as details are imported by no service.
    """
    from wirelane.codec import StatusDetail

    shown: list[object] = []
    for detail in details:
        known, found = detail, schema
        if session.files is None and isinstance(detail, StatusDetail) and detail.keys() == {"@type", "value"}:
            try:
                async with asyncio.timeout(session.left):
                    found = await channel.reflect(detail.type_name)
                known = {"@type": detail["@type"], **found.decode(detail.type_name, detail.data)}
            except (WirelaneError, OSError) as error:
                session.log.line("*", f"{detail.type_name}, of an error detail, stays bytes: {error}")
        shown += details_json([known], found)
    return shown
