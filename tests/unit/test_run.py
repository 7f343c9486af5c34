from __future__ import annotations

import asyncio
import sys
import warnings

import pytest

import wirelane
from wirelane import UsageError
from wirelane._run import loop_factory


async def loop_module() -> str:
    """Return where the running loop comes from."""
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


def test_run_returns_the_result_and_takes_uvloop_where_it_is_installed() -> None:
    pytest.importorskip("uvloop")
    assert wirelane.run(loop_module()) == "uvloop"
    assert wirelane.run(loop_module(), uvloop=True) == "uvloop"
    assert wirelane.run(loop_module(), uvloop=False) == "asyncio"


def test_run_raises_what_the_coroutine_raises() -> None:
    async def fail() -> None:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        wirelane.run(fail())


def test_without_uvloop_run_takes_the_loop_of_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop_factory() is None
    assert wirelane.run(loop_module()) == "asyncio"


def test_uvloop_that_is_wanted_and_missing_is_named_with_the_way_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    with pytest.raises(UsageError, match=r"pip install 'wirelane\[uvloop\]'"):
        wirelane.run(loop_module(), uvloop=True)


def test_a_function_instead_of_a_coroutine_is_explained() -> None:
    with pytest.raises(UsageError, match=r"run\(main\(\)\)"):
        wirelane.run(loop_module)  # type: ignore[arg-type]


async def test_inside_a_running_loop_run_refuses_and_leaves_no_coroutine_behind() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UsageError, match="await the coroutine instead"):
            wirelane.run(loop_module())


def test_debug_turns_on_the_debug_mode_of_the_loop() -> None:
    async def debug() -> bool:
        return asyncio.get_running_loop().get_debug()

    assert wirelane.run(debug(), debug=True, uvloop=False) is True
    assert wirelane.run(debug(), debug=False) is False
