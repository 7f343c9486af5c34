"""Whatever a user can reach says what it does, and what happens when it is cancelled."""

from __future__ import annotations

import inspect
import sys
from typing import Any

import pytest

from support.architecture_support import docstring_of, public_objects

PUBLIC = list(public_objects())
ASYNCHRONOUS = [
    (name, value)
    for name, value in PUBLIC
    if name.startswith(("wirelane.grpc.", "wirelane.tcp.", "wirelane.testing."))
    and (inspect.iscoroutinefunction(value) or inspect.isasyncgenfunction(value))
]


@pytest.mark.parametrize("value", [value for _, value in PUBLIC], ids=[name for name, _ in PUBLIC])
def test_a_public_name_has_a_docstring(value: object) -> None:
    assert docstring_of(value)


@pytest.mark.parametrize(
    "value", [value for _, value in ASYNCHRONOUS], ids=[name for name, _ in ASYNCHRONOUS]
)
def test_what_waits_says_or_its_class_says_what_cancelling_does(value: Any) -> None:
    owner = sys.modules[value.__module__]
    for part in value.__qualname__.split(".")[:-1]:
        owner = getattr(owner, part)
    said = docstring_of(value) + (docstring_of(owner) if inspect.isclass(owner) else "")
    assert "cancel" in said.lower()
