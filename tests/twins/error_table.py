"""Tables of errors, each row a function that provokes one: written once, run with asyncio and without."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from support.errors_support import Place, Provoked
from wirelane import WirelaneError

Provoke = Callable[[Place], Awaitable[Provoked]]
Table = dict[str, tuple[type[WirelaneError], Provoke]]


def add(table: Table, kind: type[WirelaneError]) -> Callable[[Provoke], Provoke]:
    """Put a row into a table, of this kind of error."""

    def decorate(provoke: Provoke) -> Provoke:
        table[f"{kind.__name__}-{provoke.__name__}"] = (kind, provoke)  # type: ignore[attr-defined]
        return provoke

    return decorate


async def caught(function: Callable[..., Any], *arguments: Any, **options: Any) -> BaseException:
    """What a call raises that is made so."""
    with pytest.raises(WirelaneError) as info:
        await function(*arguments, **options)
    return info.value
