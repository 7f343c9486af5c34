"""What a call costs in function calls and instructions does not grow unnoticed. Counted, so no clock decides."""

from __future__ import annotations

import platform
from typing import Any

import pytest

from support.cost_support import CASES, PACKAGE, RECORD, ROOT, VERSION, cost_of, recorded
from wirelane import grpc

# What instructions may exceed the record by: less than one more function on the way of a call.
INSTRUCTIONS = 1.01

pytestmark = [
    pytest.mark.timeout(240),  # counting takes a hundred times as long as the call
    pytest.mark.skipif(
        platform.python_implementation() != "CPython", reason="the record is of CPython's instructions"
    ),
    pytest.mark.skipif(
        VERSION not in recorded(), reason=f"{RECORD.name} has no record for CPython {VERSION}: make costs"
    ),
]


@pytest.mark.parametrize("name", CASES)
def test_an_operation_costs_no_more_than_the_record_allows(name: str) -> None:
    record, cost = recorded()[VERSION][name], cost_of(name)
    calls, instructions = record["calls"] + CASES[name].headroom, record["instructions"] * INSTRUCTIONS
    within = cost.calls <= calls, cost.instructions <= instructions
    assert all(within), (
        f"{name} now costs {cost.calls:.2f} function calls and {cost.instructions:.1f} instructions; the record for "
        f"CPython {VERSION} allows {calls:.2f} and {instructions:.1f}. What its functions add:\n{cost.table(25)}\n"
        f"`python tools/record_costs.py --show '{name}'` lists them all: compare with the commit before. "
        f"If the growth is worth it, `make costs` writes {RECORD.relative_to(ROOT)} anew; say why in the commit."
    )


def test_three_more_functions_on_the_way_of_a_call_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "a unary call, one in flight"
    before = cost_of(name)
    namespace: dict[str, Any] = {}
    exec(compile("def one_more():\n    return None\n", f"{PACKAGE}/added.py", "exec"), namespace)
    one_more, unary = namespace["one_more"], grpc.Channel.unary

    def slower(*arguments: Any, **options: Any) -> Any:
        one_more(), one_more(), one_more()
        return unary(*arguments, **options)

    monkeypatch.setattr(grpc.Channel, "unary", slower)
    after = cost_of(name)
    assert after.calls > before.calls + CASES[name].headroom
    assert after.functions["added.one_more"][0] == pytest.approx(3)
