"""The check for leaks in tests/conftest.py finds them, and lets what is clean pass."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

INNER = """
import asyncio, socket
import pytest

kept = []

async def test_clean():
    task = asyncio.create_task(asyncio.sleep(0))
    await task

async def test_settles():
    asyncio.create_task(asyncio.sleep(0)).add_done_callback(kept.append)

async def test_leaves_a_task():
    kept.append(asyncio.create_task(asyncio.Event().wait()))

async def test_drops_a_socket():
    socket.create_server(("127.0.0.1", 0))

async def test_drops_a_transport():
    async def answer(reader, writer):
        writer.close()
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        await asyncio.open_connection(*server.sockets[0].getsockname())

@pytest.fixture
async def careless():
    yield
    kept.append(asyncio.create_task(asyncio.Event().wait()))

async def test_whose_fixture_leaves_a_task(careless):
    await asyncio.sleep(0)

def test_without_a_loop(ca, other_ca):
    assert ca.client_context(("h2",)) and other_ca.server_context(client_certificates=True)
"""


def test_leaks_fail_the_test_that_made_them(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(Path(__file__).parents[1].joinpath("conftest.py").read_text())
    pytester.makepyfile(INNER)
    pytester.makeini(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    # A failing fixture counts as an error of a test that has passed.
    result.assert_outcomes(passed=5, failed=2, errors=2)
    for name in ("test_leaves_a_task", "test_whose_fixture_leaves_a_task"):
        result.stdout.fnmatch_lines(
            [f"*ERROR at teardown of {name} *", "*AssertionError: the test left 1 task(s) behind: *"]
        )
