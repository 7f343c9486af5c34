"""Sockets and TLS behave alike on every event loop: each test of this room runs on both."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvloop

from support.net_support import Authority, settle


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def authority() -> Authority:
    """Return the CA that these tests trust."""
    return Authority()


@pytest.fixture(scope="session")
def stranger() -> Authority:
    """Return a CA that nobody trusts."""
    return Authority("somebody else")


@pytest.fixture(autouse=True)
async def loop_errors() -> AsyncIterator[list[dict[str, Any]]]:
    """Fail a test in which something went wrong behind its back; a test that means it clears the list."""
    errors: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    yield errors
    await settle()
    gc.collect()
    assert not errors
