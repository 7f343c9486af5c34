"""The fuzz targets by name: functions of any octets, which return, or raise for a fault of ours."""

from __future__ import annotations

from collections.abc import Callable

from fuzz import engine, parsers, proxies

__all__ = ["TARGETS"]

TARGETS: dict[str, Callable[[bytes], None]] = {
    "server": engine.server,
    "client": engine.client,
    "hpack": parsers.header_blocks,
    "metadata": parsers.metadata,
    "timeout": parsers.timeout,
    "details": parsers.details,
    "messages": parsers.messages,
    "delimiters": parsers.delimiters,
    "proxies": proxies.proxies,
}
